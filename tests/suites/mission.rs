//! The whole mission in one test: tasks of every kind, followed to their end on a real Windows node beside eleven simulated ones.
//!
//! The test writes down what it saw, step by step: `HOSTTASK_TRANSCRIPT` names the file, and
//! `node-runtime/docs/mission.md` is one of these.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed step fails the mission"
)]

#[path = "mission/bench.rs"]
mod bench;
#[path = "mission/course.rs"]
mod course;
#[path = "mission/look.rs"]
mod look;
#[path = "mission/orders.rs"]
mod orders;
#[path = "mission/pods.rs"]
mod pods;
#[path = "mission/service.rs"]
mod service;
#[path = "mission/transcript.rs"]
mod transcript;

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;

use bench::Mission;
use futures::FutureExt as _;
use hosttask_tests::bed::{scenario, workspace_root};

#[test]
fn tasks_of_every_kind_come_to_their_end_on_a_real_node_beside_eleven_simulated_ones() {
    scenario(async {
        let mission = Mission::start().await;
        let course = AssertUnwindSafe(course::run(&mission)).catch_unwind().await;
        match course {
            Ok(accounts) => {
                let page = transcript::page(&accounts);
                std::fs::write(place(), page).unwrap();
            }
            Err(failure) => {
                eprintln!("{}", mission.report().await);
                resume_unwind(failure);
            }
        }
    });
}

#[test]
fn the_page_about_the_mission_has_every_step_with_everything_that_was_seen() {
    let page = workspace_root().join("node-runtime/docs/mission.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut rest = page.as_str();
    for heading in transcript::headings() {
        let line = format!("\n{heading}\n");
        let (_, after) = rest
            .split_once(&line)
            .unwrap_or_else(|| panic!("{heading:?} is missing, or at another place"));
        rest = after;
    }
}

/// Where the transcript goes.
fn place() -> PathBuf {
    let usual = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mission.md");
    std::env::var_os("HOSTTASK_TRANSCRIPT").map_or_else(usual, PathBuf::from)
}
