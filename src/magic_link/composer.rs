//! Composes the emails of this module when the outbox sends them. Only then does it look up who has the
//! address (A1), and only then does it make secrets (G2).

use std::time::Duration;

use uuid::Uuid;

use super::{
    email::{self, EmailFacts, ProviderChange, SignInSecrets},
    token,
};
use crate::{
    app::App,
    audit::{Event, Kind},
    client,
    config::{Reloadable, SignUp},
    db::{Tx, TxFuture},
    error::InfraError,
    login::flow::{self, Flow, FlowState},
    mail::{
        Composed, Composer, DeliveryOutcome, Email,
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

    fn record_outcome<'a>(
        &'a self,
        tx: &'a Tx,
        row: &'a OutboxRow,
        reference: Uuid,
        outcome: DeliveryOutcome,
    ) -> TxFuture<'a, ()> {
        Box::pin(async move {
            match (row.kind, outcome) {
                (EmailKind::SignIn, DeliveryOutcome::Accepted) => {
                    let lifetime = self.app.config.get().link_lifetime();
                    token::extend_lifetime(tx, reference, lifetime).await?;
                    record_sent(tx, row).await
                }
                (EmailKind::SignIn, DeliveryOutcome::Refused | DeliveryOutcome::Deferred) => {
                    token::mark_refused(tx, reference).await
                }
                // In doubt, the email may have arrived: its secrets stay valid.
                _ => Ok(()),
            }
        })
    }
}

async fn record_sent(tx: &Tx, row: &OutboxRow) -> Result<(), InfraError> {
    let Some(id) = row.flow_id else { return Ok(()) };
    let Some(flow) = flow::find(tx.conn(), id).await? else {
        return Ok(());
    };
    Event::new(Kind::MagicLinkSent)
        .flow(id)
        .client(flow.client_id.as_deref())
        .address(&flow.address_key)
        .record(tx)
        .await
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
            EmailTarget::Disabled => Ok(Composed::Drop("user_disabled")),
            EmailTarget::Unknown if config.magic_link.sign_up == SignUp::Open => {
                self.with_secrets(tx, &flow, &flow.canonical, config).await
            }
            EmailTarget::Unknown => {
                enqueue_no_account(tx, &flow, config).await?;
                Ok(Composed::Drop("sign_up_closed"))
            }
        }
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
        let link = secrets.link.to_text();
        let localizer = self.app.texts.negotiate(&flow.locale, "");
        let client_id = flow.client_id.as_deref();
        let client = client_id.and_then(|id| client::find(config, id));
        let facts = EmailFacts {
            to,
            device: &flow.device,
            place: None,
            client: client.map(|client| client.name.as_str()),
            time: &localizer.date_time(flow.created_at),
            domain: domain_of(&self.app.public_url),
        };
        let secrets_shown = SignInSecrets {
            link: &format!("{}/login/link/{link}", self.app.public_url),
            code: &secrets.code,
            minutes: config.magic_link.lifetime_seconds / 60,
        };
        Ok(Composed::Email {
            email: email::sign_in(&localizer, &facts, &secrets_shown)?,
            reference: secrets.id,
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
            domain: domain_of(&self.app.public_url),
        };
        Ok(Composed::Email {
            email: write(&localizer, &facts)?,
            reference: Uuid::nil(),
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
    };
    outbox::enqueue(tx, email).await
}

fn domain_of(public_url: &str) -> &str {
    public_url
        .split_once("://")
        .map_or(public_url, |(_, authority)| authority)
}
