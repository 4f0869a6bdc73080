//! The streams of containerd: readers that come back, FIFOs, and log drivers.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{MAIN_SEPARATOR, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hosttask_node_runtime::container::{Container, Driver, Kind, Signal, Sink, Source, Stdio};
use hosttask_node_runtime::shim::streams::{self, StreamsRequest};
use hosttask_node_runtime::sys::{Connection, Listener};

use crate::bench::{Bench, SOON, end, everywhere, until};
use crate::scene::probe;

/// The streams of a request with these addresses.
fn asked(bench: &Bench, stdin: &str, stdout: &str, retry: Option<Duration>) -> Stdio {
    let request = StreamsRequest {
        host: bench.host.as_ref(),
        namespace: "k8s.io",
        id: "web",
        exec: None,
        stdin,
        stdout,
        stderr: "",
        terminal: false,
        retry,
    };
    streams::stdio(&request).unwrap()
}

fn run(bench: &Bench, steps: &str, stdio: Stdio) -> Container {
    let mut options = bench.options("web", steps);
    options.stdio = stdio;
    let container = bench.create_with(options).unwrap();
    container.start().unwrap();
    container
}

fn accept(listener: &mut Box<dyn Listener>) -> Box<dyn Connection> {
    listener.accept(SOON).unwrap().unwrap()
}

fn read_all(reader: &mut dyn Read) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

/// A container that printed `one` to a containerd that is gone now, and goes on with the other steps.
fn left_alone(bench: &Bench, steps: &str, retry: Option<Duration>) -> (Container, String) {
    let address = bench.address("out");
    let mut listener = bench.host.listen(&address).unwrap();
    let go = bench.text("go");
    let steps = format!("print one await {go} {steps}");
    let container = run(bench, &steps, asked(bench, "", &address, retry));
    let mut reader = accept(&mut listener);
    let mut line = [0; 4];
    reader.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"one\n");
    drop((reader, listener));
    fs::write(&go, "").unwrap();
    (container, address)
}

#[test]
fn a_program_waits_for_a_containerd_that_is_away_and_loses_no_byte() {
    everywhere(|bench| {
        let (container, address) = left_alone(bench, "flood 1 print last exit 3", None);
        let waited = container.wait(None, Duration::from_millis(300)).unwrap();
        assert_eq!(waited, None, "it is held up, as with any pipe");
        let mut listener = bench.host.listen(&address).unwrap();
        let text = read_all(accept(&mut listener).as_mut());
        assert_eq!(text.len(), (1 << 20) + "last\n".len());
        assert!(text.ends_with("x\nlast\n"));
        assert_eq!(end(&container).code, 3);
        let output = container.status(None).unwrap().output;
        assert_eq!((output.lost_bytes, output.was_cut), (0, false));
    });
}

#[test]
fn what_a_program_printed_before_it_ended_is_kept_for_a_containerd_that_is_away() {
    everywhere(|bench| {
        let (container, address) = left_alone(bench, "print two exit 5", None);
        assert_eq!(end(&container).code, 5, "its end is told meanwhile");
        let output = container.status(None).unwrap().output;
        assert_eq!((output.lost_bytes, output.was_cut), (0, false));
        let mut listener = bench.host.listen(&address).unwrap();
        assert_eq!(read_all(accept(&mut listener).as_mut()), "two\n");
        container.delete(None).unwrap();
    });
}

#[test]
fn a_containerd_that_is_away_holds_up_neither_a_kill_nor_a_delete() {
    everywhere(|bench| {
        let (container, _) = left_alone(bench, "flood 8 exit 0", None);
        container.kill(None, Signal::Kill, false).unwrap();
        assert_eq!(end(&container).code, 137);
        container.delete(None).unwrap();
        bench.is_clean();
    });
}

#[test]
fn after_the_time_of_the_options_a_containerd_that_is_away_holds_nothing_up() {
    everywhere(|bench| {
        let retry = Some(Duration::from_millis(50));
        let (container, _) = left_alone(bench, "flood 2 exit 4", retry);
        assert_eq!(end(&container).code, 4);
        let output = container.status(None).unwrap().output;
        assert!(output.lost_bytes > 0, "{output:?}");
    });
}

