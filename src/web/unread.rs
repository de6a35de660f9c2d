//! What the framework could not read of a request, in our words.
//!
//! Its own words name types of our code and of its libraries, and end with the value that did not fit, which may be a
//! secret (F3). What we say is made of the few patterns of [`reason`]; for all else the fixed words of the status stand.

use poem_openapi::error::{ParseParamError, ParseRequestPayloadError};

use super::{cookie::CookieError, params::ParamError};

/// What to say about an error that the framework answers with. Empty: the fixed words of its status.
pub(super) fn words(error: &poem::Error) -> String {
    if error.is::<CookieError>() || error.is::<ParamError>() {
        return error.to_string();
    }
    if let Some(body) = error.downcast_ref::<ParseRequestPayloadError>() {
        return reason(&body.reason);
    }
    if let Some(ParseParamError { name, .. }) = error.downcast_ref::<ParseParamError>() {
        return format!("The parameter `{name}` is missing or malformed.");
    }
    String::new()
}

fn reason(said: &str) -> String {
    if let Some((_, rest)) = said.split_once("unknown field `") {
        let name = field(rest)
            .map(|name| format!(", `{name}`,"))
            .unwrap_or_default();
        return format!(
            "A field of the body{name} is none that this address knows. Those are at /docs."
        );
    }
    if let Some(name) = said.split_once("field `").and_then(|(_, rest)| field(rest)) {
        return format!(
            "The field `{name}` of the body does not keep to its bounds. They are at /docs."
        );
    }
    if said.starts_with("Type \"") || said.contains(", found null.") {
        return "A field of the body is missing. What belongs into it is at /docs.".to_owned();
    }
    if said.starts_with("Expected input type") || said.starts_with("failed to parse \"") {
        return "A field of the body has the wrong type. What belongs into it is at /docs."
            .to_owned();
    }
    match said.rsplit_once(" at line ") {
        Some((_, place))
            if place
                .chars()
                .all(|c| c.is_ascii_digit() || " column".contains(c)) =>
        {
            format!("The body is not JSON: see line {place}.")
        }
        _ => "The body is not JSON.".to_owned(),
    }
}

/// A field's name, up to the closing quote, if it is one that we could have given: others may be somebody's secret.
fn field(rest: &str) -> Option<&str> {
    let (name, _) = rest.split_once('`')?;
    let plain =
        (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    plain.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_3_the_framework_s_words_become_ours() {
        for (said, ours) in [
            (
                "expected value at line 1 column 2",
                "The body is not JSON: see line 1 column 2.",
            ),
            (
                "recursion limit exceeded at line 1 column 128",
                "The body is not JSON: see line 1 column 128.",
            ),
            ("hunter2", "The body is not JSON."),
            (
                "Expected input type \"string\", found \"hunter2\". (occurred while parsing \"NewLogin\")",
                "A field of the body has the wrong type. What belongs into it is at /docs.",
            ),
            (
                "Expected input type \"string\", found null. (occurred while parsing \"NewLogin\")",
                "A field of the body is missing. What belongs into it is at /docs.",
            ),
            (
                "Type \"string\" expects an input value. (occurred while parsing \"NewLogin\")",
                "A field of the body is missing. What belongs into it is at /docs.",
            ),
            (
                "failed to parse \"NewLogin\": field `email` verification failed. maxLength(1016)",
                "The field `email` of the body does not keep to its bounds. They are at /docs.",
            ),
            (
                "failed to parse \"NewLogin\": unknown field `more`.",
                "A field of the body, `more`, is none that this address knows. Those are at /docs.",
            ),
            (
                "failed to parse \"NewLogin\": unknown field `Hunter2`.",
                "A field of the body is none that this address knows. Those are at /docs.",
            ),
        ] {
            assert_eq!(reason(said), ours, "{said}");
        }
    }
}
