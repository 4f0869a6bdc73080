//! Results: a table for people, JSON for programs. Nobody who reads them is no error: `hosttask-node list | head` is usual.

use std::io::{self, ErrorKind, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// Prints a document with its fields on lines of their own.
///
/// # Errors
/// What the system said, but for a reader that left.
pub(super) fn json(document: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(document).map_err(io::Error::other)?;
    text_line(&text)
}

/// Prints a document in one line, for streams of documents.
///
/// # Errors
/// As [`stream_line`].
pub(super) fn json_line(document: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(document).map_err(io::Error::other)?;
    stream_line(&text)
}

/// Prints a line of a stream.
///
/// # Errors
/// What the system said: here a reader that left is an error, since there is no end otherwise.
pub(super) fn stream_line(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")?;
    output.flush()
}

/// Prints a table; only its heads where it has no rows.
///
/// # Errors
/// As [`json`].
pub(super) fn table(heads: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
    text_line(&render(heads, rows))
}

/// Prints a line.
///
/// # Errors
/// As [`json`].
pub(super) fn text_line(text: &str) -> io::Result<()> {
    match stream_line(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A table as wide as its cells, two blanks between them.
pub(super) fn render(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(heads.iter().copied())
        .add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A time span as people say it: `3d 4h`, `5m 6s`, `7s`.
pub(super) fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m {rest}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// Bytes as people say them, in units of 1024, cut after one digit.
pub(super) fn bytes(count: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in units {
        let whole = count >> shift;
        if whole > 0 {
            let tenth = ((count >> (shift - 10)) & 1023) * 10 / 1024;
            return format!("{whole}.{tenth} {unit}");
        }
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_bytes_are_short_and_cut_never_rounded_up() {
        let spans = [
            (-5, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (3_599, "59m 59s"),
            (3_600, "1h 0m"),
            (90_000, "1d 1h"),
        ];
        for (seconds, said) in spans {
            assert_eq!(span(seconds), said);
        }
        let counts = [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_536, "1.5 KiB"),
            (1_048_575, "1023.9 KiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ];
        for (count, said) in counts {
            assert_eq!(bytes(count), said);
        }
    }

    #[test]
    fn a_table_without_rows_has_its_heads() {
        assert_eq!(render(&["ID", "PID"], Vec::new()), "ID  PID");
    }
}
