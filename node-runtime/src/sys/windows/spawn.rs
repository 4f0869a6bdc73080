//! The birth of a process: one call of `CreateProcess`, with everything that has to be true from the first instruction on.
#![expect(unsafe_code, reason = "a process is made by one Win32 call")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, RawHandle};
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use windows_sys::Win32::Foundation::{
    ERROR_BAD_EXE_FORMAT, ERROR_CHILD_NOT_COMPLETE, ERROR_ELEVATION_REQUIRED,
    ERROR_EXE_MACHINE_TYPE_MISMATCH, ERROR_INVALID_EXE_SIGNATURE, ERROR_NOT_ENOUGH_QUOTA,
    INVALID_HANDLE_VALUE, WIN32_ERROR,
};
use windows_sys::Win32::System::Threading::{
    CREATE_UNICODE_ENVIRONMENT, CreateProcessAsUserW, CreateProcessW, EXTENDED_STARTUPINFO_PRESENT,
    PROCESS_CREATION_FLAGS, PROCESS_INFORMATION, STARTF_USESTDHANDLES, STARTUPINFOEXW,
    STARTUPINFOW,
};

use super::abi::{INTERNAL_ERROR, size};
use super::attributes::Attributes;
use super::handle::{Handle, check, inheritable, own};
use super::pseudo_console::PseudoConsole;
use super::text::wide;
use crate::sys::Streams;

/// How often a start is tried again.
const TRIES: u32 = 10;

/// How many starts had to be tried again.
static RETRIES: AtomicU64 = AtomicU64::new(0);

/// How many starts of programs had to be tried again, because of the passing error 1359 that Wine shows under load.
pub fn spawn_retries() -> u64 {
    RETRIES.load(Ordering::Relaxed)
}

/// What a process is born with.
#[derive(Debug)]
pub(super) struct Birth<'a> {
    /// The full path of the program.
    pub(super) program: &'a str,
    /// Its command line, quoted.
    pub(super) command_line: &'a str,
    /// The folder it starts in; ours where none.
    pub(super) directory: Option<&'a str>,
    /// Its environment block; ours where none.
    pub(super) environment: Option<Vec<u16>>,
    /// Its streams, which are closed here in any case.
    pub(super) streams: Streams,
    /// Whether its streams are those of its console, and none of ours.
    pub(super) console_streams: bool,
    /// Further handles that it inherits; each allows that.
    pub(super) also: Vec<BorrowedHandle<'a>>,
    /// Its jobs, the outer one first.
    pub(super) jobs: Vec<BorrowedHandle<'a>>,
    /// Who it runs as; as we do where none.
    pub(super) token: Option<&'a Handle>,
    /// Its console, in place of the streams.
    pub(super) console: Option<&'a PseudoConsole>,
    /// Further flags.
    pub(super) flags: PROCESS_CREATION_FLAGS,
}

/// A process that was just born.
#[derive(Debug)]
pub(super) struct Born {
    pub(super) process: Handle,
    pub(super) thread: Handle,
    pub(super) pid: u32,
}

/// Starts it.
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `InvalidInput` where it is no program, or `QuotaExceeded` where its job is full. Nothing is left of it then.
pub(super) fn start(birth: Birth<'_>) -> io::Result<Born> {
    refuse_batch_file(birth.program)?;
    let program = wide(birth.program)?;
    let directory = birth.directory.map(wide).transpose()?;
    let streams = Inherited::of(birth.streams, birth.console_streams)?;
    let handles: Vec<_> = streams.list().into_iter().chain(birth.also).collect();
    let mut attributes = Attributes::new()?;
    attributes.jobs(&birth.jobs)?;
    attributes.inherited(&handles)?;
    if let Some(console) = birth.console {
        attributes.pseudo_console(console)?;
    }
    let call = Call {
        token: birth.token,
        program: &program,
        directory: directory.as_deref(),
        environment: birth.environment.as_deref(),
        inherits: !handles.is_empty(),
        flags: birth.flags | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT,
    };
    let startup = streams.startup(&mut attributes);
    let born = retry(|| call.make(&mut wide(birth.command_line)?, &startup));
    born.map_err(|error| meaning(error, birth.program))
}

