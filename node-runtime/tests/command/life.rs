//! From `create` to `delete`, and what each command prints on the way.

use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, PROBE, config, eventually, text};

#[test]
fn a_program_runs_in_one_line_and_its_exit_code_is_that_of_the_command() {
    let bench = Bench::new();
    for code in [0, 7, 255] {
        let number = code.to_string();
        let ended = bench.run(&[
            "run", "--rm", &bench.web, "--", &PROBE, "print", "hello", "exit", &number,
        ]);
        assert_eq!(ended.code, code, "{ended:?}");
        assert_eq!(ended.printed.trim_end(), "hello");
        assert_eq!(bench.done(&["list", "-o", "json"]).trim(), "[]");
    }
}

#[test]
fn a_container_goes_from_created_over_running_and_paused_to_stopped_and_is_gone_after_delete() {
    let bench = Bench::new();
    let bundle = bench.bundle(&bench.web, &["hang"]);
    bench.done(&["create", "--bundle", &bundle, &bench.web]);
    let created = bench.state(&bench.web);
    assert_eq!(created["status"], "created");
    assert_eq!(created["ociVersion"], "1.2.0");
    assert_eq!(created["id"], bench.web);
    assert_eq!(created["bundle"], bundle);
    assert_eq!(
        created["annotations"]["microsoft.com/hostprocess-container"],
        "true"
    );
    assert_eq!(created["pid"], Value::Null);
    bench.done(&["start", &bench.web]);
    let running = bench.state(&bench.web);
    assert_eq!(running["status"], "running");
    let init = bench.record(&bench.web).init.unwrap();
    assert_eq!(running["pid"], init.pid);
    assert!(bench.runs(init));
    if bench.host.features().suspend {
        bench.done(&["pause", &bench.web]);
        assert_eq!(bench.state(&bench.web)["status"], "paused");
        bench.fails(&["pause", &bench.web], 125);
        bench.done(&["resume", &bench.web]);
        assert_eq!(bench.state(&bench.web)["status"], "running");
    }
    let refused = bench.fails(&["delete", &bench.web], 125);
    assert!(refused.contains("runs"), "{refused}");
    bench.done(&["kill", &bench.web, "KILL"]);
    let stopped = bench.reaches(&bench.web, "stopped");
    assert_eq!(stopped["exit"]["code"], 137);
    assert_eq!(stopped["pid"], Value::Null);
    assert!(!bench.runs(init));
    let keeper = bench.record(&bench.web).keeper.unwrap();
    bench.done(&["delete", &bench.web]);
    eventually("the keeper ends with its container", PATIENCE, || {
        !bench.runs(keeper)
    });
    let gone = bench.fails(&["state", &bench.web], 125);
    assert!(
        gone.contains(&format!("there is no container {}", bench.web)),
        "{gone}"
    );
}

#[test]
fn stop_asks_first_and_ends_who_does_not_listen() {
    let bench = Bench::new();
    let ready = bench.file("ready");
    bench.detached(
        &bench.web,
        &[
            "on-interrupt",
            "5",
            "ready",
            ready.to_str().unwrap(),
            "hang",
        ],
    );
    eventually("it listens", PATIENCE, || ready.exists());
    bench.done(&["stop", "--grace", "60s", &bench.web]);
    assert_eq!(bench.state(&bench.web)["exit"]["code"], 5);
    bench.done(&["stop", &bench.web]);
    let deaf = bench.file("deaf");
    bench.detached(
        &bench.other,
        &["ignore", "ready", deaf.to_str().unwrap(), "hang"],
    );
    eventually("it ignores", PATIENCE, || deaf.exists());
    bench.done(&["stop", "--grace", "200ms", &bench.other]);
    assert_eq!(bench.state(&bench.other)["exit"]["code"], 137);
}

