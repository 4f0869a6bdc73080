//! `missing`: what a config names and the host does not have, all of it at once and before anything is made.

use serde_json::Value;

use super::path::{self, Start};
use super::problem::Problems;
use super::view::after_variable;
use super::{Context, Plan};

/// How the host is looked at. Both follow links, and answer for a full path.
#[derive(Clone, Copy)]
#[expect(
    missing_debug_implementations,
    reason = "two questions have nothing to show"
)]
pub struct Look<'a> {
    /// Whether anything stands there.
    pub exists: &'a dyn Fn(&str) -> bool,
    /// Whether a folder stands there.
    pub is_folder: &'a dyn Fn(&str) -> bool,
}

/// Looks for what `plan`, which was made of `config`, takes from the host: layers, sources of mounts, the working folder.
///
/// What may yet appear is let through: a folder in the root, which is made, one below a mount, and one of an image whose layers
/// are no plain folders. What is there now may be gone later; whoever uses it finds that out again.
///
/// # Errors
/// All that is missing, each with its field, its value and what to do.
pub fn missing(
    config: &Value,
    plan: &Plan,
    context: &Context<'_>,
    host: Look<'_>,
) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let layers = layers(config, plan, context, host, &mut problems);
    for (number, mount) in plan.mounts.iter().enumerate() {
        if !(host.exists)(&mount.source) {
            let rule = "there is nothing on this host; make it first, or correct the path";
            problems.add_value(&format!("mounts[{number}].source"), &mount.source, rule);
        }
    }
    if let Some(layers) = layers {
        directory(plan, context, &layers, host, &mut problems);
    }
    problems.unless_any(Some(()))
}

/// The layers, if all are plain folders.
fn layers(
    config: &Value,
    plan: &Plan,
    context: &Context<'_>,
    host: Look<'_>,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let rules = context.places.rules;
    let named = config.pointer("/root/path").and_then(Value::as_str);
    let last = plan.root.layers.len().saturating_sub(1);
    let mut folders = Some(Vec::new());
    for (number, layer) in plan.root.layers.iter().enumerate() {
        // One that is not full is in the bundle.
        let full = path::join(rules, context.bundle, layer).unwrap_or_else(|_| layer.clone());
        if !(host.is_folder)(&full) {
            folders = None;
        }
        if (host.exists)(&full) {
            if let Some(folders) = &mut folders {
                folders.push(full);
            }
            continue;
        }
        // The spec has the topmost first, the plan the lowest.
        let field = match named {
            Some(text) if !text.is_empty() => "root.path".to_owned(),
            _ => format!("windows.layerFolders[{}]", last - number),
        };
        let rule = "there is no such folder on this host; unpack the image there, or leave it out";
        problems.add_value(&field, &full, rule);
    }
    folders
}

