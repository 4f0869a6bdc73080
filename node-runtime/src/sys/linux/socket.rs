//! Sockets that only the same user reaches.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use crate::sys::{Cancel, Connection, Halves, Incoming, Listener, Outgoing};

/// Serves a socket, whose lock it holds.
#[derive(Debug)]
pub(super) struct LinuxListener {
    listener: Arc<UnixListener>,
    path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

/// A short path to a socket, whose own path may be longer than an address of one can be.
struct Short(PathBuf, File);

impl Short {
    fn new(path: &Path) -> io::Result<Self> {
        let (folder, name) = path
            .parent()
            .zip(path.file_name())
            .ok_or(io::ErrorKind::InvalidInput)?;
        let folder = File::open(folder)?;
        let short = Path::new("/proc/self/fd")
            .join(folder.as_raw_fd().to_string())
            .join(name);
        Ok(Self(short, folder))
    }
}

/// The path of an address: as it is, or after `unix://`, as containerd names its sockets and those of its shims.
fn path(address: &str) -> &Path {
    Path::new(address.strip_prefix("unix://").unwrap_or(address))
}

/// Serves a path.
pub(super) fn listen(address: &str) -> io::Result<LinuxListener> {
    let path = path(address).to_owned();
    let Short(short, _folder) = Short::new(&path)?;
    let (lock, lock_path) = lock(&path)?;
    // Nobody has the lock, so nobody serves what a crash left behind.
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&short)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(LinuxListener {
        listener: Arc::new(listener),
        path,
        lock_path,
        _lock: lock,
    })
}

/// Locks what stands beside the path. Its last holder removes it, so what was locked has to be what stands there still.
fn lock(path: &Path) -> io::Result<(File, PathBuf)> {
    let path = path.with_added_extension("lock");
    loop {
        let mut options = OpenOptions::new();
        let lock = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let ours = lock.metadata()?.ino();
        match fs::metadata(&path) {
            Ok(there) if there.ino() == ours => return Ok((lock, path)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Waits until a descriptor can be read, or has ended where it is one of a process.
pub(super) fn is_ready(descriptor: impl AsFd, timeout: Duration) -> io::Result<bool> {
    let mut ends = [PollFd::new(&descriptor, PollFlags::IN)];
    // What is too long to be counted is for ever.
    let timeout = Timespec::try_from(timeout).ok();
    Ok(retry_on_intr(|| poll(&mut ends, timeout.as_ref()))? > 0)
}

/// Connects to a path.
pub(super) fn connect(address: &str) -> io::Result<Box<dyn Connection>> {
    let Short(short, _folder) = Short::new(path(address))?;
    match UnixStream::connect(short) {
        Ok(stream) => Ok(Box::new(Stream(Arc::new(stream)))),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(io::ErrorKind::NotFound.into())
        }
        Err(error) => Err(error),
    }
}

impl Listener for LinuxListener {
    fn accept(&mut self, timeout: Duration) -> io::Result<Option<Box<dyn Connection>>> {
        if !is_ready(&self.listener, timeout)? {
            return Ok(None);
        }
        let (stream, _) = self.listener.accept()?;
        Ok(Some(Box::new(Stream(Arc::new(stream)))))
    }

    fn canceller(&self) -> Cancel {
        let listener = Arc::downgrade(&self.listener);
        Box::new(move || {
            if let Some(listener) = listener.upgrade() {
                // It fails only where it was done before.
                let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Read);
            }
        })
    }
}

impl Drop for LinuxListener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        // It is still held: whoever waits for it finds that it stands there no more.
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// A connection, or one direction of it.
#[derive(Debug)]
struct Stream(Arc<UnixStream>);

/// Does it again when this process was only stopped meanwhile, and calls what took too long by its name.
fn retry(mut operation: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match operation().map_err(|error| (error.kind(), error)) {
            Ok(count) => return Ok(count),
            Err((io::ErrorKind::Interrupted, _)) => {}
            Err((io::ErrorKind::WouldBlock, _)) => return Err(io::ErrorKind::TimedOut.into()),
            Err((_, error)) => return Err(error),
        }
    }
}

impl Connection for Stream {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(at_least);
        self.0.set_read_timeout(timeout)?;
        self.0.set_write_timeout(timeout)
    }

    fn canceller(&self) -> Cancel {
        cancel(&self.0, Shutdown::Write)
    }

    fn split(self: Box<Self>) -> io::Result<Halves> {
        let incoming = Self(Arc::clone(&self.0));
        Ok((Box::new(incoming), self))
    }
}

/// Shuts one direction of a stream, which it does not hold open.
fn cancel(stream: &Arc<UnixStream>, direction: Shutdown) -> Cancel {
    let stream = Arc::downgrade(stream);
    Box::new(move || {
        if let Some(stream) = stream.upgrade() {
            // It fails only where the other side is gone, and then nothing waits for it.
            let _ = stream.shutdown(direction);
        }
    })
}

impl Incoming for Stream {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout.map(at_least))
    }

    fn canceller(&self) -> Cancel {
        cancel(&self.0, Shutdown::Read)
    }
}

impl Outgoing for Stream {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout.map(at_least))
    }

    fn canceller(&self) -> Cancel {
        cancel(&self.0, Shutdown::Write)
    }
}

/// No time at all is refused by the system.
fn at_least(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        retry(|| (&*self.0).read(buffer))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retry(|| (&*self.0).write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
