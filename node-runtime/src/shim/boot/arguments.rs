//! The command line of the shim, in the notation of Go programs, as containerd writes it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;

use thiserror::Error;

use crate::id::{Id, IdError};

/// What `--help` prints.
pub const HELP: &str = "\
containerd-shim-hosttask-v1: runs HostProcess containers for containerd (runtime type io.containerd.hosttask.v1).
containerd starts it; nobody else has to.

Usage:
  containerd-shim-hosttask-v1 -namespace NS -id ID [FLAGS] start    starts a shim and prints where it is reached
  containerd-shim-hosttask-v1 -namespace NS -id ID [FLAGS] delete   removes what is left of a container
  containerd-shim-hosttask-v1 -info                                 prints what this runtime is, for containerd
  containerd-shim-hosttask-v1 -v                                    prints the version

Flags, with one dash or two, as `-flag VALUE` or `-flag=VALUE`, before the action:
  -namespace NS         the namespace of containerd
  -id ID                the container
  -address ADDRESS      where containerd is reached
  -publish-binary PATH  containerd itself; not used: events go to TTRPC_ADDRESS
  -bundle FOLDER        the bundle; the current folder where it is left out
  -debug                logs each call

Variables: TTRPC_ADDRESS (where events go), MAX_SHIM_VERSION (what containerd understands), and HOSTTASK_STATE_ROOT
(the folder with the records of all namespaces; `hosttask-node --root FOLDER/NS list` shows them).
";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Print how it is used.
    Help,
    /// Print the version.
    Version,
    /// Print what containerd wants to know of the runtime.
    Info,
    /// Start a shim.
    Start(Options),
    /// Remove what is left of a container.
    Delete(Options),
    /// Be the shim.
    Serve(Options, Serve),
}

/// What holds for a container. Addresses and folders that are none were not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The namespace of containerd. Its grammar is that of ids.
    pub namespace: Id,
    /// The container.
    pub id: Id,
    /// Where containerd is reached.
    pub address: Option<String>,
    /// The bundle.
    pub bundle: Option<String>,
    /// Whether each call is logged.
    pub debug: bool,
}

/// What only a shim is given, by the `start` that started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// Where it is to be reached.
    pub socket: String,
    /// Where its events go; none where nobody takes them.
    pub events: Option<String>,
    /// The folder with the records of all namespaces.
    pub state_root: String,
}

/// Something that is wrong with a command line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// An argument is no text.
    #[error("the argument {0:?} is no Unicode text")]
    Encoding(OsString),
    /// There is no such flag.
    #[error("there is no flag -{0}; --help lists those there are")]
    UnknownFlag(String),
    /// A flag stands last that has a value.
    #[error("the flag -{0} has no value; write -{0} VALUE")]
    NoValue(&'static str),
    /// A flag that is yes or no is something else.
    #[error("the flag -{flag} is {value:?}; write true or false")]
    NoBool {
        /// The flag.
        flag: &'static str,
        /// What it was given.
        value: String,
    },
    /// There is no such action.
    #[error("the action {0:?} is none; write start or delete")]
    UnknownAction(String),
    /// Nothing is to be done.
    #[error("the action is missing; write start or delete after the flags")]
    NoAction,
    /// Something follows the action.
    #[error("the argument {0:?} follows the action; flags stand before it, and nothing after it")]
    Extra(String),
    /// A flag is missing.
    #[error("the flag -{0} is missing; containerd gives it with every start and delete")]
    Missing(&'static str),
    /// A name is none.
    #[error("the flag -{flag}: {source}")]
    Name {
        /// The flag.
        flag: &'static str,
        /// What is wrong with it.
        source: IdError,
    },
}

/// All that is wrong with a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// The flags as they were written.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
struct Written {
    help: bool,
    version: bool,
    info: bool,
    debug: bool,
    namespace: Option<String>,
    id: Option<String>,
    address: Option<String>,
    publish_binary: Option<String>,
    bundle: Option<String>,
    socket: Option<String>,
    events: Option<String>,
    state_root: Option<String>,
}

/// Where the value of a flag goes.
enum Slot<'a> {
    Yes(&'static str, &'a mut bool),
    Text(&'static str, &'a mut Option<String>),
}

