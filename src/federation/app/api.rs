//! `/api/v1/auth/oidc/{provider}`: sign-in with an upstream provider for a first-party app that draws its own form.
//!
//! `start` gives the address to open in the system's browser. The provider sends the person to our callback, and that
//! sends the app its code, at its registered URI, with its own `state`. `callback` gives tokens for the code and the
//! verifier of the challenge that began it. Same limits and refusals as the pages.

use std::time::Duration;

use poem::{Request, http::StatusCode, web::Data};
use poem_openapi::{ApiResponse, Object, OpenApi, param::Path, payload::Json};

use super::code::{Redeemable, Who, redeem};
use crate::{
    app::App,
    client::VerifiedRedirect,
    config::{Client, Reloadable},
    db::Tx,
    error::InfraError,
    federation::{
        error::{FederationError, RefusalCode},
        flow::state::{self, AppRequest, Intent, State},
        linking::settle::{LinkContext, LinkOutcome, settle_in},
        provider::{AuthorizationRequest, Providers},
        refusal::note,
    },
    limit,
    login::{
        evidence::BrowserState,
        first_party::{self, Issuance, IssuedTokens, TokenIssuer, Tokens},
    },
    pkce::{challenge_of, is_challenge, is_verifier},
    secret::Plain,
    session::{self, Session},
    telemetry::metrics,
    user::User,
    web::{
        caller::Caller,
        problem::{ApiError, BODY_REJECTED, Problem, ProblemJson, UNAVAILABLE},
    },
};

/// Sign-in with an upstream provider.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamApi;

/// Begin a sign-in with a provider.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct NewUpstreamLogin {
    /// The registered first-party client.
    #[oai(validator(min_length = 1, max_length = 255))]
    pub client_id: String,
    /// Where the code goes: one of the client's registered redirect URIs.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub redirect_uri: String,
    /// PKCE challenge: base64url of SHA-256 of a verifier that the app keeps (RFC 7636).
    #[oai(validator(min_length = 43, max_length = 43))]
    pub code_challenge: String,
    /// Always `S256`.
    #[oai(validator(max_length = 16))]
    pub code_challenge_method: String,
    /// Comes back with the code, as it was sent.
    #[oai(validator(max_length = 512))]
    pub state: Option<String>,
    /// Languages for the provider's pages, as BCP 47 tags separated by spaces; else Accept-Language decides.
    #[oai(default, validator(max_length = 512))]
    pub ui_locales: String,
}

/// A sign-in that has begun.
#[derive(Object)]
pub struct UpstreamBegun {
    /// To be opened in the system's browser, not in a view of the app (RFC 8252 §8.12).
    pub authorization_url: String,
    /// Seconds until it ends by itself.
    pub expires_in: u64,
}

/// Redeem the code that came to the redirect URI.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub struct UpstreamCallback {
    /// From the redirect URI's query.
    #[oai(validator(max_length = 64))]
    pub code: String,
    /// The PKCE verifier of the challenge that began the sign-in.
    #[oai(validator(max_length = 128))]
    pub code_verifier: String,
    /// Scopes, separated by spaces.
    #[oai(default, validator(max_length = 1024))]
    pub scope: String,
    /// For the ID token.
    #[oai(validator(max_length = 384))]
    pub nonce: Option<String>,
}

/// Answers to a start.
#[derive(Debug, ApiResponse)]
pub enum StartAnswer {
    /// Begun.
    #[oai(status = 200)]
    Begun(
        Json<UpstreamBegun>,
        /// The address holds a secret.
        #[oai(header = "Cache-Control")]
        String,
    ),
    /// `invalid_client`, `invalid_request`: `detail` says what is wrong.
    #[oai(status = 400)]
    Refused(ProblemJson),
    /// `unknown_provider`: there is none of this name, or it is switched off.
    #[oai(status = 404)]
    NoProvider(ProblemJson),
    /// Too many requests from this network.
    #[oai(status = 429)]
    TooMany(ProblemJson),
    /// `provider_away`: the provider cannot be reached just now; sign-in by mail can. `temporarily_unavailable`:
    /// something that we need is away. Wait for what Retry-After says.
    #[oai(status = 503)]
    Away(ProblemJson),
}

/// Answers to a code.
#[derive(Debug, ApiResponse)]
pub enum CallbackAnswer {
    /// Signed in.
    #[oai(status = 200)]
    SignedIn(
        Json<Tokens>,
        /// Tokens are never cached.
        #[oai(header = "Cache-Control")]
        String,
    ),
    /// `invalid_request`: something is malformed. `invalid_code`: wrong, expired, used, or another app's or provider's;
    /// nothing tells which.
    #[oai(status = 400)]
    Refused(ProblemJson),
}

fn problem(status: StatusCode, code: &str, detail: &str) -> ProblemJson {
    ProblemJson(Problem::new(status, code, detail))
}

fn bad(code: &str, detail: &str) -> ProblemJson {
    problem(StatusCode::BAD_REQUEST, code, detail)
}

