//! `/upstream/{provider}/callback`: what a provider sends a browser back with (federation §4, in that order).
//!
//! A provider answers in the query of a GET, or posts a form across sites. Such a POST brings no Lax cookie, so it reads
//! none: it keeps the parameters for a minute under a fresh handle and leads to our own GET (CB-03).

use std::time::Duration;

use poem::{
    Body, Request, Response, handler,
    http::{Method, header},
    web::{Data, Path},
};
use serde::{Deserialize, Serialize};

use super::{
    complete::arrive,
    state::{self, Intent, State},
};
use crate::{
    app::App,
    config::Budget,
    federation::{
        app::code,
        error::{FederationError, RefusalCode, upstream_words},
        linking::settle::UpstreamLogin,
        provider::{AuthorizationResponse, Providers},
        refusal::{Next, Place, refuse},
    },
    limit,
    login::{PageError, RequestContext, context::see_other, page_error},
    secret::{Hash, Plain},
    ticket::{Claim, Kind},
    web::params::{ParamError, Params},
};

/// The longest answer that is taken (CB-02).
const MAX_ANSWER: usize = 8192;
/// The longest code.
const MAX_CODE: usize = 4096;
/// The longest `user`, which has a name in it: a longer one is left out.
const MAX_USER: usize = 2048;
/// How many answers a state may have waiting: a browser sends one, and one more where somebody went back.
const POSTED_A_STATE: [Budget; 1] = [Budget {
    count: 3,
    seconds: state::KEPT.as_secs(),
}];
/// How long posted parameters wait for our own GET.
const POSTED_KEPT: Duration = Duration::from_secs(60);

/// The parameters of an answer. No `Debug`: a code is in it.
#[derive(Default, Serialize, Deserialize)]
pub struct Given {
    state: String,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    user: Option<String>,
}

impl Given {
    /// CB-02: none of them twice, none too long, `state` as we make it. What we do not know is not looked at.
    fn read(params: &Params) -> Result<Self, FederationError> {
        let known = [
            "state",
            "code",
            "iss",
            "error",
            "error_description",
            "error_uri",
            "user",
            "session_state",
        ];
        for name in known {
            if let Err(ParamError::Repeated(_)) = params.check_all(&[name]) {
                return Err(FederationError::new(RefusalCode::ParamDuplicate, name));
            }
        }
        let malformed = |name: &'static str, code: RefusalCode| {
            move |_: ParamError| FederationError::new(code, name)
        };
        let state = params
            .optional_within("state", 43)
            .map_err(malformed("state", RefusalCode::StateMalformed))?;
        let state = state
            .filter(|state| is_state(state))
            .ok_or(RefusalCode::StateMalformed)?;
        let text = |name: &'static str, max: usize| {
            let value = params
                .optional_within(name, max)
                .map_err(malformed(name, RefusalCode::CodeMissing))?;
            Ok::<_, FederationError>(value.map(str::to_owned))
        };
        Ok(Self {
            state: state.to_owned(),
            code: text("code", MAX_CODE)?,
            iss: text("iss", 2048)?,
            error: text("error", 256)?,
            // Never shown, and for the log cut short: its length is no reason to refuse.
            error_description: params
                .optional_within("error_description", MAX_ANSWER)
                .ok()
                .flatten()
                .map(upstream_words),
            user: params
                .optional_within("user", MAX_USER)
                .ok()
                .flatten()
                .map(str::to_owned),
        })
    }

    fn answer(&self) -> AuthorizationResponse<'_> {
        AuthorizationResponse {
            code: self.code.as_deref(),
            iss: self.iss.as_deref(),
            error: self.error.as_deref(),
            error_description: self.error_description.as_deref(),
            user: self.user.as_deref(),
        }
    }
}

/// 43 characters of base64url, as `secret` writes 32 bytes.
fn is_state(text: &str) -> bool {
    text.len() == 43
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// CB-01: whether this provider answers in this way.
fn check_method(
    providers: &Providers,
    id: &str,
    method: &Method,
    posts: bool,
) -> Result<(), FederationError> {
    match providers.uses_form_post(id) {
        None => Err(RefusalCode::ProviderDisabled.into()),
        Some(form_post) if form_post == posts && method != Method::HEAD => Ok(()),
        Some(_) => Err(FederationError::new(RefusalCode::Method, method.as_str())),
    }
}

/// GET: the answer of a provider that puts it into the query. HEAD, which link previews send, spends nothing.
#[handler]
pub(crate) async fn callback(
    Data(app): Data<&App>,
    Data(providers): Data<&Providers>,
    Path(id): Path<String>,
    request: &Request,
) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let given =
            check_method(providers, &id, request.method(), false).and_then(|()| in_query(request));
        match given {
            Ok(given) => take(app, providers, &context, &id, &given).await,
            Err(refused) => outright(app, &context, &id, &refused, "POST").await,
        }
    })
    .await
}

