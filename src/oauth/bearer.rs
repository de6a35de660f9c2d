//! The access token of a request (RFC 6750 §2, RFC 9449 §7): where it stands, what it stands for, and
//! whether its sender has the key to which it is bound. Every endpoint that takes our access tokens
//! reads them here, and the responses to refused ones are here, too.

use poem::{
    Body, Request, Response,
    http::{HeaderValue, Method, StatusCode, header},
};

use super::{
    access_token::{self, ActiveToken, InactiveToken, TokenCheckError, UserParts},
    error::{INVALID_PROOF, OauthError, USE_NONCE, json_response, too_many, with_dpop_nonce},
    reason::Reason,
};
use crate::{
    app::App,
    config::Reloadable,
    dpop::{self, DpopError, ProofTarget},
    error::InfraError,
    key::{self, PROOF_ALGS},
    secret::Hash,
    ticket::Payer,
    web::{
        caller::Caller,
        params::{ParamError, Params},
        reason::RefusalReason,
    },
};

const MAX_TOKEN: usize = 16 * 1024;

/// An endpoint that takes access tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProtectedEndpoint {
    /// Its path below our public URL.
    pub(crate) path: &'static str,
    /// What it reads of the user.
    pub(crate) parts: UserParts,
}

/// How a request shows its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenScheme {
    /// As RFC 6750 says, in the header or in a form.
    Bearer,
    /// In the header, with a proof of possession.
    Dpop,
}

/// A request with a live access token that its sender may use.
#[derive(Debug)]
pub(crate) struct Bearer<'a> {
    pub(crate) token: ActiveToken<'a>,
    /// The nonce that the client's next proof shows.
    pub(crate) next_nonce: Option<String>,
    scheme: TokenScheme,
}

impl Bearer<'_> {
    /// Refuses the request for want of a scope.
    #[must_use]
    pub(crate) fn lacks_scope(&self, scope: &'static str) -> TokenRefusal {
        TokenRefusal {
            scheme: self.scheme,
            error: BearerError::InsufficientScope(scope),
        }
    }
}

/// Why a request with an access token is refused, and the scheme of the challenge.
#[derive(Debug)]
pub(crate) struct TokenRefusal {
    scheme: TokenScheme,
    error: BearerError,
}

impl From<InfraError> for TokenRefusal {
    fn from(error: InfraError) -> Self {
        Self {
            scheme: TokenScheme::Bearer,
            error: BearerError::Infra(error),
        }
    }
}

/// Why a request with an access token is refused (RFC 6750 §3.1, RFC 9449 §7.1).
#[derive(Debug, thiserror::Error)]
enum BearerError {
    /// The response then only names the schemes.
    #[error("the request has no token")]
    NoToken,
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("the token is not live: {0:?}")]
    InvalidToken(InactiveToken),
    #[error("the token lacks the scope {0}")]
    InsufficientScope(&'static str),
    #[error(transparent)]
    Proof(#[from] DpopError),
    #[error(transparent)]
    Infra(#[from] InfraError),
}

impl From<ParamError> for BearerError {
    fn from(_: ParamError) -> Self {
        Self::InvalidRequest("A parameter is repeated or malformed.")
    }
}

impl From<InactiveToken> for BearerError {
    fn from(why: InactiveToken) -> Self {
        Self::InvalidToken(why)
    }
}

impl From<TokenCheckError> for BearerError {
    fn from(error: TokenCheckError) -> Self {
        match error {
            TokenCheckError::Inactive(why) => Self::InvalidToken(why),
            TokenCheckError::Infra(error) => Self::Infra(error),
        }
    }
}

/// Reads the access token of a request, finds what it stands for, and demands the proof of a token that
/// is bound to a key.
///
/// # Errors
/// [`TokenRefusal`].
pub(crate) async fn authenticate<'a>(
    app: &App,
    config: &'a Reloadable,
    request: &Request,
    body: Body,
    endpoint: ProtectedEndpoint,
) -> Result<Bearer<'a>, TokenRefusal> {
    let read = read_token(request, body).await;
    let (scheme, text) = read.map_err(|error| TokenRefusal {
        scheme: TokenScheme::Bearer,
        error,
    })?;
    let refuse = |error| TokenRefusal { scheme, error };
    let found = access_token::find_active(app, config, &text, endpoint.parts).await;
    let token = found.map_err(|error| refuse(error.into()))?;
    let is_bound = key::bound_key(&token.claims).is_some();
    let next_nonce = match (scheme, is_bound) {
        (TokenScheme::Bearer, false) => None,
        // RFC 9449 §7.2: without its proof a bound token may be stolen.
        (TokenScheme::Bearer, true) => return Err(refuse(InactiveToken::Bound.into())),
        (TokenScheme::Dpop, false) => return Err(refuse(InactiveToken::Unbound.into())),
        (TokenScheme::Dpop, true) => {
            let target = ProofTarget {
                path: endpoint.path,
                token: Some(&text),
            };
            let proven = demand_proof(app, config, request, target, &token).await;
            proven.map_err(|error| refuse(error.into()))?
        }
    };
    Ok(Bearer {
        token,
        next_nonce,
        scheme,
    })
}

