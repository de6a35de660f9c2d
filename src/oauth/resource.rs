//! For which resource servers tokens are (RFC 8707). Each access token has one audience; a grant may cover several.
//!
//! A client may ask for its own `audience`, for its `resources` and, if it is one of our own or may act as admin, for our
//! own API. A grant remembers what the authorization request named, else all that the client could ask for then.

use crate::{
    config::Client,
    oauth::{
        error::{Code, OauthError},
        scope,
    },
    web::params::{ParamError, Params},
};

/// The most bytes of one name, and the most names in a request.
const MAX_NAME: usize = 2048;
const MOST: usize = 10;

const fn target(description: &'static str) -> OauthError {
    OauthError::new(Code::InvalidTarget, description)
}

/// What this client may ask for, its default first. `ours` is our public URL: the audience of our own API.
#[must_use]
pub fn registered<'a>(client: &'a Client, ours: &'a str) -> Vec<&'a str> {
    let of_ours = client.first_party || client.scopes.iter().any(|name| name == scope::ADMIN);
    let own = std::iter::once(client.audience.as_str()).chain(client.resources.iter().map(String::as_str));
    own.chain(of_ours.then_some(ours)).collect()
}

/// The same as a grant remembers it.
#[must_use]
pub fn all(client: &Client, ours: &str) -> String {
    registered(client, ours).join(" ")
}

fn named(params: &Params) -> Result<Vec<&str>, OauthError> {
    let malformed = |error: ParamError| match error {
        ParamError::Repeated(_) => OauthError::new(Code::InvalidRequest, "A parameter is repeated."),
        _ => target("The parameter resource is malformed or too long."),
    };
    let mut names: Vec<&str> = Vec::new();
    for name in params.all("resource", MAX_NAME).map_err(malformed)? {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > MOST { Err(target("Too many resources are asked for.")) } else { Ok(names) }
}

const UNKNOWN: OauthError = target("The parameter resource is not registered for this client.");

/// RFC 8707 §2: what an authorization request names, separated by spaces; none if it names nothing.
///
/// # Errors
/// `invalid_target` for one that is not the client's.
pub fn asked(params: &Params, client: &Client, ours: &str) -> Result<Option<String>, OauthError> {
    let (names, may) = (named(params)?, registered(client, ours));
    if names.iter().any(|name| !may.contains(name)) {
        return Err(UNKNOWN);
    }
    Ok((!names.is_empty()).then(|| names.join(" ")))
}

/// RFC 8707 §2.2: the audience of an access token from a grant that covers `granted`. Nothing named: the first of them
/// that the client still has, else the audience that ops gave it since.
///
/// # Errors
/// `invalid_target` for one that was not granted or is no longer the client's, and for several: a token that is good at
/// two resource servers lets each of them act at the other.
pub fn chosen(params: &Params, granted: &str, client: &Client, ours: &str) -> Result<String, OauthError> {
    let may = registered(client, ours);
    let mut granted = granted.split(' ').filter(|name| may.contains(name));
    match named(params)?.as_slice() {
        [] => Ok(granted.next().unwrap_or(&client.audience).to_owned()),
        [one] if granted.any(|name| name == *one) => Ok((*one).to_owned()),
        [_] => Err(target("The parameter resource was not granted.")),
        _ => Err(target("An access token has one audience: ask for one resource at a time.")),
    }
}

/// The same for a client that acts for itself: any that is its own.
///
/// # Errors
/// As [`chosen`].
pub fn of_client(params: &Params, client: &Client, ours: &str) -> Result<String, OauthError> {
    chosen(params, &all(client, ours), client, ours)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OURS: &str = "https://id.example";

    fn client(more: &str) -> Client {
        let least = r#""client_id":"c","name":"C","audience":"https://a.example""#;
        serde_json::from_str(&format!("{{{least},\"resources\":[\"https://b.example/v1\"]{more}}}")).unwrap()
    }

    fn params(names: &[&str]) -> Params {
        let pairs = names.iter().map(|name| ("resource", *name));
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        Params::from_form(body.as_bytes(), Some("application/x-www-form-urlencoded")).unwrap()
    }

    #[test]
    fn az_23_what_is_named_must_be_the_clients() {
        let third = client("");
        let asked = |names: &[&str]| asked(&params(names), &third, OURS);
        assert_eq!(asked(&[]).unwrap(), None);
        assert_eq!(asked(&["https://b.example/v1"]).unwrap().as_deref(), Some("https://b.example/v1"));
        let both = ["https://b.example/v1", "https://a.example", "https://b.example/v1"];
        assert_eq!(asked(&both).unwrap().as_deref(), Some("https://b.example/v1 https://a.example"));
        for bad in ["https://c.example", "https://a.example/", "https://A.example", "https://a.example#x", OURS, " "] {
            assert_eq!(asked(&["https://a.example", bad]).unwrap_err().code, Code::InvalidTarget, "{bad:?}");
        }
        let long = format!("https://a.example/{}", "x".repeat(MAX_NAME));
        assert!(asked(&[&long]).is_err());
    }

    #[test]
    fn a_token_has_one_audience_of_those_granted() {
        let third = client("");
        let granted = "https://b.example/v1 https://a.example";
        let chosen = |granted: &str, names: &[&str]| chosen(&params(names), granted, &third, OURS);
        assert_eq!(chosen(granted, &[]).unwrap(), "https://b.example/v1");
        assert_eq!(chosen(granted, &["https://a.example"]).unwrap(), "https://a.example");
        for (granted, bad) in [
            ("https://a.example", &["https://b.example/v1"][..]),
            (granted, &["https://a.example", "https://b.example/v1"]),
            (granted, &[OURS]),
            ("https://gone.example", &["https://gone.example"]),
        ] {
            assert_eq!(chosen(granted, bad).unwrap_err().code, Code::InvalidTarget, "{bad:?}");
        }
        assert_eq!(chosen("https://gone.example", &[]).unwrap(), "https://a.example", "what ops gave it since");
    }

    #[test]
    fn our_own_api_is_for_our_own_clients_and_admins() {
        assert!(!registered(&client(""), OURS).contains(&OURS));
        for more in [r#","first_party":true"#, r#","scopes":["openid","entree:admin"]"#] {
            assert_eq!(all(&client(more), OURS), format!("https://a.example https://b.example/v1 {OURS}"));
        }
    }
}
