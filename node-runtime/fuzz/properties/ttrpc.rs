//! Any bytes are frames or no frames; what is decoded of them, down to the request of a method, is the same when it is encoded
//! and decoded again.

use containerd_shim_protos::api;
use containerd_shim_protos::bootstrap_api::BootstrapParams;
use hosttask_node_runtime::ttrpc::frame::{self, Header};
use hosttask_node_runtime::ttrpc::message::{self, Question};
use protobuf::Message;

/// Reads bytes as a server does that gets them from a client, and as a client does from a server.
pub(crate) fn check(bytes: &[u8]) {
    let mut reader = bytes;
    while let Ok(Some(header)) = frame::read_header(&mut reader) {
        assert_eq!(Header::decode(header.encode()), header);
        if header.is_too_long() {
            let skipped = frame::skip_payload(&mut reader, header.length);
            assert!(skipped.is_err(), "nobody made so many bytes");
            return;
        }
        match frame::read_payload(&mut reader, header.length) {
            Ok(payload) => payloads(&payload),
            Err(_) => return,
        }
    }
    requests(bytes);
}

fn payloads(bytes: &[u8]) {
    if let Ok(question) = Question::decode(bytes) {
        requests(&question.payload);
        let encoded = question.clone().encode().expect("it was decoded");
        assert_eq!(Question::decode(&encoded), Ok(question));
    }
    if let Ok(result) = message::answered(bytes) {
        let encoded = message::answer(result.clone()).expect("it was decoded");
        assert_eq!(message::answered(&encoded).expect("it is ours"), result);
    }
}

/// As the request of each method, and as what a shim is told when it starts.
fn requests(bytes: &[u8]) {
    same::<api::StateRequest>(bytes);
    same::<api::CreateTaskRequest>(bytes);
    same::<api::StartRequest>(bytes);
    same::<api::DeleteRequest>(bytes);
    same::<api::PidsRequest>(bytes);
    same::<api::PauseRequest>(bytes);
    same::<api::ResumeRequest>(bytes);
    same::<api::CheckpointTaskRequest>(bytes);
    same::<api::KillRequest>(bytes);
    same::<api::ExecProcessRequest>(bytes);
    same::<api::ResizePtyRequest>(bytes);
    same::<api::CloseIORequest>(bytes);
    same::<api::UpdateTaskRequest>(bytes);
    same::<api::WaitRequest>(bytes);
    same::<api::StatsRequest>(bytes);
    same::<api::ConnectRequest>(bytes);
    same::<api::ShutdownRequest>(bytes);
    same::<BootstrapParams>(bytes);
}

fn same<M: Message + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(message) = M::parse_from_bytes(bytes) {
        let encoded = message.write_to_bytes().expect("it was decoded");
        let again = M::parse_from_bytes(&encoded).expect("it was just encoded");
        assert!(again == message, "{again:?} was {message:?}");
    }
}
