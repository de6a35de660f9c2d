//! What the definitions of clients need of the configuration, and clients of the database that the file hides.

use crate::{
    cli::output,
    client::definition::DefinitionContext,
    config::{Config, Problem},
};

pub(super) fn definition_context(config: &Config) -> DefinitionContext<'_> {
    DefinitionContext {
        token: &config.reloadable.token,
        public_url: &config.startup.server.public_url,
    }
}

pub(super) fn warn_hidden(config: &Config, id: &str) {
    output::warnings(hidden_warning(config, id).as_slice());
}

pub(super) fn hidden_warning(config: &Config, id: &str) -> Option<Problem> {
    let hint =
        "remove its block of [[clients]] there to use the one of the database, or disable that one";
    let in_file = config
        .reloadable
        .clients
        .iter()
        .any(|client| client.client_id == id);
    in_file.then(|| {
        Problem::new(
            id,
            "is defined in the configuration file too, and the file wins",
            hint,
        )
    })
}
