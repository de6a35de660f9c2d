//! Judges the proof of a request: whether it is right and recent, and whether it is shown for the
//! first time.

use std::time::Duration;

use poem::Request;

use super::nonce;
use crate::{
    app::App,
    clock::Time,
    config::{Client, DpopNonce, Reloadable},
    error::InfraError,
    key::{ExpectedProof, Proof, verify_proof},
    limit,
    secret::Hash,
    telemetry::metrics,
    ticket::{Once, Payer, TicketKind},
};

const HEADER: &str = "dpop";

/// The greatest age of a proof by the clock of its maker, in seconds.
const MAX_AGE: i64 = 60;

/// How far that clock may be ahead of ours, in seconds.
const MAX_AHEAD: i64 = 30;

/// A ticket store whose data began less than this many seconds before a proof was made may have lost
/// its use (RD-09). It is more than [`MAX_AHEAD`], so that no clock ahead of ours carries a proof over
/// the loss.
const STORE_MARGIN: i64 = 60;

/// By how much a nonce must be younger than the data of the ticket store. The clock of the instance
/// that made the nonce may be ahead of the clock that says when the data began: without a margin a
/// nonce from before the loss would pass, and with it a proof that the lost data remembered. It is less
/// than [`nonce::MAX_AHEAD`], because no proof passes for so long after a loss, and synchronized clocks
/// differ by far less.
const NONCE_MARGIN: Duration = Duration::from_secs(5);

/// How far the clocks of two instances may differ, in seconds.
const CLOCK_MARGIN: i64 = 30;

/// What a proof must be for, beside the method of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProofTarget<'a> {
    /// The path of the endpoint below our public URL. The address at which a request arrived does not
    /// count (PP-2).
    pub(crate) path: &'a str,
    /// The access token of the request, if it has one.
    pub(crate) token: Option<&'a str>,
}

/// A proof that is right and recent, and may have been shown before.
#[derive(Debug)]
pub(crate) struct CheckedProof {
    proof: Proof,
    /// When the nonce of the proof was made; none for a proof that is recent by its own time.
    nonce_made_at: Option<Time>,
    /// A newer nonce, where that one gets old.
    next_nonce: Option<String>,
}

impl CheckedProof {
    /// Returns the thumbprint of the key.
    #[must_use]
    pub(crate) fn jkt(&self) -> &str {
        &self.proof.jkt
    }

    /// Returns the nonce that the response brings, if it brings one (RFC 9449 §8.2).
    #[must_use]
    pub(crate) fn next_nonce(&self) -> Option<&str> {
        self.next_nonce.as_deref()
    }
}

/// Why a proof is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DpopError {
    /// The proof is wrong, or was shown before; the reason for the log.
    #[error("{0}")]
    Invalid(&'static str),
    /// The proof needs this nonce (RFC 9449 §8).
    #[error("the proof needs a nonce")]
    UseNonce(String),
    /// The client or the session has shown too many; how long it must wait.
    #[error("too many proofs")]
    TooMany(Duration),
    #[error(transparent)]
    Infra(#[from] InfraError),
}

impl DpopError {
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::UseNonce(_) => "nonce_demanded",
            Self::TooMany(_) => "limited",
            Self::Infra(_) => "failed",
        }
    }
}

fn counted<T>(result: Result<T, DpopError>) -> Result<T, DpopError> {
    result.inspect_err(|error| metrics::dpop_proof(error.outcome()))
}

/// Reads and checks the proof of a request; none if it shows none. Nothing is stored.
///
/// # Errors
/// [`DpopError::Invalid`] for a wrong proof or more than one; [`DpopError::UseNonce`] for one that is
/// not recent.
pub(crate) fn read(
    app: &App,
    config: &Reloadable,
    request: &Request,
    target: ProofTarget<'_>,
) -> Result<Option<CheckedProof>, DpopError> {
    read_by(app, config, request, target, ProofTime::OwnOrNonce)
}

/// Reads and checks the proof of a request whose client is known, as its profile demands.
///
/// # Errors
/// As [`read`]; [`DpopError::Invalid`] also for a proof that is not recent by its own time, where the
/// profile of the client demands it (PP-3).
pub(crate) fn read_of_client(
    app: &App,
    config: &Reloadable,
    request: &Request,
    target: ProofTarget<'_>,
    client: &Client,
) -> Result<Option<CheckedProof>, DpopError> {
    let time = if client.demands().proof_time_counts {
        ProofTime::Own
    } else {
        ProofTime::OwnOrNonce
    };
    read_by(app, config, request, target, time)
}

