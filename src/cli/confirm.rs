//! Confirmation of commands that destroy or shut out (OD-2).

use std::io::IsTerminal as _;

use super::{outcome::Outcome, output};

/// Asks the operator to type a word that is not typed by mistake: the name of what the command changes.
/// Without a terminal `--yes` is needed. `consequence` completes the sentence "After this command …".
pub(super) fn confirm(yes: bool, word: &str, consequence: &str) -> Outcome {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(format!(
            "nothing was changed. After this command {consequence}: add `--yes` to confirm"
        )
        .into());
    }
    output::note(&format!(
        "After this command {consequence}.\nType {word} to continue:"
    ));
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if read.is_ok() && line.trim() == word {
        Ok(())
    } else {
        Err(format!("that is not {word}: nothing was changed").into())
    }
}
