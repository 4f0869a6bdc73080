//! What goes wrong: its exit code, its words, and that it leaves nothing.

use std::fs;
use std::path::Path;
use std::process::Child;

use serde_json::{Value, json};

use super::bench::{Bench, Ended, PATIENCE, PROBE, config, eventually, text};

/// Whether anything of a container is left below the root.
fn is_clean(bench: &Bench) -> bool {
    let names = |folder: &str| {
        let entries = fs::read_dir(bench.root().join(folder))
            .into_iter()
            .flatten();
        entries.map(|it| it.unwrap().file_name().into_string().unwrap())
    };
    // A lock beside a socket stays where the system has sockets in folders: removing it would let two servers have it.
    let is_lock = |name: &String| Path::new(name).extension().is_some_and(|it| it == "lock");
    let folders = ["containers", "bundles", "run"];
    folders
        .into_iter()
        .flat_map(names)
        .all(|name| is_lock(&name))
}

#[test]
fn a_program_that_does_not_exist_is_127_and_leaves_nothing() {
    let bench = Bench::new();
    let ended = bench.run(&["run", &bench.web, "--", "no-such-program"]);
    assert_eq!(ended.code, 127, "{ended:?}");
    assert!(ended.complained.contains("no-such-program"), "{ended:?}");
    assert_eq!(bench.done(&["list", "-o", "json"]).trim(), "[]");
    eventually("nothing is left", PATIENCE, || is_clean(&bench));
    bench.detached(&bench.web, &["hang"]);
    let ended = bench.run(&["exec", &bench.web, "--", "no-such-program"]);
    assert_eq!(ended.code, 127, "{ended:?}");
}

#[test]
fn a_file_that_is_no_program_is_126() {
    let bench = Bench::new();
    let file = bench.file("notes.exe");
    fs::write(&file, "these are notes").unwrap();
    let ended = bench.run(&["run", &bench.web, "--", file.to_str().unwrap()]);
    assert_eq!(ended.code, 126, "{ended:?}");
}

#[test]
fn a_folder_is_no_program_and_126() {
    let bench = Bench::new();
    let folder = bench.file("folder");
    fs::create_dir(&folder).unwrap();
    let ended = bench.run(&["run", &bench.web, "--", folder.to_str().unwrap()]);
    assert_eq!(ended.code, 126, "{ended:?}");
    assert!(ended.complained.contains("is a folder"), "{ended:?}");
}

#[test]
fn what_a_config_names_and_the_host_lacks_is_said_at_once_with_its_field() {
    let bench = Bench::new();
    let nowhere = bench.file("nowhere").to_str().unwrap().to_owned();
    let mut bad = config(&["x"]);
    bad["process"]["cwd"] = json!(nowhere);
    bad["mounts"] = json!([{ "source": nowhere, "destination": "/data" }]);
    let bundle = bench.bundle_of("bad", &bad);
    let refused = bench.fails(&["create", "-b", &bundle, &bench.web], 125);
    for said in ["config.json", "mounts[0].source", "process.cwd", &nowhere] {
        assert!(refused.contains(said), "{said}: {refused}");
    }
    bad["root"] = json!({ "path": "no-root" });
    let bundle = bench.bundle_of("bad", &bad);
    let refused = bench.fails(&["create", "-b", &bundle, &bench.web], 125);
    for said in ["root.path", "mounts[0].source", "no-root"] {
        assert!(refused.contains(said), "{said}: {refused}");
    }
    eventually("nothing is left", PATIENCE, || is_clean(&bench));
}

#[test]
fn a_config_that_is_no_json_is_named_with_its_place() {
    let bench = Bench::new();
    let bundle = bench.bundle(&bench.web, &["hang"]);
    let file = Path::new(&bundle).join("config.json");
    fs::write(&file, "{ \"ociVersion\" \"1.2.0\" }").unwrap();
    let refused = bench.fails(&["create", "-b", &bundle, &bench.web], 125);
    assert!(refused.contains(file.to_str().unwrap()), "{refused}");
    assert!(refused.contains("line 1"), "{refused}");
}

