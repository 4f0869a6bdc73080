//! Where output goes: files, programs that log, and readers that do not read.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use hosttask_tests::containerd::run;

use super::bench::{Bench, PATIENCE, RUNNING, eventually};
use super::ctr::exec;

#[test]
fn a_log_in_a_file_has_both_streams() {
    let bench = Bench::new();
    let log = bench.file("logs/web.log");
    let uri = format!("file://{log}");
    let steps = ["print", "hello", "complain", "oh"];
    let ended = bench.run("web", &["--rm", "--log-uri", &uri], &steps);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = fs::read_to_string(&log).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["hello", "oh"]);
    bench.is_empty();
}

#[test]
fn a_program_that_logs_gets_both_streams_and_knows_whose_they_are() {
    let bench = Bench::new();
    let logger = bench.file("logger");
    // What containerd promises such a program: the streams as 3 and 4, 5 to be closed when it is ready, two variables.
    let script = "#!/bin/sh\n\
        printf '%s %s %s %s\\n' \"$CONTAINER_NAMESPACE\" \"$CONTAINER_ID\" \"$1\" \"$2\" > \"$2/who\"\n\
        cat <&3 5>&- > \"$2/out\" &\n\
        cat <&4 5>&- > \"$2/err\" &\n\
        exec 5>&-\n\
        wait\n\
        : > \"$2/ended\"\n";
    fs::write(&logger, script).unwrap();
    fs::set_permissions(&logger, fs::Permissions::from_mode(0o755)).unwrap();
    let folder = bench.containerd.folder().display().to_string();
    let uri = format!("binary://{logger}?folder={folder}");
    let steps = ["print", "hello", "complain", "oh", "flood", "2"];
    let ended = bench.run("web", &["--rm", "--log-uri", &uri], &steps);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    eventually("the program has ended", PATIENCE, || {
        fs::metadata(bench.file("ended"))
    });
    let text = |name: &str| fs::read_to_string(bench.file(name)).unwrap();
    assert_eq!(
        text("who"),
        format!("{} web folder {folder}\n", bench.namespace)
    );
    let out = text("out");
    assert!(out.starts_with("hello\n"), "{}", &out[..40]);
    assert_eq!(out.len(), "hello\n".len() + (2 << 20));
    assert_eq!(text("err"), "oh\n");
    bench.is_empty();
}

#[test]
fn what_is_sent_before_the_input_is_closed_is_read_to_its_end() {
    let bench = Bench::new();
    let fifo = bench.fifo("in");
    let log = bench.file("log");
    bench.started("web", &["hang"]);
    let mut ask = exec(&bench, "web", "one", &["echo"]);
    ask.stdin.clone_from(&fifo);
    ask.stdout = format!("file://{log}");
    bench.client.ask(&ask).unwrap();
    bench.client.call("start", "web", "one").unwrap();
    // More than a pipe holds.
    let mut writer = fs::File::options().write(true).open(&fifo).unwrap();
    let text = "a line of thirty-two characters\n".repeat(8 * 1024);
    writer.write_all(text.as_bytes()).unwrap();
    drop(writer);
    bench.client.call("close", "web", "one").unwrap();
    assert_eq!(bench.code("web", "one"), 0);
    eventually("all of it is in the log", PATIENCE, || {
        let seen = fs::read_to_string(&log).unwrap_or_default();
        if seen == text {
            Ok(())
        } else {
            Err(seen.len())
        }
    });
    bench.client.call("delete", "web", "one").unwrap();
    bench.remove("web");
    bench.is_empty();
}

#[test]
fn a_short_input_of_ctr_is_read_to_its_end_each_time() {
    let bench = Bench::new();
    let input = bench.file("input");
    fs::write(&input, "short\n").unwrap();
    for round in 0..10 {
        let id = format!("web-{round}");
        let arguments = bench.ctr_run(&id, &bench.spec(&id, &["echo"]), &["--rm"]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut ctr = bench.containerd.ctr(&bench.namespace, &arguments);
        ctr.stdin(fs::File::open(&input).unwrap());
        let ended = run(&mut ctr, PATIENCE).unwrap();
        assert_eq!((ended.code, ended.printed.as_str()), (Some(0), "short\n"));
    }
    bench.is_empty();
}

#[test]
fn a_flood_that_nobody_reads_stops_no_call() {
    let bench = Bench::new();
    let fifo = bench.fifo("out");
    // Open for reading, as containerd keeps it, but never read.
    let reader = fs::File::options()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    bench.create_writing_to("web", &["flood", "64", "hang"], &fifo);
    bench.client.call("start", "web", "").unwrap();
    for _ in 0..20 {
        assert_eq!(bench.status("web", ""), Ok(RUNNING));
        bench.client.call("pids", "web", "").unwrap();
        bench.client.call("metrics", "web", "").unwrap();
    }
    // Another container of another shim, and one more process of this one.
    bench.started("api", &["exit", "3"]);
    assert_eq!(bench.code("api", ""), 3);
    bench.client.kill("web", "", 9).unwrap();
    assert_eq!(bench.code("web", ""), 137);
    bench.client.call("delete", "web", "").unwrap();
    bench.client.call("remove", "web", "").unwrap();
    bench.remove("api");
    bench.is_empty();
    drop(reader);
}
