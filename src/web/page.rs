//! Pages for people: the one way to make them, and the headers they all carry.
//!
//! A room declares its page as a plain struct with an askama template beside it and says by [`Content`] what is
//! special about it; [`show`] puts it into the layout and answers with every header of a page. A page without a script
//! cannot run one, whatever is injected into it. An endpoint cannot forget a header, because it writes none.

use askama::Template;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use poem::{
    Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};

use super::{assets, text::Localizer};
use crate::secret;

/// The one script of a page. It runs by nonce; the page works without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its text, trusted.
    pub source: &'static str,
    /// Whether it asks our own origin for something (`connect-src 'self'`).
    pub connects: bool,
}

/// What a page is, beside its body. Only [`localizer`](PageContent::localizer) and [`title`](PageContent::title) are asked of each.
pub trait PageContent: Template {
    /// The language it is written in.
    fn localizer(&self) -> &Localizer;

    /// What the window is called.
    fn title(&self) -> String;

    /// 200 unless it shows a refusal.
    fn status(&self) -> StatusCode {
        StatusCode::OK
    }

    /// Its script. Only the waiting page, the link page and the form_post answer have one.
    fn script(&self) -> Option<Script> {
        None
    }

    /// Where it leads by itself, at once (meta refresh).
    fn refresh(&self) -> Option<&str> {
        None
    }

    /// `no-referrer` for pages whose address holds a secret or that lead to other origins; then browsers send
    /// `Origin: null` with its forms, so all others use `same-origin`.
    fn referrer(&self) -> &'static str {
        "same-origin"
    }

    /// Whether its form leads to another origin: the form_post answer, whose target is a verified redirect URI.
    fn posts_to_other_origin(&self) -> bool {
        false
    }

    /// A broad page for tables and lists instead of the small card.
    fn is_wide(&self) -> bool {
        false
    }

    /// Whether styles written into the page apply: only where the mailbox of `entree dev` shows a letter.
    fn has_inline_styles(&self) -> bool {
        false
    }
}

/// What the answer depends on beside the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageOptions {
    /// The browser is told to stay with https: the public URL is https, and no name of this machine alone.
    pub https: bool,
    /// The client that began this opens our pages in a pop-up and must keep its handle to it.
    pub popups: bool,
}

impl PageOptions {
    /// The site of that public URL, without pop-ups.
    #[must_use]
    pub fn for_url(public_url: &str) -> Self {
        Self {
            https: super::host::keeps_https(public_url),
            popups: false,
        }
    }

    /// The same for a client that uses pop-ups or does not.
    #[must_use]
    pub const fn with_popups(self, popups: bool) -> Self {
        Self { popups, ..self }
    }
}

#[derive(Template)]
#[template(path = "web/layout.html", config = ".askama.toml")]
struct Layout<'a> {
    lang: &'a str,
    dir: &'a str,
    title: &'a str,
    service: &'a str,
    style: &'a str,
    refresh: Option<&'a str>,
    is_wide: bool,
    /// Rendered, and therefore escaped, by the page's own template.
    body: &'a str,
    script: Option<Script>,
    nonce: &'a str,
}

/// Renders the page and answers with it and with all headers of a page. Where rendering fails, which only a bug can
/// bring about, the answer is a 500 in plain words; it never panics.
#[must_use]
pub fn render_page(content: &impl PageContent, site: PageOptions) -> Response {
    let nonce = STANDARD.encode(secret::random::<16>());
    match render(content, &nonce) {
        Ok(html) => answer(content.status(), html, &page_headers(content, site, &nonce)),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            let text = "Something went wrong on our side. Please try again.".to_owned();
            answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                text,
                &[
                    (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
                    (header::CACHE_CONTROL, "no-store".to_owned()),
                    (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
                ],
            )
        }
    }
}

fn render(content: &impl PageContent, nonce: &str) -> askama::Result<String> {
    let localizer = content.localizer();
    Layout {
        lang: &localizer.tag,
        dir: localizer.direction(),
        title: &content.title(),
        service: &localizer.text("service"),
        style: assets::style_path(),
        refresh: content.refresh(),
        is_wide: content.is_wide(),
        body: &content.render()?,
        script: content.script(),
        nonce,
    }
    .render()
}

/// The Content-Security-Policy of a page.
fn policy(content: &impl PageContent, nonce: &str) -> String {
    let style = if content.has_inline_styles() {
        "'self' 'unsafe-inline'"
    } else {
        "'self'"
    };
    let script = content.script();
    let runs = script.map_or_else(|| "'none'".to_owned(), |_| format!("'nonce-{nonce}'"));
    let connects = if script.is_some_and(|script| script.connects) {
        "connect-src 'self'; "
    } else {
        ""
    };
    // Chromium applies form-action to every hop that a form starts, so an answer to a client cannot have one (CW-02).
    let forms = if content.posts_to_other_origin() {
        ""
    } else {
        "form-action 'self'; "
    };
    format!(
        "default-src 'none'; style-src {style}; img-src 'self' data:; script-src {runs}; {connects}{forms}\
         base-uri 'none'; frame-ancestors 'none'"
    )
}

