//! What the rules of `token_exchange` allow: which scopes a user may grant for a client to pass on, and
//! what an exchanged token may carry.
//!
//! Rules are read from the configuration in force, also for tokens of before: an exchanged token is live
//! while each exchange that led to it would still be allowed (EX-5).

use serde_json::Value;

use super::{
    actor::{MAX_ACTORS, actors, is_exchanged},
    grant_store::Grant,
    scope,
};
use crate::{
    client::{
        self,
        resource::{Requester, audiences},
    },
    config::{Client, ExchangeRule, RESERVED_SCOPES, Reloadable},
    key::Claims,
};

/// The scopes of a request that may be granted to the client: those that its own tokens may carry, and
/// those that it lists and passes on. The latter are scopes of APIs that it cannot request; a rule gives
/// them to the API that it calls (EX-3).
#[must_use]
pub(crate) fn requestable(
    config: &Reloadable,
    client: &Client,
    resources: Option<&str>,
    requested: &str,
) -> String {
    let own = scope::grantable(config, client, resources, requested);
    let is_granted = |name: &&str| {
        let is_own = scope::has(&own, name);
        !name.is_empty() && (is_own || is_passed_on(config, client, resources, name))
    };
    let names = requested.split(' ').filter(is_granted);
    scope::without_repetitions(names).join(" ")
}

/// Whether a client lists a scope that other clients may get for its tokens, in an exchange or in a chain
/// of exchanges.
fn is_passed_on(config: &Reloadable, client: &Client, resources: Option<&str>, name: &str) -> bool {
    if !client.scopes.iter().any(|listed| listed == name) {
        return false;
    }
    let mut reached: Vec<&str> = match resources {
        Some(named) => named
            .split(' ')
            .map(|name| config.resources.spelled(name))
            .collect(),
        None => audiences(config, Requester::Registered(client)).collect(),
    };
    for _ in 0..MAX_ACTORS {
        let all = client::all(config).flat_map(|client| &client.token_exchange);
        let from_reached = |rule: &&ExchangeRule| reached.contains(&spelled_from(config, rule));
        let rules: Vec<&ExchangeRule> = all.filter(from_reached).collect();
        if rules.iter().any(|rule| gives(config, rule, name)) {
            return true;
        }
        reached = rules
            .into_iter()
            .map(|rule| spelled_to(config, rule))
            .collect();
    }
    false
}

/// Whether tokens of a rule may have a scope.
fn gives(config: &Reloadable, rule: &ExchangeRule, name: &str) -> bool {
    !RESERVED_SCOPES.contains(&name)
        && rule.scopes.iter().any(|listed| listed == name)
        && scope::belongs_to(config, &rule.to, name)
}

fn spelled_from<'a>(config: &'a Reloadable, rule: &'a ExchangeRule) -> &'a str {
    config.resources.spelled(&rule.from)
}

fn spelled_to<'a>(config: &'a Reloadable, rule: &'a ExchangeRule) -> &'a str {
    config.resources.spelled(&rule.to)
}

/// Returns the rules by which a client exchanges tokens for the first audience. An audience is spelled as
/// tokens spell it.
#[must_use]
pub(crate) fn rules_from<'a>(
    config: &Reloadable,
    client: &'a Client,
    from: &str,
) -> Vec<&'a ExchangeRule> {
    let rules = client.token_exchange.iter();
    rules
        .filter(|rule| config.resources.spelled(&rule.from) == from)
        .collect()
}

/// Returns those rules that lead to an audience, spelled as tokens spell it.
#[must_use]
pub(crate) fn leading_to<'a>(
    config: &Reloadable,
    rules: impl IntoIterator<Item = &'a ExchangeRule>,
    to: &str,
) -> Vec<&'a ExchangeRule> {
    let rules = rules.into_iter();
    rules
        .filter(|rule| config.resources.spelled(&rule.to) == to)
        .collect()
}

/// The scope that tokens of these rules may have: what the grant has, as far as its client may still have
/// it, and a rule gives.
#[must_use]
pub(crate) fn exchangeable(config: &Reloadable, grant: &Grant, rules: &[&ExchangeRule]) -> String {
    let Some(owner) = client::find(config, &grant.client_id) else {
        return String::new();
    };
    let granted = requestable(config, owner, Some(&grant.audience), &grant.scope);
    let is_given = |name: &&str| rules.iter().any(|rule| gives(config, rule, name));
    let names = granted.split(' ').filter(is_given);
    names.collect::<Vec<_>>().join(" ")
}

/// Returns the scope that a token for a client, an audience and its actors could get now. None if one of
/// the exchanges behind it is no longer allowed.
#[must_use]
pub(crate) fn allowed_now(config: &Reloadable, claims: &Claims, grant: &Grant) -> Option<String> {
    let mut targets = vec![config.resources.spelled(text(claims, "aud"))];
    let mut allowed = None;
    // From the last exchange to the first one: the audiences that the token before may have had.
    for actor in actors(claims) {
        let rules = &client::find(config, actor)?.token_exchange;
        let is_to_target = |rule: &&ExchangeRule| targets.contains(&spelled_to(config, rule));
        let rules: Vec<&ExchangeRule> = rules.iter().filter(is_to_target).collect();
        allowed.get_or_insert_with(|| exchangeable(config, grant, &rules));
        targets = rules
            .into_iter()
            .map(|rule| spelled_from(config, rule))
            .collect();
    }
    let mut granted = grant.audience.split(' ');
    let began_here = granted.any(|name| targets.contains(&config.resources.spelled(name)));
    allowed.filter(|_| began_here)
}

/// Returns the scope of a live access token as far as it may still carry it. `client` is the one that the
/// token was issued to.
#[must_use]
pub(crate) fn carried_now(
    config: &Reloadable,
    client: &Client,
    claims: &Claims,
    grant: Option<&Grant>,
) -> String {
    let (audience, carried) = (text(claims, "aud"), text(claims, "scope"));
    let Some(grant) = grant.filter(|_| is_exchanged(claims)) else {
        return scope::grantable(config, client, Some(audience), carried);
    };
    let allowed = allowed_now(config, claims, grant).unwrap_or_default();
    let names = carried.split(' ').filter(|name| scope::has(&allowed, name));
    names.collect::<Vec<_>>().join(" ")
}

fn text<'a>(claims: &'a Claims, name: &str) -> &'a str {
    let text = claims.get(name).and_then(Value::as_str);
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests;
