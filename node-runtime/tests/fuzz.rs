//! The properties of the fuzz targets in `fuzz/`, without cargo-fuzz and on a stable compiler: seeded inputs, made of good ones
//! by damage.
//!
//! By itself a test runs a few thousand inputs of a fixed seed. `HOSTTASK_FUZZ_SECONDS=60` makes all of them together run for so
//! long, from a seed that is different each time and printed; `HOSTTASK_FUZZ_SEED` takes one of those again. A failure prints the
//! input.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a property fails by panicking, and a run prints its seed and its count"
)]

use std::fmt::Debug;
use std::hash::{BuildHasher as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use containerd_shim_protos::api::KillRequest;
use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::record::format::encode;
use hosttask_node_runtime::record::{Phase, Record};
use hosttask_node_runtime::storage::Undo;
use hosttask_node_runtime::sys::{Means, ProcessId};
use hosttask_node_runtime::ttrpc::message::Question;
use protobuf::Message as _;

#[path = "../fuzz/properties/command_line.rs"]
mod command_line;
#[path = "../fuzz/properties/config.rs"]
mod config;
#[path = "../fuzz/properties/environment.rs"]
mod environment;
#[path = "../fuzz/properties/path.rs"]
mod path;
#[path = "../fuzz/properties/record.rs"]
mod record;
#[path = "../fuzz/properties/ttrpc.rs"]
mod ttrpc;

/// How many tests share the time.
const TARGETS: u32 = 6;

/// How many inputs a test has where no time is given.
const FEW: u64 = 3_000;

/// Where a run begins that nobody gave a seed or a time.
const USUAL_SEED: u64 = 0x5eed;

/// Texts that mean something to one of the readers.
const WORDS: [&str; 40] = [
    "\"",
    "\\",
    "\\\\",
    "\\\"",
    "/",
    " ",
    "\t",
    "\0",
    "..",
    "\\..\\",
    ".",
    "C:\\",
    "c:",
    "\\\\?\\",
    "\\\\.\\",
    "\\\\?\\GLOBALROOT\\",
    "\\\\server\\share\\",
    "::$DATA",
    "NUL",
    "COM1",
    "PROGRA~1",
    "%CONTAINER_SANDBOX_MOUNT_POINT%",
    "$env:CONTAINER_SANDBOX_MOUNT_POINT",
    "=",
    ";",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "18446744073709551616",
    "-1",
    "1e999",
    "\\ud800",
    "\u{202e}",
    "ä",
    "𝄞",
    "\u{feff}",
];

/// Numbers that look random, and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // splitmix64: every seed is good, zero too.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap();
        usize::try_from(self.next() % bound).unwrap()
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        all.get(self.below(all.len())).unwrap()
    }

    /// A part of something with so many bytes.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let (one, other) = (self.below(length + 1), self.below(length + 1));
        // Small damage leaves more for the reader to see.
        let (from, to) = (one.min(other), one.max(other));
        from..to.min(from + 16)
    }

    /// One of the good inputs, changed up to eight times; one in sixteen is left as it is.
    fn damaged(&mut self, good: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.one_of(good).clone();
        if self.below(16) == 0 {
            return bytes;
        }
        for _ in 0..=self.below(8) {
            let range = self.range(bytes.len());
            let at = range.start;
            match self.below(6) {
                0 => {
                    let bit = 1 << self.below(8);
                    bytes.get_mut(at).into_iter().for_each(|it| *it ^= bit);
                }
                1 => drop(bytes.drain(range)),
                2 => {
                    let word = self.one_of(&WORDS).as_bytes().to_vec();
                    drop(bytes.splice(range, word));
                }
                3 => {
                    let word = self.one_of(&WORDS).as_bytes().to_vec();
                    drop(bytes.splice(at..at, word));
                }
                4 => {
                    let again = bytes.get(range).unwrap().to_vec();
                    drop(bytes.splice(at..at, again));
                }
                _ => {
                    let other = self.one_of(good).clone();
                    let part = self.range(other.len());
                    drop(bytes.splice(range, other.get(part).unwrap().to_vec()));
                }
            }
        }
        bytes
    }

    /// The same for texts.
    fn text(&mut self, good: &[Vec<u8>]) -> String {
        String::from_utf8_lossy(&self.damaged(good)).into_owned()
    }
}

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("it is a whole number"))
}

