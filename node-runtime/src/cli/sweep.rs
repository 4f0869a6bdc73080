//! `sweep`: removes what crashes left.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use serde::Serialize;

use super::arguments::Output;
use super::context::Context;
use super::error::CommandError;
use super::{output, own};
use crate::container;
use crate::id::Id;
use crate::keeper::address;

/// How long a bundle may wait for the keeper of its container.
const YOUNG: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// How long a keeper that is busy is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was done.
#[derive(Debug, Serialize)]
struct Swept {
    /// What was removed, in words.
    removed: Vec<String>,
    /// What could not be removed, and why.
    failed: Vec<String>,
}

/// `sweep`. Can be repeated, and runs beside everything else.
pub(super) fn sweep(context: &Context) -> Result<u32, CommandError> {
    let store = context.store()?;
    // Looked for first: what is made from now on is not taken for a leftover.
    let bundles = bundles(context)?;
    let swept = container::sweep(context.host.as_ref(), &store)?;
    let mut swept = Swept {
        removed: swept.removed,
        failed: swept.failed,
    };
    for id in bundles {
        // A bundle is made before its container, whose folder is there from then on, or never.
        if !store.path(&id).exists() && !is_served(context, &id) {
            own::remove(&context.root, &id);
            swept
                .removed
                .push(format!("the bundle of {id}, which is no more"));
        }
    }
    let failed = swept.failed.len();
    let printed = match context.output(Output::Table) {
        Output::Json => output::json(&swept),
        Output::Table => output::text_line(&lines(&swept)),
    };
    printed.map_err(CommandError::Print)?;
    if failed > 0 {
        return Err(CommandError::Left(failed));
    }
    Ok(0)
}

fn lines(swept: &Swept) -> String {
    let removed = swept.removed.iter().map(|what| format!("removed {what}"));
    let failed = swept.failed.iter().map(|what| format!("FAILED {what}"));
    let lines: Vec<String> = removed.chain(failed).collect();
    if lines.is_empty() {
        return "nothing was left".to_owned();
    }
    lines.join("\n")
}

/// The containers for which bundles were made. A bundle that is younger than a keeper may take to start is not looked at.
fn bundles(context: &Context) -> Result<BTreeSet<Id>, CommandError> {
    let folder = own::folder(&context.root);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(CommandError::file("list", folder))?,
    };
    let names = entries.flatten().filter(|it| is_old(context, it));
    let names = names.filter_map(|it| it.file_name().into_string().ok());
    Ok(names.filter_map(|name| Id::parse(&name).ok()).collect())
}

fn is_old(context: &Context, entry: &fs::DirEntry) -> bool {
    let made = entry.metadata().and_then(|it| it.modified()).ok();
    let made = made.and_then(|it| jiff::Timestamp::try_from(it).ok());
    // What says nothing about its age is old: nobody waits for it.
    made.is_none_or(|made| context.host.now().duration_since(made) > YOUNG)
}

/// Whether a keeper is there, so that its container is being made.
fn is_served(context: &Context, id: &Id) -> bool {
    let address = address::of_keeper(&context.places, &context.root, id);
    let connected = context.host.connect(&address, PATIENCE);
    !matches!(connected, Err(error) if error.kind() == ErrorKind::NotFound)
}

/// Removes what is left of a container whose keeper is gone.
pub(super) fn remove(context: &Context, id: &Id, force: bool) -> Result<(), CommandError> {
    let store = context.store()?;
    container::discard(context.host.as_ref(), &store, id, force)?;
    Ok(())
}
