//! containerd is stopped or killed and comes back, in every state of a task: nothing is lost, and nothing starts again.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};

use serde_json::json;

use super::bench::{Bench, CREATED, PATIENCE, PAUSED, RUNNING, STOPPED, code_of, eventually};
use super::ctr::exec;

/// How containerd ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Asked,
    Killed,
}

const ENDS: [End; 2] = [End::Asked, End::Killed];

fn restart(bench: &mut Bench, end: End) {
    down(bench, end);
    bench.containerd.boot().unwrap();
    bench.reconnect();
}

fn down(bench: &Bench, end: End) {
    match end {
        End::Asked => bench.containerd.stop().unwrap(),
        End::Killed => bench.containerd.kill().unwrap(),
    }
}

/// The number of its first process.
fn pid(bench: &Bench) -> Option<u64> {
    bench.client.call("state", "web", "").unwrap()["pid"].as_u64()
}

#[test]
fn a_created_task_is_found_again_and_can_be_started() {
    for end in ENDS {
        let mut bench = Bench::new();
        bench.create("web", &["exit", "3"]);
        restart(&mut bench, end);
        assert_eq!(bench.status("web", ""), Ok(CREATED), "{end:?}");
        bench.client.call("start", "web", "").unwrap();
        assert_eq!(bench.code("web", ""), 3, "{end:?}");
        bench.remove("web");
        bench.is_empty();
    }
}

#[test]
fn a_running_task_and_its_exec_run_on_in_the_same_processes() {
    for end in ENDS {
        let mut bench = Bench::new();
        // One for each: the end of the first process is that of all others.
        let [go, go_one] = [bench.file("go"), bench.file("go-one")];
        bench.started("web", &["await", &go, "exit", "7"]);
        bench
            .client
            .ask(&exec(
                &bench,
                "web",
                "one",
                &["await", &go_one, "exit", "9"],
            ))
            .unwrap();
        bench.client.call("start", "web", "one").unwrap();
        let before = (pid(&bench), bench.processes("web").len());
        restart(&mut bench, end);
        assert_eq!(bench.status("web", ""), Ok(RUNNING), "{end:?}");
        assert_eq!(bench.status("web", "one"), Ok(RUNNING), "{end:?}");
        assert_eq!((pid(&bench), bench.processes("web").len()), before);
        fs::write(&go_one, "").unwrap();
        assert_eq!(bench.code("web", "one"), 9, "{end:?}");
        fs::write(&go, "").unwrap();
        assert_eq!(bench.code("web", ""), 7, "{end:?}");
        bench.client.call("delete", "web", "one").unwrap();
        bench.remove("web");
        bench.is_empty();
    }
}

#[test]
fn a_paused_task_stands_still_until_it_is_resumed() {
    for end in ENDS {
        let mut bench = Bench::new();
        let go = bench.file("go");
        bench.started("web", &["await", &go, "exit", "4"]);
        bench.client.call("pause", "web", "").unwrap();
        restart(&mut bench, end);
        assert_eq!(bench.status("web", ""), Ok(PAUSED), "{end:?}");
        fs::write(&go, "").unwrap();
        bench.client.call("resume", "web", "").unwrap();
        assert_eq!(bench.code("web", ""), 4, "{end:?}");
        bench.remove("web");
    }
}

#[test]
fn a_task_that_had_ended_keeps_its_exit_code() {
    for end in ENDS {
        let mut bench = Bench::new();
        bench.started("web", &["exit", "201"]);
        assert_eq!(bench.code("web", ""), 201);
        restart(&mut bench, end);
        assert_eq!(bench.status("web", ""), Ok(STOPPED), "{end:?}");
        assert_eq!(bench.code("web", ""), 201, "{end:?}");
        let deleted = bench.client.call("delete", "web", "").unwrap();
        assert_eq!(code_of(&deleted), 201, "{end:?}");
        bench.client.call("remove", "web", "").unwrap();
        bench.is_empty();
    }
}

