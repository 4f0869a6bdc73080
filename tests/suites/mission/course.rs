//! The course of the mission: what is done, and what has to be true after each step.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::join;
use hosttask_crds::node::{LedgerEntry, LedgerState, WindowsHostNode, WindowsHostNodeStatus};
use hosttask_tests::bed::Did;
use hosttask_tests::poll;
use kube::Api;
use serde_json::Value;

use crate::bench::{Mission, SOON};
use crate::look::programs;
use crate::orders::{self, BROKEN, COMPLAINT, GO_FAIL, GO_INSTALL, GRACE, INSTALLED, INSTALLER};
use crate::orders::{AGENT, STUBBORN};
use crate::pods::{code, container, failed_with, runs, uid};
use crate::service;
use crate::transcript::{Account, yaml};

/// The nodes of every task.
pub(crate) const NODES: usize = 12;

/// All steps, side by side where they do not disturb each other, and what was seen in each.
pub(crate) async fn run(mission: &Mission) -> Vec<Account> {
    let (installed, failed, served, stopped) = join!(
        install(mission),
        fail(mission),
        service::serve(mission),
        stop(mission)
    );
    let [rolled, back] = served;
    let serving = back.pods.last().cloned().unwrap();
    let again = install_again(mission, &serving).await;
    vec![installed, failed, rolled, back, stopped, again]
}

/// An installer that exits with 3010: done, and a reboot is due.
async fn install(mission: &Mission) -> Account {
    let task = orders::installer();
    mission.apply(&task).await;
    let pod = mission.pod(INSTALLER, "running", runs).await;
    let job = mission.job(&container(&pod), 1).await;
    assert!(!mission.has(&INSTALLED));
    mission.release(&GO_INSTALL);
    let status = mission
        .settled(INSTALLER, "True", "AllNodesSucceeded")
        .await;
    assert_eq!(status.healthy_nodes, i32::try_from(NODES).ok());
    let ledger = ledger(mission).await;
    assert_eq!(ledger.len(), NODES, "{ledger:?}");
    assert!(ledger.values().all(wants_reboot), "{ledger:?}");
    assert!(mission.has(&INSTALLED));
    let node = wait_for_node(mission, |status| status.reboot_required == Some(true)).await;
    let ended = |pod: &Value| failed_with(pod, 3010);
    let pods = vec![mission.pod(INSTALLER, "ended with 3010", ended).await];
    let status = vec![of_task(INSTALLER, &status), of_node(mission, &node)];
    mission.account(task, pods, job, status)
}

/// An installer that exits with 1603, twice: the node is blamed.
async fn fail(mission: &Mission) -> Account {
    let task = orders::broken_installer();
    mission.apply(&task).await;
    let pod = mission.pod(BROKEN, "running", runs).await;
    let job = mission.job(&container(&pod), 1).await;
    mission.release(&GO_FAIL);
    let status = mission.settled(BROKEN, "False", "Degraded").await;
    assert_eq!(
        (status.healthy_nodes, status.failed_nodes),
        (Some(11), Some(1))
    );
    assert_eq!(status.failures.len(), 1, "{status:?}");
    let blamed = &status.failures[0];
    assert_eq!(blamed.node, mission.node.name());
    assert_eq!(
        (blamed.reason.as_str(), blamed.exit_code, blamed.attempts),
        ("ExitCode", Some(1603), Some(2))
    );
    let message = blamed.message.as_deref().unwrap();
    assert!(message.contains(COMPLAINT), "{message}");
    let first = |it: &Value| failed_with(it, 1603) && uid(it) == uid(&pod);
    let second = |it: &Value| failed_with(it, 1603) && uid(it) != uid(&pod);
    let pods = vec![
        mission.pod(BROKEN, "the first to end", first).await,
        mission.pod(BROKEN, "the second to end", second).await,
    ];
    let status = vec![of_task(BROKEN, &status)];
    mission.account(task, pods, job, status)
}

