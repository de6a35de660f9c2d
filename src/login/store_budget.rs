//! Who is charged for what a browser has stored before its user is signed in, and how much that may be.

use super::{context::RequestContext, device, page_error::PageError};
use crate::{
    app::App,
    error::InfraError,
    limit::{self, Sender},
    secret::{Hash, Plain},
    ticket::Payer,
};

impl RequestContext {
    /// Returns who is charged for what this request stores: the user who is signed in, or the
    /// network.
    #[must_use]
    pub fn payer(&self) -> Payer {
        match &self.current {
            Some(current) => Payer::User(current.user.id),
            None => Payer::Network(self.caller.ip),
        }
    }

    /// Counts a request that is stored until the user has signed in: each takes space in the ticket store.
    ///
    /// # Errors
    /// [`PageError::TooManyRequests`] once the budgets are spent.
    pub async fn check_store_budget(&self, app: &App) -> Result<(), PageError> {
        let device = self.known_device(app).await?;
        let sender = self.sender(device.as_ref());
        match limit::authorize(&app.tickets, sender, &self.config.limits).await? {
            Some(wait) => Err(PageError::TooManyRequests(wait)),
            None => Ok(()),
        }
    }

    /// Returns the device of this browser, if it signed in here before, with whatever address.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn known_device(&self, app: &App) -> Result<Option<Hash>, InfraError> {
        let Some(device) = self.device.as_ref().map(Plain::hash) else {
            return Ok(None);
        };
        let now = app.clock().now();
        let is_known = device::signed_in_before(app.db.read(), &device, now).await?;
        Ok(is_known.then_some(device))
    }

    /// Returns the sender of this request, as budgets count it.
    #[must_use]
    pub const fn sender<'a>(&self, known_device: Option<&'a Hash>) -> Sender<'a> {
        Sender {
            caller: self.caller.ip,
            known_device,
        }
    }
}
