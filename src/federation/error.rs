//! Why an upstream sign-in or a link is refused: [`FederationError`] with its [`RefusalCode`].
//!
//! The codes are a closed list and a contract with the audit log, the metrics and the alert rules:
//! a code is never renamed. No code contains what a provider sent; [`FederationError::detail`] has
//! our own words for the log.

use std::fmt;

use crate::{audit::AuditReason, web::error::RETRY_AFTER};

/// Defines each code in one row: what it means, its name in the audit log, and the page that the
/// user sees.
macro_rules! refusal_codes {
    ($($(#[doc = $meaning:literal])+ $code:ident = $name:literal => $page:ident,)+) => {
        /// The reason for refusing an upstream sign-in or a link.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RefusalCode {
            $($(#[doc = $meaning])+ $code,)+
        }

        impl RefusalCode {
            pub const ALL: &[Self] = &[$(Self::$code),+];

            /// Returns the name in the audit log and the log. Codes that differ only in their page
            /// share a name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $name),+
                }
            }

            const fn page(self) -> RefusalPage {
                match self {
                    $(Self::$code => RefusalPage::$page),+
                }
            }
        }
    };
}

refusal_codes! {
    /// The address must not be reached: it is not public, not https, or has a user name in it.
    Blocked = "up_blocked" => Unusable,
    /// An endpoint of the provider answered with a redirect.
    Redirect = "up_redirect" => ProviderUnavailable,
    /// A response is larger than the limit.
    TooLarge = "up_too_large" => ProviderUnavailable,
    /// No complete response arrived in time.
    Timeout = "up_timeout" => ProviderUnavailable,
    /// The discovery document names another issuer.
    DiscoveryIssuer = "up_discovery_issuer" => Unusable,
    /// The discovery document names an endpoint on a foreign host.
    EndpointHost = "up_endpoint_host" => Unusable,
    /// The provider cannot be reached, or its cached documents are too old.
    ProviderDown = "up_provider_down" => ProviderUnavailable,
    /// The callback was called with the wrong HTTP method.
    Method = "up_method" => WrongMethod,
    /// A parameter occurs twice.
    ParamDuplicate = "up_param_duplicate" => TryAgain,
    /// `code`, `iss` or `error` is longer than any provider sends.
    ParamTooLong = "up_param_too_long" => TryAgain,
    /// `state` is missing or does not have the form of ours.
    StateMalformed = "up_state_malformed" => TryAgain,
    /// `state` is unknown or expired.
    StateUnknown = "up_state_unknown" => TryAgain,
    /// `state` was used before.
    StateUsed = "up_state_used" => TryAgain,
    /// `state` belongs to another provider.
    ProviderMismatch = "up_provider_mismatch" => TryAgain,
    /// The callback arrived in another browser.
    BrowserMismatch = "up_browser_mismatch" => TryAgain,
    /// `iss` is missing where it is required.
    IssMissing = "up_iss_missing" => TryAgain,
    /// `iss` names another issuer.
    IssMismatch = "up_iss_mismatch" => TryAgain,
    /// The callback has neither `code` nor `error`.
    CodeMissing = "up_code_missing" => TryAgain,
    /// The code that an app redeems is unknown, used, expired, or of another app or provider.
    AppCode = "up_app_code" => TryAgain,
    /// The session that began the flow has changed.
    SessionChanged = "up_session_changed" => SessionChanged,
    /// The token endpoint refused the code; a new sign-in may work.
    TokenGrant = "up_token_http" => TryAgain,
    /// The token endpoint sent a response that cannot be used.
    TokenHttp = "up_token_http" => InvalidResponse,
    /// The token endpoint does not accept our client, its secret or its redirect URI.
    TokenClient = "up_token_http" => Misconfigured,
    /// The token endpoint failed or did not respond.
    TokenDown = "up_token_http" => ProviderUnavailable,
    /// The token is not a bearer token.
    TokenType = "up_token_type" => InvalidResponse,
    /// There is no ID token.
    IdTokenMissing = "up_id_token_missing" => InvalidResponse,
    /// The ID token is not a compact JWS of JSON objects.
    IdTokenMalformed = "up_id_token_malformed" => InvalidResponse,
    /// The algorithm of the ID token is not one of those configured.
    Alg = "up_alg" => InvalidResponse,
    /// The `typ` header belongs to another type of token.
    Typ = "up_typ" => InvalidResponse,
    /// The ID token requires an extension (`crit`).
    Crit = "up_crit" => InvalidResponse,
    /// No usable key matches the ID token.
    KeyUnknown = "up_key_unknown" => InvalidResponse,
    /// The signature of the ID token does not verify.
    Signature = "up_signature" => InvalidResponse,
    /// The `iss` claim of the ID token is wrong.
    IssClaim = "up_iss_claim" => InvalidResponse,
    /// The `aud` claim of the ID token is wrong.
    Aud = "up_aud" => InvalidResponse,
    /// The `azp` claim of the ID token is wrong.
    Azp = "up_azp" => InvalidResponse,
    /// The `exp` claim of the ID token is missing or in the past.
    Expired = "up_expired" => InvalidResponse,
    /// The `iat` claim of the ID token is missing, too old or in the future.
    Iat = "up_iat" => InvalidResponse,
    /// The `nbf` claim of the ID token is in the future.
    Nbf = "up_nbf" => InvalidResponse,
    /// The `nonce` claim of the ID token is wrong.
    Nonce = "up_nonce" => InvalidResponse,
    /// The `at_hash` claim of the ID token is wrong.
    AtHash = "up_at_hash" => InvalidResponse,
    /// The `sub` claim of the ID token is missing or malformed.
    Sub = "up_sub" => InvalidResponse,
    /// Userinfo refused the access token that the provider issued.
    UserinfoHttp = "up_userinfo_http" => InvalidResponse,
    /// The userinfo response belongs to another subject.
    UserinfoSub = "up_userinfo_sub" => InvalidResponse,
    /// A claim has the wrong type.
    ClaimsMalformed = "up_claims_malformed" => InvalidResponse,
    /// The tenant is not allowed.
    Tenant = "up_tenant" => AccountNotAllowed,
    /// The hosted domain is not allowed.
    Hd = "up_hd" => AccountNotAllowed,
    /// The user declined at the provider.
    Denied = "up_denied" => Declined,
    /// The provider reports a temporary failure of its own.
    ProviderFault = "up_provider_error" => ProviderFault,
    /// The provider is busy or under maintenance.
    ProviderBusy = "up_provider_error" => ProviderBusy,
    /// The user is not signed in at the provider, which shows no page for that.
    LoginRequired = "up_provider_error" => LoginRequired,
    /// The provider needs something of the user, and shows no page for that.
    InteractionRequired = "up_provider_error" => InteractionRequired,
    /// The provider answered with an unknown error.
    ProviderError = "up_provider_error" => InvalidResponse,
    /// Our settings for the provider cannot be used.
    Misconfigured = "up_misconfigured" => Misconfigured,
    /// A browser brought an error that says that our client is misconfigured. Anyone can write one.
    ReportedMisconfigured = "up_misconfigured_reported" => ReportedMisconfigured,
    /// The provider is not configured, is switched off, or has another issuer now.
    ProviderDisabled = "up_provider_disabled" => ProviderDisabled,
    /// The ticket store is unavailable.
    StoreDown = "up_store_down" => StoreUnavailable,
    /// The user is locked or deleted.
    UserDisabled = "up_user_disabled" => UserDisabled,
    /// The account and its address are new here, and sign-up is closed.
    SignUpClosed = "up_sign_up_closed" => SignUpClosed,
    /// The upstream account belongs to another user.
    LinkTaken = "lk_taken" => LinkTaken,
    /// The account is the last sign-in method of the user.
    LinkLastMethod = "lk_last_method" => LastMethod,
    /// The pending link belongs to another browser, was used, or has expired.
    LinkBrowser = "lk_browser" => TryAgain,
    /// The session is too old for linking.
    LinkStaleAuth = "lk_stale_auth" => StaleSession,
}

/// The page for a group of codes: its HTTP status and its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum RefusalPage {
    TryAgain,
    WrongMethod,
    Declined,
    ProviderFault,
    ProviderBusy,
    LoginRequired,
    InteractionRequired,
    ProviderUnavailable,
    InvalidResponse,
    Misconfigured,
    ReportedMisconfigured,
    Unusable,
    StoreUnavailable,
    AccountNotAllowed,
    ProviderDisabled,
    UserDisabled,
    SignUpClosed,
    SessionChanged,
    LinkTaken,
    LastMethod,
    StaleSession,
}

