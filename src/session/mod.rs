//! Signed-in browsers. Owns `sessions`.
//!
//! The secret of a session cookie is stored as a hash only. A session counts only while its user is
//! active, its epoch is the user's, and neither the idle nor the absolute time is over. Signing in
//! as another user, or out, ends the row; a double click gives the same row a fresh secret (ST-04).

mod end;
mod ended;
mod find;
mod start;

pub use end::{end, end_all, end_from_identity, sweep};
pub use ended::{EndedSession, claim_ended, has_ended, still_needs_grants};
pub use entity::session::Model as Session;
pub use find::{
    CurrentSession, find_by_cookie, find_live, id_is, idle_end, if_live, join, list_live,
    lock_for_share, lock_selected, read_joined, record_use, select_one_with_user, user_column,
};
pub use start::{
    AuthMethod, FRESH_FOR, NewSession, UPSTREAM_ACR, is_fresh, is_from_upstream, renew_secret,
    rotate, start, step_up,
};
