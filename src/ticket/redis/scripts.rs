//! The scripts that Redis runs, each an atomic operation of the store.

use ::redis::{Script, ScriptInvocation};

use crate::ticket::{
    account::{ENTRY_BYTES, GROUP_BYTES, Pool},
    payer::{Group, Groups},
};

/// Returns a script, after what all of them share: the account of the space.
fn script(text: &str) -> Script {
    let account = include_str!("account.lua");
    Script::new(&format!(
        "local ENTRY_BYTES, GROUP_BYTES = {ENTRY_BYTES}, {GROUP_BYTES}\n{account}{text}"
    ))
}

/// Returns a script with counters.
fn counting_script(text: &str) -> Script {
    script(&[include_str!("counters.lua"), text].concat())
}

/// The scripts, and the first key and arguments of each call.
pub(super) struct Scripts {
    stem: String,
    max_bytes: usize,
    pub(super) issue: Script,
    pub(super) issue_within: Script,
    pub(super) claim: Script,
    pub(super) replace: Script,
    pub(super) hit: Script,
    pub(super) once: Script,
    pub(super) epoch: Script,
}

impl Scripts {
    /// Returns the scripts for a store of at most `max_bytes` under a prefix.
    pub(super) fn new(prefix: &str, max_bytes: usize) -> Self {
        Self {
            stem: format!("{prefix}account"),
            max_bytes,
            issue: script(include_str!("issue.lua")),
            issue_within: counting_script(include_str!("issue_within.lua")),
            claim: script(include_str!("claim.lua")),
            replace: script(include_str!("replace.lua")),
            hit: counting_script(include_str!("hit.lua")),
            once: script(include_str!("once.lua")),
            epoch: script(include_str!("epoch.lua")),
        }
    }

    /// Begins a call of a script.
    pub(super) fn call<'a>(&self, script: &'a Script, groups: &Groups) -> ScriptInvocation<'a> {
        let group =
            |group: &Group| format!("{}:{}", String::from_utf8_lossy(&group.id), group.share);
        let payer: Vec<String> = groups.iter().map(group).collect();
        let mut call = script.key(&self.stem);
        call.arg(self.max_bytes).arg(payer.join(" "));
        call
    }

    pub(super) const fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Returns the hash of the bytes of each pool.
    pub(super) fn bytes_key(&self) -> String {
        format!("{}:bytes", self.stem)
    }
}

/// Returns the field of a pool in the account.
pub(super) const fn pool_field(pool: Pool) -> &'static str {
    match pool {
        Pool::Own => "o",
        Pool::Tickets => "t",
        Pool::Counters => "c",
        Pool::Proofs => "p",
    }
}
