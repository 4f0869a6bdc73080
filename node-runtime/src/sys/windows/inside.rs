//! The launcher's own part: it starts a program from inside a job and waits to be relieved. See [`super::launcher`].
#![expect(
    unsafe_code,
    reason = "handles that were inherited are known by their numbers only"
)]

use std::fs::File;
use std::io::{self, Write};
use std::os::windows::io::AsRawHandle;
use std::ptr;

use windows_sys::Win32::System::Threading::{CREATE_NO_WINDOW, CREATE_SUSPENDED};

use super::environment;
use super::handle::{Handle, own};
use super::order::{Answer, Failure, Order, Told};
use super::process::{self, times};
use super::spawn::{self, Birth, Born};
use crate::sys::Streams;

/// The hidden argument that makes a program of ours the launcher.
pub(super) const ARGUMENT: &str = "--launch-inside";

/// Takes an order, starts its program suspended, tells of it, and ends when nobody listens any more.
///
/// Who gave the order takes the program over and then ends this process. If that does not happen, the program is ended: it
/// would stand still for ever.
pub(super) fn run() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let order = Order::read(&mut input)?;
    let born = carry_out(&order);
    let answer = match &born {
        Ok((born, started)) => Answer::Born(Told {
            pid: born.pid,
            started: *started,
            process: number(&born.process)?,
            thread: number(&born.thread)?,
        }),
        Err(error) => Answer::Failed(Failure::of(error)),
    };
    let told = tell(&answer);
    let heard = told.and_then(|()| io::copy(&mut input, &mut io::sink()));
    if let Ok((born, _)) = &born {
        process::terminate(&born.process, 1)?;
    }
    heard.map(drop)
}

fn tell(answer: &Answer) -> io::Result<()> {
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, answer)?;
    output.write_all(b"\n")?;
    output.flush()
}

/// Starts the program, and says when it was born.
fn carry_out(order: &Order) -> io::Result<(Born, u64)> {
    let [stdin, stdout, stderr] = order.streams.map(|number| number.map(inherited));
    let file = |handle: Option<io::Result<Handle>>| -> io::Result<Option<File>> {
        handle.map(|it| it.map(Handle::into_file)).transpose()
    };
    let token = order.token.map(inherited).transpose()?;
    // A console of its own without a window, where it has none: as if it were started from outside.
    let own_console = if order.console_streams {
        0
    } else {
        CREATE_NO_WINDOW
    };
    let born = spawn::start(Birth {
        program: &order.program,
        command_line: &order.command_line,
        directory: Some(&order.directory),
        environment: Some(environment::block(&order.environment)?),
        streams: Streams {
            stdin: file(stdin)?,
            stdout: file(stdout)?,
            stderr: file(stderr)?,
        },
        console_streams: order.console_streams,
        also: Vec::new(),
        // Those of this process: no job of ours lets anybody out.
        jobs: Vec::new(),
        token: token.as_ref(),
        console: None,
        flags: own_console | CREATE_SUSPENDED,
    })?;
    let started =
        times(&born.process).inspect_err(|_| drop(process::terminate(&born.process, 1)))?;
    Ok((born, started.created))
}

/// Takes over a handle that was inherited for the order.
fn inherited(number: u64) -> io::Result<Handle> {
    let number = usize::try_from(number).map_err(io::Error::other)?;
    // SAFETY: whoever started this process made the handle for this order and named it once, so nothing else here owns it.
    unsafe { own(ptr::with_exposed_provenance_mut(number)) }
}

/// A handle as a number.
pub(super) fn number(handle: &Handle) -> io::Result<u64> {
    u64::try_from(handle.as_raw_handle().expose_provenance()).map_err(io::Error::other)
}
