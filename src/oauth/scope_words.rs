//! What scopes let a client do, in words for the user (RS-5): our own words for scopes about the
//! user, and the operator's words for those of each API, under its name.

use super::scope;
use crate::{
    config::{Reloadable, Resource},
    web::locale::Localizer,
};

/// Scopes in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScopeWords {
    /// Those that belong to no API of `[[resources]]`.
    pub(crate) general: Vec<String>,
    pub(crate) resources: Vec<ResourceWords>,
}

/// The scopes of one API in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResourceWords {
    identifier: String,
    /// The name that users see.
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
}

impl ScopeWords {
    /// Returns the words for these scopes, in their order.
    #[must_use]
    pub(crate) fn load<'a>(
        config: &Reloadable,
        localizer: &Localizer,
        names: impl Iterator<Item = &'a str>,
    ) -> Self {
        let mut words = Self::default();
        for name in names {
            let Some(resource) = config.resources.of_scope(name) else {
                words.general.push(general_text(localizer, name));
                continue;
            };
            let own = resource.scopes.get(name);
            let own = own.and_then(|words| words.for_locale(&localizer.tag));
            let text = own.map_or_else(|| api_text(localizer, name), str::to_owned);
            let mut groups = words.resources.iter_mut();
            match groups.find(|group| group.identifier == resource.identifier) {
                Some(group) => group.scopes.push(text),
                None => words.resources.push(ResourceWords {
                    identifier: resource.identifier.clone(),
                    name: resource_name(resource, localizer),
                    scopes: vec![text],
                }),
            }
        }
        words
    }
}

fn resource_name(resource: &Resource, localizer: &Localizer) -> String {
    let name = resource.name.for_locale(&localizer.tag);
    name.unwrap_or(&resource.identifier).to_owned()
}

fn general_text(localizer: &Localizer, name: &str) -> String {
    if scope::SUPPORTED.contains(&name) {
        return localizer.text(&format!("consent-scope-{name}"));
    }
    api_text(localizer, name)
}

/// The text for a scope of an API for which the operator has no words.
fn api_text(localizer: &Localizer, name: &str) -> String {
    localizer.text_with("consent-scope-of-api", &[("scope", name.to_owned())])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::web::locale::Texts;

    fn config() -> Reloadable {
        let resources = serde_json::json!([
            {
                "identifier": "https://lessons.example",
                "name": { "en": "Lessons", "fr": "Cours" },
                "scopes": {
                    "lessons:read": { "en": "See your lessons", "fr": "Voir vos cours" },
                    "lessons:write": { "en": "Book lessons" },
                },
            },
            { "identifier": "https://music.example", "scopes": { "music:play": {} } },
        ]);
        Reloadable {
            resources: serde_json::from_value(resources).unwrap(),
            ..Reloadable::default()
        }
    }

    fn load(language: &str, scopes: &str) -> (Vec<String>, Vec<(String, Vec<String>)>) {
        let localizer = Texts::default().localizer(language);
        let words = ScopeWords::load(&config(), &localizer, scopes.split(' '));
        let groups = words.resources.into_iter();
        let groups = groups.map(|group| (group.name, group.scopes));
        (words.general, groups.collect())
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn rs_5_words_are_grouped_under_the_name_of_their_resource() {
        let scopes = "lessons:write openid music:play own:use lessons:read";
        let (general, groups) = load("en", scopes);
        let own = "Use “own:use” on your behalf";
        assert_eq!(general, texts(&["Confirm who you are", own]));
        let play = "Use “music:play” on your behalf";
        assert_eq!(
            groups,
            [
                (
                    "Lessons".to_owned(),
                    texts(&["Book lessons", "See your lessons"])
                ),
                ("https://music.example".to_owned(), texts(&[play])),
            ]
        );
    }

    #[test]
    fn rs_5_words_are_those_of_the_users_language() {
        let (general, groups) = load("fr", "openid lessons:read lessons:write");
        assert_eq!(general, texts(&["Vous identifier"]));
        let words = texts(&["Voir vos cours", "Book lessons"]);
        assert_eq!(groups, [("Cours".to_owned(), words)]);
    }
}
