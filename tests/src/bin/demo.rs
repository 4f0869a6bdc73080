//! `cargo demo`: the main job on this machine, from `kubectl apply` to a settled fleet, with live progress.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use hosttask_tests::bed::describe;
use hosttask_tests::demo::{self, Options};
use tokio::sync::Notify;

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("failed to start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // Whoever reads may go away, as `head` does.
    let gone = Notify::new();
    let mut say = |line: &str| {
        if writeln!(std::io::stdout(), "{line}").is_err() {
            gone.notify_one();
        }
    };
    let outcome = runtime.block_on(async {
        tokio::select! {
            // A demo that has ended says why, and one that is kept waits for the same signal.
            biased;
            outcome = demo::run(&options, &mut say) => outcome,
            () = interrupted() => Err(demo::DemoError::Interrupted),
            () = gone.notified() => Err(demo::DemoError::Interrupted),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(demo::DemoError::Interrupted) => {
            complain("interrupted; everything it started was stopped");
            ExitCode::from(130)
        }
        Err(error) => {
            complain(&describe(&error));
            ExitCode::FAILURE
        }
    }
}

/// Waits for Ctrl-C and says what happens next: the rest of the demo is dropped then, and that stops a real Windows node.
async fn interrupted() {
    // Without a way to hear of it, the demo is never interrupted.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    complain("interrupted; stopping everything it started, up to half a minute");
}

/// Says what went wrong. Standard error may be gone too, as in `cargo demo 2>&1 | head`.
fn complain(what: &str) {
    let _ = writeln!(std::io::stderr(), "demo: {what}");
}
