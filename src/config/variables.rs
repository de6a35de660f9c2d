//! Settings that come from environment variables: their problems and hints name the variable in place
//! of the key (OD-6).

use toml::{Table, Value};

use super::{layers::path_of_variable, problem::Problem};

/// The sections whose keys hints name.
const SECTIONS: [&str; 12] = [
    "api",
    "database",
    "device",
    "limits",
    "magic_link",
    "mail",
    "management",
    "server",
    "session",
    "telemetry",
    "tickets",
    "token",
];

/// The environment variables that are settings, by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variables<'a>(pub(super) &'a [(String, String)]);

impl Variables<'_> {
    /// Names the variables of what is wrong, and of what to do about it.
    pub(super) fn name_in(self, problem: Problem) -> Problem {
        let Problem { key, what, hint } = problem;
        let own = self.find(&key);
        let is_whole = own.as_ref().is_some_and(|(_, rest)| !rest.contains('.'));
        let hint = match &own {
            Some((variable, rest)) if is_whole => {
                let setting = key.strip_suffix(rest.as_str()).unwrap_or(&key);
                let hint = with_example_key(&hint, setting);
                with_nearest_variable(&hint, variable)
            }
            _ => hint,
        };
        let translate = |text: &str| self.translate(text, &key, is_whole);
        let (what, hint) = (translate(&what), translate(&hint));
        let key = match own {
            Some((variable, rest)) => format!("{variable}{rest}"),
            None => key,
        };
        Problem { key, what, hint }
    }

    /// Returns the variable that a setting comes from, and the rest of its path inside the value.
    fn find(self, key: &str) -> Option<(String, String)> {
        self.0.iter().find_map(|(name, _)| {
            let rest = key.strip_prefix(&path_of_variable(name)?)?;
            let is_same = rest.is_empty() || rest.starts_with(['.', '[']);
            is_same.then(|| (name.clone(), rest.to_owned()))
        })
    }

    /// Replaces the keys in a text by their variables: those that are set by one, the key that the text
    /// is about, and beside it those to which the text assigns a value.
    fn translate(self, text: &str, own: &str, is_own_variable: bool) -> String {
        let mut translated = String::new();
        let mut rest = text;
        while let Some((before, key, after)) = next_key(rest) {
            translated.push_str(before);
            let is_set = self.find(key).is_some();
            let assigned = after.strip_prefix(" = ");
            let is_own = own
                .strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('['));
            let is_meant = is_own_variable && (assigned.is_some() || is_own);
            let variable = format!("ENTREE__{}", key.to_uppercase().replace('.', "__"));
            rest = match (is_set || is_meant, assigned) {
                (false, _) => {
                    translated.push_str(key);
                    after
                }
                (true, None) => {
                    translated.push_str(&variable);
                    after
                }
                (true, Some(value)) => {
                    let (value, after) = unquoted(value);
                    translated.push_str(&format!("{variable}={value}"));
                    after
                }
            };
        }
        translated + rest
    }
}

/// Gives the key of an example its section: hints in a file stand below it.
fn with_example_key(hint: &str, setting: &str) -> String {
    let name = setting.rsplit('.').next().unwrap_or(setting);
    let example = |key: &str| format!("Write, for example: {key} = ");
    hint.replacen(&example(name), &example(setting), 1)
}

/// Names the variable in place of the key that is most like an unknown one.
fn with_nearest_variable(hint: &str, variable: &str) -> String {
    let nearest = hint.strip_prefix("Did you mean `");
    let nearest = nearest.and_then(|hint| hint.strip_suffix("`?"));
    match (nearest, variable.rsplit_once("__")) {
        (Some(nearest), Some((section, _))) => {
            format!("Did you mean {section}__{}?", nearest.to_uppercase())
        }
        _ => hint.to_owned(),
    }
}

/// Splits a text at the first key in it. A name in quotes or in an address is none.
fn next_key(text: &str) -> Option<(&str, &str, &str)> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = text.char_indices().filter(|(at, c)| {
        let before = text
            .get(..*at)
            .and_then(|before| before.chars().next_back());
        let is_inside = |c: char| c.is_ascii_alphanumeric() || "_.-/\"@:".contains(c);
        is_part(*c) && !before.is_some_and(is_inside)
    });
    for (at, _) in starts {
        let (before, rest) = text.split_at(at);
        let end = rest.find(|c: char| !is_part(c) && c != '.');
        let (word, _) = rest.split_at(end.unwrap_or(rest.len()));
        let key = word.trim_end_matches('.');
        let section = key.split_once('.').map(|(section, _)| section);
        if section.is_some_and(|section| SECTIONS.contains(&section)) {
            return Some((before, key, rest.get(key.len()..)?));
        }
    }
    None
}

/// Splits the value of TOML at the beginning of a text off, as a variable holds it: a text without its
/// quotes, and a list of texts separated by commas.
fn unquoted(text: &str) -> (String, &str) {
    let close = match text.chars().next() {
        Some('"') => '"',
        Some('[') => ']',
        _ => return (String::new(), text),
    };
    let end = text.char_indices().skip(1).find(|(_, c)| *c == close);
    let Some((value, after)) = end.and_then(|(end, _)| text.split_at_checked(end + 1)) else {
        return (String::new(), text);
    };
    let table = format!("value = {value}").parse::<Table>();
    let parsed = table.ok().and_then(|mut table| table.remove("value"));
    let texts = |list: Vec<Value>| {
        let texts = list.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
        texts.map(|texts| texts.join(","))
    };
    let plain = match parsed {
        Some(Value::String(text)) => Some(text),
        Some(Value::Array(list)) => texts(list),
        _ => None,
    };
    (plain.unwrap_or_else(|| value.to_owned()), after)
}
