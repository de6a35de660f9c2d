//! Limits that work and let too much through: warned about, since somebody may have a reason.

use super::{Budget, Config, Limits, check::Findings};

/// A day, in seconds.
const DAY: u64 = 86_400;

/// A budget this many times the default was raised to get rid of a limit, rather than to fit a place.
const FAR: u64 = 10;

/// Of so many days in which somebody tries all codes that they may, at one address, one hits.
const SAFE_DAYS: u64 = 10_000;

/// Warns.
pub(super) fn warn(config: &Config, findings: &mut Findings) {
    let (limits, usual) = (&config.limits, Limits::default());
    for (key, own, usual) in [
        ("limits.address", &limits.address, &usual.address),
        ("limits.network", &limits.network, &usual.network),
        (
            "limits.network_wide",
            &limits.network_wide,
            &usual.network_wide,
        ),
        ("limits.authorize", &limits.authorize, &usual.authorize),
        (
            "limits.known_device",
            &limits.known_device,
            &usual.known_device,
        ),
        (
            "limits.client_failures",
            &limits.client_failures,
            &usual.client_failures,
        ),
    ] {
        let (a_day, usual) = (a_day(own), a_day(usual));
        let what = format!("lets {a_day} through in a day, where the default lets {usual}");
        let mend = "lower a count, or add a budget over a longer time, such as { count = 20, seconds = 86400 }";
        findings.warn(a_day > usual.saturating_mul(FAR), key, &what, mend);
    }
    let codes = 10_u64.saturating_pow(config.magic_link.code_digits);
    let tries = a_day(&limits.wrong_codes);
    let what = format!("lets somebody try {tries} codes of {codes} a day at one address");
    let mend = "lower the counts, or raise magic_link.code_digits to 8";
    findings.warn(
        tries.saturating_mul(SAFE_DAYS) > codes,
        "limits.wrong_codes",
        &what,
        mend,
    );
    let tries = limits.tries_per_flow;
    let mend = "5 are enough for a person; each further one is one for somebody who guesses";
    findings.warn(tries > 10, "limits.tries_per_flow", "is over 10", mend);
}

/// How many pass in a day: the budget that lets the fewest decides.
fn a_day(budgets: &[Budget]) -> u64 {
    let each = budgets
        .iter()
        .map(|budget| u64::from(budget.count).saturating_mul(DAY) / budget.seconds.max(1));
    each.min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        let mut findings = Findings::default();
        warn(&config, &mut findings);
        assert!(findings.problems.is_empty());
        findings
            .warnings
            .into_iter()
            .map(|warning| warning.key)
            .collect()
    }

    #[test]
    fn the_defaults_are_fine_and_weak_limits_are_told() {
        assert!(warned(|_| {}).is_empty());
        assert!(
            warned(|config| config.magic_link.code_digits = 6).is_empty(),
            "30 tries of a million"
        );
        let generous = |config: &mut Config| {
            config.limits.wrong_codes = vec![Budget {
                count: 101,
                seconds: DAY,
            }]
        };
        assert!(warned(generous).is_empty(), "of a hundred million");
        let both = |config: &mut Config| {
            generous(config);
            config.magic_link.code_digits = 6;
        };
        assert_eq!(warned(both), ["limits.wrong_codes"]);
        assert_eq!(
            warned(|config| config.limits.tries_per_flow = 20),
            ["limits.tries_per_flow"]
        );
        let open = |config: &mut Config| {
            config.limits.address = vec![Budget {
                count: 201,
                seconds: DAY,
            }]
        };
        assert_eq!(warned(open), ["limits.address"]);
        let short = |config: &mut Config| {
            config.limits.network = vec![Budget {
                count: 20,
                seconds: 60,
            }]
        };
        assert_eq!(
            warned(short),
            ["limits.network"],
            "20 a minute are 28,800 a day"
        );
        let double = |config: &mut Config| {
            config.limits.client_failures = vec![Budget {
                count: 60,
                seconds: 60,
            }]
        };
        assert!(warned(double).is_empty());
    }
}
