//! Client authentication (RFC 6749 §2.3, RFC 9700 §2.5), the same at every endpoint that needs it.
//!
//! A public client names itself, and PKCE shows that it began the flow. Any other client shows its
//! secret or a signed assertion, in the one way that it registered. Unknown clients, wrong secrets,
//! wrong assertions and unregistered ways get the same response (CA-4).
//!
//! Only failures are counted, by network: a right secret needs no count and no ticket store. Nor do the
//! failures of a neighbour keep a right assertion out: it is verified whatever was counted. Beyond the
//! budget wrong ones only stop causing fetches of the client's keys, and their response says so.

pub(crate) mod assertion;
mod audience;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poem::{Request, http::header};

use self::assertion::{AssertionError, KeyLookup};
use super::{
    error::{EndpointError, ErrorCode, OauthError},
    reason::Reason,
};
use crate::{
    app::App,
    audit::{Event, Kind as AuditKind},
    client,
    config::{Client, ClientAuth, GrantType, Reloadable},
    dpop::CheckedProof,
    key::ForeignToken,
    limit,
    secret::{Hash, Text},
    ticket::Payer,
    web::{
        caller::Caller,
        cors,
        named_client::NamedClient,
        params::{ParamError, Params, form_decode},
    },
};

const MAX_ID: usize = 255;
const MAX_SECRET: usize = 512;

/// The name of the budget of failures.
const FAILURE_BUDGET: &str = "client";

const NOT_AUTHENTICATED: OauthError = OauthError::new(
    ErrorCode::InvalidClient,
    "The client is unknown or did not authenticate as registered.",
);

/// A request about tokens from a client that has authenticated.
#[derive(Clone, Copy)]
pub(crate) struct TokenRequest<'a> {
    pub(crate) app: &'a App,
    pub(crate) config: &'a Reloadable,
    pub(crate) client: &'a Client,
    pub(crate) params: &'a Params,
    pub(crate) caller: &'a Caller,
    /// The proof of possession that the request shows, where the endpoint reads one.
    pub(crate) proof: Option<&'a CheckedProof>,
}

impl TokenRequest<'_> {
    /// RFC 6749 §5.2: `unauthorized_client` for a grant type that the client has not registered
    /// (TK-8).
    ///
    /// # Errors
    /// `unauthorized_client`.
    pub(crate) fn check_grant_type(&self, grant_type: GrantType) -> Result<(), OauthError> {
        if self.client.grant_types.contains(&grant_type) {
            return Ok(());
        }
        let description = "The client is not registered for this grant type.";
        Err(OauthError::new(ErrorCode::UnauthorizedClient, description))
    }

    /// RFC 7662 §2.1: an endpoint that tells about tokens is not for clients that only name
    /// themselves.
    ///
    /// # Errors
    /// `invalid_client` for a public client.
    pub(crate) fn check_client_is_confidential(&self) -> Result<(), OauthError> {
        if self.client.token_endpoint_auth_method == ClientAuth::None {
            return Err(NOT_AUTHENTICATED);
        }
        Ok(())
    }

    /// An audit event with this request's client and caller.
    #[must_use]
    pub(crate) fn event(&self, kind: AuditKind) -> Event {
        Event::new(kind)
            .client(Some(&self.client.client_id))
            .caller(&self.caller.network, &self.caller.request_id)
    }
}

/// What a request shows to authenticate its client.
struct Credentials {
    client_id: String,
    /// None for a method that we do not support.
    method: Option<ClientAuth>,
    presented: Presented,
}

/// What shows that the client is the one that it names.
enum Presented {
    /// Empty for a client that only names itself.
    Secret(Text),
    Assertion(Box<ForeignToken>),
}

impl Credentials {
    fn unsupported(client_id: Option<&str>) -> Self {
        let client_id = client_id.unwrap_or_default().to_owned();
        Self {
            client_id,
            method: None,
            presented: Presented::Secret(Text::default()),
        }
    }
}

