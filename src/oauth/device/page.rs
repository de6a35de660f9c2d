//! `/device`: a signed-in user enters the code that a device shows, reads who asks for what, and allows or
//! denies it (RFC 8628 §3.3, §5.4).
//!
//! The code is entered by hand, and the user is asked each time, for first-party clients too: the party that
//! holds the device gets the tokens, and an attacker may have started the sign-in elsewhere.

use askama::Template;
use poem::{Body, Request, Response, handler, http::StatusCode, web::Data};

use super::{
    store::{self, Decision, OpenRequest},
    user_code::UserCode,
};
use crate::{
    app::App,
    audit::{Event, Kind},
    client,
    config::{Client, GrantType},
    limit,
    login::{
        context::{RequestContext, see_other},
        page_error::{self, PageError},
        pending::{self, PendingRequest, ResumedBy},
    },
    oauth::{
        consent_store, exchange_rules, grant_check::SignIn, scope_words::ScopeWords,
        user_claims::consent_scopes,
    },
    session::{self, CurrentSession},
    telemetry::metrics,
    user,
    web::{
        filters,
        locale::Localizer,
        page::{PageContent, render_page},
        params::Params,
    },
};

/// The name of the form that takes a code.
const CODE_FORM: &str = "device";

const MAX_CODE: usize = 64;

/// `GET /device`. It changes nothing, and reads nothing from its address.
#[handler]
pub(crate) async fn show(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        check_enabled(&context)?;
        if context.current.is_none() {
            return sign_in_first(app, &context).await;
        }
        Ok(render_code_form(app, &context, "", None))
    })
    .await
}

fn check_enabled(context: &RequestContext) -> Result<(), PageError> {
    if context.config.device.enabled {
        Ok(())
    } else {
        Err(PageError::NotFound)
    }
}

/// Sends the browser to the sign-in page. The page here waits for it as a client's request does.
async fn sign_in_first(app: &App, context: &RequestContext) -> Result<Response, PageError> {
    context.check_store_budget(app).await?;
    let pending = PendingRequest {
        client_id: String::new(),
        client_name: String::new(),
        fresh: false,
        email_only: false,
        login_hint: String::new(),
        ui_locales: String::new(),
        request: "{}".to_owned(),
        resumed_by: ResumedBy::Device,
        origin: None,
        is_unbound: context.requester().browser.is_none(),
        signed_in_since: false,
    };
    let tickets = app.tickets.charged_to(context.payer());
    let handle = pending::store(&tickets, context.pre.hash(), None, &pending).await?;
    let path = format!("/login?txn={}", handle.to_text());
    Ok(context.with_pre_login_cookie(see_other(&path)))
}

/// `POST /device`: shows who asks for what. Each code that is tried counts before it is compared (DE-7).
#[handler]
pub(crate) async fn enter(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["user_code", "form_token"])?;
        let current = context.check_session_form(app, request, &params, CODE_FORM)?;
        check_enabled(&context)?;
        let entered = params.optional_within("user_code", MAX_CODE)?;
        let entered = entered.unwrap_or_default();
        let Some(code) = UserCode::parse(entered) else {
            let error = Some("device-error-code");
            return Ok(render_code_form(app, &context, entered, error));
        };
        let (ip, session) = (context.caller.ip, current.session.id);
        let limits = &context.config.limits;
        if let Some(wait) = limit::device_code(&app.tickets, ip, session, limits).await? {
            return Err(PageError::TooManyRequests(wait));
        }
        match find(app, &context, &code).await? {
            Some((open, client)) => {
                render_question(app, &context, current, (&code, &open, client)).await
            }
            None => {
                let error = Some("device-error-code");
                Ok(render_code_form(app, &context, entered, error))
            }
        }
    })
    .await
}

/// Returns the request whose device shows a code, and its client, if that may still use the grant.
async fn find<'a>(
    app: &App,
    context: &'a RequestContext,
    code: &UserCode,
) -> Result<Option<(OpenRequest, &'a Client)>, PageError> {
    let Some(mut open) = store::find_open(app, code).await? else {
        return Ok(None);
    };
    let config = &context.config;
    let may_use = |client: &&Client| client.grant_types.contains(&GrantType::DeviceCode);
    let found = client::find(config, &open.request.client_id).filter(may_use);
    Ok(found.map(|client| {
        // What an operator has taken from the client since is not asked for.
        let asked = &mut open.request;
        let resources = asked.resources.as_deref();
        asked.scope = exchange_rules::requestable(config, client, resources, &asked.scope);
        (open, client)
    }))
}

/// The name of the form that decides about one code; its token is valid for no other.
fn decision_form(code: &UserCode) -> String {
    format!("device {}", code.shown())
}

/// `POST /device/decide`.
#[handler]
pub(crate) async fn decide(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["user_code", "decision", "form_token"])?;
        let code = params.optional_within("user_code", MAX_CODE)?;
        let code = code.and_then(UserCode::parse);
        let code = code.ok_or(PageError::InvalidForm)?;
        let form = decision_form(&code);
        let current = context.check_session_form(app, request, &params, &form)?;
        check_enabled(&context)?;
        let is_allowed = params.optional("decision")? == Some("allow");
        let is_decided = match find(app, &context, &code).await? {
            Some((open, client)) => {
                carry_out(app, &context, current, (&open, client), is_allowed).await?
            }
            None => false,
        };
        if is_decided {
            return Ok(render_done(&context, is_allowed));
        }
        let error = Some("device-error-over");
        Ok(render_code_form(app, &context, "", error))
    })
    .await
}

