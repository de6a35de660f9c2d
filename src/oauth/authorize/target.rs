//! Where and how the error of a refused request travels: the verified redirect URI, the response
//! mode, and the client's `state`.
//!
//! A redirected refusal always carries the `state` of the request (RFC 6749 §4.1.2.1, OC-1): also
//! one that is too long, repeated or otherwise the reason of the refusal.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::Deserialize;

use super::request::{ResponseMode, ResponseTarget};
use crate::{client::VerifiedRedirect, config::Client, web::params::Params};

/// The most bytes of `state` and `nonce` each (AZ-8, AZ-9, ST-15).
pub(super) const MAX_STATE: usize = 4096;

/// The longest `request` that is decoded. No URL that reaches us has a longer one.
const MAX_OBJECT: usize = 16 * 1024;

/// Reads how an error would travel. None if the request has a `state` that is not text: an error
/// without it would be worth nothing to the client.
pub(super) fn read_target(
    params: &Params,
    client: &Client,
    uri: VerifiedRedirect,
) -> Option<ResponseTarget> {
    let object = RefusedObject::read(params);
    let state = match params.first_readable("state") {
        Some(state) => Some(state.to_owned()),
        None if params.has_unreadable("state") => return None,
        None => object.state.filter(|state| is_state(state)),
    };
    let mode = params.first_readable("response_mode");
    let mode = mode.or(object.response_mode.as_deref());
    Some(ResponseTarget {
        uri,
        state,
        // An error travels in the requested mode, too (AZ-14); with an unknown mode, in the query.
        mode: mode.and_then(ResponseMode::parse).unwrap_or_default(),
        client_id: client.client_id.clone(),
    })
}

/// Whether a text could be the `state` of a query.
fn is_state(state: &str) -> bool {
    (1..=MAX_STATE).contains(&state.len()) && !state.contains(char::is_control)
}

/// What a request object (OIDC Core §6.1) says about how its refusal travels, where the query does
/// not say it. Request objects are not supported, so nothing else is read, and no signature is
/// verified: the error goes to the registered redirect URI of the query in any case (OC-10).
#[derive(Debug, Default, Deserialize)]
struct RefusedObject {
    state: Option<String>,
    response_mode: Option<String>,
}

impl RefusedObject {
    fn read(params: &Params) -> Self {
        let object = params.optional_within("request", MAX_OBJECT);
        let payload = object.ok().flatten().and_then(|object| {
            let (_, rest) = object.split_once('.')?;
            BASE64.decode(rest.split('.').next()?).ok()
        });
        payload
            .and_then(|payload| serde_json::from_slice(&payload).ok())
            .unwrap_or_default()
    }
}
