//! Who may request access tokens for which API (RS-2), and how such a token is made (RS-3).
//!
//! [`audiences`] is the one rule for who: the authorization endpoint, pushed requests, the token
//! endpoint and the sign-in API all follow it, and so does the scope of a token.

use std::iter;

use crate::config::{ADMIN_SCOPE, AccessTokenTyp, Alg, Client, Reloadable, Resource};

/// The party that requests tokens.
#[derive(Clone, Copy, Debug)]
pub enum Requester<'a> {
    /// A client of the configuration or of the database.
    Registered(&'a Client),
    /// A client that no operator has registered.
    Unregistered,
}

/// Returns the audiences that a requester may name, its default first, as tokens spell them. One may
/// be there twice. Our own API is not among them.
pub fn audiences<'a>(
    config: &'a Reloadable,
    requester: Requester<'a>,
) -> impl Iterator<Item = &'a str> {
    let resources = &config.resources;
    let (client, blocks) = match requester {
        Requester::Registered(client) => (Some(client), resources.of_client(&client.client_id)),
        Requester::Unregistered => (None, resources.open()),
    };
    let own = client
        .into_iter()
        .flat_map(|client| iter::once(&client.audience).chain(&client.resources));
    let own = own.map(move |audience| resources.spelled(audience));
    own.chain(blocks.iter().map(|resource| resource.identifier.as_str()))
}

/// Returns whether a requester may request tokens for an API, and with them its scopes.
#[must_use]
pub fn may_request(config: &Reloadable, requester: Requester<'_>, resource: &Resource) -> bool {
    audiences(config, requester).any(|audience| audience == resource.identifier)
}

/// Returns whether a client may request tokens for our own API, whose audience is our public URL.
#[must_use]
pub fn may_call_us(client: &Client) -> bool {
    client.first_party || client.scopes.iter().any(|scope| scope == ADMIN_SCOPE)
}

/// How an access token is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessTokenTerms {
    pub typ: AccessTokenTyp,
    pub alg: Alg,
    /// The lifetime in seconds.
    pub seconds: u64,
}

/// Returns whether access tokens of a client for an audience are issued only with a proof of
/// possession: as its API demands it, or the client's registration (RFC 9449 §5.2).
#[must_use]
pub fn demands_proof(config: &Reloadable, client: &Client, audience: &str) -> bool {
    let resource = config.resources.find(audience);
    client.dpop_bound_access_tokens || resource.is_some_and(|resource| resource.dpop)
}

