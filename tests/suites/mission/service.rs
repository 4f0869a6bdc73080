//! A service through three versions: the first, a second that takes its place, and a third that fails and goes back.

use std::collections::BTreeSet;

use hosttask_crds::task::WindowsHostTaskStatus;
use hosttask_tests::bed::{Did, condition};
use serde_json::Value;

use crate::bench::{Mission, SOON};
use crate::course::{NODES, of_task};
use crate::orders::{self, AGENT};
use crate::pods::{container, revision, runs, uid};
use crate::transcript::Account;

/// How many processes a version has that works.
const PROCESSES: usize = 3;
/// What the bad version ends with: `ERROR_PROCESS_ABORTED`.
const ABORTED: i32 = 1067;

/// All three versions: the accounts of the second, and of the third and what follows.
pub(crate) async fn serve(mission: &Mission) -> [Account; 2] {
    mission.apply(&orders::agent("1.0")).await;
    let first = complete(mission, None).await;
    let old = mission.pod(AGENT, "version 1.0 running", runs).await;
    let rolled = roll(mission, &old, &first).await;
    let good = rolled.pods[1].clone();
    let back = roll_back(mission, &good).await;
    [rolled, back]
}

/// The second version takes the place of the first: another job object on the real node, and the first one gone.
async fn roll(mission: &Mission, old: &Value, first: &WindowsHostTaskStatus) -> Account {
    let mut job = mission.job(&container(old), PROCESSES).await;
    let task = orders::agent("2.0");
    mission.apply(&task).await;
    let status = complete(mission, first.update_revision.as_deref()).await;
    let another = |it: &Value| runs(it) && uid(it) != uid(old);
    let new = mission.pod(AGENT, "version 2.0 running", another).await;
    assert_eq!(Some(revision(&new)), status.stable_revision.as_deref());
    job.push(mission.gone(&container(old)).await);
    job.extend(mission.job(&container(&new), PROCESSES).await);
    let pods = vec![old.clone(), new];
    let status = vec![of_task(AGENT, &status)];
    mission.account(task, pods, job, status)
}

/// The third version ends as soon as it starts: the second comes back, and no other node ever had the third.
async fn roll_back(mission: &Mission, good: &Value) -> Account {
    let stable = revision(good).to_owned();
    let task = orders::bad_agent();
    mission.apply(&task).await;
    let status = mission
        .tasks
        .wait(AGENT, "to be rolled back", SOON, |status| {
            let ready = condition(status, "Ready");
            ready.is_some_and(|it| it.reason == "RolledBack")
                && status.healthy_nodes == i32::try_from(NODES).ok()
        })
        .await
        .unwrap();
    let failed = status.failed_revision.clone().unwrap();
    assert_eq!(status.stable_revision.as_ref(), Some(&stable));
    let blamed = &status.failures[0];
    assert_eq!(blamed.node, mission.node.name());
    assert_eq!(
        (blamed.revision.as_str(), blamed.exit_code),
        (failed.as_str(), Some(ABORTED))
    );
    let ended = |it: &Value| {
        let last = &it["status"]["containerStatuses"][0]["lastState"]["terminated"];
        revision(it) == failed && last["exitCode"] == ABORTED
    };
    let bad = mission.pod(AGENT, "version 3.0 ended", ended).await;
    let returned = |it: &Value| runs(it) && revision(it) == stable && uid(it) != uid(good);
    let back = mission.pod(AGENT, "version 2.0 back", returned).await;
    let mut job = vec![mission.gone(&container(good)).await];
    job.extend(mission.job(&container(&back), PROCESSES).await);

    let revisions = mission.journal.revisions(AGENT);
    assert_eq!(revisions.len(), NODES, "{revisions:?}");
    assert!(revisions.values().all(|it| *it == stable), "{revisions:?}");
    let moments = mission.journal.moments();
    let had_it: BTreeSet<&str> = moments
        .iter()
        .filter(|it| it.task == AGENT && it.did == Did::Appear && it.revision == failed)
        .map(|it| it.node.as_str())
        .collect();
    assert_eq!(had_it, BTreeSet::from([mission.node.name()]));
    let pods = vec![good.clone(), bad, back];
    let status = vec![of_task(AGENT, &status)];
    mission.account(task, pods, job, status)
}

/// Waits until all nodes run another revision than `before`.
async fn complete(mission: &Mission, before: Option<&str>) -> WindowsHostTaskStatus {
    let status = mission
        .tasks
        .wait(AGENT, "to be rolled out", SOON, |status| {
            let ready = condition(status, "Ready");
            ready.is_some_and(|it| it.status == "True" && it.reason == "RolloutComplete")
                && status.stable_revision == status.update_revision
                && status.update_revision.as_deref() != before
        })
        .await
        .unwrap();
    assert_eq!(status.healthy_nodes, i32::try_from(NODES).ok());
    status
}
