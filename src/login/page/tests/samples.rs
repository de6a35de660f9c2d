//! A sample of every page, by name.
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]

use std::path::PathBuf;

use poem::{Response, http::StatusCode};

use super::super::*;
use crate::{
    account::page::{AccountPage, IdentityRow, SessionRow},
    mail::page::{EmailPage, EmailRow, MailboxPage},
    web::{
        again::TryAgain,
        locale::{Localizer, Texts},
        page::{PageOptions, render_page},
    },
};

/// A directory that is removed after the test.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        let path =
            std::env::temp_dir().join(format!("entree-texts-{}", crate::secret::public_id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns the shipped languages and one that is written from right to left.
pub(super) fn all_texts() -> (Texts, Directory) {
    let directory = Directory::new();
    std::fs::create_dir(directory.0.join("ar")).unwrap();
    let arabic = "sign-in-title = تسجيل الدخول\n\
                  sign-in-title-client = تسجيل الدخول إلى { $client }\n\
                  sign-in-lede = نرسل إليك رسالة بها رابط ورمز. لا توجد كلمة مرور لتتذكرها.\n\
                  sign-in-email = عنوان بريدك الإلكتروني\n\
                  sent-title = تحقق من بريدك\n\
                  sent-lede = نرسل رسالة إلى { $email }. افتح الرابط في هذا المتصفح أو اكتب الرمز هنا.\n\
                  sign-in-remember = أبقني مسجلا على هذا الجهاز\n\
                  sign-in-submit = أرسل الرسالة\n";
    std::fs::write(directory.0.join("ar/pages.ftl"), arabic).unwrap();
    (Texts::load(Some(&directory.0)).unwrap(), directory)
}

pub(super) fn sign_in(localizer: &Localizer) -> SignInPage<'_> {
    SignInPage {
        localizer,
        email: "",
        error: None,
        client: Some("Ballet lessons"),
        txn: Some("0199"),
        client_query: "",
        remember_checked: false,
        form_token: "ft",
        signed_in_as: None,
        requires_fresh_sign_in: false,
        confirm_as: None,
        form_token_cancel: Some("ft-cancel"),
        notice: None,
        link: None,
        linking: None,
        providers: &[],
    }
}

pub(super) fn buttons() -> [ProviderButton; 2] {
    ["school", "club"].map(|id| ProviderButton {
        id: id.to_owned(),
        text: format!("Continue with {id}"),
        icon: "<svg class=\"icon\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><circle cx=\"8\" cy=\"12\" r=\"5\"/></svg>",
        form_token: format!("ft-{id}"),
    })
}

pub(super) fn sent(localizer: &Localizer) -> SentPage<'_> {
    SentPage {
        localizer,
        flow: "0199aa00-0000-7000-8000-000000000001",
        email: "ada@example.test",
        error: None,
        withheld_for_seconds: None,
        entered: "",
        tries_left: None,
        minutes: 10,
        resend_after_seconds: 30,
        can_resend: true,
        form_token_code: "ft-code",
        form_token_resend: "ft-resend",
        form_token_cancel: Some("ft-cancel"),
        client: Some("Ballet lessons"),
        continue_href: "/login/continue?flow=0199aa00-0000-7000-8000-000000000001",
        restart_href: "/login?txn=0199",
        has_providers: false,
        client_query: "",
        code_digits: 8,
        email_problem: "",
        switch_from: None,
        switch_asked: false,
    }
}

pub(super) fn link<'a>(localizer: &'a Localizer, mode: LinkMode<'a>) -> LinkPage<'a> {
    LinkPage {
        localizer,
        mode,
        action_path: "/login/link/s3cret",
        form_token: "ft",
        email_masked: "a•••@example.test",
        stay_href: "/login/continue?flow=0199&stay=1",
    }
}

pub(super) fn login_pages(localizer: &Localizer) -> Vec<(&'static str, Response)> {
    let mut pages = sign_in_pages(localizer);
    pages.extend(waiting_pages(localizer));
    pages.extend(link_pages(localizer));
    pages.extend(outcome_pages(localizer));
    pages
}

