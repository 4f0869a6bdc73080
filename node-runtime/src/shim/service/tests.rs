//! What holds by the rules of Windows, also where the tests run on another system.

use std::collections::BTreeMap;
use std::time::Duration;

use containerd_shim_protos::windows::stats::Statistics;
use jiff::Timestamp;
use protobuf::well_known_types::any::Any;
use protobuf::{CodedInputStream, Message};
use serde_json::{Value, json};

use super::config::{Config, Role};
use super::events::{Birth, Teller};
use super::signal::{Asked, parse};
use super::{details, options, stats};
use crate::id::Id;
use crate::state::{EventKind, Signal};
use crate::sys::{IoUsage, ProcessInfo, Rules, Usage};
use crate::ttrpc::Code;

fn config(annotations: &Value) -> Config {
    let document = json!({ "annotations": annotations }).to_string();
    Config::parse(document.into_bytes(), Rules::Windows).unwrap()
}

#[test]
fn a_task_of_windows_that_is_no_hostprocess_container_is_refused_with_the_fix() {
    for says in [
        json!({}),
        json!({ "microsoft.com/hostprocess-container": "false" }),
        json!(null),
    ] {
        let failure = config(&says)
            .check_host_process(Rules::Windows)
            .unwrap_err();
        assert_eq!(failure.code(), Code::InvalidArgument);
        let text = failure.to_string();
        assert!(
            text.starts_with("annotations[microsoft.com/hostprocess-container]"),
            "{text}"
        );
        assert!(text.contains("windowsOptions.hostProcess"), "{text}");
    }
    let yes = config(&json!({ "microsoft.com/hostprocess-container": "true" }));
    yes.check_host_process(Rules::Windows).unwrap();
}

#[test]
fn the_role_of_a_task_is_what_its_annotations_say() {
    let id = Id::parse("web").unwrap();
    let role = |kind: &str, pod: &str| {
        let annotations = json!({ "io.kubernetes.cri.container-type": kind, "io.kubernetes.cri.sandbox-id": pod });
        config(&annotations).role(&id)
    };
    assert_eq!(config(&json!({})).role(&id).unwrap(), Role::Alone);
    assert_eq!(role("sandbox", "web").unwrap(), Role::Pod);
    assert_eq!(
        role("container", "pod").unwrap(),
        Role::Member("pod".to_owned())
    );
    assert!(role("sandbox", "pod").is_err());
    assert!(role("pod", "web").is_err());
    for one in [
        "io.kubernetes.cri.container-type",
        "io.kubernetes.cri.sandbox-id",
    ] {
        assert!(
            config(&json!({ one: "container" })).role(&id).is_err(),
            "{one}"
        );
    }
}

#[test]
fn what_a_pod_says_is_taken_over_where_a_container_says_nothing() {
    let inherit = "microsoft.com/hostprocess-inherit-user";
    let pod = BTreeMap::from([
        (inherit.to_owned(), "true".to_owned()),
        ("other".to_owned(), "x".to_owned()),
    ]);
    let after = |mut config: Config| {
        config.inherit(&pod).unwrap();
        let document: Value = serde_json::from_slice(&config.document).unwrap();
        document["annotations"].clone()
    };
    assert_eq!(after(config(&json!({}))), json!({ inherit: "true" }));
    assert_eq!(
        after(config(&json!({ inherit: "false" }))),
        json!({ inherit: "false" })
    );
}

#[test]
fn console_events_are_requests_to_end_on_windows_and_zero_is_a_question_on_linux() {
    for number in [15, 0, 1, 2, 5, 6] {
        let asked = parse(Rules::Windows, number).unwrap();
        assert_eq!(asked, Asked::End(Signal::Terminate), "{number}");
    }
    for rules in [Rules::Windows, Rules::Posix] {
        assert_eq!(parse(rules, 9).unwrap(), Asked::End(Signal::Kill));
    }
    assert_eq!(parse(Rules::Posix, 0).unwrap(), Asked::Nothing);
    for (rules, number) in [
        (Rules::Windows, 3),
        (Rules::Windows, 4),
        (Rules::Posix, 6),
        (Rules::Posix, 18),
    ] {
        let failure = parse(rules, number).unwrap_err();
        assert_eq!(failure.code(), Code::FailedPrecondition);
        assert!(failure.to_string().contains("9 (SIGKILL)"), "{failure}");
    }
}

