//! What an app sends to sign a user in at a provider, and what it receives.

use poem_openapi::{ApiResponse, Object, payload::Json};

use crate::{login::app_api::Tokens, web::problem::ProblemJson};

/// Start a sign-in at a provider.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct NewUpstreamLogin {
    /// The registered first-party client.
    #[oai(validator(min_length = 1, max_length = 255))]
    pub client_id: String,
    /// Where the code goes: one of the client's registered redirect URIs.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub redirect_uri: String,
    /// PKCE challenge: base64url of the SHA-256 of a verifier that the app keeps (RFC 7636).
    #[oai(validator(min_length = 43, max_length = 43))]
    pub code_challenge: String,
    /// Always `S256`.
    #[oai(validator(max_length = 16))]
    pub code_challenge_method: String,
    /// Returned with the code, unchanged.
    #[oai(validator(max_length = 512))]
    pub state: Option<String>,
    /// Languages for the provider's pages, as BCP 47 tags separated by spaces; else Accept-Language
    /// decides.
    #[oai(default, validator(max_length = 512))]
    pub ui_locales: String,
}

/// A sign-in that has started.
#[derive(Object)]
pub struct UpstreamBegun {
    /// Open it in the system's browser, not in a view of the app (RFC 8252 §8.12).
    pub authorization_url: String,
    /// Seconds until the sign-in expires.
    pub expires_in: u64,
}

/// Redeem the code that the redirect URI received.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub struct UpstreamCallback {
    /// `code` from the query of the redirect URI.
    #[oai(validator(max_length = 64))]
    pub code: String,
    /// The PKCE verifier of the challenge with which the sign-in started.
    #[oai(validator(max_length = 128))]
    pub code_verifier: String,
    /// Scopes, separated by spaces.
    #[oai(default, validator(max_length = 1024))]
    pub scope: String,
    /// The `nonce` of the ID token.
    #[oai(validator(max_length = 384))]
    pub nonce: Option<String>,
}

/// The responses to a start.
#[derive(Debug, ApiResponse)]
pub enum StartResponse {
    /// Started.
    #[oai(status = 200)]
    Started(
        Json<UpstreamBegun>,
        /// The URL contains a secret.
        #[oai(header = "Cache-Control")]
        String,
    ),
    /// `invalid_client`, `invalid_request`: `detail` says what is wrong.
    #[oai(status = 400)]
    Invalid(ProblemJson),
    /// `unknown_provider`: there is no provider of this name, or it is switched off.
    #[oai(status = 404)]
    UnknownProvider(ProblemJson),
    /// Too many requests from this network.
    #[oai(status = 429)]
    TooManyRequests(ProblemJson),
    /// `provider_away`: the provider cannot be reached at the moment; sign-in by email works.
    /// `temporarily_unavailable`: a dependency of the service is unavailable. Wait as Retry-After
    /// says.
    #[oai(status = 503)]
    Unavailable(ProblemJson),
}

/// The responses to a code.
#[derive(Debug, ApiResponse)]
pub enum CallbackResponse {
    /// Signed in.
    #[oai(status = 200)]
    SignedIn(
        Json<Tokens>,
        /// Tokens are never cached.
        #[oai(header = "Cache-Control")]
        String,
        /// The nonce for the next DPoP proof (RFC 9449), if there is a new one.
        #[oai(header = "DPoP-Nonce")]
        Option<String>,
    ),
    /// `invalid_request`: a value is malformed. `invalid_code`: the code is wrong, expired, used,
    /// or of another app or provider; the response does not say which. `invalid_dpop_proof`: the proof
    /// is wrong or was used before. `use_dpop_nonce`: send a new proof with the nonce in the header
    /// `DPoP-Nonce`. Neither uses the code up.
    #[oai(status = 400)]
    Invalid(ProblemJson),
    /// Too many requests from this network.
    #[oai(status = 429)]
    TooManyRequests(ProblemJson),
}

impl std::fmt::Debug for UpstreamBegun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL contains the state.
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
