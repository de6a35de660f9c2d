//! Why an upstream sign-in was refused: the closed list of codes, and what each means for the answer.
//!
//! A code is a contract with the audit trail, the metrics and alerts: it is never renamed. What the upstream sent is in
//! none of them; [`FederationError::detail`] holds words of ours for the log.

use std::fmt;

/// One reason for refusing an upstream sign-in or a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// An address that must not be reached: not public, not https, or with a user in it.
    Blocked,
    /// An endpoint answered with a redirect.
    Redirect,
    /// An answer over the cap.
    TooLarge,
    /// No whole answer in time.
    Timeout,
    /// The discovery document names another issuer.
    DiscoveryIssuer,
    /// The discovery document names an endpoint elsewhere.
    EndpointHost,
    /// The provider cannot be reached, or what is known of it is too old.
    ProviderDown,
    /// The callback came with the wrong method.
    Method,
    /// A parameter was there twice.
    ParamDuplicate,
    /// `state` is missing or none of ours by its shape.
    StateMalformed,
    /// `state` is unknown or too old.
    StateUnknown,
    /// `state` was used before.
    StateUsed,
    /// `state` belongs to another provider.
    ProviderMismatch,
    /// The callback came in another browser.
    BrowserMismatch,
    /// `iss` is missing where it is required.
    IssMissing,
    /// `iss` names another issuer.
    IssMismatch,
    /// Neither `code` nor `error`.
    CodeMissing,
    /// What an app redeems is unknown, used, too old, or another app's or provider's.
    AppCode,
    /// The session that began this has changed.
    SessionChanged,
    /// The token endpoint refused the code: starting again helps.
    TokenGrant,
    /// The token endpoint gave an answer that is none.
    TokenHttp,
    /// The token endpoint does not know our client, its secret or its redirect URI.
    TokenClient,
    /// The token endpoint failed or kept silent.
    TokenDown,
    /// The token is not a bearer token.
    TokenType,
    /// There is no ID token.
    IdTokenMissing,
    /// The ID token is not a compact JWS of JSON objects.
    IdTokenMalformed,
    /// Its algorithm is not one of those configured.
    Alg,
    /// It is another kind of token.
    Typ,
    /// It demands an extension.
    Crit,
    /// No usable key fits.
    KeyUnknown,
    /// The signature is not the key's.
    Signature,
    /// `iss` in the ID token.
    IssClaim,
    /// `aud` in the ID token.
    Aud,
    /// `azp` in the ID token.
    Azp,
    /// `exp` in the ID token.
    Expired,
    /// `iat` in the ID token.
    Iat,
    /// `nbf` in the ID token.
    Nbf,
    /// `nonce` in the ID token.
    Nonce,
    /// `at_hash` in the ID token.
    AtHash,
    /// `sub` in the ID token.
    Sub,
    /// Userinfo is of another subject.
    UserinfoSub,
    /// A claim has the wrong type.
    ClaimsMalformed,
    /// A tenant that is not allowed.
    Tenant,
    /// A hosted domain that is not allowed.
    Hd,
    /// The person declined.
    Denied,
    /// The provider has trouble of its own and says so.
    ProviderTrouble,
    /// The provider answered with an error that we do not know.
    ProviderError,
    /// The provider says that we are set up wrongly.
    Misconfigured,
    /// There is no such provider, or it is switched off or was changed.
    ProviderDisabled,
    /// The ticket store is away.
    StoreDown,
    /// The user is locked out.
    UserDisabled,
    /// Nobody has this account or its address, and nobody new is welcome.
    SignUpClosed,
    /// The upstream account belongs to another user.
    LinkTaken,
    /// It is the last way in.
    LinkLastMethod,
    /// The pending link is another browser's, used or too old.
    LinkBrowser,
    /// The session is too old for linking.
    LinkStaleAuth,
}

/// Where the person stands, which decides the words of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Page {
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

