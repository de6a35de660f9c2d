//! GitHub: OAuth 2.0 without an ID token. The subject is the numeric `id` of `/user` and never the
//! login name, which can pass to another person. The address is the primary one of `/user/emails`,
//! if it is verified and not a no-reply address.

use poem::http::header::{self, HeaderName};
use serde_json::Value;

use super::{
    error::{ProviderError, UserError},
    identity::{ProviderIdentity, Trust, display_name, trust_by_domain},
    oidc::{
        exchange::TokenResponse,
        json::{self, Object, string_member},
        upstream::Upstream,
    },
    request::RequestRecord,
};
use crate::{
    config::{Provider, providers::EmailTrust},
    web::fetch::{FetchRequest, FetchResponse},
};

/// The scope that lets the token read addresses.
const EMAIL_SCOPE: &str = "user:email";

/// Returns the identity of the account that the access token belongs to.
pub(super) async fn identify(
    upstream: &Upstream,
    record: &RequestRecord,
    tokens: &TokenResponse,
) -> Result<ProviderIdentity, ProviderError> {
    let settings = &upstream.settings;
    let user_url = record.userinfo_endpoint.as_deref().unwrap_or_default();
    let response = upstream
        .call("userinfo", api_request(user_url, &tokens.access_token))
        .await?;
    let account = parse_account(&response)?;
    let subject = account_id(&account)?;
    let email = if may_read_addresses(tokens.scope.as_deref()) {
        let request = api_request(&format!("{user_url}/emails"), &tokens.access_token);
        primary_address(&upstream.call("emails", request).await?)?
    } else {
        None
    };
    let name = string_member(&account, "name").or_else(|| string_member(&account, "login"));
    Ok(ProviderIdentity {
        provider: settings.id.clone(),
        issuer: record.issuer.clone(),
        subject,
        trust: email
            .as_deref()
            .map_or(Trust::None, |email| trust(settings, email)),
        email,
        name: name.and_then(display_name),
        locale: None,
        amr: Vec::new(),
    })
}

fn api_request(url: &str, access_token: &str) -> FetchRequest {
    FetchRequest::get(url)
        .header(header::ACCEPT, "application/vnd.github+json")
        .header(
            HeaderName::from_static("x-github-api-version"),
            "2022-11-28",
        )
        .secret_header(header::AUTHORIZATION, &format!("Bearer {access_token}"))
}

fn parse_account(response: &FetchResponse) -> Result<Object, ProviderError> {
    if response.status != 200 {
        return Err(ProviderError::of_user_status("/user", response.status));
    }
    json::object(&response.body).ok_or_else(|| UserError::Malformed { endpoint: "/user" }.into())
}

fn account_id(account: &Object) -> Result<String, UserError> {
    let id = account
        .get("id")
        .and_then(Value::as_u64)
        .filter(|id| *id > 0);
    id.map(|id| id.to_string()).ok_or(UserError::AccountId)
}

/// Whether the granted scopes, which GitHub joins with commas, include addresses. Without a list of
/// scopes, it is tried.
fn may_read_addresses(granted: Option<&str>) -> bool {
    granted.is_none_or(|scopes| {
        scopes
            .split([',', ' '])
            .any(|scope| scope == EMAIL_SCOPE || scope == "user")
    })
}

/// Returns the address that is primary and verified, unless it is a no-reply address.
fn primary_address(response: &FetchResponse) -> Result<Option<String>, ProviderError> {
    match response.status {
        200 => {}
        // The user or their organization does not share addresses.
        401 | 403 | 404 => return Ok(None),
        status => return Err(ProviderError::of_user_status("/user/emails", status)),
    }
    let list = json::list(&response.body).ok_or(UserError::Malformed {
        endpoint: "/user/emails",
    })?;
    let is_set = |entry: &Object, name: &str| entry.get(name) == Some(&Value::Bool(true));
    let primary = list
        .iter()
        .filter_map(Value::as_object)
        .find(|entry| is_set(entry, "primary") && is_set(entry, "verified"));
    let email = primary.and_then(|entry| string_member(entry, "email"));
    Ok(email.filter(|email| !is_no_reply(email)).map(str::to_owned))
}