fn sign_in_pages(localizer: &Localizer) -> Vec<(&'static str, Response)> {
    let site = PageOptions::default();
    let refused = SignInPage {
        error: Some(localizer.text("sign-in-error-email")),
        email: "ada@",
        signed_in_as: Some("ada@example.test"),
        requires_fresh_sign_in: true,
        confirm_as: Some("ada@example.test"),
        client: None,
        ..sign_in(localizer)
    };
    let with_providers = SignInPage {
        providers: &buttons(),
        ..sign_in(localizer)
    };
    let linking = SignInPage {
        linking: Some(LinkingAccount {
            provider: "Example school",
            account: "ada@school.test",
        }),
        link: Some("l1nk"),
        ..sign_in(localizer)
    };
    let confirm = SignInPage {
        signed_in_as: Some("ada@example.test"),
        requires_fresh_sign_in: true,
        confirm_as: Some("ada@example.test"),
        ..sign_in(localizer)
    };
    vec![
        ("sign_in_confirm", render_page(&confirm, &site)),
        ("sign_in", render_page(&sign_in(localizer), &site)),
        ("sign_in_refused", render_page(&refused, &site)),
        ("sign_in_providers", render_page(&with_providers, &site)),
        ("sign_in_linking", render_page(&linking, &site)),
    ]
}

fn waiting_pages(localizer: &Localizer) -> Vec<(&'static str, Response)> {
    let site = PageOptions::default();
    let refused = SentPage {
        error: Some(localizer.text("sent-error-code")),
        entered: "1234 5670",
        tries_left: Some(3),
        can_resend: false,
        ..sent(localizer)
    };
    let withheld = SentPage {
        withheld_for_seconds: Some(900),
        ..sent(localizer)
    };
    let over = SentPage {
        tries_left: Some(0),
        email_problem: "email-late",
        has_providers: true,
        ..sent(localizer)
    };
    vec![
        ("sent", render_page(&sent(localizer), &site)),
        ("sent_withheld", render_page(&withheld, &site)),
        ("sent_wrong", render_page(&refused, &site)),
        ("sent_over", render_page(&over, &site)),
    ]
}

fn link_pages(localizer: &Localizer) -> Vec<(&'static str, Response)> {
    let site = PageOptions::default();
    let page = |mode| render_page(&link(localizer, mode), &site);
    let elsewhere = |flow_href| {
        let page = ElsewherePage {
            localizer,
            reason: ElsewhereReason::OtherBrowser,
            flow_href,
            restart_href: "/login",
        };
        render_page(&page, &site)
    };
    let dead = |reason| {
        let page = DeadLinkPage {
            localizer,
            reason,
            minutes: 10,
            next_href: "/login",
            next_label: &localizer.text("error-start-over"),
        };
        render_page(&page, &site)
    };
    let old = ElsewherePage {
        localizer,
        reason: ElsewhereReason::OldBrowser,
        flow_href: Some("/flow"),
        restart_href: "/login",
    };
    let current = "bea@example.test";
    vec![
        ("dead_link_used", dead(DeadLinkReason::Used)),
        ("dead_link_expired", dead(DeadLinkReason::Expired)),
        ("dead_link_unknown", dead(DeadLinkReason::Unknown)),
        ("elsewhere_old", render_page(&old, &site)),
        ("link_auto", page(LinkMode::Confirm { auto: true })),
        ("link", page(LinkMode::Confirm { auto: false })),
        ("link_switch", page(LinkMode::SwitchUser { current })),
        ("elsewhere", elsewhere(None)),
        ("elsewhere_flow", elsewhere(Some("/flow"))),
    ]
}

