//! Checks `[magic_link]` and `[limits]`, and warns about limits that let too much through: an
//! operator may have a reason.

use super::values::DAY;
use crate::config::{
    problem::Section,
    settings::{Budget, Limits, MagicLink, Reloadable},
};

/// A budget that is this many times the default was raised to get rid of a limit.
const FAR_ABOVE_DEFAULT: u64 = 10;

/// An attacker who tries every code that the limits allow at one address must need this many days to
/// succeed once.
const SAFE_DAYS: u64 = 10_000;

pub(super) fn check_magic_link(magic_link: &MagicLink, section: &mut Section<'_>) {
    let lifetime = magic_link.lifetime_seconds;
    section.range(lifetime, 60..=DAY, "lifetime_seconds");
    section.warn_if(
        lifetime > 600,
        "lifetime_seconds",
        "is over 10 minutes",
        "Set 600 or less to comply with OWASP ASVS 6.5.5.",
    );
    section.range(magic_link.code_digits.into(), 6..=10, "code_digits");
}

pub(super) fn check(settings: &Reloadable, section: &mut Section<'_>) {
    let limits = &settings.limits;
    for (key, budgets) in [
        ("network_address", &limits.network_address),
        ("address", &limits.address),
        ("address_reserve", &limits.address_reserve),
        ("domain", &limits.domain),
        ("network", &limits.network),
        ("authorize", &limits.authorize),
        ("pushed", &limits.pushed),
        ("device", &limits.device),
        ("device_client", &limits.device_client),
        ("device_codes", &limits.device_codes),
        ("known_device", &limits.known_device),
        ("wrong_codes", &limits.wrong_codes),
        (
            "wrong_codes_network_address",
            &limits.wrong_codes_network_address,
        ),
        ("wrong_codes_known_device", &limits.wrong_codes_known_device),
        ("client_failures", &limits.client_failures),
        ("session_codes", &limits.session_codes),
    ] {
        check_budgets(key, budgets, section);
    }
    section.require(
        !limits.resend_seconds.is_empty(),
        "resend_seconds",
        "is empty",
        "Set at least one delay, for instance [30].",
    );
    for (at, seconds) in limits.resend_seconds.iter().enumerate() {
        section.range(*seconds, 1..=DAY, format!("resend_seconds[{at}]"));
    }
    section.range(limits.sends_per_flow.into(), 1..=100, "sends_per_flow");
    section.range(limits.tries_per_flow.into(), 1..=20, "tries_per_flow");
    warn_about_insecure_limits(settings, section);
}

fn check_budgets(key: &str, budgets: &[Budget], section: &mut Section<'_>) {
    section.require(
        !budgets.is_empty(),
        key,
        "is empty",
        "Set at least one budget, for instance { count = 5, seconds = 900 }. A high count lifts the limit.",
    );
    for (at, Budget { count, seconds }) in budgets.iter().enumerate() {
        let count_key = format!("{key}[{at}].count");
        section.require(*count > 0, count_key, "is 0", "Set 1 or more.");
        section.range(*seconds, 1..=31 * DAY, format!("{key}[{at}].seconds"));
    }
}

fn warn_about_insecure_limits(settings: &Reloadable, section: &mut Section<'_>) {
    let (limits, default) = (&settings.limits, Limits::default());
    for (key, budgets, default) in [
        (
            "network_address",
            &limits.network_address,
            &default.network_address,
        ),
        ("address", &limits.address, &default.address),
        (
            "address_reserve",
            &limits.address_reserve,
            &default.address_reserve,
        ),
        ("domain", &limits.domain, &default.domain),
        ("network", &limits.network, &default.network),
        ("authorize", &limits.authorize, &default.authorize),
        ("pushed", &limits.pushed, &default.pushed),
        ("device", &limits.device, &default.device),
        ("device_codes", &limits.device_codes, &default.device_codes),
        ("known_device", &limits.known_device, &default.known_device),
        (
            "client_failures",
            &limits.client_failures,
            &default.client_failures,
        ),
    ] {
        let (allowed, default) = (allowed_per_day(budgets), allowed_per_day(default));
        section.warn_if(
            allowed > default.saturating_mul(FAR_ABOVE_DEFAULT),
            key,
            &format!("allows {allowed} per day, where the default allows {default}"),
            "Lower a count, or add a budget over a longer time, such as { count = 20, seconds = 86400 }.",
        );
    }
    let codes = 10_u64.saturating_pow(settings.magic_link.code_digits);
    let tries = allowed_per_day(&limits.wrong_codes);
    section.warn_if(
        tries.saturating_mul(SAFE_DAYS) > codes,
        "wrong_codes",
        &format!("allows {tries} of {codes} codes to be tried per day at one address"),
        "Lower the counts, or set magic_link.code_digits = 8.",
    );
    section.warn_if(
        limits.tries_per_flow > 10,
        "tries_per_flow",
        "is over 10",
        "Set 5, which is enough for a user. Each further try helps an attacker who guesses.",
    );
}

/// Returns how many events pass in a day. The strictest budget decides.
fn allowed_per_day(budgets: &[Budget]) -> u64 {
    let per_day =
        |budget: &Budget| u64::from(budget.count).saturating_mul(DAY) / budget.seconds.max(1);
    budgets.iter().map(per_day).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::Findings;

    fn warned_keys(change: impl FnOnce(&mut Reloadable)) -> Vec<String> {
        let mut settings = Reloadable::default();
        change(&mut settings);
        let mut findings = Findings::default();
        check(&settings, &mut findings.section("limits"));
        assert!(findings.problems.is_empty());
        let warnings = findings.warnings.into_iter();
        warnings.map(|warning| warning.key).collect()
    }

    fn budget(count: u32, seconds: u64) -> Vec<Budget> {
        vec![Budget { count, seconds }]
    }

    #[test]
    fn defaults_are_secure_and_insecure_limits_are_warned_about() {
        assert!(warned_keys(|_| {}).is_empty());
        let six_digits = |settings: &mut Reloadable| settings.magic_link.code_digits = 6;
        assert_eq!(warned_keys(six_digits), ["limits.wrong_codes"]);
        let hundred_of_a_million = |settings: &mut Reloadable| {
            six_digits(settings);
            settings.limits.wrong_codes = budget(100, 86_400);
        };
        assert!(warned_keys(hundred_of_a_million).is_empty());
        let ten_thousand_of_hundred_million =
            |settings: &mut Reloadable| settings.limits.wrong_codes = budget(10_001, 86_400);
        assert_eq!(
            warned_keys(ten_thousand_of_hundred_million),
            ["limits.wrong_codes"]
        );
        assert_eq!(
            warned_keys(|settings| settings.limits.tries_per_flow = 20),
            ["limits.tries_per_flow"]
        );
        assert_eq!(
            warned_keys(|settings| settings.limits.address = budget(601, 86_400)),
            ["limits.address"]
        );
        assert_eq!(
            warned_keys(|settings| settings.limits.network = budget(20, 60)),
            ["limits.network"],
            "20 per minute are 28,800 per day"
        );
        let double = |settings: &mut Reloadable| settings.limits.client_failures = budget(60, 60);
        assert!(warned_keys(double).is_empty());
    }
}