impl RefusalPage {
    const fn status(self) -> u16 {
        match self {
            Self::Declined
            | Self::ProviderFault
            | Self::ProviderBusy
            | Self::LoginRequired
            | Self::InteractionRequired => 200,
            Self::TryAgain => 400,
            Self::AccountNotAllowed
            | Self::ProviderDisabled
            | Self::UserDisabled
            | Self::SignUpClosed
            | Self::StaleSession => 403,
            Self::WrongMethod => 405,
            Self::SessionChanged | Self::LinkTaken | Self::LastMethod => 409,
            Self::InvalidResponse | Self::Misconfigured | Self::ReportedMisconfigured => 502,
            Self::ProviderUnavailable | Self::Unusable | Self::StoreUnavailable => 503,
        }
    }

    const fn stem(self) -> &'static str {
        match self {
            Self::TryAgain => "upstream-again",
            Self::WrongMethod => "upstream-method",
            Self::Declined => "upstream-denied",
            Self::ProviderFault => "upstream-trouble",
            Self::ProviderBusy => "upstream-busy",
            Self::LoginRequired => "upstream-login",
            Self::InteractionRequired => "upstream-interaction",
            Self::ProviderUnavailable => "upstream-away",
            Self::InvalidResponse => "upstream-answer",
            Self::Misconfigured | Self::ReportedMisconfigured | Self::Unusable => {
                "upstream-misconfigured"
            }
            // The outage is ours and not the provider's: sign-in by email does not work either.
            Self::StoreUnavailable => "error-away",
            Self::AccountNotAllowed => "upstream-account",
            Self::ProviderDisabled => "upstream-off",
            Self::UserDisabled => "upstream-closed",
            Self::SignUpClosed => "upstream-newcomer",
            Self::SessionChanged => "upstream-session",
            Self::LinkTaken => "upstream-taken",
            Self::LastMethod => "upstream-last",
            Self::StaleSession => "upstream-fresh",
        }
    }

    const fn stem_connecting(self) -> &'static str {
        match self {
            Self::TryAgain => "upstream-again-connecting",
            Self::Declined => "upstream-denied-connecting",
            Self::ProviderFault => "upstream-trouble-connecting",
            Self::ProviderBusy => "upstream-busy-connecting",
            Self::LoginRequired => "upstream-login-connecting",
            Self::InteractionRequired => "upstream-interaction-connecting",
            Self::ProviderUnavailable => "upstream-away-connecting",
            Self::InvalidResponse => "upstream-answer-connecting",
            Self::Misconfigured | Self::ReportedMisconfigured | Self::Unusable => {
                "upstream-misconfigured-connecting"
            }
            Self::AccountNotAllowed => "upstream-account-connecting",
            Self::ProviderDisabled => "upstream-off-connecting",
            other => other.stem(),
        }
    }
}

