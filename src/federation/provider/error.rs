//! Why a provider cannot be used, or why what it sent is not accepted.
//!
//! Each step of the relying party has an error of its own, and [`ProviderError`] joins them. The
//! text is for operators: it stands in the log, in the audit log and in the output of `entree
//! doctor`. It never contains a secret, a token or an address, and what a provider wrote only after
//! [`upstream_words`](crate::federation::error::upstream_words) shortened and cleaned it.

use crate::{
    federation::error::{FederationError, RefusalCode},
    web::fetch::FetchError,
};

/// Why a sign-in with a provider cannot begin or is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    #[error("it is not configured, or it is switched off")]
    Disabled,
    #[error("its issuer was changed during the sign-in")]
    IssuerChanged,
    #[error("private_key is not a PKCS#8 key on P-256: download it again from Apple")]
    AppleKey,
    #[error("private_key is not a PKCS#8 key, on P-256 or of RSA with 2048 bits or more")]
    ClientKey,
    #[error("{call}: {cause}")]
    Call {
        call: &'static str,
        cause: FetchError,
    },
    #[error("{call} returned {status}")]
    Status { call: &'static str, status: u16 },
    #[error("all calls together took over 10 s")]
    Timeout,
    #[error("{0}")]
    Unavailable(String),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error(transparent)]
    Response(#[from] ResponseError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    IdToken(#[from] IdTokenError),
    #[error(transparent)]
    User(#[from] UserError),
    #[error("signed userinfo: {0}")]
    SignedUserinfo(IdTokenError),
}

/// Why a discovery document is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    #[error("the discovery document is not a JSON object, or repeats a member")]
    NotAnObject,
    #[error("the discovery document has no {0}")]
    Missing(&'static str),
    #[error("the discovery document has a {0} that is not a string")]
    NotAString(&'static str),
    #[error("the discovery document has no issuer")]
    NoIssuer,
    #[error("the configuration names `{configured}`, the discovery document names `{found}`")]
    Issuer { configured: String, found: String },
    #[error("{endpoint} is not https")]
    NotHttps { endpoint: &'static str },
    #[error("{endpoint} has a fragment")]
    Fragment { endpoint: &'static str },
    #[error("{endpoint} is on `{host}`: if that is the provider's, add it to extra_hosts")]
    Host {
        endpoint: &'static str,
        host: String,
    },
    #[error("{endpoint}: {cause}")]
    Blocked {
        endpoint: &'static str,
        cause: FetchError,
    },
}

/// Why an authorization response is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    #[error("iss is missing, and the provider always sends it")]
    NoIssuer,
    #[error("the request went to `{expected}`, the response is from `{found}`")]
    Issuer { expected: String, found: String },
    #[error("the response and the ID token name different issuers")]
    IssuerOfIdToken,
    #[error("it has neither code nor error")]
    NoCode,
    /// The provider's own error, with the reason that we give for it.
    #[error("the provider returned `{error}`: {description}")]
    Provider {
        reason: RefusalCode,
        error: String,
        description: String,
    },
}

/// Why the response of a token endpoint is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token endpoint returned {0}")]
    Status(u16),
    /// The provider's own error, with the reason that we give for it.
    #[error("the token endpoint returned `{error}`")]
    Provider { reason: RefusalCode, error: String },
    #[error("the token endpoint's response is not a JSON object, or repeats a member")]
    NotAnObject,
    #[error("the token endpoint's response has an error that is not a string")]
    ErrorNotAString,
    #[error("the token type is not `Bearer`")]
    NotBearer,
    #[error("the token endpoint's response has no access token")]
    NoAccessToken,
    #[error("the token endpoint's response has no ID token")]
    NoIdToken,
}

/// Why an ID token is not accepted: one variant for each check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    #[error("the token {0}")]
    Malformed(&'static str),
    #[error("the token demands an extension (crit)")]
    Critical,
    #[error("typ names another kind of token")]
    Type,
    #[error("its algorithm is not configured")]
    Algorithm,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the signature is not the key's")]
    Signature,
    #[error("iss {0}")]
    Issuer(&'static str),
    #[error("tid {0}")]
    Tenant(&'static str),
    #[error("aud does not name this client once")]
    Audience,
    /// An audience that no setting names.
    #[error(
        "aud names `{0}` beside this client: if its applications may see sign-ins here, add it to \
         additional_audiences"
    )]
    OtherAudience(String),
    #[error("aud names several audiences, and there is no azp")]
    NoAuthorizedParty,
    #[error("azp is another client")]
    AuthorizedParty,
    #[error("exp is past, or not a date")]
    Expired,
    #[error("iat is too old, in the future, or not a date")]
    IssuedAt,
    #[error("nbf is in the future, or not a date")]
    NotBefore,
    #[error("nonce is missing, or another sign-in's")]
    Nonce,
    #[error("at_hash is not that of the access token")]
    AccessTokenHash,
    #[error("sub is missing, empty, too long or not plain ASCII")]
    Subject,
    #[error("hd is not an allowed domain")]
    HostedDomain,
    #[error("{0}")]
    Claims(String),
}

/// Why no key of a provider verifies a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the provider has no keys")]
    NoKeySet,
    #[error("the token names no key")]
    NoKeyId,
    /// Reading the keys again may help.
    #[error("no key matches")]
    Unknown,
    #[error("no key matches, and the keys were read a moment ago")]
    RecentlyRead,
    /// RFC 7517 §4.5; OpenID Connect Core §10.1.
    #[error("more than one key matches")]
    Ambiguous,
    /// RFC 8725 §3.1.
    #[error("the key is for another algorithm")]
    Algorithm,
    #[error("the key signs for another issuer")]
    Issuer,
}

/// Why what a provider says about the user, beside the ID token, is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// OpenID Connect Core §5.3.3: the provider does not accept the access token that it issued, or
    /// its scopes.
    #[error("{endpoint} refused the access token with {status}")]
    Refused { endpoint: &'static str, status: u16 },
    #[error("{endpoint} is not the JSON that it should be, or repeats a member")]
    Malformed { endpoint: &'static str },
    #[error("{claim} in userinfo has the wrong type")]
    Claim { claim: &'static str },
    #[error("sub in userinfo is missing, or another user's")]
    Subject,
    #[error("the account has no numeric id")]
    AccountId,
}

impl ProviderError {
    /// The error for a status of userinfo, or of what stands in for it, that is not 200. Only a
    /// failure of the provider's own, or too many requests, may pass by itself.
    pub(super) fn of_user_status(endpoint: &'static str, status: u16) -> Self {
        match status {
            429 | 500.. => Self::Status {
                call: endpoint,
                status,
            },
            _ => UserError::Refused { endpoint, status }.into(),
        }
    }

    /// The reason that the audit log, the metrics and the pages know this error by.
    #[must_use]
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::Disabled | Self::IssuerChanged => RefusalCode::ProviderDisabled,
            Self::AppleKey | Self::ClientKey => RefusalCode::Misconfigured,
            Self::Call { cause, .. } => fetch_code(*cause),
            Self::Status { .. } | Self::Unavailable(_) => RefusalCode::ProviderDown,
            Self::Timeout => RefusalCode::Timeout,
            Self::Metadata(error) => error.code(),
            Self::Response(error) => error.code(),
            Self::Token(error) => error.code(),
            Self::IdToken(error) => error.code(),
            Self::User(error) => error.code(),
            Self::SignedUserinfo(error) => error.code(),
        }
    }
}

impl MetadataError {
    const fn code(&self) -> RefusalCode {
        match self {
            Self::NotAnObject | Self::Missing(_) | Self::NotAString(_) => RefusalCode::ProviderDown,
            Self::NoIssuer | Self::Issuer { .. } => RefusalCode::DiscoveryIssuer,
            Self::NotHttps { .. } | Self::Fragment { .. } | Self::Host { .. } => {
                RefusalCode::EndpointHost
            }
            Self::Blocked { .. } => RefusalCode::Blocked,
        }
    }
}

impl ResponseError {
    const fn code(&self) -> RefusalCode {
        match self {
            Self::NoIssuer => RefusalCode::IssMissing,
            Self::Issuer { .. } | Self::IssuerOfIdToken => RefusalCode::IssMismatch,
            Self::NoCode => RefusalCode::CodeMissing,
            Self::Provider { reason, .. } => *reason,
        }
    }
}

impl TokenError {
    const fn code(&self) -> RefusalCode {
        match self {
            Self::Status(500..) => RefusalCode::TokenDown,
            Self::Provider { reason, .. } => *reason,
            Self::Status(_) | Self::NotAnObject | Self::ErrorNotAString | Self::NoAccessToken => {
                RefusalCode::TokenHttp
            }
            Self::NotBearer => RefusalCode::TokenType,
            Self::NoIdToken => RefusalCode::IdTokenMissing,
        }
    }
}

impl IdTokenError {
    const fn code(&self) -> RefusalCode {
        match self {
            Self::Malformed(_) => RefusalCode::IdTokenMalformed,
            Self::Critical => RefusalCode::Crit,
            Self::Type => RefusalCode::Typ,
            Self::Algorithm => RefusalCode::Alg,
            Self::Key(_) => RefusalCode::KeyUnknown,
            Self::Signature => RefusalCode::Signature,
            Self::Issuer(_) => RefusalCode::IssClaim,
            Self::Tenant(_) => RefusalCode::Tenant,
            Self::Audience | Self::OtherAudience(_) => RefusalCode::Aud,
            Self::AuthorizedParty | Self::NoAuthorizedParty => RefusalCode::Azp,
            Self::Expired => RefusalCode::Expired,
            Self::IssuedAt => RefusalCode::Iat,
            Self::NotBefore => RefusalCode::Nbf,
            Self::Nonce => RefusalCode::Nonce,
            Self::AccessTokenHash => RefusalCode::AtHash,
            Self::Subject => RefusalCode::Sub,
            Self::HostedDomain => RefusalCode::Hd,
            Self::Claims(_) => RefusalCode::ClaimsMalformed,
        }
    }
}

impl UserError {
    const fn code(&self) -> RefusalCode {
        match self {
            Self::Refused { .. } => RefusalCode::UserinfoHttp,
            Self::Malformed { .. } | Self::Claim { .. } => RefusalCode::ClaimsMalformed,
            Self::Subject => RefusalCode::UserinfoSub,
            Self::AccountId => RefusalCode::Sub,
        }
    }
}

const fn fetch_code(error: FetchError) -> RefusalCode {
    match error {
        FetchError::Blocked(_) | FetchError::NotHttps => RefusalCode::Blocked,
        FetchError::Redirect => RefusalCode::Redirect,
        FetchError::TooLarge => RefusalCode::TooLarge,
        FetchError::Timeout => RefusalCode::Timeout,
        FetchError::Dns | FetchError::Refused | FetchError::Tls | FetchError::Down(_) => {
            RefusalCode::ProviderDown
        }
    }
}

impl From<KeyError> for ProviderError {
    fn from(error: KeyError) -> Self {
        IdTokenError::Key(error).into()
    }
}

impl From<ProviderError> for FederationError {
    fn from(error: ProviderError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
