//! GitHub: OAuth 2.0 without an ID token. The person is the numeric `id` of `/user`, never the name, which can change
//! hands; the address is the primary one of `/user/emails`, if it is verified and not the no-reply one.

use poem::http::header::{self, HeaderName};
use serde_json::Value;

use super::{
    identity::{Identity, Trust, shown, within},
    oidc::{
        exchange::Tokens,
        json::{self, Object, text},
        upstream::Upstream,
    },
    request::RequestRecord,
};
use crate::{
    config::{Provider, providers::MailTrust},
    federation::error::{FederationError, RefusalCode},
    web::fetch::{FetchRequest, FetchResponse},
};

/// The scope without which addresses are not told.
const ADDRESSES: &str = "user:email";

/// Who the access token belongs to.
///
/// # Errors
/// The transport's; [`RefusalCode::ProviderDown`], [`RefusalCode::ClaimsMalformed`], [`RefusalCode::Sub`].
pub(super) async fn identify(
    upstream: &Upstream,
    record: &RequestRecord,
    tokens: &Tokens,
) -> Result<Identity, FederationError> {
    let settings = &upstream.settings;
    let endpoint = record.userinfo_endpoint.as_deref().unwrap_or_default();
    let user = person(
        &upstream
            .call("userinfo", call(endpoint, &tokens.access_token))
            .await?,
    )?;
    let subject = subject(&user)?;
    let email = if may_ask_addresses(tokens.scope.as_deref()) {
        address(
            &upstream
                .call(
                    "emails",
                    call(&format!("{endpoint}/emails"), &tokens.access_token),
                )
                .await?,
        )?
    } else {
        None
    };
    Ok(Identity {
        provider: settings.id.clone(),
        issuer: record.issuer.clone(),
        subject,
        trust: email
            .as_deref()
            .map_or(Trust::None, |email| worth(settings, email)),
        email,
        name: text(&user, "name")
            .or_else(|| text(&user, "login"))
            .and_then(shown),
        locale: None,
        amr: Vec::new(),
    })
}

fn call(url: &str, access_token: &str) -> FetchRequest {
    FetchRequest::get(url)
        .header(header::ACCEPT, "application/vnd.github+json")
        .header(
            HeaderName::from_static("x-github-api-version"),
            "2022-11-28",
        )
        .secret_header(header::AUTHORIZATION, &format!("Bearer {access_token}"))
}

fn person(reply: &FetchResponse) -> Result<Object, FederationError> {
    if reply.status != 200 {
        return Err(FederationError::new(
            RefusalCode::ProviderDown,
            format!("/user answered {}", reply.status),
        ));
    }
    json::object(&reply.body).ok_or_else(|| {
        FederationError::new(RefusalCode::ClaimsMalformed, "/user is not a JSON object")
    })
}

/// The number of the account, as text.
fn subject(user: &Object) -> Result<String, FederationError> {
    let id = user.get("id").and_then(Value::as_u64).filter(|id| *id > 0);
    id.map(|id| id.to_string())
        .ok_or_else(|| FederationError::new(RefusalCode::Sub, "id is no number"))
}

/// The granted scopes are one text, joined by commas. Without a word, it is tried.
fn may_ask_addresses(granted: Option<&str>) -> bool {
    granted.is_none_or(|scopes| {
        scopes
            .split([',', ' '])
            .any(|scope| scope == ADDRESSES || scope == "user")
    })
}

/// The address that is primary and verified, unless mail to it goes nowhere.
fn address(reply: &FetchResponse) -> Result<Option<String>, FederationError> {
    match reply.status {
        200 => {}
        // The person, or their organization, lets nobody see addresses.
        401 | 403 | 404 => return Ok(None),
        status => {
            return Err(FederationError::new(
                RefusalCode::ProviderDown,
                format!("/user/emails answered {status}"),
            ));
        }
    }
    let malformed = || {
        FederationError::new(
            RefusalCode::ClaimsMalformed,
            "/user/emails is not a JSON list of objects",
        )
    };
    let list = json::list(&reply.body).ok_or_else(malformed)?;
    let is = |entry: &Object, name: &str| entry.get(name) == Some(&Value::Bool(true));
    let own = list
        .iter()
        .filter_map(Value::as_object)
        .find(|entry| is(entry, "primary") && is(entry, "verified"));
    let email = own
        .and_then(|entry| text(entry, "email"))
        .filter(|email| !goes_nowhere(email));
    Ok(email.map(str::to_owned))
}

fn goes_nowhere(email: &str) -> bool {
    email
        .rsplit_once('@')
        .is_none_or(|(_, domain)| domain.to_ascii_lowercase().starts_with("users.noreply."))
}

fn worth(settings: &Provider, email: &str) -> Trust {
    match settings.trust() {
        MailTrust::None => Trust::None,
        MailTrust::Asserted => Trust::Asserted,
        MailTrust::Authoritative => within(settings, email),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poem::http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn reply(status: u16, body: &Value) -> FetchResponse {
        FetchResponse {
            status,
            headers: HeaderMap::new(),
            body: body.to_string().into_bytes(),
        }
    }

    #[test]
    fn pr_01_the_person_is_the_number_and_never_the_name() {
        for bad in [
            json!({"login": "octocat"}),
            json!({"id": "7"}),
            json!({"id": -7}),
            json!({"id": 0}),
            json!({"id": 7.5}),
        ] {
            assert_eq!(
                subject(&person(&reply(200, &bad)).unwrap())
                    .unwrap_err()
                    .code,
                RefusalCode::Sub,
                "{bad}"
            );
        }
        assert_eq!(
            subject(&person(&reply(200, &json!({"id": 583_231, "login": "x"}))).unwrap()).unwrap(),
            "583231"
        );
        assert_eq!(
            person(&reply(403, &json!({}))).unwrap_err().code,
            RefusalCode::ProviderDown
        );
        assert_eq!(
            person(&reply(200, &json!([]))).unwrap_err().code,
            RefusalCode::ClaimsMalformed
        );
    }

    #[test]
    fn pr_01_the_address_is_primary_verified_and_goes_somewhere() {
        let entry = |email: &str, primary: bool, verified: Value| json!({"email": email, "primary": primary, "verified": verified, "visibility": null});
        for (list, email) in [
            (
                json!([
                    entry("b@x.example", false, json!(true)),
                    entry("a@x.example", true, json!(true))
                ]),
                Some("a@x.example"),
            ),
            (json!([entry("a@x.example", true, json!(false))]), None),
            (json!([entry("a@x.example", true, json!("true"))]), None),
            (json!([entry("a@x.example", false, json!(true))]), None),
            (
                json!([entry("1+a@users.noreply.github.com", true, json!(true))]),
                None,
            ),
            (json!([]), None),
        ] {
            assert_eq!(
                address(&reply(200, &list)).unwrap().as_deref(),
                email,
                "{list}"
            );
        }
        assert_eq!(address(&reply(404, &json!({}))).unwrap(), None);
        assert_eq!(
            address(&reply(500, &json!({}))).unwrap_err().code,
            RefusalCode::ProviderDown
        );
        assert_eq!(
            address(&reply(200, &json!({}))).unwrap_err().code,
            RefusalCode::ClaimsMalformed
        );
    }

    #[test]
    fn pr_01_scopes_come_joined_by_commas() {
        for (granted, may) in [
            (Some("read:user,user:email"), true),
            (Some("user:email"), true),
            (Some("user"), true),
            (Some("read:user"), false),
            (Some("xuser:email"), false),
            (Some(""), false),
            (None, true),
        ] {
            assert_eq!(may_ask_addresses(granted), may, "{granted:?}");
        }
    }
}
