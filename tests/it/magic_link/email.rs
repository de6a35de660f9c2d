//! Section G: the mail itself, and mail that does not get through at first.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::{magic_link_flow, magic_link_token, mail_outbox};
use entree::{
    config::{self, MailTransport, SignUp, SmtpTls},
    mail::transport::Transport,
};
use poem::http::StatusCode;
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

use crate::test_app::{PUBLIC, TestApp};

on_both!(
    g_1_a_flow_and_its_email_are_written_together,
    g_2_nothing_that_is_stored_holds_a_secret,
    g_3_a_deferred_email_is_retried_and_dropped_before_its_link_expires,
    g_3_a_refused_email_is_not_tried_again,
    g_7_a_letter_has_two_parts_one_host_and_the_right_headers,
    g_9_closed_sign_up_says_nothing_or_informs_once_a_day,
);

async fn g_1_a_flow_and_its_email_are_written_together(test_app: TestApp) {
    for n in 0..7 {
        test_app
            .browser()
            .ask(if n < 6 {
                "g1@example.com"
            } else {
                "g1b@example.com"
            })
            .await;
    }
    let flows = magic_link_flow::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap();
    let rows = mail_outbox::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap();
    assert_eq!((flows.len(), rows.len()), (7, 7), "withheld ones too");
    for flow in flows {
        let row = rows
            .iter()
            .find(|row| row.flow_id == Some(flow.id))
            .expect("a mail of each flow");
        // One unit of work has one time.
        assert_eq!(
            (row.created_at, &row.canonical),
            (flow.created_at, &flow.canonical)
        );
    }
}

/// ST-19: flows and outbox hold no secret in clear.
async fn g_2_nothing_that_is_stored_holds_a_secret(test_app: TestApp) {
    let email = "g2@example.com";
    let mut person = test_app.browser();
    person.ask(email).await;
    let mail = test_app.mail(email).await;
    let link = mail.link().rsplit('/').next().unwrap().to_owned();
    let half = test_app.stored().await;
    person.click(&mail.link()).await;
    assert!(person.is_signed_in());
    let whole = test_app.stored().await;
    let mut needles = vec![mail.code().into_bytes()];
    for secret in [&link].into_iter().chain(person.cookies.values()) {
        let raw = URL_SAFE_NO_PAD.decode(secret).unwrap();
        let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        needles.extend([secret.clone().into_bytes(), hex.into_bytes(), raw]);
    }
    let browser_state =
        |stored: &[u8], needle: &[u8]| stored.windows(needle.len()).any(|part| part == needle);
    assert!(
        browser_state(&half, email.as_bytes()),
        "the search finds what is there"
    );
    for stored in [half, whole] {
        for (n, needle) in needles.iter().enumerate() {
            assert!(!browser_state(&stored, needle), "secret {n} is stored");
        }
    }
}

/// Starts an SMTP server that replies `250` to every command, and `refusal` to RCPT while the flag
/// that it returns is set.
async fn server(refusal: &'static str) -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, refuses) = (
        listener.local_addr().unwrap().port(),
        Arc::new(AtomicBool::new(true)),
    );
    let refuses_here = Arc::clone(&refuses);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let refuses_here = Arc::clone(&refuses_here);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let _ = stream.get_mut().write_all(b"220 here\r\n").await;
                let (mut line, mut in_data) = (String::new(), false);
                while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                    let word = line.get(..4).unwrap_or_default().to_ascii_uppercase();
                    let answer = match (in_data, word.as_str()) {
                        (true, _) if line == ".\r\n" => {
                            in_data = false;
                            "250 taken"
                        }
                        (true, _) => "",
                        (_, "RCPT") if refuses_here.load(Ordering::Relaxed) => refusal,
                        (_, "DATA") => {
                            in_data = true;
                            "354 go"
                        }
                        (_, "QUIT") => "221 bye",
                        _ => "250 fine",
                    };
                    if !answer.is_empty()
                        && stream
                            .get_mut()
                            .write_all(format!("{answer}\r\n").as_bytes())
                            .await
                            .is_err()
                    {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    (port, refuses)
}

fn smtp(test_app: &TestApp, port: u16) -> Transport {
    let mail = config::Mail {
        transport: MailTransport::Smtp,
        port,
        tls: SmtpTls::None,
        from: "Entree <login@id.test>".to_owned(),
        timeout_seconds: 5,
        ..config::Mail::default()
    };
    Transport::new(&mail, test_app.app.clock().clone()).unwrap()
}

