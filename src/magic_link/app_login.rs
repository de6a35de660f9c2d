//! Sign-in by email for a first-party app that draws its own form: what both versions of the API share.
//!
//! The PKCE challenge that the app sends at the start takes the place of the flow cookie: the caller who
//! sends its verifier holds the flow (ST-09). Limits, counters and responses are those of the pages.

use std::{sync::Arc, time::Duration};

use poem::{Request, http::StatusCode};
use poem_openapi::Object;
use uuid::Uuid;

use super::{
    code::{self, EnteredCode},
    consume::{ConsumeAttempt, ConsumeOutcome, LookUpError, consume_link, look_up_link},
    refusal::ConsumeRefusal,
    request::{self, SignInRequest, StartOutcome},
    token::FoundLink,
};
use crate::{
    app::App,
    config::Reloadable,
    db::Tx,
    dpop::{self, CheckedProof, ProofTarget},
    error::InfraError,
    login::{
        app_api::{self, PossessionError, Tokens},
        authenticate::BrowserState,
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
        problem::{Problem, ProblemJson},
    },
};

/// A request for a sign-in email.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct NewLogin {
    /// The registered first-party client.
    #[oai(validator(min_length = 1, max_length = 255))]
    pub client_id: String,
    /// The address to which the link and the code are sent.
    #[oai(validator(max_length = 1016))]
    pub email: String,
    /// PKCE challenge: base64url of the SHA-256 of a verifier that the app keeps (RFC 7636).
    #[oai(validator(min_length = 43, max_length = 43))]
    pub code_challenge: String,
    /// Always `S256`.
    #[oai(validator(max_length = 16))]
    pub code_challenge_method: String,
    /// The languages of the email, as BCP 47 tags separated by spaces. Without them `Accept-Language`
    /// decides.
    #[oai(default, validator(max_length = 512))]
    pub ui_locales: String,
    /// The `device_secret` that came with the tokens of an earlier login with this address. One that is
    /// unknown or expired counts as none.
    #[oai(validator(max_length = 64))]
    pub device_secret: Option<String>,
}

/// A login that has started.
#[derive(Debug, Object)]
pub struct StartedLogin {
    /// The id of the login. Without the verifier it is worth nothing.
    pub flow_id: String,
    /// Seconds until the login expires.
    pub expires_in: u64,
    /// Seconds until another email can be requested.
    pub resend_in: u64,
    /// The number of digits of the code in the email.
    pub code_digits: u32,
    /// Present if no email goes to this address for now, whether or not a user has it: too many were
    /// requested. Seconds until another may be requested. A device with its `device_secret` is spared
    /// this.
    #[oai(skip_serializing_if_is_none)]
    pub withheld_for: Option<u64>,
}

/// The use of the code in the email, or of the link's token if the app itself received the link.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct LoginProof {
    /// From the response to the request.
    #[oai(validator(max_length = 36))]
    pub flow_id: String,
    /// The PKCE verifier of the challenge that started the login.
    #[oai(validator(max_length = 128))]
    pub code_verifier: String,
    /// The code that the user entered. Spaces and dashes are ignored.
    #[oai(validator(max_length = 256))]
    pub code: Option<String>,
    /// The last part of the link in the email, which belongs to `flow_id`.
    #[oai(validator(max_length = 64))]
    pub link_token: Option<String>,
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

/// Why a login does not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("{NOT_AN_APP}", NOT_AN_APP = first_party::NOT_AN_APP)]
    UnknownClient,
    #[error("Send an S256 code_challenge: 43 characters of base64url.")]
    InvalidChallenge,
    #[error("This is not an email address that we can send to.")]
    InvalidAddress,
    #[error("Too many requests from this network. Wait, then try again.")]
    RateLimited(Duration),
    #[error(transparent)]
    Infra(#[from] InfraError),
}

impl StartError {
    /// Returns the problem for the caller; an infrastructure error is none of theirs.
    pub(super) fn into_problem(self) -> Result<ProblemJson, InfraError> {
        let detail = self.to_string();
        let bad_request = |code| {
            Ok(ProblemJson(Problem::new(
                StatusCode::BAD_REQUEST,
                code,
                &detail,
            )))
        };
        match self {
            Self::UnknownClient => bad_request("invalid_client"),
            Self::InvalidChallenge => bad_request("invalid_request"),
            Self::InvalidAddress => bad_request("invalid_email"),
            Self::RateLimited(wait) => {
                let seconds = u32::try_from(wait.as_secs().max(1)).unwrap_or(u32::MAX);
                let status = StatusCode::TOO_MANY_REQUESTS;
                let problem = Problem::new(status, "too_many_requests", &detail);
                Ok(ProblemJson(problem.with_retry_after(seconds)))
            }
            Self::Infra(error) => Err(error),
        }
    }
}

