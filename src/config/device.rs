//! `[device]`: sign-in of devices without a browser (RFC 8628).

use serde::Deserialize;

/// `[device]`. Off unless an operator has weighed the risks (docs/devices.md).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Device {
    /// Whether devices may start a sign-in. Otherwise its addresses are 404 and not in the metadata.
    pub enabled: bool,
}
