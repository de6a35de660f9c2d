//! What `entree doctor` looks at: whether a provider can be reached, is whom we think, has keys that we can use, and has
//! our time. It asks as a sign-in would, and says in words how to mend what is wrong.

use poem::http::header;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::oidc::{metadata::Metadata, upstream::Upstream};
use crate::{
    config::providers::Kind,
    federation::error::{FederationError, RefusalCode},
    web::fetch::{FetchRequest, FetchResponse},
};

/// Clocks may differ by so many seconds.
const SKEW: i64 = 60;

/// One thing that `entree doctor` found at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProviderFinding {
    /// Whether it is in order.
    pub ok: bool,
    /// What was checked: `settings`, `redirect_uri`, `discovery`, `clock`, `keys`.
    pub check: &'static str,
    pub message: String,
    /// What the operator can do; empty if it is in order.
    pub hint: String,
}

fn fine(check: &'static str, message: impl Into<String>) -> ProviderFinding {
    ProviderFinding {
        ok: true,
        check,
        message: message.into(),
        hint: String::new(),
    }
}

fn wrong(check: &'static str, message: impl Into<String>, hint: &str) -> ProviderFinding {
    ProviderFinding {
        ok: false,
        check,
        message: message.into(),
        hint: hint.to_owned(),
    }
}

fn refusal(check: &'static str, refused: &FederationError) -> ProviderFinding {
    wrong(check, &refused.detail, hint(refused.code))
}

/// Everything that can be looked at without signing in.
pub(super) async fn diagnose(upstream: &Upstream, public_url: &str) -> Vec<ProviderFinding> {
    let settings = &upstream.settings;
    let uri = settings.redirect_uri(public_url);
    let mut found = vec![fine("redirect_uri", format!("register exactly {uri}"))];
    let metadata = match upstream.metadata().await {
        Ok(metadata) => metadata,
        Err(refused) => {
            found.push(refusal("discovery", &refused));
            return found;
        }
    };
    // GitHub answers 401 without a token: that it answers is what counts.
    let probe = settings
        .discovery_url()
        .or_else(|| metadata.userinfo_endpoint.clone())
        .unwrap_or_default();
    match upstream.call("discovery", FetchRequest::get(probe)).await {
        Ok(reply) => {
            found.push(discovery(&metadata));
            found.push(clock(&reply, upstream.now().seconds()));
        }
        Err(refused) => found.push(refusal("discovery", &refused)),
    }
    if settings.kind != Kind::Github {
        found.push(keys(upstream).await);
    }
    found
}

fn discovery(metadata: &Metadata) -> ProviderFinding {
    fine(
        "discovery",
        format!(
            "{} answers, and is the issuer that is configured",
            metadata.issuer
        ),
    )
}

/// A token is refused when the clocks differ by more than a minute.
fn clock(reply: &FetchResponse, now: i64) -> ProviderFinding {
    let date = reply
        .headers
        .get(header::DATE)
        .and_then(|date| date.to_str().ok());
    let Some(theirs) = date.and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok()) else {
        return fine("clock", "it does not tell its time");
    };
    let apart = now - theirs.unix_timestamp();
    if apart.abs() <= SKEW {
        return fine("clock", format!("{} s apart", apart.abs()));
    }
    let side = if apart > 0 { "ahead of" } else { "behind" };
    let words = format!("our clock is {} s {side} its clock", apart.abs());
    wrong(
        "clock",
        words,
        "set the time of this machine by NTP, if it is not the provider's that is wrong",
    )
}

async fn keys(upstream: &Upstream) -> ProviderFinding {
    let keys = match upstream.keys().await {
        Ok(keys) => keys,
        Err(refused) => return refusal("keys", &refused),
    };
    let fit = keys.fit_for(&upstream.settings.algs);
    if fit == 0 {
        let others = keys.len();
        let words = format!("none of its {others} usable keys is for the configured algorithms");
        return wrong("keys", words, "set algs to what it signs ID tokens with");
    }
    if keys.repeated() > 0 {
        return wrong(
            "keys",
            "keys share one kid, and such keys are not used",
            "tell the provider",
        );
    }
    fine("keys", format!("{fit} usable"))
}

/// What to do about it; docs/providers.md says more.
const fn hint(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::Blocked => "if this host is yours, name it in private_hosts of this provider",
        RefusalCode::Redirect => {
            "write the issuer as the discovery document has it, so that no redirect is needed"
        }
        RefusalCode::DiscoveryIssuer => {
            "write the issuer exactly as the document says it, if that is the provider that you mean"
        }
        RefusalCode::EndpointHost => "if that host is the provider's, name it in extra_hosts",
        RefusalCode::Timeout | RefusalCode::ProviderDown => {
            "look at DNS, firewall, certificate (ca_file) and the issuer's spelling"
        }
        _ => "look at the provider's own status",
    }
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn a_clock_that_is_more_than_a_minute_off_is_told() {
        let at = |date: &'static str| {
            let headers = HeaderMap::from_iter([(header::DATE, HeaderValue::from_static(date))]);
            FetchResponse {
                status: 200,
                headers,
                body: Vec::new(),
            }
        };
        let date = "Mon, 23 Nov 2026 18:08:00 GMT";
        let there = 1_795_457_280;
        for (now, ok) in [
            (there, true),
            (there + 60, true),
            (there - 60, true),
            (there + 61, false),
            (there - 61, false),
        ] {
            let found = clock(&at(date), now);
            assert_eq!(found.ok, ok, "{now}: {found:?}");
        }
        assert!(clock(&at(date), there + 90).message.contains("90 s ahead"));
        assert!(clock(&at("soon"), there).ok);
    }
}
