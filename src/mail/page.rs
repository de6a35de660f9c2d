//! The mailbox pages of `entree dev`: the emails that would have been sent, with links that work.
//! They are for developers and in English.

use askama::Template;

use crate::web::{filters, locale::Localizer, page::PageContent};

/// One email in the list.
#[derive(Clone, Copy, Debug)]
pub struct EmailRow<'a> {
    pub id: &'a str,
    pub to: &'a str,
    pub subject: &'a str,
    /// When it was received, spelled out.
    pub received: &'a str,
}

/// `GET /dev/mailbox`: the emails, newest first.
#[derive(Template)]
#[template(path = "mail/mailbox.html", config = ".askama.toml")]
pub struct MailboxPage<'a> {
    pub localizer: &'a Localizer,
    pub emails: &'a [EmailRow<'a>],
}

/// `GET /dev/mailbox/{id}`: one email.
#[derive(Template)]
#[template(path = "mail/email.html", config = ".askama.toml")]
pub struct EmailPage<'a> {
    pub localizer: &'a Localizer,
    pub to: &'a str,
    pub from: &'a str,
    pub subject: &'a str,
    /// When it was received, spelled out.
    pub received: &'a str,
    pub text: &'a str,
    /// The HTML part. It is shown in a sandboxed frame without scripts; its links open in the whole window.
    pub html: &'a str,
}

/// A piece of the text part.
enum TextPiece<'a> {
    Words(&'a str),
    Link(&'a str),
}

impl EmailPage<'_> {
    fn pieces(&self) -> Vec<TextPiece<'_>> {
        let mut pieces = Vec::new();
        let mut rest = self.text;
        while let Some(start) = find_link(rest) {
            let (before, from) = rest.split_at(start);
            let end = from
                .find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"'))
                .unwrap_or(from.len());
            let (found, after) = from.split_at(end);
            // A full stop or bracket at the end belongs to the sentence.
            let link = found.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']']);
            pieces.push(TextPiece::Words(before));
            pieces.push(TextPiece::Link(link));
            pieces.push(TextPiece::Words(
                found.strip_prefix(link).unwrap_or_default(),
            ));
            rest = after;
        }
        pieces.push(TextPiece::Words(rest));
        pieces
    }
}

/// Finds the first link. Only http and https count: nothing that could run a script.
fn find_link(text: &str) -> Option<usize> {
    ["https://", "http://"]
        .into_iter()
        .filter_map(|scheme| text.find(scheme))
        .min()
}

impl PageContent for MailboxPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        "Mailbox".to_owned()
    }
    fn is_wide(&self) -> bool {
        true
    }
}

impl PageContent for EmailPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.subject.to_owned()
    }
    fn is_wide(&self) -> bool {
        true
    }
    // The frame inherits our policy, and emails carry their styles with them.
    fn has_inline_styles(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::web::{
        locale::Texts,
        page::{PageOptions, render_page},
    };

    fn email_page(text: &str, html: &str) -> String {
        let localizer = Texts::default().localizer("en");
        let page = EmailPage {
            localizer: &localizer,
            to: "ada@example.test",
            from: "Entree <login@example.test>",
            subject: "Sign in",
            received: "now",
            text,
            html,
        };
        let mut response = render_page(&page, PageOptions::default());
        futures_util::FutureExt::now_or_never(response.take_body().into_string())
            .unwrap()
            .unwrap()
    }

    #[test]
    fn a_link_in_the_text_part_is_a_link_without_the_full_stop_behind_it() {
        let page = email_page(
            "Open http://127.0.0.1:8080/login/link/abc_-9. Or <https://example.test/x?a=1&b=2>!",
            "",
        );
        assert!(
            page.contains(r#"<a href="http://127.0.0.1:8080/login/link/abc_-9">"#),
            "{page}"
        );
        assert!(
            page.contains(r#"<a href="https://example.test/x?a=1&#38;b=2">"#),
            "{page}"
        );
    }

    #[test]
    fn an_email_cannot_leave_its_frame_or_run() {
        let page = email_page("javascript:alert(1)", r#""><script>alert(1)</script>"#);
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains(r#"href="javascript"#), "{page}");
        assert!(
            page.contains(r#"sandbox="allow-top-navigation-by-user-activation""#),
            "{page}"
        );
    }
}
