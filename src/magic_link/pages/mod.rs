//! The pages of sign-in by email: `/login/email`, `/login/sent`, `/login/code`, `/login/link/{token}`.

pub(crate) mod code;
mod entry;
pub(crate) mod link;
pub(crate) mod sent;
mod shared;
pub(crate) mod start;
