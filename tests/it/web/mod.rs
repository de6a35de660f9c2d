//! The rules that hold for every page and every form.

mod csrf;
