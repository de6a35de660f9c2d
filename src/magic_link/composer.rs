//! Composes the emails of this module when the outbox sends them. Only then does it look up who has the
//! address (A1). Secrets are made then, too, or with the row of an email that is sent at once (G2).

use std::time::Duration;

use uuid::Uuid;

use super::{
    email::{self, EmailFacts, ProviderChange, SignInSecrets},
    token::{self, EmailSecrets},
};
use crate::{
    app::App,
    audit::{Event, Kind},
    client,
    config::{Reloadable, SignUp},
    db::{Db, Tx, TxFuture},
    error::InfraError,
    login::{
        authenticate::SignInRefusal,
        flow::{self, Flow, FlowState},
    },
    mail::{
        Composed, Composer, DeliveryOutcome, Draft, Email, EmailReference,
        outbox::{self, EmailKind, OutboxRow},
    },
    user::{self, EmailTarget},
    web::locale::Localizer,
};

/// How often an address without an account gets an email that says so (G9).
const NO_ACCOUNT_INTERVAL: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
pub struct EmailComposer {
    pub app: App,
}

impl Composer for EmailComposer {
    fn compose<'a>(&'a self, tx: &'a Tx, row: &'a OutboxRow) -> TxFuture<'a, Composed> {
        Box::pin(async move {
            let config = self.app.config.get();
            match row.kind {
                EmailKind::SignIn => self.sign_in(tx, row, &config).await,
                EmailKind::NoAccount => self.notice(row, email::no_account),
                EmailKind::AccessReset => self.notice(row, email::access_reset),
                EmailKind::ProviderConnected => {
                    self.provider_changed(row, &config, ProviderChange::Connected)
                }
                EmailKind::ProviderDisconnected => {
                    self.provider_changed(row, &config, ProviderChange::Disconnected)
                }
            }
        })
    }

    fn has_account<'a>(&'a self, db: &'a Db, canonical: &'a str) -> TxFuture<'a, bool> {
        Box::pin(async move {
            let target = user::email_target(db.read(), canonical).await?;
            Ok(target != EmailTarget::Unknown)
        })
    }

    fn record_outcome<'a>(
        &'a self,
        tx: &'a Tx,
        row: &'a OutboxRow,
        reference: &'a EmailReference,
        outcome: DeliveryOutcome,
    ) -> TxFuture<'a, ()> {
        Box::pin(async move {
            match (row.kind, outcome) {
                (EmailKind::SignIn, DeliveryOutcome::Accepted) => {
                    let lifetime = self.app.config.get().link_lifetime();
                    token::extend_lifetime(tx, reference.secrets, lifetime).await?;
                    match reference.accepted.clone() {
                        Some(event) => event.record(tx).await,
                        None => Ok(()),
                    }
                }
                (EmailKind::SignIn, DeliveryOutcome::Refused | DeliveryOutcome::Deferred) => {
                    token::mark_not_sent(tx, reference.secrets).await
                }
                // In doubt, the email may have arrived: its secrets stay valid.
                _ => Ok(()),
            }
        })
    }
}

/// The email of a flow whose secrets were stored with it.
pub(super) struct SignInDraft {
    app: App,
    flow: Flow,
    secrets: EmailSecrets,
    reference: EmailReference,
}

impl SignInDraft {
    /// Makes the secrets of an email that is sent at once, and stores their hashes.
    pub(super) async fn store(app: &App, tx: &Tx, flow: &Flow) -> Result<Self, InfraError> {
        let config = app.config.get();
        let (digits, lifetime) = (config.magic_link.code_digits, config.link_lifetime());
        let secrets = token::create(tx, flow.id, digits, lifetime, &app.macs.code).await?;
        Ok(Self {
            app: app.clone(),
            flow: flow.clone(),
            reference: reference_of(flow, secrets.id),
            secrets,
        })
    }
}

impl Draft for SignInDraft {
    fn reference(&self) -> &EmailReference {
        &self.reference
    }

