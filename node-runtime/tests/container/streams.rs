//! What programs read and print, and what happens when nobody listens.

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use hosttask_node_runtime::container::{Container, Kind, Signal, Sink, Source, Stdio};
use hosttask_node_runtime::sys::{Connection, Console, Listener};

use crate::bench::{Bench, SOON, end, end_of, everywhere, name, programs, until};

fn to(sink: Sink) -> Stdio {
    Stdio {
        stdout: sink,
        ..Stdio::default()
    }
}

/// A container with these streams, started.
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

/// A client at the other end of a pipe of a container that is started.
fn piped(bench: &Bench, steps: &str) -> (Container, Box<dyn Connection>) {
    let address = bench.address("out");
    let mut listener = bench.host.listen(&address).unwrap();
    let container = run(bench, steps, to(Sink::Pipe(address)));
    let reader = accept(&mut listener);
    (container, reader)
}

fn read_all(reader: &mut dyn Connection) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn files_are_written_by_the_program_itself_at_their_end() {
    everywhere(|bench| {
        let (out, errors) = (bench.path("out"), bench.path("errors"));
        fs::write(&out, "before\n").unwrap();
        fs::write(bench.path("in"), "from the file\n").unwrap();
        let stdio = Stdio {
            stdin: Source::File(bench.path("in")),
            stdout: Sink::File(out.clone()),
            stderr: Sink::File(errors.clone()),
        };
        let container = run(bench, "print first complain second echo", stdio);
        assert_eq!(end(&container).code, 0);
        let printed = fs::read_to_string(out).unwrap();
        assert_eq!(printed, "before\nfirst\nfrom the file\n");
        assert_eq!(fs::read_to_string(errors).unwrap(), "second\n");
        let output = container.status(None).unwrap().output;
        assert_eq!((output.lost_bytes, output.was_cut), (0, false));
    });
}

#[test]
fn pipes_carry_everything_in_both_directions() {
    everywhere(|bench| {
        let addresses = ["in", "out", "errors"].map(|it| bench.address(it));
        let mut listeners = addresses.clone().map(|it| bench.host.listen(&it).unwrap());
        let [to_read, printed, complained] = addresses;
        let stdio = Stdio {
            stdin: Source::Pipe(to_read),
            stdout: Sink::Pipe(printed),
            stderr: Sink::Pipe(complained),
        };
        let container = run(bench, "print ready complain oh echo exit 5", stdio);
        let [mut input, mut output, mut errors] =
            std::array::from_fn(|it| accept(&mut listeners[it]));
        input.write_all(b"around\n").unwrap();
        drop(input);
        assert_eq!(read_all(output.as_mut()), "ready\naround\n");
        assert_eq!(read_all(errors.as_mut()), "oh\n");
        assert_eq!(end(&container).code, 5);
    });
}

#[test]
fn without_streams_a_program_reads_its_end_and_prints_into_nothing() {
    everywhere(|bench| {
        let container = run(bench, "flood 1 echo exit 6", Stdio::default());
        assert_eq!(end(&container).code, 6);
    });
}

#[test]
fn much_output_arrives_whole_and_in_order() {
    everywhere(|bench| {
        let (container, mut reader) = piped(bench, "flood 4 print last");
        let text = read_all(reader.as_mut());
        assert_eq!(text.len(), (4 << 20) + "last\n".len());
        assert!(text.ends_with("x\nlast\n"));
        assert_eq!(end(&container).code, 0);
        let output = container.status(None).unwrap().output;
        assert_eq!((output.lost_bytes, output.was_cut), (0, false));
    });
}

#[test]
fn a_reader_that_never_reads_holds_up_neither_a_kill_nor_the_end() {
    everywhere(|bench| {
        let (container, mut reader) = piped(bench, "flood 8 exit 0");
        reader.read_exact(&mut [0]).unwrap();
        let waited = container.wait(None, Duration::from_millis(500)).unwrap();
        assert_eq!(
            waited, None,
            "the program waits for its reader, as with any pipe"
        );
        let begin = Instant::now();
        container.kill(None, Signal::Kill, false).unwrap();
        assert_eq!(end(&container).code, 137);
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{:?}",
            begin.elapsed()
        );
        let output = container.status(None).unwrap().output;
        assert!(output.was_cut && output.lost_bytes > 0, "{output:?}");
        container.delete(None).unwrap();
    });
}

#[test]
fn a_reader_that_may_not_hold_the_program_up_loses_what_it_does_not_read() {
    everywhere(|bench| {
        let address = bench.address("out");
        let mut listener = bench.host.listen(&address).unwrap();
        let patience = Duration::from_millis(50);
        let sink = Sink::ImpatientPipe { address, patience };
        let container = run(bench, "flood 1 exit 3", to(sink));
        let _reader = accept(&mut listener);
        assert_eq!(end(&container).code, 3);
        let output = container.status(None).unwrap().output;
        assert!(output.lost_bytes > 0, "{output:?}");
        assert!(output.lost_bytes <= 1 << 20, "{output:?}");
    });
}

#[test]
fn a_reader_that_comes_back_hears_on() {
    everywhere(|bench| {
        let address = bench.address("out");
        let mut listener = bench.host.listen(&address).unwrap();
        let go = bench.text("go");
        let steps = format!("print one await {go} print two print three");
        let container = run(bench, &steps, to(Sink::Pipe(address)));
        let mut first = accept(&mut listener);
        let mut buffer = [0; 4];
        first.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"one\n");
        drop(first);
        fs::write(&go, "").unwrap();
        let mut second = accept(&mut listener);
        let text = read_all(second.as_mut());
        assert!(text.ends_with("three\n"), "{text:?}");
        assert_eq!(end(&container).code, 0);
    });
}