/// RFC 9449 §7.1: the proof is for this request and this token, by the key to which the token is
/// bound, and shown for the first time. Returns the nonce that the next proof shows.
async fn demand_proof(
    app: &App,
    config: &Reloadable,
    request: &Request,
    target: ProofTarget<'_>,
    token: &ActiveToken<'_>,
) -> Result<Option<String>, DpopError> {
    let proof = dpop::read_of_client(app, config, request, target, token.client)?;
    let proof = proof.ok_or(DpopError::Invalid(Reason::NoProof.as_str()))?;
    if key::bound_key(&token.claims) != Some(proof.jkt()) {
        return Err(DpopError::Invalid(Reason::ProofOtherKey.as_str()));
    }
    let payer = match &token.grant {
        Some(active) => Payer::User(active.holder.user.id),
        None => Payer::Client(Hash::of(token.client.client_id.as_bytes())),
    };
    dpop::claim(app, &proof, payer, &token.client.client_id).await?;
    Ok(proof.next_nonce().map(str::to_owned))
}

/// Reads the token: from the Authorization header or, with POST, from the form (RFC 6750 §2.1,
/// §2.2), never from the query (RFC 9700 §4.3.2). A token in the form is a bearer token.
async fn read_token(request: &Request, body: Body) -> Result<(TokenScheme, String), BearerError> {
    if Params::from_query(request)?.contains("access_token") {
        return Err(BearerError::InvalidRequest(
            "A token in the query is not accepted.",
        ));
    }
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    let mut found = headers.next().and_then(read_header);
    if headers.next().is_some() {
        return Err(BearerError::InvalidRequest(
            "The request has more than one Authorization header.",
        ));
    }
    if *request.method() == Method::POST && has_form(request) {
        let form = Params::read_form(request, body).await?;
        if let Some(token) = form.optional_within("access_token", MAX_TOKEN)? {
            let in_form = (TokenScheme::Bearer, token.to_owned());
            if found.replace(in_form).is_some() {
                return Err(BearerError::InvalidRequest(
                    "The request has more than one token.",
                ));
            }
        }
    }
    found.ok_or(BearerError::NoToken)
}

/// RFC 9110 §11.1: the scheme stands in any case.
fn read_header(value: &HeaderValue) -> Option<(TokenScheme, String)> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let scheme = if scheme.eq_ignore_ascii_case("bearer") {
        TokenScheme::Bearer
    } else if scheme.eq_ignore_ascii_case("dpop") {
        TokenScheme::Dpop
    } else {
        return None;
    };
    Some((scheme, token.trim().to_owned()))
}

fn has_form(request: &Request) -> bool {
    request
        .content_type()
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
}

/// What a refusal tells the client.
struct Words {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
    /// The reason for the log.
    reason: &'static str,
}

