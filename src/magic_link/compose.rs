//! Writing the letters of this room when the outbox sends them: only now it is looked up who has the address (A1),
//! and only now secrets are made (G2).

use std::time::Duration;

use uuid::Uuid;

use super::{letter, token};
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

/// Composes the letters of this room.
#[derive(Debug)]
pub struct Letters {
    /// What it needs.
    pub app: App,
}

impl Composer for Letters {
    fn compose<'a>(&'a self, tx: &'a Tx, row: &'a OutboxRow) -> TxFuture<'a, Composed> {
        Box::pin(async move {
            let config = self.app.config.get();
            match row.kind {
                EmailKind::SignIn => self.sign_in(tx, row, &config).await,
                EmailKind::NoAccount => self.notice(row, letter::no_account),
                EmailKind::AccessReset => self.notice(row, letter::access_reset),
                EmailKind::ProviderConnected => self.about_provider(row, &config, "connected"),
                EmailKind::ProviderDisconnected => {
                    self.about_provider(row, &config, "disconnected")
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
                    token::extend(tx, reference, self.app.config.get().link_lifetime()).await?;
                    sent(tx, row).await
                }
                (EmailKind::SignIn, DeliveryOutcome::Refused | DeliveryOutcome::Deferred) => {
                    token::refuse(tx, reference).await
                }
                // In doubt it may have arrived: its secrets stay good.
                _ => Ok(()),
            }
        })
    }
}

async fn sent(tx: &Tx, row: &OutboxRow) -> Result<(), InfraError> {
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

impl Letters {
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
        let to = match user::email_target(tx.conn(), &flow.canonical).await? {
            EmailTarget::Known { email } => email,
            EmailTarget::Disabled => return Ok(Composed::Drop("user_disabled")),
            EmailTarget::Unknown if config.magic_link.sign_up == SignUp::Open => {
                flow.canonical.clone()
            }
            EmailTarget::Unknown => return self.unknown(tx, &flow, config).await,
        };
        let macs = &self.app.macs;
        let secrets = token::make(
            tx,
            flow.id,
            config.magic_link.code_digits,
            config.link_lifetime(),
            &macs.code,
        )
        .await?;
        let localizer = self.app.texts.negotiate(&flow.locale, "");
        let letter = letter::sign_in(
            &localizer,
            &letter::SignInLetter {
                link: &format!(
                    "{}/login/link/{}",
                    self.app.public_url,
                    secrets.link.to_text()
                ),
                code: &secrets.code,
                minutes: config.magic_link.lifetime_seconds / 60,
                device: &flow.device,
                place: None,
                client: flow
                    .client_id
                    .as_deref()
                    .and_then(|id| client::find(config, id))
                    .map(|c| c.name.as_str()),
                time: &localizer.date_time(flow.created_at),
                domain: domain(&self.app.public_url),
                to: &to,
            },
        )?;
        Ok(Composed::Email {
            email: letter,
            reference: secrets.id,
        })
    }

    /// Sign-up is closed and nobody has this address: nothing, or a letter that says so once in 24 hours (G9).
    async fn unknown(
        &self,
        tx: &Tx,
        flow: &Flow,
        config: &Reloadable,
    ) -> Result<Composed, InfraError> {
        let day = Duration::from_secs(86_400);
        let recent =
            outbox::was_queued_since(tx, EmailKind::NoAccount, &flow.canonical, tx.now - day)
                .await?;
        if config.magic_link.inform_unknown && !recent {
            let letter = outbox::NewEmail {
                kind: EmailKind::NoAccount,
                flow_id: None,
                canonical: flow.canonical.clone(),
                locale: flow.locale.clone(),
                due_at: tx.now,
                give_up_at: tx.now + day,
                about: None,
                withheld: false,
            };
            outbox::enqueue(tx, letter).await?;
        }
        Ok(Composed::Drop("sign_up_closed"))
    }

    fn about_provider(
        &self,
        row: &OutboxRow,
        config: &Reloadable,
        what: &str,
    ) -> Result<Composed, InfraError> {
        let localizer = self.app.texts.negotiate(&row.locale, "");
        let id = row.about.as_deref().unwrap_or_default();
        let provider = config.provider_name(id).unwrap_or(id);
        let time = localizer.date_time(row.created_at);
        let notice = letter::Notice {
            time: &time,
            ..self.bare(row)
        };
        Ok(Composed::Email {
            email: letter::provider(&localizer, &notice, provider, what)?,
            reference: Uuid::nil(),
        })
    }

    fn bare<'a>(&'a self, row: &'a OutboxRow) -> letter::Notice<'a> {
        letter::Notice {
            to: &row.canonical,
            device: "",
            place: None,
            client: None,
            time: "",
            domain: domain(&self.app.public_url),
        }
    }

    fn notice(
        &self,
        row: &OutboxRow,
        write: fn(&Localizer, &letter::Notice<'_>) -> Result<Email, InfraError>,
    ) -> Result<Composed, InfraError> {
        let localizer = self.app.texts.negotiate(&row.locale, "");
        let time = localizer.date_time(row.created_at);
        let notice = letter::Notice {
            time: &time,
            ..self.bare(row)
        };
        Ok(Composed::Email {
            email: write(&localizer, &notice)?,
            reference: Uuid::nil(),
        })
    }
}

fn domain(public_url: &str) -> &str {
    public_url
        .split_once("://")
        .map_or(public_url, |(_, authority)| authority)
}
