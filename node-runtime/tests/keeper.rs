//! The server of a keeper, whose clients stall, lie, crowd and leave.
#![expect(
    clippy::unwrap_used,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hosttask_node_runtime::keeper::client::{AskError, Client};
use hosttask_node_runtime::keeper::frame;
use hosttask_node_runtime::keeper::protocol::{Kind, Request, Response};
use hosttask_node_runtime::keeper::server::{MOST_CLIENTS, SPARE_PLACES, Service, Session, serve};
use hosttask_node_runtime::state::Signal;
use hosttask_node_runtime::sys::Host;
use hosttask_node_runtime::sys::fake::FakeHost;
use serde_json::{Value, json};

const ADDRESS: &str = "keeper";

/// Answers every request with its name, and is over after `Delete`.
#[derive(Default)]
struct Echo {
    is_over: AtomicBool,
}

struct EchoSession(Arc<Echo>);

impl Service for Echo {
    fn session(self: Arc<Self>) -> Box<dyn Session> {
        Box::new(EchoSession(self))
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

impl Session for EchoSession {
    fn answer(&mut self, request: Request) -> Response {
        if matches!(request, Request::Delete { .. }) {
            self.0.is_over.store(true, Ordering::Release);
        }
        assert_ne!(
            request.name(),
            "pause",
            "a request can hit a mistake of ours"
        );
        Response::Done(json!(request.name()))
    }
}

struct Bench {
    host: Arc<dyn Host>,
    server: JoinHandle<()>,
}

impl Bench {
    fn new() -> Self {
        let host: Arc<dyn Host> = Arc::new(FakeHost::new());
        let listener = host.listen(ADDRESS).unwrap();
        let ours = Arc::clone(&host);
        let thread = thread::spawn(move || {
            serve(&ours, ADDRESS, listener, &Arc::new(Echo::default())).unwrap();
        });
        Self {
            host,
            server: thread,
        }
    }

    fn client(&self) -> Client {
        Client::connect(self.host.as_ref(), ADDRESS).unwrap()
    }

    fn ask(&self, request: &Request) -> Result<Value, AskError> {
        self.client().ask_now(request)
    }

    /// Ends the server, and fails where that takes longer than a client may take at most.
    fn end(self) {
        let began = Instant::now();
        assert_eq!(self.ask(&Request::Delete { exec: None }).unwrap(), "delete");
        self.server.join().unwrap();
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    }
}

#[test]
fn clients_that_stall_or_send_half_a_request_hold_nobody_up() {
    let bench = Bench::new();
    let connect = || bench.host.connect(ADDRESS, Duration::from_secs(1)).unwrap();
    let silent = connect();
    let mut half = connect();
    half.write_all(&[0, 0, 0, 40, b'{']).unwrap();
    for _ in 0..100 {
        assert_eq!(bench.ask(&Request::Start).unwrap(), "start");
    }
    drop((silent, half));
    bench.end();
}

#[test]
fn a_client_that_never_takes_its_answers_holds_nobody_up() {
    let bench = Bench::new();
    let mut greedy = bench.host.connect(ADDRESS, Duration::from_secs(1)).unwrap();
    greedy
        .set_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    // Until the server cannot write, and then until we cannot.
    while frame::write(greedy.as_mut(), &Request::Start).is_ok() {}
    assert_eq!(bench.ask(&Request::Resume).unwrap(), "resume");
    drop(greedy);
    bench.end();
}

#[test]
fn one_client_too_many_is_told_so_and_served_when_another_leaves() {
    let bench = Bench::new();
    let mut crowd: Vec<Client> = (0..MOST_CLIENTS).map(|_| bench.client()).collect();
    for client in &mut crowd {
        let _: Value = client.ask_now(&Request::Start).unwrap();
    }
    let wait = Request::Wait {
        exec: None,
        timeout_ms: 0,
    };
    let refused = bench.ask(&wait).unwrap_err();
    assert_eq!(refused.kind(), Kind::Busy, "{refused}");
    crowd.pop();
    let deadline = Instant::now() + Duration::from_secs(10);
    while bench.ask(&wait).is_err() {
        assert!(Instant::now() < deadline, "the place is not free again");
    }
    drop(crowd);
    bench.end();
}

#[test]
fn a_crowd_that_stays_keeps_nobody_from_ending_the_container() {
    let bench = Bench::new();
    let mut crowd: Vec<Client> = (0..MOST_CLIENTS).map(|_| bench.client()).collect();
    for client in &mut crowd {
        let _: Value = client.ask_now(&Request::Start).unwrap();
    }
    let kill = Request::Kill {
        exec: None,
        signal: Signal::Kill,
        all: true,
    };
    let wait = Request::Wait {
        exec: None,
        timeout_ms: 0,
    };
    let event = Request::NextEvent { timeout_ms: 0 };
    let mut client = bench.client();
    assert_eq!(client.ask_now::<Value>(&kill).unwrap(), "kill");
    assert_eq!(client.ask_now::<Value>(&wait).unwrap(), "wait");
    let refused = client.ask_now::<Value>(&event).unwrap_err();
    assert_eq!(refused.kind(), Kind::Busy, "{refused}");
    // Spare places are few as well. The one just left may not be free yet.
    let mut spare = Vec::new();
    let refused = loop {
        let mut client = bench.client();
        match client.ask_now::<Value>(&kill) {
            Ok(_) => spare.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), Kind::Busy, "{refused}");
    assert!(
        (SPARE_PLACES - 1..=SPARE_PLACES).contains(&spare.len()),
        "{}",
        spare.len()
    );
    drop((crowd, spare));
    bench.end();
}

#[test]
fn whoever_sends_no_request_is_told_so_and_nobody_else_is_hurt() {
    let bench = Bench::new();
    let attempts: [&[u8]; 4] = [
        &[0, 0, 0, 2, b'{', b'}'],
        &[0xff, 0xff, 0xff, 0xff],
        b"\0\0\0\x1c{\"version\":2,\"body\":\"start\"}",
        b"\0\0\0\x28{\"version\":1,\"body\":{\"ask\":\"exterminate\"}}",
    ];
    for attempt in attempts {
        let mut liar = bench.host.connect(ADDRESS, Duration::from_secs(1)).unwrap();
        liar.write_all(attempt).unwrap();
        let answer = frame::receive::<Response>(liar.as_mut(), Duration::from_secs(10));
        let answer = answer.unwrap().unwrap();
        assert!(
            matches!(&answer, Response::Failed(failure) if failure.kind == Kind::InvalidArgument),
            "{answer:?}"
        );
    }
    assert_eq!(bench.ask(&Request::Start).unwrap(), "start");
    bench.end();
}

#[test]
fn a_request_that_hits_a_mistake_of_ours_ends_one_conversation_and_frees_its_place() {
    let bench = Bench::new();
    for _ in 0..2 * MOST_CLIENTS {
        let lost = bench.ask(&Request::Pause).unwrap_err();
        assert!(
            matches!(lost, AskError::Left | AskError::Failed(_)),
            "{lost}"
        );
    }
    assert_eq!(bench.ask(&Request::Start).unwrap(), "start");
    bench.end();
}

#[test]
fn a_keeper_that_is_over_lets_go_of_clients_that_linger() {
    let bench = Bench::new();
    let mut lingers = bench.client();
    let _: Value = lingers.ask_now(&Request::Start).unwrap();
    bench.end();
}

#[test]
fn nobody_there_and_somebody_gone_are_told_apart_from_other_failures() {
    let host = FakeHost::new();
    let nobody = Client::connect(&host, "nobody").unwrap_err();
    assert!(nobody.is_gone(), "{nobody}");
    let mut listener = host.listen("dies").unwrap();
    let mut client = Client::connect(&host, "dies").unwrap();
    let (tells, told) = mpsc::channel();
    let dies = thread::spawn(move || {
        drop(listener.accept(Duration::from_secs(10)).unwrap());
        tells.send(()).unwrap();
    });
    told.recv().unwrap();
    let gone = client.ask_now::<Value>(&Request::Start).unwrap_err();
    assert!(gone.is_gone(), "{gone}");
    dies.join().unwrap();
}
