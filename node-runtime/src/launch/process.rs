//! `process`: the OCI `process` object, of a container or of one that is started in it later.

use std::collections::BTreeMap;

use super::field::{Fields, Refusal};
use super::problem::Problems;
use super::{Command, Context, environment};
use crate::sys::{Console, Rules};

const LINUX_ONLY: &str = "this exists on Linux alone; leave it out";

const REFUSALS: &[Refusal] = &[
    (
        "capabilities",
        "this exists on Linux alone; remove privileges with the annotation dev.hosttask/drop-privileges",
    ),
    (
        "noNewPrivileges",
        "this exists on Linux alone; remove privileges with the annotation dev.hosttask/drop-privileges",
    ),
    (
        "rlimits",
        "this exists on Linux alone; use windows.resources or annotations under dev.hosttask/",
    ),
    ("apparmorProfile", LINUX_ONLY),
    ("selinuxLabel", LINUX_ONLY),
    ("oomScoreAdj", LINUX_ONLY),
    (
        "scheduler",
        "this exists on Linux alone; use the annotation dev.hosttask/priority",
    ),
    ("ioPriority", LINUX_ONLY),
    (
        "execCPUAffinity",
        "this exists on Linux alone; use windows.resources.cpu.affinity",
    ),
];

const BY_NAME: &str = "Windows has no numbers of users; use username";

const USER_REFUSALS: &[Refusal] = &[
    ("uid", BY_NAME),
    ("gid", BY_NAME),
    ("umask", LINUX_ONLY),
    ("additionalGids", BY_NAME),
];

/// The size of a console that names none.
const CONSOLE: Console = Console {
    columns: 80,
    rows: 25,
};

/// What a `process` object says.
pub(super) struct Process {
    pub(super) command: Command,
    pub(super) directory: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) console: Option<Console>,
    pub(super) user_name: String,
    pub(super) user_path: String,
}

/// Reads a `process` object.
pub(super) fn read(
    mut fields: Fields,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Process> {
    let rules = context.places.rules;
    let command = command(&mut fields, rules, problems);
    let env_path = fields.path("env");
    let env = fields.texts("env", problems);
    let environment = environment::read(env, &env_path, rules, problems);
    let directory_path = fields.path("cwd");
    let directory = fields.text("cwd", problems).unwrap_or_default();
    if directory.contains('\0') {
        problems.add(&directory_path, "it has a NUL character; remove it");
    }
    let console = console(&mut fields, context, problems);
    let user_path = fields.path("user.username");
    let mut user_name = String::new();
    if let Some(mut user) = fields.object("user", problems) {
        user_name = user.text("username", problems).unwrap_or_default();
        user.refuse(USER_REFUSALS, problems);
        user.finish(problems);
    }
    fields.refuse(REFUSALS, problems);
    fields.finish(problems);
    Some(Process {
        command: command?,
        directory,
        environment,
        console,
        user_name,
        user_path,
    })
}

/// One of the arguments and the line.
fn command(fields: &mut Fields, rules: Rules, problems: &mut Problems) -> Option<Command> {
    let (path, line_path) = (fields.path("args"), fields.path("commandLine"));
    let arguments = fields.texts("args", problems);
    let line = fields.text("commandLine", problems).unwrap_or_default();
    if line.contains('\0') {
        problems.add(&line_path, "it has a NUL character; remove it");
    }
    for (number, argument) in arguments.iter().enumerate() {
        if argument.contains('\0') {
            let path = format!("{path}[{number}]");
            problems.add(&path, "it has a NUL character; remove it");
        }
    }
    match (arguments.first(), line.is_empty()) {
        (Some(_), false) => {
            problems.add(
                &line_path,
                "args name the program too; leave one of them out",
            );
            None
        }
        (None, true) => {
            problems.add(
                &path,
                "no program is named; write its name as the first argument",
            );
            None
        }
        (Some(first), true) if first.is_empty() => {
            problems.add(
                &format!("{path}[0]"),
                "it is empty; write the name of the program",
            );
            None
        }
        (Some(_), true) => Some(Command::Arguments(arguments)),
        (None, false) if rules == Rules::Windows && line.starts_with([' ', '\t']) => {
            problems.add(
                &line_path,
                "it starts with white space, so that it names no program; remove that",
            );
            None
        }
        (None, false) => Some(Command::Line(line)),
    }
}

/// A console, where one is asked for. containerd sends a size even where none is: that asks for nothing.
fn console(fields: &mut Fields, context: &Context<'_>, problems: &mut Problems) -> Option<Console> {
    let path = fields.path("terminal");
    let wanted = fields.flag("terminal", problems);
    let mut console = CONSOLE;
    if let Some(mut size) = fields.object("consoleSize", problems) {
        side(&mut size, "width", &mut console.columns, problems);
        side(&mut size, "height", &mut console.rows, problems);
        size.finish(problems);
    }
    if wanted && !context.features.pseudo_console {
        problems.add(
            &path,
            "this host has no pseudo consoles; leave the terminal out",
        );
    }
    wanted.then_some(console)
}

/// One side of a console, in characters. Zero leaves it as it is.
fn side(box_size: &mut Fields, name: &str, side: &mut u16, problems: &mut Problems) {
    let Some(value) = box_size.number(name, problems).filter(|value| *value > 0) else {
        return;
    };
    if let Ok(value) = i16::try_from(value) {
        *side = value.unsigned_abs();
    } else {
        let rule = "it must be from 1 to 32767";
        problems.add_value(&box_size.path(name), &value.to_string(), rule);
    }
}
