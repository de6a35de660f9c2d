//! The configuration in force: read without a lock, replaced atomically.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Config;

/// A handle to the configuration in force. Clones share it.
#[derive(Clone, Debug)]
pub struct Live {
    current: Arc<ArcSwap<Config>>,
}

impl Live {
    /// Starts with one.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(config)) }
    }

    /// The one in force now. Take it once per request, so that one request never sees two.
    #[must_use]
    pub fn get(&self) -> Arc<Config> {
        self.current.load_full()
    }
}