/// A FIFO as containerd makes them, on a host that has them.
fn fifo(bench: &Bench, name: &str) -> Option<String> {
    let path = bench.text(name);
    let made = Command::new("mkfifo").arg(&path).status();
    (MAIN_SEPARATOR == '/').then(|| {
        assert!(made.unwrap().success());
        path
    })
}

#[test]
fn a_fifo_is_the_same_for_a_containerd_that_was_started_again() {
    let bench = Bench::native();
    let Some(path) = fifo(&bench, "out") else {
        return;
    };
    let go = bench.text("go");
    let steps = format!("print one await {go} print two exit 6");
    let container = run(&bench, &steps, asked(&bench, "", &path, None));
    let mut line = [0; 4];
    let mut reader = File::open(&path).unwrap();
    reader.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"one\n");
    drop(reader);
    fs::write(&go, "").unwrap();
    assert_eq!(end(&container).code, 6);
    // Opened only now: the FIFO was held, or this would find nothing and wait for ever.
    let (sender, read) = mpsc::channel();
    thread::spawn(move || sender.send(read_all(&mut File::open(&path).unwrap())));
    assert_eq!(read.recv_timeout(SOON).unwrap(), "two\n");
    let output = container.status(None).unwrap().output;
    assert_eq!((output.lost_bytes, output.was_cut), (0, false));
    container.delete(None).unwrap();
}

#[test]
fn all_that_was_sent_before_the_input_was_closed_is_read() {
    let bench = Bench::native();
    let (Some(input), Some(output)) = (fifo(&bench, "in"), fifo(&bench, "out")) else {
        return;
    };
    let container = run(&bench, "echo exit 7", asked(&bench, &input, &output, None));
    let mut reader = File::open(&output).unwrap();
    let mut writer = OpenOptions::new().write(true).open(&input).unwrap();
    writer.write_all(b"line\n").unwrap();
    drop(writer);
    // A client that is gone is none that has no more to say: containerd may be started again.
    let waited = container.wait(None, Duration::from_millis(300)).unwrap();
    assert_eq!(waited, None);
    let mut writer = OpenOptions::new().write(true).open(&input).unwrap();
    writer.write_all(&b"more\n".repeat(10_000)).unwrap();
    container.close_stdin(None).unwrap();
    assert_eq!(read_all(&mut reader).len(), 5 + 50_000);
    assert_eq!(end(&container).code, 7);
}

/// A log driver that writes what it reads to files, and what it was told before that.
fn driver(bench: &Bench, log: &str) -> Driver {
    let program = bench.path(&format!("logger{}", std::env::consts::EXE_SUFFIX));
    fs::copy(probe(), &program).unwrap();
    Driver {
        program,
        arguments: vec!["log".to_owned(), log.to_owned()],
        id: "web".to_owned(),
        namespace: "k8s.io".to_owned(),
    }
}

#[test]
fn a_log_driver_reads_both_outputs_and_ends_with_them() {
    everywhere(|bench| {
        let log = bench.text("log");
        let sink = Sink::Driver(driver(bench, &log));
        let stdio = Stdio {
            stdin: Source::Null,
            stdout: sink.clone(),
            stderr: sink,
        };
        let container = run(bench, "print hello complain oh exit 2", stdio);
        assert_eq!(end(&container).code, 2);
        let is_over = || fs::read_to_string(&log).is_ok_and(|text| text.ends_with("end\n"));
        until("the log is written", is_over);
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(text, "k8s.io/web\nhello\noh\nend\n");
        let output = container.status(None).unwrap().output;
        assert_eq!((output.lost_bytes, output.was_cut), (0, false));
    });
}

#[test]
fn a_log_driver_that_does_not_exist_is_found_when_the_container_is_created() {
    everywhere(|bench| {
        let mut options = bench.options("web", "exit 0");
        let mut missing = driver(bench, "log");
        missing.program = PathBuf::from(bench.text("missing"));
        options.stdio.stdout = Sink::Driver(missing);
        let error = bench.create_with(options).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
        assert!(error.to_string().contains("missing"), "{error}");
        bench.is_clean();
    });
}
