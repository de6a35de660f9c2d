//! Who the client is (RFC 6749 §2.3). For now every client is public: it names itself, and PKCE shows that it began the
//! flow (RFC 9700 §2.1.1).

use poem::{Request, http::header};

use crate::{
    client,
    config::{Client, ClientAuth, Config},
    oauth::error::{Code, OauthError},
    web::params::Params,
};

/// The client of a request. Unknown ones and those that bring a secret hear the same (CA-4).
///
/// # Errors
/// `invalid_client`; `invalid_request` if none is named.
pub fn authenticate<'a>(request: &Request, params: &Params, config: &'a Config) -> Result<&'a Client, OauthError> {
    let unknown = OauthError::new(Code::InvalidClient, "The client is unknown or did not authenticate as registered.");
    let brings_secret = request.headers().contains_key(header::AUTHORIZATION)
        || params.has("client_secret")
        || params.has("client_assertion");
    if brings_secret {
        return Err(unknown);
    }
    let id = params.one_within("client_id", 255).ok().flatten();
    let id = id.ok_or(OauthError::new(Code::InvalidRequest, "The parameter client_id is missing."))?;
    let client = client::find(config, id).ok_or(unknown)?;
    match client.token_endpoint_auth_method {
        ClientAuth::None => Ok(client),
    }
}
