//! The pages of sign-in by email: `/login/email`, `/login/sent`, `/login/code`, `/login/link/{token}`.

pub(crate) mod code;
mod entry;
pub(crate) mod link;
mod refused_link;
pub(crate) mod sent;
pub(crate) mod start;
