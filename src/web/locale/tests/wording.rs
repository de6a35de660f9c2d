//! The words of every message: one vocabulary a language, and sentences of at most 20 words.

use std::collections::BTreeMap;

use fluent_syntax::{
    ast::{Entry, Expression, InlineExpression, Pattern, PatternElement},
    parser,
};

use super::{source_files, src};

/// The longest sentence, in words.
const LONGEST: usize = 20;

/// Messages about a fault of ours: only there we say "please".
const OUR_FAULT: [&str; 3] = ["error-internal", "error-away", "upstream-misconfigured"];

/// English words that a message must not use, each with the one to use instead.
const ENGLISH: &[(&str, &str)] = &[
    ("mail", "email"),
    ("mails", "emails"),
    ("e-mail", "email"),
    ("e-mails", "emails"),
    ("mailed", "emailed"),
    ("somebody", "someone"),
    ("nobody", "no one"),
    ("anybody", "anyone"),
    ("everybody", "everyone"),
    ("whoever", "anyone who"),
    ("mend", "fix"),
    ("go on", "continue"),
    ("go on to", "continue to"),
    ("going on", "continuing"),
    ("type", "enter"),
    ("began", "started"),
    ("begin", "start"),
    ("start again", "start over"),
    ("once more", "again"),
    ("just now", "right now"),
    ("application", "app"),
    ("applications", "apps"),
    ("login", "sign-in, or sign in"),
    ("log in", "sign in"),
    ("log out", "sign out"),
    ("logout", "sign-out, or sign out"),
    ("click", "select"),
    ("press", "select"),
    ("prove", "confirm"),
    ("proven", "confirmed"),
    ("proof", "confirmation"),
    ("answer", "response"),
    ("told", "notified, or tell"),
    ("cannot", "can't"),
    ("is not", "isn't"),
    ("are not", "aren't"),
    ("do not", "don't"),
    ("does not", "doesn't"),
    ("did not", "didn't"),
    ("has not", "hasn't"),
    ("have not", "haven't"),
    ("will not", "won't"),
    ("you are signed", "you're signed"),
    ("you have signed", "you've signed"),
    ("you will", "you'll"),
    ("we are", "we're"),
    ("we have", "we've"),
    ("we will", "we'll"),
    ("it is", "it's"),
];

/// French words that a message must not use: other words for "e-mail", and forms of one gender.
const FRENCH: &[(&str, &str)] = &[
    ("mail", "e-mail"),
    ("mails", "e-mails"),
    ("email", "e-mail"),
    ("emails", "e-mails"),
    ("courriel", "e-mail"),
    ("login", "connexion"),
    ("cliquez", "sélectionnez"),
    ("tapez", "saisissez"),
    ("quelqu un", "une personne"),
    ("administrateur", "l’équipe d’administration"),
    (
        "connecté",
        "« Connexion réussie », « Vous utilisez le compte … »",
    ),
    (
        "connectée",
        "« Connexion réussie », « Vous utilisez le compte … »",
    ),
    (
        "déconnecté",
        "« Déconnexion réussie », « fermer la session »",
    ),
    (
        "déconnectée",
        "« Déconnexion réussie », « fermer la session »",
    ),
    ("redirigé", "« Redirection »"),
    ("le bouton", "« sélectionnez »"),
];

/// Every message of a language, by its key. A plural has one text a form; a value stands as `X`.
fn messages(language: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for file in source_files(&src().join("locales").join(language), &["ftl"]) {
        let resource = parser::parse(std::fs::read_to_string(file).unwrap()).unwrap();
        for entry in resource.body {
            if let Entry::Message(message) = entry {
                found.insert(message.id.name, forms(&message.value.unwrap()));
            }
        }
    }
    found
}

fn forms(pattern: &Pattern<String>) -> Vec<String> {
    let mut forms = vec![String::new()];
    for element in &pattern.elements {
        let pieces = match element {
            PatternElement::TextElement { value } => vec![value.clone()],
            PatternElement::Placeable {
                expression: Expression::Select { variants, .. },
            } => variants
                .iter()
                .flat_map(|variant| self::forms(&variant.value))
                .collect(),
            PatternElement::Placeable {
                expression: Expression::Inline(InlineExpression::StringLiteral { value }),
            } => vec![value.clone()],
            PatternElement::Placeable { .. } => vec!["X".to_owned()],
        };
        forms = forms
            .iter()
            .flat_map(|form| pieces.iter().map(move |piece| format!("{form}{piece}")))
            .collect();
    }
    forms
}

