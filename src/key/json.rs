//! JSON that strangers wrote, read without ambiguity: an object that repeats a member is refused at
//! any depth. `serde_json` keeps the last one, where another reader may keep the first (RFC 8725
//! §2.4).

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// Reads a whole text as one JSON object. None if it is anything else, or repeats a member.
pub(super) fn read_object(text: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(text) {
        Ok(Unambiguous(Value::Object(members))) => Some(members),
        _ => None,
    }
}

/// A value without repeated members.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unambiguous(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Unambiguous(value))) = entries.next_entry::<String, Unambiguous>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a repeated member"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pp_1_an_object_is_read_as_it_stands() {
        let text = r#"{"a":[1,-2,0.5,null,true,"x",{"b":{}}],"b":"\u00e9"}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            read_object(text.as_bytes()).map(Value::Object),
            Some(expected)
        );
    }

    #[test]
    fn pp_1_a_repeated_member_is_refused_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"jwk":{"kty":"EC","kty":"RSA"}}"#,
            r#"{"a":[{"b":[{"c":1,"c":2}]}]}"#,
        ] {
            assert_eq!(read_object(text.as_bytes()), None, "{text}");
        }
        assert!(read_object(br#"{"a":{"x":1},"b":{"x":1}}"#).is_some());
    }

    #[test]
    fn pp_1_anything_but_one_object_is_refused() {
        for text in [
            "", "[]", "1", "null", "\"{}\"", "{}{}", "{} x", "{\"a\":1", "{a:1}",
        ] {
            assert_eq!(read_object(text.as_bytes()), None, "{text}");
        }
        let deep = "[".repeat(2000);
        assert_eq!(read_object(format!("{{\"a\":{deep}").as_bytes()), None);
        assert_eq!(read_object(&[b'{', 0xff, b'}']), None);
    }
}
