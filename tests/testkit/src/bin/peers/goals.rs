//! The ratios that SP-7 asks for.

use testkit::driver::{
    figures::Figures,
    provider::Work,
    report::{Table, ratio},
};

use crate::{
    peer::{DEX, NODE_MEMORY, NODE_POSTGRES, SERVERS, SQLITE},
    rounds::Results,
};

#[derive(Clone, Copy)]
enum Bound {
    /// CPU of an operation is at most so many times that of the other.
    CpuAtMost(f64),
    /// Operations a second are at least so many times those of the other.
    RateAtLeast(f64),
}

struct Goal {
    work: Work,
    of: &'static str,
    to: &'static str,
    bound: Bound,
}

const fn goal(work: Work, of: &'static str, to: &'static str, bound: Bound) -> Goal {
    Goal {
        work,
        of,
        to,
        bound,
    }
}

const GOALS: [Goal; 10] = [
    goal(Work::CodeFlow, SQLITE, DEX, Bound::CpuAtMost(0.6)),
    goal(Work::CodeFlow, SQLITE, DEX, Bound::RateAtLeast(1.0)),
    goal(
        Work::CodeFlow,
        SERVERS,
        NODE_POSTGRES,
        Bound::CpuAtMost(0.2),
    ),
    goal(Work::ClientCredentials, SQLITE, DEX, Bound::CpuAtMost(0.2)),
    goal(Work::Refresh, SQLITE, NODE_MEMORY, Bound::CpuAtMost(0.5)),
    goal(Work::Refresh, SERVERS, NODE_MEMORY, Bound::CpuAtMost(0.5)),
    goal(Work::Userinfo, SQLITE, NODE_MEMORY, Bound::CpuAtMost(0.5)),
    goal(Work::Userinfo, SERVERS, NODE_MEMORY, Bound::CpuAtMost(0.5)),
    goal(
        Work::Introspection,
        SQLITE,
        NODE_MEMORY,
        Bound::CpuAtMost(0.5),
    ),
    goal(
        Work::Introspection,
        SERVERS,
        NODE_MEMORY,
        Bound::CpuAtMost(0.5),
    ),
];

/// Each goal with the ratio of this run.
pub(crate) fn table(results: &Results) -> Table {
    let mut table = Table::new(["work", "of", "to", "figure", "ratio", "goal", "reached"]);
    for goal in &GOALS {
        let of = figure(results, goal.of, goal);
        let to = figure(results, goal.to, goal);
        let (what, bound) = match goal.bound {
            Bound::CpuAtMost(bound) => ("CPU", format!("at most {bound}")),
            Bound::RateAtLeast(bound) => ("rate", format!("at least {bound}")),
        };
        table.row([
            goal.work.name().to_owned(),
            goal.of.to_owned(),
            goal.to.to_owned(),
            what.to_owned(),
            ratio(of, to),
            bound,
            reached(of, to, goal.bound).to_owned(),
        ]);
    }
    table
}

fn figure(results: &Results, provider: &str, goal: &Goal) -> Option<f64> {
    match goal.bound {
        Bound::CpuAtMost(_) => results.median(provider, goal.work, Figures::cpu_each),
        Bound::RateAtLeast(_) => results.median(provider, goal.work, Figures::rate),
    }
}

fn reached(of: Option<f64>, to: Option<f64>, bound: Bound) -> &'static str {
    let Some((of, to)) = of.zip(to) else {
        return "not measured";
    };
    let is_reached = match bound {
        Bound::CpuAtMost(bound) => of <= to * bound,
        Bound::RateAtLeast(bound) => of >= to * bound,
    };
    if is_reached { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_at_its_bound_and_unknown_without_a_figure() {
        let (cpu, rate) = (Bound::CpuAtMost(0.5), Bound::RateAtLeast(1.0));
        assert_eq!(reached(Some(5.0), Some(10.0), cpu), "yes");
        assert_eq!(reached(Some(6.0), Some(10.0), cpu), "no");
        assert_eq!(reached(Some(10.0), Some(10.0), rate), "yes");
        assert_eq!(reached(Some(9.0), Some(10.0), rate), "no");
        assert_eq!(reached(None, Some(10.0), rate), "not measured");
    }
}
