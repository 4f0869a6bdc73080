//! Runs one command and ends it when the process that asked for it is gone, for whatever reason.
//!
//! `supervise --pid-file FILE -- COMMAND ARGUMENT…` starts the command in a process group of its own and
//! exits with its code; the pid file stays, as the parent may read it later. The parent holds the other
//! end of standard input: at its end of file the group gets SIGTERM and five seconds later SIGKILL. A
//! parent that is killed with SIGKILL cannot clean up, but the kernel closes its pipes.
//!
//! `supervise --sweep FOLDER` waits for the same end of file, then for the end of every command whose
//! pid file is in the folder, and removes the folder unless it holds a file named `keep`. With
//! `--sweep-strays` it first kills every process that names the folder in its arguments or variables.
#![expect(
    clippy::print_stderr,
    reason = "standard error is the log of the supervised program"
)]

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use hosttask_tests::containerd::strays;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

/// The variable by which a program's children stay when it ends: containerd's shims do, and under Wine they are in its group.
const LEAVE_CHILDREN: &str = "HOSTTASK_LEAVE_CHILDREN";
/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// How long a folder waits for the programs that write into it.
const SWEEP: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let outcome = match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(flag), Some(folder), None) if flag == "--sweep" => sweep(Path::new(&folder)),
        (Some(flag), Some(folder), None) if flag == "--sweep-strays" => {
            sweep_strays(Path::new(&folder))
        }
        (Some(flag), Some(file), Some(dashes)) if flag == "--pid-file" && dashes == "--" => {
            run(Path::new(&file), arguments)
        }
        _ => {
            eprintln!(
                "usage: supervise --pid-file FILE -- COMMAND…, or supervise --sweep[-strays] FOLDER"
            );
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("supervise: {error}");
            ExitCode::from(127)
        }
    }
}

fn run(pid_file: &Path, mut command: impl Iterator<Item = OsString>) -> io::Result<u8> {
    let program = command.next().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(&program)
        .args(command)
        .process_group(0)
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("failed to start {}: {error}", program.display()),
            )
        })?;
    let group = Pid::from_child(&child);
    // Renamed, so that a reader never sees half a number.
    let partial = pid_file.with_extension("pid-partial");
    fs::File::create(&partial)?.write_all(child.id().to_string().as_bytes())?;
    fs::rename(&partial, pid_file)?;
    thread::spawn(move || {
        wait_for_end_of_input();
        // An error means that the group is gone already.
        let _ = kill_process_group(group, Signal::TERM);
        thread::sleep(GRACE);
        let _ = kill_process_group(group, Signal::KILL);
    });
    let status = child.wait()?;
    // What the program started and left behind ends with it, unless that is what it is for.
    if std::env::var_os(LEAVE_CHILDREN).is_none() {
        let _ = kill_process_group(group, Signal::KILL);
    }
    Ok(code_of(status))
}

/// The exit code as a shell tells it: 128 and the signal's number for a program that a signal ended.
fn code_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}

fn sweep(folder: &Path) -> io::Result<u8> {
    wait_for_end_of_input();
    let begin = Instant::now();
    while begin.elapsed() < SWEEP && pids_in(folder)?.any(|pid| test_kill_process(pid).is_ok()) {
        thread::sleep(Duration::from_millis(20));
    }
    if !folder.join("keep").exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(0)
}

/// Ends what a program started that is not in its process group, such as containerd's shims, and removes the folder.
fn sweep_strays(folder: &Path) -> io::Result<u8> {
    wait_for_end_of_input();
    let begin = Instant::now();
    while begin.elapsed() < SWEEP {
        let found = strays(folder);
        if found.is_empty() {
            break;
        }
        for stray in found {
            // An error means that it is gone already.
            let _ = kill_process(stray.pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(20));
    }
    if !folder.join("keep").exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(0)
}

fn pids_in(folder: &Path) -> io::Result<impl Iterator<Item = Pid> + use<>> {
    let files: Vec<PathBuf> = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    Ok(files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|end| end == "pid"))
        .filter_map(|file| Pid::from_raw(fs::read_to_string(file).ok()?.parse().ok()?)))
}

fn wait_for_end_of_input() {
    let mut ignored = [0_u8; 64];
    // An error on standard input means as much as its end: nobody is there any more.
    while io::stdin().read(&mut ignored).is_ok_and(|count| count > 0) {}
}
