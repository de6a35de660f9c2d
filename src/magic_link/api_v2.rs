//! `/api/v2/logins`: sign-in as one resource. Create a login, read or stream its state, submit its code.
//!
//! The API is behind `api.v2_enabled`. Only the app that started a login may read it: it sends its PKCE
//! verifier in the header `Code-Verifier`. For every other caller the login does not exist. No cookie is
//! read here (ST-06).

use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use poem::{Request, http::StatusCode, web::Data};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path},
    payload::{EventStream, Json},
};
use uuid::Uuid;

use super::{
    api::FinishResponse,
    app_login::{LoginFinisher, LoginProof, NewLogin, StartError, StartedLogin, start_login},
    login_events::{LoginState, LoginStream},
    open_streams::StreamSlot,
};
use crate::{
    app::App,
    error::InfraError,
    login::{
        app_api,
        first_party::TokenIssuer,
        flow::{self, Flow, FlowHolder},
    },
    pkce::{challenge_of, is_verifier},
    web::{
        caller::Caller,
        error::{ApiError, BODY_REJECTED, UNAVAILABLE},
        problem::{Problem, ProblemJson},
    },
};

/// How often a stream without events sends a comment, so that proxies keep it open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The second version of the sign-in API.
#[derive(Clone, Copy, Debug)]
pub struct LoginsApi;

/// The code of the login that the path names.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct LoginCode {
    /// The PKCE verifier of the challenge that started the login.
    #[oai(validator(max_length = 128))]
    pub code_verifier: String,
    /// The code that the user entered.
    #[oai(validator(max_length = 256))]
    pub code: String,
    /// Scopes, separated by spaces.
    #[oai(default, validator(max_length = 1024))]
    pub scope: String,
    /// The nonce of the ID token.
    #[oai(validator(max_length = 384))]
    pub nonce: Option<String>,
    /// As in the request that started the login.
    #[oai(validator(max_length = 64))]
    pub device_secret: Option<String>,
}

/// The response to a new login.
#[derive(Debug, ApiResponse)]
pub enum CreateResponse {
    /// Started, for known and unknown addresses alike.
    #[oai(status = 201)]
    Login(Json<StartedLogin>),
    /// The request is wrong. `code` and `detail` say what.
    #[oai(status = 400)]
    Refused(ProblemJson),
    /// Too many requests from this network.
    #[oai(status = 429)]
    TooMany(ProblemJson),
}

/// The response to a read of a login.
#[derive(Debug, ApiResponse)]
pub enum StateResponse {
    /// The state of the login.
    #[oai(status = 200)]
    Login(Json<LoginState>),
    /// There is no such login, or the caller did not start it.
    #[oai(status = 404)]
    Unknown(ProblemJson),
}

/// A login, as a stream of its states.
#[derive(ApiResponse)]
pub enum EventsResponse<T: Stream<Item = LoginState> + Send + 'static> {
    /// One event at once and one at each change. The stream ends with the login.
    #[oai(status = 200)]
    Events(EventStream<T>),
    /// There is no such login, or the caller did not start it.
    #[oai(status = 404)]
    Unknown(ProblemJson),
}

impl<T: Stream<Item = LoginState> + Send + 'static> std::fmt::Debug for EventsResponse<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventsResponse(…)")
    }
}

fn unknown_login() -> ProblemJson {
    let detail = "There is no such login, or you did not start it.";
    ProblemJson(Problem::new(StatusCode::NOT_FOUND, "not_found", detail))
}

/// Sign-in as one resource.
#[OpenApi(
    prefix_path = "/api/v2/logins",
    tag = "crate::web::docs::ApiTag::Logins"
)]
impl LoginsApi {
    /// Start a login
    ///
    /// Sends an email with a link and a code. The response is the same for every address.
    #[oai(path = "/", method = "post", operation_id = "createLogin")]
    async fn create(
        &self,
        app: Data<&App>,
        request: &Request,
        body: Json<NewLogin>,
    ) -> Result<CreateResponse, ApiError<{ BODY_REJECTED | UNAVAILABLE }>> {
        app_api::allow_origins_of(&app, request, &body.0.client_id);
        let caller = Caller::from_request(request);
        Ok(match start_login(&app, &body.0, &caller).await {
            Ok(started) => CreateResponse::Login(Json(started)),
            Err(error @ StartError::RateLimited(_)) => {
                CreateResponse::TooMany(error.into_problem()?)
            }
            Err(error) => CreateResponse::Refused(error.into_problem()?),
        })
    }

