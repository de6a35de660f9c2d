//! What every command returns, and what every command needs before it starts: the configuration and
//! a runtime.

use crate::{
    config::{Loaded, Problem, Source},
    error::InfraError,
};

/// Why a command failed.
#[derive(Debug)]
pub(super) enum CommandError {
    /// The configuration has problems.
    Configuration(Vec<Problem>),
    /// Anything else, in a sentence for the operator.
    Message(String),
    /// The command has printed the reason itself.
    Reported,
}

impl From<String> for CommandError {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<InfraError> for CommandError {
    fn from(error: InfraError) -> Self {
        let hint = match &error {
            InfraError::Unavailable { .. } => {
                "; is it running, and is its URL right? `entree doctor` checks every dependency"
            }
            InfraError::Conflict(_) => "; nothing was changed, try again",
            InfraError::Internal(_) => "",
        };
        Self::Message(format!("{error}{hint}"))
    }
}

pub(super) type Outcome = Result<(), CommandError>;

/// Parses an argument that is a UUID.
pub(super) fn parse_uuid(text: &str) -> Result<uuid::Uuid, String> {
    let hint = "write it in full, for instance 9736b860-f8a9-4cf8-981f-e304f0617e96";
    uuid::Uuid::try_parse(text).map_err(|_| hint.to_owned())
}

/// Loads the configuration, or returns all its problems.
pub(super) fn load(source: &Source) -> Result<Loaded, CommandError> {
    source.load().map_err(CommandError::Configuration)
}

/// Runs asynchronous work to its end.
pub(super) fn block_on<F: Future<Output = Outcome>>(work: F) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime could be started: {error}"))?;
    let outcome = runtime.block_on(work);
    // A DNS query that hangs on a blocking thread must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    outcome
}
