//! The sources of the configuration, laid over each other as one tree of values.
//!
//! From the lowest to the highest: the presets of `entree dev`, the file, the environment with the
//! files of secrets, and the command line. docs/decisions/0018-configuration-layers.md says why no
//! library does this.

use std::{collections::BTreeSet, io::ErrorKind, path::Path};

use toml::{Table, Value};

use super::{mode::Mode, problem::Problem, secret_files};

/// The prefix of the environment variables that are settings.
const ENV_PREFIX: &str = "ENTREE__";

/// What `entree dev` assumes unless the file or the environment says otherwise.
const DEV_PRESETS: &str = r#"
mail.transport = "mailbox"
server.single_instance = true
telemetry.format = "pretty"
"#;

/// The client of `examples/lessons-web`, which `entree dev` adds if no client is configured.
const DEV_CLIENT: &str = r#"
[[clients]]
client_id = "lessons-web"
name = "Lessons"
redirect_uris = ["http://127.0.0.1:8081/callback"]
post_logout_redirect_uris = ["http://127.0.0.1:8081/signed-out"]
refresh_tokens = "always"
token_endpoint_auth_method = "none"
audience = "http://127.0.0.1:8082"
first_party = true
app_sign_in = true
allowed_origins = ["http://127.0.0.1:8081"]
id_token_signed_response_alg = "ES256"
"#;

/// The merged values.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) root: Table,
    /// The paths of values that are texts from the environment: their type is not known yet.
    pub(super) env_texts: BTreeSet<String>,
}

impl Layers {
    pub(super) fn new(mode: &Mode) -> Self {
        let mut layers = Self::default();
        if mode.is_dev() {
            layers.add_toml(DEV_PRESETS);
        }
        layers
    }

    fn add_toml(&mut self, text: &str) {
        merge(&mut self.root, text.parse().unwrap_or_default());
    }

    /// Adds the file. A missing file is a problem only if the operator named it.
    pub(super) fn add_file(&mut self, path: &Path, is_named: bool) -> Result<(), Problem> {
        let problem =
            |what: String, hint: &str| Problem::new(path.display().to_string(), what, hint);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !is_named => return Ok(()),
            Err(error) => {
                let hint = "Name a readable TOML file in UTF-8 with --config or ENTREE_CONFIG.";
                return Err(problem(format!("cannot be read ({error})"), hint));
            }
        };
        let table = text.parse::<Table>().map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            // The message alone: the line itself may hold a secret.
            let what = format!("is not TOML at line {line} ({})", error.message());
            let hint = "Correct that line. Strings are in double quotes, sections in [brackets].";
            problem(what, hint)
        })?;
        merge(&mut self.root, table);
        Ok(())
    }

    /// Adds `ENTREE__SECTION__KEY`.
    pub(super) fn add_environment(
        &mut self,
        env: &[(String, String)],
        problems: &mut Vec<Problem>,
    ) {
        for (name, value) in env {
            let Some(path) = path_of_variable(name) else {
                problems.extend(misspelt_variable(name));
                continue;
            };
            let steps: Vec<&str> = path.split('.').collect();
            if put(&mut self.root, &steps, value) {
                self.env_texts.insert(steps.join("."));
            } else {
                let hint = "Write ENTREE__SECTION__KEY=value, for instance ENTREE__SERVER__PUBLIC_URL. \
                            Set ENTREE__CLIENTS and ENTREE__PROVIDERS as a whole, as a TOML or JSON array.";
                let what = "does not name a key of the configuration";
                problems.push(Problem::new(name, what, hint));
            }
        }
    }

    /// Replaces each `KEY_file` by the content of the file. Returns warnings.
    pub(super) fn add_secret_files(&mut self, problems: &mut Vec<Problem>) -> Vec<Problem> {
        // A list from the environment is still a text; its elements may name files.
        for list in ["clients", "providers"] {
            if let Some(Value::String(text)) = self.root.get(list)
                && let Some(array @ Value::Array(_)) = value_candidates(text, false).pop()
            {
                self.root.insert(list.to_owned(), array);
                self.env_texts.remove(list);
            }
        }
        let found = secret_files::read_all(&mut self.root);
        problems.extend(found.problems);
        found.warnings
    }

    /// Adds the command line and, in `entree dev`, a client if there is none. Returns notes on what
    /// it assumed.
    pub(super) fn add_command_line(&mut self, mode: &Mode) -> Vec<String> {
        let Mode::Dev { port, data_dir } = mode else {
            return Vec::new();
        };
        if let Some(port) = port {
            self.set("server", "listen", &format!("127.0.0.1:{port}"));
            if *port == 0 && !self.has("management", "listen") {
                self.set("management", "listen", "127.0.0.1:0");
            }
        }
        if let Some(dir) = data_dir {
            self.set("server", "data_dir", &dir.to_string_lossy());
        }
        let has_clients = match self.root.get("clients") {
            None => false,
            Some(Value::Array(clients)) => !clients.is_empty(),
            Some(Value::String(text)) => !text.trim().is_empty(),
            Some(_) => true,
        };
        if has_clients {
            return Vec::new();
        }
        self.add_toml(DEV_CLIENT);
        self.env_texts.remove("clients");
        vec![
            "No client is configured, so `lessons-web` is added, with the redirect URI http://127.0.0.1:8081/callback."
                .to_owned(),
        ]
    }

    fn has(&self, section: &str, key: &str) -> bool {
        let table = self.root.get(section).and_then(Value::as_table);
        table.is_some_and(|table| table.contains_key(key))
    }

    fn set(&mut self, section: &str, key: &str, value: &str) {
        self.env_texts.remove(&format!("{section}.{key}"));
        put(&mut self.root, &[section, key], value);
    }
}