    fn write<'a>(&'a self, db: &'a Db) -> TxFuture<'a, Option<Email>> {
        Box::pin(async move {
            let config = self.app.config.get();
            let target = user::email_target(db.read(), &self.flow.canonical).await?;
            let to = match &target {
                EmailTarget::Known { email } => email,
                EmailTarget::Unknown if config.magic_link.sign_up == SignUp::Open => {
                    &self.flow.canonical
                }
                // What follows is recorded, in a transaction.
                EmailTarget::Unknown | EmailTarget::Disabled(_) => return Ok(None),
            };
            write_sign_in(&self.app, &self.flow, to, &self.secrets).map(Some)
        })
    }
}

fn reference_of(flow: &Flow, secrets: Uuid) -> EmailReference {
    let accepted = Event::new(Kind::MagicLinkSent)
        .flow(flow.id)
        .client(flow.client_id.as_deref())
        .address(&flow.address_key);
    EmailReference {
        secrets,
        accepted: Some(accepted),
    }
}

/// Writes the email of a flow.
fn write_sign_in(
    app: &App,
    flow: &Flow,
    to: &str,
    secrets: &EmailSecrets,
) -> Result<Email, InfraError> {
    let config = app.config.get();
    let link = secrets.link.to_text();
    let localizer = app.texts.negotiate(&flow.locale, "");
    let client_id = flow.client_id.as_deref();
    let client = client_id.and_then(|id| client::find(&config, id));
    let facts = EmailFacts {
        to,
        device: &flow.device,
        place: None,
        client: client.map(|client| client.name.as_str()),
        time: &localizer.date_time(flow.created_at),
        domain: &domain_of(&app.public_url),
    };
    let secrets_shown = SignInSecrets {
        link: &format!("{}/login/link/{link}", app.public_url),
        code: &secrets.code,
        minutes: config.magic_link.lifetime_seconds / 60,
    };
    email::sign_in(&localizer, &facts, &secrets_shown)
}

impl EmailComposer {
    async fn sign_in(
        &self,
        tx: &Tx,
        row: &OutboxRow,
        config: &Reloadable,
    ) -> Result<Composed, InfraError> {
        let Some(id) = row.flow_id else {
            return Ok(Composed::Drop("no_flow"));
        };
        let flow = flow::find(tx.conn(), id).await?;
        let Some(flow) =
            flow.filter(|flow| flow.state == FlowState::Open && flow.expires_at > tx.now)
        else {
            return Ok(Composed::Drop("flow_over"));
        };
        match user::email_target(tx.conn(), &flow.canonical).await? {
            EmailTarget::Known { email } => self.with_secrets(tx, &flow, &email, config).await,
            EmailTarget::Disabled(user) => {
                let refusal = SignInRefusal::UserDisabled;
                self.refuse(tx, &flow, Some(user), refusal).await
            }
            EmailTarget::Unknown if config.magic_link.sign_up == SignUp::Open => {
                self.with_secrets(tx, &flow, &flow.canonical, config).await
            }
            EmailTarget::Unknown => {
                enqueue_no_account(tx, &flow, config).await?;
                let refusal = SignInRefusal::SignUpClosed;
                self.refuse(tx, &flow, None, refusal).await
            }
        }
    }

    /// Drops the email of a flow that cannot sign anyone in, and records why in the audit log: the
    /// pages do not reveal it (A1), and an operator is asked (OD-14). The flow gets secrets that no
    /// one learns: wrong codes cost and count the same as where an email was sent (A2).
    async fn refuse(
        &self,
        tx: &Tx,
        flow: &Flow,
        user: Option<Uuid>,
        refusal: SignInRefusal,
    ) -> Result<Composed, InfraError> {
        let config = self.app.config.get();
        let digits = config.magic_link.code_digits;
        token::create(
            tx,
            flow.id,
            digits,
            config.link_lifetime(),
            &self.app.macs.code,
        )
        .await?;
        let mut event = Event::new(Kind::MagicLinkRefused)
            .reason(refusal)
            .flow(flow.id)
            .client(flow.client_id.as_deref())
            .address(&flow.address_key);
        if let Some(user) = user {
            event = event.user(user);
        }
        event.record(tx).await?;
        Ok(Composed::Drop(refusal.as_str()))
    }

