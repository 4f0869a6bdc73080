//! `hosttask-operator`: the process around the library. The only clock of the operator is here.
#![expect(
    clippy::print_stderr,
    reason = "what goes wrong before the log starts is told on standard error"
)]

use std::process::ExitCode;

use clap::Parser;
use hosttask_operator::args::Args;
use hosttask_operator::run::{Ended, run};
use hosttask_operator::{error, log};
use jiff::Timestamp;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = log::start(args.log_format, &args.log_level, Timestamp::now) {
        eprintln!("error: --log-level: {error}");
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: failed to start the runtime: {error}");
            return Ended::CANNOT_START.into();
        }
    };
    let ended = runtime.block_on(run(&args, Timestamp::now));
    // Whatever still runs may not hold the exit up: after a lost leadership it must be quick.
    runtime.shutdown_background();
    match ended {
        Ok(ended) => ended.exit_code().into(),
        Err(cause) => {
            tracing::error!(error = %error::chain(&cause), "Failed to start the operator");
            Ended::CANNOT_START.into()
        }
    }
}
