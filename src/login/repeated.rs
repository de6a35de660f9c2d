//! The secrets of a sign-in whose form the user may send twice (ST-04).

use crate::{
    db::Tx,
    error::InfraError,
    login::{finish::SignedIn, flow},
    secret::{Hash, Mac, Plain},
    session,
};

/// The cookies that a browser gets by an answer, however often it gives it: browsers show the last
/// response alone, and the first one may not have reached them.
#[derive(Debug)]
pub struct RepeatableSecrets {
    /// The session cookie.
    pub sid: Plain,
    /// The pre-login cookie.
    pub pre: Plain,
}

impl RepeatableSecrets {
    /// Returns the secrets that follow from those that the browser has, and from the question: no
    /// other browser gets them.
    #[must_use]
    pub fn new(mac: &Mac, question: &Hash, sid: &Hash, pre: &Hash) -> Self {
        let derive = |purpose: &[u8]| {
            let parts: [&[u8]; 4] = [purpose, question.as_bytes(), sid.as_bytes(), pre.as_bytes()];
            mac.secret(&parts)
        };
        Self {
            sid: derive(b"answered sid"),
            pre: derive(b"answered pre"),
        }
    }

    /// Gives them to a sign-in of the same unit of work, in place of its own.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn give_to(&self, tx: &Tx, signed_in: &mut SignedIn) -> Result<(), InfraError> {
        flow::rebind(tx, signed_in.pre.hash(), self.pre.hash()).await?;
        if !session::rotate(tx, signed_in.session.id, &self.sid).await? {
            return Err(InfraError::internal("a session ended as it began"));
        }
        signed_in.sid = self.sid.clone();
        signed_in.pre = self.pre.clone();
        Ok(())
    }
}