impl TokenRefusal {
    /// Logs the error and returns the response (RFC 6750 §3): a challenge, with an error only if
    /// the request has a token. Why a token is not live is for the log alone.
    pub(crate) fn into_response(self, caller: &Caller) -> Response {
        let words = match &self.error {
            BearerError::NoToken => {
                let response = Response::builder()
                    .status(StatusCode::UNAUTHORIZED)
                    .finish();
                let response = with_challenge(response, TokenScheme::Bearer, "");
                return with_challenge(response, TokenScheme::Dpop, "");
            }
            BearerError::Infra(error) | BearerError::Proof(DpopError::Infra(error)) => {
                caller.log_line.always_write();
                error.log(&caller.request_id);
                return OauthError::from_infra(error).into_response();
            }
            BearerError::Proof(DpopError::TooMany(wait)) => {
                let description = "Too many requests. Wait, then try again.";
                let response = too_many(description, *wait);
                let reason = RefusalReason::new(Reason::TooManyRequests.as_str());
                return reason.attach_to(response);
            }
            error => words_for(error),
        };
        let body = serde_json::json!({
            "error": words.error,
            "error_description": words.description,
        });
        let response = json_response(words.status, &body);
        let response = RefusalReason::new(words.reason).attach_to(response);
        let (error, description) = (words.error, words.description);
        let parameters = match &self.error {
            BearerError::InsufficientScope(scope) => {
                format!(
                    ", error=\"{error}\", error_description=\"{description}\", scope=\"{scope}\""
                )
            }
            _ => format!(", error=\"{error}\", error_description=\"{description}\""),
        };
        let response = with_challenge(response, self.scheme, &parameters);
        match &self.error {
            // The client may have meant a proof.
            BearerError::InvalidToken(InactiveToken::Bound) => {
                with_challenge(response, TokenScheme::Dpop, "")
            }
            BearerError::Proof(DpopError::UseNonce(nonce)) => {
                with_dpop_nonce(response, Some(nonce))
            }
            _ => response,
        }
    }
}

fn words_for(error: &BearerError) -> Words {
    let (status, error, description, reason) = match error {
        BearerError::InvalidRequest(description) => (
            StatusCode::BAD_REQUEST,
            "invalid_request",
            *description,
            "invalid_request",
        ),
        BearerError::InsufficientScope(_) => (
            StatusCode::FORBIDDEN,
            "insufficient_scope",
            "The token lacks the scope that this endpoint needs.",
            Reason::InsufficientScope.as_str(),
        ),
        BearerError::Proof(DpopError::UseNonce(_)) => (
            StatusCode::UNAUTHORIZED,
            "use_dpop_nonce",
            USE_NONCE,
            "use_dpop_nonce",
        ),
        BearerError::Proof(DpopError::Invalid(reason)) => (
            StatusCode::UNAUTHORIZED,
            "invalid_dpop_proof",
            INVALID_PROOF,
            *reason,
        ),
        BearerError::InvalidToken(why) => (
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            "The token is expired, revoked or not valid here.",
            why.as_str(),
        ),
        // Their responses are made elsewhere.
        BearerError::NoToken | BearerError::Proof(_) | BearerError::Infra(_) => (
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            "The request has no token.",
            "no_token",
        ),
    };
    Words {
        status,
        error,
        description,
        reason,
    }
}

/// Adds a challenge. Challenges of several schemes stand in a header each.
fn with_challenge(mut response: Response, scheme: TokenScheme, parameters: &str) -> Response {
    let challenge = match scheme {
        TokenScheme::Bearer => format!("Bearer realm=\"entree\"{parameters}"),
        TokenScheme::Dpop => {
            let algs = PROOF_ALGS.join(" ");
            format!("DPoP realm=\"entree\", algs=\"{algs}\"{parameters}")
        }
    };
    let headers = response.headers_mut();
    // Only fixed texts, so it is always a header value.
    if let Ok(value) = HeaderValue::try_from(challenge) {
        headers.append(header::WWW_AUTHENTICATE, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
