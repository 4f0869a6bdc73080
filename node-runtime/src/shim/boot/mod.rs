//! The program `containerd-shim-hosttask-v1`, apart from the tasks: how it is started, known and removed.
//!
//! ```text
//!   containerd ─▶ start ──starts──▶ serve ── ttrpc ── service
//!        ▲          │ Connect ────▶   │    a shim without tasks and clients leaves by itself
//!        └─ answer ─┘                 │
//!   containerd ─▶ delete ─ Kill, Delete, Shutdown ─▶ (where it still answers)
//! ```
//!
#![doc = include_str!("../../../docs/shim.md")]

pub mod arguments;
mod bundle;
mod daemon;
mod delete;
mod error;
mod info;
pub mod message;
mod start;

use std::env;
use std::io::{self, Write as _};
use std::path::PathBuf;

use arguments::{Command, Options};
pub use error::CommandError;
pub use info::RUNTIME;

use crate::keeper::protocol::chain;
use crate::sys;

/// The exit code of a command that failed.
pub const FAILED: i32 = 1;

/// The exit code where the command line cannot be understood, as in programs written in Go.
pub const MISUSED: i32 = 2;

/// Does what the command line says, and returns the exit code. Where that is 0, `start` printed its answer and nothing else.
pub fn main() -> i32 {
    let command = match arguments::parse(env::args_os().skip(1)) {
        Ok(command) => command,
        Err(problems) => {
            say(&problems.to_string());
            return MISUSED;
        }
    };
    match run(&command) {
        Ok(()) => 0,
        Err(error) => {
            say(&chain(&error));
            FAILED
        }
    }
}

/// Says why something failed, a line for each reason. There is nowhere left to say that this failed.
fn say(message: &str) {
    for line in message.lines() {
        drop(writeln!(
            io::stderr(),
            "containerd-shim-hosttask-v1: {line}"
        ));
    }
}

fn run(command: &Command) -> Result<(), CommandError> {
    match command {
        Command::Help => print(arguments::HELP.as_bytes()),
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            print(format!("containerd-shim-hosttask-v1 {version}\n").as_bytes())
        }
        Command::Info => {
            let host = sys::native().ok();
            print(&info::info(host.as_deref()).map_err(CommandError::Print)?)
        }
        Command::Start(options) => start(options),
        Command::Delete(options) => {
            let host = sys::native().map_err(CommandError::Host)?;
            let deleted = delete::delete(&host, options, &program()?)?;
            if let Some(panics) = deleted.panics {
                say(&panics);
            }
            print(&deleted.response)
        }
        Command::Serve(options, serve) => daemon::serve(options, serve),
    }
}

fn start(options: &Options) -> Result<(), CommandError> {
    let input = message::read(io::stdin()).map_err(CommandError::Input)?;
    let newest = env::var("MAX_SHIM_VERSION").ok();
    let events = env::var("TTRPC_ADDRESS").ok();
    let host = sys::native().map_err(CommandError::Host)?;
    let start = start::Start {
        order: message::order(options, &input, newest.as_deref(), events),
        state_root: start::state_root(&host.places())?,
        host,
        options,
        program: program()?,
    };
    start.run(&mut io::stdout())
}

fn program() -> Result<PathBuf, CommandError> {
    env::current_exe().map_err(CommandError::file("find", "our own program"))
}

fn print(bytes: &[u8]) -> Result<(), CommandError> {
    let mut output = io::stdout();
    let printed = output.write_all(bytes).and_then(|()| output.flush());
    printed.map_err(CommandError::Print)
}
