//! What each race must have come to. The judges know nothing of the service: `planted` shows that they see its faults.

use std::collections::{BTreeMap, BTreeSet};

/// What came of one secret that may be used once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    /// How often each status was answered.
    pub(crate) answers: BTreeMap<u16, usize>,
    /// What the database holds of it afterwards: sessions, or grants.
    pub(crate) kept: usize,
}

impl Round {
    pub(crate) fn of(statuses: impl IntoIterator<Item = u16>, kept: usize) -> Self {
        let mut answers = BTreeMap::new();
        for status in statuses {
            *answers.entry(status).or_default() += 1;
        }
        Self { answers, kept }
    }
}

/// Of `width` uses one succeeds, all others are refused with 400, and one row is there.
pub(crate) fn one_winner(rounds: &[Round], width: usize) -> Result<(), String> {
    let count = |round: &Round, status| round.answers.get(&status).copied().unwrap_or_default();
    let right = |round: &Round| {
        let all = round.answers.values().sum::<usize>() == width;
        round.kept == 1 && count(round, 200) == 1 && count(round, 400) == width - 1 && all
    };
    let wrong: Vec<String> = (0..)
        .zip(rounds)
        .filter(|(_, round)| !right(round))
        .map(|(number, round): (usize, _)| {
            format!(
                "round {number}: answers {:?}, {} kept",
                round.answers, round.kept
            )
        })
        .collect();
    verdict(rounds.len(), wrong)
}

/// What became of a grant after its code was raced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replay {
    /// Whether the grant had ended before the replay: a loser of the race ended it.
    pub(crate) ended_by_race: bool,
    /// What the winner's refresh token gave before the replay.
    pub(crate) before: u16,
    /// What the replay gave, over ten seconds later.
    pub(crate) replay: u16,
    /// Whether the grant has ended.
    pub(crate) ended: bool,
    /// What the refresh token gives now.
    pub(crate) after: u16,
}

/// A race revokes nothing; a replay over ten seconds later ends what the code gave (TK-6).
pub(crate) fn late_replay_revokes(replays: &[Replay]) -> Result<(), String> {
    let right = Replay {
        ended_by_race: false,
        before: 200,
        replay: 400,
        ended: true,
        after: 400,
    };
    let wrong = replays
        .iter()
        .filter(|replay| **replay != right)
        .map(|replay| format!("{replay:?}"))
        .collect();
    verdict(replays.len(), wrong)
}

/// What came of one refresh token that was used many times at once, twice over, and then once more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Family {
    /// Status and successor of each use, for each of the tokens raced.
    pub(crate) races: Vec<Vec<(u16, Option<String>)>>,
    /// What the first token gave when its successor had been used.
    pub(crate) reuse: u16,
    /// What the newest token gave then.
    pub(crate) newest: u16,
    /// Whether the family has ended.
    pub(crate) ended: bool,
}

/// Every use of a token within its minute gives the same successor, another one for each token (RF-6, RF-8); one that
/// comes back later ends the family.
pub(crate) fn same_successor(families: &[Family], width: usize) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (number, family) in families.iter().enumerate() {
        let mut seen = BTreeSet::new();
        for (at, race) in family.races.iter().enumerate() {
            let statuses = Round::of(race.iter().map(|(status, _)| *status), 0).answers;
            let successors: BTreeSet<&String> = race
                .iter()
                .filter_map(|(_, token)| token.as_ref())
                .collect();
            let all = race.len() == width
                && race
                    .iter()
                    .all(|(status, token)| *status == 200 && token.is_some());
            if !all || successors.len() != 1 {
                wrong.push(format!(
                    "family {number}, token {at}: {statuses:?}, {} successors",
                    successors.len()
                ));
            }
            if !successors.iter().all(|token| seen.insert((*token).clone())) {
                wrong.push(format!(
                    "family {number}, token {at}: a successor came twice"
                ));
            }
        }
        if family.races.is_empty()
            || (family.reuse, family.newest, family.ended) != (400, 400, true)
        {
            let Family {
                reuse,
                newest,
                ended,
                ..
            } = family;
            wrong.push(format!(
                "family {number}: reuse {reuse}, then the newest {newest}, ended: {ended}"
            ));
        }
    }
    verdict(families.len(), wrong)
}

/// Status and code of each visit of one push.
pub(crate) type Visits = Vec<(u16, Option<String>)>;

/// Of `width` visits of one push `answered` get a code, all the same one and one of their own push;
/// all others get the page, which is a 400 (PU-6).
pub(crate) fn one_code(pushes: &[Visits], answered: usize, width: usize) -> Result<(), String> {
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for (number, visits) in pushes.iter().enumerate() {
        let statuses = Round::of(visits.iter().map(|(status, _)| *status), 0).answers;
        let with_code = visits
            .iter()
            .filter(|(status, code)| *status == 303 && code.is_some());
        let refused = visits
            .iter()
            .filter(|(status, code)| *status == 400 && code.is_none());
        let counts = (with_code.count(), refused.count());
        let codes: BTreeSet<&String> = visits
            .iter()
            .filter_map(|(_, code)| code.as_ref())
            .collect();
        let is_new = codes.iter().all(|code| seen.insert((*code).clone()));
        if counts != (answered, width - answered) || codes.len() != 1 || !is_new {
            let codes = codes.len();
            wrong.push(format!(
                "push {number}: {statuses:?}, {codes} codes, all new: {is_new}"
            ));
        }
    }
    verdict(pushes.len(), wrong)
}

/// Of `width` uses of one proof exactly one passes, and all others are refused for the proof (PP-5).
pub(crate) fn one_passes(proofs: &[Vec<(u16, String)>], width: usize) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (number, uses) in proofs.iter().enumerate() {
        let passed = uses.iter().filter(|(status, _)| *status == 200).count();
        let is_refusal =
            |(status, error): &&(u16, String)| *status == 400 && error == "invalid_dpop_proof";
        let refused = uses.iter().filter(is_refusal).count();
        if (passed, refused) != (1, width - 1) {
            let statuses = Round::of(uses.iter().map(|(status, _)| *status), 0).answers;
            wrong.push(format!("proof {number}: {statuses:?}, {refused} refused"));
        }
    }
    verdict(proofs.len(), wrong)
}

fn verdict(judged: usize, wrong: Vec<String>) -> Result<(), String> {
    match (judged, wrong.as_slice()) {
        (0, _) => Err("no round was run".to_owned()),
        (_, []) => Ok(()),
        (_, some) => Err(format!(
            "{} of {judged} are wrong:\n{}",
            some.len(),
            some[..some.len().min(5)].join("\n")
        )),
    }
}