/// Windows runs a batch file through `cmd`, whose quoting is not the one of the command line (CVE-2024-24576). What may be
/// run so names `cmd` itself as the program, so nothing with such a name gets here on purpose.
fn refuse_batch_file(program: &str) -> io::Result<()> {
    let name = program.trim_end_matches(['.', ' ']).to_ascii_lowercase();
    let is_batch_file = [".bat", ".cmd"].iter().any(|end| name.ends_with(end));
    if is_batch_file {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a batch file is no program; let cmd.exe run it on purpose",
        ));
    }
    Ok(())
}

/// Tries again what Wine refuses for a moment.
fn retry(mut start: impl FnMut() -> io::Result<Born>) -> io::Result<Born> {
    let mut result = start();
    for _ in 1..TRIES {
        match &result {
            Err(error) if error.raw_os_error() == Some(INTERNAL_ERROR) => {
                RETRIES.fetch_add(1, Ordering::Relaxed);
                result = start();
            }
            Ok(_) | Err(_) => break,
        }
    }
    result
}

/// The streams as the child gets them.
#[derive(Debug)]
struct Inherited {
    stdin: Option<Handle>,
    stdout: Option<Handle>,
    stderr: Option<Handle>,
    /// In the place of each that is none.
    nowhere: Option<Handle>,
}

impl Inherited {
    /// A stream that is none leads nowhere. Left out, the console that the program gets would take its place, and a reader
    /// would wait for keys that nobody presses. With a pseudo console that is what is asked for, so none is passed on then.
    fn of(streams: Streams, console_streams: bool) -> io::Result<Self> {
        if console_streams {
            return Ok(Self {
                stdin: None,
                stdout: None,
                stderr: None,
                nowhere: None,
            });
        }
        let Streams {
            stdin,
            stdout,
            stderr,
        } = streams;
        let are_all = stdin.is_some() && stdout.is_some() && stderr.is_some();
        let nowhere = (!are_all).then(nowhere).transpose()?;
        let inherit = |file: Option<File>| {
            let inherited = file.map(|file| inheritable(file.as_handle()));
            inherited.transpose()
        };
        Ok(Self {
            stdin: inherit(stdin)?,
            stdout: inherit(stdout)?,
            stderr: inherit(stderr)?,
            nowhere: inherit(nowhere)?,
        })
    }

    fn list(&self) -> Vec<BorrowedHandle<'_>> {
        let streams = [&self.stdin, &self.stdout, &self.stderr, &self.nowhere];
        streams
            .into_iter()
            .flatten()
            .map(AsHandle::as_handle)
            .collect()
    }

    /// The start-up information. Invalid handles keep our own streams away from a program with a pseudo console.
    fn startup(&self, attributes: &mut Attributes<'_>) -> STARTUPINFOEXW {
        let raw = |stream: &Option<Handle>| {
            let stream = stream.as_ref().or(self.nowhere.as_ref());
            stream.map_or(INVALID_HANDLE_VALUE, Handle::as_raw_handle)
        };
        STARTUPINFOEXW {
            StartupInfo: STARTUPINFOW {
                cb: size::<STARTUPINFOEXW>(),
                dwFlags: STARTF_USESTDHANDLES,
                hStdInput: raw(&self.stdin),
                hStdOutput: raw(&self.stdout),
                hStdError: raw(&self.stderr),
                ..STARTUPINFOW::default()
            },
            lpAttributeList: attributes.as_ptr(),
        }
    }
}

/// Reads nothing and takes everything.
fn nowhere() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(r"\\.\NUL")
}

/// What stays the same between two tries.
struct Call<'a> {
    token: Option<&'a Handle>,
    program: &'a [u16],
    directory: Option<&'a [u16]>,
    environment: Option<&'a [u16]>,
    inherits: bool,
    flags: PROCESS_CREATION_FLAGS,
}

impl Call<'_> {
    /// Makes the process. Windows may write into the command line.
    fn make(&self, line: &mut [u16], startup: &STARTUPINFOEXW) -> io::Result<Born> {
        let directory = self.directory.map_or(ptr::null(), <[u16]>::as_ptr);
        let environment = self.environment.map_or(ptr::null(), <[u16]>::as_ptr);
        let mut born = PROCESS_INFORMATION::default();
        let result = match self.token {
            // SAFETY: the texts end with a zero and the block with two; the attribute list, the token and all handles in `startup` are borrowed by the caller until the call is over.
            None => unsafe {
                CreateProcessW(
                    self.program.as_ptr(),
                    line.as_mut_ptr(),
                    ptr::null(),
                    ptr::null(),
                    self.inherits.into(),
                    self.flags,
                    environment.cast(),
                    directory,
                    ptr::from_ref(startup).cast(),
                    &raw mut born,
                )
            },
            // SAFETY: as above.
            Some(token) => unsafe {
                CreateProcessAsUserW(
                    token.as_raw_handle(),
                    self.program.as_ptr(),
                    line.as_mut_ptr(),
                    ptr::null(),
                    ptr::null(),
                    self.inherits.into(),
                    self.flags,
                    environment.cast(),
                    directory,
                    ptr::from_ref(startup).cast(),
                    &raw mut born,
                )
            },
        };
        check(result)?;
        Ok(Born {
            process: take(born.hProcess)?,
            thread: take(born.hThread)?,
            pid: born.dwProcessId,
        })
    }
}

