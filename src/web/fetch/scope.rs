//! The addresses that requests may reach.

use std::path::PathBuf;

use url::{Host, Url};

use super::{address::is_public, error::FetchError};

pub(super) const NOT_PUBLIC: &str = "its address is not public";

/// The addresses that the settings of one provider or client allow beside public ones (HT-06, LO-3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchScope {
    /// Exactly these hosts, as a parsed URL has them, may be at addresses that are not public.
    pub private_hosts: Vec<String>,
    /// A PEM file with further root certificates.
    pub ca_file: Option<PathBuf>,
    /// Whether plain http to loopback addresses is allowed.
    pub loopback_http: bool,
}

impl FetchScope {
    /// Parses a URL and checks what can be checked before its name is resolved. Hosts that are
    /// addresses, in whatever notation, never reach the resolver (HT-04).
    ///
    /// # Errors
    /// [`FetchError::Blocked`], [`FetchError::NotHttps`].
    pub fn check_url(&self, url: &str) -> Result<Url, FetchError> {
        let url = Url::parse(url).map_err(|_| FetchError::Blocked("it is not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Blocked("its URL has a user in it"));
        }
        let host = url
            .host()
            .map(|host| host.to_owned())
            .ok_or(FetchError::Blocked("its URL has no host"))?;
        let is_loopback = match &host {
            Host::Domain(name) => name.trim_end_matches('.') == "localhost",
            Host::Ipv4(ip) => ip.is_loopback(),
            Host::Ipv6(ip) => ip.is_loopback(),
        };
        if url.scheme() == "http" && self.loopback_http && is_loopback {
            return Ok(url);
        }
        let is_public = match &host {
            Host::Domain(_) => !is_loopback,
            Host::Ipv4(ip) => is_public((*ip).into()),
            Host::Ipv6(ip) => is_public((*ip).into()),
        };
        if !is_public && !self.allows_private(&host.to_string()) {
            return Err(FetchError::Blocked(NOT_PUBLIC));
        }
        if url.scheme() == "https" {
            Ok(url)
        } else {
            Err(FetchError::NotHttps)
        }
    }

    pub(super) fn allows_private(&self, host: &str) -> bool {
        self.private_hosts.iter().any(|allowed| allowed == host)
    }
}
