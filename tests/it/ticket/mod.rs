//! The ticket store as an operator runs it.

mod tls;
