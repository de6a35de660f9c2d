//! One block of `[[clients]]` outside the file: how it becomes a client, by the same reading and the same checks as the
//! file, and how the database keeps it.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{
    check, client::Client, deserialize::Sections, layers::Layers, load, problem::Problem,
    settings::Token,
};

/// Where a lone client stands in the tree that is read.
const PLACE: &str = "clients[0]";

/// The keys of a block of `[[clients]]` as they were given.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// The keys.
    pub keys: Table,
    /// Those whose value is a text that may yet be read as another type, as in the environment.
    pub texts: BTreeSet<String>,
}

impl Block {
    /// What [`definition`] wrote of a client. None if it is not that.
    #[must_use]
    pub fn of(id: &str, definition: &str) -> Option<Self> {
        let mut keys: Table = serde_json::from_str(definition).ok()?;
        keys.insert("client_id".to_owned(), id.into());
        Some(Self {
            keys,
            texts: BTreeSet::new(),
        })
    }

    /// Sets a key to a text, which is read by the type of its key.
    pub fn set(&mut self, key: &str, text: &str) {
        self.keys
            .insert(key.to_owned(), Value::String(text.to_owned()));
        self.texts.insert(key.to_owned());
    }

    /// The client, and what should be looked at, checked as one of the file: `token` has the lifetimes that it has not,
    /// `ours` is our public URL. A secret is kept as its hash alone.
    ///
    /// # Errors
    /// All problems, each at its key in the block.
    pub fn read(self, token: &Token, ours: &str) -> Result<(Client, Vec<Problem>), Vec<Problem>> {
        let place = |key: &String| format!("{PLACE}.{key}");
        let mut sections = Sections::new(Layers {
            root: Table::from_iter([("clients".to_owned(), Value::from(vec![self.keys]))]),
            texts: self.texts.iter().map(place).collect(),
        });
        let mut clients: Vec<Client> = sections.read("clients");
        let mut problems = sections.finish();
        let (found, warnings) = check::clients_alone(&clients, token, ours);
        load::add_new(&mut problems, found);
        load::hash_secrets(&mut clients);
        match clients.pop().filter(|_| problems.is_empty()) {
            Some(client) => Ok((client, in_block(warnings))),
            None => Err(in_block(problems)),
        }
    }
}

fn in_block(mut problems: Vec<Problem>) -> Vec<Problem> {
    for problem in &mut problems {
        if let Some(key) = problem.key.strip_prefix(PLACE) {
            problem.key = key.trim_start_matches('.').to_owned();
        }
    }
    problems
}

/// What the database keeps of a client: JSON of its keys but for `client_id`, and for what is as by default. So a copy
/// of an older release, which does not know a newer key, still reads every client that does not use it.
///
/// # Errors
/// Never, for a client that was read.
pub fn definition(client: &Client) -> Result<String, String> {
    let table = |client: &Client| Table::try_from(client).map_err(|error| error.to_string());
    let least = "client_id = \"\"\nname = \"\"\naudience = \"\"";
    let defaults = table(&toml::from_str(least).map_err(|error| error.to_string())?)?;
    let mut keys = table(client)?;
    keys.retain(|key, value| key != "client_id" && defaults.get(key) != Some(value));
    serde_json::to_string(&keys).map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Stored;

    const OURS: &str = "https://id.example";

    fn block(keys: &[(&str, &str)]) -> Block {
        let mut block = Block::default();
        for (key, text) in [
            ("client_id", "c"),
            ("name", "true"),
            ("audience", "https://api.example"),
        ] {
            block.set(key, text);
        }
        for (key, text) in keys {
            block.set(key, text);
        }
        block
    }

    fn read(keys: &[(&str, &str)]) -> Client {
        block(keys).read(&Token::default(), OURS).unwrap().0
    }

    #[test]
    fn what_is_written_is_read_again_and_defaults_are_left_out() {
        let least = read(&[("redirect_uris", "https://a.example/cb")]);
        let text = definition(&least).unwrap();
        assert_eq!(
            text,
            r#"{"audience":"https://api.example","name":"true","redirect_uris":["https://a.example/cb"]}"#
        );
        let secret = "0123456789abcdef".repeat(4);
        let full = read(&[
            ("redirect_uris", "https://a.example/cb, http://127.0.0.1/cb"),
            ("token_endpoint_auth_method", "client_secret_basic"),
            ("client_secret", &secret),
            (
                "grant_types",
                "[\"authorization_code\", \"client_credentials\"]",
            ),
            ("require_pkce", "false"),
            ("access_token_seconds", "61"),
            ("access_token_alg", "RS256"),
            ("scopes", "openid,lessons:read"),
        ]);
        assert!(
            !full.require_pkce
                && full.access_token_seconds == Some(61)
                && full.redirect_uris.len() == 2
        );
        for client in [least, full] {
            let text = definition(&client).unwrap();
            assert!(!text.contains(&secret), "{text}");
            let again = Block::of("c", &text)
                .unwrap()
                .read(&Token::default(), OURS)
                .unwrap()
                .0;
            assert_eq!(again, client);
        }
    }

    #[test]
    fn every_problem_is_told_at_its_key_and_none_shows_a_value() {
        let bad = block(&[
            ("redirect_uris", "https://a.example/cb,javascript:hunter2"),
            ("scopes", "openid,openid"),
            ("access_token_seconds", "hunter2"),
            ("require_pkce", "hunter2"),
            ("acess_token_alg", "hunter2"),
            ("audience", "hunter2"),
        ]);
        let problems = bad.read(&Token::default(), OURS).unwrap_err();
        let keys: BTreeSet<&str> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        let expected = [
            "redirect_uris[1]",
            "scopes[1]",
            "access_token_seconds",
            "require_pkce",
            "acess_token_alg",
            "audience",
        ];
        assert_eq!(keys, expected.into(), "{problems:?}");
        assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
        for text in ["", "[]", "3", "{", "{\"name\":null}"] {
            assert!(
                Block::of("c", text)
                    .is_none_or(|block| block.read(&Token::default(), OURS).is_err()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_requests_ask_is_gathered() {
        let none = Stored::default();
        assert!(
            none.get("c").is_none()
                && !none.has_public()
                && !none.has_audience("https://api.example")
        );
        let client = read(&[
            ("redirect_uris", "https://a.example/cb"),
            ("allowed_origins", "https://a.example"),
        ]);
        let stored = Stored::new([client]);
        assert!(stored.get("c").is_some() && stored.get("C").is_none() && stored.has_public());
        assert!(stored.has_origin("https://a.example") && !stored.has_origin("https://b.example"));
        assert!(
            stored.has_audience("https://api.example")
                && !stored.has_audience("https://api.example/")
        );
        assert_eq!(
            stored.scopes().collect::<Vec<_>>(),
            ["email", "openid", "profile"]
        );
        assert_eq!(stored.iter().count(), 1);
    }
}
