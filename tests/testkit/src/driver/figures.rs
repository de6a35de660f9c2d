//! What a run has shown.

use std::{collections::BTreeMap, time::Duration};

/// How one operation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// A request was refused with 503 after so long; the caller may come again after the pause.
    Shed {
        took: Duration,
        pause: Duration,
    },
    Failed(String),
}

/// The operations of one caller.
#[derive(Debug, Default)]
pub struct Samples {
    done: Vec<Duration>,
    shed: Vec<Duration>,
    failed: BTreeMap<String, usize>,
}

impl Samples {
    pub fn add(&mut self, outcome: Outcome, took: Duration) {
        match outcome {
            Outcome::Done => self.done.push(took),
            Outcome::Shed { took, .. } => self.shed.push(took),
            Outcome::Failed(why) => *self.failed.entry(why).or_default() += 1,
        }
    }
}

/// The operations of all callers in one window of time, and what they cost.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// How long each operation took that was served, the shortest first.
    pub done: Vec<Duration>,
    /// How long each refusal with 503 took, the shortest first.
    pub shed: Vec<Duration>,
    /// Why operations failed, and how many for each reason.
    pub failed: BTreeMap<String, usize>,
    pub wall: Duration,
    /// CPU time of each process that was watched.
    pub cpu: Vec<(&'static str, Duration)>,
    /// CPU time of the callers, the mail sink and all else in this process.
    pub driver: Duration,
}

impl Figures {
    /// Takes in what one caller has seen.
    pub(super) fn absorb(&mut self, samples: Samples) {
        self.done.extend(samples.done);
        self.shed.extend(samples.shed);
        for (why, count) in samples.failed {
            *self.failed.entry(why).or_default() += count;
        }
    }

    pub(super) fn sort(&mut self) {
        self.done.sort_unstable();
        self.shed.sort_unstable();
    }

    /// Operations a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        count(self.done.len()) / self.wall.as_secs_f64()
    }

    /// CPU time of all watched processes, in microseconds an operation.
    #[must_use]
    pub fn cpu_each(&self) -> f64 {
        self.each(self.cpu.iter().map(|(_, time)| *time).sum())
    }

    /// CPU time of one of them, in microseconds an operation.
    #[must_use]
    pub fn cpu_each_of(&self, name: &str) -> f64 {
        let own = self.cpu.iter().filter(|(own, _)| *own == name);
        self.each(own.map(|(_, time)| *time).sum())
    }

    /// CPU time of the driver, in microseconds an operation.
    #[must_use]
    pub fn driver_each(&self) -> f64 {
        self.each(self.driver)
    }

    fn each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / count(self.done.len())
    }

    /// How many operations failed, refusals with 503 aside.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.failed.values().sum()
    }

    /// The share of operations that were refused with 503.
    #[must_use]
    pub fn shed_share(&self) -> f64 {
        let all = self.done.len() + self.shed.len() + self.failures();
        count(self.shed.len()) / count(all.max(1))
    }
}

/// Milliseconds that `percent` of the times, which are sorted, do not exceed. Without a time, none.
#[must_use]
pub fn percentile(times: &[Duration], percent: usize) -> Option<f64> {
    let last = times.len().checked_sub(1)?;
    let at = (times.len() * percent / 100).min(last);
    times.get(at).map(|time| time.as_secs_f64() * 1e3)
}

/// The middle one; of an even number the mean of both in the middle. Without a value, none.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values
        .into_iter()
        .filter(|value| value.is_finite())
        .collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[allow(clippy::cast_precision_loss, reason = "a count of operations")]
fn count(of: usize) -> f64 {
    of as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_leave_out_what_is_no_number() {
        assert_eq!(median([3.0, f64::NAN, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0]), Some(2.5));
        assert_eq!(median([f64::INFINITY]), None);
    }

    #[test]
    fn percentiles_are_of_sorted_times() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Some(101.0));
        assert_eq!(percentile(&times, 99), Some(199.0));
        assert_eq!(percentile(&times[..1], 99), Some(1.0));
        assert_eq!(percentile(&[], 99), None);
    }

    #[test]
    fn costs_are_those_of_operations_that_were_served() {
        let mut samples = Samples::default();
        let ms = Duration::from_millis;
        for outcome in [
            Outcome::Done,
            Outcome::Done,
            Outcome::Shed {
                took: ms(1),
                pause: ms(1000),
            },
            Outcome::Failed("500".to_owned()),
        ] {
            samples.add(outcome, ms(5));
        }
        let mut figures = Figures {
            wall: ms(500),
            cpu: vec![("server", ms(3)), ("database", ms(1))],
            driver: ms(2),
            ..Figures::default()
        };
        figures.absorb(samples);
        assert_eq!((figures.rate(), figures.cpu_each()), (4.0, 2000.0));
        assert_eq!(figures.cpu_each_of("server"), 1500.0);
        assert_eq!((figures.driver_each(), figures.failures()), (1000.0, 1));
        assert_eq!(figures.shed_share(), 0.25);
        assert_eq!((figures.shed, figures.done), (vec![ms(1)], vec![ms(5); 2]));
    }
}
