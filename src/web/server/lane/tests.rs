use super::*;

#[test]
fn the_slots_follow_from_the_machine_unless_they_are_set() {
    assert_eq!(email_slots(1, 16), 1);
    assert_eq!(email_slots(2, 16), 1);
    assert_eq!(email_slots(4, 16), 2);
    assert_eq!(email_slots(64, 64), 8);
    assert_eq!(email_slots(64, 1), 1);
    let mut startup = Startup::default();
    startup.server.email_slots = 7;
    startup.database.max_connections = 40;
    let slots = LaneSlots::of(&startup);
    assert_eq!((slots.email, slots.provider, slots.quick), (7, 256, 80));
}

#[test]
fn a_client_tries_again_after_one_or_two_seconds() {
    let all: std::collections::BTreeSet<_> = ('0'..='9')
        .map(|last| retry_after(&format!("abc{last}")))
        .map(|value| value.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(Vec::from_iter(all), ["1", "2"]);
}
