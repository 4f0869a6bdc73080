//! Everybody does everything at once: the story that is told is right all the same.
//!
//! Each life has a seed, which decides what four clients ask for and how long each rests before every step; the threads of the
//! container and of the host in memory run as they are scheduled. `HOSTTASK_SCHEDULES=10000` runs so many lives in place of a few.

use std::collections::BTreeMap;
use std::time::Duration;

use hosttask_node_runtime::container::{Container, Signal, Stdio};

use crate::bench::{Bench, SOON, end, name, story};

/// Numbers that look random, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// How many lives there are, unless somebody wants more.
const LIVES: u64 = 150;

/// A rest of a length that depends on the seed: none, a moment, or long enough that others get far.
fn rest(dice: &mut Dice) {
    match dice.roll(8) {
        0..4 => {}
        4 | 5 => std::thread::yield_now(),
        6 => (0..dice.roll(2_000)).for_each(|_| std::hint::spin_loop()),
        _ => std::thread::park_timeout(Duration::from_micros(dice.roll(200))),
    }
}

/// One client: what it is refused does not matter, only that nothing breaks.
fn meddle(bench: &Bench, container: &Container, seed: u64) {
    let mut dice = Dice(seed);
    for _ in 0..12 {
        let id = name(["a", "b"][usize::try_from(dice.roll(2)).unwrap()]);
        let signal = [Signal::Terminate, Signal::Kill][usize::try_from(dice.roll(2)).unwrap()];
        let steps = [
            "exit 1",
            "hang",
            "on-interrupt 2 hang",
            "leave hang ; exit 3",
        ];
        let steps = steps[usize::try_from(dice.roll(4)).unwrap()];
        rest(&mut dice);
        match dice.roll(16) {
            0..3 => drop(container.start()),
            3..6 => drop(container.exec(id, bench.process(steps), Stdio::default())),
            6..9 => drop(container.start_exec(&id)),
            9 => drop(container.kill(Some(&id), signal, false)),
            10 => drop(container.delete(Some(&id))),
            11 => drop(container.pause()),
            12 => drop(container.resume()),
            13 => drop(container.status(Some(&id))),
            14 => drop(container.wait(None, Duration::from_micros(dice.roll(500)))),
            _ if dice.roll(4) == 0 => drop(container.kill(None, signal, false)),
            _ => drop(container.usage()),
        }
    }
}

/// Whether each name is added, started, ended in this order, and everything before the container's own end.
fn check(told: &[String]) {
    let mut added = BTreeMap::new();
    let container: Vec<_> = told.iter().filter(|it| is_step(it)).collect();
    assert_eq!(container[0], "created", "{told:?}");
    assert_eq!(container.last().unwrap().as_str(), "deleted", "{told:?}");
    let kinds = container.iter().map(|it| it.split(' ').next().unwrap());
    let kinds: Vec<_> = kinds.map(|it| it.trim_end_matches(':')).collect();
    assert!(
        matches!(kinds[..], ["created", "exited", "deleted"])
            || matches!(kinds[..], ["created", "started", "exited", "deleted"]),
        "{told:?}"
    );
    for line in told {
        let Some((id, what)) = line.split_once(' ').filter(|it| matches!(it.0, "a" | "b")) else {
            if line.starts_with("exited") {
                assert!(added.values().all(|it| *it == "exited"), "{told:?}");
            }
            continue;
        };
        let what = what.split(' ').next().unwrap();
        let before = added.insert(id.to_owned(), what);
        let is_right = match what {
            "added" => matches!(before, None | Some("exited")),
            "started" => before == Some("added"),
            _ => matches!(before, Some("added" | "started")),
        };
        assert!(is_right, "{line} after {before:?}: {told:?}");
    }
}

fn is_step(line: &str) -> bool {
    line == "created" || line == "started" || line == "deleted" || line.starts_with("exited")
}

#[test]
fn each_end_is_told_once_and_in_order_whatever_four_clients_do_at_once() {
    let lives = std::env::var("HOSTTASK_SCHEDULES");
    let lives = lives.map_or(LIVES, |it| it.parse().unwrap());
    for life in 0..lives {
        let bench = Bench::fake();
        let container = bench.create("web", "on-interrupt 4 hang");
        let events = container.events();
        std::thread::scope(|scope| {
            for client in 1..=4 {
                let container = &container;
                let bench = &bench;
                scope.spawn(move || meddle(bench, container, life * 1000 + client));
            }
        });
        container.stop(Duration::ZERO).unwrap();
        end(&container);
        container.delete(None).unwrap();
        check(&story(&events));
        bench.is_clean();
    }
    println!("schedules of four clients: {lives}");
}

#[test]
fn a_stop_that_meets_a_start_ends_what_is_started() {
    for _ in 0..50 {
        let bench = Bench::fake();
        let container = bench.create("web", "ignore hang");
        let events = container.events();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(container.start()));
            scope.spawn(|| container.stop(Duration::ZERO).unwrap());
        });
        assert!(container.wait(None, SOON).unwrap().is_some());
        container.delete(None).unwrap();
        check(&story(&events));
        bench.is_clean();
    }
}
