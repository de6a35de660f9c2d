#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;

/// Calls everything once.
fn everything() {
    answered("GET", Some("/login".into()), 200, Duration::from_millis(3));
    statement("SELECT", Duration::from_micros(80), true);
    ticket_error("claim");
    ticket_bytes("own", 1, 2);
    limited("network");
    audited("session.signed_in");
    requested();
    mailed();
    opened(false);
    consumed("link", Duration::from_secs(20));
    refused("wrong_code");
    mail_ceiling(600);
    mail_held();
    mail_domain_held();
    mail_relay_held();
    mail_tried("accepted", Duration::from_millis(40));
    tokens("authorization_code", "lessons-web");
    tokens_refused("invalid_grant");
    dpop_proof("accepted");
    device("started");
    pushed("lessons-web");
    push_refused("invalid_request");
    upstream_started("work");
    upstream_signed_in("work");
    upstream_refused("up_denied", "work");
    upstream("work", "keys", "ok", Duration::from_millis(9));
    upstream_stale("work", Duration::ZERO);
    outbox(2, Duration::from_secs(1));
    logout_delivery("lessons-web", "delivered");
    logouts(1, Duration::from_secs(1));
    pool("write", 3, 1, 16);
    key_age("ES256", Duration::from_secs(60));
}

/// The names of metrics in a text of Prometheus.
fn shown(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect()
}

#[test]
fn what_is_shown_is_what_is_listed() {
    everything();
    let text = text().unwrap();
    assert_eq!(
        shown(&text),
        NAMES.into_iter().collect::<BTreeSet<_>>(),
        "{text}"
    );
    assert!(
        text.contains("entree_http_request_duration_seconds_bucket{"),
        "{text}"
    );
    assert!(
        text.contains(r#"entree_sign_in_opened_total{browser="other"}"#),
        "{text}"
    );
    assert!(
        text.contains(r#"le="0.0005""#),
        "a histogram without boundaries of its own: {text}"
    );
}

#[test]
fn what_a_caller_chooses_makes_no_label() {
    answered(method("BREW"), None, 999, Duration::ZERO);
    let text = text().unwrap();
    assert!(!text.contains("BREW") && !text.contains("\"999"), "{text}");
    assert!(
        text.contains(r#"method="other",route="unmatched",status="5xx""#),
        "{text}"
    );
}

/// Words in a text that look like names of ours.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !is_part(c));
    let ours = words.filter(|word| word.starts_with("entree_") || word.starts_with("process_"));
    let bare = |word: &str| {
        let cut = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|end| word.strip_suffix(end));
        cut.filter(|cut| NAMES.contains(cut))
            .unwrap_or(word)
            .to_owned()
    };
    ours.map(bare).collect()
}

#[test]
fn dashboard_and_alerts_name_only_metrics_that_there_are() {
    let dashboard = include_str!("../../../deploy/grafana-dashboard.json");
    let alerts = include_str!("../../../deploy/alerts.yml");
    serde_json::from_str::<serde_json::Value>(dashboard).unwrap();
    let there: BTreeSet<String> = NAMES.into_iter().map(str::to_owned).collect();
    for (file, text) in [("dashboard", dashboard), ("alerts", alerts)] {
        let named = named(text);
        assert!(named.len() > 5, "{file} names {named:?}");
        assert!(
            named.is_subset(&there),
            "{file}: {:?}",
            named.difference(&there)
        );
    }
    let pages = include_str!("../../../docs/operations.md");
    let missing: Vec<_> = there
        .iter()
        .filter(|name| !pages.contains(name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/operations.md explains every metric: {missing:?}"
    );
}

#[test]
fn every_alert_leads_to_a_part_of_the_runbook_that_names_it() {
    let pages = include_str!("../../../docs/operations.md");
    // OD-16: absolute wherever the operator's Prometheus has the label, and in its own words elsewhere.
    let link = "runbook_url: '{{ with $externalLabels.runbook_base }}{{ . }}{{ else }}docs{{ end }}\
                /operations.md#";
    let anchor = |part: &str| {
        part.lines()
            .next()
            .unwrap_or_default()
            .to_lowercase()
            .replace(' ', "-")
    };
    for alert in include_str!("../../../deploy/alerts.yml")
        .split("- alert: ")
        .skip(1)
    {
        let name = alert.lines().next().unwrap();
        let runbook = alert
            .lines()
            .find_map(|line| line.trim().strip_prefix(link)?.strip_suffix('\''));
        let part = pages
            .split("\n## ")
            .skip(1)
            .find(|part| Some(anchor(part).as_str()) == runbook);
        assert!(
            part.is_some_and(|part| part.contains(name)),
            "{name}: {runbook:?}"
        );
    }
}
