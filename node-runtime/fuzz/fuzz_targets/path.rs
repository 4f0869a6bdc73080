//! A path has one spelling, and stays below the root it is put into.
#![no_main]

#[path = "../properties/path.rs"]
mod property;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| property::check(text));
