//! Why an upstream sign-in or a link is refused: [`FederationError`] with its [`RefusalCode`].
//!
//! The codes are a closed list and a contract with the audit log, the metrics and the alert rules:
//! a code is never renamed. No code contains what a provider sent; [`FederationError::detail`] has
//! our own words for the log.

use std::fmt;

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
    Redirect = "up_redirect" => Away,
    /// A response is larger than the limit.
    TooLarge = "up_too_large" => Away,
    /// No complete response arrived in time.
    Timeout = "up_timeout" => Away,
    /// The discovery document names another issuer.
    DiscoveryIssuer = "up_discovery_issuer" => Unusable,
    /// The discovery document names an endpoint on a foreign host.
    EndpointHost = "up_endpoint_host" => Unusable,
    /// The provider cannot be reached, or its cached documents are too old.
    ProviderDown = "up_provider_down" => Away,
    /// The callback was called with the wrong HTTP method.
    Method = "up_method" => Method,
    /// A parameter occurs twice.
    ParamDuplicate = "up_param_duplicate" => Again,
    /// `state` is missing or does not have the form of ours.
    StateMalformed = "up_state_malformed" => Again,
    /// `state` is unknown or expired.
    StateUnknown = "up_state_unknown" => Again,
    /// `state` was used before.
    StateUsed = "up_state_used" => Again,
    /// `state` belongs to another provider.
    ProviderMismatch = "up_provider_mismatch" => Again,
    /// The callback arrived in another browser.
    BrowserMismatch = "up_browser_mismatch" => Again,
    /// `iss` is missing where it is required.
    IssMissing = "up_iss_missing" => Again,
    /// `iss` names another issuer.
    IssMismatch = "up_iss_mismatch" => Again,
    /// The callback has neither `code` nor `error`.
    CodeMissing = "up_code_missing" => Again,
    /// The code that an app redeems is unknown, used, expired, or of another app or provider.
    AppCode = "up_app_code" => Again,
    /// The session that began the flow has changed.
    SessionChanged = "up_session_changed" => Session,
    /// The token endpoint refused the code; a new sign-in may work.
    TokenGrant = "up_token_http" => Again,
    /// The token endpoint sent a response that cannot be used.
    TokenHttp = "up_token_http" => Answer,
    /// The token endpoint does not accept our client, its secret or its redirect URI.
    TokenClient = "up_token_http" => Misconfigured,
    /// The token endpoint failed or did not respond.
    TokenDown = "up_token_http" => Away,
    /// The token is not a bearer token.
    TokenType = "up_token_type" => Answer,
    /// There is no ID token.
    IdTokenMissing = "up_id_token_missing" => Answer,
    /// The ID token is not a compact JWS of JSON objects.
    IdTokenMalformed = "up_id_token_malformed" => Answer,
    /// The algorithm of the ID token is not one of those configured.
    Alg = "up_alg" => Answer,
    /// The `typ` header belongs to another type of token.
    Typ = "up_typ" => Answer,
    /// The ID token requires an extension (`crit`).
    Crit = "up_crit" => Answer,
    /// No usable key matches the ID token.
    KeyUnknown = "up_key_unknown" => Answer,
    /// The signature of the ID token does not verify.
    Signature = "up_signature" => Answer,
    /// The `iss` claim of the ID token is wrong.
    IssClaim = "up_iss_claim" => Answer,
    /// The `aud` claim of the ID token is wrong.
    Aud = "up_aud" => Answer,
    /// The `azp` claim of the ID token is wrong.
    Azp = "up_azp" => Answer,
    /// The `exp` claim of the ID token is missing or in the past.
    Expired = "up_expired" => Answer,
    /// The `iat` claim of the ID token is missing, too old or in the future.
    Iat = "up_iat" => Answer,
    /// The `nbf` claim of the ID token is in the future.
    Nbf = "up_nbf" => Answer,
    /// The `nonce` claim of the ID token is wrong.
    Nonce = "up_nonce" => Answer,
    /// The `at_hash` claim of the ID token is wrong.
    AtHash = "up_at_hash" => Answer,
    /// The `sub` claim of the ID token is missing or malformed.
    Sub = "up_sub" => Answer,
    /// The userinfo response belongs to another subject.
    UserinfoSub = "up_userinfo_sub" => Answer,
    /// A claim has the wrong type.
    ClaimsMalformed = "up_claims_malformed" => Answer,
    /// The tenant is not allowed.
    Tenant = "up_tenant" => Account,
    /// The hosted domain is not allowed.
    Hd = "up_hd" => Account,
    /// The user declined at the provider.
    Denied = "up_denied" => Denied,
    /// The provider reports a temporary failure of its own.
    ProviderTrouble = "up_provider_error" => ProviderFault,
    /// The provider answered with an unknown error.
    ProviderError = "up_provider_error" => Answer,
    /// The provider reports that our client is misconfigured.
    Misconfigured = "up_misconfigured" => Misconfigured,
    /// The provider is not configured, is switched off, or has another issuer now.
    ProviderDisabled = "up_provider_disabled" => Off,
    /// The ticket store is unavailable.
    StoreDown = "up_store_down" => Store,
    /// The user is locked or deleted.
    UserDisabled = "up_user_disabled" => Closed,
    /// The account and its address are new here, and sign-up is closed.
    SignUpClosed = "up_sign_up_closed" => Newcomer,
    /// The upstream account belongs to another user.
    LinkTaken = "lk_taken" => Taken,
    /// The account is the last sign-in method of the user.
    LinkLastMethod = "lk_last_method" => Last,
    /// The pending link belongs to another browser, was used, or has expired.
    LinkBrowser = "lk_browser" => Again,
    /// The session is too old for linking.
    LinkStaleAuth = "lk_stale_auth" => Fresh,
}