/// Returns how access tokens of a client for an audience are made: as its API says, else as the
/// client does. Of two lifetimes the shorter one counts. A profile may lock the algorithm (FS-1).
#[must_use]
pub fn access_token_terms(
    config: &Reloadable,
    client: &Client,
    audience: &str,
) -> AccessTokenTerms {
    let of_client = AccessTokenTerms {
        typ: AccessTokenTyp::default(),
        alg: client.access_token_alg,
        seconds: client.token_lifetimes(&config.token).access_seconds,
    };
    let Some(resource) = config.resources.find(audience) else {
        return of_client;
    };
    let longest = resource.access_token_seconds.unwrap_or(u64::MAX);
    AccessTokenTerms {
        typ: resource.access_token_typ,
        alg: if client.demands().locks_access_token_alg {
            of_client.alg
        } else {
            resource.access_token_alg.unwrap_or(of_client.alg)
        },
        seconds: of_client.seconds.min(longest),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LESSONS: &str = "https://lessons.example";
    const MUSIC: &str = "https://music.example";

    fn config(blocks: &str) -> Reloadable {
        let blocks: toml::Table = toml::from_str(blocks).unwrap();
        let resources = blocks.get("resources").cloned().unwrap();
        Reloadable {
            resources: resources.try_into().unwrap(),
            ..Reloadable::default()
        }
    }

    fn client(more: &str) -> Client {
        let least = "client_id = \"web\"\nname = \"Web\"\naudience = \"https://own.example\"";
        toml::from_str(&format!("{least}\n{more}")).unwrap()
    }

    fn named(config: &Reloadable, requester: Requester<'_>) -> String {
        audiences(config, requester).collect::<Vec<_>>().join(" ")
    }

    fn blocks(of_lessons: &str, of_music: &str) -> Reloadable {
        config(&format!(
            "[[resources]]\nidentifier = \"{LESSONS}\"\n{of_lessons}\n\
             [[resources]]\nidentifier = \"{MUSIC}\"\n{of_music}"
        ))
    }

    #[test]
    fn rs_2_a_client_may_name_its_own_audiences_and_the_apis_that_list_it() {
        let config = blocks("clients = [\"web\"]", "clients = [\"other\"]");
        let own = client("");
        assert_eq!(
            named(&config, Requester::Registered(&own)),
            format!("https://own.example {LESSONS}")
        );
        let by_itself = client("resources = [\"https://music.example\", \"https://free.example\"]");
        let requester = Requester::Registered(&by_itself);
        assert_eq!(
            named(&config, requester),
            format!("https://own.example {MUSIC} https://free.example {LESSONS}")
        );
        for (client, is_lessons, is_music) in [(&own, true, false), (&by_itself, true, true)] {
            let requester = Requester::Registered(client);
            let may = |identifier| {
                let resource = config.resources.find(identifier).unwrap();
                may_request(&config, requester, resource)
            };
            assert_eq!((may(LESSONS), may(MUSIC)), (is_lessons, is_music));
        }
    }

    #[test]
    fn rs_2_unregistered_clients_may_name_open_apis_and_registered_ones_gain_nothing_by_that() {
        let config = blocks("open = true", "clients = [\"web\"]");
        assert_eq!(named(&config, Requester::Unregistered), LESSONS);
        let registered = client("");
        assert_eq!(
            named(&config, Requester::Registered(&registered)),
            format!("https://own.example {MUSIC}")
        );
        let music = config.resources.find(MUSIC).unwrap();
        assert!(!may_request(&config, Requester::Unregistered, music));
        let closed = blocks("", "");
        assert_eq!(named(&closed, Requester::Unregistered), "");
    }

    #[test]
    fn rs_4_an_audience_is_spelled_as_its_api_is_registered() {
        let config = blocks("", "");
        let client = client("resources = [\"HTTPS://Music.example/\", \"https://Free.example/\"]");
        let requester = Requester::Registered(&client);
        assert_eq!(
            named(&config, requester),
            format!("https://own.example {MUSIC} https://Free.example/")
        );
        let music = config.resources.find(MUSIC).unwrap();
        assert!(may_request(&config, requester, music));
    }

    #[test]
    fn st_10_our_own_api_is_for_our_own_clients_and_admins() {
        assert!(!may_call_us(&client("")));
        assert!(may_call_us(&client("first_party = true")));
        assert!(may_call_us(&client(
            "scopes = [\"openid\", \"entree:admin\"]"
        )));
    }

    #[test]
    fn rs_3_a_proof_is_demanded_by_the_api_or_by_the_client() {
        let config = blocks("dpop = true", "");
        let (usual, strict) = (client(""), client("dpop_bound_access_tokens = true"));
        for (client, audience, expected) in [
            (&usual, LESSONS, true),
            (&usual, "HTTPS://Lessons.example/", true),
            (&usual, MUSIC, false),
            (&usual, "https://own.example", false),
            (&strict, MUSIC, true),
            (&strict, "https://own.example", true),
        ] {
            assert_eq!(
                demands_proof(&config, client, audience),
                expected,
                "{audience}"
            );
        }
    }

    #[test]
    fn rs_3_a_token_is_made_as_its_api_says_and_the_shorter_lifetime_counts() {
        let config = blocks(
            "access_token_alg = \"RS256\"\naccess_token_seconds = 300",
            "access_token_typ = \"JWT\"",
        );
        let (at_jwt, jwt) = (AccessTokenTyp::AtJwt, AccessTokenTyp::Jwt);
        let usual = client("");
        let short = client("access_token_seconds = 60");
        for (client, audience, typ, alg, seconds) in [
            (&usual, LESSONS, at_jwt, Alg::RS256, 300),
            (&short, LESSONS, at_jwt, Alg::RS256, 60),
            (&usual, MUSIC, jwt, Alg::ES256, 600),
            (&short, MUSIC, jwt, Alg::ES256, 60),
            (&usual, "https://own.example", at_jwt, Alg::ES256, 600),
        ] {
            assert_eq!(
                access_token_terms(&config, client, audience),
                AccessTokenTerms { typ, alg, seconds },
                "{audience}"
            );
        }
    }

    #[test]
    fn fs_1_no_api_chooses_the_algorithm_for_a_client_of_the_profile() {
        let config = blocks("access_token_alg = \"RS256\"", "");
        let locked = client("profile = \"fapi2\"");
        assert_eq!(
            access_token_terms(&config, &locked, LESSONS).alg,
            Alg::ES256
        );
        let free = client("");
        assert_eq!(access_token_terms(&config, &free, LESSONS).alg, Alg::RS256);
    }
}