/// Gives a property inputs until the time or the number of them is over. An input that breaks it is printed.
fn run<I: Debug + Clone>(name: &str, make: impl Fn(&mut Dice) -> I, check: impl Fn(I)) {
    let seconds = number_of("HOSTTASK_FUZZ_SECONDS");
    let seed = number_of("HOSTTASK_FUZZ_SEED").unwrap_or_else(|| match seconds {
        Some(_) => std::hash::RandomState::new().build_hasher().finish(),
        None => USUAL_SEED,
    });
    let time = seconds.map(|it| Duration::from_secs(it) / TARGETS);
    println!("{name}: HOSTTASK_FUZZ_SEED={seed}");
    let (begin, mut dice, mut count) = (Instant::now(), Dice(seed), 0_u64);
    while time.map_or(count < FEW, |time| begin.elapsed() < time) {
        let input = make(&mut dice);
        let checked = catch_unwind(AssertUnwindSafe(|| check(input.clone())));
        assert!(
            checked.is_ok(),
            "input {count} of {name} with HOSTTASK_FUZZ_SEED={seed}: {input:?}"
        );
        count += 1;
    }
    println!("inputs of {name}: {count}");
}

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The configs of the fixtures, and parts of them that are documents of their own.
fn configs() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/spec");
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "json") {
            continue;
        }
        let text = std::fs::read(path).unwrap();
        let situation: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let parts = ["/config", "/config/process", "/config/windows/resources"];
        let parts = parts.into_iter().filter_map(|at| situation.pointer(at));
        documents.extend(parts.map(|it| it.to_string().into_bytes()));
    }
    documents.sort();
    documents
}

#[test]
fn any_bytes_are_a_plan_or_problems() {
    let good = configs();
    assert!(good.len() > 10, "{} configs", good.len());
    run(
        "config",
        |dice| dice.damaged(&good),
        |bytes| config::check(&bytes),
    );
}

#[test]
fn arguments_survive_a_line() {
    let good = texts(&[
        "x.exe\0a b\0c\"d\\",
        "\"C:\\Program Files\\x\" \\\\\" ",
        "a\0\0\\\\\"\0",
    ]);
    run(
        "command line",
        |dice| dice.text(&good),
        |text| command_line::check(&text),
    );
}

#[test]
fn a_path_has_one_spelling() {
    let good = texts(&[
        r"C:\Program Files\x",
        r"\\?\C:\a\..\b",
        "/a/./b//c",
        r"bin\x.exe",
        r"\\server\share\x",
    ]);
    run("path", |dice| dice.text(&good), |text| path::check(&text));
}

#[test]
fn an_environment_has_every_name_once() {
    let good = texts(&[
        "PATH",
        "Path",
        "SystemRoot",
        "a",
        "A",
        "ß",
        "ſ",
        r"C:\x;C:\hpc\bin",
    ]);
    run(
        "environment",
        |dice| {
            let mut entries = || -> environment::Entries {
                let count = dice.below(6);
                (0..count)
                    .map(|_| (dice.text(&good), dice.text(&good)))
                    .collect()
            };
            (entries(), entries())
        },
        |(user, config)| environment::check(user, config),
    );
}

#[test]
fn any_bytes_are_a_record_or_damage() {
    let process = Some(ProcessId { pid: 7, started: 8 });
    let record = Record {
        id: Id::parse("web").unwrap(),
        bundle: r"C:\bundle".to_owned(),
        created: jiff::Timestamp::UNIX_EPOCH,
        boot_id: "boot".to_owned(),
        job: "hosttask-web".to_owned(),
        phase: Phase::Running,
        keeper: process,
        address: Some("address".to_owned()),
        init: process,
        exit: None,
        undo: vec![Undo::Detach {
            means: Means::Junction,
            target: r"C:\hpc\web".to_owned(),
        }],
        annotations: std::collections::BTreeMap::new(),
    };
    let file = encode(&record).unwrap();
    // Behind its header: the property gives a body a good one.
    let body = file.get(20..).unwrap().to_vec();
    serde_json::from_slice::<serde_json::Value>(&body).unwrap();
    let good = [file, body];
    run(
        "record",
        |dice| dice.damaged(&good),
        |bytes| record::check(&bytes),
    );
}

#[test]
fn any_bytes_are_frames_or_none() {
    let kill = KillRequest {
        id: "web".to_owned(),
        signal: 15,
        ..KillRequest::default()
    };
    let question = Question {
        service: "containerd.task.v3.Task".to_owned(),
        method: "Kill".to_owned(),
        payload: kill.write_to_bytes().unwrap(),
        timeout: Some(Duration::from_secs(1)),
    };
    let payload = question.encode().unwrap();
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
    // The stream 1, a request, no flags.
    frame.extend([0, 0, 0, 1, 1, 0]);
    frame.extend(&payload);
    let good = [frame, payload, kill.write_to_bytes().unwrap()];
    run(
        "ttrpc",
        |dice| dice.damaged(&good),
        |bytes| ttrpc::check(&bytes),
    );
}