/// Which time of a proof counts (PP-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProofTime {
    /// That of its nonce, and without one its own.
    OwnOrNonce,
    /// Its own, whatever its nonce says: the FAPI 2.0 Security Profile §5.3.2.1 refuses a proof of a
    /// wrong clock.
    Own,
}

fn read_by(
    app: &App,
    config: &Reloadable,
    request: &Request,
    target: ProofTarget<'_>,
    time: ProofTime,
) -> Result<Option<CheckedProof>, DpopError> {
    if !request.headers().contains_key(HEADER) {
        return Ok(None);
    }
    counted(check(app, config, request, target, time)).map(Some)
}

fn check(
    app: &App,
    config: &Reloadable,
    request: &Request,
    target: ProofTarget<'_>,
    time: ProofTime,
) -> Result<CheckedProof, DpopError> {
    let mut headers = request.headers().get_all(HEADER).iter();
    // RFC 9449 §4.3, check 1.
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err(DpopError::Invalid("proof_repeated"));
    };
    let text = header
        .to_str()
        .map_err(|_| DpopError::Invalid("proof_malformed"))?;
    let expected = ExpectedProof {
        method: request.method().as_str(),
        url: &format!("{}{}", app.public_url, target.path),
        token: target.token,
    };
    let now = app.clock().now();
    let proof =
        verify_proof(text, &expected, now).map_err(|error| DpopError::Invalid(error.as_str()))?;
    if time == ProofTime::Own && !is_recent(proof.iat, now) {
        return Err(DpopError::Invalid("proof_time"));
    }
    let nonce_made_at = check_time(app, config, &proof, now)?;
    let is_old = |at: Time| now.since(at) > nonce::RENEWED_AFTER;
    let next_nonce = nonce_made_at
        .is_some_and(is_old)
        .then(|| nonce::make(&app.macs.dpop_nonce, now));
    Ok(CheckedProof {
        proof,
        nonce_made_at,
        next_nonce,
    })
}

/// PP-3: a proof is recent by its own time, or by the nonce that it shows: then its own time does not
/// count, so that a client whose clock is wrong gets through and an old proof does not. Returns when
/// the nonce was made.
fn check_time(
    app: &App,
    config: &Reloadable,
    proof: &Proof,
    now: Time,
) -> Result<Option<Time>, DpopError> {
    let demand = || DpopError::UseNonce(nonce::make(&app.macs.dpop_nonce, now));
    if let Some(nonce) = &proof.nonce {
        let made_at = nonce::made_at(&app.macs.dpop_nonce, nonce, now);
        return made_at.map(Some).ok_or_else(demand);
    }
    if is_recent(proof.iat, now) && config.token.dpop_nonce == DpopNonce::Needed {
        Ok(None)
    } else {
        Err(demand())
    }
}

fn is_recent(iat: i64, now: Time) -> bool {
    let now = now.seconds();
    (now - MAX_AGE..=now + MAX_AHEAD).contains(&iat)
}

/// Records that a proof was shown: each `jti` of a key counts once while the proof could pass (PP-5).
/// What has a right to be here is known before: `payer` is the client that authenticated, or the
/// session or user that the code, the grant or the token of `client_id` belongs to.
///
/// # Errors
/// [`DpopError::Invalid`] for one that was shown before; [`DpopError::UseNonce`] where the ticket
/// store may have lost that it was (RD-09); [`DpopError::TooMany`] over the budget of the payer;
/// [`DpopError::Infra`] in the first seconds of the store, in which no nonce helps (PP-6).
pub(crate) async fn claim(
    app: &App,
    proof: &CheckedProof,
    payer: Payer,
    client_id: &str,
) -> Result<(), DpopError> {
    counted(claim_first(app, proof, payer, client_id).await)?;
    metrics::dpop_proof("accepted");
    Ok(())
}

