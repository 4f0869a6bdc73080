//! A server whose service does what its method says, and clients that keep to the rules or do not.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hosttask_node_runtime::sys::fake::FakeHost;
use hosttask_node_runtime::sys::{self, Connection, Host, Rules};
use hosttask_node_runtime::ttrpc::frame::{self, HEADER, Header, Kind};
use hosttask_node_runtime::ttrpc::message::{self, Question};
use hosttask_node_runtime::ttrpc::{Call, Client, Code, Error, Service, Status, serve};

/// How long something may take that will surely happen.
pub(crate) const LONG: Duration = Duration::from_mins(5);

pub(crate) const SERVICE: &str = "test";

/// Does what its methods say.
#[derive(Default)]
pub(crate) struct Methods {
    is_over: AtomicBool,
    /// How many calls of `Block` are under way, and the most there ever were.
    blocked: AtomicUsize,
    most_blocked: AtomicUsize,
    released: Mutex<bool>,
    changed: Condvar,
}

impl Methods {
    pub(crate) fn blocked(&self) -> usize {
        self.blocked.load(Ordering::SeqCst)
    }

    pub(crate) fn most_blocked(&self) -> usize {
        self.most_blocked.load(Ordering::SeqCst)
    }

    pub(crate) fn release(&self) {
        *self.released.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn block(&self, call: &Call<'_>) {
        let now = self.blocked.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_blocked.fetch_max(now, Ordering::SeqCst);
        let mut released = self.released.lock().unwrap();
        while !*released && !call.caller.is_gone() {
            let waited = self
                .changed
                .wait_timeout(released, Duration::from_millis(50));
            released = waited.unwrap().0;
        }
        drop(released);
        self.blocked.fetch_sub(1, Ordering::SeqCst);
    }

    /// Answers no sooner than it is let, so that whoever gives up has surely given up before.
    fn wait_for_release(&self) {
        let released = self.released.lock().unwrap();
        let released = self.changed.wait_while(released, |released| !*released);
        drop(released.unwrap());
    }
}

impl Service for Methods {
    fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, Status> {
        assert_ne!(call.method, "Panic", "a mistake of the service");
        match call.method {
            _ if call.service != SERVICE => Err(Status::new(Code::Unimplemented, call.service)),
            "Echo" => Ok(call.payload.to_owned()),
            "Block" | "Wait" => {
                self.block(call);
                Ok(Vec::new())
            }
            "Late" => {
                self.block(call);
                self.wait_for_release();
                Ok(Vec::new())
            }
            "Long" => Ok(vec![0; usize::try_from(frame::LONGEST).unwrap()]),
            "Fail" => {
                let code = Code::ALL[usize::from(call.payload[0])];
                Err(Status::new(code, format!("{code:?} was asked for")))
            }
            "End" => {
                self.is_over.store(true, Ordering::SeqCst);
                Ok(Vec::new())
            }
            _ => Err(Status::new(Code::Unimplemented, call.method)),
        }
    }

    fn waits(&self, service: &str, method: &str) -> bool {
        (service, method) == (SERVICE, "Wait")
    }
}

/// A server.
pub(crate) struct Bench {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) address: String,
    pub(crate) methods: Arc<Methods>,
    _folder: tempfile::TempDir,
    server: Option<JoinHandle<()>>,
}

impl Bench {
    /// On the host in memory.
    pub(crate) fn fake() -> Self {
        Self::new(Arc::new(FakeHost::new()))
    }

    /// On the host of this system.
    pub(crate) fn native() -> Self {
        Self::new(sys::native().unwrap())
    }

