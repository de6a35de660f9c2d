//! The judge against bad measurements, one fault each.

use std::time::Duration;

use crate::judge::{Bounds, Left, Measured, Outcome, judge, p95, signed_in, within};

fn signed(way: &'static str, seconds: u64) -> Outcome {
    Outcome {
        way,
        took: Duration::from_secs(seconds),
        result: Ok(()),
    }
}

fn right() -> (Measured, Bounds) {
    let ways = ["known device", "new device", "app", "at a client"];
    let measured = Measured {
        attack: "planted".to_owned(),
        back_end: "none",
        networks: 10,
        requests: 200,
        innocents: ways.iter().map(|way| signed(way, 1)).collect(),
        peak_mib: 100,
        left: Left {
            count: 10,
            of: "rows",
        },
        faults: Vec::new(),
    };
    let bounds = Bounds {
        networks: 10,
        requests: 200,
        ways: ways.to_vec(),
        peak_mib: 128,
        left: 20,
    };
    (measured, bounds)
}

/// OA-15: the judge fails on each single fault.
#[test]
fn oa_15_the_judge_sees_each_fault() {
    let (measured, bounds) = right();
    assert_eq!(judge(&measured, &bounds), Ok(()));
    type Plant = fn(&mut Measured);
    let faults: [(&str, Plant); 9] = [
        ("an innocent was kept out", |m| {
            m.innocents[2].result = Err("no email".to_owned());
        }),
        ("an innocent was late", |m| {
            m.innocents[0].took = within() + Duration::from_secs(1);
        }),
        ("one way was not tried", |m| {
            m.innocents.remove(1);
        }),
        ("there was no innocent", |m| m.innocents.clear()),
        ("memory was taken", |m| m.peak_mib = 129),
        ("rows were left", |m| m.left.count = 21),
        ("a fault was logged", |m| m.faults.push("ERROR".to_owned())),
        ("the attack was small", |m| m.requests = 199),
        ("the attack had few networks", |m| m.networks = 9),
    ];
    for (what, plant) in faults {
        let mut bad = measured.clone();
        plant(&mut bad);
        assert!(judge(&bad, &bounds).is_err(), "{what}");
        // Among many, too: no share of the innocents may be kept out.
        let mut among = bad.clone();
        let many = (0..100).map(|_| signed("known device", 1));
        if what == "an innocent was kept out" {
            among.innocents.extend(many);
            assert!(judge(&among, &bounds).is_err(), "{what}, among a hundred");
        }
    }
}

#[test]
fn the_figures_are_those_of_the_innocents_who_were_signed_in() {
    let mut all: Vec<Outcome> = (1..=20).map(|seconds| signed("app", seconds)).collect();
    assert_eq!((p95(&all), signed_in(&all)), (Duration::from_secs(19), 20));
    all[19].result = Err("no email".to_owned());
    assert_eq!((p95(&all), signed_in(&all)), (Duration::from_secs(19), 19));
    assert_eq!(p95(&[]), Duration::ZERO);
}
