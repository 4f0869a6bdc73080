//! Connections of the fake host: two queues of bytes.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::faults::Operation;
use super::state::Shared;
use crate::sys::{Cancel, Connection, Listener};

/// How many bytes may be on their way.
const CAPACITY: usize = 64 * 1024;

/// An address that is served: the clients that wait.
#[derive(Debug, Default)]
pub(super) struct Served {
    waiting: VecDeque<FakeConnection>,
}

/// Bytes on their way.
#[derive(Debug, Default)]
struct Flow {
    bytes: VecDeque<u8>,
    /// Whether one of its ends is gone.
    is_closed: bool,
}

/// A flow. It is changed under the lock of the host, whose condition tells of it.
type SharedFlow = Arc<Mutex<Flow>>;

/// Serves an address.
pub(super) fn listen(shared: &Arc<Shared>, address: &str) -> io::Result<Box<dyn Listener>> {
    let mut state = shared.lock();
    state.faults.check(Operation::Listen)?;
    if state.served.contains_key(address) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    state.served.insert(address.to_owned(), Served::default());
    Ok(Box::new(FakeListener {
        shared: Arc::clone(shared),
        address: address.to_owned(),
    }))
}

/// Connects to an address. It is never busy.
pub(super) fn connect(
    shared: &Arc<Shared>,
    address: &str,
    _timeout: Duration,
) -> io::Result<Box<dyn Connection>> {
    let mut state = shared.lock();
    state.faults.check(Operation::Connect)?;
    let served = state.served.get_mut(address);
    let served = served.ok_or(io::ErrorKind::NotFound)?;
    let (there, back) = (SharedFlow::default(), SharedFlow::default());
    served
        .waiting
        .push_back(FakeConnection::new(shared, &there, &back));
    let client = FakeConnection::new(shared, &back, &there);
    drop(state);
    shared.changed.notify_all();
    Ok(Box::new(client))
}

/// Serves an address until it is dropped.
#[derive(Debug)]
struct FakeListener {
    shared: Arc<Shared>,
    address: String,
}

impl Listener for FakeListener {
    fn accept(&mut self, timeout: Duration) -> io::Result<Option<Box<dyn Connection>>> {
        let client = self.shared.wait(Some(timeout), |state| {
            let served = state.served.get_mut(&self.address)?;
            served.waiting.pop_front()
        });
        Ok(client.map(|client| {
            let client: Box<dyn Connection> = Box::new(client);
            client
        }))
    }
}

impl Drop for FakeListener {
    fn drop(&mut self) {
        // Clients that wait are dropped after the lock is free: dropping them takes it.
        let served = self.shared.lock().served.remove(&self.address);
        drop(served);
    }
}

/// One end.
#[derive(Debug)]
struct FakeConnection {
    shared: Arc<Shared>,
    incoming: SharedFlow,
    outgoing: SharedFlow,
    timeout: Option<Duration>,
}

impl FakeConnection {
    /// An end that reads from one flow and writes to another.
    fn new(shared: &Arc<Shared>, incoming: &SharedFlow, outgoing: &SharedFlow) -> Self {
        Self {
            shared: Arc::clone(shared),
            incoming: Arc::clone(incoming),
            outgoing: Arc::clone(outgoing),
            timeout: None,
        }
    }
}

/// Does something with a flow.
fn with<T>(flow: &SharedFlow, action: impl FnOnce(&mut Flow) -> T) -> T {
    action(&mut flow.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Connection for FakeConnection {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout = timeout;
        Ok(())
    }

    fn canceller(&self) -> Cancel {
        let (shared, flow) = (Arc::clone(&self.shared), Arc::clone(&self.outgoing));
        Box::new(move || close(&shared, &[&flow]))
    }
}

impl Read for FakeConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.shared.wait(self.timeout, |_| {
            with(&self.incoming, |flow| {
                if flow.bytes.is_empty() && !flow.is_closed {
                    return None;
                }
                Some(flow.bytes.read(buffer))
            })
        });
        let count = count.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
        self.shared.changed.notify_all();
        count
    }
}

impl Write for FakeConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.shared.wait(self.timeout, |_| {
            with(&self.outgoing, |flow| {
                if flow.is_closed {
                    return Some(Err(io::ErrorKind::BrokenPipe.into()));
                }
                let free = CAPACITY - flow.bytes.len();
                let taken = bytes.get(..free.min(bytes.len())).unwrap_or_default();
                flow.bytes.extend(taken);
                (!taken.is_empty() || bytes.is_empty()).then_some(Ok(taken.len()))
            })
        });
        let count = count.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
        self.shared.changed.notify_all();
        count
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for FakeConnection {
    fn drop(&mut self) {
        close(&self.shared, &[&self.incoming, &self.outgoing]);
    }
}

/// Under the lock of the host, or a reader could miss the news between looking and waiting.
fn close(shared: &Shared, flows: &[&SharedFlow]) {
    let state = shared.lock();
    for flow in flows {
        with(flow, |flow| flow.is_closed = true);
    }
    drop(state);
    shared.changed.notify_all();
}
