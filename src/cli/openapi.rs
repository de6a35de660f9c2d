//! `entree openapi`: prints the document that is generated from the code.

use std::path::Path;

use super::{outcome::Outcome, output};

/// Prints the document, or compares it with a file.
pub(super) fn run(check: Option<&Path>) -> Outcome {
    let document = crate::routes::openapi_public();
    let Some(path) = check else {
        return output::print(document.trim_end());
    };
    let file = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    if file.trim_end() == document.trim_end() {
        return output::print(&format!("{} is up to date", path.display()));
    }
    Err(format!(
        "{0} differs from the code: run `entree openapi > {0}`",
        path.display()
    )
    .into())
}
