//! `environment`: the variables of a process: the user's own, those of the config over them, and those of the runtime.

use std::collections::BTreeMap;

use super::problem::Problems;
use super::resolve::ResolveError;
use super::view::{MOUNT_POINT, View};
use super::{ProcessPlan, path};
use crate::sys::Rules;

/// The most UTF-16 units of `NAME=value`, with the NUL at its end, by `SetEnvironmentVariable`. The whole block has no bound.
const LONGEST: usize = 32_767;

/// Variables by the name the rules compare: with `Path` and `PATH`, the last that was set stays.
struct Block {
    rules: Rules,
    entries: BTreeMap<String, (String, String)>,
}

impl Block {
    fn new(rules: Rules) -> Self {
        let entries = BTreeMap::new();
        Self { rules, entries }
    }

    fn set(&mut self, name: &str, value: String) {
        let key = path::fold(self.rules, name);
        self.entries.insert(key, (name.to_owned(), value));
    }

    fn get(&self, name: &str) -> Option<&str> {
        let entry = self.entries.get(&path::fold(self.rules, name))?;
        Some(entry.1.as_str())
    }

    fn into_map(self) -> BTreeMap<String, String> {
        self.entries.into_values().collect()
    }
}

/// Reads `NAME=value` entries. Later ones win; an empty value is a value. No value is ever shown.
pub(super) fn read(
    entries: Vec<String>,
    path: &str,
    rules: Rules,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    let mut block = Block::new(rules);
    for (number, entry) in entries.into_iter().enumerate() {
        let rule = match entry.split_once('=') {
            None => "write NAME=value",
            // Windows keeps the current folder of each drive in variables such as `=C:`.
            Some(("", _)) => {
                "the name is empty; variables that start with = are set by Windows alone, remove it"
            }
            Some(_) if entry.contains('\0') => "it has a NUL character; remove it",
            Some(_) if is_too_long(rules, &entry) => {
                "it has more than 32766 characters; pass it in a file"
            }
            Some((name, value)) => {
                block.set(name, value.to_owned());
                continue;
            }
        };
        problems.add(&format!("{path}[{number}]"), rule);
    }
    block.into_map()
}

fn is_too_long(rules: Rules, entry: &str) -> bool {
    rules == Rules::Windows && entry.encode_utf16().count() >= LONGEST
}

/// The whole environment of a process.
///
/// - The config's variables are set over the user's; on Windows names differ by more than their case, and the last wins.
/// - In values, the mount point variable is replaced by the root.
/// - `PATH` gets the root at its end, on Windows also the folders of PowerShell and of WMI, each unless it is there. Folders
///   in the place where the config expects the root lead to the root. Where there is no `PATH`, it starts with the system's.
/// - `CONTAINER_SANDBOX_MOUNT_POINT` is the root with a separator at its end, whatever the config says.
/// - `SYSTEMROOT` is added on Windows if it is missing: without it sockets and random numbers fail.
pub(super) fn resolve(
    process: &ProcessPlan,
    view: &View<'_>,
) -> Result<BTreeMap<String, String>, ResolveError> {
    let rules = view.places().rules;
    let mut block = Block::new(rules);
    for (name, value) in view.user_environment() {
        block.set(name, value.clone());
    }
    for (name, value) in &process.environment {
        block.set(name, view.expand(value));
    }
    let search = search_path(block.get("PATH"), view);
    // The spelling of the name that is there stays.
    let name = block.entries.get("PATH").map(|entry| entry.0.clone());
    block.set(name.as_deref().unwrap_or("PATH"), search);
    block.set(MOUNT_POINT, view.root().to_owned());
    if rules == Rules::Windows && block.get("SYSTEMROOT").is_none() {
        block.set("SYSTEMROOT", view.places().windows.clone());
    }
    for (name, value) in block.entries.values() {
        let entry = format!("{name}={value}");
        if is_too_long(rules, &entry) {
            let name = name.clone();
            return Err(ResolveError::VariableTooLong { name });
        }
    }
    Ok(block.into_map())
}

/// The value of a `PATH` variable.
fn search_path(given: Option<&str>, view: &View<'_>) -> String {
    let places = view.places();
    let border = border(places.rules);
    let mut folders: Vec<String> = match given {
        Some(given) => split(places.rules, given)
            .map(|folder| view.lead(folder).unwrap_or_else(|| folder.to_owned()))
            .collect(),
        None if places.rules == Rules::Windows => {
            vec![places.system.clone(), places.windows.clone()]
        }
        None => vec![places.system.clone()],
    };
    let mut ours = vec![view.root().to_owned()];
    if places.rules == Rules::Windows {
        ours.push(format!("{}\\WindowsPowerShell\\v1.0\\", places.system));
        ours.push(format!("{}\\Wbem", places.system));
    }
    for folder in ours {
        let is_same = |other: &String| is_same_folder(places.rules, other, &folder);
        if !folders.iter().any(is_same) {
            folders.push(folder);
        }
    }
    folders.join(&border.to_string())
}

fn border(rules: Rules) -> char {
    match rules {
        Rules::Windows => ';',
        Rules::Posix => ':',
    }
}

/// The folders of a `PATH`. Empty ones, which would be the current folder, are left out.
fn split(rules: Rules, search: &str) -> impl Iterator<Item = &str> {
    search
        .split(border(rules))
        .filter(|folder| !folder.is_empty())
}

/// The folders of a `PATH` that programs are looked for in: full paths only, as a relative one would be of the current folder.
pub(super) fn folders(rules: Rules, search: &str) -> Vec<String> {
    split(rules, search)
        .map(|folder| folder.trim_matches('"'))
        .filter_map(|folder| path::join(rules, folder, ".").ok())
        .collect()
}

fn is_same_folder(rules: Rules, one: &str, other: &str) -> bool {
    let separator = path::separator(rules);
    let bare = |text: &str| path::fold(rules, text.trim_end_matches(separator));
    bare(one) == bare(other)
}

#[cfg(test)]
mod tests;
