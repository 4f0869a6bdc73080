//! A publisher and a containerd that comes and goes.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use super::*;
use crate::sys::fake::FakeHost;
use crate::ttrpc::{self, Call, Service, Status};

const ADDRESS: &str = "containerd.ttrpc";
const LONG: Duration = Duration::from_mins(1);

/// Takes events, after it refused some.
struct Events {
    took: mpsc::Sender<Envelope>,
    refuses: AtomicUsize,
    code: Code,
}

impl Service for Events {
    fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, Status> {
        assert_eq!((call.service, call.method), (SERVICE, METHOD));
        let left = self.refuses.load(Ordering::Acquire);
        if left > 0 {
            self.refuses.store(left - 1, Ordering::Release);
            return Err(Status {
                code: self.code,
                message: "not now".to_owned(),
            });
        }
        let request = ForwardRequest::parse_from_bytes(call.payload).unwrap();
        self.took.send(request.envelope.unwrap()).unwrap();
        Ok(Vec::new())
    }
}

struct Bench {
    host: Arc<dyn Host>,
    took: mpsc::Sender<Envelope>,
    taken: mpsc::Receiver<Envelope>,
    said: Arc<Mutex<Vec<String>>>,
    publisher: Publisher,
}

/// A containerd that runs.
struct Running(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
        self.1.take().unwrap().join().unwrap();
    }
}

impl Bench {
    fn new() -> Self {
        let host: Arc<dyn Host> = Arc::new(FakeHost::new());
        let (took, taken) = mpsc::channel();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let says = Arc::clone(&said);
        let say: Say = Box::new(move |message| says.lock().unwrap().push(message.to_owned()));
        let address = Some(ADDRESS.to_owned());
        let publisher = Publisher::start(Arc::clone(&host), "k8s.io", address, say).unwrap();
        Self {
            host,
            took,
            taken,
            said,
            publisher,
        }
    }

    fn containerd(&self, refuses: usize, code: Code) -> Running {
        let listener = self.host.listen(ADDRESS).unwrap();
        let service = Arc::new(Events {
            took: self.took.clone(),
            refuses: AtomicUsize::new(refuses),
            code,
        });
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let thread = thread::spawn(move || {
            ttrpc::serve(listener, service, &|| is_over.load(Ordering::Acquire)).unwrap();
        });
        Running(over, Some(thread))
    }

    fn publish(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let event = Any {
                type_url: number.to_string(),
                ..Any::default()
            };
            self.publisher.publish("/tasks/exit", event);
        }
    }

    fn take(&self, count: usize) -> Vec<usize> {
        let next = || self.taken.recv_timeout(LONG).unwrap();
        (0..count)
            .map(|_| next().event.type_url.parse().unwrap())
            .collect()
    }
}

#[test]
fn events_arrive_in_order_with_their_time_topic_and_namespace() {
    let bench = Bench::new();
    let _containerd = bench.containerd(0, Code::Internal);
    bench.publish(0..50);
    let first = bench.taken.recv_timeout(LONG).unwrap();
    assert_eq!(
        (first.namespace.as_str(), first.topic.as_str()),
        ("k8s.io", "/tasks/exit")
    );
    assert_eq!(first.timestamp.seconds, bench.host.now().as_second());
    assert_eq!(bench.take(49), (1..50).collect::<Vec<_>>());
    assert_eq!(bench.publisher.finish(LONG), 0);
}

#[test]
fn events_wait_for_a_containerd_that_is_away_and_none_overtakes_another() {
    let bench = Bench::new();
    bench.publish(0..5);
    let containerd = bench.containerd(0, Code::Internal);
    assert_eq!(bench.take(5), [0, 1, 2, 3, 4]);
    drop(containerd);
    bench.publish(5..10);
    let _containerd = bench.containerd(0, Code::Internal);
    assert_eq!(bench.take(5), [5, 6, 7, 8, 9]);
    // Once for each silence, not for each try.
    assert!(bench.said.lock().unwrap().len() <= 2);
}

#[test]
fn a_containerd_that_was_started_again_between_two_events_is_not_worth_a_word() {
    let bench = Bench::new();
    let containerd = bench.containerd(0, Code::Internal);
    bench.publish(0..1);
    assert_eq!(bench.take(1), [0]);
    drop(containerd);
    let _containerd = bench.containerd(0, Code::Internal);
    bench.publish(1..2);
    assert_eq!(bench.take(1), [1]);
    assert_eq!(*bench.said.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_containerd_that_cannot_now_is_asked_again() {
    let bench = Bench::new();
    let _containerd = bench.containerd(3, Code::Unavailable);
    bench.publish(0..2);
    assert_eq!(bench.take(2), [0, 1]);
}

#[test]
fn what_is_refused_for_good_is_said_and_the_next_goes() {
    let bench = Bench::new();
    let _containerd = bench.containerd(1, Code::InvalidArgument);
    bench.publish(0..2);
    assert_eq!(bench.take(1), [1]);
    let said = bench.said.lock().unwrap();
    assert!(
        said.iter()
            .any(|it| it.contains("/tasks/exit") && it.contains("not now")),
        "{said:?}"
    );
}

#[test]
fn an_event_that_is_too_long_is_said_and_the_next_goes() {
    let bench = Bench::new();
    let _containerd = bench.containerd(0, Code::Internal);
    let long = Any {
        value: vec![0; 5 << 20],
        ..Any::default()
    };
    bench.publisher.publish("/tasks/create", long);
    bench.publish(1..2);
    assert_eq!(bench.take(1), [1]);
    let said = bench.said.lock().unwrap();
    assert!(
        said.iter().any(|it| it.contains("/tasks/create")),
        "{said:?}"
    );
    drop(said);

    let bench = Bench::new();
    let _containerd = bench.containerd(1, Code::ResourceExhausted);
    bench.publish(0..2);
    assert_eq!(bench.take(1), [1]);
}

#[test]
fn the_end_waits_for_what_can_be_sent_and_not_for_what_cannot() {
    let bench = Bench::new();
    bench.publish(0..3);
    assert_eq!(bench.publisher.finish(Duration::ZERO), 3);
    // It is over: this one is forgotten, and costs nothing.
    bench.publish(3..4);

    let bench = Bench::new();
    let _containerd = bench.containerd(0, Code::Internal);
    bench.publish(0..100);
    assert_eq!(bench.publisher.finish(LONG), 0);
    assert_eq!(bench.take(100), (0..100).collect::<Vec<_>>());
}

#[test]
fn without_an_address_nothing_is_kept() {
    let host: Arc<dyn Host> = Arc::new(FakeHost::new());
    let (says, said) = mpsc::channel();
    let say: Say = Box::new(move |message| says.send(message.to_owned()).unwrap());
    let publisher = Publisher::start(host, "k8s.io", None, say).unwrap();
    publisher.publish("/tasks/exit", Any::default());
    assert_eq!(publisher.finish(LONG), 0);
    assert!(said.recv().unwrap().contains("TTRPC_ADDRESS"));
}
