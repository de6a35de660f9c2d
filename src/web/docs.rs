//! `/docs`: the OpenAPI document, readable. Made by us from the document itself: no script, nothing of a foreign host.
//!
//! It takes any JSON and shows what it finds; what is not there is left out.

use askama::Template;
use poem::Response;
use serde_json::Value;

use super::{
    page::{PageContent, PageOptions, render_page},
    text::Localizer,
};

/// The methods of OpenAPI 3.0, in the order in which they are shown.
const METHODS: [&str; 8] = [
    "get", "post", "put", "patch", "delete", "head", "options", "trace",
];

#[derive(Template)]
#[template(path = "web/docs.html", config = ".askama.toml")]
struct Docs<'a> {
    localizer: &'a Localizer,
    title: &'a str,
    version: &'a str,
    description: &'a str,
    spec_href: &'a str,
    operations: Vec<Operation<'a>>,
    schemas: Vec<Schema<'a>>,
}

struct Operation<'a> {
    method: String,
    path: &'a str,
    anchor: String,
    summary: &'a str,
    description: &'a str,
    secured: bool,
    /// Name, place, type, whether required, description.
    parameters: Vec<Field<'a>>,
    /// Content type and schema.
    bodies: Vec<(&'a str, Shape)>,
    answers: Vec<Answer<'a>>,
}

struct Answer<'a> {
    status: &'a str,
    description: &'a str,
    bodies: Vec<(&'a str, Shape)>,
}

struct Field<'a> {
    name: &'a str,
    place: &'a str,
    shape: Shape,
    required: bool,
    description: &'a str,
}

struct Schema<'a> {
    name: &'a str,
    description: &'a str,
    shape: Shape,
    fields: Vec<Field<'a>>,
}

/// A type in words, and the schema below that it names.
struct Shape {
    words: String,
    link: Option<String>,
}

impl PageContent for Docs<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        // The layout adds the name of the service, which is most often that of the document too.
        let service = self.localizer.text("service");
        if self.title == service {
            "API".to_owned()
        } else {
            self.title.to_owned()
        }
    }
    fn is_wide(&self) -> bool {
        true
    }
}

/// The page for a document that is itself at `spec_href`. Its texts are those of the document, in English.
#[must_use]
pub fn page(spec: &Value, spec_href: &str, english: &Localizer, site: PageOptions) -> Response {
    let info = &spec["info"];
    let docs = Docs {
        localizer: english,
        title: text_or(info, "title", "API"),
        version: text(info, "version"),
        description: text(info, "description"),
        spec_href,
        operations: operations(spec),
        schemas: entries(spec.pointer("/components/schemas").unwrap_or(&Value::Null))
            .map(|(name, schema)| described(name, schema))
            .collect(),
    };
    render_page(&docs, site)
}

fn operations(spec: &Value) -> Vec<Operation<'_>> {
    let secured_by_default = is_filled(&spec["security"]);
    entries(&spec["paths"])
        .flat_map(|(path, item)| METHODS.into_iter().map(move |method| (path, method, item)))
        .filter_map(|(path, method, item)| {
            let operation = item.get(method)?;
            Some(Operation {
                method: method.to_uppercase(),
                path,
                anchor: anchor(&format!("{method}-{path}")),
                summary: text(operation, "summary"),
                description: text(operation, "description"),
                secured: operation
                    .get("security")
                    .map_or(secured_by_default, is_filled),
                parameters: list(&item["parameters"])
                    .chain(list(&operation["parameters"]))
                    .map(parameter)
                    .collect(),
                bodies: bodies(&operation["requestBody"]),
                answers: entries(&operation["responses"])
                    .map(|(status, answer)| Answer {
                        status,
                        description: text(answer, "description"),
                        bodies: bodies(answer),
                    })
                    .collect(),
            })
        })
        .collect()
}

fn parameter(parameter: &Value) -> Field<'_> {
    Field {
        name: text(parameter, "name"),
        place: text(parameter, "in"),
        shape: shape(&parameter["schema"]),
        required: parameter["required"].as_bool().unwrap_or_default(),
        description: text(parameter, "description"),
    }
}

fn described<'a>(name: &'a str, schema: &'a Value) -> Schema<'a> {
    let required: Vec<&str> = list(&schema["required"])
        .filter_map(Value::as_str)
        .collect();
    let fields = entries(&schema["properties"])
        .map(|(name, property)| Field {
            name,
            place: "",
            shape: shape(property),
            required: required.contains(&name),
            description: text(property, "description"),
        })
        .collect();
    Schema {
        name,
        description: text(schema, "description"),
        shape: shape(schema),
        fields,
    }
}

fn bodies(holder: &Value) -> Vec<(&str, Shape)> {
    entries(&holder["content"])
        .map(|(kind, media)| (kind, shape(&media["schema"])))
        .collect()
}

fn shape(schema: &Value) -> Shape {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next())
    {
        return Shape {
            words: name.to_owned(),
            link: Some(schema_anchor(name)),
        };
    }
    if schema["type"] == "array" {
        let of = shape(&schema["items"]);
        return Shape {
            words: format!("array of {}", of.words),
            link: of.link,
        };
    }
    for (key, joint) in [("allOf", " and "), ("oneOf", " or "), ("anyOf", " or ")] {
        let parts: Vec<Shape> = list(&schema[key]).map(shape).collect();
        if !parts.is_empty() {
            let words = parts
                .iter()
                .map(|part| part.words.as_str())
                .collect::<Vec<_>>()
                .join(joint);
            return Shape {
                words,
                link: parts.into_iter().find_map(|part| part.link),
            };
        }
    }
    let mut words = text_or(schema, "type", "any").to_owned();
    if let Some(format) = schema["format"].as_str() {
        words.push_str(&format!(" ({format})"));
    }
    let values: Vec<String> = list(&schema["enum"])
        .map(|value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        })
        .collect();
    if !values.is_empty() {
        words.push_str(&format!(": {}", values.join(", ")));
    }
    Shape { words, link: None }
}

fn schema_anchor(name: &str) -> String {
    anchor(&format!("schema-{name}"))
}

/// An id without anything that an id or a fragment could stumble over.
fn anchor(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect()
}

fn text<'a>(holder: &'a Value, key: &str) -> &'a str {
    text_or(holder, key, "")
}

fn text_or<'a>(holder: &'a Value, key: &str, otherwise: &'a str) -> &'a str {
    holder.get(key).and_then(Value::as_str).unwrap_or(otherwise)
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn is_filled(value: &Value) -> bool {
    list(value).next().is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::web::text::Texts;

    #[tokio::test]
    async fn the_window_is_not_called_by_the_same_name_twice() {
        let localizer = Texts::default().localizer("en");
        for (title, expected) in [
            ("Entree", "<title>API · Entree</title>"),
            ("Other", "<title>Other · Entree</title>"),
        ] {
            let spec = serde_json::json!({"info": {"title": title}});
            let body = page(&spec, "/openapi.json", &localizer, PageOptions::default())
                .into_body()
                .into_string()
                .await
                .unwrap();
            assert!(body.contains(expected), "{body:.400}");
        }
    }
}