fn page_headers(
    content: &impl PageContent,
    site: PageOptions,
    nonce: &str,
) -> Vec<(HeaderName, String)> {
    let fixed = |name: &'static str| HeaderName::from_static(name);
    let mut headers = vec![
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (
            header::CONTENT_LANGUAGE,
            content.localizer().tag.to_string(),
        ),
        (header::CONTENT_SECURITY_POLICY, policy(content, nonce)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::REFERRER_POLICY, content.referrer().to_owned()),
        (header::X_FRAME_OPTIONS, "DENY".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (
            fixed("cross-origin-resource-policy"),
            "same-origin".to_owned(),
        ),
        (
            fixed("cross-origin-opener-policy"),
            if site.popups {
                "unsafe-none"
            } else {
                "same-origin"
            }
            .to_owned(),
        ),
        (fixed("x-robots-tag"), "noindex".to_owned()),
    ];
    if site.https {
        headers.push((
            header::STRICT_TRANSPORT_SECURITY,
            "max-age=31536000".to_owned(),
        ));
    }
    headers
}

fn answer(status: StatusCode, body: String, headers: &[(HeaderName, String)]) -> Response {
    let mut response = Response::builder().status(status).body(body);
    for (name, value) in headers {
        // All values are ASCII of our own making; one that is not is left out rather than fatal.
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name.clone(), value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::web::text::Texts;

    #[derive(Template)]
    #[template(source = "<p>{{ word }}</p>", ext = "html")]
    struct Plain<'a> {
        localizer: &'a Localizer,
        word: Word,
        script: Option<Script>,
    }

    struct Word(bool);

    impl std::fmt::Display for Word {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            if self.0 {
                f.write_str("word")
            } else {
                Err(std::fmt::Error)
            }
        }
    }

    impl PageContent for Plain<'_> {
        fn localizer(&self) -> &Localizer {
            self.localizer
        }
        fn title(&self) -> String {
            "<Title>".to_owned()
        }
        fn script(&self) -> Option<Script> {
            self.script
        }
    }

    fn shown(script: Option<Script>, site: PageOptions) -> Response {
        let localizer = Texts::default().localizer("en");
        render_page(
            &Plain {
                localizer: &localizer,
                word: Word(true),
                script,
            },
            site,
        )
    }

    #[test]
    fn cw_01_every_header_of_a_page() {
        let response = shown(None, PageOptions::for_url("https://id.example.test"));
        let expected = [
            (
                "content-security-policy",
                "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'none'; form-action 'self'; \
                 base-uri 'none'; frame-ancestors 'none'",
            ),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("strict-transport-security", "max-age=31536000"),
            ("cache-control", "no-store"),
            ("referrer-policy", "same-origin"),
            ("x-robots-tag", "noindex"),
            ("content-language", "en"),
            ("content-type", "text/html; charset=utf-8"),
        ];
        for (name, value) in expected {
            assert_eq!(response.headers()[name], value, "{name}");
        }
        assert_eq!(response.headers().len(), expected.len());
    }

    #[test]
    fn cw_01_http_has_no_hsts_and_pop_ups_keep_their_opener() {
        let site = PageOptions::for_url("http://127.0.0.1:8080").with_popups(true);
        let response = shown(None, site);
        assert!(!response.headers().contains_key("strict-transport-security"));
        for (url, told) in [
            ("https://localhost:8443", false),
            ("https://a.localhost", false),
            ("https://localhosts.example", true),
        ] {
            let response = shown(None, PageOptions::for_url(url));
            assert_eq!(
                response.headers().contains_key("strict-transport-security"),
                told,
                "{url}"
            );
        }
        assert_eq!(
            response.headers()["cross-origin-opener-policy"],
            "unsafe-none"
        );
    }

    #[test]
    fn cw_01_a_script_runs_by_a_nonce_that_is_new_each_time() {
        let script = Script {
            source: "/* ours */",
            connects: true,
        };
        let policies: Vec<String> = (0..2)
            .map(|_| {
                shown(Some(script), PageOptions::default()).headers()["content-security-policy"]
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        assert!(
            policies[0].contains("script-src 'nonce-")
                && policies[0].contains("connect-src 'self'; "),
            "{policies:?}"
        );
        assert_ne!(policies[0], policies[1]);
    }

    #[test]
    fn a_page_that_cannot_be_rendered_is_a_plain_500() {
        let localizer = Texts::default().localizer("en");
        let response = render_page(
            &Plain {
                localizer: &localizer,
                word: Word(false),
                script: None,
            },
            PageOptions::default(),
        );
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(
            response.headers()["content-type"],
            "text/plain; charset=utf-8"
        );
    }
}
