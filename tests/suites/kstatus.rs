//! What Flux and Helm 4 read: the real kstatus library on our tasks in every state of the table of conditions.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the scenario"
)]

use std::time::Duration;

use hosttask_tests::bed::{
    BedOptions, OperatorOptions, OperatorProcess, Tasks, TestBed, daemon, image, run_once,
    scenario, with,
};
use hosttask_tests::fleet::{FleetOptions, Script};
use hosttask_tests::poll;
use serde_json::{Value, json};

/// How long a step of a scenario may take on a slow machine.
const SOON: Duration = Duration::from_mins(2);

const SCRIPT: &str = r#"
rules:
- { image: "*:crash", behaviour: { crashLoop: { code: 1 } } }
- { image: "*:missing", behaviour: { image: Missing } }
- { image: "*:exit-1603", behaviour: { exit: { code: 1603 } } }
- { image: "*:v2", behaviour: { startSeconds: 2 } }
"#;

/// What kstatus says of a task now.
async fn reads(bed: &TestBed, tasks: &Tasks, name: &str) -> String {
    let object = serde_json::to_value(tasks.api().get(name).await.unwrap()).unwrap();
    bed.cluster.kstatus(&object).await.unwrap().status
}

/// Follows a task until kstatus says `last`, and returns every different answer on the way.
async fn answers(bed: &TestBed, tasks: &Tasks, name: &str, last: &str) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let seen_so_far = std::sync::Mutex::new(&mut seen);
    poll::until(&format!("kstatus {last}"), SOON, || async {
        let now = reads(bed, tasks, name).await;
        let mut seen = seen_so_far.lock().unwrap();
        if seen.last() != Some(&now) {
            seen.push(now.clone());
        }
        if now == last {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    })
    .await
    .unwrap();
    seen
}

fn patch(spec: &Value) -> Value {
    json!({ "spec": spec })
}

#[test]
fn kstatus_reads_every_state_as_the_table_says() {
    scenario(async {
        let fleet = FleetOptions {
            nodes: 3,
            script: Script::parse(SCRIPT).unwrap(),
            ..FleetOptions::default()
        };
        let bed = TestBed::start(BedOptions {
            fleet,
            ..BedOptions::default()
        })
        .await
        .unwrap();
        let tasks = bed.namespace("kstatus").await.unwrap();

        let operator = rolls_out(&bed, &tasks).await;
        is_held(&bed, &tasks).await;
        stays_done(&bed, &tasks).await;
        fails(&bed, &tasks).await;
        ends(&bed, &tasks).await;
        drop(operator);
    });
}

/// From the very first moment to the first completed rollout, and through the next one.
async fn rolls_out(bed: &TestBed, tasks: &Tasks) -> OperatorProcess {
    // Not yet seen: no operator runs. Without the schema's default this would read as Current.
    tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
    tasks.apply(&run_once("install", "setup:v1")).await.unwrap();
    assert_eq!(reads(bed, tasks, "agent").await, "InProgress");

    let operator = OperatorProcess::start(&bed.cluster, OperatorOptions::default())
        .await
        .unwrap();
    operator.ready().await.unwrap();
    // Never Current before it is true, and never Failed on the way.
    assert_eq!(
        answers(bed, tasks, "agent", "Current").await,
        ["InProgress", "Current"]
    );
    assert_eq!(tasks.status("agent").await.unwrap().healthy_nodes, Some(3));
    tasks
        .wait_ready("install", "True", "AllNodesSucceeded", SOON)
        .await
        .unwrap();
    assert_eq!(reads(bed, tasks, "install").await, "Current");

    // Rolling; from the very moment of the change.
    tasks.change("agent", &image("app:v2")).await.unwrap();
    assert_eq!(reads(bed, tasks, "agent").await, "InProgress");
    tasks
        .wait_ready("agent", "False", "RollingOut", SOON)
        .await
        .unwrap();
    assert_eq!(reads(bed, tasks, "agent").await, "InProgress");
    assert_eq!(
        answers(bed, tasks, "agent", "Current")
            .await
            .last()
            .unwrap(),
        "Current"
    );

    operator
}