impl Page {
    const fn stem(self) -> &'static str {
        match self {
            Self::Again => "upstream-again",
            Self::Method => "upstream-method",
            Self::Denied => "upstream-denied",
            Self::ProviderFault => "upstream-trouble",
            Self::Away => "upstream-away",
            Self::Answer => "upstream-answer",
            Self::Misconfigured | Self::Unusable => "upstream-misconfigured",
            // Ours, not the provider's: the mail does not work either.
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
}

impl RefusalCode {
    /// Every code there is.
    pub const ALL: [Self; 56] = [
        Self::Blocked,
        Self::Redirect,
        Self::TooLarge,
        Self::Timeout,
        Self::DiscoveryIssuer,
        Self::EndpointHost,
        Self::ProviderDown,
        Self::Method,
        Self::ParamDuplicate,
        Self::StateMalformed,
        Self::StateUnknown,
        Self::StateUsed,
        Self::ProviderMismatch,
        Self::BrowserMismatch,
        Self::IssMissing,
        Self::IssMismatch,
        Self::CodeMissing,
        Self::AppCode,
        Self::SessionChanged,
        Self::TokenGrant,
        Self::TokenHttp,
        Self::TokenClient,
        Self::TokenDown,
        Self::TokenType,
        Self::IdTokenMissing,
        Self::IdTokenMalformed,
        Self::Alg,
        Self::Typ,
        Self::Crit,
        Self::KeyUnknown,
        Self::Signature,
        Self::IssClaim,
        Self::Aud,
        Self::Azp,
        Self::Expired,
        Self::Iat,
        Self::Nbf,
        Self::Nonce,
        Self::AtHash,
        Self::Sub,
        Self::UserinfoSub,
        Self::ClaimsMalformed,
        Self::Tenant,
        Self::Hd,
        Self::Denied,
        Self::ProviderTrouble,
        Self::ProviderError,
        Self::Misconfigured,
        Self::ProviderDisabled,
        Self::StoreDown,
        Self::UserDisabled,
        Self::SignUpClosed,
        Self::LinkTaken,
        Self::LinkLastMethod,
        Self::LinkBrowser,
        Self::LinkStaleAuth,
    ];

