//! Arguments are the same after a way through a line, and any line can be split.
#![no_main]

#[path = "../properties/command_line.rs"]
mod property;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| property::check(text));
