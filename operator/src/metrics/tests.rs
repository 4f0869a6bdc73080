//! The metrics as a scrape sees them, and the reference page that is made from them.

use super::*;
use crate::client::Meter as _;
use crate::client::route::Route;
use crate::queue::driver::Meter as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition as StatusCondition;
use std::fmt::Write as _;
use std::path::Path;

fn key() -> TaskKey {
    TaskKey {
        namespace: "monitoring".into(),
        name: "exporter".into(),
    }
}

fn pods(errors: u64) -> KindHealth {
    KindHealth {
        kind: "Pod",
        age: Some(Duration::from_secs(7)),
        errors,
        lists: 1,
        undecodable: 0,
    }
}

fn everything() -> Metrics {
    let metrics = Metrics::new("api:6443".into());
    let route = Route::of(
        &http::Method::POST,
        &"/apis/batch/v1/namespaces/a/jobs".parse().unwrap(),
    );
    metrics.set_workers(4);
    metrics.passed(Passed::Error(Cause::Panic), Duration::from_millis(30));
    metrics.set_leader("hosttask-operator", true);
    metrics.set_queue(QueueGauge {
        depth: 3,
        running: 1,
        ..QueueGauge::default()
    });
    metrics.set_tracked("Pod", 12);
    metrics.set_watch(&pods(2));
    metrics.answered(&route, "POST", Some(201));
    metrics.answered(&route, "POST", None);
    metrics.wrote(&route);
    metrics.added();
    metrics.taken(Duration::from_millis(1));
    metrics.finished(Duration::from_millis(1), true);
    let ready: StatusCondition = serde_json::from_value(serde_json::json!({
        "type": "Ready", "status": "True", "reason": "RolloutComplete", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }))
    .unwrap();
    let status = WindowsHostTaskStatus {
        desired_nodes: Some(5),
        conditions: vec![ready],
        ..WindowsHostTaskStatus::default()
    };
    metrics.set_task(&key(), &status);
    metrics
}

#[test]
fn a_scrape_holds_what_was_counted() {
    let text = everything().render();
    for line in [
        r#"controller_runtime_reconcile_total{controller="windowshosttask",result="error"} 1"#,
        r#"controller_runtime_reconcile_panics_total{controller="windowshosttask"} 1"#,
        r#"hosttask_reconcile_failures_total{controller="windowshosttask",cause="Panic"} 1"#,
        r#"workqueue_depth{name="windowshosttask",controller="windowshosttask"} 3"#,
        r#"rest_client_requests_total{code="201",method="POST",host="api:6443"} 1"#,
        r#"rest_client_requests_total{code="<error>",method="POST",host="api:6443"} 1"#,
        r#"hosttask_api_writes_total{verb="create",resource="jobs"} 1"#,
        r#"leader_election_master_status{name="hosttask-operator"} 1"#,
        r#"hosttask_nodes{namespace="monitoring",name="exporter",state="desired"} 5"#,
        r#"hosttask_status_condition{namespace="monitoring",name="exporter",type="Ready",status="True"} 1"#,
        r#"hosttask_status_condition{namespace="monitoring",name="exporter",type="Ready",status="False"} 0"#,
        r#"hosttask_tracked_objects{kind="Pod"} 12"#,
        r#"hosttask_watch_last_event_age_seconds{kind="Pod"} 7.0"#,
        r#"hosttask_watch_errors_total{kind="Pod"} 2"#,
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "missing: {line}\nin:\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn the_series_of_a_task_end_with_it() {
    let metrics = everything();
    metrics.forget_task(&key());
    assert!(
        !metrics.render().contains("exporter"),
        "{}",
        metrics.render()
    );
}

#[test]
fn errors_of_a_watch_are_counted_once_however_often_they_are_scraped() {
    let metrics = everything();
    metrics.set_watch(&pods(2));
    metrics.set_watch(&KindHealth {
        age: None,
        ..pods(5)
    });
    assert!(
        metrics
            .render()
            .contains("hosttask_watch_errors_total{kind=\"Pod\"} 5\n")
    );
    assert!(
        !metrics.render().contains("age_seconds{"),
        "nothing is watched any more"
    );
}

/// Every metric that was described is scraped once it has a value, with exactly the labels described.
#[test]
fn the_reference_page_lists_every_metric_with_its_labels() {
    let metrics = everything();
    metrics.passed(Passed::RequeueAfter, Duration::ZERO);
    let text = metrics.render();
    let mut page = String::from(
        "# Metrics\n\nThe operator serves these at `/metrics` of `--metrics-bind-address`, in the OpenMetrics format. The names \
         that do not begin with\n`hosttask_` are those of controller-runtime, client-go and the Prometheus client libraries, so \
         that existing dashboards work. No label\nholds a node's name or an error's text. This page is made from the code: \
         `UPDATE_GOLDEN=1 cargo test -p hosttask-operator reference_page`.\n\n| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n",
    );
    for metric in metrics.descriptions() {
        let first = text.lines().find(|line| {
            line.strip_prefix(metric.name.as_str())
                .is_some_and(|rest| rest.starts_with(['{', ' ', '_']))
        });
        let line = first.unwrap_or_else(|| panic!("{} is never scraped", metric.name));
        for label in metric.labels {
            assert!(
                line.contains(&format!("{label}=\"")),
                "{} lacks {label}: {line}",
                metric.name
            );
        }
        assert_eq!(
            line.matches("=\"").count() - line.matches(",le=\"").count(),
            metric.labels.len(),
            "{line}"
        );
        let labels: Vec<_> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            metric.name,
            metric.kind,
            labels.join(", "),
            metric.help
        )
        .unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        stored,
        page,
        "run with UPDATE_GOLDEN=1 to rewrite {}",
        path.display()
    );
}