/// The words of a text, in lower case, with one space around each.
fn words(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '-';
    let words: Vec<_> = text
        .split(|c| !is_word(c))
        .filter(|word| !word.is_empty())
        .collect();
    format!(" {} ", words.join(" ").to_lowercase())
}

/// What a text does wrong.
fn faults(key: &str, text: &str, banned: &[(&str, &str)], please: &str) -> Vec<String> {
    let words = words(text);
    let has = |word: &str| words.contains(&format!(" {word} "));
    let mut faults: Vec<_> = banned
        .iter()
        .filter(|(word, _)| has(word))
        .map(|(word, instead)| format!("{key}: \"{word}\": use {instead}"))
        .collect();
    if has(please) && !OUR_FAULT.contains(&key) {
        faults.push(format!("{key}: \"{please}\": only where we are at fault"));
    }
    // A full stop within an address such as `name@example.com` ends nothing.
    let spaced = format!("{} ", text.replace(['\n', '\u{a0}', '\u{202f}'], " "));
    for sentence in [". ", "? ", "! ", "… "]
        .iter()
        .fold(spaced, |text, end| text.replace(end, "\u{1f}"))
        .split('\u{1f}')
    {
        let count = sentence
            .split(' ')
            .filter(|word| word.contains(char::is_alphanumeric))
            .count();
        if count > LONGEST {
            faults.push(format!("{key}: {count} words in \"{sentence}\""));
        }
    }
    faults
}

/// Typographic apostrophes, and spaces that do not break before and within French punctuation.
fn french_typography(key: &str, text: &str) -> Vec<String> {
    ["'", " :", " ;", " ?", " !", "« ", " »"]
        .iter()
        .filter(|wrong| text.contains(**wrong))
        .map(|wrong| format!("{key}: \"{wrong}\": use ’ and a space that does not break"))
        .collect()
}

#[test]
fn every_message_uses_the_words_of_its_language_in_short_sentences() {
    let mut found = Vec::new();
    for (key, forms) in messages("en") {
        for text in forms {
            found.extend(faults(&key, &text, ENGLISH, "please"));
        }
    }
    for (key, forms) in messages("fr") {
        for text in forms {
            found.extend(faults(&key, &text, FRENCH, "veuillez"));
            found.extend(french_typography(&key, &text));
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn each_kind_of_fault_is_found() {
    let english = |text: &str| faults("k", text, ENGLISH, "please").len();
    let french = |text: &str| {
        faults("k", text, FRENCH, "veuillez").len() + french_typography("k", text).len()
    };
    for text in [
        "Check your mail.",
        "An E-mail, sent.",
        "Nobody has it.",
        "You cannot do that.",
        "Please wait.",
        "If you\ngo on, it ends.",
        "One two three four five six seven eight nine ten 11 12 13 14 15 16 17 18 19 20 21.",
    ] {
        assert_eq!(english(text), 1, "{text}");
    }
    for text in [
        "Un mail.",
        "Vous êtes connecté.",
        "Veuillez patienter.",
        "Quoi ?",
        "C'est ici.",
    ] {
        assert_eq!(french(text), 1, "{text}");
    }
    assert_eq!(
        english("Sign in to X with email at name@example.com. Start over?"),
        0
    );
    assert_eq!(
        french("Ce n’était pas vous\u{202f}? Ignorez cet e-mail."),
        0
    );
}

#[test]
fn both_languages_use_the_same_values_in_each_message() {
    let values = |language: &str| -> BTreeMap<String, usize> {
        let messages = messages(language).into_iter();
        messages
            .map(|(key, forms)| {
                let most = forms.iter().map(|text| text.matches('X').count()).max();
                (key, usize::from(most > Some(0)))
            })
            .collect()
    };
    assert_eq!(values("en"), values("fr"));
}
