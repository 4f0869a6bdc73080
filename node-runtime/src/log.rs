//! `log`: lines for whoever looks after the host. Neither arguments nor values of variables are ever in them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Words.
    Text,
    /// A JSON object in each, with the fields that container engines read: `level`, `msg`, `time`.
    Json,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something happened.
    Info,
    /// Something failed.
    Error,
}

/// A line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    level: Level,
    msg: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
}

/// One line, without its end. Line breaks within are kept only where the format has others for itself.
pub fn line(format: Format, level: Level, message: &str, time: Option<Timestamp>) -> String {
    match format {
        Format::Json => serde_json::to_string(&Line {
            level,
            msg: message,
            time,
        })
        .unwrap_or_default(),
        Format::Text => {
            let word = match level {
                Level::Info => "info",
                Level::Error => "error",
            };
            let message = message.replace('\n', "; ");
            match time {
                Some(time) => format!("{time:.3} {word}: {message}"),
                None => format!("{word}: {message}"),
            }
        }
    }
}

/// A file to which lines are appended.
#[derive(Debug)]
pub struct Log {
    file: File,
    format: Format,
}

impl Log {
    /// Opens a file, or makes it.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(path: &Path, format: Format) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file, format })
    }

    /// Appends a line at once: lines of several processes never mix. A disk that is full loses lines, and nothing else.
    pub fn say(&self, level: Level, message: &str, time: Option<Timestamp>) {
        let mut line = line(self.format, level, message, time);
        line.push('\n');
        drop((&self.file).write_all(line.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_in_both_formats() {
        let time = "2026-11-22T09:00:00Z".parse().ok();
        let text = line(Format::Text, Level::Error, "no\nroom", time);
        assert_eq!(text, "2026-11-22T09:00:00.000Z error: no; room");
        let json = line(Format::Json, Level::Info, "no\nroom", time);
        assert_eq!(
            json,
            r#"{"level":"info","msg":"no\nroom","time":"2026-11-22T09:00:00Z"}"#
        );
    }
}
