//! Reads texts: the shipped ones, the directory of ops over them; reports every fault at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use fluent_bundle::{FluentResource, concurrent::FluentBundle};
use fluent_syntax::ast::Entry;
use unic_langid::LanguageIdentifier;

/// Every shipped file: language and source. A test holds this list to the files that exist.
const SHIPPED: &[(&str, &str)] = &[
    ("en", include_str!("../../locales/en/pages.ftl")),
    ("en", include_str!("../../locales/en/mail.ftl")),
    ("fr", include_str!("../../locales/fr/pages.ftl")),
    ("fr", include_str!("../../locales/fr/mail.ftl")),
];

/// What is spoken where no other language fits.
pub(super) const FALLBACK: &str = "en";

pub(super) type Bundle = FluentBundle<Arc<FluentResource>>;

/// One language: the shipped messages, and those with the overrides of ops laid over them.
pub(super) struct Language {
    pub(super) tag: Arc<str>,
    pub(super) dir: &'static str,
    pub(super) texts: Bundle,
    /// Answers where an override cannot be formatted.
    pub(super) shipped: Bundle,
}

/// All languages by their tag.
pub(super) type Languages = BTreeMap<Arc<str>, Arc<Language>>;

impl Language {
    pub(super) fn empty() -> Self {
        let id = LanguageIdentifier::default();
        Self {
            tag: FALLBACK.into(),
            dir: "ltr",
            texts: bundle(&id, &[]),
            shipped: bundle(&id, &[]),
        }
    }
}

/// An override: language, where it stands (for messages), and its text.
pub(super) struct Source {
    tag: String,
    place: String,
    text: String,
}

/// Parses everything, reports all faults at once.
pub(super) fn languages(overrides: &[Source]) -> Result<Languages, String> {
    let mut faults = Vec::new();
    let mut shipped: BTreeMap<String, Vec<Arc<FluentResource>>> = BTreeMap::new();
    for &(tag, text) in SHIPPED {
        match parse(text) {
            Ok(resource) => shipped.entry(tag.to_owned()).or_default().push(resource),
            Err(fault) => faults.push(format!("the shipped texts in {tag}: {fault}")),
        }
    }
    let known = keys(shipped.get(FALLBACK).map_or(&[], Vec::as_slice));
    let mut laid_over: BTreeMap<String, Vec<Arc<FluentResource>>> = BTreeMap::new();
    for source in overrides {
        match parse(&source.text) {
            Ok(resource) => {
                let unknown = keys(std::slice::from_ref(&resource))
                    .into_iter()
                    .filter(|key| !known.contains(key));
                faults.extend(unknown.map(|key| {
                    format!("{}: there is no message `{key}` to replace", source.place)
                }));
                laid_over
                    .entry(source.tag.clone())
                    .or_default()
                    .push(resource);
            }
            Err(fault) => faults.push(format!("{}: {fault}", source.place)),
        }
    }
    let tags: BTreeSet<&String> = shipped.keys().chain(laid_over.keys()).collect();
    let mut languages = Languages::new();
    for tag in tags {
        match tag.parse::<LanguageIdentifier>() {
            Ok(id) => {
                let ours = shipped.get(tag).map_or(&[][..], Vec::as_slice);
                let over = laid_over.get(tag).map_or(&[][..], Vec::as_slice);
                let all: Vec<_> = ours.iter().chain(over).cloned().collect();
                let language = Language {
                    tag: tag.as_str().into(),
                    dir: direction(&id),
                    texts: bundle(&id, &all),
                    shipped: bundle(&id, ours),
                };
                languages.insert(tag.to_ascii_lowercase().into(), Arc::new(language));
            }
            Err(_) => faults.push(format!(
                "`{tag}` is not a language tag such as `de` or `pt-BR`"
            )),
        }
    }
    if faults.is_empty() {
        Ok(languages)
    } else {
        Err(faults.join("\n"))
    }
}

fn parse(text: &str) -> Result<Arc<FluentResource>, String> {
    FluentResource::try_new(text.to_owned())
        .map(Arc::new)
        .map_err(|(_, errors)| {
            let line = |at: usize| {
                text.get(..at)
                    .map_or(0, |before| before.matches('\n').count() + 1)
            };
            errors
                .iter()
                .map(|error| format!("line {}: {}", line(error.pos.start), error.kind))
                .collect::<Vec<_>>()
                .join("; ")
        })
}

fn keys(resources: &[Arc<FluentResource>]) -> BTreeSet<String> {
    resources
        .iter()
        .flat_map(|resource| resource.entries())
        .filter_map(|entry| match entry {
            Entry::Message(message) => Some(message.id.name.to_owned()),
            _ => None,
        })
        .collect()
}

fn bundle(id: &LanguageIdentifier, resources: &[Arc<FluentResource>]) -> Bundle {
    let mut bundle = Bundle::new_concurrent(vec![id.clone()]);
    // The marks would show up in attributes and letters; pages use `<bdi>` instead.
    bundle.set_use_isolating(false);
    for resource in resources {
        bundle.add_resource_overriding(Arc::clone(resource));
    }
    bundle
}

/// By script where the tag names one, else by language.
fn direction(id: &LanguageIdentifier) -> &'static str {
    let script = id.script.map(|script| script.as_str().to_owned());
    let right_to_left = match script.as_deref() {
        Some(script) => matches!(script, "Arab" | "Hebr" | "Thaa" | "Syrc" | "Nkoo" | "Adlm"),
        None => matches!(
            id.language.as_str(),
            "ar" | "he" | "fa" | "ur" | "ps" | "sd" | "ug" | "yi" | "dv" | "ckb"
        ),
    };
    if right_to_left { "rtl" } else { "ltr" }
}

/// Reads `LANG/*.ftl` below a directory.
pub(super) fn read_directory(root: &Path) -> Result<Vec<Source>, String> {
    let fault = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let list = |path: &Path| -> Result<Vec<std::path::PathBuf>, String> {
        let entries = std::fs::read_dir(path).map_err(|error| fault(path, error))?;
        let mut paths: Vec<_> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        Ok(paths)
    };
    let mut sources = Vec::new();
    for folder in list(root)?.into_iter().filter(|path| path.is_dir()) {
        let tag = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        for file in list(&folder)?
            .into_iter()
            .filter(|path| path.extension().is_some_and(|ext| ext == "ftl"))
        {
            let text = std::fs::read_to_string(&file).map_err(|error| fault(&file, error))?;
            sources.push(Source {
                tag: tag.clone(),
                place: file.display().to_string(),
                text,
            });
        }
    }
    Ok(sources)
}

/// The keys of a shipped language.
#[cfg(test)]
pub(super) fn shipped_keys(tag: &str) -> BTreeSet<String> {
    let resources: Vec<_> = SHIPPED
        .iter()
        .filter(|(found, _)| *found == tag)
        .filter_map(|(_, text)| parse(text).ok())
        .collect();
    keys(&resources)
}
