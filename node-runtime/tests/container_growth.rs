//! A container in which much was run has no more threads than before, and no open handles for what was run.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics"
)]

#[path = "container/bench.rs"]
#[expect(dead_code, reason = "this test needs only a part of the bench")]
mod bench;
mod scene;

use std::time::Instant;

use bench::{Bench, SOON, end_of, name};
use hosttask_node_runtime::container::{Container, Sink, Source, Stdio};

/// How often processes are added.
const ROUNDS: u32 = 150;

/// What this process holds: threads, where the system tells, and handles.
fn held() -> (usize, i64) {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    (threads, hosttask_node_runtime::sys::live_handles())
}

/// A process that ends well, badly, by force or not at all, with streams.
fn once(bench: &Bench, container: &Container, round: u32) {
    let id = name("probe");
    let address = bench.address("streams");
    let mut listener = bench.host.listen(&address).unwrap();
    let stdio = Stdio {
        stdin: Source::Pipe(address.clone()),
        stdout: Sink::Pipe(address),
        stderr: Sink::File(bench.path("errors")),
    };
    let steps = ["exit 0", "exit 1", "hang"];
    let steps = steps
        .into_iter()
        .cycle()
        .nth(round.try_into().unwrap())
        .unwrap();
    let mut process = bench.process(steps);
    if round % 4 == 3 {
        process.command = hosttask_node_runtime::launch::Command::Arguments(vec!["none".into()]);
    }
    let clients = std::thread::scope(|scope| {
        let clients = scope.spawn(|| [(); 2].map(|()| listener.accept(SOON).unwrap()));
        container.exec(id.clone(), process, stdio).unwrap();
        clients.join().unwrap()
    });
    if container.start_exec(&id).is_ok() {
        if steps == "hang" {
            let signal = hosttask_node_runtime::container::Signal::Kill;
            container.kill(Some(&id), signal, false).unwrap();
        }
        end_of(container, "probe");
    }
    container.delete(Some(&id)).unwrap();
    drop(clients);
}

#[test]
fn added_processes_leave_no_thread_and_no_handle_behind() {
    for bench in [Bench::fake(), Bench::native()] {
        let container = bench.run("web", "READY hang");
        for round in 0..12 {
            once(&bench, &container, round);
        }
        let before = held();
        for round in 0..ROUNDS {
            once(&bench, &container, round);
        }
        // The last threads need a moment after they told the end.
        let begin = Instant::now();
        loop {
            let now = held();
            if now.0 <= before.0 && now.1 <= before.1 {
                break;
            }
            assert!(begin.elapsed() < SOON, "{before:?} became {now:?}");
            std::thread::yield_now();
        }
        container.stop(std::time::Duration::ZERO).unwrap();
        container.delete(None).unwrap();
    }
}
