//! Asking programs to end: Ctrl+C for those that have a console, `WM_CLOSE` for those that have a window.
//!
//! Ctrl+C is sent from inside a console only, and a process has at most one. So a helper is started, which is this program
//! again with a hidden argument: it enters the console of each process in turn and leaves it. Nothing of that touches our own
//! console, and no thread is forced upon anybody.
//!
//! ```text
//!   this program ── numbers of processes ──▶ helper ── AttachConsole, Ctrl+C, FreeConsole ──▶ each console once
//!                ◀── those it asked ───────         ── WM_CLOSE ────────────────────────────▶ windows of the others
//! ```
//!
//! A second Ctrl+C means "at once" to many programs, and whatever a program starts to clean up after the first is not meant to
//! be stopped. So the helper is told who was asked before, and leaves their consoles alone.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use windows_sys::Win32::System::Threading::{DETACHED_PROCESS, PROCESS_SYNCHRONIZE};

use super::handle::Handle;
use super::pipe;
use super::process::WindowsProcess;
use super::process_list::{numbers, open_in};
use super::spawn::{self, Birth};
use crate::sys::{Process, Streams, companion};

/// The hidden argument that makes a program of ours the helper.
pub(super) const ARGUMENT: &str = "--interrupt-console";

/// What stands before the number of a process that was asked before.
pub(super) const BEFORE: &str = "before ";

/// How long the helper may take: it waits for nobody, but windows answer through their own thread.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often processes are looked for that were started while others were asked.
const ROUNDS: u32 = 3;

/// The programs that do the duty of a helper: they call [`super::helper_main`] first.
pub(super) const HELPERS: [&str; 2] = ["hosttask-node.exe", "probe.exe"];

/// The program that asks others to end.
fn helper() -> io::Result<PathBuf> {
    companion::find(
        HELPERS,
        "no program is here that can ask others to end; put hosttask-node.exe beside this one",
    )
}

/// Asks every process of a job. Returns those that could not be asked and are still there.
pub(super) fn ask_all(
    job: &Handle,
    is_host: &dyn Fn(u32, &Handle) -> bool,
) -> io::Result<Vec<u32>> {
    let mut tried = BTreeSet::new();
    let mut asked = BTreeSet::new();
    for _ in 0..ROUNDS {
        let new = programs(job, is_host)?
            .into_iter()
            .filter(|pid| tried.insert(*pid));
        let new: Vec<u32> = new.collect();
        if new.is_empty() {
            break;
        }
        asked.extend(ask(&new, &asked)?);
    }
    let left = programs(job, is_host)?.into_iter();
    Ok(left.filter(|pid| !asked.contains(pid)).collect())
}

/// The processes of a job without those of the system that serve its consoles.
fn programs(job: &Handle, is_host: &dyn Fn(u32, &Handle) -> bool) -> io::Result<Vec<u32>> {
    let mut programs = numbers(job)?;
    programs.retain(|pid| match open_in(job, *pid, PROCESS_SYNCHRONIZE) {
        Ok(Some(process)) => !is_host(*pid, &process),
        Ok(None) => false,
        // It is there, so it is asked.
        Err(_) => true,
    });
    Ok(programs)
}

/// What the helper is told: one number a line, first of those that were asked before.
fn message(pids: &[u32], before: &BTreeSet<u32>) -> String {
    let before = before.iter().map(|pid| format!("{BEFORE}{pid}\n"));
    let pids = pids.iter().map(|pid| format!("{pid}\n"));
    before.chain(pids).collect()
}

/// Asks these processes. Whoever shares a console with one of them is asked too, but nobody who shares one with those that
/// were asked `before`. Returns those that were asked, now or with their console before.
pub(super) fn ask(pids: &[u32], before: &BTreeSet<u32>) -> io::Result<BTreeSet<u32>> {
    let program = helper()?;
    let (stdin, mut numbers) = pipe::input()?;
    let (mut answers, stdout) = pipe::output()?;
    let born = spawn::start(Birth {
        program: &program.to_string_lossy(),
        command_line: &format!("hosttask {ARGUMENT}"),
        directory: None,
        environment: None,
        streams: Streams {
            stdin: Some(stdin),
            stdout: Some(stdout),
            stderr: None,
        },
        console_streams: false,
        also: Vec::new(),
        jobs: Vec::new(),
        token: None,
        console: None,
        flags: DETACHED_PROCESS,
    })?;
    let helper = WindowsProcess::born(born, false, None)?;
    let cut_off = (numbers.canceller(), answers.canceller());
    let text = message(pids, before);
    thread::scope(|scope| {
        let result = thread::Builder::new().spawn_scoped(scope, move || {
            // A helper that does not read says by its answer whom it asked.
            drop(numbers.write_all(text.as_bytes()));
        });
        let answer = result.and_then(|_| {
            thread::Builder::new().spawn_scoped(scope, move || {
                let mut text = String::new();
                answers.read_to_string(&mut text).map(|_| text)
            })
        });
        if answer.is_err() || !matches!(helper.wait(PATIENCE), Ok(Some(_))) {
            let ended = helper.terminate(1);
            // Before anything else: the threads are waited for also where it could not be ended.
            cut_off.0.cancel();
            cut_off.1.cancel();
            ended?;
        }
        let text = answer?.join().map_err(|_| io::ErrorKind::Other)??;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::windows::helper::parse;

    #[test]
    fn the_helper_tells_those_asked_before_from_those_to_be_asked() {
        let before = BTreeSet::from([4, 8]);
        let text = message(&[12, 16], &before);
        let heard = parse(text.lines().map(str::to_owned));
        assert_eq!(heard, (before, BTreeSet::from([12, 16])));
    }
}
