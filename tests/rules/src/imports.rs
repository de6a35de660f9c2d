//! Which paths a Rust file names, read with `syn`: `use` trees, paths in code, and paths inside
//! macro calls. Items under `#[cfg(test)]` are left out.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, File, Item, ItemMod, ItemUse, Macro, Path, UseTree, Visibility,
    visit::{self, Visit},
};

/// A path from the root of the crate, without the leading `crate`; or, for another crate, with
/// that crate's name in front.
pub type Absolute = Vec<String>;

/// What one file names.
#[derive(Debug, Default)]
pub struct Imports {
    /// Every path that the file names, made absolute.
    pub paths: Vec<Absolute>,
    /// Names that the file hands on by `pub use`, with the path behind each.
    pub reexports: BTreeMap<String, Absolute>,
}

struct Reader {
    module: Vec<String>,
    aliases: BTreeMap<String, Absolute>,
    found: Imports,
    relative: Vec<Vec<String>>,
}

/// Returns what a file names. `module`: the file's own module path, empty for the root of the
/// crate.
///
/// # Panics
/// If the text is not Rust.
#[must_use]
pub fn read(module: &[String], text: &str) -> Imports {
    let file: File = syn::parse_file(text).expect("a file that compiles");
    let mut reader = Reader {
        module: module.to_vec(),
        aliases: BTreeMap::new(),
        found: Imports::default(),
        relative: Vec::new(),
    };
    reader.visit_file(&file);
    // A path that begins with an imported name leads to where that name comes from.
    for path in std::mem::take(&mut reader.relative) {
        if let Some(target) = path.first().and_then(|first| reader.aliases.get(first)) {
            let whole = target.iter().chain(&path[1..]).cloned().collect();
            reader.found.paths.push(whole);
        }
    }
    reader.found
}

/// Returns the module path of a file below `src`: `src/login/flow.rs` is `login::flow`.
#[must_use]
pub fn module_of(path: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    let inside = inside.trim_end_matches("/mod");
    let names = inside.split('/').map(str::to_owned);
    names
        .filter(|name| name != "lib" && name != "main")
        .collect()
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        attribute.path().is_ident("cfg")
            && list.is_ok_and(|list| list.tokens.to_string().contains("test"))
    })
}

impl Reader {
    /// Makes a path absolute if it begins with `crate`, `self` or `super`.
    fn absolute(&self, path: &[String]) -> Option<Absolute> {
        let mut base = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => self.module.clone(),
            _ => return None,
        };
        let supers = path.iter().take_while(|name| *name == "super").count();
        base.truncate(base.len().saturating_sub(supers));
        base.extend(path[supers.max(1)..].iter().cloned());
        Some(base)
    }

    fn add(&mut self, path: Vec<String>) {
        match self.absolute(&path) {
            Some(absolute) => self.found.paths.push(absolute),
            None => self.relative.push(path),
        }
    }

    fn add_use(&mut self, tree: &UseTree, before: &[String], public: bool) {
        let join = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.add_use(&path.tree, &join(path.ident.to_string()), public),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(tree, before, public);
                }
            }
            UseTree::Name(name) if name.ident == "self" => {
                let alias = before.last().cloned().unwrap_or_default();
                self.add_alias(alias, before.to_vec(), public);
            }
            UseTree::Name(name) => {
                self.add_alias(name.ident.to_string(), join(name.ident.to_string()), public);
            }
            UseTree::Rename(name) => {
                self.add_alias(
                    name.rename.to_string(),
                    join(name.ident.to_string()),
                    public,
                );
            }
            UseTree::Glob(_) => self.add(before.to_vec()),
        }
    }

    fn add_alias(&mut self, alias: String, path: Vec<String>, public: bool) {
        let first = path.first().cloned().unwrap_or_default();
        let absolute = self.absolute(&path).or_else(|| {
            let target = self.aliases.get(&first)?;
            Some(target.iter().chain(&path[1..]).cloned().collect())
        });
        let target = absolute.unwrap_or(path);
        // What a module hands on from its own children is no import of its own.
        if !(public && target.starts_with(&self.module)) {
            self.found.paths.push(target.clone());
        }
        if public {
            self.found.reexports.insert(alias.clone(), target.clone());
        }
        self.aliases.insert(alias, target);
    }

    /// Finds paths among the tokens of a macro call.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons < 2 {
                        self.end_path(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.end_path(&mut path);
                    self.add_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.end_path(&mut path),
            }
        }
        self.end_path(&mut path);
    }

    fn end_path(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.add(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Const(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let name = item.ident.to_string();
        let target = self.module.iter().cloned().chain([name.clone()]).collect();
        self.aliases.insert(name.clone(), target);
        if item.content.is_some() {
            self.module.push(name);
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_use(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        if names.len() > 1 {
            self.add(names);
        }
        visit::visit_path(self, path);
    }

    /// `pub(in crate::db)` says who may import, and imports nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.add_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}
