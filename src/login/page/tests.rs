//! Every page in every language. With `ENTREE_GALLERY=DIR` the pages are also written there, for
//! axe and screenshots.
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{collections::BTreeMap, path::PathBuf};

use poem::{
    Response,
    http::{HeaderMap, StatusCode},
};

use self::samples::{all_texts, developer_pages, link, login_pages, other_pages, sent, sign_in};
use super::*;
use crate::web::{
    again::TryAgain,
    locale::Texts,
    page::{PageOptions, render_page},
};

mod samples;

const HOSTILE: &str = r#"<img src=x onerror=alert(1)>"'&"#;

fn body(mut response: Response) -> String {
    futures_util::FutureExt::now_or_never(response.take_body().into_string())
        .unwrap()
        .unwrap()
}

/// Returns the text that a reader sees: no tags, no scripts.
fn visible(html: &str) -> String {
    let html = html.split("<script").next().unwrap();
    html.split('<')
        .filter_map(|piece| piece.split_once('>').map(|(_, text)| text))
        .collect::<Vec<_>>()
        .join("\u{1f}")
}

/// Writes the page, and its headers beside it.
fn write_gallery(name: &str, tag: &str, headers: &HeaderMap, html: &str) {
    if let Some(directory) = std::env::var_os("ENTREE_GALLERY") {
        let file = PathBuf::from(directory).join(format!("{name}.{tag}.html"));
        std::fs::write(&file, html).unwrap();
        let headers: BTreeMap<_, _> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        std::fs::write(
            file.with_extension("html.json"),
            serde_json::to_string(&headers).unwrap(),
        )
        .unwrap();
    }
}

