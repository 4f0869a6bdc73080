//! Any bytes are frames or no frames; what is decoded of them is the same when it is encoded and decoded again.
#![no_main]

#[path = "../properties/ttrpc.rs"]
mod property;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
