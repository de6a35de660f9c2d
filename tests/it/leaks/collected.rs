//! The secrets and the error responses that the walks collect.

use testkit::{browser::Browser, page::Page};

use super::canary::{Canary, Place};

/// What the walks leave behind: secrets, and answers that tell of an error.
#[derive(Default)]
pub(super) struct Loot {
    pub(super) canaries: Vec<Canary>,
    pub(super) errors: Vec<Place>,
}

impl Loot {
    pub(super) fn note(&mut self, what: &'static str, text: &str) {
        if !self.canaries.iter().any(|canary| canary.text == text) {
            self.canaries.push(Canary::new(what, text));
        }
    }

    /// Cookies and form tokens as they are now.
    pub(super) fn look(&mut self, browser: &Browser, page: &Page) {
        for name in ["sid", "pre", "dev"] {
            if let Some(cookie) = browser.cookie(name) {
                self.note(name, &cookie.value);
            }
        }
        for form in page.forms("form") {
            for (_, value) in form.fields.iter().filter(|(name, _)| name == "form_token") {
                self.note("form token", value);
            }
        }
    }

    pub(super) fn error(&mut self, what: &str, status: u16, body: &str) {
        assert!((400..500).contains(&status), "{what}: {status}");
        self.errors
            .push((format!("the answer to {what}"), body.as_bytes().to_vec()));
    }

    pub(super) fn error_page(&mut self, what: &str, page: &Page) {
        let headers = page
            .headers
            .iter()
            .filter(|(name, _)| *name != "set-cookie");
        let headers: String = headers
            .map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned() + "\n")
            .collect();
        self.error(what, page.status.as_u16(), &(headers + &page.body));
    }
}