#[test]
fn exec_runs_in_the_container_with_its_own_folder_and_variables() {
    let bench = Bench::new();
    let bundle = bench.bundle(&bench.web, &["hang"]);
    bench.done(&["run", "--detach", "--bundle", &bundle, &bench.web]);
    let ended = bench.run(&["exec", &bench.web, "--", &PROBE, "exit", "3"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let place = bench.file("place");
    std::fs::create_dir(&place).unwrap();
    let place = place.to_str().unwrap();
    let line = [
        "exec",
        "--cwd",
        place,
        "--env",
        "GREETING=hello=you",
        &bench.web,
        "--",
        &PROBE,
    ];
    let directory = bench.done(&[&line[..], &["directory"]].concat());
    assert!(directory.trim_end().ends_with("place"), "{directory}");
    let environment = bench.done(&[&line[..], &["environment"]].concat());
    let environment: Value = serde_json::from_str(&environment).unwrap();
    assert_eq!(environment["GREETING"], "hello=you");
    let process = bench.file("process.json");
    let document =
        json!({ "args": [PROBE.as_str(), "exit", "4"], "cwd": config(&[])["process"]["cwd"] });
    std::fs::write(&process, document.to_string()).unwrap();
    let ended = bench.run(&["exec", "--process", process.to_str().unwrap(), &bench.web]);
    assert_eq!(ended.code, 4, "{ended:?}");
    // Whoever is attached forgets the process at its end.
    assert_eq!(bench.state(&bench.web)["execs"], Value::Null);
    let output = bench.file("output");
    let detached = [
        "exec",
        "-d",
        "--exec-id",
        "later",
        "--stdout",
        output.to_str().unwrap(),
    ];
    bench.done(
        &[
            &detached[..],
            &[&bench.web, "--", &PROBE, "print", "late", "hang"],
        ]
        .concat(),
    );
    eventually("it prints", PATIENCE, || text(&output).trim_end() == "late");
    bench.done(&["kill", "--exec", "later", &bench.web, "KILL"]);
    eventually("it ends", PATIENCE, || {
        bench.run(&["delete", "--exec", "later", &bench.web]).code == 0
    });
    assert_eq!(bench.state(&bench.web)["status"], "running");
}

#[test]
fn the_state_of_an_added_process_has_the_words_of_that_of_a_container() {
    let bench = Bench::new();
    bench.detached(&bench.web, &["hang"]);
    let exec = ["exec", "--exec-id", "one", "-d", &bench.web, "--", &PROBE];
    bench.done(&[&exec[..], &["hang"]].concat());
    let state = || -> Value {
        let state = bench.done(&["state", "--exec", "one", &bench.web]);
        serde_json::from_str(&state).unwrap()
    };
    let running = state();
    assert_eq!(running["status"], "running", "{running}");
    assert!(running["pid"].is_u64() && running["started"].is_string());
    let table = bench.done(&["state", "--exec", "one", "-o", "table", &bench.web]);
    assert!(
        table.starts_with("EXEC") && table.contains("running"),
        "{table}"
    );
    bench.done(&["kill", "--exec", "one", &bench.web, "KILL"]);
    eventually("it ended", PATIENCE, || state()["status"] == "stopped");
    let stopped = state();
    assert_eq!(stopped["exit"]["code"], 137, "{stopped}");
    assert!(stopped["pid"].is_null() && stopped["phase"].is_null());
}

/// Whether no field of a document is written in another way than `camelCase`.
fn is_camel_case(document: &Value) -> bool {
    match document {
        Value::Object(fields) => fields
            .iter()
            // The names of annotations are not ours to write.
            .all(|(name, value)| {
                name == "annotations" || !name.contains(['_', '-']) && is_camel_case(value)
            }),
        Value::Array(items) => items.iter().all(is_camel_case),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[test]
fn every_field_of_the_features_is_written_as_oci_runtimes_write_theirs() {
    let bench = Bench::new();
    let features: Value = serde_json::from_str(&bench.done(&["features"])).unwrap();
    assert!(features.pointer("/hosttask/places/containerRoot").is_some());
    assert!(is_camel_case(&features), "{features}");
}

#[test]
fn what_is_printed_for_programs_is_json_and_for_people_a_table() {
    let bench = Bench::new();
    bench.detached(&bench.web, &["hang"]);
    let list: Value = serde_json::from_str(&bench.done(&["list", "-o", "json"])).unwrap();
    assert_eq!(list[0]["id"], bench.web);
    assert_eq!(list[0]["status"], "running");
    let table = bench.done(&["list"]);
    assert!(
        table.contains("STATUS") && table.contains("running"),
        "{table}"
    );
    let processes: Value =
        serde_json::from_str(&bench.done(&["ps", &bench.web, "-o", "json"])).unwrap();
    let pid = bench.state(&bench.web)["pid"].clone();
    let listed = processes.as_array().unwrap().iter();
    assert!(listed.clone().any(|it| it["pid"] == pid), "{processes}");
    assert!(bench.done(&["ps", &bench.web]).contains(&pid.to_string()));
    let usage: Value =
        serde_json::from_str(&bench.done(&["stats", &bench.web, "-o", "json"])).unwrap();
    assert_eq!(usage["id"], bench.web);
    assert!(
        usage["usage"]["activeProcesses"].as_u64() >= Some(1),
        "{usage}"
    );
    assert!(bench.done(&["stats", &bench.web]).contains("processes now"));
    let features: Value = serde_json::from_str(&bench.done(&["features"])).unwrap();
    assert_eq!(
        features["hosttask"]["features"]["backend"],
        bench.host.features().backend
    );
    let doctor: Value = serde_json::from_str(&bench.done(&["doctor", "-o", "json"])).unwrap();
    let trial = doctor
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["about"] == "a program in a job");
    assert_eq!(trial.unwrap()["answer"], "yes", "{doctor}");
    assert!(
        bench
            .done(&["completion", "bash"])
            .contains("hosttask-node")
    );
}

#[test]
fn events_tell_each_step_once_and_in_order_and_end_with_the_container() {
    let bench = Bench::new();
    let bundle = bench.bundle(&bench.web, &["exit", "9"]);
    bench.done(&["create", "--bundle", &bundle, &bench.web]);
    let events = bench.start(&["events", &bench.web]);
    bench.done(&["start", &bench.web]);
    bench.reaches(&bench.web, "stopped");
    bench.done(&["delete", &bench.web]);
    let events = events.wait_with_output().unwrap();
    let lines = String::from_utf8(events.stdout).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let kinds: Vec<&str> = lines
        .iter()
        .map(|it| it["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["created", "started", "exited", "deleted"]);
    assert!(lines.iter().all(|it| it["id"] == bench.web));
    assert_eq!(lines[2]["data"]["exit"]["code"], 9);
}

#[test]
fn a_config_from_spec_is_one_that_can_be_created() {
    let bench = Bench::new();
    let bundle = bench.file("bundle");
    std::fs::create_dir(&bundle).unwrap();
    let bundle = bundle.to_str().unwrap();
    bench.done(&["spec", "--bundle", bundle]);
    let again = bench.fails(&["spec", "--bundle", bundle], 125);
    assert!(again.contains("config.json"), "{again}");
    bench.done(&["create", "--bundle", bundle, &bench.web]);
    bench.done(&["delete", &bench.web]);
}

#[test]
fn limits_are_changed_while_it_runs_or_refused_by_name() {
    use hosttask_node_runtime::sys::LimitKind;
    let bench = Bench::new();
    bench.detached(&bench.web, &["hang"]);
    let line = ["update", "--processes", "5", &bench.web, "-o", "json"];
    if bench
        .host
        .features()
        .limits
        .contains(&LimitKind::ActiveProcesses)
    {
        let now: Value = serde_json::from_str(&bench.done(&line)).unwrap();
        assert_eq!(now["activeProcesses"], 5);
        let lifted = bench.done(&["update", "--processes", "none", &bench.web, "-o", "json"]);
        let now: Value = serde_json::from_str(&lifted).unwrap();
        assert_eq!(now["activeProcesses"], Value::Null);
    } else {
        let refused = bench.fails(&line, 125);
        assert!(refused.contains("--processes"), "{refused}");
    }
    for (option, value, least) in [
        ("--memory-bytes", "1", "from 1048576"),
        ("--process-memory-bytes", "1048575", "from 1048576"),
        ("--cpu-maximum", "10001", "from 1 to 10000"),
        ("--cpu-weight", "10", "from 1 to 9"),
        ("--processes", "0", "from 1"),
    ] {
        let refused = bench.fails(&["update", option, value, &bench.web], 125);
        for said in [option, value, least] {
            assert!(refused.contains(said), "{said}: {refused}");
        }
    }
    let nothing = bench.fails(&["update", &bench.web], 125);
    assert!(nothing.contains("nothing to change"), "{nothing}");
}

#[test]
fn a_pid_file_has_the_number_of_the_program() {
    let bench = Bench::new();
    let file = bench.file("pid");
    let path = file.to_str().unwrap();
    bench.done(&[
        "run",
        "-d",
        "--pid-file",
        path,
        &bench.web,
        "--",
        &PROBE,
        "hang",
    ]);
    assert_eq!(text(&file), bench.state(&bench.web)["pid"].to_string());
}