async fn claim_first(
    app: &App,
    proof: &CheckedProof,
    payer: Payer,
    client_id: &str,
) -> Result<(), DpopError> {
    if let Some(wait) = limit::peek_proof(&app.tickets, payer, client_id).await? {
        return Err(DpopError::TooMany(wait));
    }
    let now = app.clock().now();
    let Proof { jkt, jti, .. } = &proof.proof;
    let id = Hash::of(format!("dpop {jkt} {jti}").as_bytes());
    let ttl = remembered_for(proof, now);
    let tickets = app.tickets.charged_to(payer);
    match tickets.once(TicketKind::Jti, &id, ttl, now).await? {
        Once::First { since } if is_after(proof, since) => {
            Ok(limit::count_proof(&app.tickets, payer, client_id).await?)
        }
        Once::First { since } if now < since + NONCE_MARGIN => Err(no_nonce_helps().into()),
        Once::Forgotten => Err(no_nonce_helps().into()),
        Once::First { .. } => Err(DpopError::UseNonce(nonce::make(
            &app.macs.dpop_nonce,
            app.clock().now(),
        ))),
        Once::Again => Err(DpopError::Invalid("proof_replayed")),
    }
}

/// The error for a proof that comes so soon after the data of the ticket store began that a nonce of now would not
/// be believed either: a client that repeats its request at once with a nonce would fail for good.
fn no_nonce_helps() -> InfraError {
    InfraError::Unavailable {
        dependency: "ticket store",
        cause: "its data has just begun, so no proof is known to be new".to_owned(),
    }
}

/// Returns how long a proof could still pass at some instance.
fn remembered_for(proof: &CheckedProof, now: Time) -> Duration {
    let nonce_ttl = i64::try_from(nonce::TTL.as_secs()).unwrap_or(i64::MAX);
    let end = match proof.nonce_made_at {
        Some(made_at) => made_at.seconds() + nonce_ttl,
        None => proof.proof.iat + MAX_AGE,
    };
    let remaining = end - now.seconds() + CLOCK_MARGIN;
    Duration::from_secs(u64::try_from(remaining).unwrap_or(1).max(1))
}

/// RD-09: whether the proof was made after the data of the ticket store began. With a nonce only the
/// nonce shows it, since the clock of the client may be wrong by more than any margin.
fn is_after(proof: &CheckedProof, since: Time) -> bool {
    match proof.nonce_made_at {
        Some(made_at) => made_at >= since + NONCE_MARGIN,
        None => proof.proof.iat >= since.seconds() + STORE_MARGIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    fn at(seconds: i64) -> Time {
        Time(NOW.0 + seconds * 1000)
    }

    fn shown(iat: i64, nonce_made_at: Option<Time>) -> CheckedProof {
        CheckedProof {
            proof: Proof {
                jkt: "key".to_owned(),
                jti: "one".to_owned(),
                iat: at(iat).seconds(),
                nonce: nonce_made_at.map(|_| "nonce".to_owned()),
            },
            nonce_made_at,
            next_nonce: None,
        }
    }

    #[test]
    fn pp_3_a_proof_is_recent_from_60_s_old_to_30_s_ahead() {
        for (iat, expected) in [
            (-61, false),
            (-60, true),
            (0, true),
            (30, true),
            (31, false),
        ] {
            assert_eq!(is_recent(at(iat).seconds(), NOW), expected, "{iat}");
        }
        assert!(!is_recent(i64::MAX, NOW) && !is_recent(i64::MIN, NOW));
    }

    #[test]
    fn pp_5_a_proof_is_remembered_for_longer_than_it_can_pass() {
        for (iat, nonce, expected) in [
            // Until it is 60 s old, and as long as another clock may be behind.
            (0, None, 90),
            (30, None, 120),
            (-60, None, 30),
            // Until the nonce is 300 s old, whatever its own time says.
            (0, Some(at(0)), 330),
            (-9999, Some(at(-299)), 31),
            (i64::from(i32::MAX), Some(at(0)), 330),
        ] {
            let actual = remembered_for(&shown(iat, nonce), NOW);
            assert_eq!(actual, Duration::from_secs(expected), "{iat} {nonce:?}");
        }
    }

    #[test]
    fn pp_6_after_a_loss_a_proof_needs_a_later_nonce_or_a_minute() {
        for (iat, nonce, expected) in [
            (59, None, false),
            (60, None, true),
            (3600, Some(Time(NOW.0 - 1)), false),
            // Made before the loss by an instance whose clock is ahead.
            (3600, Some(Time(NOW.0 + 4_999)), false),
            (-3600, Some(at(5)), true),
        ] {
            assert_eq!(
                is_after(&shown(iat, nonce), NOW),
                expected,
                "{iat} {nonce:?}"
            );
        }
    }
}
