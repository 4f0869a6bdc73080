//! `path`: what is a full path, and its one spelling.
//!
//! Windows lets one file have many names: `C:\a`, `c:/a`, `C:\x\..\a`, `\\?\C:\a`, `C:\A.`, `C:\LONGNA~1`, `C:\a::$DATA`. A
//! check of one name says nothing about another, so that all but the plain ones are refused, and the plain ones get one form.
//! What is no file (`NUL`, `\\.\…`, `\\?\GLOBALROOT\…`) is refused too.

mod name;

use thiserror::Error;

pub(super) use name::check as check_name;
use name::{LONGEST_NAME, is_short, length};

use crate::sys::{Places, Rules};

/// The most UTF-16 units of a path, below the 32,767 of Windows; bytes on Linux.
const LONGEST: usize = 32_000;

/// Why a text is no path that can be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// Nothing.
    #[error("the path is empty")]
    Empty,
    /// It leads to somewhere else with every current folder.
    #[error("the path is not a full one; write it from the drive on, as C:\\folder")]
    NotFull,
    /// `C:folder`.
    #[error(
        "the path depends on the current folder of its drive; write a backslash after the colon"
    )]
    OfDrive,
    /// `\\server\share`. The runtime would show its credentials to that server.
    #[error("the path is one of another machine; let the program itself open it")]
    Network,
    /// A named pipe.
    #[error(
        "the path is a named pipe; a HostProcess container opens the pipes of the host itself, so use its name in the program"
    )]
    Pipe,
    /// `\\.\…`, `\\?\GLOBALROOT\…` and other names of devices.
    #[error("the path names a device and no file; write it from the drive on, as C:\\folder")]
    Device,
    /// A device of MS-DOS: `NUL`, also as `NUL.txt`.
    #[error("the path has the name \"{0}\", which is a device of Windows; choose another name")]
    Reserved(String),
    /// A stream of a file.
    #[error("the path has a colon, which names a stream of a file; leave it out")]
    Stream,
    /// A character that no name has.
    #[error("the path has the character {0:?}, which no name of a file has")]
    Character(char),
    /// Windows takes the last characters of such a name away.
    #[error(
        "the path has the name \"{0}\", whose end Windows would cut; remove the dot or the space there"
    )]
    Trailing(String),
    /// A second name of a file.
    #[error("the path has the short name \"{0}\"; write the long one")]
    Short(String),
    /// It goes up.
    #[error("the path has \"..\"; write where it leads to")]
    Up,
    /// It goes up further than it may.
    #[error("the path leads out of its folder with \"..\"")]
    Above,
    /// It is too long.
    #[error(
        "the path is too long; a name has at most {LONGEST_NAME} characters, the whole {LONGEST}"
    )]
    TooLong,
}

/// What a path starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start<'a> {
    /// A prefix in its one spelling, with a separator at its end (`C:\`, `\\?\Volume{…}\`, `/`), and what follows it.
    Full(String, &'a str),
    /// `\folder`: of the drive that is current. The rest.
    Rooted(&'a str),
    /// A relative path.
    Relative(&'a str),
}

/// What a path starts with. Names in it are not checked yet.
pub(super) fn start(rules: Rules, text: &str) -> Result<Start<'_>, PathError> {
    if text.is_empty() {
        return Err(PathError::Empty);
    }
    match rules {
        Rules::Posix => Ok(match text.strip_prefix('/') {
            Some(rest) => Start::Full("/".to_owned(), rest),
            None => Start::Relative(text),
        }),
        Rules::Windows => start_of_windows(text),
    }
}

fn start_of_windows(text: &str) -> Result<Start<'_>, PathError> {
    if let Some(rest) = after_separators(text, 2) {
        return start_of_namespace(rest);
    }
    if let Some(rest) = after_separators(text, 1) {
        // `\??\C:\…` is how the kernel writes it.
        if rest.starts_with("??") {
            return Err(PathError::Device);
        }
        return Ok(Start::Rooted(rest));
    }
    if let Some((drive, rest)) = split_drive(text) {
        let prefix = format!("{drive}:\\");
        return match after_separators(rest, 1) {
            Some(rest) => Ok(Start::Full(prefix, rest)),
            None if rest.is_empty() => Ok(Start::Full(prefix, rest)),
            None => Err(PathError::OfDrive),
        };
    }
    Ok(Start::Relative(text))
}

