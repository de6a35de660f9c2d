//! Broken HTTP, smuggling and other hosts.

use super::{
    Case,
    Expected::{Cut, Is, IsOrCut},
    FORM, MIB, PendingSignIn, case,
};

pub(super) fn cases(sign_in: &PendingSignIn) -> Vec<Case> {
    let login = || sign_in.bare("GET", "/login");
    let post = |length: &str| {
        sign_in
            .bare("POST", "/login/email")
            .with("content-type", FORM)
            .with("content-length", length)
    };
    let chunks = |coding: &str, body: &[u8]| {
        sign_in
            .bare("POST", "/login/email")
            .with("content-type", FORM)
            .with("transfer-encoding", coding)
            .raw(body)
    };
    let smuggled = format!("GET /account HTTP/1.1\r\nHost: {}\r\n\r\n", sign_in.host);
    let raw = |name: &str, bytes: &[u8], right| (name.to_owned(), bytes.to_vec(), right);
    let host = &sign_in.host;
    vec![
        raw("no HTTP", b"GARBAGE\r\n\r\n", Is(400)),
        raw("no target", b"GET\r\n\r\n", Is(400)),
        raw("HTTP/0.9", b"GET /login\r\n\r\n", Is(400)),
        raw("no end of HTTP/1.1", b"GET /login HTTP/1.", Cut),
        raw(
            "TLS on a plain port",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03ABCDEFGHIJKLMNOP",
            Cut,
        ),
        raw(
            "HTTP/2 and then garbage",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            Cut,
        ),
        raw("a NUL first", b"\0\0\0\0\r\n\r\n", Is(400)),
        case("HTTP/9.9", &login().line("GET /login HTTP/9.9"), Is(400)),
        case(
            "HTTP/1.0 without host",
            &login().line("GET /login HTTP/1.0").without("host"),
            Is(400),
        ),
        case(
            "a method in lower case",
            &login().line("get /login HTTP/1.1"),
            Is(405),
        ),
        case(
            "an unknown method",
            &login().line("FROBNICATE /login HTTP/1.1"),
            Is(405),
        ),
        case(
            "a method of 2 000 letters",
            &login().line(&format!("{} /login HTTP/1.1", "A".repeat(2000))),
            Is(405),
        ),
        case(
            "a method with a NUL",
            &login().line("G\0T /login HTTP/1.1"),
            Is(400),
        ),
        case("TRACE", &login().line("TRACE /login HTTP/1.1"), Is(405)),
        case(
            "CONNECT",
            &login().line(&format!("CONNECT {host} HTTP/1.1")),
            Is(404),
        ),
        case(
            "CONNECT elsewhere",
            &login().line("CONNECT other.example:443 HTTP/1.1"),
            Is(400),
        ),
        case("OPTIONS *", &login().line("OPTIONS * HTTP/1.1"), Is(404)),
        case(
            "a target without a slash",
            &login().line("GET login HTTP/1.1"),
            Is(400),
        ),
        case(
            "a NUL in the path",
            &login().line("GET /lo\0gin HTTP/1.1"),
            Is(400),
        ),
        case(
            "a blank in the path",
            &login().line("GET /lo gin HTTP/1.1"),
            Is(400),
        ),
        case(
            "a tab in the path",
            &login().line("GET /lo\tgin HTTP/1.1"),
            Is(400),
        ),
        case(
            "bytes beyond UTF-8 in the path",
            &sign_in.bare("GET", b"/login/\xff\xfe"),
            Is(400),
        ),
        case(
            "a control character in a header",
            &login().with("x-a", b"a\x01b"),
            Is(400),
        ),
        case("a NUL in a header", &login().with("x-a", b"a\0b"), Is(400)),
        case(
            "a lone CR in a header",
            &login().with("x-a", b"a\rb"),
            Is(400),
        ),
        case(
            "a header without colon",
            &login().with("x-a\r\nnonsense\r\nx-b", "1"),
            Is(400),
        ),
        case(
            "a blank in a header's name",
            &login().with("x a", "1"),
            Is(400),
        ),
        case(
            "a blank before the colon",
            &login().with("x-a ", "1"),
            Is(400),
        ),
        case(
            "a folded header",
            &login().with("x-a", "1\r\n folded"),
            Is(400),
        ),
        case("a header without name", &login().with("", "1"), Is(400)),
        case(
            "200 headers",
            &(0..200).fold(login(), |request, n| request.with(&format!("x-{n}"), "1")),
            Is(431),
        ),
        case(
            "a header of 20 KiB",
            &login().with("x-a", "a".repeat(20 * 1024)),
            Is(431),
        ),
        case(
            "a header of 1 MiB",
            &login().with("x-a", "a".repeat(MIB)),
            IsOrCut(431),
        ),
        case(
            "a header's name of 70 000 letters",
            &login().with(&"a".repeat(70_000), "1"),
            IsOrCut(431),
        ),
        case(
            "cookies of 20 KiB",
            &login().with("cookie", "a=b; ".repeat(4096)),
            Is(431),
        ),
        case(
            "a cookie of 1 MiB",
            &login().with("cookie", format!("sid={}", "a".repeat(MIB))),
            IsOrCut(431),
        ),
        case(
            "a path of 20 KiB",
            &sign_in.bare("GET", format!("/{}", "a".repeat(20 * 1024))),
            Is(431),
        ),
        case(
            "a path of 1 MiB",
            &sign_in.bare("GET", format!("/{}", "a".repeat(MIB))),
            IsOrCut(431),
        ),
        case(
            "a query of 20 KiB",
            &sign_in.bare(
                "GET",
                format!("/login?login_hint={}", "a".repeat(20 * 1024)),
            ),
            Is(431),
        ),
        case("no host", &login().without("host"), Is(400)),
        case("two hosts", &login().with("host", host), Is(400)),
        case(
            "two different hosts",
            &login().with("host", "other.example"),
            Is(400),
        ),
        case("an empty host", &login().set("host", ""), Is(421)),
        case(
            "another host",
            &login().set("host", "other.example"),
            Is(421),
        ),
        case(
            "our host with another port",
            &login().set("host", "127.0.0.1:1"),
            Is(421),
        ),
        case(
            "a host with a user",
            &login().set("host", format!("a@{host}")),
            Is(421),
        ),
        case(
            "a host with a path",
            &login().set("host", format!("{host}/x")),
            Is(421),
        ),
        case(
            "a host with a final dot",
            &login().set("host", format!("{host}.")),
            Is(421),
        ),
        case(
            "a host list",
            &login().set("host", format!("{host}, other.example")),
            Is(421),
        ),
        case(
            "a host beyond UTF-8",
            &login().set("host", b"\xff\xfe"),
            Is(400),
        ),
        case(
            "an absolute target elsewhere",
            &login().line("GET http://other.example/login HTTP/1.1"),
            Is(400),
        ),
        case(
            "an absolute target elsewhere, and its host",
            &login()
                .line("GET http://other.example/login HTTP/1.1")
                .set("host", "other.example"),
            Is(421),
        ),
        case(
            "an absolute target with a user",
            &login().line(&format!("GET http://a:b@{host}/login HTTP/1.1")),
            Is(400),
        ),
        case(
            "two different lengths",
            &post("0").with("content-length", "5").raw(b"hello"),
            Is(400),
        ),
        case("a list of lengths", &post("5, 6").raw(b"hello"), Is(400)),
        case("a length with a plus", &post("+5").raw(b"hello"), Is(400)),
        case("a negative length", &post("-1"), Is(400)),
        case(
            "a length in hexadecimal",
            &post("0x5").raw(b"hello"),
            Is(400),
        ),
        case(
            "a length beyond 64 bits",
            &post("99999999999999999999999").raw(b"hello"),
            Is(400),
        ),
        case(
            "a length of 2^63",
            &post("9223372036854775808").raw(b"hello"),
            Is(408),
        ),
        case("more length than body", &post("500").raw(b"hello"), Cut),
        // RFC 9112 §6.1: read by its chunks alone, answered as any form without a token, and the connection is closed.
        case(
            "chunked and a length",
            &chunks("chunked", b"0\r\n\r\n").with("content-length", "5"),
            Is(403),
        ),
        case(
            "chunked and a length, with a request behind",
            &chunks("chunked", &[b"0\r\n\r\n", smuggled.as_bytes()].concat())
                .with("content-length", (5 + smuggled.len()).to_string())
                .without("connection"),
            Is(403),
        ),
        case(
            "chunked, then more",
            &chunks("chunked, identity", b"0\r\n\r\n"),
            Is(400),
        ),
        case(
            "an unknown coding",
            &chunks("xchunked", b"0\r\n\r\n"),
            Is(400),
        ),
        case(
            "chunked twice",
            &chunks("chunked", b"0\r\n\r\n").with("transfer-encoding", "identity"),
            Is(400),
        ),
        case(
            "chunked behind a vertical tab",
            &chunks("\u{b}chunked", b"0\r\n\r\n"),
            Is(400),
        ),
        case(
            "chunked in HTTP/1.0",
            &chunks("chunked", b"0\r\n\r\n").line("POST /login/email HTTP/1.0"),
            Is(400),
        ),
        case(
            "a chunk of no number",
            &chunks("chunked", b"zz\r\nhello\r\n0\r\n\r\n"),
            IsOrCut(400),
        ),
        case(
            "a chunk beyond 64 bits",
            &chunks("chunked", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
            IsOrCut(400),
        ),
        case(
            "a negative chunk",
            &chunks("chunked", b"-5\r\nhello\r\n0\r\n\r\n"),
            IsOrCut(400),
        ),
        case(
            "a chunk longer than it says",
            &chunks("chunked", b"2\r\nhello\r\n0\r\n\r\n"),
            IsOrCut(400),
        ),
        case(
            "a chunk that ends early",
            &chunks("chunked", b"500\r\nhello"),
            Cut,
        ),
        case(
            "a chunk's extension of 40 KiB",
            &chunks(
                "chunked",
                format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(40 * 1024)).as_bytes(),
            ),
            IsOrCut(400),
        ),
        case(
            "a request in the body of a GET",
            &sign_in
                .bare("GET", "/no-such-page")
                .with("content-length", smuggled.len().to_string())
                .raw(smuggled.as_bytes()),
            Is(404),
        ),
    ]
}
