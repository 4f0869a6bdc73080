//! Any bytes are a plan or problems, as a config, as a process that is started later and as new limits.
#![no_main]

#[path = "../properties/config.rs"]
mod property;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
