//! The helper that asks programs to end, from inside their consoles. See [`super::interrupt`].
#![expect(unsafe_code, reason = "consoles are entered and left by Win32 calls")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use windows_sys::Win32::System::Console::{
    AttachConsole, CTRL_BREAK_EVENT, CTRL_C_EVENT, CTRL_CLOSE_EVENT, CTRL_SHUTDOWN_EVENT,
    FreeConsole, GenerateConsoleCtrlEvent, GetConsoleProcessList, SetConsoleCtrlHandler,
};
use windows_sys::core::BOOL;

use super::handle::check;
use super::inside;
use super::interrupt::{ARGUMENT, BEFORE};
use super::windows_of::close_windows;
use crate::sys::companion;

/// Does the duty of a helper process if the arguments, the name of the program left out, ask for it. Returns the exit code.
/// A program that calls this first needs no other beside it.
pub fn helper_main(arguments: impl IntoIterator<Item = OsString>) -> Option<i32> {
    companion::is_this();
    let arguments: Vec<OsString> = arguments.into_iter().take(2).collect();
    match arguments.as_slice() {
        [only] if only == ARGUMENT => Some(i32::from(run().is_err())),
        [only] if only == inside::ARGUMENT => Some(i32::from(inside::run().is_err())),
        _ => None,
    }
}

/// Reads numbers of processes, asks them, and prints those that were asked.
fn run() -> io::Result<()> {
    let (before, pids) = parse(io::stdin().lock().lines().map_while(Result::ok));
    on_interrupt(Arc::new(AtomicBool::new(false)))?;
    // From the parent, if it has one: else no other could be entered.
    leave_console();
    let mut asked = BTreeSet::new();
    for pid in &pids {
        if !asked.contains(pid) {
            asked.extend(interrupt_console(*pid, &before).unwrap_or_default());
        }
    }
    let others = pids.difference(&asked).copied().collect();
    asked.extend(close_windows(&others));
    let mut answer = io::stdout().lock();
    for pid in asked {
        writeln!(answer, "{pid}")?;
    }
    answer.flush()
}

/// Who was asked before, and who is to be asked now.
pub(super) fn parse(lines: impl Iterator<Item = String>) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let (mut before, mut now) = (BTreeSet::new(), BTreeSet::new());
    for line in lines {
        match line.strip_prefix(BEFORE) {
            Some(pid) => before.extend(pid.parse::<u32>()),
            None => now.extend(line.parse::<u32>()),
        }
    }
    (before, now)
}

/// Sends Ctrl+C to all who share the console of a process, and says who they are. Where one of them was asked before, the
/// whole console was.
fn interrupt_console(pid: u32, before: &BTreeSet<u32>) -> io::Result<Vec<u32>> {
    // SAFETY: it takes a number only.
    check(unsafe { AttachConsole(pid) })?;
    let shared = console_processes();
    let was_asked = shared
        .as_ref()
        .is_ok_and(|shared| shared.iter().any(|pid| before.contains(pid)));
    let sent = if was_asked {
        Ok(())
    } else {
        // SAFETY: it takes numbers only; group 0 is everybody in the console.
        check(unsafe { GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0) })
    };
    leave_console();
    sent.and(shared)
}

/// Who is in our console, ourselves included.
fn console_processes() -> io::Result<Vec<u32>> {
    let mut pids = vec![0_u32; 64];
    loop {
        let room = u32::try_from(pids.len()).map_err(io::Error::other)?;
        // SAFETY: the vector has room for as many numbers as are named.
        let count = unsafe { GetConsoleProcessList(pids.as_mut_ptr(), room) };
        if count == 0 {
            return Err(io::Error::last_os_error());
        }
        let count = usize::try_from(count).map_err(io::Error::other)?;
        if count <= pids.len() {
            pids.truncate(count);
            return Ok(pids);
        }
        pids.resize(count * 2, 0);
    }
}

/// Leaves our console; that there was none is as well.
fn leave_console() {
    // SAFETY: it takes nothing.
    unsafe { FreeConsole() };
}

/// The flags that an interrupt sets.
static FLAGS: Mutex<Vec<Arc<AtomicBool>>> = Mutex::new(Vec::new());

/// Sets a flag when this process is asked to end, by Ctrl+C or Ctrl+Break, which then no longer ends it. When its console is
/// closed or the system shuts down, the flag is set too, but Windows ends the process a moment later.
pub fn on_interrupt(flag: Arc<AtomicBool>) -> io::Result<()> {
    FLAGS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(flag);
    // SAFETY: the handler takes a number, may run in any thread at any time, and lives as long as the program.
    check(unsafe { SetConsoleCtrlHandler(Some(interrupted), 1) })
}

/// Lets Ctrl+C have its meaning again for the programs we start: that it is ignored is inherited, and whoever started us may
/// have ignored it.
pub(super) fn heed_interrupts() -> io::Result<()> {
    // SAFETY: without a handler it only sets what this process does by default.
    check(unsafe { SetConsoleCtrlHandler(None, 0) })
}

/// Windows calls this in a thread of its own.
unsafe extern "system" fn interrupted(event: u32) -> BOOL {
    let asks = [
        CTRL_C_EVENT,
        CTRL_BREAK_EVENT,
        CTRL_CLOSE_EVENT,
        CTRL_SHUTDOWN_EVENT,
    ];
    if !asks.contains(&event) {
        return 0;
    }
    for flag in FLAGS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        flag.store(true, Ordering::Release);
    }
    1
}
