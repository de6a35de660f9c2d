//! Sign-in with a provider in the browser, from the button to the callback.

mod callback;
mod provider_errors;
mod race;
mod returned;
mod switched_off;
