//! What templates do with values. [`super::page::render_page`] hands them what they need.

#![allow(
    unreachable_pub,
    reason = "the macro of a filter makes a public method"
)]

use std::fmt::Display;

use askama::Values;

use crate::web::base_path::BasePath;

/// The name of the base path among the values of a page.
pub(in crate::web) const BASE_PATH: &str = "base_path";

/// Puts the path of `server.public_url` before a path of ours; any other address stays (OB-6). Every
/// address in a page goes through it.
#[askama::filter_fn]
pub(crate) fn link(address: impl Display, values: &dyn Values) -> askama::Result<String> {
    let base: &BasePath = askama::get_value(values, BASE_PATH)?;
    Ok(base.link(&address.to_string()).into_owned())
}