/// Authenticates the client of a request (CA-7).
///
/// # Errors
/// `invalid_request` if the request names no client or uses two methods (RFC 6749 §2.3); 429 after
/// too many failures; 503 for an assertion while the ticket store cannot tell whether it is new
/// (RD-08, RD-09); else `invalid_client`, with a challenge if the Authorization header was used.
pub(crate) async fn authenticate_client<'a>(
    app: &'a App,
    config: &'a Reloadable,
    request: &Request,
    params: &'a Params,
    caller: &'a Caller,
) -> Result<TokenRequest<'a>, EndpointError> {
    let credentials = read_credentials(request, params)?;
    let client = client::find(config, &credentials.client_id);
    if let Some(client) = client {
        NamedClient::note(request, &client.client_id);
        cors::restrict_to_origins(request, &client.allowed_origins);
    }
    let attempt = Attempt {
        app,
        config,
        caller,
        used_header: request.headers().contains_key(header::AUTHORIZATION),
    };
    let registered =
        client.filter(|client| credentials.method == Some(client.token_endpoint_auth_method));
    let client = match (&credentials.presented, registered) {
        (Presented::Secret(secret), _) => {
            let is_right =
                is_client_secret(client, secret) || credentials.method == Some(ClientAuth::None);
            match registered {
                Some(client) if is_right => client,
                _ => return Err(attempt.reject(secret_reason(client, registered)).await),
            }
        }
        (Presented::Assertion(assertion), Some(client)) => {
            attempt.verify_assertion(client, assertion).await?;
            client
        }
        (Presented::Assertion(_), None) => {
            return Err(attempt.reject(secret_reason(client, registered)).await);
        }
    };
    if client.token_endpoint_auth_method != ClientAuth::None {
        caller.log_line.always_write();
    }
    Ok(TokenRequest {
        app,
        config,
        client,
        params,
        caller,
        proof: None,
    })
}

/// Returns why a client is not the one that it names, for the log alone: the response is the same.
const fn secret_reason(client: Option<&Client>, registered: Option<&Client>) -> Reason {
    match (client, registered) {
        (None, _) => Reason::UnknownClient,
        (Some(_), None) => Reason::OtherAuthMethod,
        (Some(_), Some(_)) => Reason::Secret,
    }
}

/// One attempt of a client to authenticate.
struct Attempt<'a> {
    app: &'a App,
    config: &'a Reloadable,
    caller: &'a Caller,
    used_header: bool,
}

impl Attempt<'_> {
    /// Verifies an assertion. A right one passes whatever was counted, so that no neighbour without the
    /// client's key keeps it out; each wrong one counts. Beyond the budget an unknown key is no reason
    /// to fetch the client's keys. While the ticket store is unavailable the count is skipped: no
    /// assertion is accepted then anyway.
    async fn verify_assertion(
        &self,
        client: &Client,
        assertion: &ForeignToken,
    ) -> Result<(), EndpointError> {
        let tickets = &self.app.tickets.charged_to(Payer::Network(self.caller.ip));
        let budgets = &self.config.limits.client_failures;
        // Only for a registered client: made-up names take no room in the store.
        let client_failures =
            Hash::of(format!("{} {}", self.caller.network, client.client_id).as_bytes());
        let wait = limit::peek(tickets, FAILURE_BUDGET, &client_failures, budgets).await;
        let wait = wait.ok().flatten();
        let lookup = match wait {
            Some(_) => KeyLookup::Cached,
            None => KeyLookup::FetchUnknown,
        };
        match assertion::verify(self.app, client, assertion, lookup).await {
            Ok(()) => Ok(()),
            Err(AssertionError::Invalid(reason)) => {
                if let Some(wait) = wait {
                    return Err(EndpointError::TooManyFailures(wait));
                }
                let _ = limit::hit(tickets, FAILURE_BUDGET, &client_failures, budgets).await;
                Err(self.reject(reason).await)
            }
            Err(AssertionError::MaybeUsed(wait)) => Err(EndpointError::retry_later(
                Reason::AssertionsOfBeforeUnknown,
                wait,
            )),
            Err(AssertionError::KeysUnavailable(keys)) => Err(EndpointError::retry_later(
                Reason::ClientKeysUnavailable,
                keys.retry_after,
            )),
            Err(AssertionError::Infra(error)) => Err(error.into()),
        }
    }

    /// Counts the failure and returns the one error for all of them. While the ticket store is
    /// unavailable nothing is counted, and the error stays the same.
    async fn reject(&self, reason: Reason) -> EndpointError {
        let network = Hash::of(self.caller.network.as_bytes());
        let budgets = &self.config.limits.client_failures;
        let error = NOT_AUTHENTICATED.with_reason(reason);
        let tickets = self.app.tickets.charged_to(Payer::Network(self.caller.ip));
        match limit::hit(&tickets, FAILURE_BUDGET, &network, budgets).await {
            Ok(Some(wait)) => EndpointError::TooManyFailures(wait),
            _ if self.used_header => EndpointError::Challenge(error),
            _ => EndpointError::Client(error),
        }
    }
}