impl RefusalCode {
    /// Returns the name in the metrics. A refusal that only the operator can resolve has a name of
    /// its own, so that no user can raise its alert.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TokenClient => "up_token_client",
            other => other.as_str(),
        }
    }

    /// Returns the HTTP status of the page.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.page().status()
    }

    /// Returns the key of the page's message; the key of its title ends in `-title`.
    #[must_use]
    pub const fn stem(self) -> &'static str {
        self.page().stem()
    }

    /// Returns the same for a user who connects a provider and stays signed in meanwhile.
    #[must_use]
    pub const fn stem_connecting(self) -> &'static str {
        self.page().stem_connecting()
    }

    /// UE-01, DJ-07: whether only the operator can resolve it, because the provider or our settings
    /// are wrong. What a browser reports is no proof of that.
    #[must_use]
    pub const fn alerts(self) -> bool {
        matches!(
            self.page(),
            RefusalPage::Misconfigured | RefusalPage::Unusable
        )
    }

    /// UE-04: the seconds of `Retry-After`, for refusals that pass by themselves.
    #[must_use]
    pub const fn retry_after(self) -> Option<u32> {
        match self.page() {
            RefusalPage::ProviderUnavailable => Some(30),
            RefusalPage::StoreUnavailable => Some(RETRY_AFTER),
            _ => None,
        }
    }
}

impl AuditReason for RefusalCode {
    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused upstream sign-in or link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct FederationError {
    pub code: RefusalCode,
    /// Our own words for the log: never a secret, an address or a token. It quotes a provider only
    /// through [`upstream_words`].
    pub detail: String,
}

impl FederationError {
    pub fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

impl From<RefusalCode> for FederationError {
    fn from(code: RefusalCode) -> Self {
        Self::new(code, "")
    }
}

/// UE-03: what a provider wrote, made safe for one line of the log: at most 200 characters and no
/// control characters.
#[must_use]
pub fn upstream_words(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests;