/// Refuses what comes before any flow is known. `allow` is what the other kind of provider answers by (RFC 9110 §15.5.6).
async fn outright(
    app: &App,
    context: &RequestContext,
    id: &str,
    refused: &FederationError,
    allow: &'static str,
) -> Result<Response, PageError> {
    let place = Place {
        provider: id,
        next: Next::SignIn(None),
    };
    let mut response = refuse(app, context, refused, &place).await?;
    if refused.code == RefusalCode::Method {
        // A HEAD is refused where a GET is taken.
        let allow = if refused.detail == "HEAD" {
            "GET, POST"
        } else {
            allow
        };
        response
            .headers_mut()
            .insert(header::ALLOW, header::HeaderValue::from_static(allow));
    }
    Ok(response)
}

fn in_query(request: &Request) -> Result<Given, FederationError> {
    if request
        .uri()
        .query()
        .is_some_and(|query| query.len() > MAX_ANSWER)
    {
        return Err(FederationError::new(
            RefusalCode::StateMalformed,
            "the query is too long",
        ));
    }
    let params = Params::from_query(request)
        .map_err(|_| FederationError::new(RefusalCode::StateMalformed, "the query"))?;
    Given::read(&params)
}

/// POST: the answer of a provider that posts it, from its own site (CB-03).
#[handler]
pub(crate) async fn posted(
    Data(app): Data<&App>,
    Data(providers): Data<&Providers>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::without_cookies(app, request);
        let given = match in_form(app, providers, &id, request, body).await {
            Ok(given) => given,
            Err(refused) => return outright(app, &context, &id, &refused, "GET").await,
        };
        if let Some(wait) = over(app, &context, &given.state).await {
            return Err(PageError::TooManyRequests(wait));
        }
        match put_by(app, &given).await {
            Ok(handle) => Ok(see_other(&format!(
                "/upstream/{id}/callback/resume?h={}",
                handle.to_text()
            ))),
            Err(refused) => outright(app, &context, &id, &refused, "GET").await,
        }
    })
    .await
}

async fn in_form(
    app: &App,
    providers: &Providers,
    id: &str,
    request: &Request,
    body: Body,
) -> Result<Given, FederationError> {
    check_method(providers, id, request.method(), true)?;
    let params = Params::read_form(request, body)
        .await
        .map_err(|error| FederationError::new(RefusalCode::StateMalformed, error.to_string()))?;
    let given = Given::read(&params)?;
    state::waits(&app.tickets, &given.state).await?;
    Ok(given)
}

/// A POST spends no state, so one state could fill the ticket store: few a state, and all by the asker's network. With
/// the store away nothing can be kept in it either.
async fn over(app: &App, context: &RequestContext, state: &str) -> Option<Duration> {
    let state = Hash::of(state.as_bytes());
    let wait = limit::hit(&app.tickets, "posted answer", &state, &POSTED_A_STATE)
        .await
        .ok()
        .flatten();
    if wait.is_some() {
        return wait;
    }
    limit::upstream(&app.tickets, context.caller.ip, &context.config.limits)
        .await
        .ok()
        .flatten()
}

async fn put_by(app: &App, given: &Given) -> Result<Plain, FederationError> {
    let handle = Plain::generate();
    let value = serde_json::to_vec(given).map_err(|_| RefusalCode::StoreDown)?;
    let kept = app
        .tickets
        .issue(Kind::Returned, &handle.hash(), &value, POSTED_KEPT)
        .await;
    match kept.map_err(|failure| state::down(&failure))? {
        true => Ok(handle),
        false => Err(RefusalCode::StoreDown.into()),
    }
}

/// `GET /upstream/{provider}/callback/resume`: our own GET after such a POST; it brings the cookies.
#[handler]
pub(crate) async fn resume(
    Data(app): Data<&App>,
    Data(providers): Data<&Providers>,
    Path(id): Path<String>,
    request: &Request,
) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let given = match check_method(providers, &id, &Method::POST, true) {
            Ok(()) => put_by_before(app, request).await,
            Err(refused) => Err(refused),
        };
        match given {
            Ok(given) => take(app, providers, &context, &id, &given).await,
            Err(refused) => outright(app, &context, &id, &refused, "POST").await,
        }
    })
    .await
}

