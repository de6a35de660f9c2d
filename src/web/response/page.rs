//! Pages for people, and the headers that each of them carries.
//!
//! A module declares its page as a struct with an askama template and implements [`PageContent`].
//! [`render_page`] puts the page into the layout and sets every header, so that an endpoint cannot
//! forget one. A page without a script cannot run one, whatever is injected into it.

use std::{any::Any, borrow::Borrow};

use askama::Template;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use poem::{
    Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};

use super::{assets, filters, hsts};
use crate::{
    secret,
    web::{base_path::BasePath, locale::Localizer},
};

/// The one script of a page. It runs by nonce; the page works without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// Trusted: it is not escaped.
    pub source: &'static str,
    /// Whether it sends requests to our own origin (`connect-src 'self'`).
    pub connects: bool,
}

/// What a page is beside its body. The methods with a default are for pages that differ.
pub trait PageContent: Template {
    fn localizer(&self) -> &Localizer;

    /// The title of the window.
    fn title(&self) -> String;

    /// The status of the response: 200 unless the page shows an error.
    fn status(&self) -> StatusCode {
        StatusCode::OK
    }

    /// ST-08: only the waiting page, the link page and the form_post page have a script.
    fn script(&self) -> Option<Script> {
        None
    }

    /// Where the browser goes at once, by meta refresh.
    fn refresh(&self) -> Option<&str> {
        None
    }

    /// The Referrer-Policy. Pages whose address holds a secret or that lead to other origins use
    /// `no-referrer`. Browsers then send `Origin: null` with their forms, so all others use
    /// `same-origin`.
    fn referrer(&self) -> &'static str {
        "same-origin"
    }

    /// Whether its form posts to another origin: the form_post page, which posts to a verified
    /// redirect URI.
    fn posts_to_other_origin(&self) -> bool {
        false
    }

    /// Whether the page is broad, for tables and lists, instead of a small card.
    fn is_wide(&self) -> bool {
        false
    }

    /// Whether inline styles apply: only where the mailbox of `entree dev` shows an email.
    fn has_inline_styles(&self) -> bool {
        false
    }
}

/// What headers and links depend on beside the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageOptions {
    /// The path before the addresses of ours in the page.
    pub base_path: BasePath,
    /// Whether the response carries Strict-Transport-Security.
    pub hsts: bool,
    /// Whether the client opens our pages in a pop-up and must keep its handle to the window.
    pub popups: bool,
}

impl PageOptions {
    #[must_use]
    pub fn for_url(public_url: &str) -> Self {
        Self {
            base_path: BasePath::of_url(public_url),
            hsts: hsts::applies_to(public_url),
            popups: false,
        }
    }

    #[must_use]
    pub fn with_popups(self, popups: bool) -> Self {
        Self { popups, ..self }
    }
}

#[derive(Template)]
#[template(path = "web/response/layout.html", config = ".askama.toml")]
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

/// Renders a page with all its headers. Rendering fails only by a bug; the response is then a 500
/// in plain text.
#[must_use]
pub fn render_page(content: &impl PageContent, options: impl Borrow<PageOptions>) -> Response {
    let options: &PageOptions = options.borrow();
    let nonce = STANDARD.encode(secret::random::<16>());
    match render(content, &options.base_path, &nonce) {
        Ok(html) => response(
            content.status(),
            html,
            &page_headers(content, options, &nonce),
        ),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            let text = "Something went wrong on our side. Try again.".to_owned();
            response(
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

fn render(content: &impl PageContent, base_path: &BasePath, nonce: &str) -> askama::Result<String> {
    let values: (&str, &dyn Any) = (filters::BASE_PATH, base_path);
    let localizer = content.localizer();
    Layout {
        lang: &localizer.tag,
        dir: localizer.direction(),
        title: &content.title(),
        service: &localizer.text("service"),
        style: assets::style_path(),
        refresh: content.refresh(),
        is_wide: content.is_wide(),
        body: &content.render_with_values(&values)?,
        script: content.script(),
        nonce,
    }
    .render_with_values(&values)
}

fn content_security_policy(content: &impl PageContent, nonce: &str) -> String {
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
    // Chromium applies form-action to every redirect that follows a form, so a page that posts to a
    // client cannot have one (CW-02).
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
    options: &PageOptions,
    nonce: &str,
) -> Vec<(HeaderName, String)> {
    let fixed = |name: &'static str| HeaderName::from_static(name);
    let mut headers = vec![
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (
            header::CONTENT_LANGUAGE,
            content.localizer().tag.to_string(),
        ),
        (
            header::CONTENT_SECURITY_POLICY,
            content_security_policy(content, nonce),
        ),
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
            if options.popups {
                "unsafe-none"
            } else {
                "same-origin"
            }
            .to_owned(),
        ),
        (fixed("x-robots-tag"), "noindex".to_owned()),
    ];
    if options.hsts {
        headers.push((header::STRICT_TRANSPORT_SECURITY, hsts::VALUE.to_owned()));
    }
    headers
}

fn response(status: StatusCode, body: String, headers: &[(HeaderName, String)]) -> Response {
    let mut response = Response::builder().status(status).body(body);
    for (name, value) in headers {
        // All values are ASCII that we made; one that is not is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name.clone(), value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::locale::Texts;

    #[derive(Template)]
    #[template(source = "<p>{{ body }}</p>", ext = "html")]
    struct TestPage<'a> {
        localizer: &'a Localizer,
        body: Body,
        script: Option<Script>,
    }

    /// A body that can be rendered, or not.
    struct Body(bool);

    impl std::fmt::Display for Body {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            if self.0 {
                f.write_str("body")
            } else {
                Err(std::fmt::Error)
            }
        }
    }

    impl PageContent for TestPage<'_> {
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

    fn rendered(script: Option<Script>, options: PageOptions) -> Response {
        let localizer = Texts::default().localizer("en");
        render_page(
            &TestPage {
                localizer: &localizer,
                body: Body(true),
                script,
            },
            options,
        )
    }

    #[test]
    fn cw_01_every_header_of_a_page() {
        let response = rendered(None, PageOptions::for_url("https://id.example.test"));
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
        let options = PageOptions::for_url("http://127.0.0.1:8080").with_popups(true);
        let response = rendered(None, options);
        assert!(!response.headers().contains_key("strict-transport-security"));
        for (url, has_hsts) in [
            ("https://localhost:8443", false),
            ("https://a.localhost", false),
            ("https://localhosts.example", true),
        ] {
            let response = rendered(None, PageOptions::for_url(url));
            assert_eq!(
                response.headers().contains_key("strict-transport-security"),
                has_hsts,
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
                rendered(Some(script), PageOptions::default()).headers()["content-security-policy"]
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
            &TestPage {
                localizer: &localizer,
                body: Body(false),
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