fn too_many(wait: Duration) -> ProblemJson {
    let seconds = u32::try_from(wait.as_secs().max(1)).unwrap_or(u32::MAX);
    let words = "Too many requests from this network. Wait, then try again.";
    ProblemJson(
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", words)
            .with_retry_after(seconds),
    )
}

/// Sign-in with an upstream provider for first-party apps.
#[OpenApi(
    prefix_path = "/api/v1/auth/oidc",
    tag = "crate::web::tags::Tag::SignIn"
)]
impl UpstreamApi {
    /// Begin a sign-in with a provider
    ///
    /// Open the address of the answer in the system's browser. When the person is back, the redirect URI gets `code`,
    /// `state` and `iss`, or `error`. Where an address must be proven first, the person does so in the browser.
    #[oai(
        path = "/:provider/start",
        method = "post",
        operation_id = "startUpstream"
    )]
    async fn start(
        &self,
        app: Data<&App>,
        providers: Data<&Providers>,
        request: &Request,
        /// The provider's name in our configuration.
        #[oai(validator(max_length = 64))]
        provider: Path<String>,
        body: Json<NewUpstreamLogin>,
    ) -> Result<StartAnswer, ApiError<BODY_REJECTED>> {
        first_party::allow_origins_of(&app, request, &body.0.client_id);
        Ok(begin(
            &app,
            &providers,
            &provider.0,
            &body.0,
            &Caller::from_request(request),
        )
        .await?)
    }

    /// Redeem the code of a sign-in with a provider
    ///
    /// The code is good once, for a minute, and only with the verifier. The answer is the token response.
    #[oai(
        path = "/:provider/callback",
        method = "post",
        operation_id = "finishUpstream"
    )]
    async fn callback(
        &self,
        app: Data<&App>,
        tokens: Data<&TokenIssuer>,
        request: &Request,
        /// The provider's name in our configuration.
        #[oai(validator(max_length = 64))]
        provider: Path<String>,
        body: Json<UpstreamCallback>,
    ) -> Result<CallbackAnswer, ApiError<{ BODY_REJECTED | UNAVAILABLE }>> {
        let (id, caller) = (provider.0.as_str(), &Caller::from_request(request));
        let finish = Finish {
            app: &app,
            tokens: &tokens,
            id,
            body: &body.0,
            request,
            caller,
        };
        Ok(match finish.run().await? {
            Ok(issued) => CallbackAnswer::SignedIn(Json(issued.into()), "no-store".to_owned()),
            Err(refused) => {
                note(&app, caller, None, &refused, id).await?;
                let words = "The code is wrong, expired or used. Begin the sign-in again.";
                CallbackAnswer::Refused(bad("invalid_code", words))
            }
        })
    }
}

impl std::fmt::Debug for UpstreamBegun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address carries the state.
        f.debug_struct("UpstreamBegun")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for UpstreamCallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamCallback")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

async fn begin(
    app: &App,
    providers: &Providers,
    id: &str,
    new: &NewUpstreamLogin,
    caller: &Caller,
) -> Result<StartAnswer, InfraError> {
    let config = app.config.get();
    let for_app = match for_app(&config, id, new) {
        Ok(for_app) => for_app,
        Err((code, words)) => return Ok(StartAnswer::Refused(bad(code, words))),
    };
    if let Some(wait) = limit::upstream(&app.tickets, caller.ip, &config.limits).await? {
        return Ok(StartAnswer::TooMany(too_many(wait)));
    }
    let localizer = app
        .texts
        .negotiate(&new.ui_locales, &caller.accept_language);
    Ok(
        match set_out(app, providers, &config, id, for_app, &localizer.tag).await {
            Ok(authorization_url) => {
                metrics::upstream_started(id);
                let begun = UpstreamBegun {
                    authorization_url,
                    expires_in: state::KEPT.as_secs(),
                };
                StartAnswer::Begun(Json(begun), "no-store".to_owned())
            }
            Err(refused) => {
                note(app, caller, None, &refused, id).await?;
                start_refused(refused.code)
            }
        },
    )
}

/// Who may begin, and where the code may go; else the code and words of a refusal.
fn for_app(
    config: &Reloadable,
    id: &str,
    new: &NewUpstreamLogin,
) -> Result<AppRequest, (&'static str, &'static str)> {
    let Some(client) = first_party::find_app(config, &new.client_id) else {
        return Err((
            "invalid_client",
            "The client is unknown, or no first-party app without a secret.",
        ));
    };
    if VerifiedRedirect::check(client, &new.redirect_uri).is_none() {
        return Err((
            "invalid_request",
            "The redirect_uri is not registered for this client.",
        ));
    }
    if new.code_challenge_method != "S256" || !is_challenge(&new.code_challenge) {
        return Err((
            "invalid_request",
            "Send an S256 code_challenge: 43 characters of base64url.",
        ));
    }
    Ok(AppRequest {
        client_id: new.client_id.clone(),
        provider: id.to_owned(),
        redirect_uri: new.redirect_uri.clone(),
        challenge: new.code_challenge.clone(),
        state: new.state.clone(),
    })
}

