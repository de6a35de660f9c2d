//! What an upstream does wrong, one fault at a time.

use serde_json::Value;

use super::{http::Reply, keys::Sign};

/// A part of an upstream that requests come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The metadata (OpenID Connect Discovery 1.0 §4).
    Discovery,
    /// The keys (RFC 7517).
    Jwks,
    /// Where the browser is sent.
    Authorize,
    /// Where codes are exchanged.
    Token,
    /// Who the person is (GitHub: `/user`).
    Userinfo,
    /// GitHub's `/user/emails`.
    Emails,
    /// Anything else.
    Elsewhere,
}

type Change<T> = Box<dyn Fn(&mut T) + Send + Sync>;

/// One thing that an upstream does wrong. Everything else stays honest.
pub enum Fault {
    /// Another answer in place of the honest one.
    Reply(Place, Reply),
    /// A JSON answer with something changed: metadata, keys, token answer, userinfo, addresses.
    Json(Place, Change<Value>),
    /// A header beside the honest answer. With an `etag`, who brings it back gets 304 (RFC 9110 §13.1.2).
    Head(Place, &'static str, &'static str),
    /// The header of ID tokens, changed before it is signed.
    Header(Change<Value>),
    /// The claims of ID tokens, changed before they are signed.
    Claims(Change<Value>),
    /// The text of the claims, changed before it is signed, for what a JSON value cannot say.
    ClaimsText(Change<String>),
    /// The same for the header.
    HeaderText(Change<String>),
    /// The whole ID token, changed after it was signed.
    Compact(Change<String>),
    /// Who signs ID tokens, and how.
    Sign(Sign),
    /// What the browser brings back to the callback.
    Callback(Change<Vec<(String, String)>>),
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Reply(place, reply) => return write!(f, "Reply({place:?}, {})", reply.status),
            Self::Json(place, _) => return write!(f, "Json({place:?})"),
            Self::Sign(sign) => return write!(f, "Sign({sign:?})"),
            Self::Head(place, name, _) => return write!(f, "Head({place:?}, {name})"),
            Self::Header(_) => "Header",
            Self::Claims(_) => "Claims",
            Self::ClaimsText(_) => "ClaimsText",
            Self::HeaderText(_) => "HeaderText",
            Self::Compact(_) => "Compact",
            Self::Callback(_) => "Callback",
        };
        f.write_str(name)
    }
}

impl Fault {
    /// Another answer.
    #[must_use]
    pub const fn reply(place: Place, reply: Reply) -> Self {
        Self::Reply(place, reply)
    }

    /// A member of a JSON answer with another value; `Null` takes it out.
    #[must_use]
    pub fn member(place: Place, name: &'static str, value: Value) -> Self {
        Self::Json(place, Box::new(move |json| put(json, name, &value)))
    }

    /// A JSON answer changed in any way.
    #[must_use]
    pub fn json(place: Place, change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self::Json(place, Box::new(change))
    }

    /// A claim of ID tokens with another value; `Null` takes it out ([`Fault::claims`] can set it to null).
    #[must_use]
    pub fn claim(name: &'static str, value: Value) -> Self {
        Self::Claims(Box::new(move |claims| put(claims, name, &value)))
    }

    /// The claims changed in any way.
    #[must_use]
    pub fn claims(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self::Claims(Box::new(change))
    }

    /// A member of the header of ID tokens with another value; `Null` takes it out.
    #[must_use]
    pub fn header(name: &'static str, value: Value) -> Self {
        Self::Header(Box::new(move |header| put(header, name, &value)))
    }

    /// The ID token changed after it was signed.
    #[must_use]
    pub fn compact(change: impl Fn(&mut String) + Send + Sync + 'static) -> Self {
        Self::Compact(Box::new(change))
    }

    /// The parameters of the callback changed.
    #[must_use]
    pub fn callback(change: impl Fn(&mut Vec<(String, String)>) + Send + Sync + 'static) -> Self {
        Self::Callback(Box::new(change))
    }

    /// The callback with a parameter of another value; an empty one takes it out.
    #[must_use]
    pub fn parameter(name: &'static str, value: &'static str) -> Self {
        Self::callback(move |pairs| {
            pairs.retain(|(known, _)| known != name);
            if !value.is_empty() {
                pairs.push((name.to_owned(), value.to_owned()));
            }
        })
    }

    /// The error answer that a provider sends by the browser (RFC 6749 §4.1.2.1), in place of a code.
    #[must_use]
    pub fn error(code: &'static str) -> Self {
        Self::callback(move |pairs| {
            pairs.retain(|(known, _)| known != "code");
            pairs.push(("error".to_owned(), code.to_owned()));
            pairs.push((
                "error_description".to_owned(),
                "<b>words of the upstream</b>".to_owned(),
            ));
        })
    }
}

fn put(json: &mut Value, name: &str, value: &Value) {
    let members = json.as_object_mut().expect("an object");
    if value.is_null() {
        members.remove(name);
    } else {
        members.insert(name.to_owned(), value.clone());
    }
}