/// Returns the path of the setting that an environment variable is for: `server.listen` for
/// `ENTREE__SERVER__LISTEN`.
pub(super) fn path_of_variable(name: &str) -> Option<String> {
    let path = name.strip_prefix(ENV_PREFIX)?;
    Some(path.to_lowercase().replace("__", "."))
}

/// A variable with one underscore in place of the first two would be ignored, and its setting missed.
/// Names without any double underscore are no settings: `ENTREE_CONFIG`, or what a container platform
/// sets for a service called entree.
fn misspelt_variable(name: &str) -> Option<Problem> {
    let rest = name.strip_prefix("ENTREE_")?;
    let hint = format!("Write {ENV_PREFIX}{rest}.");
    rest.contains("__")
        .then(|| Problem::new(name, "has one underscore after ENTREE", hint))
}

/// Merges tables key by key. Any other value replaces the one below.
fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Sets a text at a path of tables; `false` if the path is empty in part or leads through or to
/// something else.
fn put(table: &mut Table, steps: &[&str], value: &str) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return false;
    };
    if step.is_empty() {
        return false;
    }
    if rest.is_empty() {
        let is_section = table.get(*step).is_some_and(Value::is_table);
        if !is_section {
            table.insert((*step).to_owned(), Value::from(value));
        }
        return !is_section;
    }
    let inner = table
        .entry((*step).to_owned())
        .or_insert_with(|| Value::Table(Table::new()));
    inner
        .as_table_mut()
        .is_some_and(|inner| put(inner, rest, value))
}

/// Returns the values that a text from the environment may mean, the likeliest last.
pub(super) fn value_candidates(text: &str, is_list: bool) -> Vec<Value> {
    let text = text.trim();
    if is_list && !text.starts_with('[') {
        let parts = text.split(',').map(str::trim);
        let parts = parts.filter(|part| !part.is_empty());
        return vec![Value::Array(parts.map(Value::from).collect())];
    }
    let json = serde_json::from_str::<Value>(text).ok();
    let toml = format!("value = {text}").parse::<Table>().ok();
    let toml = toml.and_then(|mut table| table.remove("value"));
    json.into_iter().chain(toml).collect()
}
