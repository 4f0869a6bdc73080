//! `spec`: a config.json to start from.

use std::fs::File;
use std::io::Write as _;

use serde_json::{Value, json};

use super::arguments::Spec;
use super::context::{Context, absolute};
use super::error::CommandError;
use super::output;
use crate::sys::Rules;

/// `spec`. Never replaces a config.
pub(super) fn spec(context: &Context, command: &Spec) -> Result<u32, CommandError> {
    let example = example(context.places.rules);
    let Some(bundle) = &command.bundle else {
        output::json(&example).map_err(CommandError::Print)?;
        return Ok(0);
    };
    let path = absolute(bundle)?.join("config.json");
    let text = format!("{example:#}\n");
    let written = File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(CommandError::file("write", path))?;
    Ok(0)
}

/// A config that runs as it is: a program of the system, as whoever runs the command, with a memory limit and a note on each
/// thing that is usually changed.
fn example(rules: Rules) -> Value {
    let (args, cwd) = match rules {
        Rules::Windows => (json!(["ping.exe", "-t", "localhost"]), r"C:\"),
        Rules::Posix => (json!(["sleep", "600"]), "/"),
    };
    let memory = match rules {
        Rules::Windows => json!({ "resources": { "memory": { "limit": 268_435_456 } } }),
        // The Linux backend is for demonstrations and has no such limit everywhere.
        Rules::Posix => json!({}),
    };
    json!({
        "ociVersion": super::OCI_VERSION,
        "process": {
            "args": args,
            "cwd": cwd,
            "env": ["GREETING=hello"],
        },
        "annotations": {
            "microsoft.com/hostprocess-container": "true",
            "microsoft.com/hostprocess-inherit-user": "true",
        },
        "windows": memory,
    })
}
