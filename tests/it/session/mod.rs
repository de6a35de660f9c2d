//! Sessions of signed-in browsers.

mod browser;
