//! The contract of jobs and processes where every program is started from inside of its job, as in a silo.
//!
//! The whole file is for Windows, as silos are. Wine has none, so the backend is told to start everything as if each job were one:
//! the launcher, its orders and its end are the same.
#![cfg(windows)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails by a panic is the normal way a test fails"
)]
#![expect(
    dead_code,
    reason = "the bench of the contract suite has more than is used here"
)]

#[path = "../contract/bench.rs"]
mod bench;
#[macro_use]
#[path = "../contract/cases.rs"]
mod cases;
#[path = "../contract/ending.rs"]
mod ending;
#[path = "../contract/errors.rs"]
mod errors;
#[path = "../contract/identity.rs"]
mod identity;
#[path = "../contract/jobs.rs"]
mod jobs;
#[path = "../contract/limits.rs"]
mod limits;
#[path = "../contract/notices.rs"]
mod notices;
#[path = "../contract/processes.rs"]
mod processes;
#[path = "../contract/streams.rs"]
mod streams;
#[path = "../contract/suspension.rs"]
mod suspension;

use hosttask_node_runtime::sys;

/// Runs each case.
macro_rules! suite {
    ($($module:ident { $($case:ident)* })*) => {
        $($(
            #[test]
            fn $case() {
                let host = sys::native_from_inside().unwrap();
                crate::$module::$case(&crate::bench::Bench::of(host));
            }
        )*)*
    };
}

cases_of_programs! { suite {} }
