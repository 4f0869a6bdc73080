//! `resolve`: a plan and the host it is started on, to what is started.

use std::collections::BTreeMap;

use thiserror::Error;

use super::executable::{self, Search};
use super::path::PathError;
use super::problem::shown;
use super::view::View;
use super::{Command, ProcessPlan, Surroundings, batch, command_line, directory, environment};
use crate::sys::{Launch, Rules};

/// The most UTF-16 units of a command line, by `CreateProcess`, without the NUL at its end.
const LONGEST_LINE: usize = 32_766;

/// Why a process cannot be started. Arguments and values of variables are never in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// The folder is no path that can be used.
    #[error("process.cwd: the folder \"{}\" cannot be used: {}", shown(directory), shown(&why.to_string()))]
    Directory {
        /// The folder, with variables replaced.
        directory: String,
        /// Why.
        why: PathError,
    },
    /// The folder is nowhere.
    #[error(
        "process.cwd: the folder \"{}\" was not found (looked at {}); create it, or name one of the image with %CONTAINER_SANDBOX_MOUNT_POINT%",
        shown(directory),
        list(tried)
    )]
    DirectoryNotFound {
        /// The folder, with variables replaced.
        directory: String,
        /// Where it was looked for.
        tried: Vec<String>,
    },
    /// The name of the program is no path that can be used.
    #[error("the program \"{}\" cannot be used: {}", shown(program), shown(&why.to_string()))]
    Program {
        /// Its name, with variables replaced.
        program: String,
        /// Why.
        why: PathError,
    },
    /// The program is nowhere.
    #[error(
        "the program \"{}\" was not found (looked at {}); correct its name or write its full path{advice}",
        shown(program),
        list(tried)
    )]
    NotFound {
        /// Its name, with variables replaced.
        program: String,
        /// Where it was looked for.
        tried: Vec<String>,
        /// What else to do; empty, or starts with a comma.
        advice: &'static str,
    },
    /// A folder stands where the program should be.
    #[error("\"{}\" is a folder and no program; name a program in it", shown(path))]
    Folder {
        /// The folder.
        path: String,
    },
    /// An unquoted path may go on after the space, so that which program is meant is not certain (CWE-428).
    #[error(
        "the path \"{}\" may go on after the space; put the program in quotes, or write its ending as .exe",
        shown(word)
    )]
    Unquoted {
        /// The first word of the line.
        word: String,
    },
    /// A batch file, which nobody allowed.
    #[error(
        "\"{}\" is a batch file, which only cmd.exe can run, with other rules for arguments; name a program, or set the annotation dev.hosttask/allow-batch-files to true",
        shown(path)
    )]
    Batch {
        /// The file.
        path: String,
    },
    /// An argument that `cmd.exe` would read as something else.
    #[error(
        "argument {number} of the batch file \"{}\" has a character that cmd.exe reads as its own; leave out double quotes, percent signs and line ends",
        shown(path)
    )]
    BatchArgument {
        /// The file.
        path: String,
        /// Which argument, from 1; 0 is the file itself.
        number: usize,
    },
    /// A file that another program runs.
    #[error(
        "\"{}\" is a script and no program; name the program that runs it first, as powershell.exe -File",
        shown(path)
    )]
    Script {
        /// The file.
        path: String,
    },
    /// The line is too long for Windows.
    #[error(
        "the command line has {length} characters, and Windows takes at most {LONGEST_LINE}; pass arguments in a file"
    )]
    LineTooLong {
        /// In UTF-16 units.
        length: usize,
    },
    /// A variable is too long for Windows.
    #[error(
        "the variable \"{}\" has more characters than Windows takes, 32766 with its name; pass it in a file",
        shown(name)
    )]
    VariableTooLong {
        /// Its name.
        name: String,
    },
    /// There is no program.
    #[error("no program is named; write its name as the first argument")]
    NoProgram,
}

