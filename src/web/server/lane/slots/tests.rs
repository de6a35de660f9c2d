//! A lane, request by request: nothing here waits for time to pass.

use std::collections::VecDeque;

use super::*;

fn network(number: usize) -> Network {
    let address = format!("10.{}.{}.1", number / 256, number % 256);
    Network::of(address.parse().unwrap())
}

/// The requests in a lane, by the number of their network.
struct Crowd {
    lane: Arc<Lane>,
    working: VecDeque<(usize, Slot)>,
    waiting: Vec<(usize, Waiting)>,
    refused: Vec<usize>,
}

impl Crowd {
    fn new(slots: usize, of_network: usize) -> Self {
        Self {
            lane: Lane::new(Bounds { slots, of_network }),
            working: VecDeque::new(),
            waiting: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// As if each request held its slot for so long.
    fn takes(self, held: Duration) -> Self {
        self.lane.lock().held = held;
        self
    }

    /// A request arrives. Returns how long it would wait at most, if it waits.
    fn arrive(&mut self, from: usize) -> Option<Duration> {
        let arrival = self.lane.arrive(network(from), None);
        let patience = match arrival {
            Arrival::Slot(slot) => {
                self.working.push_back((from, slot));
                None
            }
            Arrival::Wait(waiting, patience) => {
                self.waiting.push((from, waiting));
                Some(patience)
            }
            Arrival::Refused => {
                self.refused.push(from);
                None
            }
        };
        self.look();
        patience
    }

    /// The request that has been at work for longest ends.
    fn finish(&mut self) {
        let ended = self.working.pop_front();
        drop(ended);
        self.look();
    }

    /// Those that wait look whether they have a slot, or are refused.
    fn look(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for (from, mut one) in waiting {
            match one.slot.try_recv() {
                Ok(slot) => self.working.push_back((from, slot)),
                Err(oneshot::error::TryRecvError::Empty) => self.waiting.push((from, one)),
                Err(oneshot::error::TryRecvError::Closed) => self.refused.push(from),
            }
        }
    }

    fn at_work(&self, from: usize) -> usize {
        let working = self.working.iter();
        working.filter(|(other, _)| *other == from).count()
    }
}

/// SP-4: beside 2,048 requests of one address, another network waits for one request to end.
#[test]
fn sp_4_a_flood_of_one_network_delays_another_by_one_request() {
    let mut crowd = Crowd::new(4, 4);
    for _ in 0..2048 {
        crowd.arrive(1);
    }
    assert_eq!((crowd.at_work(1), crowd.lane.load()), (4, (4, 256)));
    assert_eq!(crowd.refused.len(), 2048 - 4 - 256);
    for quiet in [2, 3] {
        assert_eq!(crowd.arrive(quiet), Some(PATIENT));
    }
    // The loud network has had no turn in the queue yet, so that the first is its own.
    for _ in 0..3 {
        crowd.finish();
    }
    assert_eq!((crowd.at_work(2), crowd.at_work(3)), (1, 1));
    assert!(crowd.refused.iter().all(|from| *from == 1));
}

/// SP-4: one network holds its part of the slots, and what waits for it keeps no one from a free one.
#[test]
fn sp_4_one_network_holds_a_part_of_the_slots() {
    let mut crowd = Crowd::new(8, 2);
    for _ in 0..3 {
        crowd.arrive(1);
    }
    assert_eq!((crowd.at_work(1), crowd.lane.load()), (2, (2, 1)));
    for quiet in 2..9 {
        crowd.arrive(quiet);
    }
    assert_eq!(crowd.lane.load(), (8, 2));
    // A request of the first network ends: its slot goes to the one that has none yet.
    crowd.finish();
    assert_eq!((crowd.at_work(8), crowd.at_work(1)), (0, 2));
    assert_eq!(crowd.lane.load(), (8, 1));
    crowd.finish();
    assert_eq!((crowd.at_work(8), crowd.at_work(1)), (1, 1));
    assert_eq!(crowd.lane.load(), (8, 0));
}

/// SP-4, OA-3: a neighbour behind the same address has the next slot but one, on a connection of its own.
#[test]
fn sp_4_a_loud_connection_keeps_no_neighbour_out() {
    let mut crowd = Crowd::new(1, 1).takes(Duration::from_millis(30));
    for _ in 0..300 {
        crowd.arrive(1);
    }
    assert!(crowd.refused.len() > 200);
    let peer = Some(std::net::SocketAddr::from(([10, 0, 1, 1], 7)));
    let Arrival::Wait(mut neighbour, patience) = crowd.lane.arrive(network(1), peer) else {
        panic!("it neither waits nor works");
    };
    assert_eq!(patience, PATIENT);
    crowd.finish();
    assert!(neighbour.slot.try_recv().is_ok());
}

/// SP-4: where all networks wait with one request each, one that was served a moment ago gives way.
#[test]
fn sp_4_a_queue_full_of_networks_lets_a_newcomer_in() {
    let mut crowd = Crowd::new(1, 1).takes(Duration::from_micros(10));
    for from in 0..=MIN_QUEUE {
        crowd.arrive(from);
    }
    assert_eq!(crowd.lane.load(), (1, MIN_QUEUE));
    for _ in 0..2 {
        crowd.finish();
    }
    let mut crowd = crowd.takes(Duration::from_micros(10));
    for served in [1, 2] {
        crowd.arrive(served);
    }
    assert!(crowd.refused.is_empty());
    crowd.arrive(MIN_QUEUE + 1);
    assert_eq!(crowd.refused, [2]);
}

/// SP-4: in a full queue a newcomer takes the place of the newest of the network that waits most.
#[test]
fn sp_4_a_full_queue_refuses_the_loud_and_not_the_newcomer() {
    let mut crowd = Crowd::new(1, 1).takes(Duration::from_micros(10));
    for _ in 0..257 {
        crowd.arrive(1);
    }
    assert_eq!((crowd.lane.load(), crowd.refused.len()), ((1, 256), 0));
    crowd.arrive(1);
    assert_eq!(crowd.refused, [1]);
    for from in 1_000..1_000 + MIN_QUEUE - MAX_OF_NETWORK {
        crowd.arrive(from);
    }
    let load = (1, MIN_QUEUE);
    assert_eq!((crowd.lane.load(), crowd.refused.len()), (load, 1));
    crowd.arrive(2);
    assert_eq!(
        (crowd.lane.load(), crowd.refused.as_slice()),
        (load, &[1, 1][..])
    );
    // A hundred networks with one request each are no reason to refuse a further one.
    for from in 3..103 {
        crowd.arrive(from);
    }
    assert_eq!(crowd.refused.len(), 102);
    assert!(crowd.refused.iter().all(|from| *from == 1));
}

/// SP-4: a network of which few requests wait is patient; more of them wait half a second, and what
/// would wait for longer is refused at once.
#[test]
fn sp_4_a_queue_is_bounded_in_time() {
    let mut crowd = Crowd::new(2, 2).takes(Duration::from_millis(100));
    assert_eq!((crowd.arrive(1), crowd.arrive(1)), (None, None));
    let waits: Vec<_> = (0..12).map(|_| crowd.arrive(1)).collect();
    let (patient, impatient) = (Some(PATIENT), Some(IMPATIENT));
    assert_eq!(waits[..4], [patient; 4]);
    // The tenth waits for ten of a hundred milliseconds in two slots.
    assert_eq!(waits[4..10], [impatient; 6]);
    assert_eq!((&waits[10..], crowd.refused.len()), (&[None; 2][..], 2));
    // Another network has its turn long before these.
    assert_eq!(crowd.arrive(2), patient);
}

/// SP-4: where each request takes long, even a patient network is refused at once.
#[test]
fn sp_4_a_lane_that_stands_still_refuses_at_once() {
    let mut crowd = Crowd::new(2, 2).takes(Duration::from_secs(2));
    for from in 0..2 {
        crowd.arrive(from);
    }
    for from in 2..7 {
        assert_eq!(crowd.arrive(from), Some(PATIENT));
    }
    assert_eq!(crowd.arrive(7), None);
    assert_eq!(crowd.refused, [7]);
}

#[test]
fn the_time_of_a_request_is_learnt_from_those_that_end() {
    let mut state = Crowd::new(1, 1);
    state.lane.lock().held = Duration::from_secs(2);
    for _ in 0..100 {
        state.arrive(1);
        state.finish();
    }
    assert!(state.lane.lock().held < Duration::from_millis(50));
}

/// A client that is gone leaves the queue, and a slot that comes too late goes to the next.
#[test]
fn sp_4_who_is_gone_holds_neither_a_place_nor_a_slot() {
    let mut crowd = Crowd::new(1, 1);
    crowd.arrive(1);
    let wait = |crowd: &Crowd, from| match crowd.lane.arrive(network(from), None) {
        Arrival::Wait(waiting, _) => waiting,
        Arrival::Slot(_) | Arrival::Refused => panic!("it does not wait"),
    };
    let (gone, late) = (wait(&crowd, 2), wait(&crowd, 3));
    let mut next = wait(&crowd, 4);
    assert_eq!(crowd.lane.load(), (1, 3));
    drop(gone);
    assert_eq!(crowd.lane.load(), (1, 2));
    // The slot was sent, and is dropped with the one that waited for it.
    drop(crowd.working.pop_front());
    drop(late);
    assert_eq!(crowd.lane.load(), (1, 0));
    let slot = next.slot.try_recv();
    assert!(slot.is_ok());
    drop(slot);
    assert_eq!(crowd.lane.load(), (0, 0));
}

/// SP-4: a refusal comes within 100 ms, and not before one that is repeated costs little.
#[tokio::test]
async fn sp_4_a_refusal_takes_a_moment() {
    let crowd = Crowd::new(1, 1).takes(Duration::from_secs(60));
    let _slot = crowd.lane.enter(network(1), None).await.ok();
    let sent = Instant::now();
    assert_eq!(crowd.lane.enter(network(2), None).await.err(), Some(NoSlot));
    assert!(sent.elapsed() >= REFUSED_AFTER);
    assert!(REFUSED_AFTER + LATE < Duration::from_millis(100));
}

/// SP-4: refusals that come late take longer, so that they leave the processors to others.
#[test]
fn sp_4_refusals_slow_down_on_a_busy_machine() {
    let after = |last: Duration, late: usize, in_time: usize| {
        let last = (0..late).fold(last, |last, _| next_refused_after(last, true));
        (0..in_time).fold(last, |last, _| next_refused_after(last, false))
    };
    assert_eq!(after(REFUSED_AFTER, 0, 100), REFUSED_AFTER);
    assert_eq!(after(REFUSED_AFTER, 4, 0), Duration::from_millis(100));
    assert_eq!(after(REFUSED_AFTER, 1_000, 0), REFUSED_AFTER_AT_MOST);
    assert_eq!(after(REFUSED_AFTER_AT_MOST, 0, 10_000), REFUSED_AFTER);
}

/// SP-4: only a loud network waits longer for its refusals.
#[test]
fn sp_4_few_refusals_are_quick_whatever_others_do() {
    let crowd = Crowd::new(1, 1);
    let longer = Duration::from_secs(1);
    crowd.lane.lock().refused_after = longer;
    let mut refused: Vec<_> = (0..=LOUD)
        .map(|_| Refused::new(&crowd.lane, network(1)))
        .collect();
    refused.push(Refused::new(&crowd.lane, network(2)));
    let after = |from| crowd.lane.lock().refused_after(network(from));
    assert_eq!((after(1), after(2)), (longer, REFUSED_AFTER));
    drop(refused.remove(0));
    assert_eq!(after(1), REFUSED_AFTER);
    drop(refused);
    assert!(crowd.lane.lock().refused.is_empty());
}
