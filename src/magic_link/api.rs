//! `/api/v1/auth/magic-link`: sign-in by mail for a first-party app that draws its own form.
//!
//! The PKCE challenge given at the start stands in place of the flow cookie everywhere: whoever brings its verifier
//! holds the flow (ST-09). Same limits, counters and answers as the pages.

use poem::{Request, http::StatusCode, web::Data};
use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json};
use uuid::Uuid;

use super::{
    code,
    consume::{self, Attempt, Consumed},
    request::{self, Ask, Asked},
};
use crate::{
    app::App,
    config::Reloadable,
    error::InfraError,
    login::{
        app_api::{self, Tokens},
        evidence::BrowserState,
        finish::SignedIn,
        first_party::{self, Issuance, IssuedTokens, TokenIssuer},
        flow::{self, Flow, FlowHolder},
    },
    pkce::{challenge_of, is_challenge, is_verifier},
    secret::Plain,
    telemetry::metrics,
    user::Address,
    web::{
        caller::Caller,
        error::{ApiError, BODY_REJECTED, UNAVAILABLE},
        problem::{Problem, ProblemJson},
    },
};

/// The sign-in API, first version.
#[derive(Clone, Copy, Debug)]
pub struct MagicLinkApi;

/// Ask for a mail.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct NewLogin {
    /// The registered first-party client.
    #[oai(validator(min_length = 1, max_length = 255))]
    pub client_id: String,
    /// The address to send link and code to.
    #[oai(validator(max_length = 1016))]
    pub email: String,
    /// PKCE challenge: base64url of SHA-256 of a verifier that the app keeps (RFC 7636).
    #[oai(validator(min_length = 43, max_length = 43))]
    pub code_challenge: String,
    /// Always `S256`.
    #[oai(validator(max_length = 16))]
    pub code_challenge_method: String,
    /// Language of the mail, as BCP 47 tags separated by spaces; else Accept-Language decides.
    #[oai(default, validator(max_length = 512))]
    pub ui_locales: String,
}

/// A login that has begun.
#[derive(Debug, Object)]
pub struct Begun {
    /// Names the login; worth nothing without the verifier.
    pub flow_id: String,
    /// Seconds until it ends by itself.
    pub expires_in: u64,
    /// Seconds until another mail may be asked for.
    pub resend_in: u64,
    /// Digits of the code in the mail.
    pub code_digits: u32,
}

/// Use the code from the mail, or the link's token if the app itself received the link.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct Consume {
    /// From the answer to the request.
    #[oai(validator(max_length = 36))]
    pub flow_id: String,
    /// The PKCE verifier of the challenge that began the login.
    #[oai(validator(max_length = 128))]
    pub code_verifier: String,
    /// The code that the person typed; spaces and dashes do not matter.
    #[oai(validator(max_length = 256))]
    pub code: Option<String>,
    /// The last part of the link in the mail, which belongs to `flow_id`.
    #[oai(validator(max_length = 64))]
    pub link_token: Option<String>,
    /// Scopes, separated by spaces.
    #[oai(default, validator(max_length = 1024))]
    pub scope: String,
    /// For the ID token.
    #[oai(validator(max_length = 384))]
    pub nonce: Option<String>,
}

/// Answers to a request for a mail.
#[derive(Debug, ApiResponse)]
pub enum RequestAnswer {
    /// Accepted, for known and unknown addresses alike. A mail may be on its way.
    #[oai(status = 202)]
    Accepted(Json<Begun>),
    /// Something in the request is wrong; `code` and `detail` say what.
    #[oai(status = 400)]
    Refused(ProblemJson),
    /// Too many requests from this network.
    #[oai(status = 429)]
    TooMany(ProblemJson),
}

/// Answers to the use of a code or link.
#[derive(Debug, ApiResponse)]
pub enum ConsumeAnswer {
    /// Signed in.
    #[oai(status = 200)]
    SignedIn(
        Json<Tokens>,
        /// Tokens are never cached.
        #[oai(header = "Cache-Control")]
        String,
    ),
    /// `invalid_request`: something is missing or malformed. `invalid_code`: wrong, expired, used or unknown; nothing
    /// tells which.
    #[oai(status = 400)]
    Refused(ProblemJson),
}