async fn put_by_before(app: &App, request: &Request) -> Result<Given, FederationError> {
    let unknown = || FederationError::new(RefusalCode::StateUnknown, "the handle");
    let params = Params::from_query(request).map_err(|_| unknown())?;
    let handle = params
        .optional_within("h", 43)
        .map_err(|_| unknown())?
        .and_then(Plain::parse)
        .ok_or_else(unknown)?;
    match app
        .tickets
        .claim(Kind::Returned, &handle.hash(), b"used", POSTED_KEPT)
        .await
    {
        Ok(Claim::Fresh(value)) => serde_json::from_slice(&value).map_err(|_| unknown()),
        Ok(Claim::Replayed(_)) => Err(RefusalCode::StateUsed.into()),
        Ok(Claim::Gone) => Err(unknown()),
        Err(failure) => Err(state::down(&failure)),
    }
}

/// CB-04 to CB-10. From the claim on the flow is spent, whatever follows.
async fn take(
    app: &App,
    providers: &Providers,
    context: &RequestContext,
    id: &str,
    given: &Given,
) -> Result<Response, PageError> {
    let state = match state::claim(&app.tickets, &given.state).await {
        Ok(state) => state,
        Err(refused) => return outright(app, context, id, &refused, "GET").await,
    };
    match identified(app, providers, context, id, given, &state).await {
        Ok(came) => arrive(app, context, &state, &came).await,
        Err(refused) => {
            let next = next(&app.public_url, context, id, &state, &refused);
            refuse(app, context, &refused, &Place { provider: id, next }).await
        }
    }
}

async fn identified(
    app: &App,
    providers: &Providers,
    context: &RequestContext,
    id: &str,
    given: &Given,
    state: &State,
) -> Result<UpstreamLogin, FederationError> {
    state::check(state, id, context, app.clock().now())?;
    state::check_session(state, context)?;
    Ok(UpstreamLogin::new(
        providers.identify(&state.record, &given.answer()).await?,
    ))
}

/// Where the person goes from a refusal. In another browser, or at another provider's address, nothing of the flow is
/// shown.
fn next<'a>(
    public_url: &str,
    context: &RequestContext,
    id: &str,
    state: &'a State,
    refused: &FederationError,
) -> Next<'a> {
    if refused.code == RefusalCode::BrowserMismatch || state.record.provider != id {
        return Next::SignIn(None);
    }
    match &state.intent {
        Intent::Login { txn } => Next::SignIn(txn.as_deref()),
        Intent::Link => Next::Account,
        Intent::App(for_app) => code::refused(public_url, context, for_app, refused),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Given, RefusalCode> {
        Given::read(
            &Params::from_form(query.as_bytes(), Some("application/x-www-form-urlencoded"))
                .unwrap(),
        )
        .map_err(|refused| refused.code)
    }

    const STATE: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNO-_";

    #[test]
    fn cb_02_a_repeated_parameter_is_refused_and_unknown_ones_are_not_looked_at() {
        for twice in ["state", "code", "iss", "error"] {
            let query = format!("state={STATE}&code=c&iss=i&error=e&{twice}=x");
            assert_eq!(
                read(&query).err(),
                Some(RefusalCode::ParamDuplicate),
                "{twice}"
            );
        }
        let given = read(&format!("state={STATE}&code=c&foo=1&foo=2")).unwrap();
        assert_eq!(
            (given.code.as_deref(), given.state.as_str()),
            (Some("c"), STATE)
        );
    }

    #[test]
    fn cb_02_state_is_exactly_43_characters_of_base64url() {
        let (short, long) = (&STATE[1..], format!("{STATE}a"));
        let others = [
            "",
            short,
            &long,
            &format!("{short}%00"),
            &format!("{short}%2B"),
            &format!("{short}."),
        ];
        for state in others {
            assert_eq!(
                read(&format!("state={state}&code=c")).err(),
                Some(RefusalCode::StateMalformed),
                "{state}"
            );
        }
        assert_eq!(read("code=c").err(), Some(RefusalCode::StateMalformed));
    }

    #[test]
    fn cb_03_a_user_of_any_length_takes_two_kibibytes_at_most() {
        let user = |length| {
            read(&format!("state={STATE}&code=c&user={}", "u".repeat(length)))
                .unwrap()
                .user
        };
        assert_eq!(
            (user(2048).map(|user| user.len()), user(2049)),
            (Some(2048), None)
        );
    }

    #[test]
    fn cb_02_an_over_long_code_is_none() {
        assert!(read(&format!("state={STATE}&code={}", "c".repeat(4096))).is_ok());
        assert_eq!(
            read(&format!("state={STATE}&code={}", "c".repeat(4097))).err(),
            Some(RefusalCode::CodeMissing)
        );
    }
}
