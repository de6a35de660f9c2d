//! The project's language: words that the field does not use stay out of the sources, comments and
//! strings included.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop at once"
)]

use repository_rules::files;

/// Words and turns that a stranger stumbles over, and what to write in their place.
const BANNED: &[(&str, &str)] = &[
    ("somebody", "the party: user, client, caller, operator"),
    ("nobody", "the party: user, client, caller, operator"),
    ("anybody", "the party: user, client, caller, operator"),
    ("everybody", "the party: user, client, caller, operator"),
    ("whoever", "the party: user, client, caller, operator"),
    ("whomever", "the party: user, client, caller, operator"),
    ("told", "notified, received, returned"),
    ("hear", "receive"),
    ("hears", "receives"),
    ("heard", "received"),
    ("tongue", "locale, language"),
    ("trail", "audit log"),
    ("mend", "hint, fix"),
    ("mends", "fixes"),
    ("mended", "fixed"),
    ("the one door", "sign-in completion"),
    ("way in", "sign-in method"),
    ("ways in", "sign-in methods"),
    ("ops", "operator"),
    ("farewell", "the name of the protocol's command"),
    ("nudge", "reload trigger"),
    ("e-mail", "email"),
    ("e-mails", "emails"),
];

/// French has its own word, which one test quotes; the test of the messages lists the words that it bans.
const EXEMPT: &[&str] = &[
    "src/federation/error/tests.rs",
    "src/locales/fr/",
    "src/web/locale/tests/wording.rs",
    "tests/rules/tests/words.rs",
];

/// Turns that are also good English or a loop (`for way in ways`). They are looked for in the sources
/// alone.
const AMBIGUOUS: &[&str] = &["way in", "ways in"];

fn is_word(text: &str, at: usize, length: usize) -> bool {
    let edge = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let after = &text[at + length..];
    // `std::ops::Range` is a path of the language.
    edge(text[..at].chars().next_back()) && edge(after.chars().next()) && !after.starts_with("::")
}

/// Returns the banned words of a text with their lines.
fn banned(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        // The reason code of an operator's command is a contract, and one account of Unix has this name.
        let line = line.to_lowercase().replace("\"ops\"", "");
        let line = line.replace("\"nobody\"", "").replace("`nobody`", "");
        let is_source = !["tests/", "examples/"]
            .iter()
            .any(|folder| path.starts_with(folder));
        for (word, better) in BANNED {
            if !is_source && AMBIGUOUS.contains(word) {
                continue;
            }
            if line
                .match_indices(word)
                .any(|(at, _)| is_word(&line, at, word.len()))
            {
                found.push(format!("{path}:{}: \"{word}\": write {better}", number + 1));
            }
        }
    }
    found
}

#[test]
fn no_banned_word_in_the_sources() {
    let endings = [
        ".rs", ".html", ".txt", ".ftl", ".js", ".mjs", ".css", ".feature", ".go",
    ];
    let folders = ["src", "entity/src", "migration/src", "tests", "examples"];
    let all = folders
        .into_iter()
        .flat_map(|folder| files(folder, &endings));
    let wrong: Vec<String> = all
        .filter(|(path, _)| !EXEMPT.iter().any(|folder| path.starts_with(folder)))
        .flat_map(|(path, text)| banned(&path, &text))
        .collect();
    assert!(
        wrong.is_empty(),
        "\n{}\n{} in all",
        wrong.join("\n"),
        wrong.len()
    );
}

#[test]
fn a_planted_word_is_found_and_a_part_of_a_word_is_not() {
    assert_eq!(banned("a.rs", "// Nobody is told.").len(), 2);
    assert_eq!(banned("a.rs", "let x = \"the one door\";").len(), 1);
    assert_eq!(banned("tests/a.rs", "// Nobody: the way in").len(), 1);
    assert!(banned("tests/a.rs", "\"nobody\"").is_empty());
    assert!(banned("a.rs", "// recommends, stole, trailing, droops, always-in").is_empty());
}
