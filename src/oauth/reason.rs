//! The reasons of this module, for the log and the audit log: why a request was refused. Clients never
//! receive them.
//!
//! The words are a contract with operators, in `docs/operations.md`: none is ever changed. Why an access
//! token is not live has words of its own ([`super::access_token::InactiveToken`]), and so has a grant
//! that is not live ([`super::grant_check::GrantEnd`]).

use crate::audit::AuditReason;

/// Defines each reason in one row: what it means, and its word.
macro_rules! reasons {
    ($($(#[doc = $meaning:literal])+ $reason:ident = $word:literal,)+) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Reason {
            $($(#[doc = $meaning])+ $reason,)+
        }

        impl Reason {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$reason),+];

            /// Returns the word in the log and the audit log.
            #[must_use]
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => $word),+
                }
            }
        }
    };
}

reasons! {
    /// A network failed to authenticate too often.
    TooManyFailures = "too_many_failures",
    /// A client or its network sent too many requests.
    TooManyRequests = "too_many_requests",

    /// No client has this name.
    UnknownClient = "unknown_client",
    /// The client authenticated by another method than its registered one.
    OtherAuthMethod = "other_auth_method",
    /// The secret is wrong.
    Secret = "secret",

    /// The assertion is not issued by this client about itself.
    AssertionIssuer = "issuer",
    /// The assertion is for another service.
    AssertionAudience = "audience",
    /// The assertion never expires.
    AssertionWithoutExpiry = "no_expiry",
    /// The assertion has expired, or lives too long.
    AssertionExpiry = "expiry",
    /// The assertion was made too long ago.
    AssertionOld = "old",
    /// The assertion begins to be valid in the future.
    AssertionAhead = "ahead",
    /// The assertion has no usable identifier.
    AssertionWithoutJti = "no_jti",
    /// A time in the assertion is not a number.
    AssertionNumber = "number",
    /// The assertion is not signed by a key of this client.
    AssertionSignature = "signature",
    /// The profile of the client does not allow the algorithm of the assertion.
    AssertionAlgorithm = "algorithm",
    /// The assertion was used before.
    AssertionReplayed = "replayed",
    /// The ticket store cannot know yet whether the assertion was used before.
    AssertionsOfBeforeUnknown = "assertions_of_before_unknown",
    /// The client's own keys cannot be fetched.
    ClientKeysUnavailable = "client_keys_unavailable",

    /// The client must push its requests, and this one was not pushed.
    RequestNotPushed = "request_not_pushed",
    /// The user returned to the client and ended the sign-in.
    TurnedBack = "turned_back",

    /// The text is no code or refresh token of ours.
    Malformed = "malformed",
    /// The code is unknown, expired or used.
    NotLive = "not_live",
    /// Another request was faster.
    Raced = "raced",
    /// An instance of another version stored the code in a form that this one cannot read.
    Unreadable = "unreadable",
    /// The code, token or grant belongs to another client.
    OtherClient = "other_client",
    /// The redirect URI is not that of the authorization request.
    RedirectUri = "redirect_uri",
    /// The client does not have the redirect URI any more.
    RedirectUriNotRegistered = "redirect_uri_not_registered",
    /// The verifier does not match the challenge, or only one of them was sent.
    CodeVerifier = "code_verifier",
    /// The grant of the code was stored before.
    GrantExists = "grant_exists",
    /// A code came again after the time of races: its grant was ended.
    CodeReplayed = "code_replayed",

    /// The secret of the refresh token was never one of its family.
    Foreign = "foreign",
    /// The refresh token names no grant.
    Unknown = "unknown",
    /// The grant was revoked.
    Revoked = "revoked",
    /// The client or the scope does not allow a refresh any more.
    NotAllowed = "not_allowed",
    /// The refresh token was not used for too long.
    Idle = "idle",
    /// The successor of a repeated refresh token cannot be opened.
    SuccessorUnreadable = "successor_unreadable",
    /// A used refresh token came back: the response says no more.
    Reused = "reused",
    /// As `Reused`, in the audit log: the grant was ended.
    RefreshTokenReused = "refresh_token_reused",

    /// The session or the user's sign-in has ended.
    SignInEnded = "sign_in_ended",
    /// The account at a provider was disconnected.
    IdentityDisconnected = "identity_disconnected",
    /// The user does not allow this access any more.
    ConsentWithdrawn = "consent_withdrawn",

    /// The request shows no proof of possession, and must.
    NoProof = "no_proof",
    /// The proof is by another key than the token or the request names.
    ProofOtherKey = "proof_other_key",
    /// The code or grant is bound to a key of which the request shows no proof.
    OtherKey = "other_key",

    /// A token exchange names an actor by a token.
    ActorToken = "actor_token",
    /// A token exchange brings or requests another type of token than access tokens.
    ExchangeTokenType = "exchange_token_type",
    /// The token to exchange is one that a client got for itself.
    SubjectIsNoUser = "subject_is_no_user",
    /// The token to exchange is for an API that is not the client's.
    SubjectOfOtherAudience = "subject_of_other_audience",
    /// The token was exchanged as often as is allowed.
    ExchangedTooOften = "exchanged_too_often",

    /// The access token lacks a scope.
    InsufficientScope = "insufficient_scope",
    /// A client's request to sign the user out is wrong.
    SignOutRequestInvalid = "sign_out_request_invalid",
}

impl AuditReason for Reason {
    fn word(self) -> &'static str {
        self.as_str()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn od_4_every_reason_has_a_word_of_its_own_and_a_row_for_operators() {
        let words: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len(), "two reasons share a word");
        let page = include_str!("../../docs/operations.md");
        let rows: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        let is_listed = |word: &str| rows.iter().any(|row| row.contains(&format!("`{word}`")));
        let missing: Vec<_> = words.into_iter().filter(|word| !is_listed(word)).collect();
        assert!(missing.is_empty(), "no row for {missing:?}");
    }
}
