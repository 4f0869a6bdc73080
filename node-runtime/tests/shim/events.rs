//! The events service of containerd, which keeps what it is told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use containerd_shim_protos::api::ForwardRequest;
use hosttask_node_runtime::ttrpc::{Call, Code, Service, Status};
use protobuf::Message as _;

use crate::node::NAMESPACE;

/// An event as it arrived: the topic, and the encoded event.
struct Event {
    topic: String,
    value: Vec<u8>,
}

/// What containerd's events service would keep.
#[derive(Default)]
pub(crate) struct Events {
    heard: Mutex<Vec<Event>>,
    is_over: AtomicBool,
}

impl Service for Events {
    fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, Status> {
        let wanted = ("containerd.services.events.ttrpc.v1.Events", "Forward");
        if (call.service, call.method) != wanted {
            return Err(Status::new(Code::Unimplemented, call.method));
        }
        let request = ForwardRequest::parse_from_bytes(call.payload).unwrap();
        let envelope = request.envelope.unwrap();
        assert_eq!(envelope.namespace, NAMESPACE);
        self.heard.lock().unwrap().push(Event {
            topic: envelope.topic,
            value: envelope.event.unwrap().value,
        });
        Ok(Vec::new())
    }
}

impl Events {
    /// Nobody is served any more.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// The topics of the events so far that name a task, in order.
    pub(crate) fn topics(&self, id: &str) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        // The name is the first field of each event.
        let of_it = heard
            .iter()
            .filter(|it| it.value.get(2..2 + id.len()) == Some(id.as_bytes()));
        of_it.map(|it| it.topic.clone()).collect()
    }
}
