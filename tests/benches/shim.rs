//! What our shim costs under a real containerd on Linux: memory beside a shim in Go, growth over execs, and what whole lives leave.
//!
//! `cargo build --release -p hosttask-node-runtime -p hosttask-tests --bins && cargo bench -p hosttask-tests --bench shim -- WHAT`,
//! with WHAT one of `memory`, `execs` and `lives`, or nothing for all. `EXECS` and `LIVES` say how many.
//!
//! The shim in Go is `tests/containerd/shim`: containerd's own library for shims and one goroutine for each container. It starts
//! no process, opens no stream and publishes nothing, so it is less than any shim that does the work.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "shim/process.rs"]
mod process;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use hosttask_tests::containerd::{Ask, Client, Containerd, Spec};
use process::{Costs, programs_of};
use serde_json::Value;

/// How many containers a pod has where memory is measured.
const PODS: [usize; 3] = [1, 10, 50];
/// How many execs, and how many lives, unless `EXECS` and `LIVES` say so.
const EXECS: usize = 100_000;
const LIVES: usize = 10_000;
/// How many lives are lived side by side.
const SIDE_BY_SIDE: usize = 4;
/// How often growth is looked at.
const LOOKS: usize = 10;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    if is_wanted("memory") {
        memory()?;
    }
    if is_wanted("execs") {
        execs(number("EXECS", EXECS))?;
    }
    if is_wanted("lives") {
        lives(number("LIVES", LIVES))?;
    }
    Ok(())
}

fn number(variable: &str, otherwise: usize) -> usize {
    let asked = std::env::var(variable).ok();
    asked.and_then(|it| it.parse().ok()).unwrap_or(otherwise)
}

/// A program beside this one, which Cargo puts a folder deeper.
fn program(name: &str) -> Outcome<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).take(2).map(|it| it.join(name));
    let found = found.into_iter().find(|it| it.is_file());
    Ok(found.ok_or_else(|| format!("there is no {name} beside {}", own.display()))?)
}

/// A name that no run before this one had: what a bench leaves that was killed stands in nobody's way.
fn name(stem: &str) -> String {
    format!("{stem}-{}", std::process::id())
}

fn spec(steps: &[&str]) -> Outcome<Spec> {
    Ok(Spec::new(&program("probe")?, steps))
}

/// One shim with pods of several sizes.
fn memory() -> Outcome<()> {
    let ours = program("containerd-shim-hosttask-v1")?;
    let idle = hosttask_setup::containerd::idle_shim(&mut |line| println!("{line}"))?;
    println!("containers  shim      processes  PSS MB   RSS MB   threads");
    for count in PODS {
        for (name, shim) in [("ours", &ours), ("Go, idle", &idle)] {
            let Costs { shims, helpers } = pod(shim, count)?;
            println!("{count:>10}  {name:<8}  {shims}");
            if helpers.processes > 0 {
                println!("{:>10}  {:<8}  {helpers}", "", "helpers");
            }
        }
    }
    Ok(())
}

/// What a shim costs with a pod of so many containers.
fn pod(shim: &Path, count: usize) -> Outcome<Costs> {
    let containerd = Containerd::start(shim.to_owned())?;
    let client = containerd.client("bench")?;
    let names: Vec<String> = (0..count).map(|it| name(&format!("c{it}"))).collect();
    let pod = name("c0");
    for name in &names {
        client.create(name, shim, &spec(&["hang"])?.in_pod(name, &pod))?;
        client.call("start", name, "")?;
    }
    // After a call to each, so that nothing that is made at first use is left out.
    for name in &names {
        client.call("state", name, "")?;
    }
    let cost = programs_of(containerd.folder(), shim)?;
    for name in names.iter().rev() {
        end(&client, name)?;
    }
    Ok(cost)
}

/// Kills a container, waits for its end, and removes all of it.
fn end(client: &Client, name: &str) -> Outcome<()> {
    client.kill(name, "", 9)?;
    client.call("wait", name, "")?;
    client.call("delete", name, "")?;
    client.call("remove", name, "")?;
    Ok(())
}

/// Growth of one shim over execs.
fn execs(count: usize) -> Outcome<()> {
    let shim = program("containerd-shim-hosttask-v1")?;
    let containerd = Containerd::start(shim.clone())?;
    let client = containerd.client("bench")?;
    let spec = spec(&["hang"])?;
    let web = name("web");
    client.create(&web, &shim, &spec)?;
    client.call("start", &web, "")?;
    println!("     execs  processes  PSS MB   RSS MB   threads  descriptors  seconds");
    let begin = Instant::now();
    let step = count.div_ceil(LOOKS).max(1);
    for done in 0..=count {
        if done % step == 0 || done == count {
            let Costs { shims, helpers } = programs_of(containerd.folder(), &shim)?;
            let seconds = begin.elapsed().as_secs();
            let descriptors = shims.descriptors;
            println!("{done:>10}  {shims}  {descriptors:>11}  {seconds:>7}");
            println!("{:>10}  {helpers}  {:>11}", "helpers", helpers.descriptors);
        }
        if done < count {
            exec(&client, &web, &spec, done)?;
        }
    }
    end(&client, &web)
}

/// One process in a container, from its start to its removal.
fn exec(client: &Client, id: &str, spec: &Spec, number: usize) -> Outcome<()> {
    let name = format!("e{number}");
    client.ask(&Ask {
        call: "exec",
        id: id.to_owned(),
        exec: name.clone(),
        value: spec.process(&["exit", "7"]),
        ..Ask::default()
    })?;
    client.call("start", id, &name)?;
    expect_code(&client.call("wait", id, &name)?, 7)?;
    client.call("delete", id, &name)?;
    Ok(())
}

fn expect_code(answer: &Value, code: u64) -> Outcome<()> {
    let found = answer.get("exit_status").and_then(Value::as_u64);
    if found == Some(code) {
        return Ok(());
    }
    Err(format!("the exit code is {found:?}, not {code}").into())
}

/// Whole lives of containers, each with a shim of its own, and what they leave.
fn lives(count: usize) -> Outcome<()> {
    let shim = program("containerd-shim-hosttask-v1")?;
    let containerd = Containerd::start(shim.clone())?;
    let spec = spec(&["exit", "3"])?;
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    let live = || -> Result<(), String> {
        let client = containerd.client("bench").map_err(|e| e.to_string())?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let name = name(&format!("c{number}"));
            life(&client, &name, &shim, &spec).map_err(|e| format!("{name}: {e}"))?;
        }
    };
    let ends: Vec<Result<(), String>> = thread::scope(|scope| {
        let all: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(live)).collect();
        let ended = all.into_iter().map(thread::ScopedJoinHandle::join);
        ended
            .map(|it| it.unwrap_or_else(|_| Err("a thread died".to_owned())))
            .collect()
    });
    for end in ends {
        end?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let left = process::left(&containerd, &shim)?;
    println!("{count} containers started and deleted in {seconds:.0} s; left: {left}");
    Ok(())
}

fn life(client: &Client, name: &str, shim: &Path, spec: &Spec) -> Outcome<()> {
    client.create(name, shim, spec)?;
    client.call("start", name, "")?;
    expect_code(&client.call("wait", name, "")?, 3)?;
    client.call("delete", name, "")?;
    client.call("remove", name, "")?;
    Ok(())
}
