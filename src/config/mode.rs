//! The command that reads the configuration, which decides on presets and checks.

use std::path::PathBuf;

/// The kind of command for which the configuration is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `entree serve`: there are no presets, and everything is checked.
    #[default]
    Serve,
    /// A command that uses the database alone. Only the settings of the database are checked, so
    /// that the command runs beside `entree dev` and in a job that has no other settings.
    Database,
    /// `entree dev`: loopback only, with presets that the file overrides.
    Dev {
        /// `--port`, which overrides everything else.
        port: Option<u16>,
        /// `--data`, which overrides everything else.
        data_dir: Option<PathBuf>,
    },
}

impl Mode {
    #[must_use]
    pub const fn is_dev(&self) -> bool {
        matches!(self, Self::Dev { .. })
    }
}