fn problem(status: StatusCode, code: &str, detail: &str) -> ProblemJson {
    ProblemJson(Problem::new(status, code, detail))
}

fn bad(code: &str, detail: &str) -> ProblemJson {
    problem(StatusCode::BAD_REQUEST, code, detail)
}

/// Sign-in by mail for first-party apps.
#[OpenApi(
    prefix_path = "/api/v1/auth/magic-link",
    tag = "crate::web::docs::ApiTag::SignIn"
)]
impl MagicLinkApi {
    /// Ask for a mail with a link and a code
    ///
    /// The answer is the same for every address. Keep the PKCE verifier: the login belongs to whoever has it.
    #[oai(path = "/request", method = "post", operation_id = "requestMagicLink")]
    async fn request(
        &self,
        app: Data<&App>,
        request: &Request,
        body: Json<NewLogin>,
    ) -> Result<RequestAnswer, ApiError<{ BODY_REJECTED | UNAVAILABLE }>> {
        let caller = Caller::from_request(request);
        app_api::allow_origins_of(&app, request, &body.0.client_id);
        Ok(match begin(&app, &body.0, &caller).await? {
            Ok(begun) => RequestAnswer::Accepted(Json(begun)),
            Err(refused) if refused.0.status == 429 => RequestAnswer::TooMany(refused),
            Err(refused) => RequestAnswer::Refused(refused),
        })
    }

    /// Use a code or a link
    ///
    /// Five tries a login. On success the answer is the token response.
    #[oai(path = "/consume", method = "post", operation_id = "consumeMagicLink")]
    async fn consume(
        &self,
        app: Data<&App>,
        tokens: Data<&TokenIssuer>,
        request: &Request,
        body: Json<Consume>,
    ) -> Result<ConsumeAnswer, ApiError<{ BODY_REJECTED | UNAVAILABLE }>> {
        Ok(Finish {
            app: &app,
            tokens: &tokens,
            request,
        }
        .answer(&body.0, &Caller::from_request(request))
        .await?)
    }
}

/// Begins a login for an app, under the same limits as the pages.
///
/// # Errors
/// If the database or the ticket store is away.
pub async fn begin(
    app: &App,
    new: &NewLogin,
    caller: &Caller,
) -> Result<Result<Begun, ProblemJson>, InfraError> {
    let config = app.config.get();
    if first_party::find_app(&config, &new.client_id).is_none() {
        return Ok(Err(bad(
            "invalid_client",
            "The client is unknown, or no first-party app without a secret.",
        )));
    }
    if new.code_challenge_method != "S256" || !is_challenge(&new.code_challenge) {
        return Ok(Err(bad(
            "invalid_request",
            "Send an S256 code_challenge: 43 characters of base64url.",
        )));
    }
    let Ok(address) = Address::parse(&new.email, config.magic_link.allow_eai) else {
        return Ok(Err(bad(
            "invalid_email",
            "This is not an e-mail address that mail can be sent to.",
        )));
    };
    let localizer = app
        .texts
        .negotiate(&new.ui_locales, &caller.accept_language);
    let ask = Ask {
        holder: FlowHolder::App(new.code_challenge.clone()),
        address: &address,
        client_id: Some(&new.client_id),
        locale: &localizer.tag,
        device: None,
        remembered: true,
        destination: None,
        link: None,
        caller,
    };
    Ok(match request::request(app, &config, ask).await? {
        Asked::Accepted(flow) | Asked::Wait(flow) => Ok(begun(app, &flow, &config)),
        Asked::TooMany(wait) => Err(too_many(wait)),
        Asked::NoFlow => Err(bad("invalid_request", "There is no such login.")),
    })
}

fn too_many(wait: std::time::Duration) -> ProblemJson {
    let seconds = u32::try_from(wait.as_secs().max(1)).unwrap_or(u32::MAX);
    let words = "Too many requests from this network. Wait, then try again.";
    ProblemJson(
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", words)
            .with_retry_after(seconds),
    )
}