/// What follows `\\`: `?\…`, `.\…`, or a server.
fn start_of_namespace(rest: &str) -> Result<Start<'_>, PathError> {
    if let Some(rest) = rest
        .strip_prefix('.')
        .and_then(|it| after_separators(it, 1))
    {
        let is_pipe = split_first(rest).0.eq_ignore_ascii_case("pipe");
        return Err(if is_pipe {
            PathError::Pipe
        } else {
            PathError::Device
        });
    }
    let Some(rest) = rest
        .strip_prefix('?')
        .and_then(|it| after_separators(it, 1))
    else {
        return Err(PathError::Network);
    };
    if let Some((drive, rest)) = split_drive(rest) {
        let rest = after_separators(rest, 1).ok_or(PathError::OfDrive)?;
        return Ok(Start::Full(format!("{drive}:\\"), rest));
    }
    let (first, rest) = split_first(rest);
    if first.eq_ignore_ascii_case("unc") {
        return Err(PathError::Network);
    }
    if !is_volume(first) {
        return Err(PathError::Device);
    }
    let identifier = first.get("volume".len()..).unwrap_or_default();
    let prefix = format!("\\\\?\\Volume{}\\", identifier.to_ascii_lowercase());
    Ok(Start::Full(prefix, rest))
}

/// `Volume{8-4-4-4-12 hexadecimal digits}`.
fn is_volume(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let Some(identifier) = lower
        .strip_prefix("volume{")
        .and_then(|it| it.strip_suffix('}'))
    else {
        return false;
    };
    let groups: Vec<_> = identifier.split('-').map(str::len).collect();
    let is_hexadecimal = |it: char| it.is_ascii_hexdigit() || it == '-';
    groups == [8, 4, 4, 4, 12] && identifier.chars().all(is_hexadecimal)
}

/// The drive in capitals, and what follows its colon.
fn split_drive(text: &str) -> Option<(char, &str)> {
    let mut letters = text.chars();
    let drive = letters.next().filter(char::is_ascii_alphabetic)?;
    let rest = letters.as_str().strip_prefix(':')?;
    Some((drive.to_ascii_uppercase(), rest))
}

fn is_separator(letter: char) -> bool {
    matches!(letter, '\\' | '/')
}

/// What follows that many separators.
fn after_separators(text: &str, count: usize) -> Option<&str> {
    let mut letters = text.chars();
    for _ in 0..count {
        letters.next().filter(|it| is_separator(*it))?;
    }
    Some(letters.as_str())
}

/// The first name, and what follows its separator.
fn split_first(text: &str) -> (&str, &str) {
    text.split_once(is_separator).unwrap_or((text, ""))
}

/// The one spelling of a full path: drive in capitals, the separator of the rules, none at the end but after a drive alone.
///
/// Refused is what is relative, has a second name (`..`, short names, streams, names that end with a dot), is of another
/// machine, or is no file. The spelling of a spelling is itself.
pub fn canonical(rules: Rules, text: &str) -> Result<String, PathError> {
    let Start::Full(prefix, rest) = start(rules, text)? else {
        return Err(PathError::NotFull);
    };
    let names = names(rules, rest, Ups::Refuse)?;
    finish(rules, prefix, &names)
}

/// The one spelling of a relative path. Refused is what [`canonical`] refuses.
pub fn canonical_relative(rules: Rules, text: &str) -> Result<String, PathError> {
    match start(rules, text)? {
        Start::Relative(rest) => {
            let names = names(rules, rest, Ups::Refuse)?;
            finish(rules, String::new(), &names)
        }
        Start::Full(..) | Start::Rooted(_) => Err(PathError::NotFull),
    }
}

