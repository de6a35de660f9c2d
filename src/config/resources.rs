//! `[[resources]]`: the APIs that have scopes, words or tokens of their own, and how a request finds
//! them.
//!
//! What requests look up is derived once, when the configuration is loaded. Who may request tokens for
//! an API is the rule of `client::resource`, and what they carry that of `oauth::scope`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::Deserialize;

use super::client::Alg;

/// Our own admin API: for clients that are registered for it and users with the role `admin`
/// (ST-10).
pub const ADMIN_SCOPE: &str = "entree:admin";

/// The scopes that mean something of ours, and so never belong to an API of others.
pub const RESERVED_SCOPES: [&str; 5] =
    ["openid", "profile", "email", "offline_access", ADMIN_SCOPE];

/// An API. Audiences of clients that have no block get the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The audience of its access tokens, as they spell it.
    pub identifier: String,
    /// The name that users see. None: the identifier.
    #[serde(default)]
    pub name: Words,
    /// Its scopes, each with what it lets a client do. None: the scopes of clients that belong to no
    /// API go into its tokens.
    #[serde(default)]
    pub scopes: BTreeMap<String, Words>,
    #[serde(default)]
    pub access_token_typ: AccessTokenTyp,
    /// The signature algorithm of its access tokens. None: that of the client.
    #[serde(default)]
    pub access_token_alg: Option<Alg>,
    /// The longest lifetime of its access tokens. None: that of the client.
    #[serde(default)]
    pub access_token_seconds: Option<u64>,
    /// Whether its access tokens are issued only with a proof of possession (RFC 9449), and bound to
    /// the key.
    #[serde(default)]
    pub dpop: bool,
    /// The identifiers of clients that may request tokens for it, beside those that have it as
    /// `audience` or in `resources`.
    #[serde(default)]
    pub clients: Vec<String>,
    /// Whether clients that no operator has registered may request tokens for it.
    #[serde(default)]
    pub open: bool,
}

/// The `typ` in the header of access tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum AccessTokenTyp {
    /// RFC 9068 §2.1.
    #[default]
    #[serde(rename = "at+jwt")]
    AtJwt,
    /// For frameworks that refuse the other one.
    #[serde(rename = "JWT")]
    Jwt,
}

impl AccessTokenTyp {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtJwt => "at+jwt",
            Self::Jwt => "JWT",
        }
    }

    /// The values of `typ` that a token for this API may have: tokens from before a change to `JWT`
    /// stay valid.
    #[must_use]
    pub const fn accepted(self) -> &'static [&'static str] {
        match self {
            Self::AtJwt => &["at+jwt"],
            Self::Jwt => &["at+jwt", "JWT"],
        }
    }
}

/// Words for users, by language (`en = "…"`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Words(BTreeMap<String, String>);

impl Words {
    /// Returns the words for a locale: its own, for `fr-CH` those for `fr` or for another region of
    /// it, else the English ones, else any.
    #[must_use]
    pub fn for_locale(&self, tag: &str) -> Option<&str> {
        let primary = tag.split('-').next().unwrap_or(tag);
        let of_language = |language: &str| {
            let is_it = |listed: &str| listed.eq_ignore_ascii_case(language);
            let of_region = |listed: &str| listed.split('-').next().is_some_and(is_it);
            let exact = self.iter().find(|(listed, _)| is_it(listed));
            exact.or_else(|| self.iter().find(|(listed, _)| of_region(listed)))
        };
        let found = [tag, primary, "en"].into_iter().find_map(of_language);
        found.or_else(|| self.iter().next()).map(|(_, text)| text)
    }

    /// Returns each language with its words.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter();
        pairs.map(|(language, text)| (language.as_str(), text.as_str()))
    }
}

/// All blocks, and what requests look up in them. Clones share the blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<Resource>")]
pub struct Resources {
    blocks: Vec<Arc<Resource>>,
    /// By the form in which identifiers are compared.
    by_identifier: HashMap<String, Arc<Resource>>,
    by_scope: HashMap<String, Arc<Resource>>,
    by_client: HashMap<String, Vec<Arc<Resource>>>,
    open: Vec<Arc<Resource>>,
}

