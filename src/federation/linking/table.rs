//! The linking table (ST-01, LC-A to LC-I): whose account it is, once a provider has identified the
//! user.
//!
//! One pure function over a few facts, so that every row of the table is one line and one test. It
//! never joins an account to an existing user: that takes a proof by email, or the consent of that
//! user in a fresh session.

use uuid::Uuid;

use crate::federation::error::RefusalCode;

/// The facts about an upstream login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The user began this to connect the account to the session.
    pub connecting: bool,
    /// The user to whom the account is connected.
    pub owner: Option<Owner>,
    /// The user who is signed in in this browser.
    pub current: Option<Uuid>,
    /// The user has agreed to leave the session of another user.
    pub switch: bool,
    /// The account has a usable address, and the provider runs its mailbox.
    pub authoritative: bool,
    /// A user has that address or claims it.
    pub held: bool,
    /// Sign-up is open.
    pub sign_up: bool,
}

/// The user to whom an account is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub user: Uuid,
    /// The user is neither locked nor deleted.
    pub active: bool,
}

/// What follows from the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// LC-A: sign in the owner.
    SignIn,
    /// LC-A: another user is signed in; first ask whether to leave that session.
    ConfirmSwitch,
    /// LC-B: ask whether to connect the account.
    ConfirmLink,
    /// LC-B: the account is connected to this user already.
    OwnAccount,
    /// LC-C, LC-I: request an address and verify it by email; LC-D or LC-E follows.
    VerifyEmail,
    /// LC-C, then LC-D without an email: create user, address and link in one unit of work.
    CreateUser,
    /// LC-B, LC-H: the account belongs to another user, its owner may not sign in, or sign-up is
    /// closed.
    Refuse(RefusalCode),
}

/// Returns the decision of the linking table.
#[must_use]
pub fn decide(facts: &Facts) -> Decision {
    match facts.owner {
        Some(owner) if facts.connecting => {
            if facts.current == Some(owner.user) {
                Decision::OwnAccount
            } else {
                Decision::Refuse(RefusalCode::LinkTaken)
            }
        }
        None if facts.connecting => Decision::ConfirmLink,
        Some(owner) if !owner.active => Decision::Refuse(RefusalCode::UserDisabled),
        Some(owner) if must_confirm_switch(facts, Some(owner.user)) => Decision::ConfirmSwitch,
        Some(_) => Decision::SignIn,
        None if !facts.authoritative || facts.held => Decision::VerifyEmail,
        None if !facts.sign_up => Decision::Refuse(RefusalCode::SignUpClosed),
        None if must_confirm_switch(facts, None) => Decision::ConfirmSwitch,
        None => Decision::CreateUser,
    }
}

/// BS-05: no session of another user ends without consent.
fn must_confirm_switch(facts: &Facts, to: Option<Uuid>) -> bool {
    facts.current.is_some() && facts.current != to && !facts.switch
}

#[cfg(test)]
mod tests {
    use super::*;

    const U: Uuid = Uuid::from_u128(1);
    const V: Uuid = Uuid::from_u128(2);

    /// Returns every combination of facts.
    fn all() -> Vec<Facts> {
        let owners = [
            None,
            Some((U, true)),
            Some((U, false)),
            Some((V, true)),
            Some((V, false)),
        ];
        let mut all = Vec::new();
        for bits in 0..64_u8 {
            let [connecting, signed_in, switch, authoritative, held, sign_up] =
                [1, 2, 4, 8, 16, 32].map(|bit| bits & bit != 0);
            all.extend(owners.map(|owner| Facts {
                connecting,
                owner: owner.map(|(user, active)| Owner { user, active }),
                current: signed_in.then_some(U),
                switch,
                authoritative,
                held,
                sign_up,
            }));
        }
        all
    }

    #[test]
    fn lk_04_only_an_existing_link_signs_a_user_in() {
        for facts in all() {
            let decision = decide(&facts);
            if decision == Decision::SignIn {
                assert!(
                    facts.owner.is_some_and(|owner| owner.active) && !facts.connecting,
                    "{facts:?}"
                );
            }
            if decision == Decision::CreateUser {
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
                // LC-B
                (true, None) => Decision::ConfirmLink,
                (true, Some(owner)) if facts.current == Some(owner.user) => Decision::OwnAccount,
                (true, Some(_)) => Decision::Refuse(RefusalCode::LinkTaken),
                // LC-H
                (false, Some(Owner { active: false, .. })) => {
                    Decision::Refuse(RefusalCode::UserDisabled)
                }
                // LC-A
                (false, Some(owner))
                    if facts.current.is_some_and(|current| current != owner.user)
                        && !facts.switch =>
                {
                    Decision::ConfirmSwitch
                }
                (false, Some(_)) => Decision::SignIn,
                // LC-C and LC-I; LC-E and LC-G follow the verification
                (false, None) if !facts.authoritative => Decision::VerifyEmail,
                (false, None) if facts.held => Decision::VerifyEmail,
                // LC-C with an authoritative address, then LC-D
                (false, None) if !facts.sign_up => Decision::Refuse(RefusalCode::SignUpClosed),
                (false, None) if other => Decision::ConfirmSwitch,
                (false, None) => Decision::CreateUser,
            };
            assert_eq!(decide(&facts), expected, "{facts:?}");
        }
        assert_eq!(all().len(), 320);
    }

    #[test]
    fn lk_02_an_address_that_a_user_has_is_verified_by_email_whatever_the_provider_says() {
        for facts in all()
            .into_iter()
            .filter(|facts| facts.held && facts.owner.is_none() && !facts.connecting)
        {
            assert_eq!(decide(&facts), Decision::VerifyEmail, "{facts:?}");
        }
    }
}