fn is_no_reply(email: &str) -> bool {
    email
        .rsplit_once('@')
        .is_none_or(|(_, domain)| domain.to_ascii_lowercase().starts_with("users.noreply."))
}

fn trust(settings: &Provider, email: &str) -> Trust {
    match settings.trust() {
        EmailTrust::None => Trust::None,
        EmailTrust::Asserted => Trust::Asserted,
        EmailTrust::Authoritative => trust_by_domain(settings, email),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poem::http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn response(status: u16, body: &Value) -> FetchResponse {
        FetchResponse {
            status,
            headers: HeaderMap::new(),
            body: body.to_string().into_bytes(),
        }
    }

    #[test]
    fn pr_01_the_subject_is_the_number_and_never_the_name() {
        let subject = |account: Value| account_id(account.as_object().unwrap());
        for bad in [
            json!({"login": "octocat"}),
            json!({"id": "7"}),
            json!({"id": -7}),
            json!({"id": 0}),
            json!({"id": 7.5}),
        ] {
            assert_eq!(subject(bad.clone()), Err(UserError::AccountId), "{bad}");
        }
        assert_eq!(
            subject(json!({"id": 583_231, "login": "x"})).unwrap(),
            "583231"
        );
    }

    #[test]
    fn pr_01_an_account_is_a_json_object() {
        let parse = |status, body: Value| parse_account(&response(status, &body));
        assert!(parse(200, json!({"id": 7})).is_ok());
        assert_eq!(
            parse(403, json!({})),
            Err(UserError::Refused {
                endpoint: "/user",
                status: 403
            }
            .into())
        );
        assert_eq!(
            parse(503, json!({})),
            Err(ProviderError::Status {
                call: "/user",
                status: 503
            })
        );
        assert_eq!(
            parse(200, json!([])),
            Err(UserError::Malformed { endpoint: "/user" }.into())
        );
    }

    #[test]
    fn pr_01_the_address_is_primary_verified_and_can_receive() {
        let entry = |email: &str, primary: bool, verified: Value| {
            let mut entry = json!({"email": email, "primary": primary, "visibility": null});
            entry["verified"] = verified;
            entry
        };
        let address = |list: Value| primary_address(&response(200, &list)).unwrap();
        let two = json!([
            entry("b@x.example", false, json!(true)),
            entry("a@x.example", true, json!(true))
        ]);
        assert_eq!(address(two).as_deref(), Some("a@x.example"));
        for none in [
            json!([entry("a@x.example", true, json!(false))]),
            json!([entry("a@x.example", true, json!("true"))]),
            json!([entry("a@x.example", false, json!(true))]),
            json!([entry("1+a@users.noreply.github.com", true, json!(true))]),
            json!([]),
        ] {
            assert_eq!(address(none.clone()), None, "{none}");
        }
    }

    #[test]
    fn pr_01_a_user_may_hide_addresses() {
        let result = |status, body: Value| primary_address(&response(status, &body));
        assert_eq!(result(404, json!({})), Ok(None));
        assert_eq!(
            result(500, json!({})),
            Err(ProviderError::Status {
                call: "/user/emails",
                status: 500
            })
        );
        assert_eq!(
            result(200, json!({})),
            Err(UserError::Malformed {
                endpoint: "/user/emails"
            }
            .into())
        );
    }

    #[test]
    fn pr_01_scopes_are_joined_by_commas() {
        for (granted, expected) in [
            (Some("read:user,user:email"), true),
            (Some("user:email"), true),
            (Some("user"), true),
            (Some("read:user"), false),
            (Some("xuser:email"), false),
            (Some(""), false),
            (None, true),
        ] {
            assert_eq!(may_read_addresses(granted), expected, "{granted:?}");
        }
    }
}