/// The working folder, where it can only be one that exists.
fn directory(
    plan: &Plan,
    context: &Context<'_>,
    layers: &[String],
    host: Look<'_>,
    problems: &mut Problems,
) {
    let places = context.places;
    let rules = places.rules;
    let text = &plan.process.directory;
    let has_variable = text
        .char_indices()
        .any(|(at, _)| text.get(at..).and_then(after_variable).is_some());
    let is_full = matches!(
        path::start(rules, text),
        Ok(Start::Full(..) | Start::Rooted(_))
    );
    let full = path::join(rules, &path::system_drive(places), text);
    let (true, false, Ok(full)) = (is_full && !text.is_empty(), has_variable, full) else {
        return;
    };
    let is_in = |folder: &str| path::below(rules, &full, folder).is_some();
    let mut made = plan.mounts.iter().map(|mount| mount.destination.as_str());
    if is_in(&plan.process.expected_root) || is_in(&places.container_root) {
        return;
    }
    let separator = path::separator(rules);
    let in_layer = |layer: &String| {
        let direct = path::in_root(rules, &format!("{layer}{separator}"), &full);
        let files = path::in_root(rules, &format!("{layer}{separator}Files{separator}"), &full);
        (host.is_folder)(&direct) || (host.is_folder)(&files)
    };
    if made.any(is_in) || layers.iter().any(in_layer) || (host.is_folder)(&full) {
        return;
    }
    let rule = "there is no such folder on this host; create it, or name one of the image with %CONTAINER_SANDBOX_MOUNT_POINT%";
    problems.add_value("process.cwd", text, rule);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::id::Id;
    use crate::sys::fake::places_of;
    use crate::sys::{Features, Rules};

    /// What is missing of a config on a host that has these folders.
    fn missing_of(config: &Value, folders: &[&str]) -> Vec<String> {
        let id = Id::parse("web").unwrap();
        let context = Context {
            places: &places_of(Rules::Windows),
            features: &Features {
                service_accounts: true,
                ..Features::default()
            },
            id: &id,
            bundle: r"C:\bundle",
        };
        let plan = super::super::plan(config.to_string().as_bytes(), &context).unwrap();
        let is_there = |path: &str| folders.contains(&path);
        let look = Look {
            exists: &is_there,
            is_folder: &is_there,
        };
        let missing = missing(config, &plan, &context, look);
        let problems = missing.err().unwrap_or_default();
        problems.list().iter().map(|it| it.path.clone()).collect()
    }

    fn config(cwd: &str, root: &Value, mounts: &Value) -> Value {
        json!({
            "ociVersion": "1.1.0",
            "process": { "args": ["x"], "cwd": cwd, "user": { "username": "S-1-5-18" } },
            "root": root,
            "mounts": mounts,
        })
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once_by_its_field() {
        let mounts = json!([
            { "source": r"C:\there", "destination": r"C:\a" },
            { "source": r"C:\nowhere", "destination": r"C:\b" },
        ]);
        let config = config(r"C:\app", &json!({ "path": "rootfs" }), &mounts);
        let missing = missing_of(&config, &[r"C:\there"]);
        assert_eq!(missing, ["root.path", "mounts[1].source"]);
        let missing = missing_of(&config, &[r"C:\there", r"C:\bundle\rootfs"]);
        assert_eq!(missing, ["mounts[1].source", "process.cwd"]);
        let all = [
            r"C:\there",
            r"C:\nowhere",
            r"C:\bundle\rootfs",
            r"C:\bundle\rootfs\app",
        ];
        assert!(missing_of(&config, &all).is_empty());
        let on_host = [all[0], all[1], all[2], r"C:\app"];
        assert!(missing_of(&config, &on_host).is_empty());
    }

    #[test]
    fn a_layer_is_named_by_its_place_in_the_config() {
        let mut config = config("", &json!({}), &json!([]));
        let folders = json!([r"C:\top", r"C:\middle", r"C:\low", r"C:\scratch"]);
        config["windows"] = json!({ "layerFolders": folders });
        let missing = missing_of(&config, &[r"C:\middle"]);
        assert_eq!(
            missing,
            ["windows.layerFolders[2]", "windows.layerFolders[0]"]
        );
    }

    #[test]
    fn a_folder_that_is_made_or_may_appear_is_not_missing() {
        let mounts = json!([{ "source": r"C:\there", "destination": r"C:\data" }]);
        for cwd in [
            "",
            "bin",
            r"C:\hpc\bin",
            r"C:\data\sub",
            r"%CONTAINER_SANDBOX_MOUNT_POINT%\bin",
            r"$env:CONTAINER_SANDBOX_MOUNT_POINT\bin",
        ] {
            let config = config(cwd, &json!({}), &mounts);
            assert!(missing_of(&config, &[r"C:\there"]).is_empty(), "{cwd}");
        }
        for cwd in [r"C:\app", r"\app", r"C:\100%\app"] {
            let config = config(cwd, &json!({}), &mounts);
            assert_eq!(
                missing_of(&config, &[r"C:\there"]),
                ["process.cwd"],
                "{cwd}"
            );
        }
    }
}
