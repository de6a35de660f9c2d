//! `/api/v2/logins`: sign-in as one resource. Create a login, read or stream its state, submit its code.
//!
//! Behind `api.v2_enabled`. A login may be read by the app that began it, which shows its PKCE verifier in the header
//! `Code-Verifier`; to anybody else it does not exist. No cookie is read here (ST-06).

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream, stream::BoxStream};
use poem::{Request, http::StatusCode, web::Data};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path},
    payload::{EventStream, Json},
};
use uuid::Uuid;

use super::api::{self, Begun, Consume, ConsumeAnswer, Finish, NewLogin};
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

/// How often a stream looks.
const EVERY: Duration = Duration::from_secs(1);

/// Most streams of this process: each asks the database once a second.
const MOST_STREAMS: usize = 256;

/// Most streams of one login.
const MOST_STREAMS_A_LOGIN: usize = 4;

/// Most streams of one network, an IPv4 address or an IPv6 /64: so that a few do not take all.
const MOST_STREAMS_A_NETWORK: usize = 16;

/// The logins that are being followed by this process, and from which network, once a stream.
static FOLLOWED: Mutex<Vec<(Uuid, String)>> = Mutex::new(Vec::new());

/// A stream's place among the followed; given back when the stream is dropped.
struct Place(Uuid, String);

impl Place {
    fn take(id: Uuid, network: &str) -> Option<Self> {
        let mut followed = FOLLOWED.lock().unwrap_or_else(PoisonError::into_inner);
        let of_login = followed.iter().filter(|one| one.0 == id).count();
        let of_network = followed.iter().filter(|one| one.1 == network).count();
        if followed.len() >= MOST_STREAMS
            || of_login >= MOST_STREAMS_A_LOGIN
            || of_network >= MOST_STREAMS_A_NETWORK
        {
            return None;
        }
        followed.push((id, network.to_owned()));
        Some(Self(id, network.to_owned()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut followed = FOLLOWED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = followed
            .iter()
            .position(|one| one.0 == self.0 && one.1 == self.1)
        {
            followed.swap_remove(at);
        }
    }
}

/// The second version of the sign-in API.
#[derive(Clone, Copy, Debug)]
pub struct LoginsApi;

/// Where a login stands.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
pub struct LoginState {
    /// Names the login.
    pub id: String,
    /// `open`, `consumed` or `ended`.
    pub state: String,
    /// Seconds until it ends by itself.
    pub expires_in: u64,
}

/// A code, for a login named in the path.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct TypedCode {
    /// The PKCE verifier of the challenge that began the login.
    #[oai(validator(max_length = 128))]
    pub code_verifier: String,
    /// The code that the person typed.
    #[oai(validator(max_length = 256))]
    pub code: String,
    /// Scopes, separated by spaces.
    #[oai(default, validator(max_length = 1024))]
    pub scope: String,
    /// For the ID token.
    #[oai(validator(max_length = 384))]
    pub nonce: Option<String>,
}

/// Answers to a new login.
#[derive(Debug, ApiResponse)]
pub enum Created {
    /// Begun, for known and unknown addresses alike.
    #[oai(status = 201)]
    Login(Json<Begun>),
    /// Something in the request is wrong; `code` and `detail` say what.
    #[oai(status = 400)]
    Refused(ProblemJson),
    /// Too many requests from this network.
    #[oai(status = 429)]
    TooMany(ProblemJson),
}

/// Answers to a question for a login.
#[derive(Debug, ApiResponse)]
pub enum StateAnswer {
    /// Where it stands.
    #[oai(status = 200)]
    Login(Json<LoginState>),
    /// There is no such login, or the caller did not begin it.
    #[oai(status = 404)]
    Unknown(ProblemJson),
}

/// A login, as a stream of its states.
#[derive(ApiResponse)]
pub enum EventsAnswer<T: Stream<Item = LoginState> + Send + 'static> {
    /// One event at once and one at each change; ends with the login.
    #[oai(status = 200)]
    Events(EventStream<T>),
    /// There is no such login, or the caller did not begin it.
    #[oai(status = 404)]
    Unknown(ProblemJson),
    /// Too many streams follow this login, or come from this network or to this service: read the state instead.
    #[oai(status = 429)]
    TooMany(ProblemJson),
}

impl<T: Stream<Item = LoginState> + Send + 'static> std::fmt::Debug for EventsAnswer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventsAnswer(…)")
    }
}

fn unknown() -> ProblemJson {
    let words = "There is no such login, or you did not begin it.";
    ProblemJson(Problem::new(StatusCode::NOT_FOUND, "not_found", words))
}

/// Sign-in as one resource.
#[OpenApi(
    prefix_path = "/api/v2/logins",
    tag = "crate::web::docs::ApiTag::Logins"
)]
impl LoginsApi {
    /// Begin a login
    ///
    /// Sends a mail with a link and a code. The answer is the same for every address.
    #[oai(path = "/", method = "post", operation_id = "createLogin")]
    async fn create(
        &self,
        app: Data<&App>,
        request: &Request,
        body: Json<NewLogin>,
    ) -> Result<Created, ApiError<{ BODY_REJECTED | UNAVAILABLE }>> {
        let caller = Caller::from_request(request);
        app_api::allow_origins_of(&app, request, &body.0.client_id);
        Ok(match api::begin(&app, &body.0, &caller).await? {
            Ok(begun) => Created::Login(Json(begun)),
            Err(refused) if refused.0.status == 429 => Created::TooMany(refused),
            Err(refused) => Created::Refused(refused),
        })
    }

