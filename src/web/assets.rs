//! Static files: one style sheet, part of the binary.
//!
//! Its name holds a hash of its content, so that browsers keep it for good and still see a new one at once.

use std::sync::LazyLock;

use poem::{Endpoint, EndpointExt as _, Response, Route, endpoint::make_sync, get, http::header};

use crate::secret::Hash;

const STYLE: &str = include_str!("entree.css");

static STYLE_PATH: LazyLock<String> = LazyLock::new(|| {
    let hash: String = Hash::of(STYLE.as_bytes()).as_bytes().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
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
        .at(style_path(), get(style("public, max-age=31536000, immutable")))
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