#[test]
fn how_long_a_reader_is_waited_for_is_read_from_the_options_of_runhcs() {
    let options = |value: &[u8]| {
        let mut any = Any::new();
        any.type_url = "containerd.runhcs.v1.Options".to_owned();
        any.value = value.to_vec();
        any
    };
    // Field 1 is a flag, field 3 a text, field 17 the seconds.
    let all = [0x08, 1, 0x1a, 2, b'o', b'k', 0x88, 0x01, 0xac, 0x02];
    assert_eq!(
        options::retry(Some(&options(&all))).unwrap(),
        Some(Duration::from_mins(5))
    );
    assert_eq!(
        options::retry(Some(&options(&[0x88, 0x01, 0]))).unwrap(),
        None
    );
    assert_eq!(options::retry(None).unwrap(), None);
    for rubbish in [&[0x88_u8, 0x01][..], &[0x1a, 9, 1], &[0x0f], &[0xff; 12]] {
        let failure = options::retry(Some(&options(rubbish))).unwrap_err();
        assert_eq!(failure.code(), Code::InvalidArgument);
    }
}

#[test]
fn the_numbers_of_a_container_of_windows_are_in_its_statistics() {
    let usage = Usage {
        user_nanoseconds: 5,
        kernel_nanoseconds: 7,
        commit_bytes: Some(11),
        commit_peak_bytes: Some(13),
        private_working_set_bytes: Some(17),
        io: Some(IoUsage {
            read_operations: 19,
            read_bytes: 23,
            write_operations: 29,
            write_bytes: 31,
        }),
        ..Usage::default()
    };
    let at = |second| Timestamp::from_second(second).unwrap();
    let windows = stats::windows(&usage, Some(at(100)), at(103));
    assert_eq!(windows.uptime_ns, 3_000_000_000);
    assert_eq!(windows.timestamp.seconds, 103);
    assert_eq!(windows.container_start_time.seconds, 100);
    assert_eq!(windows.processor.total_runtime_ns, 12);
    assert_eq!(windows.processor.runtime_user_ns, 5);
    assert_eq!(windows.processor.runtime_kernel_ns, 7);
    assert_eq!(windows.memory.memory_usage_commit_bytes, 11);
    assert_eq!(windows.memory.memory_usage_commit_peak_bytes, 13);
    assert_eq!(windows.memory.memory_usage_private_working_set_bytes, 17);
    assert_eq!(windows.storage.read_count_normalized, 19);
    assert_eq!(windows.storage.write_size_bytes, 31);
    let put_back = stats::windows(&usage, Some(at(100)), at(90));
    assert_eq!(put_back.uptime_ns, 0);
    let mut statistics = Statistics::new();
    statistics.set_windows(windows);
    assert!(!statistics.write_to_bytes().unwrap().is_empty());
}

#[test]
fn the_details_of_a_process_of_windows_are_written_as_runhcs_reads_them() {
    let process = ProcessInfo {
        pid: 42,
        parent: 1,
        name: "agent.exe".to_owned(),
        created: Timestamp::from_second(100).unwrap(),
        user_nanoseconds: 500,
        kernel_nanoseconds: 700,
        commit_bytes: 11,
        private_working_set_bytes: 13,
        shared_working_set_bytes: 17,
    };
    let any = details::of_runhcs(&process, "probe").unwrap();
    let mut input = CodedInputStream::from_bytes(&any.value);
    let mut read = Vec::new();
    while let Some(tag) = input.read_raw_tag_or_eof().unwrap() {
        read.push(match tag & 7 {
            0 => format!("{}={}", tag >> 3, input.read_uint64().unwrap()),
            _ => format!(
                "{}={}",
                tag >> 3,
                String::from_utf8(input.read_bytes().unwrap()).unwrap()
            ),
        });
    }
    // The time is a message: its first field, 100 seconds.
    let expected = [
        "1=agent.exe",
        "2=\u{8}d",
        "3=7",
        "4=11",
        "5=13",
        "6=17",
        "7=42",
        "8=5",
        "9=probe",
    ];
    assert_eq!(read, expected);
}

#[test]
fn memory_that_is_refused_again_and_again_is_told_once() {
    let mut teller = Teller::new(Id::parse("web").unwrap(), Birth::default());
    let (topic, event) = teller.event(&EventKind::MemoryLimit).unwrap();
    assert_eq!(topic, "/tasks/oom");
    assert_eq!(event.type_url, "containerd.events.TaskOOM");
    assert!(teller.event(&EventKind::MemoryLimit).is_none());
    assert!(teller.event(&EventKind::Paused).is_some());
}
