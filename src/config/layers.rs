//! The layers of the configuration, laid over each other as one tree of values.
//!
//! Lowest first: presets of `entree dev`, the file, the environment, the files that hold secrets, command-line options.

use std::{collections::BTreeSet, io::ErrorKind, path::Path};

use toml::{Table, Value};

use super::{mode::Mode, problem::Problem};

/// What an environment variable begins with.
const PREFIX: &str = "ENTREE__";

/// Secrets: each may stand in a file of its own, named by the same key with `_file`.
pub(super) const SECRETS: [(&str, &str); 5] = [
    ("server", "master_key"),
    ("server", "previous_master_keys"),
    ("database", "url"),
    ("tickets", "url"),
    ("mail", "password"),
];

/// Whether these keys lead to a secret.
pub(super) fn is_secret<'a>(mut keys: impl Iterator<Item = &'a str>) -> bool {
    let (section, key) = (keys.next(), keys.next());
    let is = |(own_section, own_key): &(&str, &str)| {
        section == Some(own_section) && key.is_some_and(|key| key.starts_with(own_key))
    };
    SECRETS.iter().chain(&LISTED_SECRETS).any(is)
}

/// The same in lists.
const LISTED_SECRETS: [(&str, &str); 3] = [
    ("clients", "client_secret"),
    ("providers", "client_secret"),
    ("providers", "private_key"),
];

/// The tree, and which of its values are texts from the environment whose type is not known yet.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) root: Table,
    pub(super) texts: BTreeSet<String>,
}

impl Layers {
    /// What `entree dev` assumes unless told otherwise.
    pub(super) fn presets(&mut self) {
        let preset = |section: &str, key: &str, value: Value| {
            (
                section.to_owned(),
                Value::Table(Table::from_iter([(key.to_owned(), value)])),
            )
        };
        self.root = Table::from_iter([
            preset("mail", "transport", "mailbox".into()),
            preset("server", "single_instance", true.into()),
            preset("telemetry", "format", "pretty".into()),
        ]);
    }

    /// Lays the file over what is there. A missing file is a problem only if it was `named`. `false`: it could not be
    /// read, so nobody knows what it says.
    pub(super) fn file(&mut self, path: &Path, named: bool, problems: &mut Vec<Problem>) -> bool {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !named => return true,
            Err(error) => {
                let what = format!("cannot be read ({error})");
                let mend = "name a readable TOML file in UTF-8 with --config or ENTREE_CONFIG";
                problems.push(Problem::new(path.display().to_string(), what, mend));
                return false;
            }
        };
        match text.parse::<Table>() {
            Ok(table) => {
                merge(&mut self.root, table);
                true
            }
            Err(error) => {
                let line = error.span().map_or(1, |span| {
                    text.get(..span.start).unwrap_or("").matches('\n').count() + 1
                });
                // Only the reader's own words: the line itself may hold a secret.
                let what = format!("is not TOML at line {line} ({})", error.message());
                let mend = "mend that line; texts stand in double quotes, sections in [brackets]";
                problems.push(Problem::new(path.display().to_string(), what, mend));
                false
            }
        }
    }

    /// Lays `ENTREE__SECTION__KEY` over what is there.
    pub(super) fn environment<'a>(
        &mut self,
        env: impl Iterator<Item = (&'a str, &'a str)>,
        problems: &mut Vec<Problem>,
    ) {
        for (name, value) in env {
            let Some(path) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let path = path.to_lowercase();
            let steps: Vec<&str> = path.split("__").collect();
            if put(&mut self.root, &steps, value) {
                self.texts.insert(steps.join("."));
            } else {
                let mend = "write ENTREE__SECTION__KEY=value, for instance ENTREE__SERVER__PUBLIC_URL; \
                            set ENTREE__CLIENTS and ENTREE__PROVIDERS as a whole, as a TOML or JSON array";
                problems.push(Problem::new(
                    name,
                    "does not name a key of the configuration",
                    mend,
                ));
            }
        }
    }

    /// Replaces each `*_file` by what stands in that file.
    pub(super) fn secrets(&mut self, problems: &mut Vec<Problem>) {
        for (section, key) in SECRETS {
            let Some(Value::Table(table)) = self.root.get_mut(section) else {
                continue;
            };
            let Some(path) = take_path(table, section, key, problems) else {
                continue;
            };
            match read_secret(Path::new(&path), key.contains("master_key")) {
                Ok(text) if key == "previous_master_keys" => {
                    let lines = text
                        .lines()
                        .filter(|line| !line.is_empty())
                        .map(Value::from)
                        .collect();
                    table.insert(key.to_owned(), Value::Array(lines));
                }
                Ok(text) => {
                    table.insert(key.to_owned(), Value::String(text));
                    self.texts.remove(&format!("{section}.{key}"));
                }
                Err((what, mend)) => {
                    problems.push(Problem::new(format!("{section}.{key}_file"), what, mend))
                }
            }
        }
        for (list, key) in LISTED_SECRETS {
            self.listed_secrets(list, key, problems);
        }
    }

    /// The same for each element of a list. A list from the environment is a text until here.
    fn listed_secrets(&mut self, list: &str, key: &str, problems: &mut Vec<Problem>) {
        if let Some(Value::String(text)) = self.root.get(list)
            && let Some(array @ Value::Array(_)) = candidates(text, false).pop()
        {
            self.root.insert(list.to_owned(), array);
            self.texts.remove(list);
        }
        let Some(Value::Array(elements)) = self.root.get_mut(list) else {
            return;
        };
        for (at, element) in elements.iter_mut().enumerate() {
            let Value::Table(table) = element else {
                continue;
            };
            let section = format!("{list}[{at}]");
            let Some(path) = take_path(table, &section, key, problems) else {
                continue;
            };
            match read_secret(Path::new(&path), false) {
                Ok(text) => drop(table.insert(key.to_owned(), Value::String(text))),
                Err((what, mend)) => {
                    problems.push(Problem::new(format!("{section}.{key}_file"), what, mend));
                    // Something to go on with, so that it is not called missing too; nothing is loaded with a problem.
                    let filler = if key == "private_key" {
                        "-----BEGIN PRIVATE KEY-----"
                    } else {
                        "client-secret-that-is-only-a-placeholder-0123456789"
                    };
                    table.insert(key.to_owned(), filler.into());
                }
            }
        }
    }

    /// Lays the command line over everything and, in `entree dev`, fills in what a beginner needs. Tells what it did.
    pub(super) fn finish(&mut self, mode: &Mode) -> Vec<String> {
        let Mode::Dev { port, data_dir } = mode else {
            return Vec::new();
        };
        let mut notes = Vec::new();
        if let Some(port) = port {
            self.set("server", "listen", format!("127.0.0.1:{port}"));
            if *port == 0 && !self.has("management", "listen") {
                self.set("management", "listen", "127.0.0.1:0".to_owned());
            }
        }
        if let Some(dir) = data_dir {
            self.set("server", "data_dir", dir.to_string_lossy().into_owned());
        }
        let none = match self.root.get("clients") {
            None => true,
            Some(Value::Array(clients)) => clients.is_empty(),
            Some(Value::String(text)) => text.trim().is_empty(),
            Some(_) => false,
        };
        if none && let Ok(preset) = PRESET_CLIENT.parse::<Table>() {
            merge(&mut self.root, preset);
            self.texts.remove("clients");
            notes.push(
                "no clients are configured: `lessons-web` with redirect http://127.0.0.1:8081/callback is preset"
                    .to_owned(),
            );
        }
        notes
    }

    fn has(&self, section: &str, key: &str) -> bool {
        self.root
            .get(section)
            .and_then(Value::as_table)
            .is_some_and(|table| table.contains_key(key))
    }

    fn set(&mut self, section: &str, key: &str, value: String) {
        self.texts.remove(&format!("{section}.{key}"));
        put(&mut self.root, &[section, key], &value);
    }
}

