use super::{
    domain::{ACCEPTANCE_COUNTS, HOLDS_SLOT_FOR, MAX_STALLS, OPEN_FOR, STALL_COUNTS},
    state::{LEAST_PATIENCE, LEAST_PATIENCE_STALLING, MAX_DOMAINS, MOST_PATIENCE_CROWDED},
    *,
};

/// Eight slots, and the clock that they read.
struct Slots {
    shares: Shares,
    clock: Clock,
}

impl Slots {
    fn new() -> Self {
        let clock = Clock::default();
        Self {
            shares: Shares::new(8, 8, clock.clone()),
            clock,
        }
    }

    fn end(&self, email: &DueEmail, attempt: &DeliveryAttempt) -> Consequence {
        let took = Duration::from_millis(20);
        self.shares.take(email).record(attempt, took)
    }

    fn prove(&self, domain: &str) -> Consequence {
        self.end(&email(&format!("real@{domain}")), &accepted())
    }

    fn stall(&self, to: &str) {
        self.end(&email(to), &stalled());
    }

    /// Lets so many recipients that a stranger made up stall.
    fn stall_many(&self, domain: &str, count: usize) {
        for n in 0..count {
            self.stall(&format!("made-up{n}@{domain}"));
        }
    }

    /// Takes slots for what is chosen, and returns them with the addresses.
    fn start(&self, due: &[DueEmail]) -> Vec<(String, Slot)> {
        let picked = self.shares.choose(due, 8).picked;
        let started = picked.into_iter();
        started
            .map(|email| (email.canonical.clone(), self.shares.take(&email)))
            .collect()
    }