async fn only_row(test_app: &TestApp) -> mail_outbox::Model {
    let mut rows = mail_outbox::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

async fn g_3_a_deferred_email_is_retried_and_dropped_before_its_link_expires(
    mut test_app: TestApp,
) {
    let (port, _) = server("451 later").await;
    test_app.transport = smtp(&test_app, port);
    let mut person = test_app.browser();
    person.ask("g3@example.com").await;
    let begun = only_row(&test_app).await.created_at;
    let (mut pauses, mut last_try) = (Vec::new(), begun);
    loop {
        last_try = test_app.app.clock().now().max(last_try);
        test_app.send_due_emails().await;
        let row = only_row(&test_app).await;
        if row.state != mail_outbox::State::Queued {
            assert_eq!(row.state, mail_outbox::State::Dropped);
            assert_eq!(row.last_error.as_deref(), Some("451"));
            break;
        }
        let pause = row.due_at.since(test_app.app.clock().now());
        pauses.push(pause.as_secs_f64().round() as u64);
        test_app
            .app
            .clock()
            .advance(pause + std::time::Duration::from_millis(1));
    }
    // Some of a pause has gone by when it is read.
    let fits = |(pause, wanted): (&u64, u64)| (wanted - 4..=wanted).contains(pause);
    let wanted = [5, 15, 45, 120].into_iter().chain(std::iter::repeat(300));
    assert!(
        pauses.iter().zip(wanted).all(fits) && pauses.len() >= 6,
        "{pauses:?}"
    );
    // The flow lives 30 minutes and a link ten: nothing is sent that could not have its full life.
    let waited = last_try.since(begun).as_secs();
    assert!(
        (900..=1200).contains(&waited),
        "the last try {waited} s after the first"
    );
    let live = magic_link_token::Column::RefusedAt.is_null();
    let live = magic_link_token::Entity::find()
        .filter(live)
        .count(test_app.app.db.read())
        .await
        .unwrap();
    assert_eq!(
        live, 0,
        "what certainly was not sent counts not among the live three"
    );
}

async fn g_3_a_refused_email_is_not_tried_again(mut test_app: TestApp) {
    let (port, refuses) = server("550 no such user").await;
    test_app.transport = smtp(&test_app, port);
    test_app.browser().ask("g3b@example.com").await;
    test_app.send_due_emails().await;
    let row = only_row(&test_app).await;
    assert_eq!((row.state, row.attempts), (mail_outbox::State::Dropped, 1));
    refuses.store(false, Ordering::Relaxed);
    test_app.pass(600);
    test_app.send_due_emails().await;
    assert_eq!(only_row(&test_app).await.attempts, 1);
}

async fn g_7_a_letter_has_two_parts_one_host_and_the_right_headers(test_app: TestApp) {
    let email = "g7@example.com";
    test_app.browser().ask(email).await;
    let mail = test_app.mail(email).await;
    assert!(
        !mail.text.is_empty() && mail.html.contains("<html") && mail.size < 30 * 1024,
        "{}",
        mail.size
    );
    assert!(
        mail.links().iter().all(|link| link.starts_with(PUBLIC)),
        "{:?}",
        mail.links()
    );
    for remote in ["src=", "<link", "url(", "@import", "<script", "<iframe"] {
        assert!(!mail.html.contains(remote), "{remote}");
    }
    assert_eq!(mail.header("Auto-Submitted"), Some("auto-generated"));
    assert!(
        mail.header("Message-ID")
            .is_some_and(|id| id.ends_with("@localhost>")),
        "the sender's domain"
    );
    assert_eq!(
        mail.html.matches("/login/link/").count() + mail.text.matches("/login/link/").count(),
        2
    );
}

async fn g_9_closed_sign_up_says_nothing_or_informs_once_a_day(test_app: TestApp) {
    let known = "known@example.com";
    test_app.browser().sign_in(known).await;
    let seen = test_app.mails(known).len();
    test_app.configure(|config| config.magic_link.sign_up = SignUp::Closed);
    test_app.browser().ask("quiet@example.com").await;
    test_app.browser().ask(known).await;
    test_app.send_due_emails().await;
    assert_eq!(
        (
            test_app.mails("quiet@example.com").len(),
            test_app.mails(known).len()
        ),
        (0, seen + 1)
    );

    test_app.configure(|config| config.magic_link.inform_unknown = true);
    let stranger = "stranger@example.com";
    for (hours, expected) in [(0, 1), (1, 1), (22, 1), (2, 2)] {
        test_app.pass(hours * 3600);
        let answer = test_app.browser().try_ask(stranger).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        test_app.send_due_emails().await;
        let mails = test_app.mails(stranger);
        assert_eq!(mails.len(), expected, "after {hours} more hours");
        assert!(
            mails
                .iter()
                .all(|mail| mail.find_code().is_none() && !mail.text.contains("/login/link/"))
        );
    }
}
