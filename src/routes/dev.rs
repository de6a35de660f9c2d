//! to come
use poem::Route;
use crate::mail::mailbox::Mailbox;
/// Routes.
pub fn routes(_mailbox: Mailbox) -> Route { Route::new() }