/// Stores the decision. Returns `false` if the request is over or was decided by another form.
///
/// The consent comes first: a device may poll in the moment in which the decision is stored.
/// Records the decision of the user. A consent is stored first and stays if another decision was faster: the user
/// gave it, and can withdraw it on the account page.
async fn carry_out(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
    (open, client): (&OpenRequest, &Client),
    is_allowed: bool,
) -> Result<bool, PageError> {
    let (kind, decision) = if is_allowed {
        let tx = app.db.begin().await?;
        let scopes = consent_scopes(&open.request.scope, "");
        consent_store::allow(&tx, &current.user, &client.client_id, &scopes).await?;
        session::record_use(tx.conn(), &current.session, tx.now).await?;
        tx.commit().await?;
        let sign_in = SignIn::from(&current.session);
        let approved = Decision::Approved { sign_in };
        (Kind::DeviceApproved, approved)
    } else {
        (Kind::DeviceDenied, Decision::Denied)
    };
    if !store::decide(&app.tickets, open, decision).await? {
        return Ok(false);
    }
    metrics::device(if is_allowed { "approved" } else { "denied" });
    let tx = app.db.begin().await?;
    Event::new(kind)
        .user(current.user.id)
        .session(current.session.id)
        .client(Some(&client.client_id))
        .caller(&context.caller.network, &context.caller.request_id)
        .record(&tx)
        .await?;
    tx.commit().await?;
    Ok(true)
}

fn render_code_form(
    app: &App,
    context: &RequestContext,
    entered: &str,
    error: Option<&'static str>,
) -> Response {
    let page = CodePage {
        localizer: &context.localizer,
        entered,
        error: error.map(|key| context.localizer.text(key)),
        form_token: &context.session_form_token(app, CODE_FORM),
    };
    context.with_pre_login_cookie(render_page(&page, context.page_options.clone()))
}

async fn render_question(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
    (code, open, client): (&UserCode, &OpenRequest, &Client),
) -> Result<Response, PageError> {
    let address = user::primary_address(app.db.read(), current.user.id).await?;
    let request = &open.request;
    let scopes = consent_scopes(&request.scope, "");
    let (config, localizer) = (&context.config, &context.localizer);
    let page = QuestionPage {
        localizer,
        client: &client.name,
        email: &address.map_or_else(String::new, |address| user::shown_address(&address.email)),
        code: &code.shown(),
        started: localizer.date_time(request.started_at),
        network: &request.network,
        is_same_network: request.network == context.caller.network,
        words: &ScopeWords::load(config, localizer, scopes.split_ascii_whitespace()),
        form_token: &context.session_form_token(app, &decision_form(code)),
    };
    Ok(render_page(&page, context.page_options.clone()))
}

fn render_done(context: &RequestContext, is_allowed: bool) -> Response {
    let page = DonePage {
        localizer: &context.localizer,
        is_allowed,
    };
    render_page(&page, context.page_options.clone())
}

/// Asks for the code that a device shows.
#[derive(Template)]
#[template(path = "oauth/device/code.html", config = ".askama.toml")]
struct CodePage<'a> {
    localizer: &'a Localizer,
    /// What the user entered before.
    entered: &'a str,
    error: Option<String>,
    form_token: &'a str,
}

impl PageContent for CodePage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("device-title")
    }
    fn status(&self) -> StatusCode {
        match self.error {
            Some(_) => StatusCode::BAD_REQUEST,
            None => StatusCode::OK,
        }
    }
}

/// Asks whether a device may use the account.
#[derive(Template)]
#[template(path = "oauth/device/question.html", config = ".askama.toml")]
struct QuestionPage<'a> {
    localizer: &'a Localizer,
    /// The name of the client.
    client: &'a str,
    /// The address of the signed-in user.
    email: &'a str,
    code: &'a str,
    /// When the device started, in the user's language.
    started: String,
    /// The network of the device.
    network: &'a str,
    /// The device asked from the network of this browser.
    is_same_network: bool,
    words: &'a ScopeWords,
    form_token: &'a str,
}

impl QuestionPage<'_> {
    fn with_client(&self, key: &str) -> String {
        let arguments = [
            ("client", self.client.to_owned()),
            ("email", self.email.to_owned()),
        ];
        self.localizer.html(key, &arguments)
    }

    fn lede(&self) -> String {
        let has_words = !self.words.general.is_empty() || !self.words.resources.is_empty();
        self.with_client(match has_words {
            true => "device-question-lede",
            false => "device-question-none",
        })
    }

    fn origin(&self) -> String {
        let arguments = [
            ("time", self.started.clone()),
            ("network", self.network.to_owned()),
        ];
        self.localizer.html("device-from", &arguments)
    }
}

impl PageContent for QuestionPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        let arguments = [("client", self.client.to_owned())];
        self.localizer
            .text_with("device-question-title", &arguments)
    }
}

/// Says what was decided.
#[derive(Template)]
#[template(path = "oauth/device/done.html", config = ".askama.toml")]
struct DonePage<'a> {
    localizer: &'a Localizer,
    is_allowed: bool,
}

impl PageContent for DonePage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        let key = match self.is_allowed {
            true => "device-allowed-title",
            false => "device-denied-title",
        };
        self.localizer.text(key)
    }
}
