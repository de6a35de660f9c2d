//! Requests to other hosts, and their responses.

use std::fmt;

use poem::http::{HeaderMap, HeaderValue, Method, header};

/// A request. There is no `Debug`: it may hold secrets.
pub struct FetchRequest {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl FetchRequest {
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            url: url.into(),
            headers: HeaderMap::new(),
            body: Vec::new(),
        }
    }

    #[must_use]
    pub fn post_form(url: impl Into<String>, form: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish()
            .into_bytes();
        let request = Self {
            method: Method::POST,
            url: url.into(),
            headers: HeaderMap::new(),
            body,
        };
        request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    /// Adds a header. A value that a header cannot hold is left out.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Adds a header whose value is a secret, which is not printed and not indexed by HTTP/2.
    #[must_use]
    pub fn secret_header(mut self, name: header::HeaderName, value: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        self
    }
}

/// A complete response with any status but a redirect. Only a request with `If-None-Match` gets a
/// 304.
pub struct FetchResponse {
    pub status: u16,
    pub headers: HeaderMap,
    /// At most [`super::MAX_BYTES`].
    pub body: Vec<u8>,
}

impl fmt::Debug for FetchResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchResponse")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
