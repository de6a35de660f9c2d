//! Checks that the keys of a client agree with its profile.

use url::Url;

use crate::config::{
    client::{Alg, Client, ClientAuth, GrantType},
    jwks::SigAlg,
    problem::Section,
    profile::{AssertionAudience, Profile, keys_of_fapi2},
    resources::{Resource, comparable_identifier},
};

/// FS-1: refuses each key that contradicts the profile of its client.
pub(super) fn check(client: &Client, section: &mut Section<'_>) {
    if client.profile != Profile::Fapi2 {
        return;
    }
    let agrees = [
        client.token_endpoint_auth_method == ClientAuth::PrivateKeyJwt,
        client.assertion_audience == Some(AssertionAudience::Issuer),
        client.require_pushed_authorization_requests,
        client.require_pkce,
        client.dpop_bound_access_tokens,
        client.id_token_signed_response_alg == Alg::ES256,
        client.access_token_alg == Alg::ES256,
    ];
    for ((key, value), does_agree) in keys_of_fapi2().into_iter().zip(agrees) {
        let hint = format!("Remove it: the profile sets it to {value}.");
        section.require(does_agree, key, "contradicts profile = \"fapi2\"", &hint);
    }
    for (at, uri) in client.redirect_uris.iter().enumerate() {
        section.require(
            Url::parse(uri).is_ok_and(|url| url.scheme() == "https"),
            format!("redirect_uris[{at}]"),
            "is not https, which profile = \"fapi2\" demands",
            "Write an https address. Addresses of loopback and of private schemes are for native apps, \
             which have no key of their own to sign with.",
        );
    }
    section.require(
        !client.grant_types.contains(&GrantType::DeviceCode),
        "grant_types",
        "has device_code, which profile = \"fapi2\" does not allow",
        "Remove device_code: a device that shows a code is a client of its own, without the profile.",
    );
    let mut keys = client.jwks.iter().flat_map(|jwks| &jwks.keys);
    section.require(
        !keys.any(|key| key.alg == Some(SigAlg::RS256)),
        "jwks",
        "has a key for RS256, which profile = \"fapi2\" does not allow",
        "Use a key for ES256, PS256 or EdDSA.",
    );
}

/// FS-1: an API that chooses another algorithm for its tokens cannot serve a client of the profile.
pub(super) fn check_resource(clients: &[Client], resource: &Resource, section: &mut Section<'_>) {
    let identifier = comparable_identifier(&resource.identifier);
    let is_for = |client: &Client| {
        let mut own = std::iter::once(&client.audience).chain(&client.resources);
        own.any(|audience| comparable_identifier(audience) == identifier)
            || resource.clients.contains(&client.client_id)
    };
    let mut locked = clients
        .iter()
        .filter(|client| client.demands().locks_access_token_alg);
    let is_contrary = resource.access_token_alg == Some(Alg::RS256) && locked.any(is_for);
    section.require(
        !is_contrary,
        "access_token_alg",
        "contradicts profile = \"fapi2\" of a client of this API",
        "Remove it, or set it to \"ES256\".",
    );
}

#[cfg(test)]
mod tests;