/// Starts a login for an app, under the same limits as the pages.
pub(super) async fn start_login(
    app: &App,
    new: &NewLogin,
    caller: &Caller,
) -> Result<StartedLogin, StartError> {
    let config = app.config.get();
    if first_party::find_app(&config, &new.client_id).is_none() {
        return Err(StartError::UnknownClient);
    }
    if new.code_challenge_method != "S256" || !is_challenge(&new.code_challenge) {
        return Err(StartError::InvalidChallenge);
    }
    let address = Address::parse_entered(&new.email, config.magic_link.allow_eai)
        .map_err(|_| StartError::InvalidAddress)?;
    let accepted = &caller.accept_language;
    let localizer = app.texts.negotiate(&new.ui_locales, accepted);
    let request = SignInRequest {
        holder: FlowHolder::App(new.code_challenge.clone()),
        address: &address,
        client_id: Some(&new.client_id),
        locale: &localizer.tag,
        device: parse_device_secret(new.device_secret.as_deref()).map(|secret| secret.hash()),
        remembered: true,
        destination: None,
        link: None,
        caller,
    };
    let flow = match request::start(app, &config, request).await? {
        StartOutcome::Accepted(flow) => flow,
        StartOutcome::RateLimited(wait) => return Err(StartError::RateLimited(wait)),
    };
    let now = app.clock().now();
    Ok(StartedLogin {
        flow_id: flow.id.to_string(),
        expires_in: flow.expires_at.since(now).as_secs(),
        resend_in: flow.next_send_at.since(now).as_secs(),
        code_digits: config.magic_link.code_digits,
        withheld_for: flow.withheld_until.map(|until| until.since(now).as_secs()),
    })
}

/// Returns a device secret. One in no form of ours counts as none: an app that kept a wrong one must
/// still be able to sign its user in.
fn parse_device_secret(text: Option<&str>) -> Option<Plain> {
    text.and_then(Plain::parse)
}

/// Why a login does not finish. One error for wrong, expired, used and unknown codes: the response does
/// not tell them apart (D4). Only the user of the mailbox learns that a right code came too late.
#[derive(Debug, thiserror::Error)]
pub(super) enum FinishError {
    #[error("Send flow_id, code_verifier, and either code or link_token.")]
    InvalidRequest,
    #[error("The code is wrong, expired or used. Request another email.")]
    InvalidCode,
    #[error(
        "The code is right, but too many wrong codes were entered for this address. Request another email: its code will \
         work."
    )]
    RightCodeTooLate,
    #[error(transparent)]
    Possession(#[from] PossessionError),
    #[error(transparent)]
    Infra(#[from] InfraError),
}

impl From<LookUpError> for FinishError {
    fn from(error: LookUpError) -> Self {
        match error {
            LookUpError::Refused(outcome) => Self::of(&outcome),
            LookUpError::Infra(error) => Self::Infra(error),
        }
    }
}

/// What the caller proves its sign-in by, in the flow that it holds.
enum HeldSecret {
    Code(EnteredCode),
    Link(FoundLink),
}

impl HeldSecret {
    const fn flow(&self) -> &Flow {
        match self {
            Self::Code(code) => &code.flow,
            Self::Link(link) => &link.flow,
        }
    }
}

impl FinishError {
    /// Returns the error of an outcome that is no sign-in.
    const fn of(outcome: &ConsumeOutcome) -> Self {
        match outcome {
            ConsumeOutcome::Refused {
                reason: ConsumeRefusal::RightCodeTooLate,
                ..
            } => Self::RightCodeTooLate,
            _ => Self::InvalidCode,
        }
    }

    /// Returns the problem for the caller; an infrastructure error is none of theirs.
    pub(super) fn into_problem(self) -> Result<ProblemJson, InfraError> {
        let detail = self.to_string();
        let bad_request = |code| {
            Ok(ProblemJson(Problem::new(
                StatusCode::BAD_REQUEST,
                code,
                &detail,
            )))
        };
        match self {
            Self::InvalidRequest => bad_request("invalid_request"),
            Self::InvalidCode => bad_request("invalid_code"),
            Self::RightCodeTooLate => bad_request("code_locked"),
            Self::Possession(error) => error.into_problem(),
            Self::Infra(error) => Err(error),
        }
    }
}

/// Finishes the login of one request.
pub(super) struct LoginFinisher<'a> {
    app: &'a App,
    issuer: &'a TokenIssuer,
    request: &'a Request,
    /// The path of the endpoint, for which a proof of possession must be.
    path: &'a str,
    caller: Caller,
    config: Arc<Reloadable>,
    possession: Option<CheckedProof>,
}

impl<'a> LoginFinisher<'a> {
    pub(super) fn new(
        app: &'a App,
        issuer: &'a TokenIssuer,
        request: &'a Request,
        path: &'a str,
    ) -> Self {
        Self {
            app,
            issuer,
            request,
            path,
            caller: Caller::from_request(request),
            config: app.config.get(),
            possession: None,
        }
    }

