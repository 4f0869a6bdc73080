//! One situation per `fixtures/spec/*.json`, and exactly what is planned and started of it, or refused, in the `.expected`
//! beside it. A new file is a new test; `UPDATE_GOLDEN=1` writes the outcomes.
#![expect(clippy::unwrap_used, reason = "a golden fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::launch::{
    Command, Context, Plan, ProcessPlan, Surroundings, exec, plan, resolve,
};
use hosttask_node_runtime::sys::fake::places_of;
use hosttask_node_runtime::sys::{Features, LimitKind, Places, Rules};
use serde::Deserialize;
use serde_json::Value;

/// What is in a file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Situation {
    /// What is special about it.
    about: String,
    /// The host.
    #[serde(default)]
    host: Kind,
    /// The config.
    #[serde(default)]
    config: Value,
    /// The config as it is, where it cannot be a part of this file.
    config_text: Option<String>,
    /// A process that is started in the container later.
    exec: Option<Value>,
    /// What is there when a process is started; nothing: none is.
    start: Option<Start>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// Windows Server with everything.
    #[default]
    Windows,
    /// Windows without the bind filter.
    NoBindFilter,
    /// What Wine accepts.
    Wine,
    /// The backend for tests.
    Linux,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Start {
    root: String,
    #[serde(default)]
    files: Vec<String>,
    #[serde(default)]
    folders: Vec<String>,
    #[serde(default)]
    user_environment: BTreeMap<String, String>,
}

#[test]
fn every_config_has_the_outcome_that_stands_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/spec");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.extension().is_some_and(|it| it == "json"))
        .collect();
    files.sort();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differ = String::new();
    for file in &files {
        let name = file.file_name().unwrap().display();
        let text = std::fs::read_to_string(file).unwrap();
        let situation: Situation =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let got = outcome(&situation);
        let beside = file.with_extension("expected");
        if update {
            std::fs::write(&beside, &got).unwrap();
            continue;
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if expected != got {
            writeln!(differ, "== {name}\nexpected:\n{expected}\ngot:\n{got}").unwrap();
        }
    }
    assert!(files.len() >= 40, "{} situations", files.len());
    assert!(differ.is_empty(), "{differ}");
}

#[test]
fn every_annotation_of_the_page_is_known() {
    let page = include_str!("../docs/config.md");
    let names = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| text.contains('/') && text.starts_with(|it: char| it.is_ascii_lowercase()))
        .chain(["io.microsoft.container.processor.weight"]);
    let (places, features) = host(&Kind::Windows);
    let context = Context {
        places: &places,
        features: &features,
        id: &Id::parse("web").unwrap(),
        bundle: "",
    };
    let mut known = 0;
    for name in names.filter(|name| !name.ends_with('/')) {
        let config = format!(r#"{{"annotations":{{"{name}":"none of them"}}}}"#);
        let problems = plan(config.as_bytes(), &context).unwrap_err();
        let path = format!("annotations[{name}]");
        let problem = problems.list().iter().find(|it| it.path == path);
        let rule = &problem.unwrap_or_else(|| panic!("{name}")).rule;
        assert!(!rule.contains("does not know it"), "{name}: {rule}");
        known += 1;
    }
    assert!(known >= 13, "{known}");
}

fn outcome(situation: &Situation) -> String {
    let mut text = format!("{}\n\n", situation.about);
    let (places, features) = host(&situation.host);
    let id = Id::parse("web").unwrap();
    let context = Context {
        places: &places,
        features: &features,
        id: &id,
        bundle: "",
    };
    let config = match &situation.config_text {
        Some(text) => text.clone(),
        None => situation.config.to_string(),
    };
    let plan = match plan(config.as_bytes(), &context) {
        Ok(plan) => plan,
        Err(problems) => {
            writeln!(text, "refused:\n{problems}").unwrap();
            return text;
        }
    };
    describe(&plan, &mut text);
    start(&plan.process, &places, situation, &mut text);
    if let Some(process) = &situation.exec {
        match exec(process.to_string().as_bytes(), &plan, &context) {
            Ok(process) => {
                writeln!(text, "\nexec:").unwrap();
                describe_process(&process, &mut text);
                start(&process, &places, situation, &mut text);
            }
            Err(problems) => writeln!(text, "\nexec refused:\n{problems}").unwrap(),
        }
    }
    text
}

