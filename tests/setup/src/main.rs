//! `cargo demo` and `cargo verify`: both set up what is missing, then start the rest of the repository.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod cargo;
mod count;
mod demo;
mod lanes;
mod part;
mod parts;
mod runtime;
mod tools;
mod verify;
mod wine;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

const USAGE: &str = "\
usage: hosttask-setup <demo|verify> [ARGUMENTS]

  demo     start a control plane with simulated Windows nodes and show the operator at work
  verify   run every check of this repository";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|name| name.to_str()) {
        Some("demo") => demo::run(&arguments.collect::<Vec<_>>()),
        Some("verify") => verify::run(arguments.map(|a| a.to_string_lossy().into_owned())),
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Prints an error and its causes. Nobody may read it any more.
fn complain(error: &dyn std::error::Error) {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    let _ = writeln!(std::io::stderr(), "{text}");
}
