//! What `entree doctor` reports of a provider: whether it can be reached, is the configured issuer,
//! supports what the settings say, has keys that this service can use, agrees on the time, and
//! accepts our client. It calls the provider as a sign-in would, and each problem comes with a hint.

mod comparison;
mod finding;

use poem::http::header;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

pub use self::finding::ProviderFinding;
use super::{
    error::{ProviderError, TokenError},
    identify,
    oidc::{metadata::Metadata, upstream::Upstream},
    request::RequestRecord,
};
use crate::{
    config::providers::ProviderKind,
    federation::error::RefusalCode,
    secret::Plain,
    web::fetch::{FetchError, FetchRequest, FetchResponse},
};

/// How far two clocks may differ, in seconds: with more, ID tokens are refused.
const MAX_SKEW: i64 = 60;

/// Checks everything that can be checked without signing in.
pub(super) async fn diagnose(upstream: &Upstream, public_url: &str) -> Vec<ProviderFinding> {
    let settings = &upstream.settings;
    let uri = settings.redirect_uri(public_url);
    let mut findings = vec![ProviderFinding::ok(
        "redirect_uri",
        format!("register exactly {uri}"),
    )];
    let metadata = match upstream.metadata_for_new_sign_in().await {
        Ok(metadata) => metadata,
        Err(error) => {
            findings.push(error_finding("discovery", &error));
            return findings;
        }
    };
    // GitHub answers 401 without a token, and any response will do.
    let probe = settings
        .discovery_url()
        .or_else(|| metadata.userinfo_endpoint.clone())
        .unwrap_or_default();
    match upstream.call("discovery", FetchRequest::get(probe)).await {
        Ok(response) => {
            let message = format!("{} responds, and is the configured issuer", metadata.issuer);
            findings.push(ProviderFinding::ok("discovery", message));
            findings.extend(comparison::compare(settings, &metadata.supported));
            findings.push(check_clock(&response, upstream.now().seconds()));
        }
        Err(error) => findings.push(error_finding("discovery", &error)),
    }
    if settings.kind != ProviderKind::Github {
        findings.push(check_keys(upstream).await);
    }
    findings.push(check_client(upstream, &metadata, public_url).await);
    findings
}

fn check_clock(response: &FetchResponse, now: i64) -> ProviderFinding {
    let date = response
        .headers
        .get(header::DATE)
        .and_then(|date| date.to_str().ok());
    let Some(date) = date.and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok()) else {
        return ProviderFinding::ok("clock", "its responses have no date to compare");
    };
    let difference = now - date.unix_timestamp();
    let seconds = difference.abs();
    if seconds <= MAX_SKEW {
        return ProviderFinding::ok("clock", format!("{seconds} s apart"));
    }
    let side = if difference > 0 { "ahead of" } else { "behind" };
    ProviderFinding::problem(
        "clock",
        format!("our clock is {seconds} s {side} its clock"),
        "set the time of this machine by NTP, unless it is the provider's clock that is wrong",
    )
}

async fn check_keys(upstream: &Upstream) -> ProviderFinding {
    let keys = match upstream.keys().await {
        Ok(keys) => keys,
        Err(error) => return error_finding("keys", &error),
    };
    let usable = keys.count_supporting(&upstream.settings.algs);
    if usable == 0 {
        let all = keys.len();
        return ProviderFinding::problem(
            "keys",
            format!("none of its {all} keys supports a configured algorithm"),
            "set algs to the algorithm that it signs ID tokens with",
        );
    }
    if keys.count_repeated() > 0 {
        return ProviderFinding::problem(
            "keys",
            "two keys share one kid, and such keys are not used",
            "report it to the provider",
        );
    }
    ProviderFinding::ok("keys", format!("{usable} usable"))
}

