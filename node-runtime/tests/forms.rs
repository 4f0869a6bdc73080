//! The 33 forms in which Kubernetes lets a HostProcess container name its command, arguments and working folder, each run to
//! its end. Only programs of Windows can prove them: the whole file is for Windows, and runs under Wine.
#![cfg(windows)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

#[path = "command/bench.rs"]
#[expect(dead_code, reason = "these tests need less of it")]
mod bench;

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use serde_json::{Value, json};

use bench::{Bench, PROBE};

/// The table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Where its facts are from.
    #[serde(rename = "source")]
    _source: String,
    forms: Vec<Form>,
}

/// A form, and what shows that the program ran that was meant. Its exit code has to be 0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Form {
    command: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    working_dir: String,
    /// A program of Windows that it needs beside `cmd.exe`.
    #[serde(default)]
    needs: String,
    /// Part of what is printed.
    #[serde(default)]
    prints: String,
}

impl Form {
    /// The config that containerd makes of it: the command and the arguments are one list.
    fn config(&self, root: &str) -> Value {
        let args: Vec<&String> = self.command.iter().chain(&self.args).collect();
        json!({
            "ociVersion": "1.2.0",
            "process": {
                "args": args,
                "cwd": self.working_dir,
                "user": { "username": "NT AUTHORITY\\Local Service" },
            },
            "root": { "path": root },
            "annotations": { "microsoft.com/hostprocess-container": "true" },
            "windows": {},
        })
    }

    /// The form in a line.
    fn said(&self) -> String {
        let args: Vec<&str> = self
            .command
            .iter()
            .chain(&self.args)
            .map(String::as_str)
            .collect();
        match self.working_dir.as_str() {
            "" => args.join(" "),
            folder => format!("{}   in {folder}", args.join(" ")),
        }
    }
}

#[test]
fn every_form_of_kubernetes_ends_as_kubernetes_says() {
    let table = include_str!("fixtures/forms.json");
    let table: Table = serde_json::from_str(table).unwrap();
    assert_eq!(table.forms.len(), 33);
    let bench = Bench::new();
    let is_wine = bench.host.features().system.contains("wine");
    let image = bench.file("image");
    fs::create_dir_all(image.join("bin")).unwrap();
    // A program that is named so answers as the one of the image does.
    fs::copy(PROBE.as_str(), image.join("bin").join("uname.exe")).unwrap();
    let mut unproved: BTreeMap<String, &str> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (number, form) in table.forms.iter().enumerate() {
        let bundle = format!("bundle{number}");
        let bundle = bench.bundle_of(&bundle, &form.config(image.to_str().unwrap()));
        let ended = bench.run(&["run", "--rm", "--bundle", &bundle, &bench.web]);
        let is_stub = is_wine && form.needs == "powershell";
        if ended.code != 0 || !(is_stub || ended.printed.contains(&form.prints)) {
            wrong.push(format!("{}: {ended:?}", form.said()));
        }
        if is_stub {
            unproved.insert(
                form.said(),
                "Wine's powershell.exe starts, ends with 0 and does nothing",
            );
        }
    }
    println!("{} of 33 forms ended as Kubernetes says", 33 - wrong.len());
    if is_wine {
        println!("on Wine they run as its one user, whatever account they name");
    }
    println!(
        "{} of these show only that the program was started, on Wine:",
        unproved.len()
    );
    for (form, why) in &unproved {
        println!("  {form} ({why})");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
