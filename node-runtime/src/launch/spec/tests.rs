//! What a config can and cannot ask for. Whole situations are in `tests/fixtures/spec`.

use super::*;
use crate::id::Id;
use crate::launch::Command;
use crate::sys::fake::places_of;
use crate::sys::{Features, Rules};

fn read(config: &str) -> Result<Plan, String> {
    let context = Context {
        places: &places_of(Rules::Windows),
        features: &Features {
            service_accounts: true,
            ..Features::default()
        },
        id: &Id::parse("web").unwrap(),
        bundle: r"C:\bundle",
    };
    plan(config.as_bytes(), &context).map_err(|it| it.to_string())
}

fn config(process: &str, more: &str) -> String {
    format!(
        r#"{{"ociVersion":"1.1.0","process":{{"user":{{"username":"NT AUTHORITY\\SYSTEM"}},{process}}}{more}}}"#
    )
}

#[test]
fn every_field_of_the_oci_spec_that_cannot_be_done_is_refused_by_its_name() {
    let of_process = [
        ("capabilities", r#"{"bounding":["CAP_KILL"]}"#),
        ("rlimits", r#"[{"type":"RLIMIT_CORE","soft":1,"hard":1}]"#),
        ("noNewPrivileges", "true"),
        ("apparmorProfile", r#""x""#),
        ("selinuxLabel", r#""x""#),
        ("oomScoreAdj", "-5"),
        ("scheduler", r#"{"policy":"SCHED_FIFO"}"#),
        ("ioPriority", r#"{"class":"IOPRIO_CLASS_RT","priority":1}"#),
        ("execCPUAffinity", r#"{"initial":"0"}"#),
        ("user.uid", "1000"),
        ("user.gid", "1000"),
        ("user.umask", "18"),
        ("user.additionalGids", "[5]"),
    ];
    for (name, value) in of_process {
        let text = match name.strip_prefix("user.") {
            Some(field) => format!(
                r#"{{"ociVersion":"1.1.0","process":{{"args":["x"],"user":{{"username":"S-1-5-18","{field}":{value}}}}}}}"#
            ),
            None => config(&format!(r#""args":["x"],"{name}":{value}"#), ""),
        };
        expect_refused(&text, &format!("process.{name}"));
    }
    let of_top = [
        ("linux", "{}"),
        ("solaris", "{}"),
        ("vm", "{}"),
        ("zos", "{}"),
        ("hooks", r#"{"prestart":[{"path":"x"}]}"#),
        ("domainname", r#""x""#),
    ];
    for (name, value) in of_top {
        let text = config(r#""args":["x"]"#, &format!(r#","{name}":{value}"#));
        expect_refused(&text, name);
    }
    let of_windows = [
        ("hyperv", "{}"),
        ("devices", r#"[{"id":"x","idType":"class"}]"#),
        ("credentialSpec", r#"{"x":"y"}"#),
        ("servicing", "true"),
        ("network.endpointList", r#"["x"]"#),
        ("network.DNSSearchList", r#"["x"]"#),
        ("network.networkSharedContainerName", r#""x""#),
        ("network.networkNamespace", r#""x""#),
        ("resources.storage.iops", "1"),
    ];
    for (name, value) in of_windows {
        let (section, field) = name.rsplit_once('.').unwrap_or(("", name));
        let mut object = format!(r#"{{"{field}":{value}}}"#);
        for name in section.split('.').rev().filter(|it| !it.is_empty()) {
            object = format!(r#"{{"{name}":{object}}}"#);
        }
        let text = config(r#""args":["x"]"#, &format!(r#","windows":{object}"#));
        expect_refused(&text, &format!("windows.{name}"));
    }
}

fn expect_refused(config: &str, path: &str) {
    let text = read(config).unwrap_err();
    assert!(text.starts_with(&format!("{path}: ")), "{config}: {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn a_program_that_writes_every_field_asks_for_nothing_with_it() {
    let process = r#""args":["x"],"cwd":"","env":null,"terminal":false,"consoleSize":{"height":0,"width":0},
        "capabilities":null,"rlimits":[],"noNewPrivileges":false,"oomScoreAdj":0,"commandLine":"""#;
    let more = r#","hostname":"node-1","domainname":"","hooks":{},"linux":null,"mounts":[],"annotations":{},
        "root":{"path":""},"windows":{"layerFolders":null,"devices":null,"servicing":false,
        "ignoreFlushesDuringBoot":true,"network":{"allowUnqualifiedDNSQuery":true,"endpointList":[]},"resources":{}}"#;
    let plan = read(&config(process, more)).unwrap();
    assert_eq!(
        plan.process.command,
        Command::Arguments(vec!["x".to_owned()])
    );
    assert!(plan.root.layers.is_empty() && plan.mounts.is_empty());
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = read(
        r#"{"process":{"user":{"username":"bob@x"},"env":["A"],"cdw":"x"},"linux":{},"mount":[]}"#,
    );
    let text = text.unwrap_err();
    let paths: Vec<_> = text
        .lines()
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "ociVersion",
            "linux",
            "mount",
            "process.args",
            "process.env[0]",
            "process.cdw"
        ]
    );
}

#[test]
fn no_secret_is_ever_printed() {
    let secret = "hunter2";
    let good = config(
        &format!(r#""args":["x","{secret}"],"env":["P={secret}"]"#),
        "",
    );
    let plan = read(&good).unwrap();
    assert!(!format!("{plan:?}").contains(secret));
    let line = read(&config(&format!(r#""commandLine":"x {secret}""#), "")).unwrap();
    assert!(!format!("{line:?}").contains(secret));
    let bad = [
        format!(r#""args":["{secret}\u0000"]"#),
        format!(r#""args":["x"],"env":["{secret}"]"#),
        format!(r#""args":["x"],"env":["=A={secret}"]"#),
        format!(r#""args":["x"],"env":["A={secret}\u0000"]"#),
        format!(r#""args":["x"],"env":["A={secret}{}"]"#, "y".repeat(40_000)),
        format!(r#""args":["x",{{"{secret}":"{secret}"}}]"#),
        format!(r#""commandLine":" {secret}""#),
        format!(r#""args":["x"],"commandLine":"{secret}""#),
        format!(r#""args":"{secret}""#),
    ];
    for process in bad {
        let text = read(&config(&process, "")).unwrap_err();
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn an_exec_has_its_own_folder_and_variables_and_lacks_what_the_container_lacks() {
    let annotations = r#","annotations":{"dev.hosttask/drop-privileges":"SeDebugPrivilege"}"#;
    let plan = read(&config(
        r#""args":["x"],"cwd":"bin","env":["A=1"]"#,
        annotations,
    ))
    .unwrap();
    let context = Context {
        places: &places_of(Rules::Windows),
        features: &Features {
            service_accounts: true,
            ..Features::default()
        },
        id: &Id::parse("web").unwrap(),
        bundle: "",
    };
    let exec = |json: &str| exec(json.as_bytes(), &plan, &context);
    let same = exec(r#"{"args":["y"],"user":{}}"#).unwrap();
    assert_eq!(same.user, plan.process.user);
    assert_eq!(same.directory, "bin");
    assert!(same.environment.is_empty());
    assert_eq!(same.drop_privileges, plan.process.drop_privileges);
    let other = r#"{"args":["y"],"cwd":"C:\\x","user":{"username":"NT AUTHORITY\\LocalService"}}"#;
    let other = exec(other).unwrap();
    assert_eq!(other.user, User::LocalService);
    assert_eq!(other.directory, r"C:\x");
    let problems = exec(r#"{"args":[],"user":{"username":"bob@x"},"x":1}"#).unwrap_err();
    let paths: Vec<_> = problems.list().iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["args", "x"]);
}

#[test]
fn a_container_has_at_most_250_mounts() {
    let mounts = |count: usize| {
        let mount = |number| format!(r#"{{"source":"C:\\s","destination":"C:\\m{number}"}}"#);
        let mounts: Vec<_> = (0..count).map(mount).collect();
        config(
            r#""args":["x"]"#,
            &format!(r#","mounts":[{}]"#, mounts.join(",")),
        )
    };
    assert_eq!(read(&mounts(250)).unwrap().mounts.len(), 250);
    expect_refused(&mounts(251), "mounts");
}

#[test]
fn a_user_that_the_host_cannot_log_on_is_refused_at_once() {
    let context = Context {
        places: &places_of(Rules::Windows),
        features: &Features::default(),
        id: &Id::parse("web").unwrap(),
        bundle: "",
    };
    for user in ["S-1-5-19", "hpc-localgroup"] {
        let config = format!(
            r#"{{"ociVersion":"1.1.0","process":{{"args":["x"],"user":{{"username":"{user}"}}}}}}"#
        );
        let text = plan(config.as_bytes(), &context).unwrap_err().to_string();
        assert!(
            text.starts_with("process.user.username: this host cannot log"),
            "{text}"
        );
    }
    let container = read(&config(r#""args":["x"]"#, "")).unwrap();
    let same = br#"{"args":["y"],"user":{"username":"nt authority\\system"}}"#;
    assert!(exec(same, &container, &context).is_ok());
    let other = br#"{"args":["y"],"user":{"username":"S-1-5-19"}}"#;
    let text = exec(other, &container, &context).unwrap_err().to_string();
    assert!(
        text.starts_with("user.username: this host cannot log"),
        "{text}"
    );
}