impl Written {
    fn slot(&mut self, name: &str) -> Option<Slot<'_>> {
        Some(match name {
            "h" | "help" => Slot::Yes("help", &mut self.help),
            "v" | "version" => Slot::Yes("version", &mut self.version),
            "info" => Slot::Yes("info", &mut self.info),
            "debug" => Slot::Yes("debug", &mut self.debug),
            "namespace" => Slot::Text("namespace", &mut self.namespace),
            "id" => Slot::Text("id", &mut self.id),
            "address" => Slot::Text("address", &mut self.address),
            "publish-binary" => Slot::Text("publish-binary", &mut self.publish_binary),
            "bundle" => Slot::Text("bundle", &mut self.bundle),
            "socket" => Slot::Text("socket", &mut self.socket),
            "events" => Slot::Text("events", &mut self.events),
            "state-root" => Slot::Text("state-root", &mut self.state_root),
            _ => return None,
        })
    }
}

/// Reads a command line, the name of the program left out.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Problems> {
    let mut problems = Vec::new();
    let mut texts = VecDeque::new();
    for argument in arguments {
        match argument.into_string() {
            Ok(text) => texts.push_back(text),
            Err(other) => problems.push(Problem::Encoding(other)),
        }
    }
    let written = flags(&mut texts, &mut problems);
    let command = command(written, texts, &mut problems);
    match command {
        Some(command) if problems.is_empty() => Ok(command),
        _ => Err(Problems(problems)),
    }
}

/// Takes the flags off the front.
fn flags(texts: &mut VecDeque<String>, problems: &mut Vec<Problem>) -> Written {
    let mut written = Written::default();
    while let Some(text) = texts.pop_front() {
        let Some(flag) = text.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            texts.push_front(text);
            break;
        };
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        if flag.is_empty() {
            break;
        }
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        match written.slot(name) {
            None => problems.push(Problem::UnknownFlag(name.to_owned())),
            Some(Slot::Yes(name, slot)) => match value.as_deref() {
                None | Some("1" | "t" | "true" | "T" | "TRUE" | "True") => *slot = true,
                Some("0" | "f" | "false" | "F" | "FALSE" | "False") => *slot = false,
                Some(value) => problems.push(Problem::NoBool {
                    flag: name,
                    value: value.to_owned(),
                }),
            },
            Some(Slot::Text(name, slot)) => match value.or_else(|| texts.pop_front()) {
                Some(value) => *slot = Some(value).filter(|it| !it.is_empty()),
                None => problems.push(Problem::NoValue(name)),
            },
        }
    }
    written
}

/// What is to be done, from the flags and what follows them.
fn command(
    written: Written,
    mut rest: VecDeque<String>,
    problems: &mut Vec<Problem>,
) -> Option<Command> {
    if written.help {
        return Some(Command::Help);
    }
    if written.version {
        return Some(Command::Version);
    }
    if written.info {
        return Some(Command::Info);
    }
    let action = rest.pop_front();
    problems.extend(rest.into_iter().map(Problem::Extra));
    let namespace = name("namespace", written.namespace, problems);
    let id = name("id", written.id, problems);
    let options = namespace.zip(id).map(|(namespace, id)| Options {
        namespace,
        id,
        address: written.address,
        bundle: written.bundle,
        debug: written.debug,
    });
    match action.as_deref() {
        Some("start") => options.map(Command::Start),
        Some("delete") => options.map(Command::Delete),
        Some("serve") => {
            let socket = given("socket", written.socket, problems);
            let state_root = given("state-root", written.state_root, problems);
            let serve = socket.zip(state_root).map(|(socket, state_root)| Serve {
                socket,
                events: written.events,
                state_root,
            });
            let (options, serve) = options.zip(serve)?;
            Some(Command::Serve(options, serve))
        }
        Some(other) => {
            problems.push(Problem::UnknownAction(other.to_owned()));
            None
        }
        None => {
            problems.push(Problem::NoAction);
            None
        }
    }
}

