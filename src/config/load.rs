//! Reads the configuration from all its sources, checks it, and reports every problem at once.

use std::path::{Path, PathBuf};

use super::{
    check,
    deserialize::deserialize,
    layers::Layers,
    mode::Mode,
    problem::{self, Problem},
    settings::Config,
    variables::Variables,
};

/// The file that is read if none is named.
const DEFAULT_FILE: &str = "entree.toml";

/// The file that is read if none is named and the working directory has none: that of the shipped
/// systemd unit and image, so that commands beside them find it (OD-3).
const SYSTEM_FILE: &str = "/etc/entree/entree.toml";

/// The note on a configuration without clients, which may all be in the database.
const NO_CLIENTS: &str = "No client is configured: add a block of [[clients]] for each application, or register it \
                          with `entree clients create`.";

/// A configuration without problems.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// What works but deserves a look.
    pub warnings: Vec<Problem>,
    /// What was assumed, or may be missing.
    pub notes: Vec<String>,
}

/// The sources of the configuration, kept so that it can be read again.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// `--config`. None: `entree.toml`, or `/etc/entree/entree.toml`, if it exists.
    pub file: Option<PathBuf>,
    /// The environment. Only names that begin with `ENTREE__` count.
    pub env: Vec<(String, String)>,
    pub mode: Mode,
}

impl Source {
    /// The sources of this process.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, mode: Mode) -> Self {
        // A value that is not UTF-8 becomes a wrong value and so a problem. It is not ignored.
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let env = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        Self {
            file,
            env: env.collect(),
            mode,
        }
    }

    /// The path of the file that is read.
    #[must_use]
    pub fn path(&self) -> &Path {
        let system = Path::new(SYSTEM_FILE);
        let default = Path::new(DEFAULT_FILE);
        self.file.as_deref().unwrap_or_else(|| {
            let is_system = !self.mode.is_dev() && !default.exists() && system.exists();
            if is_system { system } else { default }
        })
    }

    /// Names the environment variable of each problem whose setting comes from the environment.
    fn with_sources(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let variables = Variables(&self.env);
        let named = problems.into_iter();
        named.map(|problem| variables.name_in(problem)).collect()
    }

    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// Every problem of every source.
    pub fn load(&self) -> Result<Loaded, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut layers = Layers::new(&self.mode);
        let file = layers.add_file(self.path(), self.file.is_some());
        let is_file_known = file.is_ok();
        problems.extend(file.err());
        layers.add_environment(&self.env, &mut problems);
        let mut warnings = layers.add_secret_files(&mut problems);
        let mut notes = layers.add_command_line(&self.mode);
        let mut config = deserialize(layers, &mut problems);
        if !is_file_known {
            // What the checks would call missing may be in that file.
            return Err(self.with_sources(problems));
        }
        let findings = check::check(&config, &self.mode);
        problem::add_unrelated(&mut problems, findings.problems);
        if !problems.is_empty() {
            return Err(self.with_sources(problems));
        }
        warnings.extend(findings.warnings);
        let warnings = self.with_sources(warnings);
        if config.reloadable.clients.is_empty() {
            notes.push(NO_CLIENTS.to_owned());
        }
        for client in &mut config.reloadable.clients {
            client.hash_secret();
        }
        Ok(Loaded {
            config,
            warnings,
            notes,
        })
    }
}
