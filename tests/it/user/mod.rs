//! Users, their addresses and their accounts at providers.

mod identity;
