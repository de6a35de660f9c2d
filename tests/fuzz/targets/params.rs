//! Forms: what is read is read once, and written it is read as the same again (RFC 6749 §3.1).
#![no_main]

use entree::web::params::Params;
use libfuzzer_sys::fuzz_target;

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

fuzz_target!(|body: &[u8]| {
    let Ok(params) = Params::from_form(body, FORM) else { return };
    let query = params.to_query();
    // Escaping may take it over the bound; else nothing is lost.
    if let Ok(again) = Params::from_form(query.as_bytes(), FORM) {
        assert_eq!(again.to_query(), query);
        for name in ["client_id", "state", "code"] {
            if let Ok(value) = params.one(name) {
                assert_eq!(again.one(name).ok().flatten(), value);
            }
        }
    }
});