#[test]
fn a_root_that_is_a_file_is_said_and_so_is_what_to_do() {
    let bench = Bench::new();
    fs::write(bench.root(), "this is a file").unwrap();
    let refused = bench.fails(&["list"], 125);
    assert!(refused.contains("is no folder"), "{refused}");
    let ended = bench.run(&["doctor"]);
    assert_eq!(ended.code, 125, "{ended:?}");
    assert!(
        ended.printed.contains("another folder with --root"),
        "{ended:?}"
    );
    assert!(
        !ended.printed.contains("administrator, or name"),
        "{ended:?}"
    );
    fs::remove_file(bench.root()).unwrap();
}

#[test]
fn every_problem_of_a_config_is_said_at_once_with_its_field() {
    let bench = Bench::new();
    let mut bad = config(&["x"]);
    bad["process"]["env"] = json!(["NO_VALUE_SEPARATOR"]);
    bad["hooks"] = json!({ "prestart": [{ "path": "/bin/true" }] });
    bad["linux"] = json!({ "namespaces": [] });
    let bundle = bench.bundle_of("bad", &bad);
    let refused = bench.fails(&["create", "--bundle", &bundle, &bench.web], 125);
    for field in ["process.env[0]", "hooks", "linux"] {
        assert!(refused.contains(field), "{field}: {refused}");
    }
    eventually("nothing is left", PATIENCE, || is_clean(&bench));
    let missing = bench.file("empty");
    fs::create_dir(&missing).unwrap();
    let refused = bench.fails(
        &["create", "-b", missing.to_str().unwrap(), &bench.web],
        125,
    );
    assert!(
        refused.contains("config.json") && refused.contains("spec"),
        "{refused}"
    );
}

#[test]
fn errors_are_one_json_object_where_programs_read_them_and_are_in_the_log() {
    let bench = Bench::new();
    let log = bench.file("log");
    let line = [
        "--log",
        log.to_str().unwrap(),
        "--log-format",
        "json",
        "state",
        &bench.web,
    ];
    let said: Value = serde_json::from_str(&bench.fails(&line, 125)).unwrap();
    assert_eq!(said["level"], "error");
    let logged: Value = serde_json::from_str(&text(&log)).unwrap();
    assert_eq!(logged["msg"], said["msg"]);
    assert!(logged["time"].is_string(), "{logged}");
}

#[test]
fn a_log_that_cannot_be_opened_is_said_and_nothing_is_done() {
    let bench = Bench::new();
    let log = bench.file("no-such-folder").join("log");
    let log = log.to_str().unwrap();
    let run = ["run", "-d", &bench.web, "--", &PROBE, "hang"];
    for line in [&["list"][..], &run] {
        let refused = bench.fails(&[&["--log", log], line].concat(), 125);
        assert!(refused.contains(log), "{refused}");
    }
    assert_eq!(bench.done(&["list", "-o", "json"]).trim(), "[]");
}

#[test]
fn of_two_creates_with_one_name_at_once_one_succeeds() {
    let bench = Bench::new();
    let bundle = bench.bundle(&bench.web, &["hang"]);
    for round in 0..4 {
        let id = format!("{}-{round}", bench.web);
        let line = ["create", "--bundle", &bundle, &id];
        let attempts: Vec<Child> = (0..3).map(|_| bench.start(&line)).collect();
        let ended = attempts
            .into_iter()
            .map(|it| it.wait_with_output().unwrap());
        let ended: Vec<Ended> = ended.map(Ended::from).collect();
        let succeeded = ended.iter().filter(|it| it.code == 0).count();
        assert_eq!(succeeded, 1, "{ended:?}");
        let others = ended.iter().filter(|it| it.code != 0);
        assert!(
            others.clone().all(|it| it.complained.contains("exists")),
            "{ended:?}"
        );
        bench.done(&["start", &id]);
        assert_eq!(bench.state(&id)["status"], "running");
        bench.done(&["delete", "--force", &id]);
    }
}

#[test]
fn whoever_only_looks_makes_no_folders_where_the_root_is_wrong() {
    let bench = Bench::new();
    for command in ["state", "ps", "stats", "start", "kill", "delete"] {
        let refused = bench.fails(&[command, "nobody"], 125);
        let hint = format!("--root \"{}\" list", bench.root().display());
        assert!(refused.contains(&hint), "{command}: {refused}");
    }
    bench.done(&["list"]);
    assert!(!bench.root().exists(), "somebody made {:?}", bench.root());
}

