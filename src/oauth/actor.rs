//! Who acts for the user: the claim `act` of exchanged access tokens (RFC 8693 §4.1).

use serde_json::{Value, json};

use crate::key::Claims;

/// How many clients may exchange a token in turn (EX-4).
pub(crate) const MAX_ACTORS: usize = 3;

const ACT: &str = "act";

/// Returns whether an access token came from an exchange.
#[must_use]
pub(crate) fn is_exchanged(claims: &Claims) -> bool {
    claims.contains_key(ACT)
}

/// Returns the clients that exchanged a token, the last one first.
#[must_use]
pub(crate) fn actors(claims: &Claims) -> Vec<&str> {
    let mut found = Vec::new();
    let mut next = claims.get(ACT);
    while let Some(act) = next {
        // An empty name is that of no client.
        let sub = act.get("sub").and_then(Value::as_str);
        found.push(sub.unwrap_or_default());
        next = act.get(ACT);
    }
    found
}

/// Returns `act` of the token that a client gets for one with these claims: the earlier actors stand
/// inside.
#[must_use]
pub(crate) fn act_of(client_id: &str, subject: &Claims) -> Value {
    match subject.get(ACT) {
        Some(earlier) => json!({ "sub": client_id, "act": earlier }),
        None => json!({ "sub": client_id }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ex_4_the_last_actor_stands_outside_and_the_earlier_ones_inside() {
        let mut claims = Claims::new();
        assert!(!is_exchanged(&claims) && actors(&claims).is_empty());
        for (client, expected) in [
            ("first", json!({ "sub": "first" })),
            (
                "second",
                json!({ "sub": "second", "act": { "sub": "first" } }),
            ),
        ] {
            let act = act_of(client, &claims);
            assert_eq!(act, expected);
            claims.insert("act".to_owned(), act);
        }
        assert!(is_exchanged(&claims));
        assert_eq!(actors(&claims), ["second", "first"]);
    }

    #[test]
    fn an_actor_without_a_name_is_no_client() {
        let claims = json!({ "act": { "act": { "sub": 1 } } });
        assert_eq!(actors(claims.as_object().unwrap()), ["", ""]);
    }
}
