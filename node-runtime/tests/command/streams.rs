//! Standard streams: relayed, kept in files, left open by a grandchild, never read.

use std::io::{Read as _, Write as _};
use std::time::Instant;

use serde_json::Value;

use super::bench::{Bench, PATIENCE, PROBE, eventually, text};

#[test]
fn what_is_typed_reaches_the_program_and_its_end_does_too() {
    let bench = Bench::new();
    let mut run = bench.start(&[
        "run", "--rm", &bench.web, "--", &PROBE, "echo", "complain", "done",
    ]);
    let typed: Vec<u8> = (0..1_000_000_u32)
        .map(|it| u8::try_from(it % 251).unwrap())
        .collect();
    let mut stdin = run.stdin.take().unwrap();
    let sent = typed.clone();
    let hand = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let ended = run.wait_with_output().unwrap();
    hand.join().unwrap();
    assert_eq!(ended.stdout, typed);
    assert_eq!(String::from_utf8(ended.stderr).unwrap().trim_end(), "done");
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn files_get_what_is_printed_also_from_a_container_that_is_not_waited_for() {
    let bench = Bench::new();
    let (stdin, stdout) = (bench.file("stdin"), bench.file("stdout"));
    std::fs::write(&stdin, "from a file").unwrap();
    std::fs::write(&stdout, "before ").unwrap();
    let (from, to) = (stdin.to_str().unwrap(), stdout.to_str().unwrap());
    bench.done(&[
        "run", "-d", "--stdin", from, "--stdout", to, &bench.web, "--", &PROBE, "echo",
    ]);
    bench.reaches(&bench.web, "stopped");
    assert_eq!(text(&stdout), "before from a file");
}

#[test]
fn a_grandchild_that_holds_the_output_does_not_hold_up_the_end() {
    let bench = Bench::new();
    let began = Instant::now();
    let leave = [&PROBE, "leave", "hang", ";", "exit", "3"];
    let ended = bench.run(&[&["run", "--rm", &bench.web, "--"], &leave[..]].concat());
    assert_eq!(ended.code, 3, "{ended:?}");
    bench.detached(&bench.other, &["hang"]);
    let ended = bench.run(&[&["exec", &bench.other, "--"], &leave[..]].concat());
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
}

#[test]
fn a_reader_that_never_reads_holds_up_neither_the_end_nor_anybody_else() {
    let bench = Bench::new();
    let mut run = bench.start(&["run", &bench.web, "--", &PROBE, "flood", "64", "exit", "0"]);
    eventually("it runs", PATIENCE, || {
        bench
            .run(&["list", "-o", "json"])
            .printed
            .contains("\"running\"")
    });
    bench.done(&["exec", &bench.web, "--", &PROBE, "exit", "0"]);
    bench.done(&["kill", &bench.web, "KILL"]);
    let state = bench.reaches(&bench.web, "stopped");
    assert_eq!(state["exit"]["code"], 137);
    bench.done(&["delete", &bench.web]);
    let mut rest = Vec::new();
    run.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
    assert!(rest.len() < 64 << 20, "{}", rest.len());
    run.wait().unwrap();
}

#[test]
fn a_reader_that_leaves_does_not_hurt_the_container() {
    let bench = Bench::new();
    let mut run = bench.start(&[
        "run", &bench.web, "--", &PROBE, "print", "x", "ignore", "hang",
    ]);
    let mut first = [0];
    run.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(bench.state(&bench.web)["status"], "running");
    bench.done(&["delete", "--force", &bench.web]);
}

#[test]
fn a_command_whose_reader_left_says_that_output_is_lost() {
    let bench = Bench::new();
    let mut run = bench.start(&[
        "run", "--rm", &bench.web, "--", &PROBE, "flood", "8", "exit", "4",
    ]);
    let mut first = [0];
    let mut stdout = run.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("nobody reads stdout any more"), "{said}");
    assert_eq!(ended.status.code(), Some(4), "{said}");
}

#[test]
fn a_flood_arrives_complete_and_in_order_of_its_ends() {
    let bench = Bench::new();
    let ended = bench.start(&[
        "run", "--rm", &bench.web, "--", &PROBE, "flood", "8", "print", "end",
    ]);
    let ended = ended.wait_with_output().unwrap();
    let count = ended.stdout.len();
    assert!(count > 8 << 20, "{count}");
    let last = String::from_utf8_lossy(ended.stdout.get(count - 8..).unwrap()).into_owned();
    assert!(last.trim_end().ends_with("end"), "{last:?}");
}

#[test]
fn json_has_the_whole_exit_code_even_where_a_shell_sees_eight_bits() {
    let bench = Bench::new();
    let codes: &[u32] = if cfg!(windows) {
        &[0, 1, 255, 256, 3010, 0xC000_013A, u32::MAX]
    } else {
        // A program has no more on Linux.
        &[0, 1, 255]
    };
    for code in codes {
        let ended = bench.run(&["run", &bench.web, "--", &PROBE, "exit", &code.to_string()]);
        assert_eq!(ended.code.cast_unsigned() & 0xff, code & 0xff, "{ended:?}");
        let state: Value = bench.state(&bench.web);
        assert_eq!(state["exit"]["code"], *code);
        bench.done(&["delete", &bench.web]);
    }
}