    /// Read the state of a login
    ///
    /// Poll it where a stream of events is not at hand. It names no user.
    #[oai(path = "/:id", method = "get", operation_id = "readLogin")]
    async fn read(
        &self,
        app: Data<&App>,
        request: &Request,
        /// The login.
        id: Path<String>,
        /// The PKCE verifier of the challenge that started the login. Without it there is no such login.
        #[oai(name = "Code-Verifier")]
        verifier: Header<Option<String>>,
    ) -> Result<StateResponse, ApiError<UNAVAILABLE>> {
        Ok(
            match find_own(&app, request, &id.0, verifier.0.as_deref()).await? {
                Some((flow, _)) => StateResponse::Login(Json(LoginState::of(&app, &flow))),
                None => StateResponse::Unknown(unknown_login()),
            },
        )
    }

    /// Follow a login
    ///
    /// Server-sent events: the state now, and again at each change, until the login is consumed or has
    /// ended. A login has one stream: a newer one ends the older. A stream may end early; connect again, or read
    /// the state.
    #[oai(path = "/:id/events", method = "get", operation_id = "followLogin")]
    async fn events(
        &self,
        app: Data<&App>,
        request: &Request,
        /// The login.
        id: Path<String>,
        /// The PKCE verifier of the challenge that started the login. Without it there is no such login.
        #[oai(name = "Code-Verifier")]
        verifier: Header<Option<String>>,
    ) -> Result<EventsResponse<BoxStream<'static, LoginState>>, ApiError<UNAVAILABLE>> {
        let found = find_own(&app, request, &id.0, verifier.0.as_deref()).await?;
        let Some((flow, holder)) = found else {
            return Ok(EventsResponse::Unknown(unknown_login()));
        };
        let first = LoginState::of(&app, &flow);
        let caller = Caller::from_request(request).ip;
        let slot = first.is_open().then(|| StreamSlot::open(flow.id, caller));
        let stream = LoginStream {
            app: App::clone(&app),
            flow_id: flow.id,
            holder,
            slot,
        };
        let events = EventStream::new(stream.states(first).boxed());
        Ok(EventsResponse::Events(events.keep_alive(KEEP_ALIVE)))
    }

    /// Submit the code of a login
    ///
    /// A login allows five attempts. On success the response has the tokens. With a proof in the header
    /// `DPoP` (RFC 9449) they are bound to its key.
    #[oai(path = "/:id/code", method = "post", operation_id = "submitCode")]
    #[expect(
        clippy::too_many_arguments,
        reason = "poem-openapi reads one part of the request from each argument"
    )]
    async fn code(
        &self,
        app: Data<&App>,
        issuer: Data<&TokenIssuer>,
        request: &Request,
        /// The login.
        id: Path<String>,
        body: Json<LoginCode>,
    ) -> Result<FinishResponse, ApiError<{ BODY_REJECTED | UNAVAILABLE }>> {
        let body = body.0;
        let path = format!("/api/v2/logins/{}/code", id.0);
        let proof = LoginProof {
            flow_id: id.0,
            code_verifier: body.code_verifier,
            code: Some(body.code),
            link_token: None,
            scope: body.scope,
            nonce: body.nonce,
            device_secret: body.device_secret,
        };
        let result = LoginFinisher::new(&app, &issuer, request, &path)
            .finish(&proof)
            .await;
        Ok(FinishResponse::from_result(result)?)
    }
}

/// Returns the login that was started with the challenge of this verifier, and its holder. Then only
/// pages of its client may read the response.
async fn find_own(
    app: &App,
    request: &Request,
    id: &str,
    verifier: Option<&str>,
) -> Result<Option<(Flow, FlowHolder)>, InfraError> {
    let Some(verifier) = verifier.filter(|verifier| is_verifier(verifier)) else {
        return Ok(None);
    };
    let Ok(id) = Uuid::try_parse(id) else {
        return Ok(None);
    };
    let holder = FlowHolder::App(challenge_of(verifier));
    let Some(flow) = flow::find_held(app.db.read(), id, &holder).await? else {
        return Ok(None);
    };
    let client_id = flow.client_id.as_deref().unwrap_or_default();
    app_api::allow_origins_of(app, request, client_id);
    Ok(Some((flow, holder)))
}