/// The first of a list, in words.
fn list(tried: &[String]) -> String {
    const SHOWN: usize = 8;
    let first: Vec<_> = tried.iter().take(SHOWN).map(|path| shown(path)).collect();
    match tried.len().saturating_sub(SHOWN) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// Resolves everything of a plan, so that the system has nothing to search for and no shell is needed.
///
/// The folder may have to be made: see [`ProcessPlan::directory`].
///
/// A command that is one line names its program by its first word, as every program will read it. Where that word is an unquoted
/// path and more words follow, nothing is added to it, so that `C:\Program Files\x.exe` can never mean `C:\Program.exe`: it
/// must end in `.exe` or `.com`.
///
/// # Errors
/// A program that does not exist is [`ResolveError::NotFound`], with all places that were looked at.
pub fn resolve(
    process: &ProcessPlan,
    surroundings: &Surroundings<'_>,
) -> Result<Launch, ResolveError> {
    let view = View::new(surroundings, &process.expected_root);
    let rules = view.places().rules;
    let environment = environment::resolve(process, &view)?;
    let directory = directory::resolve(&process.directory, &view)?;
    let search = Search {
        view: &view,
        directory: &directory,
        path_variable: value_of_path(rules, &environment),
        allow_batch: process.allow_batch,
    };
    let Started {
        mut program,
        mut arguments,
        mut command_line,
    } = match &process.command {
        Command::Arguments(arguments) => of_arguments(arguments, &search)?,
        Command::Line(line) if rules == Rules::Windows => of_line(line, &search)?,
        Command::Line(line) => of_arguments(&command_line::split(line), &search)?,
    };
    if rules == Rules::Windows && executable::is_batch(&program) {
        let rest = arguments.get(1..).unwrap_or_default();
        (arguments, command_line) = batch::line(&program, rest)?;
        program = format!("{}\\cmd.exe", view.places().system);
    }
    let length = command_line.encode_utf16().count();
    if rules == Rules::Windows && length > LONGEST_LINE {
        return Err(ResolveError::LineTooLong { length });
    }
    Ok(Launch {
        program,
        arguments,
        command_line,
        directory,
        environment,
        console: process.console,
        suspended: false,
        drop_privileges: process.drop_privileges.clone(),
    })
}

/// What is started, with which arguments.
struct Started {
    program: String,
    arguments: Vec<String>,
    command_line: String,
}

fn of_arguments(arguments: &[String], search: &Search<'_>) -> Result<Started, ResolveError> {
    let arguments: Vec<_> = arguments.iter().map(|it| search.view.expand(it)).collect();
    let name = arguments.first().filter(|name| !name.is_empty());
    let program = search.find(name.ok_or(ResolveError::NoProgram)?)?;
    Ok(Started {
        program,
        command_line: command_line::quote(&arguments),
        arguments,
    })
}

fn of_line(line: &str, search: &Search<'_>) -> Result<Started, ResolveError> {
    // Split first: a root with a space in its name must not make two words of one.
    let (word, rest) = command_line::split_first(line);
    let (name, rest) = (search.view.expand(word), search.view.expand(rest));
    if name.is_empty() {
        return Err(ResolveError::NoProgram);
    }
    let may_go_on = !line.starts_with('"') && !rest.trim().is_empty();
    if may_go_on && name.contains(['\\', '/']) && !executable::is_program(&name) {
        return Err(ResolveError::Unquoted { word: name });
    }
    let program = search.find(&name).map_err(|mut error| {
        if let ResolveError::NotFound { advice, .. } = &mut error
            && may_go_on
        {
            *advice = ", in quotes if it has spaces";
        }
        error
    })?;
    let first = if line.starts_with('"') {
        format!("\"{name}\"")
    } else {
        command_line::quote_first(&name)
    };
    let command_line = format!("{first}{rest}");
    Ok(Started {
        program,
        arguments: command_line::split(&command_line),
        command_line,
    })
}

/// The value of `PATH`, however it is spelled.
fn value_of_path(rules: Rules, environment: &BTreeMap<String, String>) -> &str {
    let is_path = |name: &str| {
        name == "PATH" || (rules == Rules::Windows && name.eq_ignore_ascii_case("PATH"))
    };
    let entry = environment.iter().find(|(name, _)| is_path(name));
    entry.map_or("", |(_, value)| value.as_str())
}

#[cfg(test)]
mod tests;