/// What a path means in a folder, which is a full path: `..` goes up, but not out of the folder's drive.
///
/// Short names are let through: this is for what is read, not for what is put somewhere.
pub(super) fn join(rules: Rules, folder: &str, text: &str) -> Result<String, PathError> {
    let Start::Full(prefix, above) = start(rules, folder)? else {
        return Err(PathError::NotFull);
    };
    let rest = match start(rules, text)? {
        Start::Full(prefix, rest) => return finish(rules, prefix, &names(rules, rest, Ups::Go)?),
        Start::Rooted(rest) => return finish(rules, prefix, &names(rules, rest, Ups::Go)?),
        Start::Relative(rest) => rest,
    };
    let separator = separator(rules);
    let whole = format!("{above}{separator}{rest}");
    finish(rules, prefix, &names(rules, &whole, Ups::Go)?)
}

/// The separator of the rules.
pub(super) fn separator(rules: Rules) -> char {
    match rules {
        Rules::Windows => '\\',
        Rules::Posix => '/',
    }
}

/// Where `\folder` is meant, with a separator at its end: the drive of the system.
pub(super) fn system_drive(places: &Places) -> String {
    match start(places.rules, &places.windows) {
        Ok(Start::Full(prefix, _)) => prefix,
        _ if places.rules == Rules::Posix => "/".to_owned(),
        _ => "C:\\".to_owned(),
    }
}

/// What to do with `..`, and with second names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ups {
    Refuse,
    Go,
}

/// The names of a path, each checked. Empty ones and `.` are left out.
fn names(rules: Rules, rest: &str, ups: Ups) -> Result<Vec<&str>, PathError> {
    let is_border = |it| it == '/' || (it == '\\' && rules == Rules::Windows);
    let mut names = Vec::new();
    for name in rest.split(is_border) {
        match name {
            "" | "." => {}
            ".." if ups == Ups::Refuse => return Err(PathError::Up),
            ".." => {
                names.pop().ok_or(PathError::Above)?;
            }
            _ => {
                check_name(rules, name)?;
                if rules == Rules::Windows && ups == Ups::Refuse && is_short(name) {
                    return Err(PathError::Short(name.to_owned()));
                }
                names.push(name);
            }
        }
    }
    Ok(names)
}

fn finish(rules: Rules, prefix: String, names: &[&str]) -> Result<String, PathError> {
    let mut path = prefix;
    for (number, name) in names.iter().enumerate() {
        if number > 0 {
            path.push(separator(rules));
        }
        path.push_str(name);
    }
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if length(rules, &path) > LONGEST {
        return Err(PathError::TooLong);
    }
    Ok(path)
}

/// The same text for two names that the rules take for one.
///
/// Windows compares by a table of capitals. Where that table says they differ and this says they are one, as with `ſ`, a
/// config is refused that could have been let through; never the other way.
pub(super) fn fold(rules: Rules, text: &str) -> String {
    match rules {
        Rules::Windows => text.to_uppercase(),
        Rules::Posix => text.to_owned(),
    }
}

/// What of a path is below a folder: empty for the folder itself, none where it is elsewhere. Both are full paths in their one
/// spelling; the folder may have a separator at its end.
pub(super) fn below<'a>(rules: Rules, path: &'a str, folder: &str) -> Option<&'a str> {
    let separator = separator(rules);
    let folder = folder.strip_suffix(separator).unwrap_or(folder);
    let mut letters = path.char_indices();
    let mut of_folder = folder.chars();
    loop {
        let Some(expected) = of_folder.next() else {
            let rest = letters.as_str();
            return match rest.strip_prefix(separator) {
                Some(rest) => Some(rest),
                None if rest.is_empty() => Some(rest),
                None => None,
            };
        };
        let (_, letter) = letters.next()?;
        let is_same = letter == expected
            || (rules == Rules::Windows && letter.to_uppercase().eq(expected.to_uppercase()));
        if !is_same {
            return None;
        }
    }
}

/// Where a full path in its one spelling, as a program writes it, is below a root: without its drive.
///
/// `root` has a separator at its end.
pub fn in_root(rules: Rules, root: &str, path: &str) -> String {
    let rest = match start(rules, path) {
        Ok(Start::Full(_, rest) | Start::Rooted(rest) | Start::Relative(rest)) => rest,
        Err(_) => "",
    };
    format!("{root}{rest}")
}

#[cfg(test)]
mod tests;
