//! Decoding: real-looking and hostile JSON.

use super::*;

fn error(kind: Kind, text: &str) -> bool {
    Object::decode(&Scope::Kind(kind), text).is_err()
}

#[test]
fn nulls_and_missing_fields_are_empty_values_for_every_kind() {
    for kind in Kind::ALL {
        let bare = json!({"metadata": {"name": "x"}});
        assert_eq!(decode(kind, &bare).name(), "x", "{kind:?}");
        let nulls = json!({
            "metadata": {"name": "x", "namespace": null, "uid": null, "resourceVersion": null, "generation": null,
                "labels": null, "annotations": null, "ownerReferences": null, "creationTimestamp": null,
                "deletionTimestamp": null},
            "spec": null, "status": null, "data": null, "revision": null
        });
        let index = Index::new(None);
        index.apply(Change::Seen(decode(kind, &nulls), Source::List), at(0));
        index.apply(Change::Gone(decode(kind, &nulls)), at(0));
        assert_eq!(index.counts(), Counts::default(), "{kind:?}");
    }
}

#[test]
fn an_object_without_a_name_is_refused() {
    for kind in Kind::ALL {
        for text in [
            "{}",
            "null",
            "[]",
            "7",
            r#"{"metadata":{}}"#,
            r#"{"metadata":null}"#,
            r#"{"metadata":{"name":7}}"#,
        ] {
            assert!(error(kind, text), "{kind:?} {text}");
        }
    }
}

#[test]
fn numbers_beyond_their_range_and_wrong_types_refuse_the_object_and_nothing_panics() {
    for text in [
        r#"{"metadata":{"name":"x"},"status":{"containerStatuses":[{"restartCount":99999999999999999999}]}}"#,
        r#"{"metadata":{"name":"x"},"status":{"containerStatuses":[{"restartCount":-1}]}}"#,
        r#"{"metadata":{"name":"x"},"status":{"containerStatuses":[{"restartCount":1e400}]}}"#,
        r#"{"metadata":{"name":"x"},"status":{"containerStatuses":[{"state":{"terminated":{"exitCode":4294967296}}}]}}"#,
        r#"{"metadata":{"name":"x","generation":99999999999999999999}}"#,
        r#"{"metadata":{"name":"x","labels":["a"]}}"#,
        r#"{"metadata":{"name":"x"},"status":"Running"}"#,
        r#"{"metadata":{"name":"x"}"#,
    ] {
        assert!(error(Kind::Pod, text), "{text}");
    }
}

#[test]
fn restart_counts_at_the_limit_do_not_overflow() {
    let with = |version, count: u32| {
        let mut pod = pod("agent-1", version);
        pod["status"]["containerStatuses"] =
            json!([{"restartCount": count}, {"restartCount": count}]);
        pod
    };
    let bench = Bench::new();
    bench.see(Kind::Pod, &with(1, 0), 0);
    bench.see(Kind::Pod, &with(2, u32::MAX), 1);
    assert_eq!(bench.pod(1).recent_restarts, i32::MAX);
    bench.see(Kind::Pod, &with(3, 0), 2);
    bench.see(Kind::Pod, &with(4, u32::MAX), 3);
    assert_eq!(bench.pod(3).recent_restarts, i32::MAX);
}

#[test]
fn times_that_are_no_times_and_times_out_of_range_count_as_absent() {
    for text in [
        "yesterday",
        "",
        "9999999-01-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
    ] {
        let mut odd = with_ready(pod("agent-1", 1), "True", at(0));
        odd["metadata"]["creationTimestamp"] = json!(text);
        odd["status"]["conditions"][0]["lastTransitionTime"] = json!(text);
        let bench = Bench::new();
        bench.list(Kind::Pod, &[odd], 50);
        assert_eq!(bench.pod(50).ready_since, Some(at(50)), "{text}");
        assert_eq!(bench.pod(50).created, at(50), "{text}");
    }
}

#[test]
fn a_status_that_does_not_fit_counts_as_empty_and_the_spec_is_kept_as_written() {
    let bench = Bench::new();
    let spec = json!({"mode": "Daemon", "unknown": {"z": 1, "a": [null]}, "template": {"spec": {"b": 1.50}}});
    let mut odd = task(UID, 2, &spec);
    odd["status"] = json!({"conditions": "none"});
    bench.see(Kind::Task, &odd, 0);
    let snapshot = bench.index.task(&key("agent")).unwrap();
    assert_eq!(snapshot.status, WindowsHostTaskStatus::default());
    assert_eq!(*snapshot.spec, spec);
    assert_eq!((snapshot.generation, snapshot.created), (2, at(-3600)));
}