fn given(flag: &'static str, value: Option<String>, problems: &mut Vec<Problem>) -> Option<String> {
    if value.is_none() {
        problems.push(Problem::Missing(flag));
    }
    value
}

fn name(flag: &'static str, value: Option<String>, problems: &mut Vec<Problem>) -> Option<Id> {
    let value = given(flag, value, problems)?;
    let name = Id::parse(&value);
    name.map_err(|source| problems.push(Problem::Name { flag, source }))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, Vec<Problem>> {
        let arguments = line.split_whitespace().map(OsString::from);
        parse(arguments).map_err(|problems| problems.0)
    }

    fn options(debug: bool) -> Options {
        Options {
            namespace: Id::parse("k8s.io").unwrap(),
            id: Id::parse("web").unwrap(),
            address: Some("/run/c.sock".to_owned()),
            bundle: None,
            debug,
        }
    }

    #[test]
    fn the_line_of_containerd_is_understood() {
        let line =
            "-namespace k8s.io -address /run/c.sock -publish-binary /bin/c -id web -debug start";
        assert_eq!(read(line), Ok(Command::Start(options(true))));
        let line = "-namespace k8s.io -address /run/c.sock -publish-binary  -id web start";
        // An empty value is a value; here the next word takes its place, as in every such notation.
        assert!(read(line).is_err());
    }

    #[test]
    fn flags_have_one_dash_or_two_and_their_values_follow_or_are_joined() {
        let line = "--namespace=k8s.io --address=/run/c.sock -id=web -debug=false delete";
        assert_eq!(read(line), Ok(Command::Delete(options(false))));
        let line = "--namespace k8s.io -address /run/c.sock --id web --debug -- delete";
        assert_eq!(read(line), Ok(Command::Delete(options(true))));
    }

    #[test]
    fn an_empty_value_is_as_none() {
        let line = "-namespace k8s.io -address= -id web -bundle= start";
        let Ok(Command::Start(options)) = read(line) else {
            panic!("no start");
        };
        assert_eq!((options.address, options.bundle), (None, None));
    }

    #[test]
    fn what_needs_no_container_asks_for_none() {
        assert_eq!(read("-info"), Ok(Command::Info));
        assert_eq!(read("-v"), Ok(Command::Version));
        assert_eq!(read("--version"), Ok(Command::Version));
        assert_eq!(read("-h"), Ok(Command::Help));
        assert_eq!(read("--help start"), Ok(Command::Help));
    }

    #[test]
    fn a_shim_is_told_where_to_serve() {
        let line = "-namespace n -id i -socket S -state-root R -events E serve";
        let Ok(Command::Serve(_, serve)) = read(line) else {
            panic!("no serve");
        };
        assert_eq!(
            (serve.socket.as_str(), serve.state_root.as_str()),
            ("S", "R")
        );
        assert_eq!(serve.events.as_deref(), Some("E"));
        let missing = read("-namespace n -id i serve").unwrap_err();
        assert_eq!(
            missing,
            [Problem::Missing("socket"), Problem::Missing("state-root")]
        );
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let wrong = read("-what -debug=maybe -id ../web begin now").unwrap_err();
        let expected = [
            Problem::UnknownFlag("what".to_owned()),
            Problem::NoBool {
                flag: "debug",
                value: "maybe".to_owned(),
            },
            Problem::Extra("now".to_owned()),
            Problem::Missing("namespace"),
            Problem::Name {
                flag: "id",
                source: IdError::Malformed("../web".to_owned()),
            },
            Problem::UnknownAction("begin".to_owned()),
        ];
        assert_eq!(wrong, expected);
        assert_eq!(Problems(wrong).to_string().lines().count(), expected.len());
    }

    #[test]
    fn a_flag_that_ends_the_line_has_no_value() {
        let wrong = read("-namespace n -id").unwrap_err();
        assert!(wrong.contains(&Problem::NoValue("id")), "{wrong:?}");
        assert!(wrong.contains(&Problem::NoAction), "{wrong:?}");
    }
}