    /// Read where a login stands
    #[oai(path = "/:id", method = "get", operation_id = "readLogin")]
    async fn read(
        &self,
        app: Data<&App>,
        request: &Request,
        /// The login.
        id: Path<String>,
        /// The PKCE verifier of the challenge that began the login. Without it there is no such login.
        #[oai(name = "Code-Verifier")]
        verifier: Header<Option<String>>,
    ) -> Result<StateAnswer, ApiError<UNAVAILABLE>> {
        Ok(
            match own(&app, request, &id.0, verifier.0.as_deref()).await? {
                Some((state, _)) => StateAnswer::Login(Json(state)),
                None => StateAnswer::Unknown(unknown()),
            },
        )
    }

    /// Follow a login
    ///
    /// Server-sent events: the state now, and again at each change, until the login is consumed or has ended.
    #[oai(path = "/:id/events", method = "get", operation_id = "followLogin")]
    async fn events(
        &self,
        app: Data<&App>,
        request: &Request,
        /// The login.
        id: Path<String>,
        /// The PKCE verifier of the challenge that began the login. Without it there is no such login.
        #[oai(name = "Code-Verifier")]
        verifier: Header<Option<String>>,
    ) -> Result<EventsAnswer<BoxStream<'static, LoginState>>, ApiError<UNAVAILABLE>> {
        let Some((first, holder)) = own(&app, request, &id.0, verifier.0.as_deref()).await? else {
            return Ok(EventsAnswer::Unknown(unknown()));
        };
        let caller = Caller::from_request(request);
        let Some(place) = Uuid::try_parse(&id.0)
            .ok()
            .and_then(|id| Place::take(id, &caller.network))
        else {
            let words = "Too many streams at once. Read the state of the login instead.";
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", words);
            return Ok(EventsAnswer::TooMany(ProblemJson(
                problem.with_retry_after(5),
            )));
        };
        let events = follow(App::clone(&app), id.0, holder, first, place).boxed();
        Ok(EventsAnswer::Events(
            EventStream::new(events).keep_alive(Duration::from_secs(15)),
        ))
    }

    /// Submit the code of a login
    #[oai(path = "/:id/code", method = "post", operation_id = "submitCode")]
    async fn code(
        &self,
        app: Data<&App>,
        tokens: Data<&TokenIssuer>,
        request: &Request,
        /// The login.
        id: Path<String>,
        body: Json<TypedCode>,
    ) -> Result<ConsumeAnswer, ApiError<{ BODY_REJECTED | UNAVAILABLE }>> {
        let body = body.0;
        let consume = Consume {
            flow_id: id.0,
            code_verifier: body.code_verifier,
            code: Some(body.code),
            link_token: None,
            scope: body.scope,
            nonce: body.nonce,
        };
        Ok(Finish {
            app: &app,
            tokens: &tokens,
            request,
        }
        .answer(&consume, &Caller::from_request(request))
        .await?)
    }
}

/// Where a login stands that was begun with the challenge of this verifier; from then on its client speaks, so that only
/// that one's pages read the answer.
async fn own(
    app: &App,
    request: &Request,
    id: &str,
    verifier: Option<&str>,
) -> Result<Option<(LoginState, FlowHolder)>, InfraError> {
    let Some(verifier) = verifier.filter(|verifier| is_verifier(verifier)) else {
        return Ok(None);
    };
    let holder = FlowHolder::App(challenge_of(verifier));
    let Some(flow) = held(app, id, &holder).await? else {
        return Ok(None);
    };
    app_api::allow_origins_of(app, request, flow.client_id.as_deref().unwrap_or_default());
    Ok(Some((state(app, &flow), holder)))
}

async fn held(app: &App, id: &str, holder: &FlowHolder) -> Result<Option<Flow>, InfraError> {
    let Ok(id) = Uuid::try_parse(id) else {
        return Ok(None);
    };
    flow::find_held(app.db.read(), id, holder).await
}

fn state(app: &App, flow: &Flow) -> LoginState {
    let now = app.clock().now();
    LoginState {
        id: flow.id.to_string(),
        state: flow::state_name(flow, now).to_owned(),
        expires_in: flow.expires_at.since(now).as_secs(),
    }
}

/// The first state, then each that differs from the one before; ends with the login, or when the database is away (the
/// caller connects again, as event streams do).
fn follow(
    app: App,
    id: String,
    holder: FlowHolder,
    first: LoginState,
    place: Place,
) -> impl Stream<Item = LoginState> + Send + 'static {
    struct Following {
        _place: Place,
        last: Option<String>,
        first: Option<LoginState>,
    }
    let start = Following {
        _place: place,
        last: None,
        first: Some(first),
    };
    stream::unfold(
        (app, id, holder, start),
        |(app, id, holder, mut at)| async move {
            if let Some(first) = at.first.take() {
                at.last = Some(first.state.clone());
                return Some((first, (app, id, holder, at)));
            }
            loop {
                if at.last.as_deref() != Some("open") {
                    return None;
                }
                tokio::time::sleep(EVERY).await;
                // Reload: a stream must not outlive the switch that allows it.
                if !app.config.get().api.v2_enabled {
                    return None;
                }
                let now = state(&app, &held(&app, &id, &holder).await.ok().flatten()?);
                if at.last.as_ref() != Some(&now.state) {
                    at.last = Some(now.state.clone());
                    return Some((now, (app, id, holder, at)));
                }
            }
        },
    )
}
