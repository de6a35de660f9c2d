//! The OpenAPI document of the JSON API (OD-15). The generator writes paths, schemas and lengths; what
//! it cannot express stands in the tables below and is added: server, licence, formats, fixed values,
//! either-or, examples.

use serde_yaml::{Mapping, Value};

/// What a property may hold beyond its type: schema, property, keyword, value in YAML.
const PROPERTIES: &[(&str, &str, &str, &str)] = &[
    ("NewLogin", "code_challenge", "pattern", CHALLENGE),
    ("NewLogin", "code_challenge_method", "enum", "[S256]"),
    ("NewUpstreamLogin", "code_challenge", "pattern", CHALLENGE),
    (
        "NewUpstreamLogin",
        "code_challenge_method",
        "enum",
        "[S256]",
    ),
    ("NewUpstreamLogin", "redirect_uri", "format", "uri"),
    ("UpstreamBegun", "authorization_url", "format", "uri"),
    ("UpstreamCallback", "code_verifier", "pattern", VERIFIER),
    ("UpstreamCallback", "code_verifier", "minLength", "43"),
    ("LoginProof", "flow_id", "format", "uuid"),
    ("LoginProof", "code_verifier", "pattern", VERIFIER),
    ("LoginProof", "code_verifier", "minLength", "43"),
    ("LoginCode", "code_verifier", "pattern", VERIFIER),
    ("LoginCode", "code_verifier", "minLength", "43"),
    ("LoginState", "id", "format", "uuid"),
    ("LoginState", "state", "enum", "[open, consumed, ended]"),
    ("StartedLogin", "flow_id", "format", "uuid"),
    ("Problem", "type", "format", "uri-reference"),
    ("Tokens", "token_type", "enum", "[Bearer]"),
    // An optional value may also be sent as null.
    ("NewLogin", "ui_locales", "nullable", "true"),
    ("NewLogin", "device_secret", "nullable", "true"),
    ("NewUpstreamLogin", "ui_locales", "nullable", "true"),
    ("UpstreamCallback", "scope", "nullable", "true"),
    ("LoginProof", "scope", "nullable", "true"),
    ("LoginCode", "scope", "nullable", "true"),
    ("NewUpstreamLogin", "state", "nullable", "true"),
    ("UpstreamCallback", "nonce", "nullable", "true"),
    ("LoginProof", "code", "nullable", "true"),
    ("LoginProof", "link_token", "nullable", "true"),
    ("LoginProof", "nonce", "nullable", "true"),
    ("LoginProof", "device_secret", "nullable", "true"),
    ("LoginCode", "nonce", "nullable", "true"),
    ("LoginCode", "device_secret", "nullable", "true"),
];

/// What the schema of a parameter holds beyond its type: parameter, keyword, value in YAML.
const PARAMETERS: &[(&str, &str, &str)] = &[
    ("provider", "example", "google"),
    ("id", "format", "uuid"),
    ("id", "example", "9736b860-f8a9-4cf8-981f-e304f0617e96"),
    ("Code-Verifier", "pattern", VERIFIER),
    (
        "Code-Verifier",
        "example",
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    ),
];

/// The schemas of bodies. A body with an unknown property is refused.
const BODIES: [&str; 5] = [
    "NewLogin",
    "NewUpstreamLogin",
    "LoginProof",
    "LoginCode",
    "UpstreamCallback",
];

/// One event of the stream of a login. OpenAPI 3.0 has no words for a stream of them.
const LOGIN_EVENT: &str = "{type: object, required: [data], properties: {data: {type: string, description: \
     'A LoginState, in JSON.'}, event: {type: string}}}";

/// Which operations take the `flow_id` of a new login as their `id`.
const LOGIN_LINKS: &str = "{readLogin: {operationId: readLogin, parameters: {id: '$response.body#/flow_id'}}, \
     followLogin: {operationId: followLogin, parameters: {id: '$response.body#/flow_id'}}, \
     submitCode: {operationId: submitCode, parameters: {id: '$response.body#/flow_id'}}}";

/// RFC 7636 §4.2: the base64url of a SHA-256. Two bits of the last character are 0.
const CHALLENGE: &str = "'^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$'";
/// RFC 7636 §4.1.
const VERIFIER: &str = "'^[A-Za-z0-9._~-]{43,128}$'";