impl From<Vec<Resource>> for Resources {
    fn from(blocks: Vec<Resource>) -> Self {
        let mut all = Self::default();
        for block in blocks.into_iter().map(Arc::new) {
            let key = comparable_identifier(&block.identifier).into_owned();
            all.by_identifier.insert(key, Arc::clone(&block));
            for scope in block.scopes.keys() {
                all.by_scope.insert(scope.clone(), Arc::clone(&block));
            }
            for client in &block.clients {
                let listed = all.by_client.entry(client.clone()).or_default();
                listed.push(Arc::clone(&block));
            }
            if block.open {
                all.open.push(Arc::clone(&block));
            }
            all.blocks.push(block);
        }
        all
    }
}

impl Resources {
    /// Returns the API with this identifier, whatever the case of scheme and host and with or
    /// without the slash of an empty path (RS-4).
    #[must_use]
    pub fn find(&self, identifier: &str) -> Option<&Resource> {
        if self.blocks.is_empty() {
            return None;
        }
        let found = self.by_identifier.get(&*comparable_identifier(identifier));
        found.map(Arc::as_ref)
    }

    /// Returns an audience as tokens spell it: as its block does, or unchanged if it has none.
    #[must_use]
    pub fn spelled<'a>(&'a self, audience: &'a str) -> &'a str {
        self.find(audience)
            .map_or(audience, |resource| resource.identifier.as_str())
    }

    /// Returns the API that a scope belongs to.
    #[must_use]
    pub fn of_scope(&self, scope: &str) -> Option<&Resource> {
        self.by_scope.get(scope).map(Arc::as_ref)
    }

    /// Returns the APIs whose `clients` name this client.
    #[must_use]
    pub fn of_client(&self, client_id: &str) -> &[Arc<Resource>] {
        let listed = self.by_client.get(client_id);
        listed.map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the APIs that are open to clients that no operator has registered.
    #[must_use]
    pub fn open(&self) -> &[Arc<Resource>] {
        &self.open
    }

    /// Returns all APIs, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.blocks.iter().map(Arc::as_ref)
    }

    /// Returns the scopes of all APIs, in no order.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.by_scope.keys().map(String::as_str)
    }
}

