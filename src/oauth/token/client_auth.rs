//! Who the client is (RFC 6749 §2.3, RFC 9700 §2.5): a public client names itself, and PKCE shows that it began the
//! flow; others show their secret, or what they have signed, in the one way that they registered.
//!
//! Unknown clients, wrong secrets, wrong assertions and wrong ways hear the same (CA-4). Secrets have 256 bits, so that
//! nobody guesses one; failures are counted by network all the same, and only failures: a right secret waits for
//! nobody's count and needs no store. A signature costs far more to check than a secret, so that assertions are looked at
//! only while a count has room: that of the wrong ones of this client from this network, so that nobody waits for what a
//! neighbour gets wrong as somebody else.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poem::{Request, http::header};

use super::assertion::{self, Doubt};
use crate::{
    app::App,
    client,
    config::{Client, ClientAuth, Reloadable},
    key::Foreign,
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
pub const UNKNOWN: OauthError = OauthError::new(
    Code::InvalidClient,
    "The client is unknown or did not authenticate as registered.",
);

/// What a request shows of its client.
struct Shown {
    id: String,
    /// In which way; none for one that we do not know.
    method: Option<ClientAuth>,
    proof: Proof,
}

/// What should prove it.
enum Proof {
    /// A name alone, or a secret, which is empty then.
    Secret(Text),
    /// Something signed.
    Assertion(Box<Foreign>),
}

/// The client of a request, for every endpoint where clients authenticate (CA-7).
///
/// # Errors
/// `invalid_request` if no client is named, or two ways are used at once (RFC 6749 §2.3); else `invalid_client`, with
/// a challenge if the Authorization header was used; 429 after too many failures; 503 for an assertion while nobody can
/// tell whether it is new (RD-08, RD-09).
pub async fn authenticate<'a>(
    app: &App,
    config: &'a Reloadable,
    request: &Request,
    params: &Params,
    caller: &Caller,
) -> Result<&'a Client, Refused> {
    let shown = shown(request, params)?;
    let client = client::find(config, &shown.id);
    if let Some(client) = client {
        cors::restrict_to_origins(request, &client.allowed_origins);
    }
    let fits = |client: &&Client| shown.method == Some(client.token_endpoint_auth_method);
    let reason = match &shown.proof {
        Proof::Secret(secret) => {
            let proven = secret_fits(client, secret) || shown.method == Some(ClientAuth::None);
            match client.filter(fits) {
                Some(client) if proven => return Ok(client),
                _ => "secret",
            }
        }
        Proof::Assertion(signed) => match client.filter(fits) {
            Some(client) => {
                let guesses = guesses(caller, client);
                too_many(app, config, &guesses).await?;
                match assertion::check(app, client, signed).await {
                    Ok(()) => return Ok(client),
                    Err(Doubt::Refused(reason)) => {
                        // Beside the count of all failures here: while the store is away no assertion counts anyway.
                        let _ = limit::hit(
                            &app.tickets,
                            RULE,
                            &guesses,
                            &config.limits.client_failures,
                        )
                        .await;
                        reason
                    }
                    Err(Doubt::Later(wait)) => return Err(Refused::Later(wait)),
                    Err(Doubt::Ours(failure)) => return Err(failure.into()),
                }
            }
            None => "assertion",
        },
    };
    Err(not_believed(app, config, request, caller, reason).await)
}

/// The one refusal, counted. While the store is away nothing is counted, and the refusal stands.
async fn not_believed(
    app: &App,
    config: &Reloadable,
    request: &Request,
    caller: &Caller,
    reason: &'static str,
) -> Refused {
    let subject = Hash::of(caller.network.as_bytes());
    let error = UNKNOWN.for_trail(reason);
    match limit::hit(&app.tickets, RULE, &subject, &config.limits.client_failures).await {
        Ok(Some(wait)) => Refused::TooMany(wait),
        _ if request.headers().contains_key(header::AUTHORIZATION) => Refused::Challenge(error),
        _ => Refused::Client(error),
    }
}

/// The rule that counts failures.
const RULE: &str = "client";

/// Wrong assertions of one client from one network. Only for a client that is registered: made-up names take no room.
fn guesses(caller: &Caller, client: &Client) -> Hash {
    Hash::of(format!("{} {}", caller.network, client.client_id).as_bytes())
}

