//! A block of `[[clients]]` outside the file: in the database or on the command line.
//!
//! It becomes a client by the same types and the same checks as a block of the file.

use std::collections::BTreeSet;

use serde_json::{Map, json};
use toml::{Table, Value};

use super::{
    check,
    client::Client,
    deserialize::Sections,
    layers::Layers,
    problem::{self, Problem},
    settings::Token,
};

/// The path of the block in the tree from which it is read.
const PATH: &str = "clients[0]";

/// The keys of a block as they were given.
#[derive(Clone, Debug, Default)]
pub struct ClientBlock {
    pub keys: Table,
    /// The keys whose value is a text of unknown type, as from the environment.
    texts: BTreeSet<String>,
}

impl ClientBlock {
    /// Reads what [`client_definition`] wrote. None if it is not a JSON object.
    #[must_use]
    pub fn from_definition(client_id: &str, definition: &str) -> Option<Self> {
        let mut keys: Table = serde_json::from_str(definition).ok()?;
        keys.insert("client_id".to_owned(), client_id.into());
        Some(Self {
            keys,
            texts: BTreeSet::new(),
        })
    }

    /// Sets a key to a text, which is read by the type of the key.
    pub fn set(&mut self, key: &str, text: &str) {
        self.keys.insert(key.to_owned(), Value::from(text));
        self.texts.insert(key.to_owned());
    }

    /// Returns the client and the warnings about it. `token` has the lifetimes that the block
    /// leaves out. A secret is kept as its hash alone.
    ///
    /// # Errors
    /// Every problem, each at its key in the block.
    pub fn into_client(
        self,
        token: &Token,
        public_url: &str,
    ) -> Result<(Client, Vec<Problem>), Vec<Problem>> {
        let path = |key: &String| format!("{PATH}.{key}");
        let mut sections = Sections::new(Layers {
            root: Table::from_iter([("clients".to_owned(), Value::from(vec![self.keys]))]),
            env_texts: self.texts.iter().map(path).collect(),
        });
        let mut clients: Vec<Client> = sections.read("clients");
        let mut problems = sections.finish();
        let findings = check::check_clients(&clients, token, public_url);
        problem::add_unrelated(&mut problems, findings.problems);
        match clients.pop().filter(|_| problems.is_empty()) {
            Some(mut client) => {
                client.hash_secret();
                Ok((client, relative_to_block(findings.warnings)))
            }
            None => Err(relative_to_block(problems)),
        }
    }
}

fn relative_to_block(mut problems: Vec<Problem>) -> Vec<Problem> {
    for problem in &mut problems {
        if let Some(key) = problem.key.strip_prefix(PATH) {
            problem.key = key.trim_start_matches('.').to_owned();
        }
    }
    problems
}

/// Returns what the database keeps of a client: its keys as JSON, without `client_id` and without
/// defaults. So an instance of an older release reads every client that uses no newer key.
///
/// # Errors
/// None for a client that was read.
pub fn client_definition(client: &Client) -> serde_json::Result<String> {
    let keys = |client: &Client| -> serde_json::Result<Map<_, _>> {
        serde_json::from_value(serde_json::to_value(client)?)
    };
    let smallest = json!({ "client_id": "", "name": "", "audience": "" });
    let defaults = keys(&serde_json::from_value(smallest)?)?;
    let mut keys = keys(client)?;
    keys.retain(|key, value: &mut serde_json::Value| {
        key != "client_id" && defaults.get(key) != Some(value)
    });
    serde_json::to_string(&keys)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PUBLIC_URL: &str = "https://id.example";

    fn block(keys: &[(&str, &str)]) -> ClientBlock {
        let mut block = ClientBlock::default();
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
        block(keys)
            .into_client(&Token::default(), PUBLIC_URL)
            .unwrap()
            .0
    }

    #[test]
    fn a_definition_is_read_again_and_leaves_defaults_out() {
        let least = read(&[("redirect_uris", "https://a.example/cb")]);
        let text = client_definition(&least).unwrap();
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
            let text = client_definition(&client).unwrap();
            assert!(!text.contains(&secret), "{text}");
            let again = ClientBlock::from_definition("c", &text)
                .unwrap()
                .into_client(&Token::default(), PUBLIC_URL)
                .unwrap()
                .0;
            assert_eq!(again, client);
        }
    }

    #[test]
    fn every_problem_is_at_its_key_and_shows_no_value() {
        let bad = block(&[
            ("redirect_uris", "https://a.example/cb,javascript:hunter2"),
            ("scopes", "openid,openid"),
            ("access_token_seconds", "hunter2"),
            ("require_pkce", "hunter2"),
            ("acess_token_alg", "hunter2"),
            ("audience", "hunter2"),
        ]);
        let problems = bad.into_client(&Token::default(), PUBLIC_URL).unwrap_err();
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
                ClientBlock::from_definition("c", text)
                    .is_none_or(|block| block.into_client(&Token::default(), PUBLIC_URL).is_err()),
                "{text}"
            );
        }
    }
}
