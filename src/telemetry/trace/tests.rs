#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]
use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
};

use super::*;

/// Takes OTLP over HTTP and gives the path and body of each request.
fn sink() -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (out, taken) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let out = out.clone();
            std::thread::spawn(move || serve(stream, &out));
        }
    });
    (address, taken)
}

fn serve(mut stream: std::net::TcpStream, out: &mpsc::Sender<(String, Vec<u8>)>) {
    let mut bytes = Vec::new();
    let mut more = [0; 4096];
    loop {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            match stream.read(&mut more) {
                Ok(0) | Err(_) => return,
                Ok(count) => bytes.extend_from_slice(&more[..count]),
            }
            continue;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse()
                .ok()
        });
        let whole = end + 4 + length.unwrap_or(0);
        while bytes.len() < whole {
            match stream.read(&mut more) {
                Ok(0) | Err(_) => return,
                Ok(count) => bytes.extend_from_slice(&more[..count]),
            }
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let _ = out.send((path, bytes[end + 4..whole].to_vec()));
        bytes.drain(..whole);
        let _ = stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
        );
    }
}

fn browser_state(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// One test, since a process pushes to one place.
#[test]
fn spans_arrive_hang_together_and_follow_the_caller() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (address, taken) = sink();
    start(&address, 1000).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (trace, sent) = runtime.block_on(async {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", THEIRS.parse().unwrap());
        let span = Span::of_request(Some(&headers));
        let sent = span
            .around(async {
                statement(
                    "sqlite",
                    "SELECT",
                    "SELECT \"id\" FROM \"users\" WHERE \"id\" = ?",
                    Duration::ZERO,
                    false,
                );
                let call = Span::of_call("ticket claim");
                call.end(|| None, Vec::new, true);
                let mut out = HeaderMap::new();
                inject(&mut out);
                out.get("traceparent").unwrap().to_str().unwrap().to_owned()
            })
            .await;
        let trace = span.trace_id();
        span.end(
            || Some("POST /login/email".to_owned()),
            || vec![Tag::Route("/login/email".into())],
            false,
        );
        (trace, sent)
    });
    // Outside any span nothing is made: jobs that look for work leave no trace.
    statement(
        "sqlite",
        "DELETE",
        "DELETE FROM \"mail_outbox\"",
        Duration::ZERO,
        false,
    );
    let alone = Span::of_request(None);
    assert_ne!(alone.trace_id(), trace);
    drop(alone);
    assert_eq!(
        trace.as_deref(),
        Some(&THEIRS[3..35]),
        "the caller's trace goes on"
    );
    assert!(
        sent.starts_with(&THEIRS[..36]) && sent != THEIRS,
        "our span is the parent of what we call: {sent}"
    );
    stop();
    let mut spans = Vec::new();
    while let Ok((path, body)) = taken.try_recv() {
        match path.as_str() {
            "/v1/traces" => spans.extend(body),
            // Pushed only if nothing was counted before, by another test of this process.
            "/v1/metrics" => {}
            path => panic!("{path}"),
        }
    }
    for name in [
        "POST /login/email",
        "SELECT users",
        "ticket claim",
        "http.route",
        "db.system.name",
        "entree",
    ] {
        assert!(
            browser_state(&spans, name),
            "{name} in {}",
            String::from_utf8_lossy(&spans)
        );
    }
    assert!(!browser_state(&spans, "DELETE") && !browser_state(&spans, "WHERE"));
}

#[test]
fn of_a_statement_only_operation_and_tables_are_expected() {
    for (sql, expected) in [
        (
            "SELECT \"users\".\"id\" FROM \"users\" WHERE \"x\" = 'a@b.example'",
            ("SELECT", "users"),
        ),
        (
            "insert into mail_outbox(id) values (1)",
            ("INSERT", "mail_outbox"),
        ),
        (
            "UPDATE \"sessions\" SET \"a\" = 'FROM x'",
            ("UPDATE", "sessions"),
        ),
        ("SELECT pg_advisory_xact_lock(7)", ("SELECT", "")),
        ("DELETE FROM 'a@b.example'", ("DELETE", "")),
        (
            "INSERT INTO \"users\" (\"id\") VALUES (?); INSERT INTO \"mail_outbox\" (\"id\") VALUES (?)",
            ("INSERT", "users, mail_outbox"),
        ),
        (
            "WITH \"write_0\" AS (INSERT INTO \"users\" (\"id\") VALUES ($1)) UPDATE \"users\" SET \"a\" = $2",
            ("WITH", "users"),
        ),
        ("PRAGMA x", ("OTHER", "")),
        ("", ("OTHER", "")),
    ] {
        let tables = tables(sql).join(", ");
        assert_eq!((operation(sql), tables.as_str()), expected, "{sql}");
    }
}
