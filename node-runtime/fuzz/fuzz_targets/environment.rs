//! An environment has every name once, whatever the user's and the config's variables are.
#![no_main]

#[path = "../properties/environment.rs"]
mod property;

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    |entries: (property::Entries, property::Entries)| property::check(entries.0, entries.1)
);
