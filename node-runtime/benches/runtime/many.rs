//! Many at once: containers per second, and a tree of a thousand processes that has to end.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use hosttask_node_runtime::state::Signal;

use crate::host::Bench;

/// How many are under way at once.
const LANES: usize = 8;

/// How many each lane does in a turn.
const EACH: usize = 25;

/// How often the contenders take turns.
const TURNS: usize = 3;

/// How many processes the tree has.
const TREE: u32 = 1000;

/// How long anything may take.
const LONG: Duration = Duration::from_mins(3);

/// Containers per second beside bare processes per second, eight under way at once.
pub(crate) fn rate(bench: &Bench) {
    let (mut bare, mut ours) = (Duration::ZERO, Duration::ZERO);
    for turn in 0..TURNS {
        bare += lanes(|_, _| {
            bench.bare(&["exit", "0"]).wait().unwrap();
        });
        ours += lanes(|lane, index| {
            let container = bench.create(&format!("rate-{turn}-{lane}-{index}"), &["exit", "0"]);
            container.start().unwrap();
            container.wait(None, LONG).unwrap().unwrap();
            container.delete(None).unwrap();
        });
    }
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    let count = (LANES * EACH * TURNS) as f64;
    let per_second = |time: Duration| count / time.as_secs_f64();
    println!("\ncreate, start, wait and delete, {LANES} at once");
    println!(
        "containers {:.1}/s, bare processes {:.1}/s: {:.2}",
        per_second(ours),
        per_second(bare),
        per_second(ours) / per_second(bare)
    );
}

fn lanes(work: impl Fn(usize, usize) + Sync) -> Duration {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let work = &work;
            scope.spawn(move || (0..EACH).for_each(|index| work(lane, index)));
        }
    });
    begin.elapsed()
}

/// How long a tree of a thousand processes lives after it is killed.
pub(crate) fn tree(bench: &Bench) {
    let container = bench.create("tree", &["tree", &TREE.to_string(), "hang"]);
    container.start().unwrap();
    let complete = Mutex::new(0_u32);
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        let active = container.usage().unwrap().active_processes;
        *complete.lock().unwrap() = active;
        if active > TREE {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let active = *complete.lock().unwrap();
    let begin = Instant::now();
    container.kill(None, Signal::Kill, true).unwrap();
    container.wait(None, LONG).unwrap().unwrap();
    let took = begin.elapsed();
    container.delete(None).unwrap();
    println!(
        "\na tree of {active} processes was gone {:.2} s after it was killed",
        took.as_secs_f64()
    );
}
