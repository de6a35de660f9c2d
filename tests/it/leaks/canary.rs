//! Secrets that no store and no output may hold, and the search for them.

use std::collections::BTreeSet;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// A secret that must not be stored or logged, with every encoding in which it could be.
#[derive(Clone)]
pub(crate) struct Canary {
    pub(crate) what: &'static str,
    pub(super) text: String,
    pub(super) forms: Vec<Vec<u8>>,
}

impl Canary {
    pub(crate) fn new(what: &'static str, text: &str) -> Self {
        assert!(text.len() >= 6, "the {what} is too short to be looked for");
        let mut forms = vec![text.as_bytes().to_vec()];
        // A code in hexadecimal or base64 is short enough to be found by chance; longer ones are not.
        if text.len() >= 12 {
            let bytes = text.as_bytes();
            forms.extend([hex(bytes), hex(bytes).to_ascii_uppercase()]);
            forms.extend([
                STANDARD_NO_PAD.encode(bytes).into_bytes(),
                URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
            ]);
            if let Some(raw) = URL_SAFE_NO_PAD
                .decode(text)
                .ok()
                .filter(|raw| raw.len() >= 16)
            {
                forms.extend([
                    hex(&raw),
                    hex(&raw).to_ascii_uppercase(),
                    STANDARD_NO_PAD.encode(&raw).into_bytes(),
                    raw,
                ]);
            }
        }
        Self {
            what,
            text: text.to_owned(),
            forms,
        }
    }

    /// True if it stands in `place`; digits inside a longer number are chance.
    fn is_in(&self, place: &[u8]) -> bool {
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        self.forms.iter().any(|form| {
            let number = form.iter().all(u8::is_ascii_digit);
            let ends = |at: usize| {
                digit(at.checked_sub(1).and_then(|i| place.get(i)))
                    || digit(place.get(at + form.len()))
            };
            let first = form[0];
            place.len() >= form.len()
                && (0..=place.len() - form.len()).any(|at| {
                    place[at] == first && place[at..].starts_with(form) && !(number && ends(at))
                })
        })
    }
}

pub(super) fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|byte| format!("{byte:02x}").into_bytes())
        .collect()
}

/// Somewhere that something may be kept: what it is called, and what is there.
pub(crate) type Place = (String, Vec<u8>);

/// Where each canary was found.
pub(crate) fn leaks(
    canaries: &[Canary],
    places: &[Place],
    excepted: impl Fn(&Canary, &str) -> bool,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, place) in places {
        for canary in canaries.iter().filter(|canary| !excepted(canary, name)) {
            if canary.is_in(place) {
                found.insert(format!("the {} is in {name}", canary.what));
            }
        }
    }
    found
}
