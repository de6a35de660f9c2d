use super::*;

fn form(body: &str) -> Params {
    Params::from_form(body.as_bytes(), Some(FORM)).unwrap()
}

fn error_of<T>(result: Result<T, ParamError>) -> ParamError {
    result.err().unwrap()
}

#[test]
fn po_03_a_repeated_parameter_is_refused_whatever_its_values() {
    for body in ["a=1&a=2", "a=1&a=1", "a=&a=1", "a&a", "a=1&%61=2"] {
        assert_eq!(
            error_of(form(body).optional("a")),
            ParamError::Repeated("a"),
            "{body}"
        );
        assert_eq!(
            error_of(form(body).check_all(&["b", "a"])),
            ParamError::Repeated("a"),
            "{body}"
        );
    }
}

#[test]
fn po_03_the_query_is_read_as_raw_pairs() {
    let request = Request::builder()
        .uri_str("/authorize?state=a%20b+c&state=d&scope=openid")
        .finish();
    let params = Params::from_query(&request).unwrap();
    assert_eq!(params.optional("scope").unwrap(), Some("openid"));
    assert_eq!(
        error_of(params.optional("state")),
        ParamError::Repeated("state")
    );
}

#[test]
fn rfc_6749_3_1_a_parameter_without_a_value_is_absent() {
    let params = form("a=&b&c=3");
    assert_eq!(
        (params.optional("a").unwrap(), params.optional("b").unwrap()),
        (None, None)
    );
    assert_eq!(params.optional("c").unwrap(), Some("3"));
    assert_eq!(error_of(params.required("a", 9)), ParamError::Missing("a"));
    assert!(params.contains("a") && !params.contains("d"));
}

#[test]
fn broken_escapes_and_bytes_are_refused_and_not_repaired() {
    for body in [
        "a=%", "a=%4", "a=%zz", "a=%ff", "a=%c3%28", "a=%+1", "a=%-1",
    ] {
        assert_eq!(
            error_of(form(body).optional("a")),
            ParamError::Encoding("a"),
            "{body}"
        );
    }
    let raw = Params::from_form(b"a=\xff", Some(FORM)).unwrap();
    assert_eq!(error_of(raw.optional("a")), ParamError::Encoding("a"));
    assert_eq!(
        form("a=%C3%a9+%2B&x=%").optional("a").unwrap(),
        Some("é +"),
        "a malformed parameter that is not read is ignored"
    );
}

#[test]
fn a_nul_and_an_over_long_value_are_refused() {
    assert_eq!(
        error_of(form("a=x%00y").optional("a")),
        ParamError::Character("a")
    );
    let long = format!("a={}", "x".repeat(DEFAULT_MAX + 1));
    assert_eq!(
        error_of(form(&long).optional("a")),
        ParamError::TooLong {
            name: "a",
            max: DEFAULT_MAX
        }
    );
    assert!(
        form(&long)
            .optional_within("a", DEFAULT_MAX + 1)
            .unwrap()
            .is_some()
    );
}

#[test]
fn rfc_8707_2_resource_may_be_repeated() {
    assert_eq!(form("r=1&r=&r=2").all_values("r", 9).unwrap(), ["1", "2"]);
    assert_eq!(
        error_of(form("r=1&r=%").all_values("r", 9)),
        ParamError::Encoding("r")
    );
}

#[test]
fn px_02_only_a_form_of_at_most_64_kib_is_read() {
    for wrong in [
        None,
        Some("application/json"),
        Some("multipart/form-data; boundary=x"),
        Some("text/plain"),
    ] {
        assert_eq!(
            error_of(Params::from_form(b"a=1", wrong)).status(),
            415,
            "{wrong:?}"
        );
    }
    assert!(
        Params::from_form(
            b"a=1",
            Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8")
        )
        .is_ok()
    );
    assert_eq!(
        error_of(Params::from_form(&vec![b'a'; FORM_BYTES + 1], Some(FORM))).status(),
        413
    );
    assert_eq!(
        error_of(Params::from_form(&b"a&".repeat(MAX_PAIRS + 1), Some(FORM))),
        ParamError::TooMany
    );
}

#[tokio::test]
async fn po_04_a_form_is_read_from_the_body_and_never_from_the_query() {
    let request = Request::builder()
        .uri_str("/?a=query")
        .content_type(FORM)
        .finish();
    assert_eq!(
        Params::read_form(&request, "b=1".into())
            .await
            .unwrap()
            .optional("a")
            .unwrap(),
        None
    );
    let chunks =
        futures_util::stream::iter((0..65).map(|_| Ok::<_, std::io::Error>(vec![b'a'; 1024])));
    let error = error_of(Params::read_form(&request, Body::from_bytes_stream(chunks)).await);
    assert_eq!(
        error,
        ParamError::TooLarge,
        "counted, without a Content-Length"
    );
}
