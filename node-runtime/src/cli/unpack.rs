//! `unpack`: layers of an image as a folder that a config can name as its layer.

use std::io::{self, IsTerminal as _, Write as _};

use super::arguments::{Output, Unpack};
use super::context::{Context, absolute};
use super::error::CommandError;
use super::output::{self, bytes};
use crate::storage::{self, Progress, Summary};

/// `unpack`.
pub(super) fn unpack(context: &Context, command: &Unpack) -> Result<u32, CommandError> {
    let target = absolute(&command.target)?;
    let is_watched = io::stderr().is_terminal();
    let mut shown = 0;
    let mut show = |progress: &Progress| {
        // A line a layer, and one for each gigabyte: enough to see that it goes on.
        let step = progress.bytes >> 30;
        if is_watched && step > shown {
            shown = step;
            drop(writeln!(io::stderr(), "{}", progress_line(progress)));
        }
    };
    let summary = storage::unpack(&command.layers, &target, &mut show)?;
    let printed = match context.output(Output::Table) {
        Output::Json => output::json(&summary),
        Output::Table => output::text_line(&summary_lines(&summary)),
    };
    printed.map_err(CommandError::Print)?;
    Ok(0)
}

fn progress_line(progress: &Progress) -> String {
    let Progress {
        layer,
        layers,
        entries,
        bytes: count,
    } = progress;
    format!(
        "layer {layer} of {layers}, {entries} entries, {}",
        bytes(*count)
    )
}

/// What was done, and what a plain tree does not keep.
fn summary_lines(summary: &Summary) -> String {
    let mut lines = vec![format!(
        "{} files and {} folders, {}",
        summary.files,
        summary.folders,
        bytes(summary.bytes)
    )];
    let ignored = summary.ignored.iter();
    lines.extend(ignored.map(|(what, count)| format!("not kept: {what} ({count} entries)")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_not_kept_is_said() {
        let summary = Summary {
            files: 2,
            bytes: 2048,
            ignored: BTreeMap::from([("Hives".to_owned(), 5)]),
            ..Summary::default()
        };
        let expected = "2 files and 0 folders, 2.0 KiB\nnot kept: Hives (5 entries)";
        assert_eq!(summary_lines(&summary), expected);
    }
}
