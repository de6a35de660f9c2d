//! The pages of this room: the way to a provider, the question whether to connect an account, and what people hear when
//! something does not work: what happened, and what to do next.

use askama::Template;
use poem::{
    Response,
    http::{StatusCode, header},
};

use super::{
    arrive::request_of,
    refused::{Code, Refused},
};
use crate::{
    app::App,
    audit::{Event, Kind},
    error::InfraError,
    limit,
    login::{
        PageError, RequestContext,
        page::Error,
        provider,
        sign_in::{self, Shown},
    },
    session::Current,
    telemetry::metrics,
    web::{
        caller::Caller,
        page::{Content, show},
        text::Localizer,
    },
};

/// Leads on to a provider with status 200: a redirect after a form would be held against `form-action` (CW-03).
#[derive(Template)]
#[template(path = "federation/leave.html", config = ".askama.toml")]
pub struct Leave<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// What people call the provider.
    pub provider: &'a str,
    /// Where to.
    pub href: &'a str,
}

/// On to an app on the person's own machine, by their own press.
#[derive(Template)]
#[template(path = "federation/to_app.html", config = ".askama.toml")]
pub struct ToApp<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// What people call the app.
    pub client: &'a str,
    /// Where to: its verified redirect, with the code.
    pub href: &'a str,
}

/// `GET /login/identity`: whether to connect an account, or to leave somebody else's session for it.
#[derive(Template)]
#[template(path = "federation/ask.html", config = ".askama.toml")]
pub struct Ask<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// What people call the provider.
    pub provider: &'a str,
    /// How the person recognises the account there; empty if nothing is known of it.
    pub account: &'a str,
    /// Who is signed in.
    pub email: &'a str,
    /// The account is somebody else's: the question is whether to sign out.
    pub switch: bool,
    /// The user has another account of this provider already (case G).
    pub second: bool,
    /// Form token.
    pub form_token: &'a str,
    /// What the form is about: the field's name, and its value.
    pub about: (&'static str, &'a str),
}

impl Leave<'_> {
    fn text(&self, key: &str) -> String {
        self.localizer
            .text_with(key, &[("provider", self.provider.to_owned())])
    }
}

impl Content for Leave<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.text("upstream-leave-title")
    }
    fn refresh(&self) -> Option<&str> {
        Some(self.href)
    }
    fn referrer(&self) -> &'static str {
        "no-referrer"
    }
}

impl ToApp<'_> {
    fn text(&self, key: &str) -> String {
        self.localizer
            .text_with(key, &[("client", self.client.to_owned())])
    }
}

impl Content for ToApp<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.text("upstream-app-title")
    }
    fn referrer(&self) -> &'static str {
        "no-referrer"
    }
}

impl Ask<'_> {
    fn text(&self, key: &str) -> String {
        self.localizer
            .text_with(key, &[("provider", self.provider.to_owned())])
    }

    fn lede(&self) -> String {
        let known = [
            ("provider", self.provider.to_owned()),
            ("account", self.account.to_owned()),
            ("email", self.email.to_owned()),
        ];
        let key = match (self.switch, self.account) {
            (true, _) => "identity-switch-lede",
            (false, "") => "identity-lede-nameless",
            (false, _) => "identity-lede",
        };
        self.localizer.html(key, &known)
    }
}

impl Content for Ask<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.text(if self.switch {
            "identity-switch-title"
        } else {
            "identity-title"
        })
    }
}

/// Where a refusal happened, and where the person goes from it.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The provider's id, as the path has it.
    pub provider: &'a str,
    /// Where to go on.
    pub next: Next<'a>,
}

/// Where a person goes from a refusal.
#[derive(Clone, Debug)]
pub enum Next<'a> {
    /// Back to the sign-in page, with the client's request that still waits (UE-02).
    SignIn(Option<&'a str>),
    /// Back to the account page.
    Account,
    /// On with a sign-in by mail that is done, at this path: perhaps a client's request waits behind it.
    On(String),
    /// Back to the app, with an error for it.
    App(String),
}

impl Next<'_> {
    fn href(&self) -> String {
        match self {
            Self::SignIn(Some(txn)) => format!("/login?txn={txn}"),
            Self::SignIn(None) => "/login".to_owned(),
            Self::Account => "/account".to_owned(),
            Self::On(to) | Self::App(to) => to.clone(),
        }
    }

    const fn label(&self) -> &'static str {
        match self {
            Self::SignIn(_) => "upstream-back",
            Self::Account => "upstream-back-account",
            Self::On(_) => "continue-link",
            Self::App(_) => "upstream-back-app",
        }
    }
}