#[test]
fn a_reader_that_is_gone_for_good_does_not_stop_the_program() {
    everywhere(|bench| {
        let address = bench.address("out");
        let mut listener = bench.host.listen(&address).unwrap();
        let go = bench.text("go");
        let patience = Duration::from_millis(50);
        let sink = Sink::ImpatientPipe { address, patience };
        let container = run(bench, &format!("await {go} flood 2 exit 4"), to(sink));
        drop(accept(&mut listener));
        drop(listener);
        fs::write(&go, "").unwrap();
        assert_eq!(end(&container).code, 4);
        let output = container.status(None).unwrap().output;
        assert!(output.lost_bytes > 0, "{output:?}");
    });
}

#[test]
fn a_descendant_that_holds_the_stream_does_not_hold_the_exit_of_an_added_process() {
    everywhere(|bench| {
        let container = bench.run("web", "READY hang");
        let address = bench.address("exec");
        let mut listener = bench.host.listen(&address).unwrap();
        let id = name("probe");
        let process = bench.process("print here leave hang ; exit 2");
        container
            .exec(id.clone(), process, to(Sink::Pipe(address)))
            .unwrap();
        let mut reader = accept(&mut listener);
        let begin = Instant::now();
        container.start_exec(&id).unwrap();
        assert_eq!(end_of(&container, "probe").code, 2);
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{:?}",
            begin.elapsed()
        );
        assert_eq!(
            read_all(reader.as_mut()),
            "here\n",
            "and its reader sees the end"
        );
        let output = container.status(Some(&id)).unwrap().output;
        assert!(output.was_cut, "it is said that it was cut: {output:?}");
        assert_eq!(programs(&container), 2, "the descendant runs on");
    });
}

#[test]
fn input_can_be_closed_while_its_sender_stays() {
    everywhere(|bench| {
        let addresses = [bench.address("in"), bench.address("out")];
        let mut listeners = addresses.clone().map(|it| bench.host.listen(&it).unwrap());
        let [to_read, printed] = addresses;
        let stdio = Stdio {
            stdin: Source::Pipe(to_read),
            stdout: Sink::Pipe(printed),
            stderr: Sink::Null,
        };
        let container = run(bench, "echo exit 7", stdio);
        let mut input = accept(&mut listeners[0]);
        let mut output = accept(&mut listeners[1]);
        input.write_all(b"line\n").unwrap();
        let mut line = [0; 5];
        output.read_exact(&mut line).unwrap();
        container.close_stdin(None).unwrap();
        assert_eq!(end(&container).code, 7);
        drop(input);
        let error = container.close_stdin(None).unwrap_err();
        assert_eq!(error.kind(), Kind::FailedPrecondition);
    });
}

#[test]
fn a_client_that_is_not_there_is_found_when_the_container_is_created() {
    everywhere(|bench| {
        let mut options = bench.options("web", "exit 0");
        options.stdio = to(Sink::Pipe(bench.address("nobody")));
        let error = bench.create_with(options).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.to_string().contains("stdout"), "{error}");
        bench.is_clean();
    });
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_of_start() {
    everywhere(|bench| {
        let mut options = bench.options("web", "exit 0");
        options.stdio.stdin = Source::File(bench.path("missing"));
        let container = bench.create_with(options).unwrap();
        let error = container.start().unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.to_string().contains("stdin"), "{error}");
        fs::write(bench.path("missing"), "").unwrap();
        container.start().unwrap();
        assert_eq!(end(&container).code, 0);
    });
}

#[test]
fn a_terminal_has_no_second_stream() {
    let bench = Bench::fake();
    let mut options = bench.options("web", "exit 0");
    options.plan.process.console = Some(Console {
        columns: 80,
        rows: 25,
    });
    options.stdio.stderr = Sink::File(bench.path("errors"));
    let error = bench.create_with(options).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument);
    bench.is_clean();
}

/// A host with pseudo consoles, whose programs read to the end of their input.
fn with_consoles() -> Bench {
    Bench::faked(|features| features.pseudo_console = true)
}

#[test]
fn the_end_of_what_is_typed_is_not_the_end_of_a_terminal() {
    let bench = with_consoles();
    fs::write(bench.path("typed"), "typed\n").unwrap();
    for stdin in [Source::Null, Source::File(bench.path("typed"))] {
        let mut options = bench.options("web", "echo exit 0");
        options.plan.process.console = Some(Console {
            columns: 80,
            rows: 25,
        });
        let printed = bench.path("out");
        options.stdio.stdin = stdin.clone();
        options.stdio.stdout = Sink::File(printed.clone());
        let container = bench.create_with(options).unwrap();
        container.start().unwrap();
        if stdin != Source::Null {
            until("it is printed", || {
                fs::read_to_string(&printed).unwrap() == "typed\n"
            });
        }
        let error = container.close_stdin(None).unwrap_err();
        assert_eq!(error.kind(), Kind::FailedPrecondition);
        let ended = container.wait(None, Duration::from_millis(300)).unwrap();
        assert_eq!(ended, None, "with {stdin:?}");
        container.kill(None, Signal::Kill, false).unwrap();
        assert_eq!(end(&container).code, 137);
        container.delete(None).unwrap();
    }
    bench.is_clean();
}

#[test]
fn the_rest_is_passed_on_to_a_slow_reader_after_the_end() {
    everywhere(|bench| {
        let (container, mut reader) = piped(bench, "print quick exit 0");
        until("nothing runs", || container.processes().unwrap().is_empty());
        assert_eq!(read_all(reader.as_mut()), "quick\n");
        assert_eq!(end(&container).code, 0);
    });
}
