//! A person at a browser, without scripts: keeps cookies, fills in forms, sends the headers that browsers send.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Once,
};

use reqwest::{
    Method,
    header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE},
};
use url::Url;

use crate::page::{Form, Page};

/// A browser with a cookie jar of its own, at a network address of its own.
#[derive(Clone, Debug)]
pub struct Browser {
    http: reqwest::Client,
    from: Ipv4Addr,
    cookies: BTreeMap<String, Cookie>,
    smuggled: Option<String>,
    /// Sent as `Accept-Language`.
    pub language: String,
    /// Sent as `User-Agent`.
    pub agent: String,
}

/// A cookie as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Its value.
    pub value: String,
    /// The whole `Set-Cookie` line.
    pub line: String,
}

/// Where a request comes from, as `Sec-Fetch-Site` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// Typed, or a click in a mail program.
    Outside,
    /// A page of the service.
    Own,
    /// A page of another site.
    Cross,
}

/// A client without redirects and cookies, a new connection for each request (so that copies take turns). Over https it
/// trusts [`crate::trust`] alone, and tells which certificate it was shown.
#[must_use]
pub fn client() -> reqwest::Client {
    client_at(None)
}

/// The same, with connections from one local address.
#[must_use]
pub fn client_at(local: Option<IpAddr>) -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let authority = reqwest::Certificate::from_pem(crate::trust::authority().as_bytes())
        .expect("a certificate");
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    let builder = builder.tls_certs_only([authority]).tls_info(true);
    builder
        .pool_max_idle_per_host(0)
        .local_address(local)
        .timeout(std::time::Duration::from_secs(30))
        .build()
        .expect("an HTTP client")
}

impl Browser {
    /// A browser without cookies. `from` is the network address that the service sees, through
    /// `X-Forwarded-For`: the harness stands as a trusted proxy.
    #[must_use]
    pub fn new(from: Ipv4Addr) -> Self {
        Self {
            http: client(),
            from,
            cookies: BTreeMap::new(),
            smuggled: None,
            language: "en".to_owned(),
            agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
                .to_owned(),
        }
    }

    /// A browser whose connections come from a loopback address, for services that trust no proxy.
    #[must_use]
    pub fn bound(from: Ipv4Addr) -> Self {
        Self {
            http: client_at(Some(from.into())),
            ..Self::new(from)
        }
    }

    /// Opens an address that was typed or clicked in a mail.
    pub async fn open(&mut self, url: &str) -> Page {
        let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        self.send(Method::GET, &url, Site::Outside, None, &[]).await
    }

    /// Goes on from a page of the service to another address.
    pub async fn go(&mut self, url: &Url) -> Page {
        self.send(Method::GET, url, Site::Own, None, &[]).await
    }

    /// A bare request, for scanners: the method, nothing of a browser but the cookies.
    pub async fn bare(&mut self, method: Method, url: &str) -> Page {
        let url = Url::parse(url).expect("a URL");
        let request = self
            .http
            .request(method, url.clone())
            .header("X-Forwarded-For", self.from.to_string());
        self.finish(request.header(COOKIE, self.cookie_header()), url)
            .await
    }

    /// Fills in and sends the form of that id.
    ///
    /// # Panics
    /// The page has no such form, or the service does not answer.
    pub async fn submit(&mut self, page: &Page, form: &str, fields: &[(&str, &str)]) -> Page {
        self.send_form(page, &page.form(form), fields).await
    }

    /// Fills in and sends a form of `page`.
    pub async fn send_form(&mut self, page: &Page, form: &Form, fields: &[(&str, &str)]) -> Page {
        let mut all: Vec<(String, String)> = form.fields.clone();
        for &(name, value) in fields {
            match all.iter_mut().find(|(n, _)| n == name) {
                Some(field) => value.clone_into(&mut field.1),
                None => all.push((name.to_owned(), value.to_owned())),
            }
        }
        if !form.post {
            let mut url = form.action.clone();
            url.query_pairs_mut().clear().extend_pairs(&all);
            return self.go(&url).await;
        }
        self.send(Method::POST, &form.action, Site::Own, Some(page), &all)
            .await
    }

    /// A POST from a page of another site: what a forged form does.
    pub async fn forged(&mut self, url: &Url, fields: &[(String, String)]) -> Page {
        self.send(Method::POST, url, Site::Cross, None, fields)
            .await
    }

    /// Follows redirects and pages that go on by themselves, as long as they stay at the service. The page given back
    /// is the last one; if that is a redirect, it points elsewhere.
    pub async fn settle(&mut self, mut page: Page) -> Page {
        for _ in 0..10 {
            let Some(next) = page.location().or_else(|| page.refresh()) else {
                return page;
            };
            if next.origin() != page.url.origin() {
                return page;
            }
            page = self.go(&next).await;
        }
        panic!("no end of redirects at {}", page.url.path());
    }