#[test]
fn a_task_that_ends_while_containerd_is_down_keeps_its_exit_code() {
    for end in ENDS {
        let mut bench = Bench::new();
        let go = bench.file("go");
        bench.started("web", &["await", &go, "exit", "66"]);
        down(&bench, end);
        fs::write(&go, "").unwrap();
        eventually("it has ended", PATIENCE, || {
            let left = bench.processes("web");
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
        bench.containerd.boot().unwrap();
        bench.reconnect();
        assert_eq!(bench.code("web", ""), 66, "{end:?}");
        bench.remove("web");
        bench.is_empty();
    }
}

#[test]
fn no_line_of_a_log_is_lost_or_told_twice() {
    for end in ENDS {
        let mut bench = Bench::new();
        let log = bench.file("web.log");
        // Printed before, while and after containerd is down.
        let [first, second] = [bench.file("first"), bench.file("second")];
        let steps = [
            "print", "one", "await", &first, "print", "two", "await", &second, "print", "three",
        ];
        bench.create_writing_to("web", &steps, &format!("file://{log}"));
        bench.client.call("start", "web", "").unwrap();
        let holds = |text: &str| {
            eventually("the log", PATIENCE, || {
                let seen = fs::read_to_string(&log).unwrap_or_default();
                if seen == text { Ok(()) } else { Err(seen) }
            });
        };
        holds("one\n");
        down(&bench, end);
        fs::write(&first, "").unwrap();
        holds("one\ntwo\n");
        bench.containerd.boot().unwrap();
        bench.reconnect();
        fs::write(&second, "").unwrap();
        assert_eq!(bench.code("web", ""), 0);
        holds("one\ntwo\nthree\n");
        bench.remove("web");
    }
}

#[test]
fn what_a_reader_missed_while_it_was_away_is_there_when_it_is_back() {
    for end in ENDS {
        let mut bench = Bench::new();
        let fifo = bench.fifo("out");
        let [first, second] = [bench.file("first"), bench.file("second")];
        let steps = [
            "print", "one", "await", &first, "print", "two", "await", &second, "print", "three",
        ];
        bench.create_writing_to("web", &steps, &fifo);
        bench.client.call("start", "web", "").unwrap();
        let read = |count: usize| {
            let lines = BufReader::new(File::open(&fifo).unwrap()).lines();
            lines.take(count).map(Result::unwrap).collect::<Vec<_>>()
        };
        assert_eq!(read(1), ["one"]);
        // containerd has the other end open, and takes it along.
        down(&bench, end);
        fs::write(&first, "").unwrap();
        bench.containerd.boot().unwrap();
        bench.reconnect();
        assert_eq!(read(1), ["two"], "{end:?}");
        fs::write(&second, "").unwrap();
        assert_eq!(read(1), ["three"], "{end:?}");
        assert_eq!(bench.code("web", ""), 0);
        bench.remove("web");
        bench.is_empty();
    }
}

#[test]
fn what_a_task_printed_and_ended_with_while_its_reader_was_away_is_there_when_it_is_back() {
    for end in ENDS {
        let mut bench = Bench::new();
        let fifo = bench.fifo("out");
        let [go, printed] = [bench.file("go"), bench.file("printed")];
        // One line while containerd is down, then more than the system keeps of it, so that the task is held up.
        let steps = [
            "print", "one", "await", &go, "print", "two", "ready", &printed, "flood", "1", "print",
            "last", "exit", "3",
        ];
        bench.create_writing_to("web", &steps, &fifo);
        bench.client.call("start", "web", "").unwrap();
        let mut first = [0; 4];
        let mut reader = File::open(&fifo).unwrap();
        reader.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"one\n");
        drop(reader);
        down(&bench, end);
        fs::write(&go, "").unwrap();
        eventually("it prints although nobody reads", PATIENCE, || {
            fs::metadata(&printed)
        });
        bench.containerd.boot().unwrap();
        bench.reconnect();
        let mut rest = String::new();
        File::open(&fifo)
            .unwrap()
            .read_to_string(&mut rest)
            .unwrap();
        assert_eq!(rest.len(), "two\n".len() + (1 << 20) + "last\n".len());
        assert!(rest.starts_with("two\n"), "{end:?}");
        assert!(rest.ends_with("x\nlast\n"), "{end:?}");
        assert_eq!(bench.code("web", ""), 3, "{end:?}");
        bench.remove("web");
        bench.is_empty();
    }
}

#[test]
fn after_ten_restarts_every_call_still_works() {
    let mut bench = Bench::new();
    bench.started("web", &["hang"]);
    for round in 0..10 {
        let end = if round % 2 == 0 {
            End::Asked
        } else {
            End::Killed
        };
        restart(&mut bench, end);
        let name = format!("exec-{round}");
        bench
            .client
            .ask(&exec(&bench, "web", &name, &["exit", "5"]))
            .unwrap();
        bench.client.call("start", "web", &name).unwrap();
        assert_eq!(bench.code("web", &name), 5, "{end:?}");
        bench.client.call("delete", "web", &name).unwrap();
        let pids = bench.client.call("pids", "web", "").unwrap();
        assert_eq!(pids.as_array().map(Vec::len), Some(1), "{pids}");
    }
    assert_eq!(bench.client.call("metrics", "web", "").unwrap(), json!(1));
    bench.remove("web");
    bench.is_empty();
}