/// A refusal: its line in the log, its row in the trail, its count, its page. No cookie is set or changed by it.
///
/// # Errors
/// If the database is away.
pub async fn refuse(
    app: &App,
    context: &RequestContext,
    refused: &Refused,
    place: &Place<'_>,
) -> Result<Response, PageError> {
    note(
        app,
        &context.caller,
        context.current.as_ref(),
        refused,
        place.provider,
    )
    .await?;
    let code = refused.code;
    let known = [(
        "provider",
        provider::name_or_words(&context.config, place.provider, &context.localizer),
    )];
    let stem = match &place.next {
        Next::Account | Next::On(_) => code.stem_connecting(),
        Next::SignIn(_) | Next::App(_) => code.stem(),
    };
    let message = context.localizer.text_with(stem, &known);
    if let (200, Next::SignIn(txn)) = (code.status(), &place.next) {
        return back_to_sign_in(app, context, *txn, message).await;
    }
    let fresh = code == Code::LinkStaleAuth;
    let href = if fresh {
        sign_in::BY_MAIL_PATH.to_owned()
    } else {
        place.next.href()
    };
    let label = if fresh {
        "upstream-fresh-next"
    } else {
        place.next.label()
    };
    let page = Error {
        localizer: &context.localizer,
        status: StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_GATEWAY),
        title: context
            .localizer
            .text_with(&format!("{stem}-title"), &known),
        message,
        parameter: None,
        next_href: Some(&href),
        next_label: Some(context.localizer.text(label)),
        reference: Some(&context.caller.request_id),
    };
    let asked = match place.next {
        // For a header alone: with the store away the page is drawn without.
        Next::SignIn(txn) => request_of(app, context, txn).await.ok().flatten(),
        _ => None,
    };
    let mut response = show(
        &page,
        context.site_of(asked.as_ref().map(|asked| asked.client_id.as_str())),
    );
    if let Some(seconds) = code.retry_after() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

/// Says that an account is the person's own already: nothing has changed.
#[must_use]
pub fn own(context: &RequestContext, id: &str) -> Response {
    let known = [(
        "provider",
        provider::name_or_words(&context.config, id, &context.localizer),
    )];
    let page = Error {
        localizer: &context.localizer,
        status: StatusCode::OK,
        title: context.localizer.text_with("upstream-own-title", &known),
        message: context.localizer.text_with("upstream-own", &known),
        parameter: None,
        next_href: Some("/account"),
        next_label: Some(context.localizer.text("upstream-back-account")),
        reference: None,
    };
    show(&page, context.site)
}

/// UE-01: the person declined, or the provider has trouble of its own: the sign-in page, with a neutral word.
async fn back_to_sign_in(
    app: &App,
    context: &RequestContext,
    txn: Option<&str>,
    notice: String,
) -> Result<Response, PageError> {
    // A request whose time is over meanwhile is no reason to show something else.
    let pending = request_of(app, context, txn).await?;
    let txn = txn.filter(|_| pending.is_some());
    sign_in::draw(
        app,
        context,
        Shown {
            txn,
            pending: pending.as_ref(),
            notice: Some(notice),
            ..Shown::default()
        },
    )
    .await
}

/// The trail has the code; what the refusal knows besides is for the log. Whoever brings about very many of them for
/// nothing has lines in the log alone, or they could fill the trail.
///
/// # Errors
/// If the database is away.
pub async fn note(
    app: &App,
    caller: &Caller,
    current: Option<&Current>,
    refused: &Refused,
    id: &str,
) -> Result<(), InfraError> {
    let (code, detail) = (refused.code.as_str(), refused.detail.as_str());
    let (request_id, config) = (caller.request_id.as_str(), app.config.get());
    let known = provider::name(&config, id).is_some();
    let provider = if known { id } else { "unknown" };
    if refused.code.alerts() {
        tracing::error!(
            request_id,
            provider,
            code,
            detail,
            "upstream sign-in refused: ops must look"
        );
    } else {
        tracing::warn!(
            request_id,
            provider,
            code,
            detail,
            "upstream sign-in refused"
        );
    }
    metrics::upstream_refused(refused.code.label(), provider);
    // With the store away there is no count, and refusals are few.
    let over = limit::upstream_refusal(&app.tickets, caller.ip, &config.limits).await;
    if matches!(over, Ok(Some(_))) {
        return Ok(());
    }
    let tx = app.db.begin().await?;
    let event = Event::new(Kind::UpstreamRefused)
        .reason(code)
        .caller(&caller.network, request_id);
    let event = if known { event.provider(id) } else { event };
    let event = match current {
        Some(current) => event.user(current.user.id).session(current.session.id),
        None => event,
    };
    event.record(&tx).await?;
    tx.commit().await
}
