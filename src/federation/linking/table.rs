//! The linking table (federation §8, DESIGN §8): who somebody is, once a provider has vouched for them.
//!
//! One pure function over a handful of facts, so that every row of the table is one line and one test. Nobody is joined
//! to an existing account here: that takes a proof by mail, or a yes in that account's own fresh session.

use uuid::Uuid;

/// What is known when somebody comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// They set out to connect it to whoever is signed in.
    pub connecting: bool,
    /// Whose the account at the provider is, and whether they may sign in.
    pub owner: Option<Owner>,
    /// Who is signed in in this browser.
    pub current: Option<Uuid>,
    /// They have agreed to leave that session.
    pub switch: bool,
    /// The provider runs the mailbox of a usable address.
    pub authoritative: bool,
    /// Somebody has that address, or claims it.
    pub held: bool,
    /// New users are welcome.
    pub sign_up: bool,
}

/// Whose an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Uuid,
    /// They are neither locked nor deleted.
    pub active: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A: sign in as its owner.
    SignIn,
    /// A: somebody else is signed in here; ask first.
    AskFirst,
    /// B: ask whether to connect it.
    Confirm,
    /// B: it is theirs already; nothing to do.
    Own,
    /// B: it is somebody else's.
    Taken,
    /// C, I: ask for an address and prove it by mail; then D or E.
    Prove,
    /// C then D without a mail: user, address and link at once.
    Create,
    /// H: its owner may not sign in.
    Disabled,
    /// Nobody new is welcome.
    Closed,
}

/// Decides.
#[must_use]
pub fn decide(facts: &Facts) -> Decision {
    match facts.owner {
        Some(owner) if facts.connecting => {
            if facts.current == Some(owner.user) {
                Decision::Own
            } else {
                Decision::Taken
            }
        }
        None if facts.connecting => Decision::Confirm,
        Some(owner) if !owner.active => Decision::Disabled,
        Some(owner) if must_ask(facts, Some(owner.user)) => Decision::AskFirst,
        Some(_) => Decision::SignIn,
        None if !facts.authoritative || facts.held => Decision::Prove,
        None if !facts.sign_up => Decision::Closed,
        None if must_ask(facts, None) => Decision::AskFirst,
        None => Decision::Create,
    }
}

/// BS-05: nobody is signed out of their session unasked.
fn must_ask(facts: &Facts, to: Option<Uuid>) -> bool {
    facts.current.is_some() && facts.current != to && !facts.switch
}

#[cfg(test)]
mod tests {
    use super::*;

    const U: Uuid = Uuid::from_u128(1);
    const V: Uuid = Uuid::from_u128(2);

    /// Every combination of facts there is.
    fn all() -> Vec<Facts> {
        let flags = [false, true];
        let owners = [
            None,
            Some((U, true)),
            Some((U, false)),
            Some((V, true)),
            Some((V, false)),
        ];
        let mut all = Vec::new();
        for connecting in flags {
            for owner in owners {
                for current in [None, Some(U)] {
                    for bits in 0..16_u8 {
                        let [switch, authoritative, held, sign_up] =
                            [1, 2, 4, 8].map(|bit| bits & bit != 0);
                        let owner = owner.map(|(user, active)| Owner { user, active });
                        all.push(Facts {
                            connecting,
                            owner,
                            current,
                            switch,
                            authoritative,
                            held,
                            sign_up,
                        });
                    }
                }
            }
        }
        all
    }

    #[test]
    fn lk_04_only_a_link_that_is_there_signs_somebody_in() {
        for facts in all() {
            let decision = decide(&facts);
            if decision == Decision::SignIn {
                assert!(
                    facts.owner.is_some_and(|owner| owner.active) && !facts.connecting,
                    "{facts:?}"
                );
            }
            if decision == Decision::Create {
                assert!(
                    facts.owner.is_none() && facts.authoritative && !facts.held && facts.sign_up,
                    "{facts:?}"
                );
            }
        }
    }

    #[test]
    fn lk_01_every_row_of_the_table() {
        for facts in all() {
            let other = facts.current.is_some() && !facts.switch;
            let expected = match (facts.connecting, facts.owner) {
                // B
                (true, None) => Decision::Confirm,
                (true, Some(owner)) if facts.current == Some(owner.user) => Decision::Own,
                (true, Some(_)) => Decision::Taken,
                // H
                (false, Some(Owner { active: false, .. })) => Decision::Disabled,
                // A
                (false, Some(owner))
                    if facts.current.is_some_and(|current| current != owner.user)
                        && !facts.switch =>
                {
                    Decision::AskFirst
                }
                (false, Some(_)) => Decision::SignIn,
                // C and I; E and G follow after the proof
                (false, None) if !facts.authoritative => Decision::Prove,
                (false, None) if facts.held => Decision::Prove,
                // C with an authoritative address, then D
                (false, None) if !facts.sign_up => Decision::Closed,
                (false, None) if other => Decision::AskFirst,
                (false, None) => Decision::Create,
            };
            assert_eq!(decide(&facts), expected, "{facts:?}");
        }
        assert_eq!(all().len(), 320);
    }

    #[test]
    fn lk_02_an_address_that_somebody_has_is_proven_by_mail_whoever_vouches_for_it() {
        for facts in all()
            .into_iter()
            .filter(|facts| facts.held && facts.owner.is_none() && !facts.connecting)
        {
            assert_eq!(decide(&facts), Decision::Prove, "{facts:?}");
        }
    }
}