/// The client of `examples/lessons-web`.
const PRESET_CLIENT: &str = r#"
[[clients]]
client_id = "lessons-web"
name = "Lessons"
redirect_uris = ["http://127.0.0.1:8081/callback"]
post_logout_redirect_uris = ["http://127.0.0.1:8081/signed-out"]
refresh_tokens = "always"
token_endpoint_auth_method = "none"
audience = "http://127.0.0.1:8082"
first_party = true
allowed_origins = ["http://127.0.0.1:8081"]
id_token_signed_response_alg = "ES256"
"#;

/// Tables are merged key by key; everything else is replaced.
fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// Sets a text at a path of tables; `false` if the path leads through or to something else.
fn put(table: &mut Table, steps: &[&str], value: &str) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return false;
    };
    if step.is_empty() {
        return false;
    }
    if rest.is_empty() {
        if table.get(*step).is_some_and(Value::is_table) {
            return false;
        }
        table.insert((*step).to_owned(), Value::String(value.to_owned()));
        return true;
    }
    match table
        .entry((*step).to_owned())
        .or_insert_with(|| Value::Table(Table::new()))
    {
        Value::Table(inner) => put(inner, rest, value),
        _ => false,
    }
}

/// Takes `KEY_file` out of a table: the path that it names, unless it is empty, is no text, or stands beside the key.
fn take_path(
    table: &mut Table,
    section: &str,
    key: &str,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let path = table.remove(&format!("{key}_file"))?;
    let full = format!("{section}.{key}_file");
    let given = table.get(key).is_some_and(|value| match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    });
    if given {
        let mend = format!("remove one of {section}.{key} and {full}");
        problems.push(Problem::new(
            full,
            format!("is given beside {section}.{key}"),
            mend,
        ));
        return None;
    }
    match path {
        Value::String(path) => Some(path).filter(|path| !path.is_empty()),
        _ => {
            problems.push(Problem::new(
                full,
                "is not a text",
                "write the path of a file in double quotes",
            ));
            None
        }
    }
}

/// The text of a secret's file without its final line break. A master key's file must be its owner's alone.
fn read_secret(path: &Path, private: bool) -> Result<String, (String, String)> {
    if private && let Some(mode) = too_open(path) {
        let what = format!("names a file that others may read (mode {mode:04o})");
        return Err((what, format!("chmod 0400 {}", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        let mend = "name a text file that the service's user may read; relative paths begin at its working directory";
        (format!("names a file that cannot be read ({error})"), mend.to_owned())
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err((
            "names an empty file".to_owned(),
            "write the secret into it, or remove the key".to_owned(),
        ));
    }
    Ok(text.to_owned())
}

/// The mode of a file that someone besides its owner may read or write, or that can be run.
#[cfg(unix)]
pub(crate) fn too_open(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & !0o600 != 0).then_some(mode)
}

/// Where there are no modes, the system's access lists rule.
#[cfg(not(unix))]
pub(crate) fn too_open(_path: &Path) -> Option<u32> {
    None
}

/// What a text from the environment may mean, the likeliest last.
pub(super) fn candidates(text: &str, list: bool) -> Vec<Value> {
    let mut ways = Vec::new();
    let text = text.trim();
    if list && !text.starts_with('[') {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        return vec![Value::Array(parts.map(Value::from).collect())];
    }
    ways.extend(serde_json::from_str::<Value>(text).ok());
    ways.extend(
        format!("value = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| table.remove("value")),
    );
    ways
}