    /// A cookie by the name after `__Host-Http-` or without it (`sid`, `pre`, `dev`).
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&Cookie> {
        let mut cookies = self.cookies.iter();
        cookies
            .find(|(full, _)| is_named(full, name))
            .map(|(_, cookie)| cookie)
    }

    /// A cookie's full name and value, by its short name.
    #[must_use]
    pub fn raw_cookie(&self, name: &str) -> Option<(String, String)> {
        let mut cookies = self.cookies.iter();
        cookies
            .find(|(full, _)| is_named(full, name))
            .map(|(full, cookie)| (full.clone(), cookie.value.clone()))
    }

    /// Sends just this as `Cookie` from now on, whatever the jar holds.
    pub fn smuggle(&mut self, header: &str) {
        self.smuggled = Some(header.to_owned());
    }

    /// Takes over all cookies of another browser: a thief, or a copy from before a change.
    pub fn take_cookies(&mut self, from: &Self) {
        self.cookies.clone_from(&from.cookies);
    }

    /// Forgets all cookies.
    pub fn forget(&mut self) {
        self.cookies.clear();
    }

    async fn send(
        &mut self,
        method: Method,
        url: &Url,
        site: Site,
        page: Option<&Page>,
        fields: &[(String, String)],
    ) -> Page {
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: &str| {
            headers.insert(name, HeaderValue::from_str(value).expect("plain"))
        };
        set("x-forwarded-for", &self.from.to_string());
        set("user-agent", &self.agent);
        set("accept-language", &self.language);
        set("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        set("sec-fetch-mode", "navigate");
        set("sec-fetch-dest", "document");
        set("sec-fetch-user", "?1");
        set(
            "sec-fetch-site",
            match site {
                Site::Outside => "none",
                Site::Own => "same-origin",
                Site::Cross => "cross-site",
            },
        );
        if method == Method::POST {
            // Fetch standard, "serialize a request origin": under `no-referrer` a form sends `null`.
            let silent =
                page.is_some_and(|page| page.header("referrer-policy") == Some("no-referrer"));
            let own = url.origin().ascii_serialization();
            set(
                "origin",
                if site == Site::Cross {
                    "https://elsewhere.example"
                } else if silent {
                    "null"
                } else {
                    &own
                },
            );
        }
        let mut request = self
            .http
            .request(method.clone(), url.clone())
            .headers(headers);
        // SameSite=Lax: withheld from a POST of another site, sent with every GET.
        let withheld = site == Site::Cross && method == Method::POST;
        if !withheld && !self.cookies.is_empty() {
            request = request.header(COOKIE, self.cookie_header());
        }
        if method == Method::POST {
            request = request.form(fields);
        }
        self.finish(request, url.clone()).await
    }

    /// All cookies, as they go into a request.
    #[must_use]
    pub fn cookie_header(&self) -> String {
        if let Some(header) = &self.smuggled {
            return header.clone();
        }
        // Browsers send Secure cookies over http to a loopback address too, so all are sent.
        self.cookies
            .iter()
            .map(|(name, cookie)| format!("{name}={}", cookie.value))
            .collect::<Vec<_>>()
            .join("; ")
    }

    async fn finish(&mut self, request: reqwest::RequestBuilder, url: Url) -> Page {
        let answer = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{}: {error:?}", url.path()));
        let (status, headers) = (answer.status(), answer.headers().clone());
        for line in headers
            .get_all(SET_COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
        {
            self.keep(line);
        }
        let body = answer.text().await.unwrap_or_default();
        Page {
            url,
            status,
            headers,
            body,
        }
    }

    fn keep(&mut self, line: &str) {
        let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
        let Some((name, value)) = pair.split_once('=') else {
            return;
        };
        let attributes = attributes.to_ascii_lowercase();
        let gone = attributes
            .split(';')
            .map(str::trim)
            .any(|a| a == "max-age=0" || a.starts_with("max-age=-"))
            || attributes.contains("expires=thu, 01 jan 1970");
        if gone {
            self.cookies.remove(name.trim());
        } else {
            let cookie = Cookie {
                value: value.trim().to_owned(),
                line: line.to_owned(),
            };
            self.cookies.insert(name.trim().to_owned(), cookie);
        }
    }
}

/// Whether a cookie has this short name: a prefix and the service's port may stand around it.
fn is_named(full: &str, name: &str) -> bool {
    let word = full.trim_start_matches("__Host-Http-");
    let port = word
        .strip_prefix(name)
        .map(|rest| rest.strip_prefix('-').unwrap_or(rest));
    port.is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}
