//! Words for requests that the framework rejects before the endpoint runs.
//!
//! The framework's own words name types of our code and end with the value that did not parse,
//! which may be a secret (F3). [`detail`] recognises a few of its patterns; for all other
//! rejections the fixed words of the status stand.

use poem_openapi::error::{ParseParamError, ParseRequestPayloadError};

use crate::web::{cookie::CookieError, params::ParamError};

/// Returns what to tell the client, or nothing where the fixed words of the status say enough.
pub(super) fn detail(error: &poem::Error) -> String {
    if error.is::<CookieError>() || error.is::<ParamError>() {
        return error.to_string();
    }
    if let Some(body) = error.downcast_ref::<ParseRequestPayloadError>() {
        return body_detail(&body.reason);
    }
    if let Some(ParseParamError { name, .. }) = error.downcast_ref::<ParseParamError>() {
        return format!("The parameter `{name}` is missing or malformed.");
    }
    String::new()
}

fn body_detail(reason: &str) -> String {
    if let Some((_, rest)) = reason.split_once("unknown field `") {
        let name = field_name(rest)
            .map(|name| format!(" `{name}`"))
            .unwrap_or_default();
        return format!("The body has an unknown field{name}. See /docs for the known ones.");
    }
    let bounded = reason
        .split_once("field `")
        .and_then(|(_, rest)| field_name(rest));
    if let Some(name) = bounded {
        return format!("The field `{name}` of the body is out of its bounds. See /docs.");
    }
    if reason.starts_with("Type \"") || reason.contains(", found null.") {
        return "A field of the body is missing. See /docs.".to_owned();
    }
    if reason.starts_with("Expected input type") || reason.starts_with("failed to parse \"") {
        return "A field of the body has the wrong type. See /docs.".to_owned();
    }
    let is_position = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_digit() || " column".contains(c))
    };
    match reason.rsplit_once(" at line ") {
        Some((_, position)) if is_position(position) => {
            format!("The body is not JSON: see line {position}.")
        }
        _ => "The body is not JSON.".to_owned(),
    }
}

/// Returns the field's name, up to the closing quote, if it looks like one of ours. Any other name
/// may be a secret.
fn field_name(rest: &str) -> Option<&str> {
    let (name, _) = rest.split_once('`')?;
    let is_ours =
        (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_ours.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_3_the_framework_s_words_are_replaced() {
        for (reason, expected) in [
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
                "A field of the body has the wrong type. See /docs.",
            ),
            (
                "Expected input type \"string\", found null. (occurred while parsing \"NewLogin\")",
                "A field of the body is missing. See /docs.",
            ),
            (
                "Type \"string\" expects an input value. (occurred while parsing \"NewLogin\")",
                "A field of the body is missing. See /docs.",
            ),
            (
                "failed to parse \"NewLogin\": field `email` verification failed. maxLength(1016)",
                "The field `email` of the body is out of its bounds. See /docs.",
            ),
            (
                "failed to parse \"NewLogin\": unknown field `more`.",
                "The body has an unknown field `more`. See /docs for the known ones.",
            ),
            (
                "failed to parse \"NewLogin\": unknown field `Hunter2`.",
                "The body has an unknown field. See /docs for the known ones.",
            ),
        ] {
            assert_eq!(body_detail(reason), expected, "{reason}");
        }
    }
}
