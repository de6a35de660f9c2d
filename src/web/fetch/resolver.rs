//! Name resolution within a scope.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{address::is_public, scope::FetchScope};

/// Returns the public addresses of a name, and others only as the scope allows.
pub(super) struct Resolver(pub(super) Arc<FetchScope>);

/// The name has addresses, but none that may be reached.
#[derive(Debug, thiserror::Error)]
#[error("no public address")]
pub(super) struct NotPublicError;

/// The name has no address, or could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("no address")]
pub(super) struct NotResolvedError;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let scope = Arc::clone(&self.0);
        Box::pin(async move {
            let allows_private = scope.allows_private(name.as_str());
            // `check_url` lets this name pass over plain http alone.
            let allows_loopback = scope.loopback_http && name.as_str() == "localhost";
            let is_allowed = |ip: IpAddr| {
                allows_private || is_public(ip) || (allows_loopback && ip.is_loopback())
            };
            let all = look_up(name.as_str()).await.unwrap_or_default();
            if all.is_empty() {
                return Err(NotResolvedError.into());
            }
            let allowed: Vec<_> = all
                .into_iter()
                .filter(|address| is_allowed(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(NotPublicError.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// A public name that resolves to loopback, as a hostile name server's may the second time.
#[cfg(test)]
pub(super) const REBOUND: &str = "rebound.test";

async fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
    #[cfg(test)]
    if name == REBOUND {
        return Ok(vec![(std::net::Ipv4Addr::LOCALHOST, 0).into()]);
    }
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}
