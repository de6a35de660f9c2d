//! `entree check-config`: reports every problem of the configuration.

use super::{
    outcome::{CommandError, Outcome},
    output,
};
use crate::config::Source;

/// Reads the configuration as the service would, and reports everything.
pub(super) fn run(source: &Source, json: bool) -> Outcome {
    let loaded = source.load();
    if json {
        let (problems, warnings, notes) = match &loaded {
            Ok(loaded) => (&[][..], loaded.warnings.as_slice(), loaded.notes.as_slice()),
            Err(problems) => (problems.as_slice(), &[][..], &[][..]),
        };
        output::print(
            &serde_json::json!({ "problems": problems, "warnings": warnings, "notes": notes })
                .to_string(),
        )?;
        return loaded.map(|_| ()).map_err(|_| CommandError::Reported);
    }
    let loaded = loaded.map_err(CommandError::Configuration)?;
    output::warnings(&loaded.warnings);
    for note in &loaded.notes {
        output::note(note);
    }
    output::print(if loaded.warnings.is_empty() {
        "the configuration is fine"
    } else {
        "the configuration works"
    })
}