fn begun(app: &App, flow: &Flow, config: &Reloadable) -> Begun {
    let now = app.clock().now();
    Begun {
        flow_id: flow.id.to_string(),
        expires_in: flow.expires_at.since(now).as_secs(),
        resend_in: flow.next_send_at.since(now).as_secs(),
        code_digits: config.magic_link.code_digits,
    }
}

/// What the end of a login needs.
pub(super) struct Finish<'a> {
    pub(super) app: &'a App,
    pub(super) tokens: &'a TokenIssuer,
    pub(super) request: &'a Request,
}

impl Finish<'_> {
    /// Uses a code or a link, and answers.
    pub(super) async fn answer(
        &self,
        body: &Consume,
        caller: &Caller,
    ) -> Result<ConsumeAnswer, InfraError> {
        Ok(match self.finish(body, caller).await? {
            Ok(tokens) => ConsumeAnswer::SignedIn(Json(tokens), "no-store".to_owned()),
            Err(refused) => ConsumeAnswer::Refused(refused),
        })
    }

    async fn finish(
        &self,
        body: &Consume,
        caller: &Caller,
    ) -> Result<Result<Tokens, ProblemJson>, InfraError> {
        let wrong = || {
            Ok(Err(bad(
                "invalid_code",
                "The code is wrong, expired or used. Ask for another mail.",
            )))
        };
        if !is_verifier(&body.code_verifier) || body.code.is_some() == body.link_token.is_some() {
            let words = "Send flow_id, code_verifier, and either code or link_token.";
            return Ok(Err(bad("invalid_request", words)));
        }
        let Ok(id) = Uuid::try_parse(&body.flow_id) else {
            return wrong();
        };
        let config = self.app.config.get();
        let attempt = Attempt {
            holder: FlowHolder::App(challenge_of(&body.code_verifier)),
            browser_state: BrowserState::default(),
            switch: false,
            caller,
            config: &config,
            pepper: &self.app.macs.code,
            repeats: &self.app.macs.repeats,
        };
        let tx = self.app.db.begin().await?;
        let outcome = match (
            &body.code,
            body.link_token.as_deref().and_then(Plain::parse),
        ) {
            (Some(code), _) => code::consume(&tx, id, code, &attempt).await?,
            (None, Some(link)) => consume::by_link(&tx, &link.hash(), Some(id), &attempt).await?,
            (None, None) => return wrong(),
        };
        let Consumed::SignedIn(done, flow) = outcome else {
            tx.commit().await?;
            return wrong();
        };
        app_api::allow_origins_of(
            self.app,
            self.request,
            flow.client_id.as_deref().unwrap_or_default(),
        );
        let Some(issued) = self.issue(&tx, &done, &flow, body, &config, caller).await? else {
            tx.commit().await?;
            return wrong();
        };
        if let Some(client) = &flow.client_id {
            let client = client.clone();
            tx.on_commit(move || metrics::tokens("magic_link", &client));
        }
        tx.commit().await?;
        Ok(Ok(issued.into()))
    }

    /// None if the client is no longer registered, or the login was used up before: tokens are given once.
    async fn issue(
        &self,
        tx: &crate::db::Tx,
        done: &SignedIn,
        flow: &Flow,
        body: &Consume,
        config: &Reloadable,
        caller: &Caller,
    ) -> Result<Option<IssuedTokens>, InfraError> {
        let Some(client) = flow
            .client_id
            .as_deref()
            .and_then(|id| first_party::find_app(config, id))
        else {
            return Ok(None);
        };
        if flow::claim_outcome(tx, flow.id).await? {
            let (scope, nonce) = (body.scope.as_str(), body.nonce.as_deref());
            let issue = Issuance {
                client,
                session: &done.session,
                user: &done.user,
                scope,
                nonce,
            };
            return self.tokens.issue(tx, issue, caller).await.map(Some);
        }
        Ok(None)
    }
}
