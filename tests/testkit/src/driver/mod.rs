//! Drives load against a service and measures what it costs: what `make load` and `make peers` stand on.
//!
//! - [`connection`]: requests over kept connections, with as little work of our own as can be.
//! - [`closed_loop`]: callers that send one request after the other, for a length of time.
//! - [`figures`]: rate, latency and CPU of such a run.
//! - [`process`]: CPU and memory of processes, read from `/proc`.
//! - [`provider`]: any OpenID provider, and the kinds of work that clients have it do.
//! - [`worker`]: a caller with one of these kinds.
//! - [`email_sign_in`]: whole sign-ins by email.
//! - [`subject`]: Entree on one back end, ready to be measured.
//! - [`report`]: tables, and where they are written.
//!
//! Callers run on the same cores as the service: only figures of one run on one machine can be compared.

pub mod closed_loop;
pub mod connection;
pub mod email_sign_in;
pub mod figures;
pub mod process;
pub mod provider;
pub mod report;
pub mod subject;
pub mod worker;
