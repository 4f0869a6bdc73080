//! One container, one exec: how long each takes beside a bare process that does the same.

use std::time::{Duration, Instant};

use crate::figures::Times;
use crate::host::Bench;

/// How many of each contender, unless the variable `PAIRS` says otherwise.
const PAIRS: u32 = 500;

/// How long anything may take.
const LONG: Duration = Duration::from_mins(1);

fn pairs() -> u32 {
    let given = std::env::var("PAIRS").ok();
    given.and_then(|it| it.parse().ok()).unwrap_or(PAIRS)
}

/// Create and start of a container, against starting a process: until it runs, and until its end is known.
pub(crate) fn start(bench: &Bench) {
    let (mut bare, mut bare_end) = (Times::default(), Times::default());
    let (mut console, mut console_end) = (Times::default(), Times::default());
    let (mut ours, mut ours_end) = (Times::default(), Times::default());
    for turn in 0..pairs() {
        let begin = Instant::now();
        let mut child = bench.bare(&["exit", "0"]);
        bare.push(begin.elapsed());
        child.wait().unwrap();
        bare_end.push(begin.elapsed());

        let begin = Instant::now();
        let mut child = bench.bare_with_console(&["exit", "0"]);
        console.push(begin.elapsed());
        child.wait().unwrap();
        console_end.push(begin.elapsed());

        let begin = Instant::now();
        let container = bench.create(&format!("start-{turn}"), &["exit", "0"]);
        container.start().unwrap();
        ours.push(begin.elapsed());
        container.wait(None, LONG).unwrap().unwrap();
        ours_end.push(begin.elapsed());
        container.delete(None).unwrap();
    }
    println!("\ncreate and start of a container beside a bare process");
    println!("{}", bare.beside("bare, until it is started", &bare));
    println!("{}", console.beside("the same with its own console", &bare));
    println!("{}", ours.beside("container, until it is started", &bare));
    println!(
        "{}",
        bare_end.beside("bare, until its end is known", &bare_end)
    );
    println!(
        "{}",
        console_end.beside("the same with its own console", &bare_end)
    );
    println!(
        "{}",
        ours_end.beside("container, until its end is known", &bare_end)
    );
}

/// An exec in a container that runs, against starting a process.
pub(crate) fn exec(bench: &Bench) {
    let (mut bare, mut ours) = (Times::default(), Times::default());
    let mut console = Times::default();
    let container = bench.create("exec", &["hang"]);
    container.start().unwrap();
    for turn in 0..pairs() {
        let begin = Instant::now();
        bench.bare(&["exit", "0"]).wait().unwrap();
        bare.push(begin.elapsed());

        let begin = Instant::now();
        bench.bare_with_console(&["exit", "0"]).wait().unwrap();
        console.push(begin.elapsed());

        let begin = Instant::now();
        bench.exec(&container, &format!("e{turn}"), &["exit", "0"]);
        ours.push(begin.elapsed());
    }
    Bench::end(&container);
    println!("\nexec beside a bare process, until its end is known");
    println!("{}", bare.beside("bare", &bare));
    println!("{}", console.beside("the same with its own console", &bare));
    println!("{}", ours.beside("exec, with delete", &bare));
}
