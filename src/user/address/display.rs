//! How an address is shown: its domain in its own script where that is safe (OD-13).

use unicode_security::{
    GeneralSecurityProfile as _, MixedScript as _, confusable_detection::skeleton,
};

/// Returns a canonical address as users read it.
///
/// An internationalised domain is stored as A-labels (`xn--…`). Each of its labels is shown in its own
/// script if it is of one script, has only characters that UTS #39 allows in identifiers, and does not
/// look like ASCII. If one label fails, the whole domain stays in A-labels.
#[must_use]
pub fn shown_address(canonical: &str) -> String {
    let Some((local, domain)) = canonical.rsplit_once('@') else {
        return canonical.to_owned();
    };
    format!("{local}@{}", shown_domain(domain))
}

/// Returns a domain as users read it, by the same rule.
#[must_use]
pub fn shown_domain(domain: &str) -> String {
    if !domain.contains("xn--") {
        return domain.to_owned();
    }
    match idna::domain_to_unicode(domain) {
        (unicode, Ok(())) if unicode.split('.').all(is_safe) => unicode,
        _ => domain.to_owned(),
    }
}

fn is_safe(label: &str) -> bool {
    if label.is_ascii() {
        return true;
    }
    // "сосо" in Cyrillic letters is of one script, and reads like "coco".
    let reads_like_ascii = skeleton(label).all(|c| c.is_ascii());
    label.chars().all(|c| c.identifier_allowed()) && label.is_single_script() && !reads_like_ascii
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::Address;

    fn shown_of(typed: &str) -> String {
        shown_address(Address::parse(typed, false).unwrap().canonical())
    }

    #[test]
    fn od_13_a_domain_is_shown_in_its_own_script_where_that_is_safe() {
        for address in [
            "jo@example.com",
            "jo@müller.example",
            "jo@почта.рф",
            "jo@例え.jp",
            "jo@ελληνικά.example",
            "jo@straße-nord.example",
        ] {
            assert_eq!(shown_of(address), address);
        }
    }

    #[test]
    fn od_13_a_domain_that_could_be_mistaken_stays_in_a_labels() {
        // Two scripts, with and without a look of ASCII; one script that reads like ASCII; a Latin letter
        // that reads like another; a script that no one uses now.
        for address in [
            "jo@pаypal.example",
            "jo@müllerж.example",
            "jo@сосо.example",
            "jo@mıt.example",
            "jo@ᚠᚢᚦ.example",
        ] {
            let shown = shown_of(address);
            assert!(shown.contains("@xn--"), "{address}: {shown}");
        }
    }

    #[test]
    fn od_13_a_domain_alone_is_shown_by_the_same_rule() {
        assert_eq!(shown_domain("login.example.com"), "login.example.com");
        assert_eq!(
            shown_domain("login.xn--mller-kva.example"),
            "login.müller.example"
        );
        assert_eq!(
            shown_domain("xn--80ak6aa92e.example"),
            "xn--80ak6aa92e.example"
        );
    }

    #[test]
    fn od_13_what_is_no_address_is_shown_as_it_is() {
        assert_eq!(shown_address("nothing"), "nothing");
        assert_eq!(shown_address("jo@xn--a.example"), "jo@xn--a.example");
    }
}
