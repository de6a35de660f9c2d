//! The parameters of a request as it sent them: raw pairs, read strictly.
//!
//! Promises: a repeated parameter is refused and never silently chosen from (RFC 6749 §3.1, §3.2), one without a value
//! counts as absent (same sections), and nothing is repaired: a broken escape, bytes that are not UTF-8, a NUL or an
//! over-long value is an answer of 400 that names the parameter. Parameters nobody asks for are ignored, broken or not.

use poem::{Body, Request, error::ResponseError, http::StatusCode, http::header};

/// The longest value that [`Params::optional`] lets through, in bytes.
pub const DEFAULT_MAX: usize = 2048;
/// The largest form (PX-02).
pub const FORM_BYTES: usize = 64 * 1024;
/// More pairs than any request of ours has.
const MAX_PAIRS: usize = 256;
const FORM: &str = "application/x-www-form-urlencoded";

/// Why parameters are refused. Its words are safe to show: they hold the name that we asked for, never a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// RFC 6749 §3.1: parameters must not be included more than once.
    #[error("the parameter {0} is repeated")]
    Repeated(&'static str),
    /// An escape without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the parameter {0} is not properly encoded (percent-encoded UTF-8)")]
    Encoding(&'static str),
    /// A NUL character, which no database column takes.
    #[error("the parameter {0} contains a character that is not allowed")]
    Character(&'static str),
    /// Longer than the reader takes.
    #[error("the parameter {name} is longer than {max} bytes")]
    TooLong {
        /// The parameter.
        name: &'static str,
        /// The most bytes it may have.
        max: usize,
    },
    /// A parameter that the reader cannot do without is absent or empty.
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    /// More pairs than any request of ours has.
    #[error("there are too many parameters")]
    TooMany,
    /// Not a form: 415.
    #[error("the content type must be application/x-www-form-urlencoded")]
    ContentType,
    /// More than [`FORM_BYTES`]: 413.
    #[error("the form is larger than 64 KiB")]
    TooLarge,
    /// The body could not be read to its end.
    #[error("the form could not be read")]
    Unreadable,
}

impl ParamError {
    /// The status to answer with: 413, 415, else 400.
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

/// The pairs in the order they came. It has no `Debug`: values may be codes and tokens.
#[derive(Clone, Default)]
pub struct Params(Vec<(String, Value)>);

/// A decoded value, or none if it was not properly encoded.
type Value = Option<String>;

impl Params {
    /// The pairs of the query.
    ///
    /// # Errors
    /// [`ParamError::TooMany`].
    pub fn from_query(request: &Request) -> Result<Self, ParamError> {
        Self::parse(request.uri().query().unwrap_or_default().as_bytes())
    }

    /// The pairs of a form. The query is never looked at.
    ///
    /// # Errors
    /// 415 unless `content_type` is that of a form (parameters such as charset are let be), 413 over [`FORM_BYTES`],
    /// 400 for too many pairs.
    pub fn from_form(body: &[u8], content_type: Option<&str>) -> Result<Self, ParamError> {
        if !is_form(content_type) {
            return Err(ParamError::ContentType);
        }
        if body.len() > FORM_BYTES {
            return Err(ParamError::TooLarge);
        }
        Self::parse(body)
    }

    /// Reads the body of `request` as a form, counting bytes while reading.
    ///
    /// # Errors
    /// As [`Params::from_form`], and 400 if the body ends before its end.
    pub async fn read_form(request: &Request, body: Body) -> Result<Self, ParamError> {
        Self::parse(&Self::form_bytes(request, body).await?)
    }

    /// A form as it was sent, to be read later by [`Params::from_form`].
    ///
    /// # Errors
    /// 415 and 413 as [`Params::from_form`], and 400 if the body ends before its end.
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

    /// The value of `name`, at most [`DEFAULT_MAX`] bytes; none if it is absent or empty.
    ///
    /// # Errors
    /// Repeated, badly encoded, with a NUL, too long.
    pub fn optional(&self, name: &'static str) -> Result<Option<&str>, ParamError> {
        self.optional_within(name, DEFAULT_MAX)
    }

    /// The value of `name`, at most `max` bytes; none if it is absent or empty.
    ///
    /// # Errors
    /// Repeated, badly encoded, with a NUL, too long.
    pub fn optional_within(
        &self,
        name: &'static str,
        max: usize,
    ) -> Result<Option<&str>, ParamError> {
        let mut values = self.named(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(ParamError::Repeated(name));
        }
        Ok(Some(sound(name, value, max)?).filter(|value| !value.is_empty()))
    }

    /// The value of `name`, which must be there.
    ///
    /// # Errors
    /// As [`Params::optional_within`], and [`ParamError::Missing`].
    pub fn required(&self, name: &'static str, max: usize) -> Result<&str, ParamError> {
        self.optional_within(name, max)?
            .ok_or(ParamError::Missing(name))
    }

    /// All values of a parameter that may be repeated (`resource`, RFC 8707 §2), without the empty ones.
    ///
    /// # Errors
    /// Any badly encoded, with a NUL, over `max` bytes.
    pub fn all_values(&self, name: &'static str, max: usize) -> Result<Vec<&str>, ParamError> {
        let values: Result<Vec<&str>, _> = self
            .named(name)
            .map(|value| sound(name, value, max))
            .collect();
        Ok(values?
            .into_iter()
            .filter(|value| !value.is_empty())
            .collect())
    }

    /// Refuses if any of `names` is repeated or badly encoded: for endpoints that must look at all before the first.
    ///
    /// # Errors
    /// The first fault in the order of `names`. Length is not looked at: its bound belongs to the reader.
    pub fn check_all(&self, names: &[&'static str]) -> Result<(), ParamError> {
        names
            .iter()
            .try_for_each(|name| self.optional_within(name, usize::MAX).map(drop))
    }

    /// Refuses if any of `names` is repeated, whatever it holds: for hints, which fail no request by what they say.
    ///
    /// # Errors
    /// [`ParamError::Repeated`].
    pub fn check_not_repeated(&self, names: &[&'static str]) -> Result<(), ParamError> {
        let repeated = names.iter().find(|name| self.named(name).nth(1).is_some());
        repeated.map_or(Ok(()), |name| Err(ParamError::Repeated(name)))
    }

    /// The value of `name` if nothing else was sent.
    #[must_use]
    pub fn only_value(&self, name: &str) -> Option<&str> {
        match self.0.as_slice() {
            [(sent, Some(value))] if sent == name => Some(value),
            _ => None,
        }
    }

    /// Whether `name` was sent at all, empty or not.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    fn named<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a Value> + use<'a, 'n> {
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
            // A name that cannot be read is no name of ours.
            if let Some(name) = form_decode(name) {
                pairs.push((name, form_decode(value)));
            }
        }
        Ok(Self(pairs))
    }
}

fn is_form(content_type: Option<&str>) -> bool {
    let essence = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(FORM)
}

fn sound<'a>(name: &'static str, value: &'a Value, max: usize) -> Result<&'a str, ParamError> {
    let value = value.as_deref().ok_or(ParamError::Encoding(name))?;
    if value.contains('\0') {
        return Err(ParamError::Character(name));
    }
    if value.len() > max {
        return Err(ParamError::TooLong { name, max });
    }
    Ok(value)
}

/// Decodes `+` and `%XX`; none for a broken escape or bytes that are not UTF-8. The usual parsers repair both.
#[must_use]
pub fn form_decode(raw: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => hex(*bytes.next()?)? << 4 | hex(*bytes.next()?)?,
            other => *other,
        });
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn form(body: &str) -> Params {
        Params::from_form(body.as_bytes(), Some(FORM)).unwrap()
    }

    fn fault<T>(result: Result<T, ParamError>) -> ParamError {
        result.err().unwrap()
    }

    #[test]
    fn po_03_a_repeated_parameter_is_refused_whatever_its_values() {
        for body in ["a=1&a=2", "a=1&a=1", "a=&a=1", "a&a", "a=1&%61=2"] {
            assert_eq!(
                fault(form(body).optional("a")),
                ParamError::Repeated("a"),
                "{body}"
            );
            assert_eq!(
                fault(form(body).check_all(&["b", "a"])),
                ParamError::Repeated("a"),
                "{body}"
            );
        }
    }

    #[test]
    fn po_03_the_query_is_read_as_raw_pairs() {
        let request = Request::builder()
            .uri_str("/authorize?state=a%20b+c&state=d&scope=openid")
            .finish();
        let params = Params::from_query(&request).unwrap();
        assert_eq!(params.optional("scope").unwrap(), Some("openid"));
        assert_eq!(
            fault(params.optional("state")),
            ParamError::Repeated("state")
        );
    }

    #[test]
    fn rfc_6749_3_1_a_parameter_without_a_value_is_absent() {
        let params = form("a=&b&c=3");
        assert_eq!(
            (params.optional("a").unwrap(), params.optional("b").unwrap()),
            (None, None)
        );
        assert_eq!(params.optional("c").unwrap(), Some("3"));
        assert_eq!(fault(params.required("a", 9)), ParamError::Missing("a"));
        assert!(params.contains("a") && !params.contains("d"));
    }

    #[test]
    fn broken_escapes_and_bytes_are_refused_and_not_repaired() {
        for body in [
            "a=%", "a=%4", "a=%zz", "a=%ff", "a=%c3%28", "a=%+1", "a=%-1",
        ] {
            assert_eq!(
                fault(form(body).optional("a")),
                ParamError::Encoding("a"),
                "{body}"
            );
        }
        let raw = Params::from_form(b"a=\xff", Some(FORM)).unwrap();
        assert_eq!(fault(raw.optional("a")), ParamError::Encoding("a"));
        assert_eq!(
            form("a=%C3%a9+%2B&x=%").optional("a").unwrap(),
            Some("é +"),
            "what nobody asks for is let be"
        );
    }

    #[test]
    fn a_nul_and_an_over_long_value_are_refused() {
        assert_eq!(
            fault(form("a=x%00y").optional("a")),
            ParamError::Character("a")
        );
        let long = format!("a={}", "x".repeat(DEFAULT_MAX + 1));
        assert_eq!(
            fault(form(&long).optional("a")),
            ParamError::TooLong {
                name: "a",
                max: DEFAULT_MAX
            }
        );
        assert!(
            form(&long)
                .optional_within("a", DEFAULT_MAX + 1)
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn rfc_8707_2_resource_may_be_repeated() {
        assert_eq!(form("r=1&r=&r=2").all_values("r", 9).unwrap(), ["1", "2"]);
        assert_eq!(
            fault(form("r=1&r=%").all_values("r", 9)),
            ParamError::Encoding("r")
        );
    }

    #[test]
    fn px_02_only_a_form_of_at_most_64_kib_is_read() {
        for wrong in [
            None,
            Some("application/json"),
            Some("multipart/form-data; boundary=x"),
            Some("text/plain"),
        ] {
            assert_eq!(
                fault(Params::from_form(b"a=1", wrong)).status(),
                415,
                "{wrong:?}"
            );
        }
        assert!(
            Params::from_form(
                b"a=1",
                Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8")
            )
            .is_ok()
        );
        assert_eq!(
            fault(Params::from_form(&vec![b'a'; FORM_BYTES + 1], Some(FORM))).status(),
            413
        );
        assert_eq!(
            fault(Params::from_form(&b"a&".repeat(MAX_PAIRS + 1), Some(FORM))),
            ParamError::TooMany
        );
    }

    #[tokio::test]
    async fn po_04_a_form_is_read_from_the_body_and_never_from_the_query() {
        let request = Request::builder()
            .uri_str("/?a=query")
            .content_type(FORM)
            .finish();
        assert_eq!(
            Params::read_form(&request, "b=1".into())
                .await
                .unwrap()
                .optional("a")
                .unwrap(),
            None
        );
        let chunks =
            futures_util::stream::iter((0..65).map(|_| Ok::<_, std::io::Error>(vec![b'a'; 1024])));
        let error = fault(Params::read_form(&request, Body::from_bytes_stream(chunks)).await);
        assert_eq!(
            error,
            ParamError::TooLarge,
            "counted, without a Content-Length"
        );
    }
}
