//! Addresses: whatever is typed is refused, or comes to one canonical form that stays itself (LK-05, E4).
#![no_main]

use entree::user::Address;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|typed: &str| {
    for allow_eai in [false, true] {
        let Ok(address) = Address::parse(typed, allow_eai) else {
            continue;
        };
        let canonical = address.canonical();
        assert_eq!(
            Address::parse(canonical, allow_eai)
                .as_ref()
                .map(Address::canonical),
            Ok(canonical)
        );
        assert!(
            canonical.len() <= 254 && canonical.matches('@').count() == 1,
            "{canonical:?}"
        );
        assert!(allow_eai || canonical.is_ascii(), "{canonical:?}");
        assert!(
            !canonical
                .chars()
                .any(|c| c.is_control() || c.is_whitespace() || c.is_ascii_uppercase()),
            "{canonical:?}"
        );
    }
});
