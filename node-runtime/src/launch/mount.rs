//! `mount`: what of the host appears in the container.

use super::field::{Fields, Refusal};
use super::path::{self, PathError, Start};
use super::problem::Problems;
use super::{Context, MountPlan};
use crate::sys::Places;

/// How many a container can have. Each is compared with each.
const MOST: usize = 250;

const REFUSALS: &[Refusal] = &[
    ("uidMappings", "this runtime maps no users; leave it out"),
    ("gidMappings", "this runtime maps no groups; leave it out"),
];

/// Reads the list. `expected_root` is where programs of the config expect the root, with a separator at its end.
pub(super) fn read(
    list: Vec<Fields>,
    expected_root: &str,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Vec<MountPlan> {
    let mut mounts: Vec<MountPlan> = Vec::new();
    if list.len() > MOST {
        let rule = format_args!("there are {} of them; give at most {MOST}", list.len());
        problems.add("mounts", rule);
        return mounts;
    }
    for fields in list {
        let path = fields.path("destination");
        let Some(mount) = one(fields, expected_root, context.places, problems) else {
            continue;
        };
        if let Some(rule) = conflict(&mount, &mounts, context) {
            problems.add_value(&path, &mount.destination, rule);
        }
        mounts.push(mount);
    }
    mounts
}

fn one(
    mut fields: Fields,
    expected_root: &str,
    places: &Places,
    problems: &mut Problems,
) -> Option<MountPlan> {
    let kind = fields.text("type", problems).unwrap_or_default();
    if !matches!(kind.as_str(), "" | "bind") {
        let rule = "only folders and files of the host can be mounted; leave the type out";
        problems.add_value(&fields.path("type"), &kind, rule);
    }
    let read_only = options(&mut fields, problems);
    fields.refuse(REFUSALS, problems);
    let (source_path, path) = (fields.path("source"), fields.path("destination"));
    let source = fields.text("source", problems).unwrap_or_default();
    let destination = fields.text("destination", problems).unwrap_or_default();
    fields.finish(problems);
    let source = full(places, &source)
        .map_err(|error| problems.add_value(&source_path, &source, error))
        .ok();
    let destination = place(places, expected_root, &destination)
        .map_err(|rule| problems.add_value(&path, &destination, rule))
        .ok();
    Some(MountPlan {
        source: source?,
        destination: destination?,
        read_only,
    })
}

/// Whether it is read-only. A mount can be written, where nothing says otherwise.
fn options(fields: &mut Fields, problems: &mut Problems) -> bool {
    let path = fields.path("options");
    let (mut read_only, mut writable) = (false, false);
    for option in fields.texts("options", problems) {
        match option.to_ascii_lowercase().as_str() {
            "ro" => read_only = true,
            "rw" => writable = true,
            // What every mount here is.
            "bind" | "rbind" => {}
            _ => {
                let rule = "this option is unknown here; use ro or rw";
                problems.add_value(&path, &option, rule);
            }
        }
    }
    if read_only && writable {
        problems.add(&path, "ro and rw are both given; leave one out");
    }
    read_only
}

/// A full path. One that starts with a separator is of the system's drive, as containerd has it.
fn full(places: &Places, text: &str) -> Result<String, PathError> {
    let rules = places.rules;
    match path::start(rules, text)? {
        Start::Rooted(rest) => {
            path::canonical(rules, &format!("{}{rest}", path::system_drive(places)))
        }
        Start::Full(..) | Start::Relative(_) => path::canonical(rules, text),
    }
}

/// The full path of a destination as a program writes it, without the place of the root before it.
fn place(places: &Places, expected_root: &str, text: &str) -> Result<String, String> {
    let rules = places.rules;
    let full = full(places, text).map_err(|error| error.to_string())?;
    let drive = path::system_drive(places);
    let rest = match path::below(rules, &full, expected_root) {
        Some(rest) => rest,
        None => path::below(rules, &full, &drive).ok_or_else(|| {
            format!("only places on the drive {drive} are in the container; choose one there")
        })?,
    };
    if rest.is_empty() {
        return Err("it is the whole root; choose a folder in it".to_owned());
    }
    Ok(format!("{drive}{rest}"))
}

/// Why two mounts cannot be together.
fn conflict(mount: &MountPlan, others: &[MountPlan], context: &Context<'_>) -> Option<String> {
    let rules = context.places.rules;
    for other in others {
        let inside = path::below(rules, &mount.destination, &other.destination);
        let outside = path::below(rules, &other.destination, &mount.destination);
        if inside == Some("") {
            return Some("another mount has the same destination; choose another".to_owned());
        }
        // Without the bind filter the inner one would be a link that is written into the other's source.
        if (inside.is_some() || outside.is_some()) && !context.features.bind_filter {
            return Some(format!(
                "it is in, or above, the mount at \"{}\", which this host cannot do without the bind filter; mount it elsewhere",
                other.destination
            ));
        }
    }
    None
}