/// Returns the form in which identifiers are compared: scheme and host in lower case, and an empty
/// path without its slash (RFC 3986 §6.2.2.1, §6.2.3). All else counts, the port included.
pub(super) fn comparable_identifier(identifier: &str) -> Cow<'_, str> {
    let authority_end = |start: usize| {
        let rest = identifier.get(start..).unwrap_or_default();
        start + rest.find(['/', '?']).unwrap_or(rest.len())
    };
    let head_end = match identifier.split_once(':') {
        Some((scheme, rest)) if rest.starts_with("//") => authority_end(scheme.len() + 3),
        Some((scheme, _)) => scheme.len(),
        None => 0,
    };
    let (head, rest) = identifier.split_at(head_end);
    let without_slash = rest
        .strip_prefix('/')
        .filter(|rest| rest.is_empty() || rest.starts_with('?'));
    let is_lower = !head.bytes().any(|byte| byte.is_ascii_uppercase());
    match (without_slash, is_lower) {
        (None, true) => identifier.into(),
        (Some(""), true) => head.into(),
        _ => {
            let rest = without_slash.unwrap_or(rest);
            format!("{}{rest}", head.to_ascii_lowercase()).into()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn resources(blocks: &str) -> Resources {
        #[derive(Deserialize)]
        struct File {
            resources: Resources,
        }
        toml::from_str::<File>(blocks).unwrap().resources
    }

    #[test]
    fn rs_4_case_of_scheme_and_host_and_the_slash_of_an_empty_path_do_not_matter() {
        let registered = [
            "https://api.example",
            "https://API.example/Api",
            "http://[::1]:8082/",
            "urn:example:Lessons",
            "https://query.example?a=B",
        ];
        let block = |identifier: &str| Resource {
            identifier: identifier.to_owned(),
            ..Resource::default()
        };
        let resources = Resources::from(registered.map(block).to_vec());
        for (named, found) in [
            ("https://api.example", Some(0)),
            ("https://api.example/", Some(0)),
            ("HTTPS://Api.EXAMPLE", Some(0)),
            ("HTTPS://api.example/", Some(0)),
            ("https://api.example/Api", Some(1)),
            ("https://API.EXAMPLE/Api", Some(1)),
            ("http://[::1]:8082", Some(2)),
            ("URN:example:Lessons", Some(3)),
            ("https://query.example/?a=B", Some(4)),
            ("https://QUERY.example?a=B", Some(4)),
            ("https://api.example//", None),
            ("https://api.example?", None),
            ("https://api.example:443", None),
            ("http://api.example", None),
            ("https://api.example/api", None),
            ("https://api.example/Api/", None),
            ("https://user@api.example", None),
            ("https://api.example.", None),
            ("urn:example:lessons", None),
            ("https://query.example?a=b", None),
            ("api.example", None),
            ("", None),
        ] {
            let found = found.and_then(|at: usize| registered.get(at)).copied();
            let resource = resources.find(named);
            assert_eq!(
                resource.map(|found| found.identifier.as_str()),
                found,
                "{named}"
            );
            assert_eq!(resources.spelled(named), found.unwrap_or(named), "{named}");
        }
        assert_eq!(Resources::default().spelled("HTTPS://A/"), "HTTPS://A/");
    }

    #[test]
    fn rs_1_what_requests_look_up_is_derived_from_the_blocks() {
        let resources = resources(
            "[[resources]]\nidentifier = \"https://a.example\"\nclients = [\"web\", \"cli\"]\n\
             open = true\nscopes = { \"a:read\" = { en = \"Read A\" }, \"a:write\" = {} }\n\
             [[resources]]\nidentifier = \"https://b.example\"\nclients = [\"web\"]\n\
             [resources.scopes]\n\"b:read\" = {}",
        );
        let names = |list: &[Arc<Resource>]| {
            let names: Vec<String> = list.iter().map(|one| one.identifier.clone()).collect();
            names.join(" ")
        };
        let both = "https://a.example https://b.example";
        assert_eq!(names(resources.of_client("web")), both);
        assert_eq!(names(resources.of_client("cli")), "https://a.example");
        assert_eq!(names(resources.of_client("other")), "");
        assert_eq!(names(resources.open()), "https://a.example");
        let owner = |scope| {
            resources
                .of_scope(scope)
                .map(|owner| owner.identifier.as_str())
        };
        assert_eq!(owner("a:write"), Some("https://a.example"));
        assert_eq!(owner("b:read"), Some("https://b.example"));
        assert_eq!(owner("c:read"), None);
        let mut scopes: Vec<&str> = resources.scopes().collect();
        scopes.sort_unstable();
        assert_eq!(scopes, ["a:read", "a:write", "b:read"]);
        assert_eq!(resources.iter().count(), 2);
    }

    #[test]
    fn rs_1_words_are_those_of_the_language_else_english_else_any() {
        let words = |text: &str| toml::from_str::<Words>(text).unwrap();
        let both = words("en = \"Lessons\"\nfr = \"Cours\"");
        for (tag, expected) in [
            ("en", "Lessons"),
            ("fr", "Cours"),
            ("fr-ch", "Cours"),
            ("de", "Lessons"),
        ] {
            assert_eq!(both.for_locale(tag), Some(expected), "{tag}");
        }
        assert_eq!(words("fr = \"Cours\"").for_locale("en"), Some("Cours"));
        let brazilian = words("en = \"Lessons\"\npt-BR = \"Aulas\"");
        assert_eq!(brazilian.for_locale("pt-br"), Some("Aulas"));
        assert_eq!(brazilian.for_locale("pt"), Some("Aulas"));
        assert_eq!(brazilian.for_locale("es"), Some("Lessons"));
        assert_eq!(words("").for_locale("en"), None);
    }
}
