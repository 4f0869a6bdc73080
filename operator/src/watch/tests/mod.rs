//! The laws of the watch loop, against a server that answers by script while the time is simulated.

mod lists;
mod streams;
mod together;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use jiff::Timestamp;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;

pub(crate) fn noon() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

/// How a response goes on after its chunks.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// It ends.
    Close,
    /// It stays open and silent, as behind a dead connection.
    Hang,
    /// The connection breaks.
    Break,
}

pub(crate) struct Scripted {
    chunks: VecDeque<Bytes>,
    then: Then,
}

impl http_body::Body for Scripted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match (self.chunks.pop_front(), self.then) {
            (Some(chunk), _) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            (None, Then::Close) => Poll::Ready(None),
            (None, Then::Hang) => Poll::Pending,
            (None, Then::Break) => {
                Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
            }
        }
    }
}

/// One answer.
pub(crate) enum Reply {
    Page(Value),
    Events(Vec<Value>, Then),
    Text(String, Then),
    Refuse(u16, &'static str),
    Unreachable,
}

type Answer = Box<dyn Fn(&str, usize) -> Reply + Send + Sync>;

/// The requests so far, with the time of each, and the answers to come. Without an answer a request is never answered.
pub(crate) struct Server {
    begun: Instant,
    answer: Answer,
    log: Mutex<Vec<(Duration, String)>>,
    changed: watch::Sender<()>,
}

impl Server {
    pub(crate) fn new(answer: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            answer: Box::new(answer),
            log: Mutex::default(),
            changed: watch::Sender::new(()),
        })
    }

    /// Answers one request after the other, whatever they ask for; then hangs.
    pub(crate) fn scripted(replies: Vec<Reply>) -> Arc<Self> {
        let replies = Mutex::new(VecDeque::from(replies));
        Self::new(move |_, _| {
            let next = replies.lock().unwrap().pop_front();
            next.unwrap_or(Reply::Events(Vec::new(), Then::Hang))
        })
    }

    pub(crate) fn log(&self) -> Vec<(Duration, String)> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.log().into_iter().map(|(_, request)| request).collect()
    }

    pub(crate) fn client(self: &Arc<Self>) -> Client {
        let server = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let path = request.uri().to_string();
            let number = {
                let mut log = server.log.lock().unwrap();
                log.push((server.begun.elapsed(), path.clone()));
                log.len() - 1
            };
            server.changed.send_replace(());
            let reply = (server.answer)(&path, number);
            async move { respond(reply) }
        });
        Client::new(service, "default")
    }
}

fn lines(events: &[Value]) -> String {
    events.iter().fold(String::new(), |text, event| {
        text + &event.to_string() + "\n"
    })
}

fn respond(reply: Reply) -> Result<Response<Scripted>, std::io::Error> {
    let (code, text, then) = match reply {
        Reply::Page(page) => (200, page.to_string(), Then::Close),
        Reply::Events(events, then) => (200, lines(&events), then),
        Reply::Text(text, then) => (200, text, then),
        Reply::Refuse(code, message) => {
            let reason = if code == 410 { "Expired" } else { "Refused" };
            (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}).to_string(), Then::Close)
        }
        Reply::Unreachable => return Err(std::io::ErrorKind::ConnectionRefused.into()),
    };
    // Chunks of odd size: lines must not depend on how they arrive.
    let chunks = text
        .as_bytes()
        .chunks(1013)
        .map(Bytes::copy_from_slice)
        .collect();
    let mut response = Response::new(Scripted { chunks, then });
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    Ok(response)
}

pub(crate) fn pod(number: usize, version: u64) -> Value {
    json!({
        "metadata": {
            "name": format!("p-{number}"), "namespace": "ops",
            "uid": format!("33333333-3333-4333-8333-{number:012x}"), "resourceVersion": version.to_string(),
            "labels": {"hosttask.dev/task-uid": "t"},
            "ownerReferences": [{"kind": "DaemonSet", "name": "d", "uid": "d", "controller": true}]
        }
    })
}

pub(crate) fn page(version: u64, token: &str, items: &[Value]) -> Reply {
    Reply::Page(
        json!({"kind": "PodList", "metadata": {"resourceVersion": version.to_string(), "continue": token}, "items": items}),
    )
}

pub(crate) fn event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

pub(crate) fn bookmark(version: u64) -> Value {
    event(
        "BOOKMARK",
        &json!({"kind": "Pod", "metadata": {"resourceVersion": version.to_string()}}),
    )
}

pub(crate) fn expired() -> Value {
    event(
        "ERROR",
        &json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}),
    )
}

/// One watch of pods on an index.
pub(crate) struct Bench {
    pub(crate) server: Arc<Server>,
    pub(crate) index: Arc<Index>,
    pub(crate) health: Arc<Health>,
    pub(crate) resync: watch::Sender<u64>,
    pub(crate) fewest: Arc<Mutex<Option<usize>>>,
    changed: watch::Receiver<()>,
    task: AbortHandle,
}

impl Bench {
    pub(crate) fn new(server: Arc<Server>, scope: Scope) -> Self {
        let index = Arc::new(Index::new(None));
        let health = Arc::new(Health::default());
        let changed = server.changed.subscribe();
        let fewest = Arc::new(Mutex::new(None));
        let sink: Sink = {
            let (index, server, fewest) =
                (Arc::clone(&index), Arc::clone(&server), Arc::clone(&fewest));
            Arc::new(move |change, now| {
                index.apply(change, now);
                let mut fewest = fewest.lock().unwrap();
                let count = index.counts().pods;
                // Before there were two, there was nothing to lose.
                *fewest = match *fewest {
                    None => (count == 2).then_some(2),
                    Some(least) => Some(least.min(count)),
                };
                drop(fewest);
                server.changed.send_replace(());
            })
        };
        let common = Common {
            client: server.client(),
            namespace: None,
            sink,
            clock: noon,
            health: Arc::clone(&health),
        };
        let resync = watch::Sender::new(0);
        let (task, _) = common.spawn(scope, resync.subscribe());
        Self {
            server,
            index,
            health,
            resync,
            fewest,
            changed,
            task,
        }
    }

    pub(crate) fn pods(server: &Arc<Server>) -> Self {
        Self::new(Arc::clone(server), Scope::Kind(Kind::Pod))
    }

    /// Waits, in simulated time, until a condition holds.
    pub(crate) async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            while !condition(self) {
                self.changed.changed().await.unwrap();
            }
        };
        let held = tokio::time::timeout(Duration::from_secs(100_000), wait).await;
        assert!(held.is_ok(), "{what}: {:?}", self.server.log());
    }

    pub(crate) async fn until_requests(&mut self, count: usize) {
        self.until("requests", |bench| bench.server.log().len() >= count)
            .await;
    }

    pub(crate) fn of_kind(&self, kind: &str) -> KindHealth {
        self.health
            .snapshot()
            .into_iter()
            .find(|health| health.kind == kind)
            .unwrap()
    }

    pub(crate) fn count(&self) -> usize {
        self.index.counts().pods
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.task.abort();
    }
}
