//! `entree check-config`.

use super::{Outcome, Refusal, out};
use crate::config::Source;

/// Reads the configuration as the service would and reports everything.
pub(super) fn run(source: &Source, json: bool) -> Outcome {
    let loaded = source.load();
    if json {
        let (problems, warnings) = match &loaded {
            Ok(loaded) => (&[][..], loaded.warnings.as_slice()),
            Err(problems) => (problems.as_slice(), &[][..]),
        };
        out::answer(&serde_json::json!({ "problems": problems, "warnings": warnings }).to_string());
        return loaded.map(|_| ()).map_err(|_| Refusal::Said);
    }
    let loaded = loaded.map_err(Refusal::Configuration)?;
    out::warnings(&loaded.warnings);
    for note in &loaded.notes {
        out::say(note);
    }
    out::answer(if loaded.warnings.is_empty() {
        "the configuration is fine"
    } else {
        "the configuration works"
    });
    Ok(())
}