fn outcome_pages(localizer: &Localizer) -> Vec<(&'static str, Response)> {
    let site = PageOptions::default();
    let on = ContinuePage {
        localizer,
        href: "/account",
    };
    let signed_in = SignedInPage {
        localizer,
        client: Some("Ballet lessons"),
        client_href: Some("https://lessons.test/"),
    };
    let signed_out = SignedOutPage {
        localizer,
        next_href: None,
        is_everywhere: false,
    };
    let error = ErrorPage {
        localizer,
        status: StatusCode::BAD_REQUEST,
        title: localizer.text("error-request-title"),
        message: localizer.text("error-request"),
        parameter: Some("redirect_uri"),
        next_href: Some("/login"),
        next_label: None,
        again: None,
        reference: Some("7f3a91c2"),
    };
    let away = ErrorPage {
        again: Some(TryAgain::Form {
            action: "/login/email?client=lessons".to_owned(),
            fields: vec![
                ("form_token".to_owned(), "ft-again".to_owned()),
                ("email".to_owned(), "ada@example.test".to_owned()),
            ],
        }),
        ..ErrorPage::with_texts(
            localizer,
            StatusCode::SERVICE_UNAVAILABLE,
            "error-away",
            "7f3a91c2",
        )
    };
    vec![
        ("continue", render_page(&on, &site)),
        ("signed_in", render_page(&signed_in, &site)),
        ("signed_out", render_page(&signed_out, &site)),
        ("error", render_page(&error, &site)),
        ("error_again", render_page(&away, &site)),
    ]
}

pub(super) fn other_pages(localizer: &Localizer) -> Vec<(&'static str, Response)> {
    let site = PageOptions::default();
    let row = |id: &str, device: &str, current| SessionRow {
        id: id.to_owned(),
        device: device.to_owned(),
        current,
        last_seen: localizer.date_time(entity::Time(1_795_446_485_000)),
        created: localizer.date_time(entity::Time(1_795_000_000_000)),
        form_token: "ft3".to_owned(),
    };
    let identities = [IdentityRow {
        id: "0199bb00-0000-7000-8000-000000000001".to_owned(),
        provider: "Example school".to_owned(),
        account: "ada@school.test".to_owned(),
        linked: "23 November 2026, 15:07 UTC".to_owned(),
        used: "23 November 2026, 15:08 UTC".to_owned(),
        form_token: "ft-identity".to_owned(),
    }];
    let account = AccountPage {
        notice: Some(localizer.text("done-session-ended")),
        identities: &identities,
        providers: &buttons(),
        localizer,
        name: Some("Ada Lovelace"),
        email: "ada@example.test",
        roles: &["coach".to_owned(), "student".to_owned()],
        sessions: &[
            row("1", "Firefox, Linux", true),
            row("2", "Safari, iPhone", false),
            row("3", "", false),
        ],
        form_token_sign_out: "ft1",
        form_token_everywhere: "ft2",
    };
    vec![("account", render_page(&account, &site))]
}

/// Returns the pages for developers, which are in English.
pub(super) fn developer_pages(english: &Localizer) -> Vec<(&'static str, Response)> {
    let site = PageOptions::default();
    let row = EmailRow {
        id: "1",
        to: "ada@example.test",
        subject: "Your sign-in",
        received: "now",
    };
    let letter = EmailPage {
        localizer: english,
        to: "ada@example.test",
        from: "Entree <login@example.test>",
        subject: "Your sign-in",
        received: "23 November 2026, 15:08 UTC",
        text: "Open this link:\n\nhttp://127.0.0.1:8080/login/link/s3cret\n\nOr type 1234 5678.",
        html: r#"<p style="color:#8a3560">Open <a href="/login/link/s3cret">this link</a>.</p>"#,
    };
    vec![
        (
            "mailbox",
            render_page(
                &MailboxPage {
                    localizer: english,
                    emails: &[row, row],
                },
                &site,
            ),
        ),
        (
            "mailbox_empty",
            render_page(
                &MailboxPage {
                    localizer: english,
                    emails: &[],
                },
                &site,
            ),
        ),
        ("letter", render_page(&letter, &site)),
    ]
}
