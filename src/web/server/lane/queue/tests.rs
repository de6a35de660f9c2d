use super::*;

fn network(text: &str) -> Network {
    Network::of(text.parse().unwrap())
}

/// The network of that number, in a /24 of its own.
fn apart(number: usize) -> Network {
    network(&format!("10.0.{number}.1"))
}

fn fill(queue: &mut FairQueue<String>, network: Network, name: &str, count: usize) {
    for number in 0..count {
        queue.push(network, None, format!("{name}{number}"));
    }
}

fn order(queue: &mut FairQueue<String>, count: usize) -> Vec<String> {
    let take = |_| queue.take(|_| true).map(|(_, item)| item);
    (0..count).filter_map(take).collect()
}

fn is_clean(queue: &FairQueue<String>) -> bool {
    let sums = queue.len == 0 && queue.weight == 0;
    sums && queue.order.is_empty() && queue.by_size.is_empty() && queue.all.is_empty()
}

#[test]
fn sp_4_networks_take_turns_and_each_has_its_oldest_first() {
    let mut queue = FairQueue::default();
    fill(&mut queue, apart(1), "a", 4);
    fill(&mut queue, apart(2), "b", 2);
    fill(&mut queue, apart(3), "c", 1);
    assert_eq!(queue.waiting(apart(1)), 4);
    let expected = ["a0", "b0", "c0", "a1", "b1", "a2", "a3"];
    assert_eq!(order(&mut queue, 9), expected);
    assert!(is_clean(&queue));
}

/// SP-4: whatever one network has in the queue, another one is next but one.
#[test]
fn sp_4_a_newcomer_waits_for_one_turn_of_a_loud_network() {
    let mut queue = FairQueue::default();
    fill(&mut queue, apart(1), "loud", 2048);
    assert_eq!(order(&mut queue, 100).len(), 100);
    fill(&mut queue, apart(2), "quiet", 2);
    assert_eq!(queue.turns_until(apart(3), None), 3);
    let next = order(&mut queue, 4);
    let place = |name: &str| next.iter().position(|item| item == name);
    assert!(
        place("quiet0") <= Some(1) && place("quiet1") <= Some(3),
        "{next:?}"
    );
    assert!(place("quiet1").is_some());
}

/// SP-4: who asks again as soon as a request is served has no more turns than who waits with many.
#[test]
fn sp_4_asking_again_at_once_gives_no_advantage() {
    let mut queue = FairQueue::default();
    fill(&mut queue, apart(1), "many", 100);
    fill(&mut queue, apart(2), "again", 1);
    let mut again = 0;
    for item in 0..60 {
        let (from, _) = queue.take(|_| true).unwrap();
        if from == apart(2) {
            again += 1;
            queue.push(apart(2), None, format!("again{item}"));
        }
    }
    assert!((29..=31).contains(&again), "{again}");
}

/// SP-4: a network that may have no turn, because it holds its part of the slots, saves none up.
#[test]
fn sp_4_a_network_that_was_passed_over_has_one_turn_of_two_again() {
    let mut queue = FairQueue::default();
    fill(&mut queue, apart(1), "held", 20);
    fill(&mut queue, apart(2), "other", 40);
    for _ in 0..20 {
        let _ = queue.take(|network| network != apart(1));
    }
    let next = order(&mut queue, 10);
    let held = next.iter().filter(|item| item.starts_with("held")).count();
    assert!((4..=6).contains(&held), "{next:?}");
}

/// A whole /24 or /48 is worth eight networks, however many of its addresses wait.
#[test]
fn sp_4_a_prefix_counts_like_eight_networks() {
    for prefix in ["10.9.9.", "2001:db8:7:"] {
        let mut queue = FairQueue::default();
        for number in 1..=200 {
            let address = match prefix.contains(':') {
                true => format!("{prefix}{number:x}::1"),
                false => format!("{prefix}{number}"),
            };
            fill(&mut queue, network(&address), "flood", 2);
        }
        for number in 0..4 {
            fill(&mut queue, apart(number), "apart", 50);
        }
        let served = order(&mut queue, 120);
        let flood = served.iter().filter(|item| item.starts_with("flood"));
        let flood = flood.count();
        assert!((78..=82).contains(&flood), "{prefix}: {flood} of 120");
    }
}

#[test]
fn sp_4_a_network_that_may_have_no_turn_is_passed_over() {
    let mut queue = FairQueue::default();
    fill(&mut queue, apart(1), "a", 2);
    fill(&mut queue, apart(2), "b", 1);
    let (from, item) = queue.take(|network| network != apart(1)).unwrap();
    assert_eq!((from, item.as_str()), (apart(2), "b0"));
    assert!(queue.take(|network| network != apart(1)).is_none());
    assert_eq!(order(&mut queue, 2), ["a0", "a1"]);
}

/// SP-4: a full queue drops the newest of the network that waits most, and no one else's.
#[test]
fn sp_4_the_newest_of_the_largest_network_is_dropped() {
    let mut queue = FairQueue::default();
    fill(&mut queue, apart(1), "loud", 5);
    fill(&mut queue, apart(2), "quiet", 2);
    queue.push(apart(3), None, "new".to_owned());
    assert_eq!(queue.drop_one(apart(3)).as_deref(), Some("loud4"));
    assert_eq!(queue.drop_one(apart(2)).as_deref(), Some("loud3"));
    assert_eq!(queue.drop_one(apart(2)).as_deref(), Some("loud2"));
    // Among equals it is the newcomer's.
    assert_eq!(queue.drop_one(apart(2)).as_deref(), Some("quiet1"));
    // A prefix whose networks wait with little each is as large as an eighth of them all.
    for number in 1..=40 {
        fill(&mut queue, network(&format!("10.9.9.{number}")), "many", 1);
    }
    let dropped = queue.drop_one(apart(3)).unwrap();
    assert_eq!(dropped, "many0");
}

#[test]
fn what_no_longer_waits_is_taken_out() {
    let mut queue = FairQueue::default();
    let first = queue.push(apart(1), None, "first".to_owned());
    let second = queue.push(apart(1), None, "second".to_owned());
    assert_eq!(queue.remove(apart(1), first).as_deref(), Some("first"));
    assert_eq!(queue.remove(apart(1), first), None);
    assert_eq!(queue.remove(apart(2), second), None);
    assert_eq!(queue.len(), 1);
    assert_eq!(queue.remove(apart(1), second).as_deref(), Some("second"));
    assert!(is_clean(&queue));
}

#[test]
fn turns_that_no_longer_matter_are_forgotten() {
    let mut queue = FairQueue::default();
    fill(&mut queue, apart(0), "held", 3000);
    for number in 0..2000_u32 {
        let [_, _, a, b] = number.to_be_bytes();
        queue.push(network(&format!("11.{a}.{b}.1")), None, String::new());
        let _ = order(&mut queue, 2);
    }
    assert!(queue.all.len() < 200, "{}", queue.all.len());
}
