//! Any bytes are a record or damage; a record that was read is the same when it is written and read again.
#![no_main]

#[path = "../properties/record.rs"]
mod property;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
