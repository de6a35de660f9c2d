//! What a proof of possession binds (RFC 9449 §5, §10): codes, grants and access tokens.
//!
//! `crate::dpop` judges a proof by itself. Here it is compared with what the request asks for: whether
//! the client must show one, and whether it is by the key to which the code or the grant is bound.

use serde::Serialize;
use uuid::Uuid;

use super::{
    authorize::request::AuthorizationParams,
    client_auth::TokenRequest,
    error::{EndpointError, ErrorCode, INVALID_PROOF, OauthError},
    grant_store::Grant,
    reason::Reason,
};
use crate::{
    audit::{Event, Kind as AuditKind},
    client::resource::demands_proof,
    config::ClientAuth,
    dpop::{self, CheckedProof},
    error::InfraError,
    limit,
    secret::Hash,
    ticket::Payer,
};

/// The claim `cnf` of a bound access token (RFC 9449 §6.1).
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Confirmation<'a> {
    jkt: &'a str,
}

impl<'a> Confirmation<'a> {
    #[must_use]
    pub(crate) fn of(jkt: Option<&'a str>) -> Option<Self> {
        jkt.map(|jkt| Self { jkt })
    }
}

/// Returns the type of an access token (RFC 6749 §7.1, RFC 9449 §5).
#[must_use]
pub(crate) const fn token_type(is_bound: bool) -> &'static str {
    if is_bound { "DPoP" } else { "Bearer" }
}

const OTHER_KEY: OauthError = OauthError::new(
    ErrorCode::InvalidGrant,
    "The code or refresh token is bound to a key, of which the request shows no proof.",
)
.with_reason(Reason::OtherKey);

impl<'a> TokenRequest<'a> {
    /// Returns the thumbprint of the key that the request proves.
    #[must_use]
    pub(crate) fn jkt(&self) -> Option<&'a str> {
        self.proof.map(CheckedProof::jkt)
    }

    /// RFC 9449 §5.2: a client that is registered so gets tokens only with a proof (PP-7).
    ///
    /// # Errors
    /// `invalid_request`.
    pub(crate) fn check_proof_is_shown(&self) -> Result<(), OauthError> {
        if self.proof.is_some() || !self.client.dpop_bound_access_tokens {
            return Ok(());
        }
        let description =
            "The client is registered for tokens that are bound to a key: send a DPoP proof.";
        Err(OauthError::new(ErrorCode::InvalidRequest, description).with_reason(Reason::NoProof))
    }

    /// RS-3: tokens for an API that demands it are issued only with a proof.
    ///
    /// # Errors
    /// `invalid_request`.
    pub(crate) fn check_proof_for(&self, audience: &str) -> Result<(), OauthError> {
        if self.proof.is_some() || !demands_proof(self.config, self.client, audience) {
            return Ok(());
        }
        let description = "Tokens for this API are bound to a key: send a DPoP proof.";
        Err(OauthError::new(ErrorCode::InvalidRequest, description).with_reason(Reason::NoProof))
    }

    /// Returns whether the request lacks a proof that the audience of its tokens may demand: then the
    /// audience is to be known before anything is spent.
    #[must_use]
    pub(crate) fn may_lack_proof(&self) -> bool {
        self.proof.is_none() && self.config.resources.iter().any(|resource| resource.dpop)
    }

    /// Makes sure that the proof, if the request shows one, was never shown before. A client that has
    /// authenticated pays for it, and else `payer`.
    ///
    /// # Errors
    /// `invalid_dpop_proof`, `use_dpop_nonce`, 429, or 503 while the ticket store is away.
    pub(crate) async fn claim_proof(&self, payer: Payer) -> Result<(), EndpointError> {
        let Some(proof) = self.proof else {
            return Ok(());
        };
        let payer = match self.client.token_endpoint_auth_method {
            ClientAuth::None => payer,
            _ => Payer::Client(Hash::of(self.client.client_id.as_bytes())),
        };
        Ok(dpop::claim(self.app, proof, payer, &self.client.client_id).await?)
    }

    /// RFC 9449 §10: a code that is bound to a key is redeemed with a proof by that key (PP-8).
    ///
    /// # Errors
    /// `invalid_grant`.
    pub(crate) fn check_key_of_code(&self, jkt: Option<&str>) -> Result<(), OauthError> {
        if jkt.is_none() || jkt == self.jkt() {
            return Ok(());
        }
        Err(OTHER_KEY)
    }

    /// RFC 9449 §5: a bound grant gives no bearer token. A public client has nothing but its key to
    /// show that the refresh token is its own; any other client has authenticated, and may have changed
    /// its key (PP-9).
    ///
    /// # Errors
    /// `invalid_grant`.
    pub(crate) fn check_key_of_grant(&self, grant: &Grant) -> Result<(), OauthError> {
        let Some(bound) = grant.dpop_jkt.as_deref() else {
            return Ok(());
        };
        let is_right = match (self.client.token_endpoint_auth_method, self.jkt()) {
            (_, None) => false,
            (ClientAuth::None, Some(shown)) => shown == bound,
            (_, Some(_)) => true,
        };
        if is_right { Ok(()) } else { Err(OTHER_KEY) }
    }

    /// Records that a code or a grant was refused for its key. The refusal stands whether or not this
    /// succeeds.
    pub(crate) async fn record_key_refusal(&self, grant: Uuid, event: Event) {
        if let Err(error) = self.try_record_key_refusal(grant, event).await {
            tracing::warn!(cause = %error, "a refusal is not in the audit log");
        }
    }

    async fn try_record_key_refusal(&self, grant: Uuid, event: Event) -> Result<(), InfraError> {
        let (tickets, caller) = (&self.app.tickets, self.caller.ip);
        let wait = limit::key_refusal(tickets, caller, grant).await?;
        if wait.is_some() {
            return Ok(());
        }
        let tx = self.app.db.begin().await?;
        event.record(&tx).await?;
        tx.commit().await
    }

    /// An audit event for a refusal because of a key.
    #[must_use]
    pub(crate) fn key_refusal_event(&self) -> Event {
        self.event(AuditKind::TokenRefused).reason(Reason::OtherKey)
    }

    /// RFC 9449 §10.1: the proof of a push binds the code as `dpop_jkt` does. Both must name one key
    /// (PP-8).
    ///
    /// # Errors
    /// `invalid_dpop_proof`.
    pub(crate) fn bind_push(&self, params: &mut AuthorizationParams) -> Result<(), OauthError> {
        let Some(shown) = self.jkt() else {
            return Ok(());
        };
        if params
            .dpop_jkt
            .as_deref()
            .is_some_and(|named| named != shown)
        {
            let error = OauthError::new(ErrorCode::InvalidDpopProof, INVALID_PROOF);
            return Err(error.with_reason(Reason::ProofOtherKey));
        }
        params.dpop_jkt = Some(shown.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