#[test]
fn g8_every_page_exists_in_every_language_and_rtl_is_marked() {
    let (texts, _directory) = all_texts();
    let keys = crate::web::locale::shipped_keys("en");
    for tag in texts.tags() {
        let localizer = texts.localizer(&tag);
        let dir = if &*tag == "ar" { "rtl" } else { "ltr" };
        for (name, response) in login_pages(&localizer)
            .into_iter()
            .chain(other_pages(&localizer))
        {
            assert_eq!(response.headers()["content-language"], &*tag);
            let headers = response.headers().clone();
            let html = body(response);
            write_gallery(name, &tag, &headers, &html);
            assert!(
                html.contains(&format!(r#"<html lang="{tag}" dir="{dir}">"#)),
                "{name} {tag}"
            );
            let seen = visible(&html);
            let bare = keys.iter().find(|key| {
                key.contains('-') && seen.split('\u{1f}').any(|text| text.trim() == **key)
            });
            assert_eq!(bare, None, "{name} {tag} shows a key");
            assert!(
                !seen.contains('{') && !seen.contains("{$"),
                "{name} {tag} shows a placeholder: {seen}"
            );
        }
    }
}

#[test]
fn developer_pages_render() {
    let english = Texts::default().localizer("en");
    for (name, response) in developer_pages(&english) {
        let headers = response.headers().clone();
        let html = body(response);
        write_gallery(name, "en", &headers, &html);
        assert!(!html.contains("<script"), "{name}");
        assert!(!html.contains("<img"), "{name} lets markup through");
    }
}

#[test]
fn er_4_a_page_escapes_its_values_in_text_and_attributes() {
    let localizer = Texts::default().localizer("en");
    let page = SignInPage {
        email: HOSTILE,
        client: Some(HOSTILE),
        txn: Some(HOSTILE),
        signed_in_as: Some(HOSTILE),
        ..sign_in(&localizer)
    };
    let waiting = SentPage {
        email: HOSTILE,
        flow: HOSTILE,
        client: Some(HOSTILE),
        restart_href: HOSTILE,
        ..sent(&localizer)
    };
    let fault = ErrorPage {
        localizer: &localizer,
        status: StatusCode::BAD_REQUEST,
        title: HOSTILE.to_owned(),
        message: HOSTILE.to_owned(),
        parameter: Some(HOSTILE),
        next_href: Some(HOSTILE),
        next_label: Some(HOSTILE.to_owned()),
        again: None,
        reference: Some(HOSTILE),
    };
    let again = ErrorPage {
        again: Some(TryAgain::Form {
            action: HOSTILE.to_owned(),
            fields: vec![(HOSTILE.to_owned(), HOSTILE.to_owned())],
        }),
        ..ErrorPage::with_texts(&localizer, StatusCode::OK, "error-away", HOSTILE)
    };
    let on = ContinuePage {
        localizer: &localizer,
        href: HOSTILE,
    };
    let site = PageOptions::default();
    for html in [
        render_page(&page, &site),
        render_page(&waiting, &site),
        render_page(&fault, &site),
        render_page(&again, &site),
        render_page(&on, &site),
    ]
    .map(body)
    {
        assert!(!html.contains("<img"), "{html}");
        assert!(!html.contains(r#"alert(1)>""#), "{html}");
    }
}

#[test]
fn er_4_the_error_page_names_parameter_and_reference() {
    let localizer = Texts::default().localizer("en");
    let (_, response) = login_pages(&localizer)
        .into_iter()
        .find(|(name, _)| *name == "error")
        .unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let html = body(response);
    assert!(
        html.contains(r#"id="error" role="alert""#)
            && html.contains("redirect_uri")
            && html.contains("7f3a91c2")
    );
}

/// Markup that a page must contain, by the name of the page.
const FORM_PARTS: &[(&str, &str)] = &[
    (
        "sign_in",
        r#"<form id="sign-in" method="post" action="/login/email""#,
    ),
    ("sign_in", r#"name="txn" value="0199""#),
    (
        "sent",
        r#"<form id="code" method="post" action="/login/code""#,
    ),
    (
        "sent",
        r#"<form id="resend" method="post" action="/login/email""#,
    ),
    (
        "sent",
        r#"href="/login/continue?flow=0199aa00-0000-7000-8000-000000000001""#,
    ),
    (
        "link",
        r#"<form id="link" method="post" action="/login/link/s3cret""#,
    ),
    ("link_switch", r#"name="switch" value="1""#),
    (
        "account",
        r#"<form id="sign-out" method="post" action="/account/sign-out""#,
    ),
    (
        "account",
        r#"<form id="sign-out-everywhere" method="post" action="/account/sign-out-everywhere""#,
    ),
    (
        "account",
        r#"<form class="end-session" method="post" action="/account/sessions/2/end""#,
    ),
];

#[test]
fn se_6_forms_are_plain_with_their_ids_paths_and_tokens() {
    let localizer = Texts::default().localizer("en");
    let pages: Vec<_> = login_pages(&localizer)
        .into_iter()
        .chain(other_pages(&localizer))
        .map(|(name, page)| (name, body(page)))
        .collect();
    let html = |name: &str| &pages.iter().find(|(found, _)| *found == name).unwrap().1;
    for (name, part) in FORM_PARTS {
        assert!(
            html(name).contains(part),
            "{name} lacks {part}\n{}",
            html(name)
        );
    }
    for (name, html) in &pages {
        assert_eq!(
            html.matches("<form").count(),
            html.matches(r#"name="form_token""#).count(),
            "{name}"
        );
    }
    assert!(
        !html("account").contains("/account/sessions/1/end"),
        "this session ends by signing out"
    );
}

#[test]
fn c2_only_the_link_page_withholds_the_referrer_of_its_form_and_only_it_and_the_waiting_page_run_a_script()
 {
    let localizer = Texts::default().localizer("en");
    for (name, response) in login_pages(&localizer)
        .into_iter()
        .chain(other_pages(&localizer))
    {
        let headers = response.headers().clone();
        let policy = headers["content-security-policy"].to_str().unwrap();
        let secret_in_url = name.starts_with("link") || name.starts_with("elsewhere");
        let withheld = secret_in_url || name == "continue" || name.starts_with("dead_link");
        let referrer = if withheld {
            "no-referrer"
        } else {
            "same-origin"
        };
        assert_eq!(headers["referrer-policy"], referrer, "{name}");
        let runs = secret_in_url || name.starts_with("sent");
        assert_eq!(
            !runs,
            policy.contains("script-src 'none'"),
            "{name}: {policy}"
        );
        assert_eq!(
            name.starts_with("sent"),
            policy.contains("connect-src 'self'"),
            "{name}: {policy}"
        );
        let html = body(response);
        assert_eq!(html.matches("<script").count(), usize::from(runs), "{name}");
        if runs {
            let nonce = policy
                .split_once("'nonce-")
                .unwrap()
                .1
                .split_once('\'')
                .unwrap()
                .0;
            assert!(
                html.contains(&format!(
                    "<script nonce=\"{}\">",
                    nonce.replace('+', "&#43;")
                )) || html.contains(nonce)
            );
        }
    }
}

#[test]
fn c3_the_link_page_submits_itself_only_in_auto_mode() {
    let localizer = Texts::default().localizer("en");
    let html = |mode| body(render_page(&link(&localizer, mode), PageOptions::default()));
    assert!(html(LinkMode::Confirm { auto: true }).contains(" data-auto>"));
    assert!(!html(LinkMode::Confirm { auto: false }).contains(" data-auto>"));
    assert!(html(LinkMode::Confirm { auto: true }).contains("<button"));
}

#[test]
fn c4_elsewhere_has_nothing_that_consumes() {
    let localizer = Texts::default().localizer("en");
    let html = body(render_page(
        &ElsewherePage {
            localizer: &localizer,
            reason: ElsewhereReason::OtherBrowser,
            flow_href: None,
            restart_href: "/login",
        },
        PageOptions::default(),
    ));
    assert!(
        !html.contains("<form") && !html.contains("<button"),
        "{html}"
    );
    assert!(html.contains(r#"<a id="restart" href="/login">"#), "{html}");
}

#[test]
fn c7_switching_users_asks_and_never_submits_itself() {
    let localizer = Texts::default().localizer("en");
    let html = body(render_page(
        &link(
            &localizer,
            LinkMode::SwitchUser {
                current: "bea@example.test",
            },
        ),
        PageOptions::default(),
    ));
    assert!(html.contains("bea@example.test") && html.contains("a•••@example.test"));
    assert!(!html.contains("data-auto>"), "{html}");
}

#[test]
fn d5_the_code_field_takes_spaces_dashes_and_other_digits() {
    let localizer = Texts::default().localizer("en");
    let html = body(render_page(&sent(&localizer), PageOptions::default()));
    let field = html
        .split("<input")
        .find(|input| input.contains(r#"name="code""#))
        .unwrap();
    let field = field.split_once('>').unwrap().0;
    assert!(
        field.contains(r#"autocomplete="one-time-code""#)
            && field.contains(r#"inputmode="numeric""#),
        "{field}"
    );
    assert!(
        field.contains(r#"type="text""#) && !field.contains("pattern"),
        "{field}"
    );
}

#[test]
fn se_7_cw_03_the_continue_page_is_a_200_with_refresh_and_link() {
    let localizer = Texts::default().localizer("en");
    let href = "https://app.example.test/cb?code=a%2Bb&state=x'y";
    let response = render_page(
        &ContinuePage {
            localizer: &localizer,
            href,
        },
        PageOptions::default(),
    );
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let html = body(response);
    let escaped = "https://app.example.test/cb?code=a%2Bb&#38;state=x&#39;y";
    assert!(
        html.contains(&format!(
            r#"<meta http-equiv="refresh" content="0;url={escaped}">"#
        )),
        "{html}"
    );
    assert!(html.contains(&format!(r#"href="{escaped}""#)), "{html}");
}

#[test]
fn refusals_are_422_and_shown_as_an_alert() {
    let localizer = Texts::default().localizer("en");
    for (name, response) in login_pages(&localizer) {
        let refused = name.ends_with("_refused");
        assert_eq!(
            refused,
            response.status() == StatusCode::UNPROCESSABLE_ENTITY,
            "{name}"
        );
        if refused {
            assert!(
                body(response).contains(r#"id="error" role="alert""#),
                "{name}"
            );
        }
    }
}
