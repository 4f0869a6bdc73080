//! `cargo demo`: the main job on this machine, from `kubectl apply` to a settled fleet, with live progress.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program talks to a person"
)]

use std::process::ExitCode;

use clap::Parser;
use hosttask_tests::bed::describe;
use hosttask_tests::demo::{self, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: failed to start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut say = |line: &str| println!("{line}");
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = demo::run(&options, &mut say) => outcome,
            _ = tokio::signal::ctrl_c() => Err(demo::DemoError::Interrupted),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(demo::DemoError::Interrupted) => {
            eprintln!("demo: interrupted; everything it started is being stopped");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("demo: {}", describe(&error));
            ExitCode::FAILURE
        }
    }
}
