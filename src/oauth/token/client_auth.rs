//! Who the client is (RFC 6749 §2.3, RFC 9700 §2.5): a public client names itself, and PKCE shows that it began the
//! flow; others show their secret, in the one way that they registered.
//!
//! Unknown clients, wrong secrets and wrong ways hear the same (CA-4). Secrets have 256 bits, so that nobody guesses
//! one; failures are counted by network all the same, and only failures: a right secret waits for nobody's count and
//! needs no store.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poem::{Request, http::header};

use crate::{
    app::App,
    client,
    config::{Client, ClientAuth, Config},
    limit,
    oauth::{
        error::{Code, OauthError},
        refused::Refused,
    },
    secret::{Hash, Text},
    web::{
        caller::Caller,
        cors,
        params::{Params, form_decode},
    },
};

/// The longest identifier and secret.
const MAX_ID: usize = 255;
const MAX_SECRET: usize = 512;

/// What everybody hears who is not believed.
pub const UNKNOWN: OauthError =
    OauthError::new(Code::InvalidClient, "The client is unknown or did not authenticate as registered.");

/// What a request shows of its client.
struct Shown {
    id: String,
    /// In which way; none for one that we do not know.
    method: Option<ClientAuth>,
    secret: Text,
}

/// The client of a request, for every endpoint where clients authenticate (CA-7).
///
/// # Errors
/// `invalid_request` if no client is named, or two ways are used at once (RFC 6749 §2.3); else `invalid_client`, with
/// a challenge if the Authorization header was used; 429 after too many failures.
pub async fn authenticate<'a>(
    app: &App,
    config: &'a Config,
    request: &Request,
    params: &Params,
    caller: &Caller,
) -> Result<&'a Client, Refused> {
    let shown = shown(request, params)?;
    let client = client::find(config, &shown.id);
    if let Some(client) = client {
        cors::spoken_by(request, &client.allowed_origins);
    }
    let secret = secret_fits(client, &shown.secret);
    let proven = secret || shown.method == Some(ClientAuth::None);
    if let Some(client) = client.filter(|client| proven && shown.method == Some(client.token_endpoint_auth_method)) {
        return Ok(client);
    }
    let subject = Hash::of(caller.network.as_bytes());
    // While the store is away nothing is counted, and the refusal stands.
    let wait = limit::hit(&app.tickets, "client", &subject, &config.limits.client_failures).await;
    Err(match wait {
        Ok(Some(wait)) => Refused::TooMany(wait),
        _ if request.headers().contains_key(header::AUTHORIZATION) => Refused::Challenge(UNKNOWN),
        _ => Refused::Client(UNKNOWN),
    })
}

/// The client of a request, which must have a secret: who asks about tokens is not just anybody (RFC 7662 §2.1).
///
/// # Errors
/// As [`authenticate`], and `invalid_client` for a public client.
pub async fn confidential<'a>(
    app: &App,
    config: &'a Config,
    request: &Request,
    params: &Params,
    caller: &Caller,
) -> Result<&'a Client, Refused> {
    let client = authenticate(app, config, request, params, caller).await?;
    if client.token_endpoint_auth_method == ClientAuth::None { Err(UNKNOWN.into()) } else { Ok(client) }
}

fn shown(request: &Request, params: &Params) -> Result<Shown, Refused> {
    let twice = OauthError::new(Code::InvalidRequest, "The client authenticates in two ways at once.");
    let id = params.one_within("client_id", MAX_ID)?;
    let secret = params.one_within("client_secret", MAX_SECRET)?;
    let assertion = params.has("client_assertion");
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    if let Some(value) = headers.next() {
        if headers.next().is_some() || secret.is_some() || assertion {
            return Err(twice.into());
        }
        let Some((basic, secret)) = value.to_str().ok().and_then(basic) else {
            return Ok(Shown { id: id.unwrap_or_default().to_owned(), method: None, secret: Text::default() });
        };
        if id.is_some_and(|id| id != basic) {
            let words = "The parameter client_id is not the client that authenticates.";
            return Err(OauthError::new(Code::InvalidRequest, words).into());
        }
        return Ok(Shown { id: basic, method: Some(ClientAuth::ClientSecretBasic), secret });
    }
    let Some(id) = id else {
        return Err(OauthError::new(Code::InvalidRequest, "The parameter client_id is missing.").into());
    };
    let method = match (secret, assertion) {
        (Some(_), true) => return Err(twice.into()),
        (Some(_), false) => Some(ClientAuth::ClientSecretPost),
        (None, true) => None,
        (None, false) => Some(ClientAuth::None),
    };
    Ok(Shown { id: id.to_owned(), method, secret: Text::new(secret.unwrap_or_default().to_owned()) })
}

/// RFC 6749 §2.3.1: identifier and secret, each form-encoded, joined by a colon, in base64 (RFC 7617 §2).
fn basic(value: &str) -> Option<(String, Text)> {
    let (scheme, credentials) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(credentials.trim()).ok()?;
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let (id, secret) = (form_decode(id.as_bytes())?, form_decode(secret.as_bytes())?);
    (id.len() <= MAX_ID && secret.len() <= MAX_SECRET).then(|| (id, Text::new(secret)))
}

/// CA-5: whether the secret is one of the client's two at most, each compared in constant time. As many comparisons for
/// an unknown client.
fn secret_fits(client: Option<&Client>, secret: &Text) -> bool {
    let given = Hash::of(secret.expose().as_bytes());
    let hashes = client.map(|client| client.client_secret_sha256.as_slice()).unwrap_or_default();
    (0..2).fold(false, |fits, at| {
        let hash = hashes.get(at).and_then(|hex| Hash::from_hex(hex));
        // Something that is never equal, so that a missing one takes as long.
        let other = hash.unwrap_or_else(|| Hash::of(given.as_bytes()));
        (other == given) | fits
    })
}