    /// Makes the secrets of a sign-in email and writes it.
    async fn with_secrets(
        &self,
        tx: &Tx,
        flow: &Flow,
        to: &str,
        config: &Reloadable,
    ) -> Result<Composed, InfraError> {
        let digits = config.magic_link.code_digits;
        let pepper = &self.app.macs.code;
        let secrets = token::create(tx, flow.id, digits, config.link_lifetime(), pepper).await?;
        Ok(Composed::Email {
            email: write_sign_in(&self.app, flow, to, &secrets)?,
            reference: Box::new(reference_of(flow, secrets.id)),
        })
    }

    fn provider_changed(
        &self,
        row: &OutboxRow,
        config: &Reloadable,
        change: ProviderChange,
    ) -> Result<Composed, InfraError> {
        let id = row.about.as_deref().unwrap_or_default();
        let name = config.provider_name(id).unwrap_or(id);
        self.notice(row, |localizer, facts| {
            email::provider_changed(localizer, facts, name, change)
        })
    }

    /// Writes an email without secrets.
    fn notice(
        &self,
        row: &OutboxRow,
        write: impl FnOnce(&Localizer, &EmailFacts<'_>) -> Result<Email, InfraError>,
    ) -> Result<Composed, InfraError> {
        let localizer = self.app.texts.negotiate(&row.locale, "");
        let facts = EmailFacts {
            to: &row.canonical,
            device: "",
            place: None,
            client: None,
            time: &localizer.date_time(row.created_at),
            domain: &domain_of(&self.app.public_url),
        };
        Ok(Composed::Email {
            email: write(&localizer, &facts)?,
            reference: Box::new(EmailReference {
                secrets: Uuid::nil(),
                accepted: None,
            }),
        })
    }
}

/// Queues an email that says that the address has no account, unless one was queued within a day.
async fn enqueue_no_account(tx: &Tx, flow: &Flow, config: &Reloadable) -> Result<(), InfraError> {
    let since = tx.now - NO_ACCOUNT_INTERVAL;
    let was_sent =
        outbox::was_queued_since(tx, EmailKind::NoAccount, &flow.canonical, since).await?;
    if was_sent || !config.magic_link.inform_unknown {
        return Ok(());
    }
    let email = outbox::NewEmail {
        kind: EmailKind::NoAccount,
        flow_id: None,
        canonical: flow.canonical.clone(),
        locale: flow.locale.clone(),
        due_at: tx.now,
        give_up_at: tx.now + NO_ACCOUNT_INTERVAL,
        about: None,
        withheld: false,
        known_device: false,
        network: String::new(),
    };
    outbox::enqueue(tx, email).await
}

/// Returns host and port of the public URL, without its path, as the pages show domains (OD-13).
fn domain_of(public_url: &str) -> String {
    let rest = public_url
        .split_once("://")
        .map_or(public_url, |(_, rest)| rest);
    let authority = rest
        .split_once('/')
        .map_or(rest, |(authority, _)| authority);
    match authority.rsplit_once(':') {
        Some((host, port)) => format!("{}:{port}", user::shown_domain(host)),
        None => user::shown_domain(authority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn od_13_emails_name_our_host_in_its_own_script() {
        for (public_url, shown) in [
            ("https://login.example.com", "login.example.com"),
            ("https://xn--mller-kva.example", "müller.example"),
            ("https://xn--mller-kva.example:8443", "müller.example:8443"),
            // "сосо" in Cyrillic letters reads like "coco".
            ("https://xn--n1aahb.example", "xn--n1aahb.example"),
            (
                "https://xn--mller-kva.example:8443/auth",
                "müller.example:8443",
            ),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(domain_of(public_url), shown);
        }
    }
}
