//! Forms: what is read is read once, and written it is read as the same again (RFC 6749 §3.1).
#![no_main]

use entree::web::params::Params;
use libfuzzer_sys::fuzz_target;

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

fuzz_target!(|body: &[u8]| {
    let Ok(params) = Params::from_form(body, FORM) else {
        return;
    };
    for name in ["client_id", "state", "code"] {
        let Ok(Some(value)) = params.one(name) else {
            continue;
        };
        let escaped: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let again =
            Params::from_form(format!("{name}={escaped}").as_bytes(), FORM).expect("a form");
        assert_eq!(again.one(name), Ok(Some(value)));
        assert_eq!(again.sole(name), Some(value));
    }
});
