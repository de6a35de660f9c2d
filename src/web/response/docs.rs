//! The documentation of the public API at `/docs`: the Swagger UI page that `poem-openapi` bundles.
//!
//! The page holds its script, its style sheet and the document, and loads nothing. Its
//! Content-Security-Policy names these parts by their hashes, so that nothing else runs on it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::body::Bytes;
use poem::{Response, http::header};
use poem_openapi::Tags;

use super::shared::SharedBody;
use crate::secret::Hash;

/// The headings of the generated document.
#[derive(Clone, Copy, Debug, Tags)]
pub enum ApiTag {
    /// Sign-in for first-party apps that draw their own form.
    #[oai(rename = "Sign-in")]
    SignIn,
    /// Sign-in as one resource: create a login, read or stream its state, submit its code. Answers
    /// 404 until the switch `api.v2_enabled` is on.
    #[oai(rename = "Logins (v2)")]
    Logins,
}

/// The page, made once.
pub struct DocumentationPage {
    html: Bytes,
    policy: String,
}

impl DocumentationPage {
    /// Takes the page as `OpenApiService::swagger_ui_html` returns it.
    #[must_use]
    pub fn new(swagger_ui: &str) -> Self {
        let html = swagger_ui.trim_start().replacen(
            "<html charset=\"UTF-8\">",
            "<!doctype html>\n<html lang=\"en\">",
            1,
        );
        let policy = format!(
            "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; \
             form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
            hash_sources(&html, "script"),
            hash_sources(&html, "style"),
        );
        Self {
            html: html.into(),
            policy,
        }
    }

    #[must_use]
    pub fn to_response(&self) -> Response {
        let response = Response::builder()
            .content_type("text/html; charset=utf-8")
            .header(header::CONTENT_SECURITY_POLICY, &self.policy)
            .header(header::CACHE_CONTROL, "public, max-age=300")
            .body(self.html.clone());
        SharedBody::mark(response)
    }
}

/// Returns the hash of each inline element of that name, as CSP 3 §2.3.1 writes it.
fn hash_sources(html: &str, name: &str) -> String {
    let sources: Vec<String> = inline_elements(html)
        .filter(|(found, _)| *found == name)
        .map(|(_, content)| {
            format!(
                "'sha256-{}'",
                STANDARD.encode(Hash::of(content.as_bytes()).as_bytes())
            )
        })
        .collect();
    sources.join(" ")
}

/// Yields the name and the content of each inline script and style sheet. What looks like an
/// element inside of another one's content is none.
fn inline_elements(html: &str) -> impl Iterator<Item = (&'static str, &str)> {
    let mut rest = html;
    std::iter::from_fn(move || {
        let (start, name) = ["script", "style"]
            .into_iter()
            .filter_map(|name| Some((rest.find(&format!("<{name}"))?, name)))
            .min()?;
        let (_, content) = rest.get(start..)?.split_once('>')?;
        let (content, after) = content.split_once(&format!("</{name}>"))?;
        rest = after;
        Some((name, content))
    })
}

#[cfg(test)]
mod tests {
    use poem_openapi::OpenApiService;

    use super::*;

    #[tokio::test]
    async fn the_page_loads_nothing_and_runs_only_its_own_parts() {
        let page =
            DocumentationPage::new(&OpenApiService::new((), "Entree", "1").swagger_ui_html());
        let elements: Vec<_> = inline_elements(std::str::from_utf8(&page.html).unwrap())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(elements, ["style", "script", "script"]);
        let response = page.to_response();
        let policy = response.header("content-security-policy").unwrap();
        assert_eq!(policy.matches("'sha256-").count(), 3, "{policy}");
        assert!(
            !policy.contains("unsafe") && !policy.contains("http"),
            "{policy}"
        );
        let html = response.into_body().into_string().await.unwrap();
        assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"));
        for loads in ["<link", "<script src", "@import", "url(http", "url(\"http"] {
            assert!(!html.contains(loads), "{loads}");
        }
    }
}
