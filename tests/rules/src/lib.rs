//! Reads the repository as text: which files there are, and which Rust file imports which.
//!
//! The rules themselves are tests of this package (`tests/rules/tests`). They build nothing of the
//! service, so that `make check` answers within seconds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a file that cannot be read must stop the test and name itself"
)]

pub mod arrow;
pub mod graph;
pub mod imports;
pub mod links;
pub mod requirements;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Returns the top of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tests/rules stands two folders below the top")
        .to_owned()
}

/// Returns the text of a file, by its path from the top of the repository.
#[must_use]
pub fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns path and text of every file below `folder` whose name ends in one of `endings`, sorted.
/// What is installed or built is left out.
#[must_use]
pub fn files(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !["node_modules", "target", ".git"].contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                let from_top = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                if let Ok(text) = fs::read_to_string(&path) {
                    found.push((from_top, text));
                }
            }
        }
    }
    found.sort();
    found
}

/// Returns the Rust files of the service without those that hold tests alone.
#[must_use]
pub fn product_files() -> Vec<(String, String)> {
    let all = files("src", &[".rs"]);
    let product: Vec<_> = all
        .into_iter()
        .filter(|(path, _)| !is_test_file(path))
        .collect();
    assert!(product.len() > 50, "only {} files found", product.len());
    product
}

/// Whether a file below `src` holds tests alone.
#[must_use]
pub fn is_test_file(path: &str) -> bool {
    path.contains("/tests/")
        || ["tests.rs", "test_app.rs", "/conformance.rs"]
            .iter()
            .any(|end| path.ends_with(end))
}
