//! `hosttask`: looks at tasks without a cluster.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program talks to a person"
)]

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use hosttask_operator::simulate::command::{Command, Form, What, problems_as_json};

fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            // Nobody listens: there is nothing left to do.
            let _ = error.print();
            // 2 means that the task has problems.
            return if asked {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
    };
    let What::Simulate(simulate) = command.what;
    match simulate.run() {
        Ok(outcome) => {
            print!("{outcome}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            if simulate.output == Form::Json
                && let Some(problems) = problems_as_json(&error)
            {
                println!("{problems}");
            }
            error.lines().iter().for_each(|line| eprintln!("{line}"));
            ExitCode::from(error.exit_code())
        }
    }
}