    fn new(host: Arc<dyn Host>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ttrpc-{}-{next}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        let address = match host.places().rules {
            Rules::Windows => format!(r"\\.\pipe\{name}"),
            Rules::Posix => folder.path().join(name).to_str().unwrap().to_owned(),
        };
        let methods = Arc::new(Methods::default());
        let listener = host.listen(&address).unwrap();
        let ours = Arc::clone(&methods);
        let server = thread::spawn(move || {
            let service: Arc<dyn Service> = Arc::<Methods>::clone(&ours);
            serve(listener, service, &|| ours.is_over.load(Ordering::SeqCst)).unwrap();
        });
        Self {
            host,
            address,
            methods,
            _folder: folder,
            server: Some(server),
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.host, &self.address, LONG).unwrap()
    }

    /// That somebody who keeps to the rules is answered.
    pub(crate) fn assert_serves(&self) {
        let answer = self.client().call(SERVICE, "Echo", b"hello", LONG).unwrap();
        assert_eq!(answer, b"hello");
    }

    /// A client that writes its frames itself.
    pub(crate) fn raw(&self) -> Raw {
        let mut connection = self.host.connect(&self.address, LONG).unwrap();
        connection.set_timeout(Some(LONG)).unwrap();
        Raw(connection)
    }

    /// Ends the server, which must not take longer than it may.
    pub(crate) fn end(mut self) {
        self.methods.release();
        let client = self.client();
        client.call(SERVICE, "End", b"", LONG).unwrap();
        drop(client);
        self.server.take().unwrap().join().unwrap();
        // A pipe lives as long as its last connection, which may still be closing.
        until("the address is free", || {
            self.host.listen(&self.address).is_ok()
        });
    }
}

/// A client that writes its frames itself.
pub(crate) struct Raw(pub(crate) Box<dyn Connection>);

impl Raw {
    /// Sends ten bytes, and what they may lie about.
    pub(crate) fn send(&mut self, length: u32, stream: u32, kind: u8, payload: &[u8]) {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes[4..8].copy_from_slice(&stream.to_be_bytes());
        bytes[8] = kind;
        self.0.write_all(&[&bytes, payload].concat()).unwrap();
    }

    /// Calls a method.
    pub(crate) fn ask(&mut self, stream: u32, method: &str, payload: &[u8]) {
        let request = request(method, payload);
        frame::write(&mut self.0, Kind::Request, stream, &request).unwrap();
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> (u32, Result<Vec<u8>, Status>) {
        let header: Header = frame::read_header(&mut self.0).unwrap().unwrap();
        assert_eq!(header.kind, Kind::Response);
        let payload = frame::read_payload(&mut self.0, header.length).unwrap();
        (header.stream, message::answered(&payload).unwrap())
    }

    /// The code of the next answer, which is one to this stream.
    pub(crate) fn refused(&mut self, stream: u32) -> Code {
        let (answered, result) = self.answer();
        assert_eq!(answered, stream);
        result.unwrap_err().code
    }

    /// That it can still be used.
    pub(crate) fn assert_usable(&mut self, stream: u32) {
        self.ask(stream, "Echo", b"still here");
        assert_eq!(self.answer(), (stream, Ok(b"still here".to_vec())));
    }

    /// That the server hangs up. What it had to say before is passed over.
    pub(crate) fn assert_hung_up(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                    panic!("it is still there")
                }
                Err(_) => return,
            }
        }
    }
}

/// A request of a method.
pub(crate) fn request(method: &str, payload: &[u8]) -> Vec<u8> {
    let question = Question {
        service: SERVICE.to_owned(),
        method: method.to_owned(),
        payload: payload.to_owned(),
        timeout: None,
    };
    question.encode().unwrap()
}

/// The code of a failure that surely comes.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    match result.unwrap_err() {
        Error::Status(status) => status.code,
        other @ (Error::Io(_) | Error::Answer(_)) => panic!("{other:?}"),
    }
}

/// The kind of an error of the connection that surely comes.
pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> std::io::ErrorKind {
    match result.unwrap_err() {
        Error::Io(error) => error.kind(),
        other @ (Error::Status(_) | Error::Answer(_)) => panic!("{other:?}"),
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "in vain: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}
