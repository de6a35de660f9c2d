//! The judges against services with the very faults that they are there for, and against right ones.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    EXCHANGES, WIDTH,
    judge::{
        Family, Replay, Round, Visits, late_replay_revokes, one_code, one_passes, one_winner,
        same_successor,
    },
    race,
};

/// What a database does meanwhile. It is long enough for others to begin, also on a busy machine.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// One secret that makes one session; `guarded`: taken by one step, else read and then written.
async fn single_use(guarded: bool) -> Round {
    let (used, sessions) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let raced = race(WIDTH, |_| {
        let (used, sessions) = (Arc::clone(&used), Arc::clone(&sessions));
        async move {
            let free = if guarded {
                !used.swap(true, Ordering::SeqCst)
            } else {
                !used.load(Ordering::SeqCst)
            };
            pause().await;
            if !free {
                return 400;
            }
            used.store(true, Ordering::SeqCst);
            sessions.fetch_add(1, Ordering::SeqCst);
            200
        }
    })
    .await;
    Round::of(raced.results, sessions.load(Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_use_is_seen() {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        good.push(single_use(true).await);
        bad.push(single_use(false).await);
    }
    assert_eq!(one_winner(&good, WIDTH), Ok(()));
    assert!(one_winner(&bad, WIDTH).is_err(), "{bad:?}");
    let round = |answers: &[(u16, usize)], kept| Round {
        answers: answers.iter().copied().collect(),
        kept,
    };
    for (wrong, why) in [
        (round(&[(200, 2), (400, 62)], 1), "two successes"),
        (round(&[(200, 1), (400, 63)], 2), "two sessions"),
        (round(&[(200, 1), (400, 63)], 0), "a session that was lost"),
        (round(&[(400, 64)], 0), "no success"),
        (round(&[(200, 1), (400, 62), (500, 1)], 1), "a fault"),
        (round(&[(200, 1), (400, 62), (503, 1)], 1), "an outage"),
        (
            round(&[(400, 63), (503, 1)], 1),
            "a winner who does not know",
        ),
        (
            round(&[(200, 1), (400, 62)], 1),
            "an answer that never came",
        ),
    ] {
        let good = round(&[(200, 1), (400, 63)], 1);
        assert_eq!(one_winner(std::slice::from_ref(&good), WIDTH), Ok(()));
        // Among many, too: there is no share that may be wrong.
        let mut journal = vec![good; 200];
        journal.push(wrong);
        assert!(one_winner(&journal, WIDTH).is_err(), "{why}");
    }
    assert!(one_winner(&[], WIDTH).is_err(), "nothing proves nothing");
}

#[test]
fn a_late_replay_that_revokes_nothing_is_seen() {
    let right = Replay {
        ended_by_race: false,
        before: 200,
        replay: 400,
        ended: true,
        after: 400,
    };
    assert_eq!(late_replay_revokes(std::slice::from_ref(&right)), Ok(()));
    for (wrong, why) in [
        (
            Replay {
                ended_by_race: true,
                ..right.clone()
            },
            "a loser revoked",
        ),
        (
            Replay {
                before: 400,
                ..right.clone()
            },
            "the winner's tokens were dead",
        ),
        (
            Replay {
                replay: 200,
                ..right.clone()
            },
            "a code worked twice",
        ),
        (
            Replay {
                ended: false,
                ..right.clone()
            },
            "the replay revoked nothing",
        ),
        (
            Replay {
                after: 200,
                ..right.clone()
            },
            "the refresh token outlived the replay",
        ),
    ] {
        assert!(
            late_replay_revokes(&[right.clone(), wrong]).is_err(),
            "{why}"
        );
    }
    assert!(late_replay_revokes(&[]).is_err(), "nothing proves nothing");
}

/// A token service with one family of tokens `0, 1, 2…`, and faults to choose from.
#[derive(Clone, Copy, Default)]
struct Faults {
    /// Rotates what it read before the pause.
    unlocked: bool,
    /// Refuses who repeats a token within its minute.
    no_grace: bool,
    /// Takes a token that was used up long ago.
    forgives: bool,
    /// Refuses it, and lets the family live.
    lenient: bool,
}

#[derive(Default)]
struct Toy {
    made: AtomicUsize,
    /// The current token, the one before it, whether the family has ended.
    state: Mutex<(usize, Option<usize>, bool)>,
    faults: Faults,
}

impl Toy {
    async fn refresh(&self, token: usize) -> (u16, Option<String>) {
        let seen = *self.state.lock().unwrap();
        pause().await;
        let mut state = self.state.lock().unwrap();
        let (current, previous, ended) = if self.faults.unlocked { seen } else { *state };
        if ended {
            return (400, None);
        }
        if token == current {
            let next = self.made.fetch_add(1, Ordering::SeqCst) + 1;
            *state = (next, Some(token), false);
            return (200, Some(next.to_string()));
        }
        if previous == Some(token) && !self.faults.no_grace || self.faults.forgives {
            return (200, Some(current.to_string()));
        }
        state.2 = !self.faults.lenient && !self.faults.no_grace;
        (400, None)
    }

    async fn family(faults: Faults) -> Family {
        let toy = Arc::new(Self {
            faults,
            ..Self::default()
        });
        let (mut races, mut token) = (Vec::new(), 0);
        for _ in 0..2 {
            let raced = race(EXCHANGES, |_| {
                let toy = Arc::clone(&toy);
                async move { toy.refresh(token).await }
            })
            .await;
            token = raced
                .results
                .iter()
                .find_map(|(_, next)| next.as_ref()?.parse().ok())
                .unwrap_or_default();
            races.push(raced.results);
        }
        let (reuse, newest) = (toy.refresh(0).await.0, toy.refresh(token).await.0);
        let ended = toy.state.lock().unwrap().2;
        Family {
            races,
            reuse,
            newest,
            ended,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_family_that_forks_or_survives_is_seen() {
    let right = Toy::family(Faults::default()).await;
    assert_eq!(
        same_successor(std::slice::from_ref(&right), EXCHANGES),
        Ok(())
    );
    for (faults, why) in [
        (
            Faults {
                unlocked: true,
                ..Faults::default()
            },
            "two successors",
        ),
        (
            Faults {
                no_grace: true,
                ..Faults::default()
            },
            "no grace",
        ),
        (
            Faults {
                forgives: true,
                ..Faults::default()
            },
            "an old token works",
        ),
        (
            Faults {
                lenient: true,
                ..Faults::default()
            },
            "the family lives on",
        ),
    ] {
        let wrong = Toy::family(faults).await;
        assert!(
            same_successor(&[right.clone(), wrong], EXCHANGES).is_err(),
            "{why}"
        );
    }
    let cut = |change: fn(&mut Family)| {
        let mut family = right.clone();
        change(&mut family);
        same_successor(&[family], EXCHANGES)
    };
    assert!(
        cut(|family| drop(family.races[0].pop())).is_err(),
        "an answer that never came"
    );
    assert!(
        cut(|family| family.races[0][7] = (503, None)).is_err(),
        "an outage"
    );
    assert!(
        cut(|family| family.races[1] = family.races[0].clone()).is_err(),
        "no rotation"
    );
    assert!(cut(|family| family.races.clear()).is_err(), "no race");
    assert!(
        cut(|family| family.ended = false).is_err(),
        "refused, and alive in the database"
    );
    assert!(
        same_successor(&[], EXCHANGES).is_err(),
        "nothing proves nothing"
    );
}

/// A service that answers a push once: `guarded` by one step, else it reads and then writes.
async fn answer_push(guarded: bool, number: usize) -> Visits {
    let first = Arc::new(Mutex::new(None::<String>));
    let raced = race(EXCHANGES, |at| {
        let first = Arc::clone(&first);
        async move {
            let own = format!("code {number} {at}");
            let code = if guarded {
                first.lock().unwrap().get_or_insert(own).clone()
            } else {
                let seen = first.lock().unwrap().clone();
                pause().await;
                let code = seen.unwrap_or(own);
                *first.lock().unwrap() = Some(code.clone());
                code
            };
            (303, Some(code))
        }
    })
    .await;
    raced.results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_code_for_one_push_is_seen() {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for number in 0..10 {
        good.push(answer_push(true, number).await);
        bad.push(answer_push(false, number).await);
    }
    assert_eq!(one_code(&good, EXCHANGES, EXCHANGES), Ok(()));
    assert!(one_code(&bad, EXCHANGES, EXCHANGES).is_err(), "{bad:?}");
    let page = (400, None);
    let answer = (303, Some("code".to_owned()));
    let browsers = |first: &[(u16, Option<String>)]| {
        let mut visits = vec![page.clone(); EXCHANGES - first.len()];
        visits.extend_from_slice(first);
        one_code(&[visits], 1, EXCHANGES)
    };
    assert_eq!(browsers(std::slice::from_ref(&answer)), Ok(()));
    for (wrong, why) in [
        (vec![], "no answer"),
        (
            vec![answer.clone(), answer.clone()],
            "the code in another browser",
        ),
        (
            vec![answer.clone(), (303, Some("second".to_owned()))],
            "two codes",
        ),
        (vec![answer.clone(), (303, None)], "the sign-in page"),
        (vec![answer.clone(), (503, None)], "an outage"),
    ] {
        assert!(browsers(&wrong).is_err(), "{why}");
    }
    let again = [good[0].clone(), good[0].clone()];
    assert!(
        one_code(&again, EXCHANGES, EXCHANGES).is_err(),
        "the code of another push"
    );
    assert!(
        one_code(&[], 1, EXCHANGES).is_err(),
        "nothing proves nothing"
    );
}

/// A store that takes a proof once: `guarded` by one step, else it reads and then writes.
async fn show_proof(guarded: bool) -> Vec<(u16, String)> {
    let shown = Arc::new(AtomicBool::new(false));
    let raced = race(EXCHANGES, |_| {
        let shown = Arc::clone(&shown);
        async move {
            let is_new = if guarded {
                !shown.swap(true, Ordering::SeqCst)
            } else {
                let is_new = !shown.load(Ordering::SeqCst);
                pause().await;
                shown.store(true, Ordering::SeqCst);
                is_new
            };
            if is_new {
                (200, String::new())
            } else {
                (400, "invalid_dpop_proof".to_owned())
            }
        }
    })
    .await;
    raced.results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_that_passes_twice_is_seen() {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        good.push(show_proof(true).await);
        bad.push(show_proof(false).await);
    }
    assert_eq!(one_passes(&good, EXCHANGES), Ok(()));
    assert!(one_passes(&bad, EXCHANGES).is_err(), "{bad:?}");
    let refused = (400, "invalid_dpop_proof".to_owned());
    let with = |first: &[(u16, String)]| {
        let mut uses = vec![refused.clone(); EXCHANGES - first.len()];
        uses.extend_from_slice(first);
        one_passes(&[uses], EXCHANGES)
    };
    let passed = (200, String::new());
    assert_eq!(with(std::slice::from_ref(&passed)), Ok(()));
    for (wrong, why) in [
        (vec![], "none passes"),
        (vec![passed.clone(), passed.clone()], "two pass"),
        (vec![passed.clone(), (503, String::new())], "an outage"),
        (
            vec![passed.clone(), (400, "use_dpop_nonce".to_owned())],
            "another error",
        ),
    ] {
        assert!(with(&wrong).is_err(), "{why}");
    }
    assert!(
        one_passes(&[], EXCHANGES).is_err(),
        "nothing proves nothing"
    );
}
