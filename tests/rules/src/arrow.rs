//! The arrow between the top-level modules, read from the documentation of `src/lib.rs`, so that
//! the words and the rule cannot drift apart.

use std::collections::BTreeMap;

use crate::imports;

/// Where a module stands: its position from the left, and the side of it where `|` divides the
/// position.
pub type Position = (usize, Option<usize>);

/// Reads the arrow: `→` separates positions, `,` separates modules at one position, and modules on
/// different sides of a `|` never import each other.
///
/// # Panics
/// If the documentation holds no arrow in backticks.
#[must_use]
pub fn read(lib: &str) -> BTreeMap<String, Position> {
    let docs: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .collect();
    let docs = docs.join(" ");
    let arrow = docs
        .split('`')
        .find(|part| part.contains('→'))
        .expect("an arrow in backticks");
    let mut positions = BTreeMap::new();
    for (position, level) in arrow.split('→').enumerate() {
        let sides: Vec<&str> = level.split('|').collect();
        for (side, modules) in sides.iter().enumerate() {
            for module in modules.split(',').map(str::trim) {
                let side = (sides.len() > 1).then_some(side);
                positions.insert(module.to_owned(), (position, side));
            }
        }
    }
    positions
}

/// Returns what is wrong with the imports of one file.
#[must_use]
pub fn violations(path: &str, text: &str, positions: &BTreeMap<String, Position>) -> Vec<String> {
    if path == "src/lib.rs" {
        return Vec::new();
    }
    let module = imports::module_of(path);
    let own = module.first().cloned().unwrap_or_else(|| "main".to_owned());
    let Some(&(from, side)) = positions.get(&own) else {
        return vec![format!("{path}: {own} has no position in the arrow")];
    };
    let mut wrong = Vec::new();
    let read = imports::read(&module, text);
    // The binary names the library by its name.
    let names = read.paths.iter().map(|name| match name.first() {
        Some(first) if first == "entree" => &name[1..],
        _ => &name[..],
    });
    for name in names
        .filter_map(|name| name.first())
        .filter(|name| **name != own)
    {
        match positions.get(name) {
            Some((to, _)) if *to < from => {
                wrong.push(format!("{path} imports {name}, which stands to its left"));
            }
            Some((to, other)) if *to == from && side != *other => {
                wrong.push(format!(
                    "{path} imports {name}: {own} and {name} never meet"
                ));
            }
            _ => {}
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}
