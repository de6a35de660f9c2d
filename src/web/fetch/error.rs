//! Errors of requests to other hosts, in fixed words: a URL may hold a secret, and a body does
//! (HT-08).

/// The reason why there is no response. It holds nothing of the URL or the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The address must not be connected to, for a reason in fixed words. No connection was made.
    #[error("refused to connect: {0}")]
    Blocked(&'static str),
    /// No connection was made.
    #[error("refused to connect: its URL is not https")]
    NotHttps,
    #[error("answered with a redirect")]
    Redirect,
    #[error("answered with more than 512 KiB")]
    TooLarge,
    #[error("did not answer in time")]
    Timeout,
    #[error("its name does not resolve (DNS)")]
    Dns,
    #[error("it refuses connections on that port")]
    Refused,
    #[error("TLS failed: its certificate is not trusted, or it speaks no TLS")]
    Tls,
    /// There was no connection, or it ended early, in fixed words.
    #[error("{0}")]
    Down(&'static str),
}

impl FetchError {
    /// Whether there was no response at all, so that the next request may well fail, too.
    #[must_use]
    pub const fn is_of_transport(self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::Dns | Self::Refused | Self::Tls | Self::Down(_)
        )
    }

    /// Returns the label for metrics and spans.
    #[must_use]
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Blocked(_) | Self::NotHttps => "blocked",
            Self::Redirect => "redirect",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Dns | Self::Refused | Self::Tls | Self::Down(_) => "down",
        }
    }
}