/// A task is deleted while none of its processes listens: they have the whole grace period, and then all end.
async fn stop(mission: &Mission) -> Account {
    let task = orders::stubborn();
    mission.apply(&task).await;
    let status = mission.settled(STUBBORN, "True", "RolloutComplete").await;
    let pod = mission.pod(STUBBORN, "running", runs).await;
    let id = container(&pod);
    let mut job = mission.job(&id, 3).await;
    assert_eq!(programs(&id).len(), 3);
    let asked = Instant::now();
    mission.tasks.delete(STUBBORN).await.unwrap();
    poll::until("the processes to be gone", SOON, || async {
        match programs(&id) {
            none if none.is_empty() => Ok(()),
            some => Err(format!("{some:?}")),
        }
    })
    .await
    .unwrap();
    let after = asked.elapsed();
    assert!(after.as_secs() >= GRACE, "{after:?}");
    job.push(mission.gone(&id).await);
    let left = poll::until("the task and all its pods to be gone", SOON, || async {
        let task = mission.tasks.api().get_opt(STUBBORN).await;
        let pods = mission.tasks.pods(STUBBORN).await;
        match (task, pods) {
            (Ok(None), Ok(pods)) if pods.is_empty() => Ok("gone".to_owned()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    let end = |it: &Value| it["metadata"]["deletionTimestamp"].is_string() && code(it).is_some();
    let pods = vec![mission.pod(STUBBORN, "ended", end).await];
    let status = vec![
        of_task(STUBBORN, &status),
        ("The task, after its deletion".to_owned(), left),
    ];
    mission.account(task, pods, job, status)
}

/// The machine gets another image of Windows: what was installed is away, and is installed again, there and nowhere else. The pod
/// that served before serves again, in a new container.
async fn install_again(mission: &Mission, serving: &Value) -> Account {
    let before = ledger(mission).await;
    let known = wait_for_node(mission, |status| status.system_uuid.is_some()).await;
    let first = mission
        .pod(INSTALLER, "ended", |it| failed_with(it, 3010))
        .await;
    let mark = mission.journal.mark();
    mission.tasks.delete(BROKEN).await.unwrap();
    mission.wipe(&GO_INSTALL);
    mission.wipe(&INSTALLED);
    mission.node.reimage().await.unwrap();
    let again = |it: &Value| runs(it) && uid(it) != uid(&first);
    let pod = mission.pod(INSTALLER, "running again", again).await;
    let job = mission.job(&container(&pod), 1).await;
    mission.release(&GO_INSTALL);
    let ended = |it: &Value| uid(it) == uid(&pod) && failed_with(it, 3010);
    let pods = vec![mission.pod(INSTALLER, "ended again", ended).await];
    let node = wait_for_node(mission, |status| {
        status.system_uuid != known.system_uuid && status.reboot_required == Some(true)
    })
    .await;
    let status = mission
        .settled(INSTALLER, "True", "AllNodesSucceeded")
        .await;
    assert!(mission.has(&INSTALLED));
    let mut after = ledger(mission).await;
    let entry = after.insert(
        mission.node.name().to_owned(),
        before[mission.node.name()].clone(),
    );
    assert!(entry.as_ref().is_some_and(wants_reboot), "{entry:?}");
    assert_eq!(after, before, "the entries of the other nodes");
    let moments = mission.journal.moments();
    let made = moments[mark..]
        .iter()
        .filter(|it| it.task == INSTALLER && it.did == Did::Appear);
    assert_eq!(made.count(), 1, "one node runs it again");
    let anew =
        |it: &Value| runs(it) && uid(it) == uid(serving) && container(it) != container(serving);
    mission.pod(AGENT, "running in a new container", anew).await;
    let status = vec![of_task(INSTALLER, &status), of_node(mission, &node)];
    mission.account(orders::installer(), pods, job, status)
}

fn wants_reboot(entry: &LedgerEntry) -> bool {
    entry.state == LedgerState::RebootPending && entry.exit_code == Some(3010)
}

/// What each node's ledger has about the installer.
async fn ledger(mission: &Mission) -> BTreeMap<String, LedgerEntry> {
    mission.tasks.ledger(INSTALLER).await.unwrap()
}

/// Waits until the ledger of the real node is as wanted.
async fn wait_for_node(
    mission: &Mission,
    wanted: impl Fn(&WindowsHostNodeStatus) -> bool,
) -> WindowsHostNodeStatus {
    let nodes = Api::<WindowsHostNode>::all(mission.bed.client());
    poll::until("the ledger of the real node", SOON, || async {
        let node = nodes.get(mission.node.name()).await;
        let status = node.map_err(|error| error.to_string())?.status;
        let status = status.unwrap_or_default();
        if wanted(&status) {
            Ok(status)
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await
    .unwrap()
}

/// The status of a task, for the transcript.
pub(crate) fn of_task(task: &str, status: &impl serde::Serialize) -> (String, String) {
    (format!("WindowsHostTask {task}"), yaml(status))
}

/// The ledger of the real node, for the transcript.
fn of_node(mission: &Mission, status: &WindowsHostNodeStatus) -> (String, String) {
    let name = mission.node.name();
    (format!("WindowsHostNode {name}"), yaml(status))
}