#[test]
fn a_name_that_is_taken_below_another_root_is_refused_by_saying_so() {
    let (bench, elsewhere) = (Bench::new(), Bench::new());
    bench.detached(&bench.web, &["hang"]);
    let line = ["run", "-d", &bench.web, "--", &PROBE, "hang"];
    let refused = elsewhere.fails(&line, 125);
    for said in [&bench.web, "exists already on this host", "--root"] {
        assert!(refused.contains(said), "{said}: {refused}");
    }
    eventually("nothing is left", PATIENCE, || is_clean(&elsewhere));
}

#[test]
fn what_does_not_exist_is_refused_by_its_name_and_forgiven_where_asked() {
    let bench = Bench::new();
    for command in [
        "start", "state", "ps", "stats", "pause", "resume", "stop", "kill", "delete",
    ] {
        let refused = bench.fails(&[command, "nobody"], 125);
        assert!(
            refused.contains("there is no container nobody"),
            "{command}: {refused}"
        );
    }
    bench.done(&["delete", "--force", "nobody"]);
    let refused = bench.fails(&["state", "../root"], 125);
    assert!(refused.contains("letters and digits"), "{refused}");
    bench.detached(&bench.web, &["hang"]);
    let refused = bench.fails(&["kill", &bench.web, "SIGUSR1"], 125);
    assert!(refused.contains("SIGUSR1"), "{refused}");
}

#[test]
fn an_attached_program_with_a_terminal_is_not_refused_for_a_stderr_that_nobody_asked_for() {
    let bench = Bench::new();
    bench.detached(&bench.web, &["hang"]);
    let exec = ["exec", "--tty", &bench.web, "--", &PROBE, "exit", "0"];
    let mut config = config(&[&PROBE, "exit", "0"]);
    config["process"]["terminal"] = json!(true);
    let bundle = bench.bundle_of("terminal", &config);
    let process = bench.file("process.json");
    fs::write(&process, config["process"].to_string()).unwrap();
    let whole = ["exec", "-p", process.to_str().unwrap(), &bench.web];
    let run = ["run", "--rm", "--bundle", &bundle, &bench.other];
    // Not every host has pseudo consoles: then that is what is said.
    for line in [&exec[..], &whole, &run] {
        let ended = bench.run(line);
        assert!(!ended.complained.contains("stderr"), "{line:?}: {ended:?}");
    }
}

#[test]
fn a_container_that_ended_is_not_started_again_and_not_killed_twice() {
    let bench = Bench::new();
    bench.detached(&bench.web, &["exit", "0"]);
    bench.reaches(&bench.web, "stopped");
    let refused = bench.fails(&["start", &bench.web], 125);
    assert!(refused.contains("ended"), "{refused}");
    bench.fails(&["exec", &bench.web, "--", &PROBE, "exit", "0"], 125);
    bench.fails(&["kill", &bench.web], 125);
    bench.done(&["delete", &bench.web]);
}

#[test]
fn secrets_are_neither_in_the_log_nor_in_what_commands_say() {
    let bench = Bench::new();
    let mut config = config(&[&PROBE, "print", "argument-hunter2", "hang"]);
    config["process"]["env"] = json!(["PASSWORD=variable-hunter2"]);
    let bundle = bench.bundle_of(&bench.web, &config);
    let log = bench.file("log");
    let logged = ["--log", log.to_str().unwrap()];
    let run = |line: &[&str]| bench.run(&[&logged[..], line].concat());
    let output = bench.file("output");
    let output = output.to_str().unwrap();
    let mut said = String::new();
    for line in [
        &["create", "--bundle", &bundle, &bench.web][..],
        &["create", "--bundle", &bundle, &bench.web],
        &["state", &bench.web],
        &[
            "exec",
            "--env",
            "TOKEN=exec-hunter2",
            &bench.web,
            "--",
            "exec-hunter2",
        ],
        &["start", &bench.web],
        &[
            "exec",
            "--env",
            "TOKEN=exec-hunter2",
            "--stdout",
            output,
            &bench.web,
            "--",
            &PROBE,
            "print",
            "hunter2",
        ],
        &["list"],
        &["delete", "--force", &bench.web],
    ] {
        let ended = run(line);
        said.push_str(&ended.printed);
        said.push_str(&ended.complained);
    }
    let logged = text(&log);
    assert!(logged.contains("start exec: done"), "{logged}");
    assert!(!logged.contains("hunter2"), "{logged}");
    assert!(!said.contains("hunter2"), "{said}");
}
