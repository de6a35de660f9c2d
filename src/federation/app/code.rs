//! Sign-in at a provider for a first-party app that draws its own form (DESIGN §8, API flows).
//!
//! The provider sends the person back to our one callback (UP-02), in whatever browser the app opened; the PKCE challenge
//! that the app gave at the start stands in place of the cookie. From there the app's registered URI gets a code, which is
//! worth nothing without the verifier: nobody is signed in, and no user is made, before it is redeemed. Where an address
//! must be proven first, that happens in the browser, by mail, and the code follows; no account is connected on this way.

use std::time::Duration;

use askama::Template;
use poem::{Request, Response, handler, web::Data};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    app::App,
    client::VerifiedRedirect,
    error::InfraError,
    federation::{
        error::{FederationError, RefusalCode},
        flow::state::AppRequest,
        linking::{
            settle::{LinkContext, LinkOutcome, UpstreamLogin, known, without_entering},
            table::{Decision, decide},
        },
        refusal::{Next, Place, refuse},
    },
    login::{
        PageError, RequestContext,
        context::see_other,
        evidence::BrowserState,
        first_party,
        page::ContinuePage,
        page_error,
        pending::{self, PendingRequest, ResumedBy},
    },
    secret::{Hash, Plain},
    ticket::{Claim, Kind, Tickets},
    web::{
        page::{PageContent, render_page},
        params::Params,
        text::Localizer,
    },
};

/// On to an app on the person's own machine, by their own press.
#[derive(Template)]
#[template(path = "federation/app/to_app.html", config = ".askama.toml")]
pub struct ToApp<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// What people call the app.
    pub client: &'a str,
    /// Where to: its verified redirect, with the code.
    pub href: &'a str,
}

impl ToApp<'_> {
    fn text(&self, key: &str) -> String {
        self.localizer
            .text_with(key, &[("client", self.client.to_owned())])
    }
}

impl PageContent for ToApp<'_> {
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

/// How long a code is good (as an authorization code, RFC 6749 §4.1.2).
const CODE_KEPT: Duration = Duration::from_secs(60);
/// How long a used one is told from an unknown one.
const USED_KEPT: Duration = Duration::from_secs(600);

/// What a code stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Redeemable {
    /// The app's part.
    pub for_app: AppRequest,
    /// Who it is.
    pub who: Who,
}

/// Whom a code signs in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Who {
    /// Whoever the provider vouched for.
    #[serde(rename = "Came")]
    UpstreamLogin(UpstreamLogin),
    /// Who has just proven their address in the browser: its session.
    Session(Uuid),
}

/// The end of a callback for an app.
///
/// # Errors
/// If the database or the ticket store is away.
pub async fn arrive(
    app: &App,
    context: &RequestContext,
    for_app: &AppRequest,
    came: &UpstreamLogin,
) -> Result<Response, PageError> {
    let at = outside(context);
    match decide(&known(app.db.read(), &context.config, came, at).await?.facts) {
        Decision::SignIn | Decision::Create => {
            send(app, context, for_app, Who::UpstreamLogin(came.clone())).await
        }
        Decision::Prove => prove_first(app, context, for_app).await,
        decision => {
            let refusal = match without_entering(decision) {
                LinkOutcome::Refused(refusal) => refusal,
                _ => RefusalCode::UserDisabled.into(),
            };
            let next = refused(&app.public_url, context, for_app, &refusal);
            refuse(
                app,
                context,
                &refusal,
                &Place {
                    provider: &came.arrived.provider,
                    next,
                },
            )
            .await
        }
    }
}

/// No browser of ours holds anything for an app.
fn outside(context: &RequestContext) -> LinkContext<'_> {
    LinkContext {
        browser_state: BrowserState::default(),
        connecting: false,
        switch: false,
        remembered: true,
        locale: &context.localizer.tag,
        caller: &context.caller,
    }
}

/// C: the person proves an address in this browser; the app's request waits like a client's does. The account at the
/// provider is left behind: no cookie says that this browser is the one that signed in there, so whoever was sent
/// somebody else's callback would connect that account to their own user.
async fn prove_first(
    app: &App,
    context: &RequestContext,
    for_app: &AppRequest,
) -> Result<Response, PageError> {
    let Some(client) = first_party::find_app(&context.config, &for_app.client_id) else {
        return Err(PageError::InvalidClientRequest("client_id"));
    };
    let pending = PendingRequest {
        client_id: client.client_id.clone(),
        client_name: client.name.clone(),
        fresh: false,
        email_only: false,
        login_hint: String::new(),
        ui_locales: String::new(),
        request: serde_json::to_string(for_app).map_err(InfraError::internal)?,
        resumed_by: ResumedBy::Upstream,
        origin: None,
    };
    let handle = pending::store(
        &app.tickets,
        context.pre.hash(),
        context.session_id(),
        &pending,
    )
    .await?;
    Ok(context.with_pre_login_cookie(see_other(&format!("/login?txn={}", handle.to_text()))))
}

