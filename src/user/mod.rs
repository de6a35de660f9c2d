//! Users, their addresses, and their accounts at upstream providers.
//!
//! Owns `users`, `user_emails` and `user_identities`. No user exists before a verification (LK-02).
//! A verified address belongs to one user, however many verifications arrive at once (LK-09). The
//! first verification of an account that was never verified ends everything that was there before
//! (E2).

pub mod address;
mod create;
mod find;
pub mod identity;
mod profile;
mod resolve;

pub use address::{Address, EntryError, shown_address, shown_domain};
pub use create::{VerifiedBy, create_verified, import_unverified};
pub use entity::user::{Model as User, UserState};
pub use entity::user_email::Model as UserEmail;
pub use find::{
    EmailTarget, email_target, find_by_address, find_by_id, has_verified, has_verified_address,
    is_claimed, join, join_primary_address, primary_address, public_ids, read_joined,
    read_joined_address,
};
pub use identity::{Identity, UpstreamAccount};
pub use profile::{
    MAX_NAME, NameError, bump_epoch, is_role_name, parse_name, roles, set_initial_profile,
    set_name, set_roles, set_state,
};
pub use resolve::{ResolvedUser, resolve};
