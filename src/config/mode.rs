//! The command that reads the configuration, which decides on presets and on what is checked.

use std::path::PathBuf;

/// What the service is started as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `entree serve`: nothing is assumed.
    #[default]
    Serve,
    /// Commands that use the database alone: only what is said of it must be sound, so that they run beside
    /// `entree dev` and in a job that knows nothing else.
    Data,
    /// `entree dev`: loopback only, with presets under the file.
    Dev {
        /// `--port`, over everything else.
        port: Option<u16>,
        /// `--data`, over everything else.
        data_dir: Option<PathBuf>,
    },
}

impl Mode {
    /// Whether this is `entree dev`.
    #[must_use]
    pub const fn is_dev(&self) -> bool {
        matches!(self, Self::Dev { .. })
    }
}
