//! The parameters of a request: raw pairs, read strictly.
//!
//! A repeated parameter is refused, and one without a value counts as absent (RFC 6749 §3.1, §3.2).
//! Nothing is repaired: a malformed escape, bytes that are not UTF-8, a NUL or a value that is too
//! long is a 400 that names the parameter. Parameters that are not read are ignored, malformed or
//! not.

use poem::{
    Body, Request,
    error::ResponseError,
    http::{StatusCode, Uri, header},
};

/// The longest value that [`Params::optional`] accepts, in bytes.
const DEFAULT_MAX: usize = 2048;
/// The largest form (PX-02).
const FORM_BYTES: usize = 64 * 1024;
/// No request of a client has as many.
const MAX_PAIRS: usize = 256;
const FORM: &str = "application/x-www-form-urlencoded";

/// A parameter or a form that is refused. Its words are safe to show: they hold the name that we
/// read, never a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// RFC 6749 §3.1: parameters must not be included more than once.
    #[error("the parameter {0} is repeated")]
    Repeated(&'static str),
    /// A malformed escape, or bytes that are not UTF-8.
    #[error("the parameter {0} is not properly encoded (percent-encoded UTF-8)")]
    Encoding(&'static str),
    /// A NUL character, which no database column takes.
    #[error("the parameter {0} contains a character that is not allowed")]
    Character(&'static str),
    #[error("the parameter {name} is longer than {max} bytes")]
    TooLong { name: &'static str, max: usize },
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    #[error("there are too many parameters")]
    TooMany,
    #[error("the content type must be application/x-www-form-urlencoded")]
    ContentType,
    #[error("the form is larger than 64 KiB")]
    TooLarge,
    #[error("the form could not be read")]
    Unreadable,
}

impl ParamError {
    /// Returns the name of the parameter at fault, if it is one.
    #[must_use]
    pub const fn parameter(&self) -> Option<&'static str> {
        match self {
            Self::Repeated(name)
            | Self::Encoding(name)
            | Self::Character(name)
            | Self::TooLong { name, .. }
            | Self::Missing(name) => Some(name),
            Self::TooMany | Self::ContentType | Self::TooLarge | Self::Unreadable => None,
        }
    }

    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl ResponseError for ParamError {
    fn status(&self) -> StatusCode {
        self.status()
    }
}

/// The pairs in their order. There is no `Debug`: values may be codes and tokens.
#[derive(Clone, Default)]
pub struct Params(Vec<(String, Value)>);

/// A decoded value, or none if it is malformed.
type Value = Option<String>;

impl Params {
    /// Reads the query.
    pub fn from_query(request: &Request) -> Result<Self, ParamError> {
        Self::from_uri(request.uri())
    }

    /// Reads the query of an address.
    pub fn from_uri(uri: &Uri) -> Result<Self, ParamError> {
        Self::parse(uri.query().unwrap_or_default().as_bytes())
    }

    /// Reads a form, and never the query. Parameters of the content type such as charset are
    /// ignored.
    pub fn from_form(body: &[u8], content_type: Option<&str>) -> Result<Self, ParamError> {
        if !is_form(content_type) {
            return Err(ParamError::ContentType);
        }
        if body.len() > FORM_BYTES {
            return Err(ParamError::TooLarge);
        }
        Self::parse(body)
    }

    /// Reads the body of `request` as a form, counting its bytes.
    pub async fn read_form(request: &Request, body: Body) -> Result<Self, ParamError> {
        Self::parse(&Self::form_bytes(request, body).await?)
    }

    /// Returns the bytes of a form, to be read later by [`Params::from_form`].
    pub async fn form_bytes(request: &Request, body: Body) -> Result<Vec<u8>, ParamError> {
        let content_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        if !is_form(content_type) {
            return Err(ParamError::ContentType);
        }
        match body.into_bytes_limit(FORM_BYTES).await {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(poem::error::ReadBodyError::PayloadTooLarge) => Err(ParamError::TooLarge),
            Err(_) => Err(ParamError::Unreadable),
        }
    }

    /// Returns the value of `name`, at most [`DEFAULT_MAX`] bytes, or none if it is absent or
    /// empty.
    pub fn optional(&self, name: &'static str) -> Result<Option<&str>, ParamError> {
        self.optional_within(name, DEFAULT_MAX)
    }

    /// Returns the value of `name`, at most `max` bytes, or none if it is absent or empty.
    pub fn optional_within(
        &self,
        name: &'static str,
        max: usize,
    ) -> Result<Option<&str>, ParamError> {
        let mut values = self.values_of(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(ParamError::Repeated(name));
        }
        Ok(Some(checked(name, value, max)?).filter(|value| !value.is_empty()))
    }

    /// Returns the value of `name`, at most `max` bytes, which must be there.
    pub fn required(&self, name: &'static str, max: usize) -> Result<&str, ParamError> {
        self.optional_within(name, max)?
            .ok_or(ParamError::Missing(name))
    }

    /// Returns all values of a parameter that may be repeated (`resource`, RFC 8707 §2), without
    /// the empty ones.
    pub fn all_values(&self, name: &'static str, max: usize) -> Result<Vec<&str>, ParamError> {
        let values: Result<Vec<&str>, _> = self
            .values_of(name)
            .map(|value| checked(name, value, max))
            .collect();
        Ok(values?
            .into_iter()
            .filter(|value| !value.is_empty())
            .collect())
    }

    /// Checks that none of `names` is repeated or malformed, in their order, for endpoints that
    /// must check all before they read the first. Lengths are checked when a parameter is read.
    pub fn check_all(&self, names: &[&'static str]) -> Result<(), ParamError> {
        names
            .iter()
            .try_for_each(|name| self.optional_within(name, usize::MAX).map(drop))
    }

    /// Checks that no value of `names` has a control character: none is written there by a person,
    /// and in a store each would take the space of several.
    pub fn check_printable(&self, names: &[&'static str]) -> Result<(), ParamError> {
        let has_control = |value: &Value| {
            let value = value.as_deref();
            value.is_some_and(|value| value.contains(char::is_control))
        };
        let refused = names
            .iter()
            .find(|name| self.values_of(name).any(has_control));
        refused.map_or(Ok(()), |name| Err(ParamError::Character(name)))
    }

    /// Checks that none of `names` is repeated, for hints, whose value fails no request.
    pub fn check_not_repeated(&self, names: &[&'static str]) -> Result<(), ParamError> {
        let repeated = names
            .iter()
            .find(|name| self.values_of(name).nth(1).is_some());
        repeated.map_or(Ok(()), |name| Err(ParamError::Repeated(name)))
    }

    /// Returns the value of `name` if it is the only parameter.
    #[must_use]
    pub fn only_value(&self, name: &str) -> Option<&str> {
        match self.0.as_slice() {
            [(sent, Some(value))] if sent == name => Some(value),
            _ => None,
        }
    }

    /// Returns the first value of `name` that is text and not empty, however often it was sent and
    /// however long it is: for errors, which repeat what the client sent.
    #[must_use]
    pub fn first_readable(&self, name: &str) -> Option<&str> {
        self.values_of(name)
            .filter_map(Option::as_deref)
            .find(|value| !value.is_empty())
    }

    /// Returns whether `name` was sent with a malformed escape or with bytes that are not UTF-8.
    #[must_use]
    pub fn has_unreadable(&self, name: &str) -> bool {
        self.values_of(name).any(Option::is_none)
    }

    /// Returns the length of all names and values together, decoded.
    #[must_use]
    pub fn decoded_bytes(&self) -> usize {
        let bytes_of =
            |(name, value): &(String, Value)| name.len() + value.as_ref().map_or(0, String::len);
        self.0.iter().map(bytes_of).sum()
    }

    /// Returns the parameters without those of these names.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let is_kept = |(name, _): &&(String, Value)| !names.contains(&name.as_str());
        Self(self.0.iter().filter(is_kept).cloned().collect())
    }

    /// Returns whether `name` was sent, empty or not.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.values_of(name).next().is_some()
    }

    fn values_of<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a Value> + use<'a, 'n> {
        self.0
            .iter()
            .filter(move |(sent, _)| sent == name)
            .map(|(_, value)| value)
    }

    fn parse(bytes: &[u8]) -> Result<Self, ParamError> {
        let mut pairs = Vec::new();
        for pair in bytes
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty())
        {
            if pairs.len() == MAX_PAIRS {
                return Err(ParamError::TooMany);
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = halves.next().unwrap_or_default();
            let value = halves.next().unwrap_or_default();
            // A malformed name is no name of ours.
            if let Some(name) = form_decode(name) {
                pairs.push((name, form_decode(value)));
            }
        }
        Ok(Self(pairs))
    }
}

pub(super) fn is_form(content_type: Option<&str>) -> bool {
    let essence = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(FORM)
}

fn checked<'a>(name: &'static str, value: &'a Value, max: usize) -> Result<&'a str, ParamError> {
    let value = value.as_deref().ok_or(ParamError::Encoding(name))?;
    if value.contains('\0') {
        return Err(ParamError::Character(name));
    }
    if value.len() > max {
        return Err(ParamError::TooLong { name, max });
    }
    Ok(value)
}

/// Decodes `+` and `%XX`. Returns nothing for a malformed escape or bytes that are not UTF-8, both
/// of which the usual parsers repair.
#[must_use]
pub fn form_decode(raw: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(*bytes.next()?)? << 4 | hex_digit(*bytes.next()?)?,
            other => *other,
        });
    }
    String::from_utf8(out).ok()
}

fn hex_digit(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests;
