//! Texts for people, in their language. (interface; to come)

use std::{collections::HashMap, sync::Arc};

/// All texts, built in and overridden. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Texts {}

/// The texts of one language.
#[derive(Clone, Debug)]
pub struct Tongue {
    /// BCP 47 tag: `en`, `fr`.
    pub tag: Arc<str>,
}

#[allow(clippy::todo, unused_variables, missing_docs)]
impl Texts {
    /// The best shipped language for `ui_locales` (space separated, may be empty) and an Accept-Language header.
    pub fn pick(&self, ui_locales: &str, accept_language: &str) -> Tongue {
        todo!()
    }
}

#[allow(clippy::todo, unused_variables, missing_docs)]
impl Tongue {
    /// A message without arguments.
    pub fn t(&self, key: &str) -> String {
        todo!()
    }
    /// A message with arguments.
    pub fn ta(&self, key: &str, args: &[(&'static str, String)]) -> String {
        let _ = HashMap::<String, String>::new();
        todo!()
    }
}