    /// Returns how many emails of each domain are chosen.
    fn chosen(&self, due: &[DueEmail], free: usize) -> Vec<(String, usize)> {
        let mut counts = BTreeMap::new();
        for email in self.shares.choose(due, free).picked {
            *counts.entry(email.domain).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }
}

fn accepted() -> DeliveryAttempt {
    DeliveryAttempt::new(DeliveryOutcome::Accepted, "250").observing(Observation::RecipientAnswered)
}

fn stalled() -> DeliveryAttempt {
    DeliveryAttempt::new(DeliveryOutcome::Deferred, "timeout")
        .observing(Observation::RecipientStalled)
}

fn relay_failed() -> DeliveryAttempt {
    DeliveryAttempt::relay_failed("timeout")
}

fn email(to: &str) -> DueEmail {
    DueEmail {
        id: crate::secret::public_id(),
        domain: to.rsplit_once('@').unwrap().1.to_owned(),
        canonical: to.to_owned(),
        network: String::new(),
        is_retry: false,
        is_held: false,
        is_known: to.starts_with("known"),
        give_up_at: Time(i64::MAX),
    }
}

/// Emails of strangers to recipients of their own, each domain in turn, as the outbox lists them.
fn due(domains: &[(&str, usize)]) -> Vec<DueEmail> {
    let most = domains.iter().map(|(_, count)| *count).max().unwrap_or(0);
    (0..most)
        .flat_map(|turn| {
            let has_more = move |(_, count): &&(&str, usize)| turn < *count;
            let domains = domains.iter().filter(has_more);
            domains.map(move |(domain, _)| email(&format!("new{turn}@{domain}")))
        })
        .collect()
}

fn counts(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    let owned = |(domain, count): &(&str, usize)| ((*domain).to_owned(), *count);
    expected.iter().map(owned).collect()
}

#[test]
fn oa_07_a_domain_has_a_quarter_of_the_slots_and_a_proven_one_what_others_leave() {
    let slots = Slots::new();
    let flood = due(&[("a.example", 40)]);
    assert_eq!(slots.chosen(&flood, 8), counts(&[("a.example", 2)]));
    slots.prove("a.example");
    assert_eq!(slots.chosen(&flood, 8), counts(&[("a.example", 6)]));
    slots.prove("b.example");
    let both = due(&[("a.example", 40), ("b.example", 2)]);
    let shared = counts(&[("a.example", 2), ("b.example", 2)]);
    assert_eq!(slots.chosen(&both, 4), shared);
}

#[test]
fn oa_07_each_tier_leaves_a_quarter_to_the_next() {
    let slots = Slots::new();
    slots.stall_many("slow.example", 1);
    let names: Vec<String> = (0..40).map(|n| format!("{n:02}.example")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut held = slots.start(&due(&[("slow.example", 9)]));
    assert_eq!(held.len(), 2, "slow");
    held.extend(slots.start(&due(&many)));
    assert_eq!(held.len(), 4, "and new");
    let new = due(&[("another.example", 1)]);
    assert!(slots.shares.choose(&new, 4).is_more_waiting);
    slots.prove("proven.example");
    held.extend(slots.start(&due(&[("proven.example", 9)])));
    assert_eq!(held.len(), 6, "and strangers at a proven domain");
    let known: Vec<_> = (0..9)
        .map(|n| email(&format!("known{n}@proven.example")))
        .collect();
    assert_eq!(slots.chosen(&known, 2), counts(&[("proven.example", 2)]));
    drop(held);
    assert_eq!(slots.chosen(&new, 8), counts(&[("another.example", 1)]));
}

#[test]
fn oa_07_slow_domains_together_have_a_quarter_until_they_accept_an_email() {
    let slots = Slots::new();
    let domains = ["a.example", "b.example", "c.example"];
    for domain in domains {
        slots.stall_many(domain, 1);
    }
    let all = due(&[("a.example", 9), ("b.example", 9), ("c.example", 9)]);
    let a_quarter = counts(&[("a.example", 1), ("b.example", 1)]);
    assert_eq!(slots.chosen(&all, 8), a_quarter);
    slots.prove("a.example");
    assert_eq!(
        slots.chosen(&all, 8),
        counts(&[("a.example", 4), ("b.example", 1), ("c.example", 1)]),
        "an accepted email ends it"
    );
    slots.clock.advance(STALL_COUNTS);
    let of_c = due(&[("c.example", 9)]);
    assert_eq!(
        slots.chosen(&of_c, 8),
        counts(&[("c.example", 2)]),
        "and time does"
    );
}

#[test]
fn oa_07_several_recipients_that_stall_open_the_breaker_and_one_alone_does_not() {
    let slots = Slots::new();
    let waiting = due(&[("slow.example", 3), ("other.example", 1)]);
    for _ in 0..9 {
        slots.stall("one@slow.example");
    }
    assert!(
        slots.shares.choose(&waiting, 8).held.is_empty(),
        "one alone"
    );
    slots.stall_many("slow.example", MAX_STALLS - 1);
    let choice = slots.shares.choose(&waiting, 8);
    let held: Vec<_> = choice.held.values().map(Vec::len).collect();
    assert_eq!((held, choice.picked.len()), (vec![3], 1));
    assert!(!choice.is_more_waiting);
    slots.clock.advance(OPEN_FOR);
    let probe = slots.start(&waiting);
    assert_eq!(probe.len(), 2, "one probes");
    let during = slots.shares.choose(&waiting, 6);
    assert!(
        during.held.is_empty() && !during.picked.iter().any(|one| one.domain == "slow.example")
    );
    drop(probe);
    slots.stall("made-up9@slow.example");
    assert_eq!(slots.shares.choose(&waiting, 8).held.len(), 1, "open again");
    assert_eq!(slots.prove("slow.example"), Consequence::DomainResponds);
    assert_eq!(slots.shares.choose(&waiting, 8).picked.len(), 4, "closed");
}

#[test]
fn oa_07_made_up_recipients_of_a_domain_that_accepts_emails_open_no_breaker() {
    let slots = Slots::new();
    slots.prove("healthy.example");
    slots.stall_many("healthy.example", 40);
    let mixed: Vec<_> = (0..40)
        .map(|n| email(&format!("made-up{n}@healthy.example")))
        .chain([email("known@healthy.example"), email("new@healthy.example")])
        .collect();
    let held = slots.start(&mixed);
    let stalled = held.iter().filter(|(to, _)| to.starts_with("made-up"));
    assert_eq!(stalled.count(), 2, "a quarter for those that stalled");
    for real in ["known@healthy.example", "new@healthy.example"] {
        assert!(held.iter().any(|(to, _)| to == real), "{real}");
    }
    drop(held);
    let fresh = due(&[("healthy.example", 40)]);
    assert_eq!(
        slots.start(&fresh).len(),
        4,
        "half for strangers while it stalls"
    );
    slots.clock.advance(ACCEPTANCE_COUNTS);
    slots.stall("made-up99@healthy.example");
    assert_eq!(
        slots.shares.choose(&fresh, 8).held.len(),
        1,
        "later it does"
    );
}

#[test]
fn oa_07_known_people_pass_an_open_breaker_one_at_a_time() {
    let slots = Slots::new();
    slots.stall_many("unproven.example", 9);
    let known = [
        email("known1@unproven.example"),
        email("known2@unproven.example"),
    ];
    let started = slots.start(&known);
    assert_eq!(started.len(), 1);
    assert!(slots.shares.choose(&known[1..], 7).picked.is_empty());
    let consequence = started[0].1.record(&accepted(), Duration::from_millis(20));
    assert_eq!(consequence, Consequence::DomainResponds);
    drop(started);
    assert_eq!(slots.start(&known).len(), 2);
}

#[test]
fn oa_07_a_first_attempt_at_a_domain_that_stalls_is_short() {
    let slots = Slots::new();
    let fresh = email("new@a.example");
    assert_eq!(
        slots.shares.take(&fresh).patience(),
        None,
        "nothing is usual yet"
    );
    slots.prove("b.example");
    assert_eq!(slots.shares.take(&fresh).patience(), Some(LEAST_PATIENCE));
    slots.stall("made-up@a.example");
    let short = Some(LEAST_PATIENCE_STALLING);
    assert_eq!(slots.shares.take(&fresh).patience(), short);
    let again = email("made-up@a.example");
    assert_eq!(
        slots.shares.take(&again).patience(),
        None,
        "it has all the time now"
    );
    let retry = DueEmail {
        is_retry: true,
        ..fresh
    };
    assert_eq!(slots.shares.take(&retry).patience(), None);
    let usual = email("real@c.example");
    let slot = slots.shares.take(&usual);
    slot.record(&accepted(), Duration::from_secs(2));
    slots.stall("made-up@c.example");
    let patience = slots.shares.take(&email("new@c.example")).patience();
    assert_eq!(
        patience,
        Some(Duration::from_secs(16)),
        "a domain that is slow as a rule"
    );
}

#[test]
fn oa_07_an_attempt_that_lasts_long_shows_that_a_domain_stalls() {
    let slots = Slots::new();
    slots.prove("a.example");
    let _held = slots.start(&due(&[("a.example", 1)]));
    assert!(!slots.shares.is_stalling("a.example"));
    slots.clock.advance(LEAST_PATIENCE);
    assert!(slots.shares.is_stalling("a.example"));
}

/// Emails for known people, one at each of so many domains that have accepted one before.
fn known_at_own_domains(slots: &Slots, from: usize, count: usize) -> Vec<DueEmail> {
    let domains = (from..from + count).map(|n| format!("own{n}.example"));
    let prove = |domain: String| {
        slots.prove(&domain);
        email(&format!("known@{domain}"))
    };
    domains.map(prove).collect()
}

#[test]
fn oa_07_attempts_that_wait_for_the_recipients_server_give_their_slots_back() {
    let slots = Slots::new();
    let first = slots.start(&known_at_own_domains(&slots, 0, 9));
    assert_eq!((first.len(), slots.shares.free()), (8, 0));
    slots.clock.advance(HOLDS_SLOT_FOR);
    assert_eq!(slots.shares.free(), 0, "the mail server has not replied");
    first.iter().for_each(|(_, slot)| slot.note_relay_works());
    assert_eq!(slots.shares.free(), 0, "it has just replied");
    slots.clock.advance(HOLDS_SLOT_FOR);
    assert_eq!(slots.shares.free(), 8);
    let second = slots.start(&known_at_own_domains(&slots, 9, 9));
    assert_eq!((second.len(), slots.shares.free()), (8, 0));
    second.iter().for_each(|(_, slot)| slot.note_relay_works());
    slots.clock.advance(HOLDS_SLOT_FOR);
    assert_eq!(slots.shares.free(), 0, "eight places beside them are taken");
    drop(first);
    assert_eq!(slots.shares.free(), 8);
}

#[test]
fn oa_07_no_email_is_tried_while_another_for_its_recipient_waits_for_the_server() {
    let slots = Slots::new();
    slots.prove("a.example");
    let same = [email("known@a.example"), email("known@a.example")];
    let first = slots.start(&same[..1]);
    first.iter().for_each(|(_, slot)| slot.note_relay_works());
    assert_eq!(slots.shares.choose(&same[1..], 7).picked.len(), 1);
    slots.clock.advance(HOLDS_SLOT_FOR);
    let choice = slots.shares.choose(&same[1..], 7);
    assert!(choice.picked.is_empty() && !choice.is_more_waiting);
    assert!(slots.shares.take_if_free(&same[1]).is_none());
    assert!(
        slots
            .shares
            .take_if_free(&email("other@a.example"))
            .is_some()
    );
    drop(first);
    assert!(slots.shares.take_if_free(&same[1]).is_some());
}

#[test]
fn oa_07_a_known_persons_email_does_not_wait_for_a_strangers_to_the_same_recipient() {
    let slots = Slots::new();
    slots.prove("a.example");
    let strangers = due(&[("a.example", 1)]);
    let mut own = strangers[0].clone();
    own.is_known = true;
    let first = slots.start(&strangers);
    first.iter().for_each(|(_, slot)| slot.note_relay_works());
    slots.clock.advance(HOLDS_SLOT_FOR);
    assert!(slots.shares.take_if_free(&strangers[0]).is_none());
    assert!(slots.shares.take_if_free(&own).is_some());
}

#[test]
fn oa_07_strangers_who_wait_take_no_time_from_known_people() {
    let slots = Slots::new();
    let person = known_at_own_domains(&slots, 0, 1).remove(0);
    let strangers = due(&[("new1.example", 2), ("new2.example", 2)]);
    let waits = slots.start(&strangers);
    waits.iter().for_each(|(_, slot)| slot.note_relay_works());
    slots.clock.advance(HOLDS_SLOT_FOR);
    assert_eq!(waits.len(), 4, "half of the slots");
    let patience = |email| slots.shares.take(email).patience();
    assert_eq!(patience(&person), Some(LEAST_PATIENCE));
    assert_eq!(
        patience(&email("stranger@new3.example")),
        Some(LEAST_PATIENCE_STALLING),
        "another stranger has less"
    );
}

#[test]
fn oa_07_strangers_leave_half_of_the_places_beside_the_slots_and_slow_emails_have_none() {
    let slots = Slots::new();
    slots.prove("proven.example");
    slots.stall("known-slow@slow.example");
    let waiting = |emails: &[DueEmail]| {
        let started = slots.start(emails);
        started.iter().for_each(|(_, slot)| slot.note_relay_works());
        slots.clock.advance(HOLDS_SLOT_FOR);
        started
    };
    let slow = waiting(&[email("known-slow@slow.example")]);
    assert_eq!((slow.len(), slots.shares.free()), (1, 7), "slow");
    let new = due(&[("a.example", 1), ("b.example", 1), ("c.example", 1)]);
    let new = waiting(&new);
    assert_eq!(
        (new.len(), slots.shares.free()),
        (3, 6),
        "new: two places of eight"
    );
    let usual = waiting(&due(&[("proven.example", 9)]));
    assert_eq!(
        (usual.len(), slots.shares.free()),
        (4, 4),
        "usual: two more"
    );
    let known = waiting(&known_at_own_domains(&slots, 0, 4));
    assert_eq!(
        (known.len(), slots.shares.free()),
        (4, 4),
        "known: the other four"
    );
}

#[test]
fn oa_07_first_attempts_have_less_time_while_many_wait() {
    let slots = Slots::new();
    let people = known_at_own_domains(&slots, 0, 5);
    let slow = email("known@slow.example");
    slots
        .shares
        .take(&slow)
        .record(&accepted(), Duration::from_secs(3));
    let waits = slots.start(&people[..4]);
    waits.iter().for_each(|(_, slot)| slot.note_relay_works());
    let patience = |email| slots.shares.take(email).patience();
    assert_eq!(patience(&people[4]), Some(LEAST_PATIENCE));
    assert_eq!(
        patience(&slow),
        Some(Duration::from_secs(24)),
        "usual there"
    );
    slots.clock.advance(HOLDS_SLOT_FOR);
    assert_eq!(patience(&people[4]), Some(LEAST_PATIENCE_STALLING));
    assert_eq!(patience(&slow), Some(MOST_PATIENCE_CROWDED));
    drop(waits);
    assert_eq!(patience(&people[4]), Some(LEAST_PATIENCE));
}

#[test]
fn oa_07_a_mail_server_that_fails_blames_no_domain_and_is_probed() {
    let slots = Slots::new();
    let waiting = due(&[("a.example", 9)]);
    slots.stall_many("a.example", MAX_STALLS);
    assert_eq!(slots.shares.choose(&waiting, 8).held.len(), 1);
    let old = slots.shares.take(&email("old@a.example"));
    for _ in 0..relay::MAX_FAILURES {
        assert_eq!(slots.shares.usable(8), 8);
        slots.end(&waiting[0], &relay_failed());
    }
    let choice = slots.shares.choose(&waiting, 8);
    assert!(
        choice.held.is_empty(),
        "what stalled meanwhile is forgotten"
    );
    assert_eq!(slots.shares.usable(8), 0);
    slots.clock.advance(relay::OPEN_FOR);
    assert_eq!(slots.shares.usable(8), 1);
    let probe = slots.shares.take(&waiting[0]);
    assert_eq!(slots.shares.usable(8), 0, "one probes");
    slots.clock.advance(relay::OPEN_FOR);
    assert_eq!(slots.shares.usable(8), 1, "and another, if the first hangs");
    probe.note_relay_works();
    assert_eq!(slots.shares.usable(8), 8, "as soon as it replies");
    for _ in 0..relay::MAX_FAILURES {
        old.record(&relay_failed(), Duration::from_secs(20));
        old.record(&stalled(), Duration::from_secs(20));
    }
    assert_eq!(slots.shares.usable(8), 8, "an old attempt proves nothing");
    assert!(
        !slots.shares.state().domains["a.example"].has_stalled(old.recipient, slots.clock.now())
    );
}

#[test]
fn oa_07_probes_of_the_mail_server_hold_at_most_half_of_the_slots() {
    let slots = Slots::new();
    let waiting = due(&[("a.example", 9)]);
    for _ in 0..relay::MAX_FAILURES {
        slots.end(&waiting[0], &relay_failed());
    }
    let mut probes = Vec::new();
    for _ in 0..9 {
        slots.clock.advance(relay::OPEN_FOR);
        if slots.shares.usable(8) > 0 {
            probes.push(slots.shares.take(&waiting[0]));
        }
    }
    assert_eq!(probes.len(), 4);
}

#[test]
fn oa_07_what_is_remembered_of_domains_is_bounded_and_proven_ones_are_forgotten_last() {
    let slots = Slots::new();
    slots.prove("proven.example");
    for n in 0..MAX_DOMAINS * 2 {
        drop(slots.shares.take(&email(&format!("a@{n}.example"))));
    }
    assert!(slots.shares.state().domains.len() <= MAX_DOMAINS);
    assert!(slots.shares.state().domains.contains_key("proven.example"));
}
