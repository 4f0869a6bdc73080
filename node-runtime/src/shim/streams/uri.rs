//! `uri`: reads one stream address.

use std::fmt;
use std::path::PathBuf;

use crate::launch::path;
use crate::sys::Rules;

/// What an address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Uri {
    /// A named pipe, a FIFO or a socket.
    Pipe(String),
    /// A file.
    File(PathBuf),
    /// A program that reads the output.
    Binary {
        /// The program.
        program: PathBuf,
        /// Names and values of the query, in its order; a name that is given twice counts once.
        arguments: Vec<String>,
    },
}

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It has more than 16 KiB.
    TooLong,
    /// It has a character that no path and no address has.
    Control,
    /// It starts with a scheme that is not known; some have a better one.
    Scheme(String),
    /// It is a path of Windows without a scheme.
    BareFile,
    /// It is no path and has no scheme.
    Relative,
    /// It names another machine.
    Machine,
    /// It has a `%` that two hexadecimal digits do not follow, or what they stand for is no UTF-8.
    Percent,
    /// It is no named pipe.
    NoPipe,
    /// Only a log driver has arguments.
    Query,
    /// Its path is none that can be used, and why.
    Path(String),
    /// It cannot be read from.
    OnlyOutput,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "it has more than 16 KiB; give a shorter one",
            Self::Control => "it has a control character; leave it out",
            Self::Scheme(scheme) => {
                return write!(
                    f,
                    "the scheme {scheme:?} is unknown; give a pipe, file:/// or binary:///"
                );
            }
            Self::BareFile => "it is a path without a scheme; for a file write file:///C:/folder/name",
            Self::Relative => "it is neither a full path nor has it a scheme; give a pipe, file:/// or binary:///",
            Self::Machine => "it names another machine; only pipes and files of this one can be used",
            Self::Percent => "it has a % that two hexadecimal digits do not follow, or they stand for no UTF-8",
            Self::NoPipe => r"it is no named pipe; write \\.\pipe\name or npipe:////./pipe/name",
            Self::Query => "it has a ?, which only binary:// takes arguments after; write %3F for the character",
            Self::Path(why) => return write!(f, "{why}"),
            Self::OnlyOutput => "nothing can be read from there; give a pipe",
        })
    }
}

/// Reads an address that is not empty.
pub(super) fn parse(rules: Rules, address: &str) -> Result<Uri, Fault> {
    if address.chars().any(char::is_control) {
        return Err(Fault::Control);
    }
    match scheme(address) {
        Some(("npipe", rest)) if rules == Rules::Windows => pipe_of_uri(rest),
        Some(("fifo", rest)) if rules == Rules::Posix => {
            let path = only_path(rest)?;
            Ok(Uri::Pipe(file(rules, &path)?))
        }
        Some(("file", rest)) => {
            let path = only_path(rest)?;
            Ok(Uri::File(PathBuf::from(file(rules, &path)?)))
        }
        Some(("binary", rest)) => binary(rules, rest),
        Some((scheme, _)) if scheme.len() == 1 => Err(Fault::BareFile),
        Some((scheme, _)) => Err(Fault::Scheme(scheme.to_owned())),
        None => bare(rules, address),
    }
}

/// What stands before the first colon, where that can be a scheme, and what follows it.
fn scheme(address: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = address.split_once(':')?;
    let mut letters = scheme.chars();
    let first = letters.next()?;
    let is_scheme = first.is_ascii_alphabetic()
        && letters.all(|it| it.is_ascii_alphanumeric() || "+-.".contains(it));
    is_scheme.then_some((scheme, rest))
}

/// An address without a scheme.
fn bare(rules: Rules, address: &str) -> Result<Uri, Fault> {
    match rules {
        Rules::Posix if address.starts_with('/') => Ok(Uri::Pipe(file(rules, address)?)),
        Rules::Windows if address.starts_with(['\\', '/']) => named_pipe(address),
        Rules::Posix | Rules::Windows => Err(Fault::Relative),
    }
}

/// `//./pipe/name` and `////./pipe/name`: with and without the slashes of the path itself.
fn pipe_of_uri(rest: &str) -> Result<Uri, Fault> {
    if rest.contains('?') {
        return Err(Fault::Query);
    }
    let rest = decode(rest)?;
    let name = rest.trim_start_matches(['/', '\\']);
    named_pipe(&format!("//{name}"))
}

/// `\\.\pipe\name`, in either separator.
fn named_pipe(address: &str) -> Result<Uri, Fault> {
    let plain = address.replace('/', "\\");
    let Some(rest) = plain.strip_prefix(r"\\") else {
        return Err(Fault::NoPipe);
    };
    let (machine, rest) = rest.split_once('\\').ok_or(Fault::NoPipe)?;
    let (folder, name) = rest.split_once('\\').ok_or(Fault::NoPipe)?;
    if !folder.eq_ignore_ascii_case("pipe") {
        return Err(Fault::NoPipe);
    }
    if machine != "." {
        return Err(Fault::Machine);
    }
    // Windows takes 256 characters, with the prefix.
    let is_long = name.encode_utf16().count() > 247;
    if name.is_empty() || is_long || name.split('\\').any(|part| part.is_empty() || part == "..") {
        return Err(Fault::NoPipe);
    }
    Ok(Uri::Pipe(format!(r"\\.\pipe\{name}")))
}

/// The path after `file:` or `fifo:`.
fn only_path(rest: &str) -> Result<String, Fault> {
    if rest.contains('?') {
        return Err(Fault::Query);
    }
    path_of(rest)
}

/// `///path`, with the name of this machine between the slashes or none.
fn path_of(rest: &str) -> Result<String, Fault> {
    let rest = rest.strip_prefix("//").ok_or(Fault::Relative)?;
    let at = rest.find('/').ok_or(Fault::Relative)?;
    let (machine, path) = rest.split_at(at);
    if !machine.is_empty() && machine != "localhost" {
        return Err(Fault::Machine);
    }
    decode(path)
}

/// The path of a file by the rules of the host: `/C:/logs/a` is `C:\logs\a` on Windows.
fn file(rules: Rules, text: &str) -> Result<String, Fault> {
    let text = match rules {
        Rules::Windows => text.strip_prefix('/').unwrap_or(text),
        Rules::Posix => text,
    };
    path::canonical(rules, text).map_err(|why| Fault::Path(why.to_string()))
}

fn binary(rules: Rules, rest: &str) -> Result<Uri, Fault> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let program = PathBuf::from(file(rules, &path_of(rest)?)?);
    let mut names = Vec::new();
    let mut arguments = Vec::new();
    for pair in query.split('&').filter(|it| !it.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode_query(name)?, decode_query(value)?);
        if !names.contains(&name) {
            names.push(name.clone());
            arguments.extend([name, value]);
        }
    }
    Ok(Uri::Binary { program, arguments })
}

fn decode_query(text: &str) -> Result<String, Fault> {
    decode(&text.replace('+', " "))
}

/// Puts back what stands as `%` and two digits. No character that ends a text comes out.
fn decode(text: &str) -> Result<String, Fault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |it: Option<u8>| {
            char::from(it?)
                .to_digit(16)
                .and_then(|it| u8::try_from(it).ok())
        };
        let (high, low) = (digit(rest.next()), digit(rest.next()));
        let (Some(high), Some(low)) = (high, low) else {
            return Err(Fault::Percent);
        };
        bytes.push(high * 16 + low);
    }
    let text = String::from_utf8(bytes).map_err(|_| Fault::Percent)?;
    if text.chars().any(char::is_control) {
        return Err(Fault::Control);
    }
    Ok(text)
}
