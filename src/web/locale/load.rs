//! Reads the shipped texts and the operator's directory of overrides. The problems of the directory are
//! reported together: first those of reading it, and once all is read those of its messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use fluent_bundle::{FluentResource, concurrent::FluentBundle};
use fluent_syntax::ast::Entry;
use unic_langid::{CharacterDirection, LanguageIdentifier};

/// Every shipped file: language and text. A test compares this list with the files that exist.
const SHIPPED: &[(&str, &str)] = &[
    ("en", include_str!("../../locales/en/pages.ftl")),
    ("en", include_str!("../../locales/en/mail.ftl")),
    ("fr", include_str!("../../locales/fr/pages.ftl")),
    ("fr", include_str!("../../locales/fr/mail.ftl")),
];

/// The language where no other one matches.
const FALLBACK: &str = "en";

pub(super) type Bundle = FluentBundle<Arc<FluentResource>>;

pub(super) struct Language {
    pub(super) tag: Arc<str>,
    pub(super) direction: &'static str,
    /// The shipped messages with the overrides.
    pub(super) texts: Bundle,
    /// The shipped messages alone, for an override that cannot be formatted.
    pub(super) shipped: Bundle,
}

pub(super) struct Languages {
    pub(super) by_id: BTreeMap<LanguageIdentifier, Arc<Language>>,
    /// Serves what no other language has.
    pub(super) english: Arc<Language>,
}

impl Default for Languages {
    /// Without messages: keys are shown.
    fn default() -> Self {
        let english = Language::new(&LanguageIdentifier::default(), FALLBACK, &[], &[]);
        Self {
            by_id: BTreeMap::new(),
            english: Arc::new(english),
        }
    }
}

impl Language {
    fn new(
        id: &LanguageIdentifier,
        tag: &str,
        shipped: &[Arc<FluentResource>],
        overrides: &[Arc<FluentResource>],
    ) -> Self {
        let direction = match id.character_direction() {
            CharacterDirection::RTL => "rtl",
            CharacterDirection::LTR | CharacterDirection::TTB => "ltr",
        };
        Self {
            tag: tag.into(),
            direction,
            texts: bundle(id, shipped.iter().chain(overrides)),
            shipped: bundle(id, shipped),
        }
    }
}

/// A file of the operator's directory.
pub(super) struct Override {
    tag: String,
    path: String,
    text: String,
}

/// The parsed files of each language, by the tag that its folder has.
type Resources = BTreeMap<String, Vec<Arc<FluentResource>>>;

/// Parses the shipped texts and the overrides.
///
/// # Errors
/// Every problem, one a line.
pub(super) fn languages(overrides: &[Override]) -> Result<Languages, String> {
    let mut problems = Vec::new();
    let shipped = parse_shipped(&mut problems);
    let overrides = parse_overrides(overrides, &shipped, &mut problems);
    let tags: BTreeSet<&String> = shipped.keys().chain(overrides.keys()).collect();
    let mut languages = Languages::default();
    for tag in tags {
        let Ok(id) = tag.parse::<LanguageIdentifier>() else {
            problems.push(format!(
                "`{tag}` is not a language tag such as `de` or `pt-BR`"
            ));
            continue;
        };
        let (shipped, overrides) = (resources(&shipped, tag), resources(&overrides, tag));
        let language = Arc::new(Language::new(&id, tag, shipped, overrides));
        if tag == FALLBACK {
            languages.english = Arc::clone(&language);
        }
        languages.by_id.insert(id, language);
    }
    if problems.is_empty() {
        Ok(languages)
    } else {
        Err(problems.join("\n"))
    }
}

fn resources<'a>(all: &'a Resources, tag: &str) -> &'a [Arc<FluentResource>] {
    all.get(tag).map_or(&[], Vec::as_slice)
}

fn parse_shipped(problems: &mut Vec<String>) -> Resources {
    let mut shipped = Resources::new();
    for &(tag, text) in SHIPPED {
        match parse(text) {
            Ok(resource) => shipped.entry(tag.to_owned()).or_default().push(resource),
            Err(error) => problems.push(format!("the shipped texts in {tag}: {error}")),
        }
    }
    shipped
}

fn parse_overrides(
    files: &[Override],
    shipped: &Resources,
    problems: &mut Vec<String>,
) -> Resources {
    let known = keys(resources(shipped, FALLBACK));
    let mut overrides = Resources::new();
    for file in files {
        match parse(&file.text) {
            Ok(resource) => {
                let keys = keys(std::slice::from_ref(&resource));
                let unknown = keys.iter().filter(|key| !known.contains(*key));
                problems.extend(
                    unknown.map(|key| {
                        format!("{}: there is no message `{key}` to replace", file.path)
                    }),
                );
                let resources = overrides.entry(file.tag.clone()).or_default();
                resources.push(resource);
            }
            Err(error) => problems.push(format!("{}: {error}", file.path)),
        }
    }
    overrides
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

fn bundle<'a>(
    id: &LanguageIdentifier,
    resources: impl IntoIterator<Item = &'a Arc<FluentResource>>,
) -> Bundle {
    let mut bundle = Bundle::new_concurrent(vec![id.clone()]);
    // Isolation characters would be visible in attributes and emails. Pages use `<bdi>` instead.
    bundle.set_use_isolating(false);
    for resource in resources {
        bundle.add_resource_overriding(Arc::clone(resource));
    }
    bundle
}

/// Reads `LANG/*.ftl` below a directory, in the order of their names.
///
/// # Errors
/// What cannot be read, and texts that stand in no folder of a language, one a line.
pub(super) fn read_directory(root: &Path) -> Result<Vec<Override>, String> {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in sorted_entries(root, &mut problems) {
        if path.is_dir() {
            read_language(&path, &mut files, &mut problems);
        } else if is_ftl(&path) {
            problems.push(format!(
                "{}: is in no folder of a language such as `de`",
                path.display()
            ));
        }
    }
    if problems.is_empty() {
        Ok(files)
    } else {
        Err(problems.join("\n"))
    }
}

fn read_language(folder: &Path, files: &mut Vec<Override>, problems: &mut Vec<String>) {
    let tag = folder.file_name().unwrap_or_default().to_string_lossy();
    let paths = sorted_entries(folder, problems);
    for path in paths.into_iter().filter(|path| is_ftl(path)) {
        match std::fs::read_to_string(&path) {
            Ok(text) => files.push(Override {
                tag: tag.clone().into_owned(),
                path: path.display().to_string(),
                text,
            }),
            Err(error) => problems.push(problem(&path, &error)),
        }
    }
}

fn is_ftl(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "ftl")
}

/// Returns the paths in a folder that can be read, sorted.
fn sorted_entries(folder: &Path, problems: &mut Vec<String>) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match entries {
        Ok(entries) => {
            let mut paths: Vec<_> = entries.iter().map(std::fs::DirEntry::path).collect();
            paths.sort();
            paths
        }
        Err(error) => {
            problems.push(problem(folder, &error));
            Vec::new()
        }
    }
}

fn problem(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
pub(super) fn shipped_keys(tag: &str) -> BTreeSet<String> {
    let resources: Vec<_> = SHIPPED
        .iter()
        .filter(|(found, _)| *found == tag)
        .filter_map(|(_, text)| parse(text).ok())
        .collect();
    keys(&resources)
}