    /// Uses a code or a link; returns the tokens and the nonce for the app's next proof. Refusals are committed.
    pub(super) async fn finish(
        mut self,
        proof: &LoginProof,
    ) -> Result<(Tokens, Option<String>), FinishError> {
        if !is_verifier(&proof.code_verifier) || proof.code.is_some() == proof.link_token.is_some()
        {
            return Err(FinishError::InvalidRequest);
        }
        let flow_id = Uuid::try_parse(&proof.flow_id).map_err(|_| FinishError::InvalidCode)?;
        self.possession = self.read_possession()?;
        let device = parse_device_secret(proof.device_secret.as_deref());
        let attempt = self.attempt(device.as_ref(), proof);
        let secret = self.look_up_secret(flow_id, proof, &attempt).await?;
        self.claim_possession(secret.flow()).await?;
        // Before the code is used: tokens may need the first RS256 key.
        self.app.keys.until_complete().await;
        let tx = self.app.db.begin().await?;
        let outcome = match secret {
            HeldSecret::Code(code) => code::consume(&tx, code, &attempt).await?,
            HeldSecret::Link(link) => consume_link(&tx, link, &attempt).await?,
        };
        let ConsumeOutcome::SignedIn(signed_in, flow) = outcome else {
            tx.commit().await?;
            return Err(FinishError::of(&outcome));
        };
        let client_id = flow.client_id.clone().unwrap_or_default();
        app_api::allow_origins_of(self.app, self.request, &client_id);
        let issued = self.issue(&tx, &signed_in, &flow, proof).await?;
        if issued.is_some() && flow.client_id.is_some() {
            tx.on_commit(move || metrics::tokens("magic_link", &client_id));
        }
        tx.commit().await?;
        let tokens = issued.map(Tokens::from).ok_or(FinishError::InvalidCode)?;
        let tokens = Tokens {
            device_secret: Some(signed_in.device.to_text()),
            ..tokens
        };
        let next_nonce = self.possession.as_ref().and_then(CheckedProof::next_nonce);
        Ok((tokens, next_nonce.map(str::to_owned)))
    }

    /// Reads the proof of possession of the request, if it shows one.
    fn read_possession(&self) -> Result<Option<CheckedProof>, PossessionError> {
        let target = ProofTarget {
            path: self.path,
            token: None,
        };
        Ok(dpop::read(self.app, &self.config, self.request, target)?)
    }

    /// Claims that proof, but not for a flow that takes no attempts: strangers can make it endless (PP-5).
    async fn claim_possession(&self, flow: &Flow) -> Result<(), PossessionError> {
        let (now, max_tries) = (self.app.clock().now(), self.config.limits.tries_per_flow);
        if self.possession.is_some() && !flow::takes_attempts(flow, now, max_tries) {
            return Ok(());
        }
        let client_id = flow.client_id.as_deref();
        let client = client_id.and_then(|id| first_party::find_app(&self.config, id));
        app_api::claim_proof(self.app, client, self.possession.as_ref(), &self.caller).await
    }

    fn attempt<'b>(&'b self, device: Option<&'b Plain>, proof: &LoginProof) -> ConsumeAttempt<'b> {
        ConsumeAttempt {
            holder: FlowHolder::App(challenge_of(&proof.code_verifier)),
            browser_state: BrowserState {
                device,
                ..BrowserState::default()
            },
            switch_confirmed: false,
            caller: &self.caller,
            config: &self.config,
            code_pepper: &self.app.macs.code,
            repeat_mac: &self.app.macs.repeats,
        }
    }

    /// Finds the flow of the code or the link.
    async fn look_up_secret(
        &self,
        flow_id: Uuid,
        proof: &LoginProof,
        attempt: &ConsumeAttempt<'_>,
    ) -> Result<HeldSecret, FinishError> {
        let (db, now) = (self.app.db.read(), self.app.clock().now());
        if let Some(code) = &proof.code {
            let code = code::look_up_code(db, flow_id, code, attempt).await?;
            return Ok(HeldSecret::Code(code));
        }
        let token = proof.link_token.as_deref().and_then(Plain::parse);
        let token = token.ok_or(FinishError::InvalidCode)?;
        let link = look_up_link(db, now, &token.hash(), Some(flow_id), attempt).await?;
        Ok(HeldSecret::Link(link))
    }

    /// Issues the tokens of a login, once. Returns `None` if its client is no longer registered, or if
    /// they were issued before.
    async fn issue(
        &self,
        tx: &Tx,
        signed_in: &SignedIn,
        flow: &Flow,
        proof: &LoginProof,
    ) -> Result<Option<IssuedTokens>, InfraError> {
        let client_id = flow.client_id.as_deref();
        let client = client_id.and_then(|id| first_party::find_app(&self.config, id));
        let Some(client) = client else {
            return Ok(None);
        };
        if !flow::claim_outcome(tx, flow.id).await? {
            return Ok(None);
        }
        let issuance = Issuance {
            client,
            session: &signed_in.session,
            user: &signed_in.user,
            scope: &proof.scope,
            nonce: proof.nonce.as_deref(),
            jkt: self.possession.as_ref().map(CheckedProof::jkt),
        };
        let issued = self.issuer.issue(tx, issuance, &self.caller).await?;
        Ok(Some(issued))
    }
}