/// Refuses, counting nothing, where too many were wrong. While the store is away no assertion counts anyway.
async fn too_many(app: &App, config: &Reloadable, guesses: &Hash) -> Result<(), Refused> {
    match limit::look(&app.tickets, RULE, guesses, &config.limits.client_failures).await {
        Ok(Some(wait)) => Err(Refused::TooMany(wait)),
        _ => Ok(()),
    }
}

/// The client of a request, which must show more than its name: who asks about tokens is not just anybody (RFC 7662 §2.1).
///
/// # Errors
/// As [`authenticate`], and `invalid_client` for a public client.
pub async fn confidential<'a>(
    app: &App,
    config: &'a Reloadable,
    request: &Request,
    params: &Params,
    caller: &Caller,
) -> Result<&'a Client, Refused> {
    let client = authenticate(app, config, request, params, caller).await?;
    if client.token_endpoint_auth_method == ClientAuth::None {
        Err(UNKNOWN.into())
    } else {
        Ok(client)
    }
}

fn shown(request: &Request, params: &Params) -> Result<Shown, Refused> {
    let twice = OauthError::new(
        Code::InvalidRequest,
        "The client authenticates in two ways at once.",
    );
    let id = params.optional_within("client_id", MAX_ID)?;
    let secret = params.optional_within("client_secret", MAX_SECRET)?;
    let signed = assertion::is_shown(params);
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    let header = headers.next();
    if [header.is_some(), secret.is_some(), signed]
        .into_iter()
        .filter(|way| *way)
        .count()
        > 1
        || headers.next().is_some()
    {
        return Err(twice.into());
    }
    if let Some(value) = header {
        let Some((basic, secret)) = value.to_str().ok().and_then(basic) else {
            let proof = Proof::Secret(Text::default());
            return Ok(Shown {
                id: id.unwrap_or_default().to_owned(),
                method: None,
                proof,
            });
        };
        same(id, &basic)?;
        return Ok(Shown {
            id: basic,
            method: Some(ClientAuth::ClientSecretBasic),
            proof: Proof::Secret(secret),
        });
    }
    if signed {
        return by_assertion(params, id);
    }
    let Some(id) = id else {
        return Err(
            OauthError::new(Code::InvalidRequest, "The parameter client_id is missing.").into(),
        );
    };
    let method = if secret.is_some() {
        ClientAuth::ClientSecretPost
    } else {
        ClientAuth::None
    };
    let proof = Proof::Secret(Text::new(secret.unwrap_or_default().to_owned()));
    Ok(Shown {
        id: id.to_owned(),
        method: Some(method),
        proof,
    })
}

/// RFC 7521 §4.2: `client_id` may be left out, and is then what the assertion says; nothing is believed by that.
fn by_assertion(params: &Params, id: Option<&str>) -> Result<Shown, Refused> {
    let Some(signed) = assertion::read(params)? else {
        let proof = Proof::Secret(Text::default());
        return Ok(Shown {
            id: id.unwrap_or_default().to_owned(),
            method: None,
            proof,
        });
    };
    let named = assertion::named(&signed).to_owned();
    same(id, &named)?;
    let proof = Proof::Assertion(Box::new(signed));
    Ok(Shown {
        id: named,
        method: Some(ClientAuth::PrivateKeyJwt),
        proof,
    })
}

/// CA-6: a `client_id` in the body is that of the client that authenticates.
fn same(id: Option<&str>, authenticates: &str) -> Result<(), OauthError> {
    if id.is_none_or(|id| id == authenticates) {
        return Ok(());
    }
    Err(OauthError::new(
        Code::InvalidRequest,
        "The parameter client_id is not the client that authenticates.",
    ))
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
    let hashes = client
        .map(|client| client.client_secret_sha256.as_slice())
        .unwrap_or_default();
    (0..2).fold(false, |fits, at| {
        let hash = hashes.get(at).and_then(|hex| Hash::from_hex(hex));
        // Something that is never equal, so that a missing one takes as long.
        let other = hash.unwrap_or_else(|| Hash::of(given.as_bytes()));
        (other == given) | fits
    })
}