async fn set_out(
    app: &App,
    providers: &Providers,
    config: &Reloadable,
    id: &str,
    for_app: AppRequest,
    ui_locales: &str,
) -> Result<String, FederationError> {
    config
        .find_provider(id)
        .ok_or(RefusalCode::ProviderDisabled)?;
    let state = Plain::generate().to_text();
    let started = providers
        .start_authorization(
            id,
            AuthorizationRequest {
                state: &state,
                login_hint: None,
                ui_locales,
            },
        )
        .await?;
    let kept = State {
        record: started.record,
        intent: Intent::App(for_app),
        browser: None,
        session: None,
        user: None,
        at: app.clock().now(),
    };
    state::keep(&app.tickets, &state, &kept).await?;
    Ok(started.url)
}

fn start_refused(code: RefusalCode) -> StartAnswer {
    if code == RefusalCode::ProviderDisabled {
        let words = "There is no such provider, or it is switched off.";
        return StartAnswer::NoProvider(problem(StatusCode::NOT_FOUND, "unknown_provider", words));
    }
    let words = match code {
        RefusalCode::StoreDown => "The service cannot do that just now. Try again.",
        _ if code.alerts() => "The provider is not set up properly here. Sign in by e-mail.",
        _ => "The provider cannot be reached just now. Try again, or sign in by e-mail.",
    };
    let away = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "provider_away", words);
    StartAnswer::Away(ProblemJson(match code.retry_after() {
        Some(seconds) => away.with_retry_after(seconds),
        None => away,
    }))
}

/// What redeeming a code needs.
struct Finish<'a> {
    app: &'a App,
    tokens: &'a TokenIssuer,
    id: &'a str,
    body: &'a UpstreamCallback,
    request: &'a Request,
    caller: &'a Caller,
}

impl Finish<'_> {
    /// The tokens, or why not: for the trail alone.
    async fn run(&self) -> Result<Result<IssuedTokens, FederationError>, InfraError> {
        // switched off since the start.
        if self.app.config.get().find_provider(self.id).is_none() {
            return Ok(Err(RefusalCode::ProviderDisabled.into()));
        }
        if !is_verifier(&self.body.code_verifier) {
            return Ok(Err(FederationError::new(
                RefusalCode::AppCode,
                "no verifier",
            )));
        }
        let challenge = challenge_of(&self.body.code_verifier);
        let found = match redeem(&self.app.tickets, &self.body.code, self.id, &challenge).await? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        first_party::allow_origins_of(self.app, self.request, &found.for_app.client_id);
        let config = self.app.config.get();
        let Some(client) = first_party::find_app(&config, &found.for_app.client_id) else {
            return Ok(Err(FederationError::new(
                RefusalCode::AppCode,
                "its client is no app any more",
            )));
        };
        // Once more if another first sign-in of the same person was quicker (LK-09).
        for _ in 0..2 {
            let tx = self.app.db.begin().await?;
            match self.enter(&tx, &found).await? {
                Ok(Some((session, user))) => {
                    let issued = self.issue(&tx, client, &session, &user).await?;
                    tx.commit().await?;
                    return Ok(Ok(issued));
                }
                Ok(None) => {}
                Err(refused) => return Ok(Err(refused)),
            }
        }
        Ok(Err(FederationError::new(
            RefusalCode::AppCode,
            "what the callback found is no longer so",
        )))
    }

    /// Who is signed in; none if what the callback found is no longer so, and looking once more may help.
    async fn enter(
        &self,
        tx: &Tx,
        found: &Redeemable,
    ) -> Result<Result<Option<(Session, User)>, FederationError>, InfraError> {
        let config = self.app.config.get();
        match &found.who {
            Who::Session(id) => {
                let current = session::find_live(tx.conn(), *id, tx.now, &config.session).await?;
                let Some(current) = current else {
                    return Ok(Err(FederationError::new(
                        RefusalCode::AppCode,
                        "the session has ended",
                    )));
                };
                Ok(Ok(Some((current.session, current.user))))
            }
            Who::UpstreamLogin(came) => {
                let localizer = self.app.texts.negotiate("", &self.caller.accept_language);
                let at = LinkContext {
                    browser_state: BrowserState::default(),
                    connecting: false,
                    switch: false,
                    remembered: true,
                    locale: &localizer.tag,
                    caller: self.caller,
                };
                Ok(match settle_in(self.app, tx, came, at).await? {
                    Some(LinkOutcome::SignedIn(done)) => Ok(Some((done.session, done.user))),
                    Some(LinkOutcome::Refused(refused)) => Err(refused),
                    _ => Ok(None),
                })
            }
        }
    }

    async fn issue(
        &self,
        tx: &Tx,
        client: &Client,
        session: &Session,
        user: &User,
    ) -> Result<IssuedTokens, InfraError> {
        let (scope, nonce) = (self.body.scope.as_str(), self.body.nonce.as_deref());
        let issued = self
            .tokens
            .issue(
                tx,
                Issuance {
                    client,
                    session,
                    user,
                    scope,
                    nonce,
                },
                self.caller,
            )
            .await?;
        let client = client.client_id.clone();
        tx.on_commit(move || metrics::tokens("upstream", &client));
        Ok(issued)
    }
}