/// `GET /login/app`: the address is proven; on to the app, once.
#[handler]
pub(crate) async fn resume(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::from_query(request)?;
        let handle = Plain::parse(params.required("txn", 43)?).ok_or(PageError::SignInExpired)?;
        let session = context.session_id().ok_or(PageError::SignInExpired)?;
        let taken = pending::claim(&app.tickets, &handle, context.requester())
            .await?
            .ok_or(PageError::SignInExpired)?;
        if taken.resumed_by != ResumedBy::Upstream {
            return Err(PageError::SignInExpired);
        }
        let for_app: AppRequest =
            serde_json::from_str(&taken.request).map_err(|_| PageError::SignInExpired)?;
        send(app, &context, &for_app, Who::Session(session)).await
    })
    .await
}

/// Sends the app its code, by a page: the chain began at a form elsewhere (CW-03). It goes on by itself to an https
/// address alone. Anything on the machine may wait at a port or have taken an app's scheme, and what it began would be
/// over before the person saw it (RFC 8252 §8.6): there they press a button that names the app.
async fn send(
    app: &App,
    context: &RequestContext,
    for_app: &AppRequest,
    who: Who,
) -> Result<Response, PageError> {
    // The configuration may have changed since the start.
    let redirect =
        redirect(context, for_app).ok_or(PageError::InvalidClientRequest("redirect_uri"))?;
    let code = Plain::generate();
    let value = serde_json::to_vec(&Redeemable {
        for_app: for_app.clone(),
        who,
    })
    .map_err(InfraError::internal)?;
    if !app
        .tickets
        .issue(Kind::AppCode, &code.hash(), &value, CODE_KEPT)
        .await?
    {
        return Err(InfraError::internal("a fresh 256-bit code was taken").into());
    }
    let code = code.to_text();
    let href = with(&redirect, for_app, &app.public_url, &[("code", &code)]);
    if redirect.as_str().starts_with("https://") {
        return Ok(render_page(
            &ContinuePage {
                localizer: &context.localizer,
                href: &href,
            },
            context.page_options,
        ));
    }
    let client = first_party::find_app(&context.config, &for_app.client_id)
        .map_or("", |client| client.name.as_str());
    Ok(render_page(
        &ToApp {
            localizer: &context.localizer,
            client,
            href: &href,
        },
        context.page_options,
    ))
}

fn redirect(context: &RequestContext, for_app: &AppRequest) -> Option<VerifiedRedirect> {
    let client = first_party::find_app(&context.config, &for_app.client_id)?;
    VerifiedRedirect::check(client, &for_app.redirect_uri)
}

fn with(
    redirect: &VerifiedRedirect,
    for_app: &AppRequest,
    iss: &str,
    answer: &[(&str, &str)],
) -> String {
    let mut fields = answer.to_vec();
    if let Some(state) = &for_app.state {
        fields.push(("state", state));
    }
    fields.push(("iss", iss));
    redirect.with(&fields)
}

/// Where the person goes from a refusal: back to the app, with an error that it knows (RFC 6749 §4.1.2.1).
#[must_use]
pub fn refused<'a>(
    public_url: &str,
    context: &RequestContext,
    for_app: &AppRequest,
    refused: &FederationError,
) -> Next<'a> {
    let error = match refused.code {
        RefusalCode::Denied | RefusalCode::UserDisabled | RefusalCode::SignUpClosed => {
            "access_denied"
        }
        code if code.status() == 503 || code == RefusalCode::ProviderTrouble => {
            "temporarily_unavailable"
        }
        _ => "server_error",
    };
    match redirect(context, for_app) {
        Some(redirect) => Next::App(with(&redirect, for_app, public_url, &[("error", error)])),
        None => Next::SignIn(None),
    }
}

/// Takes what a code stands for, once, for whoever has the verifier of its challenge. A wrong verifier, or another
/// provider's address, spends nothing (RD-06).
///
/// # Errors
/// If the ticket store is away.
pub async fn redeem(
    tickets: &Tickets,
    code: &str,
    provider: &str,
    challenge: &str,
) -> Result<Result<Redeemable, FederationError>, InfraError> {
    let refused = |why: &str| Err(FederationError::new(RefusalCode::AppCode, why));
    let fits = |value: &[u8]| {
        let Ok(found) = serde_json::from_slice::<Redeemable>(value) else {
            return refused("it cannot be read");
        };
        if found.for_app.provider != provider {
            return refused("another provider's");
        }
        let same = Hash::of(found.for_app.challenge.as_bytes()) == Hash::of(challenge.as_bytes());
        if same {
            Ok(found)
        } else {
            refused("another verifier's")
        }
    };
    let Some(code) = Plain::parse(code) else {
        return Ok(refused("none of ours"));
    };
    let Some(value) = tickets.peek(Kind::AppCode, &code.hash()).await? else {
        return Ok(refused("unknown, used or too old"));
    };
    if let Err(refused) = fits(&value) {
        return Ok(Err(refused));
    }
    match tickets
        .claim(Kind::AppCode, &code.hash(), b"used", USED_KEPT)
        .await?
    {
        Claim::Fresh(value) => Ok(fits(&value)),
        Claim::Replayed(_) | Claim::Gone => Ok(refused("used")),
    }
}
