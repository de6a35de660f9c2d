//! The device grant (RFC 8628): a device without a browser shows a code, and its user enters the code on
//! `/device` in a browser of their own.
//!
//! `start` is the endpoint of the device, `page` what the user sees, and `store` what is kept in between:
//! two tickets and no row. The device asks for its tokens at the token endpoint (`token::device`), and only
//! there a grant is stored. The page never takes a code from its address: a link that fills the code in is
//! what an attacker would send (ADR 0036).

pub(crate) mod page;
pub(crate) mod start;
pub(crate) mod store;
mod user_code;
