//! Static files: one style sheet, part of the binary.
//!
//! Its name holds a hash of its content, so that browsers keep it for good and still see a new one at once.

use std::sync::LazyLock;

use poem::{Endpoint, EndpointExt as _, Response, Route, endpoint::make_sync, get, http::header};

use crate::secret::Hash;

const STYLE: &str = include_str!("entree.css");

static STYLE_PATH: LazyLock<String> = LazyLock::new(|| {
    let hash: String = Hash::of(STYLE.as_bytes())
        .as_bytes()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("/assets/entree-{hash}.css")
});

/// Where pages find the style sheet: `/assets/entree-<hash>.css`.
#[must_use]
pub fn style_path() -> &'static str {
    &STYLE_PATH
}

/// Serves the style sheet at [`style_path`] for good, and at `/assets/entree.css` for a short while. Mount it at the
/// root, or nest [`style`] under the two paths.
#[must_use]
pub fn route() -> Route {
    Route::new()
        .at(
            style_path(),
            get(style("public, max-age=31536000, immutable")),
        )
        .at("/assets/entree.css", get(style("public, max-age=300")))
}

/// The style sheet with that Cache-Control.
pub fn style(cache_control: &'static str) -> impl Endpoint {
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
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use poem::{Request, http::StatusCode};

    use super::*;

    async fn get(path: &str) -> Response {
        route()
            .get_response(Request::builder().uri(path.parse().unwrap()).finish())
            .await
    }

    #[tokio::test]
    async fn the_style_sheet_is_kept_for_good_under_its_hashed_name() {
        let response = get(style_path()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()["cache-control"],
            "public, max-age=31536000, immutable"
        );
        assert_eq!(
            response.headers()["content-type"],
            "text/css; charset=utf-8"
        );
        assert_eq!(response.into_body().into_string().await.unwrap(), STYLE);
        assert_eq!(
            get("/assets/entree-000000000000.css").await.status(),
            StatusCode::NOT_FOUND
        );
    }

    #[test]
    fn the_style_sheet_asks_nobody_for_anything() {
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
