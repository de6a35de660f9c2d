use super::*;

const KIB: usize = 1024;

fn cost(header: usize) -> RequestCost {
    RequestCost { header, unread: 0 }
}

/// Begins a request of a caller, with a signal that closes its connection.
fn begin(budget: &Arc<RequestBudget>, from: &str, header: usize) -> (RequestSpace, Arc<Notify>) {
    let cut = Arc::new(Notify::new());
    let space = budget.begin(from.parse().unwrap(), cost(header), Arc::clone(&cut));
    (space, cut)
}

fn is_ended(space: &RequestSpace) -> bool {
    let mut held = space.budget.lock();
    held.requests.get_mut(space.id).unwrap().is_ending
}

fn turn(space: &RequestSpace) -> u64 {
    let mut held = space.budget.lock();
    held.requests.get_mut(space.id).unwrap().turn
}

fn sum(budget: &RequestBudget) -> usize {
    let held = budget.lock();
    held.bytes + held.ending
}

/// From many networks, the requests that may go on never hold more than the limit, and those that
/// are to end are the oldest of the network that holds most.
#[tokio::test]
async fn oa_5_beyond_the_budget_the_oldest_of_the_largest_network_end() {
    let limit = 1024 * KIB;
    let budget = RequestBudget::new(limit);
    let (innocent, _) = begin(&budget, "203.0.113.1", KIB);
    let mut attackers = Vec::new();
    for number in 0..300 {
        let from = format!("127.{}.0.1", number % 6);
        attackers.push(begin(&budget, &from, 4 * KIB).0);
        assert!(budget.lock().bytes <= limit);
        // Tasks that are ended drop their requests soon.
        attackers.retain(|space| !is_ended(space));
        assert!(sum(&budget) <= limit);
    }
    assert!(attackers.len() < 100, "{}", attackers.len());
    let turns: Vec<u64> = attackers.iter().map(turn).collect();
    assert!(turns.is_sorted() && turns[0] > 190, "{turns:?}");
    assert!(!is_ended(&innocent));
    innocent.hold_body(60 * KIB).unwrap();
    drop((innocent, attackers));
    assert!(sum(&budget) == 0 && budget.lock().shares.is_none());
    assert!(budget.is_idle());
}

/// Up to half of the budget nothing is counted by network; beyond it, all that began before are.
#[tokio::test]
async fn oa_5_networks_are_counted_while_space_is_scarce() {
    let budget = RequestBudget::new(1024 * KIB);
    let (first, _) = begin(&budget, "127.1.0.1", 300 * KIB);
    assert!(budget.lock().shares.is_none());
    let (other, _) = begin(&budget, "127.2.0.1", 250 * KIB);
    assert!(budget.lock().shares.is_some());
    let (second, _) = begin(&budget, "127.1.0.1", 500 * KIB);
    assert!(is_ended(&first), "it began before its network was counted");
    assert!(!is_ended(&second) && !is_ended(&other));
    drop(first);
    drop(second);
    assert!(budget.lock().shares.is_some(), "a quarter is held");
    drop(other);
    assert!(budget.lock().shares.is_none() && budget.is_idle());
}

#[tokio::test]
async fn oa_5_a_body_that_grows_ends_the_oldest_and_at_last_itself() {
    let budget = RequestBudget::new(128 * KIB);
    let (first, _) = begin(&budget, "127.1.0.1", KIB);
    let (second, _) = begin(&budget, "127.1.0.1", KIB);
    second.hold_body(60 * KIB).unwrap();
    assert!(!is_ended(&first));
    assert_eq!(second.hold_body(120 * KIB), Err(RequestEnded));
    assert!(is_ended(&first) && is_ended(&second));
    first.ended().await;
    second.ended().await;
}

/// A client that reads no response loses its connection: there is no other way to free the memory.
#[tokio::test]
async fn oa_5_a_response_that_is_not_read_closes_its_connection() {
    let budget = RequestBudget::new(128 * KIB);
    let (unread, cut) = begin(&budget, "127.1.0.1", KIB);
    unread.respond(100 * 1024);
    assert!(!is_ended(&unread));
    let (other, cut_of_other) = begin(&budget, "127.2.0.1", 20 * KIB);
    assert!(is_ended(&unread) && !is_ended(&other));
    cut.notified().await;
    let notified = cut_of_other.notified();
    assert!(futures_util::FutureExt::now_or_never(notified).is_none());
}

/// The 503 of a request that was ended is charged in turn, until it is read.
#[tokio::test]
async fn oa_5_a_request_that_was_ended_holds_its_response() {
    let budget = RequestBudget::new(64 * KIB);
    let (first, cut) = begin(&budget, "127.1.0.1", 30 * KIB);
    let (_second, _) = begin(&budget, "127.1.0.1", 30 * KIB);
    assert!(is_ended(&first));
    first.respond(1_000);
    assert!(!is_ended(&first));
    assert_eq!(budget.lock().ending, 0);
    let (_third, _) = begin(&budget, "127.1.0.1", 30 * KIB);
    cut.notified().await;
}

/// While what is ended is not gone, a network that has its part gets no more; a small one does,
/// until the budget is held twice.
#[tokio::test]
async fn oa_5_memory_that_is_not_yet_free_is_not_given_away() {
    let limit = 64 * 1024 * KIB;
    let budget = RequestBudget::new(limit);
    let flood = |count: usize| -> Vec<_> {
        let from = |number: usize| format!("127.{}.0.1", number % 4);
        let all = 0..count;
        all.map(|number| begin(&budget, &from(number), 3 * 1024 * KIB).0)
            .collect()
    };
    let held = flood(60);
    assert!(held.iter().any(|space| space.is_refused));
    assert!(sum(&budget) < limit / 2 * 3, "{}", sum(&budget));
    let (innocent, _) = begin(&budget, "203.0.113.1", KIB);
    assert!(!innocent.is_refused && innocent.hold_body(2 * KIB).is_ok());
    drop(held);
    assert!(flood(4).iter().all(|space| !space.is_refused));
}