/// The page for a group of codes: its HTTP status and its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum RefusalPage {
    Again,
    Method,
    Denied,
    ProviderFault,
    Away,
    Answer,
    Misconfigured,
    Unusable,
    Store,
    Account,
    Off,
    Closed,
    Newcomer,
    Session,
    Taken,
    Last,
    Fresh,
}

impl RefusalPage {
    const fn status(self) -> u16 {
        match self {
            Self::Denied | Self::ProviderFault => 200,
            Self::Again => 400,
            Self::Account | Self::Off | Self::Closed | Self::Newcomer | Self::Fresh => 403,
            Self::Method => 405,
            Self::Session | Self::Taken | Self::Last => 409,
            Self::Answer | Self::Misconfigured => 502,
            Self::Away | Self::Unusable | Self::Store => 503,
        }
    }

    const fn stem(self) -> &'static str {
        match self {
            Self::Again => "upstream-again",
            Self::Method => "upstream-method",
            Self::Denied => "upstream-denied",
            Self::ProviderFault => "upstream-trouble",
            Self::Away => "upstream-away",
            Self::Answer => "upstream-answer",
            Self::Misconfigured | Self::Unusable => "upstream-misconfigured",
            // The outage is ours and not the provider's: sign-in by email does not work either.
            Self::Store => "error-away",
            Self::Account => "upstream-account",
            Self::Off => "upstream-off",
            Self::Closed => "upstream-closed",
            Self::Newcomer => "upstream-newcomer",
            Self::Session => "upstream-session",
            Self::Taken => "upstream-taken",
            Self::Last => "upstream-last",
            Self::Fresh => "upstream-fresh",
        }
    }

    const fn stem_connecting(self) -> &'static str {
        match self {
            Self::Again => "upstream-again-connecting",
            Self::Denied => "upstream-denied-connecting",
            Self::ProviderFault => "upstream-trouble-connecting",
            Self::Away => "upstream-away-connecting",
            Self::Answer => "upstream-answer-connecting",
            Self::Misconfigured | Self::Unusable => "upstream-misconfigured-connecting",
            Self::Account => "upstream-account-connecting",
            Self::Off => "upstream-off-connecting",
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
    /// are wrong.
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
        if matches!(self.page(), RefusalPage::Away | RefusalPage::Store) {
            Some(30)
        } else {
            None
        }
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