fn describe(plan: &Plan, text: &mut String) {
    writeln!(text, "plan:").unwrap();
    describe_process(&plan.process, text);
    let root = serde_json::to_string(&plan.root).unwrap();
    writeln!(text, "  root: {root}").unwrap();
    for mount in &plan.mounts {
        let mode = if mount.read_only { "ro" } else { "rw" };
        let (source, destination) = (&mount.source, &mount.destination);
        writeln!(text, "  mount: {source} at {destination} ({mode})").unwrap();
    }
    let limits = serde_json::to_string(&plan.limits).unwrap();
    writeln!(text, "  limits: {limits}").unwrap();
}

fn describe_process(process: &ProcessPlan, text: &mut String) {
    writeln!(text, "  user: {:?}", process.user).unwrap();
    match &process.command {
        Command::Arguments(arguments) => writeln!(text, "  arguments: {arguments:?}").unwrap(),
        Command::Line(line) => writeln!(text, "  line: {line}").unwrap(),
    }
    if !process.directory.is_empty() {
        writeln!(text, "  folder: {}", process.directory).unwrap();
    }
    for (name, value) in &process.environment {
        writeln!(text, "  variable: {name}={value}").unwrap();
    }
    if let Some(console) = process.console {
        writeln!(text, "  console: {} × {}", console.columns, console.rows).unwrap();
    }
    if !process.drop_privileges.is_empty() {
        writeln!(text, "  without: {:?}", process.drop_privileges).unwrap();
    }
    if process.allow_batch {
        writeln!(text, "  batch files may be run").unwrap();
    }
}

fn start(process: &ProcessPlan, places: &Places, situation: &Situation, text: &mut String) {
    let Some(start) = &situation.start else {
        return;
    };
    let has = |list: &[String], path: &str| match places.rules {
        Rules::Windows => list.iter().any(|it| it.eq_ignore_ascii_case(path)),
        Rules::Posix => list.iter().any(|it| it == path),
    };
    let surroundings = Surroundings {
        places,
        root: &start.root,
        user_environment: &start.user_environment,
        is_file: &|path| has(&start.files, path),
        is_folder: &|path| has(&start.folders, path),
    };
    match resolve(process, &surroundings) {
        Ok(launch) => {
            writeln!(text, "start:\n  program: {}", launch.program).unwrap();
            match places.rules {
                Rules::Windows => writeln!(text, "  line: {}", launch.command_line).unwrap(),
                Rules::Posix => writeln!(text, "  arguments: {:?}", launch.arguments).unwrap(),
            }
            writeln!(text, "  folder: {}", launch.directory).unwrap();
            for (name, value) in &launch.environment {
                writeln!(text, "  variable: {name}={value}").unwrap();
            }
        }
        Err(error) => writeln!(text, "not started: {error}").unwrap(),
    }
}

fn host(kind: &Kind) -> (Places, Features) {
    let all = [
        LimitKind::JobMemory,
        LimitKind::ProcessMemory,
        LimitKind::CpuCap,
        LimitKind::CpuWeight,
        LimitKind::Affinity,
        LimitKind::ActiveProcesses,
        LimitKind::Priority,
        LimitKind::UserInterface,
        LimitKind::NetworkRate,
    ];
    let everything = Features {
        bind_filter: true,
        pseudo_console: true,
        limits: BTreeSet::from(all),
        service_accounts: true,
        group_accounts: true,
        ..Features::default()
    };
    let windows = places_of(Rules::Windows);
    let lacks = |kinds: &[LimitKind]| {
        let mut limits = everything.limits.clone();
        limits.retain(|kind| !kinds.contains(kind));
        limits
    };
    match kind {
        Kind::Windows => (windows, everything),
        Kind::NoBindFilter => {
            let features = Features {
                bind_filter: false,
                ..everything
            };
            (windows, features)
        }
        Kind::Wine => {
            let lacking = [
                LimitKind::CpuCap,
                LimitKind::CpuWeight,
                LimitKind::NetworkRate,
            ];
            let features = Features {
                bind_filter: false,
                pseudo_console: false,
                limits: lacks(&lacking),
                ..everything
            };
            (windows, features)
        }
        Kind::Linux => (places_of(Rules::Posix), Features::default()),
    }
}
