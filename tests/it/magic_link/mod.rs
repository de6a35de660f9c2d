//! Sign-in by email: the request, the email, the link, the code and what stays stored.

mod api_v2;
mod budgets;
mod click;
mod code;
mod devices;
mod email;
mod million_rows;
mod race;
mod request;
mod retention;
mod secrets;
mod timing;