/// What holds for a schema as a whole: schema, keyword, value in YAML. The verifier and the challenge of
/// the examples are those of RFC 7636 Appendix B.
const SCHEMAS: &[(&str, &str, &str)] = &[
    (
        "LoginProof",
        "oneOf",
        "[{required: [code], properties: {code: {type: string}}}, \
         {required: [link_token], properties: {link_token: {type: string}}}]",
    ),
    (
        "NewLogin",
        "example",
        "{client_id: lessons-app, email: degas@dance.example, code_challenge: \
         E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM, code_challenge_method: S256}",
    ),
    (
        "NewUpstreamLogin",
        "example",
        "{client_id: lessons-app, redirect_uri: 'https://lessons.example.com/app', code_challenge: \
         E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM, code_challenge_method: S256}",
    ),
    (
        "LoginProof",
        "example",
        "{flow_id: 9736b860-f8a9-4cf8-981f-e304f0617e96, code_verifier: \
         dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk, code: '12345678', scope: openid}",
    ),
    (
        "LoginCode",
        "example",
        "{code_verifier: dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk, code: '12345678', scope: openid}",
    ),
    (
        "UpstreamCallback",
        "example",
        "{code: 3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA, code_verifier: \
         dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk, scope: openid}",
    ),
    (
        "Problem",
        "example",
        "{type: 'about:blank', title: Bad Request, status: 400, detail: Enter the code of the email., \
         code: invalid_code, reference: 0J3kq8Zb2xYw}",
    ),
];

/// The schemas that only version 2 uses.
const SCHEMAS_OF_V2: [&str; 2] = ["LoginCode", "LoginState"];

/// The document, as a tree that keeps the order of its keys.
#[derive(Clone, Debug)]
pub(super) struct Document(Value);

impl Document {
    /// Completes what the generator wrote. `server` is the base of all paths.
    pub(super) fn new(generated: &str, server: &str) -> Self {
        let mut document = Self(serde_yaml::from_str(generated).unwrap_or_default());
        document.set(&["servers"], &format!("[{{url: '{server}'}}]"));
        let licence = "{name: Apache-2.0, url: 'https://www.apache.org/licenses/LICENSE-2.0'}";
        document.set(&["info", "license"], licence);
        document.set(&["info", "contact"], "{name: The operator of this service}");
        // Nothing here is authenticated by a header: the PKCE verifier is a value of the request.
        document.set(&["security"], "[]");
        document.complete_schemas();
        document.complete_parameters();
        document.set(
            &[
                "paths",
                "/api/v2/logins",
                "post",
                "responses",
                "201",
                "links",
            ],
            LOGIN_LINKS,
        );
        document.set(
            &[
                "paths",
                "/api/v2/logins/{id}/events",
                "get",
                "responses",
                "200",
                "content",
                "text/event-stream",
                "schema",
            ],
            LOGIN_EVENT,
        );
        document
    }

    fn complete_schemas(&mut self) {
        for (schema, property, keyword, value) in PROPERTIES {
            self.set(
                &[
                    "components",
                    "schemas",
                    schema,
                    "properties",
                    property,
                    keyword,
                ],
                value,
            );
        }
        for schema in BODIES {
            let path = ["components", "schemas", schema, "additionalProperties"];
            self.set(&path, "false");
        }
        for (schema, keyword, value) in SCHEMAS {
            self.set(&["components", "schemas", schema, keyword], value);
        }
    }

    fn complete_parameters(&mut self) {
        let paths = self.table(&["paths"]).into_iter().flatten();
        let operations = paths
            .filter_map(|(_, path)| path.as_mapping_mut())
            .flatten();
        let parameters = operations
            .filter_map(|(_, operation)| operation.get_mut("parameters"))
            .filter_map(Value::as_sequence_mut)
            .flatten();
        for parameter in parameters {
            let name = parameter.get("name").and_then(Value::as_str);
            let name = name.unwrap_or_default().to_owned();
            let schema = parameter.get_mut("schema").and_then(Value::as_mapping_mut);
            let Some(schema) = schema else { continue };
            for (_, keyword, value) in PARAMETERS.iter().filter(|(of, ..)| *of == name) {
                if let Ok(value) = serde_yaml::from_str(value) {
                    schema.insert((*keyword).into(), value);
                }
            }
        }
    }

