//! `state`, `list`, `ps` and `stats`: what there is.

use serde_json::json;

use super::arguments::{Output, State};
use super::context::Context;
use super::error::CommandError;
use super::known::{Known, KnownAdded, added, all, known};
use super::output::{self, bytes, span};
use crate::id::Id;
use crate::keeper::protocol::Request;
use crate::sys::{ProcessInfo, Usage};

/// `state`: always the JSON of OCI runtimes, unless a table is asked for.
pub(super) fn state(context: &Context, command: &State) -> Result<u32, CommandError> {
    let is_table = context.output(Output::Json) == Output::Table;
    let printed = if let Some(exec) = &command.exec {
        let added = added(context, &command.id, exec)?;
        if is_table {
            output::table(&ADDED_HEADS, vec![added_row(context, &added)])
        } else {
            output::json(&added)
        }
    } else {
        let known = known(context, &command.id)?;
        if is_table {
            table(context, &[known])
        } else {
            output::json(&known)
        }
    };
    printed.map_err(CommandError::Print)?;
    Ok(0)
}

/// The heads of the table with a process that was added.
const ADDED_HEADS: [&str; 5] = ["EXEC", "STATUS", "PID", "EXIT", "AGE"];

fn added_row(context: &Context, added: &KnownAdded) -> Vec<String> {
    let exit = added.exit.as_ref().map(|exit| exit.code.to_string());
    let pid = added.pid.map(|pid| pid.to_string());
    let age = context.host.now().duration_since(added.created);
    vec![
        added.exec.to_string(),
        added.status.clone(),
        pid.unwrap_or_default(),
        exit.unwrap_or_default(),
        span(age.as_secs()),
    ]
}

/// `list`.
pub(super) fn list(context: &Context) -> Result<u32, CommandError> {
    let all = all(context)?;
    let printed = match context.output(Output::Table) {
        Output::Json => output::json(&all),
        Output::Table => table(context, &all),
    };
    printed.map_err(CommandError::Print)?;
    Ok(0)
}

fn table(context: &Context, all: &[Known]) -> std::io::Result<()> {
    let now = context.host.now();
    let row = |known: &Known| {
        let exit = known.exit.as_ref().map(|exit| exit.code.to_string());
        let pid = known.pid.map(|pid| pid.to_string());
        let age = known
            .created
            .map(|it| span(now.duration_since(it).as_secs()));
        vec![
            known.id.to_string(),
            known.status.clone(),
            pid.unwrap_or_default(),
            exit.unwrap_or_default(),
            age.unwrap_or_default(),
            known
                .note
                .clone()
                .or_else(|| known.bundle.clone())
                .unwrap_or_default(),
        ]
    };
    let heads = ["ID", "STATUS", "PID", "EXIT", "AGE", "BUNDLE"];
    output::table(&heads, all.iter().map(row).collect())
}

/// `ps`.
pub(super) fn processes(context: &Context, id: &Id) -> Result<u32, CommandError> {
    let request = Request::Processes;
    let processes: Vec<ProcessInfo> = context.ask_or_look(id, &request, |job| job.processes())?;
    let now = context.host.now();
    let row = |process: &ProcessInfo| {
        let cpu = process
            .user_nanoseconds
            .saturating_add(process.kernel_nanoseconds);
        vec![
            process.pid.to_string(),
            process.parent.to_string(),
            span(now.duration_since(process.created).as_secs()),
            seconds(cpu),
            bytes(process.private_working_set_bytes),
            process.name.clone(),
        ]
    };
    let printed = match context.output(Output::Table) {
        Output::Json => output::json(&processes),
        Output::Table => {
            let heads = ["PID", "PARENT", "AGE", "CPU", "MEMORY", "PROGRAM"];
            output::table(&heads, processes.iter().map(row).collect())
        }
    };
    printed.map_err(CommandError::Print)?;
    Ok(0)
}

/// `stats`.
pub(super) fn usage(context: &Context, id: &Id) -> Result<u32, CommandError> {
    let usage: Usage = context.ask_or_look(id, &Request::Usage, |job| job.usage())?;
    let printed = match context.output(Output::Table) {
        Output::Json => output::json(&json!({ "id": id, "usage": usage })),
        Output::Table => output::table(&["WHAT", "USED"], usage_rows(&usage)),
    };
    printed.map_err(CommandError::Print)?;
    Ok(0)
}

/// What the host counts; what it does not is left out.
fn usage_rows(usage: &Usage) -> Vec<Vec<String>> {
    let io = usage.io.as_ref();
    let rows = [
        ("processor, programs", Some(seconds(usage.user_nanoseconds))),
        ("processor, kernel", Some(seconds(usage.kernel_nanoseconds))),
        ("processes now", Some(usage.active_processes.to_string())),
        ("processes ever", Some(usage.total_processes.to_string())),
        (
            "memory, private",
            usage.private_working_set_bytes.map(bytes),
        ),
        ("memory, committed", usage.commit_bytes.map(bytes)),
        ("memory, most committed", usage.commit_peak_bytes.map(bytes)),
        ("page faults", usage.page_faults.map(|it| it.to_string())),
        (
            "read",
            io.map(|io| format!("{} in {}", bytes(io.read_bytes), io.read_operations)),
        ),
        (
            "written",
            io.map(|io| format!("{} in {}", bytes(io.write_bytes), io.write_operations)),
        ),
    ];
    let rows = rows.into_iter();
    rows.filter_map(|(what, used)| used.map(|used| vec![what.to_owned(), used]))
        .collect()
}

/// Nanoseconds as seconds with three digits.
fn seconds(nanoseconds: u64) -> String {
    let milliseconds = nanoseconds / 1_000_000;
    format!("{}.{:03}s", milliseconds / 1_000, milliseconds % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_does_not_count_is_left_out_and_not_zero() {
        let usage = Usage {
            user_nanoseconds: 1_234_567_890,
            ..Usage::default()
        };
        let rows = usage_rows(&usage);
        assert_eq!(rows[0], ["processor, programs", "1.234s"]);
        assert_eq!(rows.len(), 4);
    }
}