fn take(raw: RawHandle) -> io::Result<Handle> {
    // SAFETY: only called with the two handles of a process that was just made, once each.
    unsafe { own(raw) }
}

/// The same error with the kind that the contract names.
fn meaning(error: io::Error, program: &str) -> io::Error {
    const NO_PROGRAM: [WIN32_ERROR; 4] = [
        ERROR_BAD_EXE_FORMAT,
        ERROR_EXE_MACHINE_TYPE_MISMATCH,
        ERROR_INVALID_EXE_SIGNATURE,
        ERROR_CHILD_NOT_COMPLETE,
    ];
    let code = error.raw_os_error().map(i32::cast_unsigned);
    let (kind, what) = match code {
        Some(code) if NO_PROGRAM.contains(&code) => {
            (io::ErrorKind::InvalidInput, "is no program for this system")
        }
        Some(ERROR_ELEVATION_REQUIRED) => (
            io::ErrorKind::PermissionDenied,
            "asks for more rights than its user has",
        ),
        Some(ERROR_NOT_ENOUGH_QUOTA) => (
            io::ErrorKind::QuotaExceeded,
            "would exceed a limit of its job; end another process or raise the limit",
        ),
        // A folder: Windows says so itself, Wine does not.
        _ if Path::new(program).is_dir() => (io::ErrorKind::PermissionDenied, "is a folder"),
        _ => return error,
    };
    io::Error::new(
        kind,
        format!("{program} {what} (error {})", code.unwrap_or(0)),
    )
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::{Read, Write};
    use std::os::windows::fs::OpenOptionsExt;
    use std::time::Duration;

    use super::*;
    use crate::sys::windows::{pipe, process};

    /// The child of the test below.
    #[test]
    #[ignore = "it is the program that another test starts"]
    fn reads_until_the_end() {
        let mut all = Vec::new();
        io::stdin().read_to_end(&mut all).unwrap();
    }

    #[test]
    fn a_job_that_is_full_is_told_from_a_program_that_is_none() {
        let kind = |code: WIN32_ERROR| {
            let error = io::Error::from_raw_os_error(code.cast_signed());
            meaning(error, "no such program").kind()
        };
        assert_eq!(kind(ERROR_NOT_ENOUGH_QUOTA), io::ErrorKind::QuotaExceeded);
        assert_eq!(kind(ERROR_BAD_EXE_FORMAT), io::ErrorKind::InvalidInput);
    }

    fn alone(path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        options.share_mode(0).open(path)
    }

    #[test]
    fn a_child_gets_its_streams_and_no_other_handle_though_it_may_be_inherited() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let file = alone(&path).unwrap();
        // As a careless library leaves one behind.
        let careless = inheritable(file.as_handle()).unwrap();
        let (stdin, mut writer) = pipe::input().unwrap();
        let program = env::current_exe().unwrap();
        let program = program.to_str().unwrap();
        let child = "sys::windows::spawn::tests::reads_until_the_end";
        let born = start(Birth {
            program,
            command_line: &format!("child --ignored --exact {child}"),
            directory: None,
            environment: None,
            streams: Streams {
                stdin: Some(stdin),
                ..Streams::default()
            },
            console_streams: false,
            also: Vec::new(),
            jobs: Vec::new(),
            token: None,
            console: None,
            flags: 0,
        })
        .unwrap();
        drop((file, careless));
        // Nobody has it any more: while the child had it, it could not be opened.
        alone(&path).unwrap();
        let runs = process::wait(&born.process, Duration::ZERO)
            .unwrap()
            .is_none();
        assert!(runs, "the child ended too early to prove anything");
        writer.write_all(b"x").unwrap();
        drop(writer);
        let exit = process::wait(&born.process, Duration::from_secs(30)).unwrap();
        assert_eq!(exit, Some(0));
    }
}