/// Paused half-way, and suspended.
async fn is_held(bed: &TestBed, tasks: &Tasks) {
    tasks
        .change(
            "agent",
            &with(
                image("app:v3"),
                &patch(&json!({ "rollout": { "paused": true } })),
            ),
        )
        .await
        .unwrap();
    tasks
        .wait_ready("agent", "Unknown", "Paused", SOON)
        .await
        .unwrap();
    assert_eq!(reads(bed, tasks, "agent").await, "InProgress");
    tasks
        .change(
            "agent",
            &patch(&json!({ "suspend": true, "rollout": { "paused": false } })),
        )
        .await
        .unwrap();
    tasks
        .wait_ready("agent", "Unknown", "Suspended", SOON)
        .await
        .unwrap();
    assert_eq!(reads(bed, tasks, "agent").await, "InProgress");
    tasks
        .change("agent", &patch(&json!({ "suspend": false })))
        .await
        .unwrap();
    tasks
        .wait_ready("agent", "True", "RolloutComplete", SOON)
        .await
        .unwrap();
}

/// Done, and a node comes and goes.
async fn stays_done(bed: &TestBed, tasks: &Tasks) {
    let joined = bed.fleet.add_nodes(1).await.unwrap();
    tasks
        .wait("agent", "the node to be served", SOON, |s| {
            s.healthy_nodes == Some(4)
        })
        .await
        .unwrap();
    assert_eq!(reads(bed, tasks, "agent").await, "Current");
    bed.fleet.remove_node(&joined[0]).await.unwrap();
    tasks
        .wait("agent", "the node to be forgotten", SOON, |s| {
            s.desired_nodes == Some(3)
        })
        .await
        .unwrap();
    assert_eq!(reads(bed, tasks, "agent").await, "Current");
}

/// Failed in every way.
async fn fails(bed: &TestBed, tasks: &Tasks) {
    tasks
        .apply(&with(
            daemon("degraded", "app:crash"),
            &patch(&json!({ "rollout": { "maxUnavailable": "100%" } })),
        ))
        .await
        .unwrap();
    tasks
        .wait_ready("degraded", "False", "Degraded", SOON)
        .await
        .unwrap();
    assert_eq!(reads(bed, tasks, "degraded").await, "Failed");
    tasks
        .apply(&with(
            run_once("failed", "setup:exit-1603"),
            &patch(&json!({ "job": { "retry": { "limit": 0 } } })),
        ))
        .await
        .unwrap();
    tasks
        .wait_ready("failed", "False", "Degraded", SOON)
        .await
        .unwrap();
    assert_eq!(reads(bed, tasks, "failed").await, "Failed");
    tasks
        .apply(&with(
            daemon("stuck", "app:missing"),
            &patch(&json!({ "rollout": { "progressDeadlineSeconds": 2 } })),
        ))
        .await
        .unwrap();
    tasks
        .wait_ready("stuck", "False", "ProgressDeadlineExceeded", SOON)
        .await
        .unwrap();
    assert_eq!(reads(bed, tasks, "stuck").await, "Failed");
    let invalid = patch(
        &json!({ "template": { "spec": { "containers": [{ "name": "main", "image": "a", "volumeMounts": [{ "name": "x", "mountPath": "/x" }] }] } } }),
    );
    tasks
        .apply(&with(daemon("invalid", "app:v1"), &invalid))
        .await
        .unwrap();
    tasks
        .wait_ready("invalid", "False", "InvalidSpec", SOON)
        .await
        .unwrap();
    assert_eq!(reads(bed, tasks, "invalid").await, "Failed");
    let denied = bed
        .namespace_with_level("kstatus-baseline", "baseline")
        .await
        .unwrap();
    denied.apply(&daemon("agent", "app:v1")).await.unwrap();
    denied
        .wait_ready("agent", "False", "PodSecurityDenied", SOON)
        .await
        .unwrap();
    assert_eq!(reads(bed, &denied, "agent").await, "Failed");
}

/// Nothing to do, and being deleted.
async fn ends(bed: &TestBed, tasks: &Tasks) {
    // No node to run on is not a failure.
    let nowhere =
        patch(&json!({ "placement": { "nodeSelector": { "matchLabels": { "pool": "none" } } } }));
    tasks
        .apply(&with(daemon("nowhere", "app:v1"), &nowhere))
        .await
        .unwrap();
    tasks
        .wait_ready("nowhere", "True", "NoMatchingNodes", SOON)
        .await
        .unwrap();
    assert_eq!(reads(bed, tasks, "nowhere").await, "Current");

    // Being deleted: held by a finalizer of ours so that it can be looked at.
    tasks
        .change(
            "agent",
            &json!({ "metadata": { "finalizers": ["example.com/hold"] } }),
        )
        .await
        .unwrap();
    tasks.delete("agent").await.unwrap();
    assert_eq!(reads(bed, tasks, "agent").await, "Terminating");
    tasks
        .change("agent", &json!({ "metadata": { "finalizers": null } }))
        .await
        .unwrap();
}
