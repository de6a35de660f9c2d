//! What a service that runs beside `entree doctor` says of itself.

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;

use super::finding::Finding;
use crate::config::Startup;

/// A service on this machine responds at once.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The part of `/readyz` that only a running service knows.
#[derive(Debug, Deserialize)]
struct Readiness {
    status: String,
    missing: Vec<String>,
}

/// Asks the management listener; nothing if no service runs there.
pub(super) async fn check_running(config: &Startup) -> Option<Finding> {
    let readiness = fetch_readiness(config.management.listen).await?;
    Some(finding(&readiness))
}

async fn fetch_readiness(address: SocketAddr) -> Option<Readiness> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .build()
        .ok()?;
    let response = client.get(format!("http://{address}/readyz")).send().await;
    response.ok()?.json().await.ok()
}

fn finding(readiness: &Readiness) -> Finding {
    const CHECK: &str = "running service";
    let lacks = |name: &str| readiness.missing.iter().any(|missing| missing == name);
    if lacks("public_url_path") {
        let what = "requests come without the path of server.public_url, and are refused with 404";
        let hint = "let the proxy pass the path on unchanged (docs/https.md), or correct server.public_url";
        return Finding::warn(CHECK, what, hint);
    }
    if lacks("trusted_proxies") {
        let what = "a proxy sends X-Forwarded-For and is not trusted: all its users share the limits of one network";
        let hint = "add its address to server.trusted_proxies, and restart; the log names it";
        return Finding::warn(CHECK, what, hint);
    }
    if readiness.missing.is_empty() {
        return Finding::ok(CHECK, &readiness.status);
    }
    let what = format!("{}: {}", readiness.status, readiness.missing.join(", "));
    Finding::warn(CHECK, what, "see the other checks, and its log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oa_12_a_running_service_names_a_proxy_that_is_not_trusted() {
        let found = |missing: &[&str]| {
            finding(&Readiness {
                status: "degraded".to_owned(),
                missing: missing.iter().map(|name| (*name).to_owned()).collect(),
            })
        };
        assert!(
            found(&["trusted_proxies"])
                .hint
                .contains("server.trusted_proxies")
        );
        assert!(
            found(&["public_url_path"])
                .hint
                .contains("server.public_url")
        );
        assert!(found(&["tickets"]).what.contains("tickets"));
        assert!(found(&[]).hint.is_empty());
    }

    #[tokio::test]
    async fn without_a_running_service_nothing_is_found() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let mut config = Startup::default();
        config.management.listen = free.expect("a free port");
        assert!(check_running(&config).await.is_none());
    }
}
