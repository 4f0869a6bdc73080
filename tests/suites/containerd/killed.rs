//! The shim is killed at a boundary of its calls: containerd says so, nothing runs on, nothing is left.

use std::os::unix::net::UnixStream;

use hosttask_tests::containerd::{Pid, Signal, kill_process, peer};

use super::bench::{Bench, GONE, PATIENCE, eventually};
use super::ctr::exec;

/// How often a shim is killed in a run of the suite; `SHIM_KILLS` says how often else.
const KILLS: usize = 20;
/// Where the choice of boundaries starts.
const SEED: u64 = 0x5eed_0f58;

/// The calls in the order of a life; the shim is killed after the first so many.
const BOUNDARIES: [&str; 11] = [
    "create",
    "start",
    "state",
    "pids",
    "exec",
    "exec-start",
    "pause",
    "resume",
    "exec-kill",
    "exec-wait",
    "kill",
];

/// The next of a stream of numbers that look random: xorshift, for which no crate is needed.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Makes one call of the life of `web`.
fn step(bench: &Bench, call: &'static str) {
    let client = &bench.client;
    let done = match call {
        "create" => {
            create(bench);
            return;
        }
        "exec" => client.ask(&exec(bench, "web", "one", &["tree", "2", "hang"])),
        "exec-start" => client.call("start", "web", "one"),
        "exec-kill" => client.kill("web", "one", 9),
        "exec-wait" => client.call("wait", "web", "one"),
        "kill" => client.kill("web", "", 15),
        other => client.call(other, "web", ""),
    };
    done.unwrap_or_else(|refusal| panic!("{call}: {refusal}"));
}

/// Creates `web`. containerd says that the last one of that name is gone a moment before it forgets it.
fn create(bench: &Bench) {
    let spec = bench.spec("web", &["tree", "6", "hang"]);
    if let Err(refusal) = bench.create_with("web", &spec) {
        assert_eq!(refusal.code, "AlreadyExists", "{refusal}");
        eventually("the last one is forgotten", PATIENCE, || {
            bench.client.call("create", "web", "")
        });
    }
}

/// The process that serves the task, as its socket tells.
fn shim_of(bench: &Bench, id: &str) -> Pid {
    let file = bench.bundle(id).join("bootstrap.json");
    let text = std::fs::read(&file).unwrap();
    let said: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let address = said["address"].as_str().unwrap();
    let path = address.strip_prefix("unix://").unwrap();
    let socket = UnixStream::connect(path).unwrap();
    peer(&socket).unwrap()
}

#[test]
fn at_any_boundary() {
    let asked = std::env::var("SHIM_KILLS")
        .ok()
        .and_then(|it| it.parse().ok());
    let kills = asked.unwrap_or(KILLS);
    let bench = Bench::new();
    let mut state = SEED;
    for round in 0..kills {
        let count = usize::try_from(next(&mut state) % 11).unwrap() + 1;
        for call in &BOUNDARIES[..count] {
            step(&bench, call);
        }
        let after = BOUNDARIES[count - 1];
        kill_process(shim_of(&bench, "web"), Signal::KILL).unwrap();
        let what = format!("round {round}, after {after}: nothing runs");
        eventually(&what, GONE, || {
            let left = bench.processes("web");
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
        let what = format!("round {round}, after {after}: containerd says that it is gone");
        eventually(&what, PATIENCE, || match bench.status("web", "") {
            Err(refusal) if refusal.code == "NotFound" => Ok(()),
            other => Err(other),
        });
        bench.client.call("remove", "web", "").unwrap();
        bench.is_empty();
    }
    // The name is free again.
    create(&bench);
    bench.client.call("start", "web", "").unwrap();
    bench.remove("web");
    println!("{kills} shims were killed");
}

#[test]
fn while_containerd_is_down() {
    let mut bench = Bench::new();
    bench.started("web", &["tree", "4", "hang"]);
    let shim = shim_of(&bench, "web");
    bench.containerd.kill().unwrap();
    kill_process(shim, Signal::KILL).unwrap();
    eventually("nothing runs", GONE, || {
        let left = bench.processes("web");
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    bench.containerd.boot().unwrap();
    bench.reconnect();
    eventually("containerd has cleaned up", PATIENCE, || {
        match bench.status("web", "") {
            Err(refusal) if refusal.code == "NotFound" => Ok(()),
            other => Err(other),
        }
    });
    bench.client.call("remove", "web", "").unwrap();
    bench.is_empty();
}
