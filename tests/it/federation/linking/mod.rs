//! Which user an account at a provider belongs to.

pub(crate) mod cases;
mod property;
mod repeated;
mod rules;

pub(crate) use rules::{
    account_at_provider, confirm_path, link_account_to, provider, step_up_by_provider,
};
