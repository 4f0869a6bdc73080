//! Connections of the fake host: two queues of bytes.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::faults::Operation;
use super::state::Shared;
use crate::sys::{Cancel, Connection, Halves, Incoming, Listener, Outgoing};

/// How many bytes may be on their way.
const CAPACITY: usize = 64 * 1024;

/// An address that is served: the clients that wait.
#[derive(Debug, Default)]
pub(super) struct Served {
    waiting: VecDeque<FakeConnection>,
    /// Whether nobody is accepted any more.
    is_cancelled: bool,
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
            if served.is_cancelled {
                return Some(Err(io::Error::from(io::ErrorKind::ConnectionAborted)));
            }
            served.waiting.pop_front().map(Ok)
        });
        Ok(client.transpose()?.map(|client| {
            let client: Box<dyn Connection> = Box::new(client);
            client
        }))
    }

    fn canceller(&self) -> Cancel {
        let (shared, address) = (Arc::clone(&self.shared), self.address.clone());
        Box::new(move || {
            if let Some(served) = shared.lock().served.get_mut(&address) {
                served.is_cancelled = true;
            }
            shared.changed.notify_all();
        })
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
    incoming: FakeIncoming,
    outgoing: FakeOutgoing,
}

impl FakeConnection {
    /// An end that reads from one flow and writes to another.
    fn new(shared: &Arc<Shared>, incoming: &SharedFlow, outgoing: &SharedFlow) -> Self {
        let way = |flow| Way {
            shared: Arc::clone(shared),
            flow: Arc::clone(flow),
            timeout: None,
        };
        Self {
            incoming: FakeIncoming(way(incoming)),
            outgoing: FakeOutgoing(way(outgoing)),
        }
    }
}

/// One direction. Its flow ends with it.
#[derive(Debug)]
struct Way {
    shared: Arc<Shared>,
    flow: SharedFlow,
    timeout: Option<Duration>,
}

impl Way {
    fn canceller(&self) -> Cancel {
        let (shared, flow) = (Arc::clone(&self.shared), Arc::clone(&self.flow));
        Box::new(move || close(&shared, &flow))
    }

    /// Waits until a flow lets something be done.
    fn wait(
        &self,
        mut action: impl FnMut(&mut Flow) -> Option<io::Result<usize>>,
    ) -> io::Result<usize> {
        let count = self
            .shared
            .wait(self.timeout, |_| with(&self.flow, &mut action));
        let count = count.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
        self.shared.changed.notify_all();
        count
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        close(&self.shared, &self.flow);
    }
}

/// What comes in.
#[derive(Debug)]
struct FakeIncoming(Way);

/// What goes out.
#[derive(Debug)]
struct FakeOutgoing(Way);

/// Does something with a flow.
fn with<T>(flow: &SharedFlow, action: impl FnOnce(&mut Flow) -> T) -> T {
    action(&mut flow.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Connection for FakeConnection {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.incoming.set_timeout(timeout)?;
        self.outgoing.set_timeout(timeout)
    }

    fn canceller(&self) -> Cancel {
        self.outgoing.canceller()
    }

    fn split(self: Box<Self>) -> io::Result<Halves> {
        Ok((Box::new(self.incoming), Box::new(self.outgoing)))
    }
}

impl Read for FakeConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.incoming.read(buffer)
    }
}

impl Write for FakeConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Incoming for FakeIncoming {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.timeout = timeout;
        Ok(())
    }

    fn canceller(&self) -> Cancel {
        self.0.canceller()
    }
}

impl Outgoing for FakeOutgoing {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.timeout = timeout;
        Ok(())
    }

    fn canceller(&self) -> Cancel {
        self.0.canceller()
    }
}

impl Read for FakeIncoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.wait(|flow| {
            if flow.bytes.is_empty() && !flow.is_closed {
                return None;
            }
            Some(flow.bytes.read(buffer))
        })
    }
}

impl Write for FakeOutgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.wait(|flow| {
            if flow.is_closed {
                return Some(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let free = CAPACITY - flow.bytes.len();
            let taken = bytes.get(..free.min(bytes.len())).unwrap_or_default();
            flow.bytes.extend(taken);
            (!taken.is_empty() || bytes.is_empty()).then_some(Ok(taken.len()))
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Under the lock of the host, or a reader could miss the news between looking and waiting.
fn close(shared: &Shared, flow: &SharedFlow) {
    let state = shared.lock();
    with(flow, |flow| flow.is_closed = true);
    drop(state);
    shared.changed.notify_all();
}