fn read_credentials(request: &Request, params: &Params) -> Result<Credentials, EndpointError> {
    let client_id = params.optional_within("client_id", MAX_ID)?;
    let secret = params.optional_within("client_secret", MAX_SECRET)?;
    let has_assertion = assertion::is_present(params);
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    let header = headers.next();
    let methods = [header.is_some(), secret.is_some(), has_assertion];
    if methods.into_iter().filter(|used| *used).count() > 1 || headers.next().is_some() {
        let description = "The request authenticates the client in more than one way. Use one.";
        return Err(OauthError::new(ErrorCode::InvalidRequest, description).into());
    }
    if let Some(value) = header {
        let Some((named_id, secret)) = value.to_str().ok().and_then(parse_basic) else {
            return Ok(Credentials::unsupported(client_id));
        };
        check_client_id(client_id, &named_id)?;
        let presented = Presented::Secret(secret);
        let method = Some(ClientAuth::ClientSecretBasic);
        return Ok(Credentials {
            client_id: named_id,
            method,
            presented,
        });
    }
    if has_assertion {
        return read_assertion(params, client_id);
    }
    let method = if secret.is_some() {
        ClientAuth::ClientSecretPost
    } else {
        ClientAuth::None
    };
    Ok(Credentials {
        client_id: client_id
            .ok_or(ParamError::Missing("client_id"))?
            .to_owned(),
        method: Some(method),
        presented: Presented::Secret(Text::new(secret.unwrap_or_default().to_owned())),
    })
}

/// RFC 7521 §4.2: `client_id` may be left out; the assertion then names the client, and the
/// signature shows whether that is true.
fn read_assertion(params: &Params, client_id: Option<&str>) -> Result<Credentials, EndpointError> {
    let Some(assertion) = assertion::parse(params)? else {
        return Ok(Credentials::unsupported(client_id));
    };
    let named_id = match assertion::client_id(&assertion) {
        // It is refused as any other wrong assertion of the client that the form names.
        "" => client_id.unwrap_or_default(),
        named_id => named_id,
    };
    let named_id = named_id.to_owned();
    check_client_id(client_id, &named_id)?;
    let presented = Presented::Assertion(Box::new(assertion));
    Ok(Credentials {
        client_id: named_id,
        method: Some(ClientAuth::PrivateKeyJwt),
        presented,
    })
}

/// CA-6: a `client_id` in the body names the client that authenticates.
fn check_client_id(client_id: Option<&str>, authenticating: &str) -> Result<(), OauthError> {
    if client_id.is_none_or(|id| id == authenticating) {
        return Ok(());
    }
    let description = "The parameter client_id does not name the client that authenticates.";
    Err(OauthError::new(ErrorCode::InvalidRequest, description))
}

/// RFC 6749 §2.3.1: identifier and secret, each form-encoded, joined by a colon, in base64
/// (RFC 7617 §2).
fn parse_basic(value: &str) -> Option<(String, Text)> {
    let (scheme, credentials) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(credentials.trim()).ok()?;
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let (id, secret) = (form_decode(id.as_bytes())?, form_decode(secret.as_bytes())?);
    (id.len() <= MAX_ID && secret.len() <= MAX_SECRET).then(|| (id, Text::new(secret)))
}

/// CA-5: whether the secret is one of the client's, of which there are at most two. Each is
/// compared in constant time, and an unknown client takes as many comparisons.
fn is_client_secret(client: Option<&Client>, secret: &Text) -> bool {
    let given = Hash::of(secret.expose().as_bytes());
    let hashes = client
        .map(|client| client.client_secret_sha256.as_slice())
        .unwrap_or_default();
    (0..2).fold(false, |is_equal, index| {
        let hash = hashes.get(index).and_then(|hex| Hash::from_hex(hex));
        // A hash that is never equal, so that a missing one takes as long.
        let other = hash.unwrap_or_else(|| Hash::of(given.as_bytes()));
        (other == given) | is_equal
    })
}

#[cfg(test)]
mod tests;