    /// The name in the audit trail and the log. Codes that differ only in their status share one.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "up_blocked",
            Self::Redirect => "up_redirect",
            Self::TooLarge => "up_too_large",
            Self::Timeout => "up_timeout",
            Self::DiscoveryIssuer => "up_discovery_issuer",
            Self::EndpointHost => "up_endpoint_host",
            Self::ProviderDown => "up_provider_down",
            Self::Method => "up_method",
            Self::ParamDuplicate => "up_param_duplicate",
            Self::StateMalformed => "up_state_malformed",
            Self::StateUnknown => "up_state_unknown",
            Self::StateUsed => "up_state_used",
            Self::ProviderMismatch => "up_provider_mismatch",
            Self::BrowserMismatch => "up_browser_mismatch",
            Self::IssMissing => "up_iss_missing",
            Self::IssMismatch => "up_iss_mismatch",
            Self::CodeMissing => "up_code_missing",
            Self::AppCode => "up_app_code",
            Self::SessionChanged => "up_session_changed",
            Self::TokenGrant | Self::TokenHttp | Self::TokenClient | Self::TokenDown => {
                "up_token_http"
            }
            Self::TokenType => "up_token_type",
            Self::IdTokenMissing => "up_id_token_missing",
            Self::IdTokenMalformed => "up_id_token_malformed",
            Self::Alg => "up_alg",
            Self::Typ => "up_typ",
            Self::Crit => "up_crit",
            Self::KeyUnknown => "up_key_unknown",
            Self::Signature => "up_signature",
            Self::IssClaim => "up_iss_claim",
            Self::Aud => "up_aud",
            Self::Azp => "up_azp",
            Self::Expired => "up_expired",
            Self::Iat => "up_iat",
            Self::Nbf => "up_nbf",
            Self::Nonce => "up_nonce",
            Self::AtHash => "up_at_hash",
            Self::Sub => "up_sub",
            Self::UserinfoSub => "up_userinfo_sub",
            Self::ClaimsMalformed => "up_claims_malformed",
            Self::Tenant => "up_tenant",
            Self::Hd => "up_hd",
            Self::Denied => "up_denied",
            Self::ProviderTrouble | Self::ProviderError => "up_provider_error",
            Self::Misconfigured => "up_misconfigured",
            Self::ProviderDisabled => "up_provider_disabled",
            Self::StoreDown => "up_store_down",
            Self::UserDisabled => "up_user_disabled",
            Self::SignUpClosed => "up_sign_up_closed",
            Self::LinkTaken => "lk_taken",
            Self::LinkLastMethod => "lk_last_method",
            Self::LinkBrowser => "lk_browser",
            Self::LinkStaleAuth => "lk_stale_auth",
        }
    }

    /// The name in the metrics: what only ops can mend has one of its own, so that nobody else raises its alert.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TokenClient => "up_token_client",
            other => other.as_str(),
        }
    }

    const fn page(self) -> Page {
        match self {
            Self::Redirect
            | Self::TooLarge
            | Self::Timeout
            | Self::ProviderDown
            | Self::TokenDown => Page::Away,
            // No try of a person mends these.
            Self::Blocked | Self::DiscoveryIssuer | Self::EndpointHost => Page::Unusable,
            Self::StoreDown => Page::Store,
            Self::Method => Page::Method,
            Self::ParamDuplicate
            | Self::StateMalformed
            | Self::StateUnknown
            | Self::StateUsed
            | Self::ProviderMismatch
            | Self::BrowserMismatch
            | Self::IssMissing
            | Self::IssMismatch
            | Self::CodeMissing
            | Self::AppCode
            | Self::TokenGrant
            | Self::LinkBrowser => Page::Again,
            Self::SessionChanged => Page::Session,
            Self::LinkStaleAuth => Page::Fresh,
            Self::Tenant | Self::Hd => Page::Account,
            Self::Denied => Page::Denied,
            Self::ProviderTrouble => Page::ProviderFault,
            Self::Misconfigured | Self::TokenClient => Page::Misconfigured,
            Self::ProviderDisabled => Page::Off,
            Self::UserDisabled => Page::Closed,
            Self::SignUpClosed => Page::Newcomer,
            Self::LinkTaken => Page::Taken,
            Self::LinkLastMethod => Page::Last,
            _ => Page::Answer,
        }
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.page().status()
    }

    /// What the keys of the page's texts begin with: `upstream-again`, and `upstream-again-title`.
    #[must_use]
    pub const fn stem(self) -> &'static str {
        self.page().stem()
    }

    /// The same for whoever connects a provider to their account, and so is signed in all the while.
    #[must_use]
    pub const fn stem_connecting(self) -> &'static str {
        match self.page() {
            Page::Again => "upstream-again-connecting",
            Page::Denied => "upstream-denied-connecting",
            Page::ProviderFault => "upstream-trouble-connecting",
            Page::Away => "upstream-away-connecting",
            Page::Answer => "upstream-answer-connecting",
            Page::Misconfigured | Page::Unusable => "upstream-misconfigured-connecting",
            Page::Account => "upstream-account-connecting",
            Page::Off => "upstream-off-connecting",
            other => other.stem(),
        }
    }

    /// Whether ops must look: the provider or our settings are wrong, and no try of a person mends that (UE-01, DJ-07).
    #[must_use]
    pub const fn alerts(self) -> bool {
        matches!(self.page(), Page::Misconfigured | Page::Unusable)
    }

    /// Seconds in Retry-After, for those that pass by themselves (UE-04).
    #[must_use]
    pub const fn retry_after(self) -> Option<u32> {
        if matches!(self.page(), Page::Away | Page::Store) {
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

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FederationError {
    /// Which.
    pub code: RefusalCode,
    /// For the log and the trail alone: words of ours, never a secret, an address or a token. What an upstream said
    /// stands in it only through [`upstream_words`].
    pub detail: String,
}

impl FederationError {
    /// With words for the log.
    pub fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

impl From<RefusalCode> for FederationError {
    fn from(code: RefusalCode) -> Self {
        Self {
            code,
            detail: String::new(),
        }
    }
}

impl fmt::Display for FederationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

/// What an upstream wrote, fit for one line of the log: at most 200 characters, none of them a control (UE-03).
#[must_use]
pub fn upstream_words(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests;
