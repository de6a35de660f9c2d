//! The style sheet and the icon, part of the binary.
//!
//! The style sheet's name holds a hash of its content, so that browsers cache it for good and still load a new
//! one at once.

use std::sync::LazyLock;

use poem::{Endpoint, EndpointExt as _, Response, endpoint::make_sync, http::header};

use crate::secret::Hash;

const STYLE: &str = include_str!("entree.css");

/// 180 × 180 pixels, which browsers scale down.
const ICON: &[u8] = include_bytes!("icon.png");

/// The paths at which browsers look for an icon without being asked to (OD-16).
pub const ICON_PATHS: [&str; 3] = [
    "/favicon.ico",
    "/apple-touch-icon.png",
    "/apple-touch-icon-precomposed.png",
];

/// Returns an endpoint that serves the icon. Other sites may show it beside a link to this one.
pub fn serve_icon() -> impl Endpoint {
    make_sync(|_| {
        Response::builder()
            .content_type("image/png")
            .header(header::CACHE_CONTROL, "public, max-age=86400")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .body(ICON)
    })
    .boxed()
}

static STYLE_PATH: LazyLock<String> = LazyLock::new(|| {
    let hash: String = Hash::of(STYLE.as_bytes())
        .as_bytes()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("/assets/entree-{hash}.css")
});

/// The path of the style sheet in pages: `/assets/entree-<hash>.css`.
#[must_use]
pub fn style_path() -> &'static str {
    &STYLE_PATH
}

/// Cache-Control under [`style_path`].
pub const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// Returns an endpoint that serves the style sheet.
pub fn serve_style(cache_control: &'static str) -> impl Endpoint {
    make_sync(move |_| {
        Response::builder()
            .content_type("text/css; charset=utf-8")
            .header(header::CACHE_CONTROL, cache_control)
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header("cross-origin-resource-policy", "same-origin")
            .body(STYLE)
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn od_16_the_icon_is_a_png() {
        let response = serve_icon().get_response(poem::Request::default()).await;
        assert_eq!(response.content_type(), Some("image/png"));
        let bytes = response.into_body().into_vec().await.unwrap();
        assert!(bytes.starts_with(b"\x89PNG\r\n") && bytes.len() < 1_000);
    }

    #[tokio::test]
    async fn the_style_sheet_is_cached_for_good_under_its_hashed_name() {
        assert!(style_path().starts_with("/assets/entree-"));
        let response = serve_style(FOR_GOOD)
            .get_response(poem::Request::default())
            .await;
        assert_eq!(response.header("cache-control"), Some(FOR_GOOD));
        assert_eq!(response.content_type(), Some("text/css; charset=utf-8"));
        assert_eq!(response.into_body().into_string().await.unwrap(), STYLE);
    }

    #[test]
    fn the_style_sheet_loads_nothing() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains("http"));
    }

    #[test]
    fn the_style_sheet_is_written_for_both_directions() {
        for side in ["left", "right"] {
            let physical = STYLE.lines().find(|line| {
                line.contains(&format!("-{side}:")) || line.contains(&format!(" {side}:"))
            });
            assert_eq!(physical, None);
        }
    }
}
