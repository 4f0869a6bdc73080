//! The decoder of frames and of every request, given any bytes (F3): good frames that were damaged, and bytes of no meaning.

use containerd_shim_protos::api;
use hosttask_node_runtime::ttrpc::frame::{self, Kind};
use hosttask_node_runtime::ttrpc::message::Question;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use protobuf::well_known_types::any::Any;
use protobuf::{Message, MessageField};

#[path = "../../fuzz/properties/ttrpc.rs"]
mod property;

fn runner(cases: u32) -> TestRunner {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new_with_rng(
        config,
        TestRng::from_seed(RngAlgorithm::ChaCha, &[3_u8; 32]),
    )
}

/// Requests that containerd sends, in their frames.
fn good() -> Vec<Vec<u8>> {
    let spec = Any {
        type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".to_owned(),
        value: br#"{"args":["x"]}"#.to_vec(),
        ..Any::default()
    };
    let mount = containerd_shim_protos::types::mount::Mount {
        type_: "windows-layer".to_owned(),
        source: r"C:\layers\7".to_owned(),
        options: vec![r#"parentLayerPaths=["C:\\layers\\6"]"#.to_owned()],
        ..Default::default()
    };
    let create = api::CreateTaskRequest {
        id: "web".to_owned(),
        bundle: r"C:\bundle".to_owned(),
        rootfs: vec![mount],
        stdout: r"\\.\pipe\stdout".to_owned(),
        options: MessageField::some(spec.clone()),
        ..Default::default()
    };
    let exec = api::ExecProcessRequest {
        id: "web".to_owned(),
        exec_id: "probe".to_owned(),
        spec: MessageField::some(spec),
        ..Default::default()
    };
    let kill = api::KillRequest {
        id: "web".to_owned(),
        signal: 15,
        all: true,
        ..Default::default()
    };
    let requests = [
        ("Create", create.write_to_bytes()),
        ("Exec", exec.write_to_bytes()),
        ("Kill", kill.write_to_bytes()),
    ];
    let frames = requests.into_iter().zip((1..).step_by(2));
    let frames = frames.map(|((method, payload), stream)| {
        let question = Question {
            service: "containerd.task.v3.Task".to_owned(),
            method: method.to_owned(),
            payload: payload.unwrap(),
            timeout: Some(std::time::Duration::from_secs(5)),
        };
        let mut bytes = Vec::new();
        let question = question.encode().unwrap();
        frame::write(&mut bytes, Kind::Request, stream, &question).unwrap();
        bytes
    });
    frames.collect()
}

#[test]
fn frames_that_were_damaged_are_other_frames_or_none() {
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let cut = any::<Option<prop::sample::Index>>();
    let inputs = (vec(select(good()), 1..3), damage, cut);
    let ran = runner(8_000).run(&inputs, |(frames, damage, cut)| {
        let mut bytes = frames.concat();
        for (at, value) in damage {
            *at.get_mut(&mut bytes) = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        property::check(&bytes);
        Ok(())
    });
    ran.unwrap();
}

#[test]
fn requests_that_were_damaged_are_other_requests_or_none() {
    let requests: Vec<_> = good()
        .into_iter()
        .map(|it| it[frame::HEADER..].to_vec())
        .collect();
    let payloads = requests
        .iter()
        .map(|it| Question::decode(it).unwrap().payload);
    let inputs: Vec<_> = payloads.chain(requests.iter().cloned()).collect();
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let ran = runner(8_000).run(&(select(inputs), damage), |(mut bytes, damage)| {
        for (at, value) in damage {
            *at.get_mut(&mut bytes) = value;
        }
        property::check(&bytes);
        Ok(())
    });
    ran.unwrap();
}

#[test]
fn any_bytes_are_frames_or_none() {
    let ran = runner(10_000).run(&vec(any::<u8>(), 0..64), |bytes| {
        property::check(&bytes);
        Ok(())
    });
    ran.unwrap();
}
