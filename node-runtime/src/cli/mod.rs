//! `cli`: the command line `hosttask-node`.
//!
//! A command opens the host, asks the keeper of a container, and prints what it answers. Containers live in keepers only:
//! nothing that a command does by itself, or fails to do because it was ended, can hurt one.

pub mod arguments;
mod attach;
mod change;
mod context;
mod doctor;
mod error;
mod events;
pub(crate) mod features;
mod findings;
mod hold;
mod install;
mod known;
mod output;
mod own;
pub mod quantity;
mod show;
mod spec;
mod start;
mod sweep;
mod unpack;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser as _};

use arguments::{Arguments, Command, Global};
use context::Context;
use error::CommandError;
pub use error::{FAILED, NOT_EXECUTABLE, NOT_FOUND};

use crate::keeper::protocol::{Request, chain};
use crate::log::{self, Level, Log};

/// The version of the OCI runtime specification whose documents are read and written.
pub const OCI_VERSION: &str = "1.2.0";

/// Does what the command line says, and returns the exit code: all 32 bits where it is a program's.
pub fn main() -> u32 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help that was asked for is no error. There is nowhere to say that it could not be printed.
            drop(error.print());
            return if error.use_stderr() { FAILED } else { 0 };
        }
    };
    let global = arguments.global.clone();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            report(&global, &error);
            error.exit_code()
        }
    }
}

fn run(arguments: Arguments) -> Result<u32, CommandError> {
    if let Command::Completion(completion) = &arguments.command {
        let mut command = Arguments::command();
        let mut script = Vec::new();
        clap_complete::generate(completion.shell, &mut command, "hosttask-node", &mut script);
        io::stdout()
            .write_all(&script)
            .map_err(CommandError::Print)?;
        return Ok(0);
    }
    // A keeper says by itself, to whoever started it, that it cannot open its log.
    if !matches!(arguments.command, Command::Keeper(_)) {
        open_log(&arguments.global)?;
    }
    let context = &Context::open(arguments.global)?;
    match arguments.command {
        Command::Run(command) => start::run(context, &command),
        Command::Create(command) => start::create(context, &command),
        Command::Start(one) => start::start(context, &one.id),
        Command::Exec(command) => start::exec(context, &command),
        Command::State(command) => show::state(context, &command),
        Command::List => show::list(context),
        Command::Ps(one) => show::processes(context, &one.id),
        Command::Stats(one) => show::usage(context, &one.id),
        Command::Events(command) => events::events(context, &command),
        Command::Update(command) => change::update(context, &command),
        Command::Pause(one) => change::simple(context, &one.id, &Request::Pause),
        Command::Resume(one) => change::simple(context, &one.id, &Request::Resume),
        Command::Kill(command) => change::kill(context, command),
        Command::Stop(command) => change::stop(context, &command),
        Command::Delete(command) => change::delete(context, &command),
        Command::Sweep => sweep::sweep(context),
        Command::Doctor => doctor::doctor(context),
        Command::Features => features::features(context),
        Command::Install(command) => install::install(context, &command),
        Command::Uninstall(command) => install::uninstall(context, &command),
        Command::Spec(command) => spec::spec(context, &command),
        Command::Unpack(command) => unpack::unpack(context, &command),
        Command::Keeper(keeper) => hold::hold(context, &keeper.id),
        // It needs no host, and was done above.
        Command::Completion(_) => Ok(0),
    }
}

/// The log, where one is asked for. Whoever names one relies on it: what cannot be opened is an error, before anything is done.
fn open_log(global: &Global) -> Result<Option<Log>, CommandError> {
    let open = |path: &PathBuf| {
        Log::open(path, context::log_format(global))
            .map_err(CommandError::file("open the log", path))
    };
    global.log.as_ref().map(open).transpose()
}

/// Says why a command failed: on standard error, and in the log where there is one.
fn report(global: &Global, error: &CommandError) {
    let message = chain(error);
    let format = context::log_format(global);
    let line = match format {
        // Every problem of a config stands on a line of its own.
        log::Format::Text => format!("hosttask-node: {message}"),
        log::Format::Json => log::line(format, Level::Error, &message, None),
    };
    // There is nowhere left to say that this failed.
    drop(writeln!(io::stderr(), "{line}"));
    if let Ok(Some(log)) = open_log(global) {
        let now = crate::sys::native().ok().map(|host| host.now());
        log.say(Level::Error, &message, now);
    }
}

/// Says something on standard error that is no failure.
fn notice(format: log::Format, message: &str) {
    let line = match format {
        log::Format::Text => format!("hosttask-node: {message}"),
        log::Format::Json => log::line(format, Level::Info, message, None),
    };
    // There is nowhere left to say that this failed.
    drop(writeln!(io::stderr(), "{line}"));
}

/// A file as a JSON document.
fn read_json(path: &Path) -> Result<serde_json::Value, CommandError> {
    let text = std::fs::read(path).map_err(CommandError::file("read", path))?;
    serde_json::from_slice(&text).map_err(|source| CommandError::Json {
        path: path.to_path_buf(),
        source,
    })
}