    /// Returns the document without version 2, which does not exist while its switch is off.
    pub(super) fn without_v2(&self) -> Self {
        let mut document = self.clone();
        if let Some(paths) = document.table(&["paths"]) {
            paths.retain(|path, _| {
                !path
                    .as_str()
                    .is_some_and(|path| path.starts_with("/api/v2"))
            });
        }
        if let Some(schemas) = document.table(&["components", "schemas"]) {
            for name in SCHEMAS_OF_V2 {
                schemas.remove(name);
            }
        }
        if let Some(Value::Sequence(tags)) = document.0.get_mut("tags") {
            let is_v2 =
                |tag: &Value| tag.get("name").and_then(Value::as_str) == Some("Logins (v2)");
            tags.retain(|tag| !is_v2(tag));
        }
        document
    }

    pub(super) fn to_yaml(&self) -> String {
        serde_yaml::to_string(&self.0).unwrap_or_default()
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// Sets a key of the table at a path, if there is that table.
    fn set(&mut self, path: &[&str], value: &str) {
        let Some((key, parents)) = path.split_last() else {
            return;
        };
        if let (Some(table), Ok(value)) = (self.table(parents), serde_yaml::from_str(value)) {
            table.insert((*key).into(), value);
        }
    }

    fn table(&mut self, path: &[&str]) -> Option<&mut Mapping> {
        let mut value = &mut self.0;
        for key in path {
            value = value.get_mut(*key)?;
        }
        value.as_mapping_mut()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::routes::api::service;

    fn document() -> Document {
        Document::new(&service().spec_yaml(), "/")
    }

    fn value<'a>(document: &'a Document, path: &[&str]) -> Option<&'a Value> {
        path.iter()
            .try_fold(&document.0, |value, key| value.get(*key))
    }

    #[test]
    fn od_15_the_document_has_what_its_generator_leaves_out() {
        let document = document();
        for path in [
            &["servers"][..],
            &["security"],
            &["info", "license", "url"],
            &["info", "contact", "name"],
        ] {
            assert!(value(&document, path).is_some(), "{path:?}");
        }
        assert_eq!(
            value(&document, &["info", "summary"]),
            None,
            "OpenAPI 3.0 has none"
        );
        let schemas = ["components", "schemas"];
        for (schema, property, keyword, _) in PROPERTIES {
            let at = [&schemas[..], &[schema, "properties", property]].concat();
            let found = value(&document, &at).unwrap_or_else(|| panic!("{schema}.{property}"));
            assert!(
                found.get("type").is_some() && found.get(keyword).is_some(),
                "{at:?}"
            );
        }
        for (schema, keyword, _) in SCHEMAS {
            let at = [&schemas[..], &[schema, keyword]].concat();
            assert!(value(&document, &at).is_some(), "{at:?}");
            assert!(value(&document, &["components", "schemas", schema, "type"]).is_some());
        }
    }

    #[test]
    fn od_15_a_body_takes_no_other_property_and_a_parameter_has_an_example() {
        let document = document();
        for schema in BODIES {
            let at = ["components", "schemas", schema, "additionalProperties"];
            assert_eq!(value(&document, &at), Some(&Value::Bool(false)), "{schema}");
        }
        let text = document.to_yaml();
        let parameters = text.matches("deprecated: false\n        explode").count();
        let examples = text.matches("\n          example: ").count();
        assert!(parameters > 6, "{parameters}");
        assert_eq!(examples, parameters);
        let links = [
            "paths",
            "/api/v2/logins",
            "post",
            "responses",
            "201",
            "links",
        ];
        let links = value(&document, &links)
            .and_then(Value::as_mapping)
            .unwrap();
        for (name, link) in links {
            assert_eq!(link.get("operationId"), Some(name));
            assert!(text.contains(&format!("operationId: {}\n", name.as_str().unwrap())));
        }
    }

    #[test]
    fn od_15_every_operation_has_a_description() {
        let document = document();
        let paths = value(&document, &["paths"])
            .and_then(Value::as_mapping)
            .unwrap();
        assert!(paths.len() > 5);
        for (path, operations) in paths {
            for (method, operation) in operations.as_mapping().unwrap() {
                assert!(
                    operation.get("description").is_some(),
                    "{method:?} {path:?}"
                );
            }
        }
    }

    /// OD-15: what the document without version 2 refers to is in it.
    #[test]
    fn od_15_without_v2_nothing_of_it_is_left_and_nothing_is_missing() {
        let text = document().without_v2().to_json();
        assert!(!text.contains("/api/v2") && !text.contains("v2"), "{text}");
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(text.contains(&format!("\"{name}\":{{\"type\"")), "{name}");
        }
        assert!(document().to_json().contains("/api/v2/logins"));
    }
}
