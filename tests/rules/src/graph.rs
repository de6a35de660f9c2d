//! Which file imports which, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::{self, Absolute, Imports};

/// The imports between the files of a crate.
#[derive(Debug)]
pub struct Graph {
    /// For each file the files that it imports, with a path that it takes from each.
    pub edges: BTreeMap<String, BTreeMap<String, String>>,
}

impl Graph {
    /// Reads the graph from paths and texts.
    #[must_use]
    pub fn read(files: &[(String, String)]) -> Self {
        let mut by_module: BTreeMap<Absolute, (String, Imports)> = BTreeMap::new();
        for (path, text) in files.iter().filter(|(path, _)| path != "src/main.rs") {
            let module = imports::module_of(path);
            let read = imports::read(&module, text);
            by_module.insert(module, (path.clone(), read));
        }
        let mut edges: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (path, read) in by_module.values() {
            let out = edges.entry(path.clone()).or_default();
            for name in &read.paths {
                if let Some(target) = resolve(&by_module, name, 0).filter(|target| target != path) {
                    out.entry(target).or_insert_with(|| name.join("::"));
                }
            }
        }
        Self { edges }
    }

    /// Returns the groups of files that import each other, each with the imports that tie it.
    #[must_use]
    pub fn circles(&self) -> Vec<String> {
        let reach: BTreeMap<&str, BTreeSet<&str>> = self
            .edges
            .keys()
            .map(|file| (file.as_str(), self.reachable(file)))
            .collect();
        let mut reported = BTreeSet::new();
        let mut found = Vec::new();
        for file in self.edges.keys().map(String::as_str) {
            if !reach[file].contains(file) || reported.contains(file) {
                continue;
            }
            let circle: BTreeSet<&str> = reach[file]
                .iter()
                .copied()
                .filter(|other| reach.get(other).is_some_and(|back| back.contains(file)))
                .collect();
            reported.extend(circle.iter().copied());
            found.push(self.describe(&circle));
        }
        found
    }

    fn describe(&self, circle: &BTreeSet<&str>) -> String {
        let mut lines = vec![format!("a circle of {} files:", circle.len())];
        for file in circle {
            for (target, name) in &self.edges[*file] {
                if circle.contains(target.as_str()) {
                    lines.push(format!("  {file} imports {target} ({name})"));
                }
            }
        }
        lines.join("\n")
    }

    /// Returns the files that one can come to from `file`.
    fn reachable(&self, file: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = self.edges[file].keys().map(String::as_str).collect();
        while let Some(next) = open.pop() {
            if found.insert(next) {
                open.extend(
                    self.edges
                        .get(next)
                        .into_iter()
                        .flat_map(|out| out.keys())
                        .map(String::as_str),
                );
            }
        }
        found
    }
}

/// Returns the file that defines what a path names: the longest module on the path, and from there
/// along `pub use`.
fn resolve(
    by_module: &BTreeMap<Absolute, (String, Imports)>,
    path: &[String],
    depth: u8,
) -> Option<String> {
    let known = (0..=path.len())
        .rev()
        .find(|length| by_module.contains_key(&path[..*length]))?;
    let (file, imports) = &by_module[&path[..known]];
    let rest = &path[known..];
    let Some(onward) = rest.first().and_then(|name| imports.reexports.get(name)) else {
        // The root of the crate defines nothing: a path that ends there is another crate's.
        return (known > 0).then(|| file.clone());
    };
    if depth > 8 {
        return Some(file.clone());
    }
    let whole: Absolute = onward.iter().chain(&rest[1..]).cloned().collect();
    resolve(by_module, &whole, depth + 1)
}
