//! Reading the configuration: file, then environment, then the files that hold secrets; all problems at once.
//!
//! A [`Problem`] says what is wrong and how to mend it, and never shows a value: a secret may stand in the wrong place.

use std::path::{Path, PathBuf};

use super::{
    check, client::Client, deserialize::deserialize, layers::Layers, mode::Mode, problem::Problem,
    settings::Config,
};
use crate::secret::Hash;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "entree.toml";

/// A configuration without problems.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// It.
    pub config: Config,
    /// What works but should be looked at.
    pub warnings: Vec<Problem>,
    /// What `entree dev` assumed.
    pub notes: Vec<String>,
}

/// Where the configuration comes from; kept, so that it can be read again.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// `--config`. None: `entree.toml`, if it is there.
    pub file: Option<PathBuf>,
    /// The environment, of which only names that begin with `ENTREE__` count.
    pub env: Vec<(String, String)>,
    /// What it is for.
    pub mode: Mode,
}

impl Source {
    /// From this process's environment.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, mode: Mode) -> Self {
        // Values that are not UTF-8 become wrong values and so problems, rather than being passed over.
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self {
            file,
            env: std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            mode,
        }
    }

    /// The file that is read.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }

    /// Reads everything.
    ///
    /// # Errors
    /// All problems, in the order of the file.
    pub fn load(&self) -> Result<Loaded, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut layers = Layers::default();
        if self.mode.is_dev() {
            layers.presets();
        }
        let known = layers.file(self.path(), self.file.is_some(), &mut problems);
        layers.environment(
            self.env
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
            &mut problems,
        );
        layers.secrets(&mut problems);
        let notes = layers.finish(&self.mode);
        let mut config = deserialize(layers, &mut problems);
        if !known {
            // Whatever else is missing may well stand in that file.
            return Err(problems);
        }
        let (found, warnings) = check::check(&config, &self.mode);
        add_new(&mut problems, found);
        hash_secrets(&mut config.reloadable.clients);
        if problems.is_empty() {
            Ok(Loaded {
                config,
                warnings,
                notes,
            })
        } else {
            Err(problems)
        }
    }
}

/// What could not be read was replaced by something to go on with: no second problem about that.
pub(super) fn add_new(problems: &mut Vec<Problem>, found: Vec<Problem>) {
    let told: Vec<String> = problems.iter().map(|problem| problem.key.clone()).collect();
    problems.extend(
        found
            .into_iter()
            .filter(|problem| !told.iter().any(|key| is_about(&problem.key, key))),
    );
}

/// CA-5: once checked, a client's secret is kept as its hash alone.
pub(super) fn hash_secrets(clients: &mut [Client]) {
    for client in clients
        .iter_mut()
        .filter(|client| !client.client_secret.is_empty())
    {
        let secret = std::mem::take(&mut client.client_secret);
        client
            .client_secret_sha256
            .insert(0, Hash::of(secret.expose().as_bytes()).to_hex());
    }
}

/// Whether a finding at `key` follows from the problem `told`: the same place, one within it, or the secret whose file it
/// is.
fn is_about(key: &str, told: &str) -> bool {
    is_within(key, told)
        || told
            .strip_suffix("_file")
            .is_some_and(|secret| is_within(key, secret))
}

fn is_within(key: &str, outer: &str) -> bool {
    key.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Reads the configuration of `entree serve`.
///
/// # Errors
/// All problems, in the order of the file.
pub fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Vec<Problem>> {
    Source {
        file: file.map(Path::to_owned),
        env: env.collect(),
        mode: Mode::Serve,
    }
    .load()
}

#[cfg(test)]
#[path = "load_tests.rs"]
pub(crate) mod tests;