/// Redeems a code that does not exist: a provider that accepts our client refuses the code, and one
/// that does not refuses the client (RFC 6749 §5.2).
async fn check_client(
    upstream: &Upstream,
    metadata: &Metadata,
    public_url: &str,
) -> ProviderFinding {
    const CHECK: &str = "client";
    let record = RequestRecord::new(&upstream.settings, metadata, public_url);
    let code = Plain::generate().to_text();
    let error = match identify::exchange(upstream, &record, &code).await {
        Ok(_) => {
            let message = "it issued tokens for a code that does not exist";
            return ProviderFinding::problem(CHECK, message, "report it to the provider");
        }
        Err(error) => error,
    };
    match (&error, error.code()) {
        (_, RefusalCode::TokenGrant) => {
            ProviderFinding::ok(CHECK, "it accepts our client and its credentials")
        }
        (_, RefusalCode::TokenClient) | (ProviderError::Token(TokenError::Status(401)), _) => {
            ProviderFinding::problem(
                CHECK,
                format!("it does not accept our client: {error}"),
                "compare client_id, secret (has it expired?), auth and redirect URI with what is registered there",
            )
        }
        (ProviderError::Token(error), _) => ProviderFinding::ok(
            CHECK,
            format!("it does not say whether it accepts our client: {error}"),
        ),
        _ => error_finding(CHECK, &error),
    }
}

fn error_finding(check: &'static str, error: &ProviderError) -> ProviderFinding {
    let message = match error {
        // The finding begins with the name of the check already.
        ProviderError::Call { call, cause } if *call == check => cause.to_string(),
        _ => error.to_string(),
    };
    ProviderFinding::problem(check, message, hint(error))
}

/// What the operator can do about an error; docs/providers.md says more.
const fn hint(error: &ProviderError) -> &'static str {
    if let ProviderError::Call { cause, .. } = error
        && let Some(hint) = hint_of_transport(*cause)
    {
        return hint;
    }
    match error.code() {
        RefusalCode::Blocked => "if this host is yours, name it in private_hosts of this provider",
        RefusalCode::Redirect => {
            "write the issuer as the discovery document has it, so that no redirect is needed"
        }
        RefusalCode::DiscoveryIssuer => {
            "write the issuer exactly as the document has it, if that is the provider that you mean"
        }
        RefusalCode::EndpointHost => "if that host is the provider's, name it in extra_hosts",
        RefusalCode::Timeout | RefusalCode::ProviderDown => {
            "check DNS, firewall, certificate (ca_file) and the spelling of the issuer"
        }
        _ => "check the provider's status page",
    }
}

/// DNS, refusal, time-out and TLS have remedies of their own (OD-7).
const fn hint_of_transport(error: FetchError) -> Option<&'static str> {
    match error {
        FetchError::Dns => {
            Some("is the issuer spelt right, and does this machine reach its DNS server?")
        }
        FetchError::Refused => Some("is the provider running, and is the port right?"),
        FetchError::Timeout => {
            Some("does a firewall drop the connection, and is the address right?")
        }
        FetchError::Tls => Some(
            "is its certificate valid for this name? The authority of a private one belongs into ca_file",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderMap, HeaderValue};

    use super::*;

    fn response_of(date: &'static str) -> FetchResponse {
        let headers = HeaderMap::from_iter([(header::DATE, HeaderValue::from_static(date))]);
        FetchResponse {
            status: 200,
            headers,
            body: Vec::new(),
        }
    }

    #[test]
    fn a_clock_that_is_more_than_a_minute_off_is_reported() {
        let response = response_of("Mon, 23 Nov 2026 18:08:00 GMT");
        let date = 1_795_457_280;
        for (now, ok) in [
            (date, true),
            (date + 60, true),
            (date - 60, true),
            (date + 61, false),
            (date - 61, false),
        ] {
            let finding = check_clock(&response, now);
            assert_eq!(finding.ok, ok, "{now}: {finding:?}");
        }
        assert!(
            check_clock(&response, date + 90)
                .message
                .contains("90 s ahead")
        );
        assert!(check_clock(&response_of("soon"), date).ok);
    }
}
