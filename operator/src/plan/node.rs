//! `plan_node`: what to write into the ledger object of one Windows node. Pure.
//!
//! Longer than 400 lines: more than half of it are tests.

use std::collections::BTreeSet;

use hosttask_crds::node::{LedgerEntry, LedgerState, WindowsHostNodeStatus};
use serde::Serialize;

use crate::observed::NodeView;

/// Everything one pass over the ledger of a node may decide on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeObserved {
    /// The node; none when it is gone (Kubernetes then collects the ledger object with its owner).
    pub node: Option<LedgerNode>,
    /// The ledger object; none when there is none yet.
    pub ledger: Option<LedgerView>,
    /// Results that wait to be written.
    pub pending: Vec<LedgerEntry>,
    /// The UIDs of all tasks that exist. Entries of other tasks are dropped.
    pub live_tasks: BTreeSet<String>,
}

/// A Windows node, as far as its ledger needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerNode {
    /// The node.
    pub view: NodeView,
    /// Its `node.kubernetes.io/windows-build` label.
    pub windows_build: Option<String>,
}

/// The ledger object of a node. It has the node's name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LedgerView {
    /// Its UID.
    pub uid: String,
    /// Its resource version, for the write precondition.
    pub resource_version: String,
    /// The UID of the Node that owns it; none when nobody does.
    pub owner_uid: Option<String>,
    /// What it records.
    pub status: WindowsHostNodeStatus,
}

/// One write to a ledger object. A pass plans at most one: each changes the resource version the next one needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum NodeAction {
    /// Create the ledger object, owned by the node. Its status is written once it exists.
    Create {
        /// The node's name, which is the object's.
        name: String,
        /// The UID of the Node, for the owner reference.
        node_uid: String,
    },
    /// Make the Node that has the name now the owner.
    SetOwner {
        /// The object's name.
        name: String,
        /// Its UID, as precondition.
        uid: String,
        /// Its resource version, as precondition.
        resource_version: String,
        /// The UID of the Node.
        node_uid: String,
    },
    /// Replace the status.
    WriteStatus {
        /// The object's name.
        name: String,
        /// Its UID, as precondition.
        uid: String,
        /// Its resource version, as precondition.
        resource_version: String,
        /// The new status.
        status: Box<WindowsHostNodeStatus>,
    },
}

/// Whether the entries of a ledger say nothing about `node`, because it is another machine: its system UUID differs or,
/// where one of them is unknown, its Node object does. A Node object that was deleted and registered again by the same
/// machine keeps its entries.
pub fn is_void(ledger: &WindowsHostNodeStatus, node: &NodeView) -> bool {
    let recorded = ledger.system_uuid.as_deref().unwrap_or_default();
    if recorded.is_empty() || node.system_uuid.is_empty() {
        return ledger.node_uid.as_ref().is_some_and(|uid| *uid != node.uid);
    }
    recorded != node.system_uuid
}

/// Whether an entry of a ledger says anything about `node`: that is the same machine, or the task does not mind.
pub fn counts(entry: &LedgerEntry, ledger: &WindowsHostNodeStatus, node: &NodeView) -> bool {
    entry.survives_reimage == Some(true) || !is_void(ledger, node)
}

/// Whether `entry` tells what `result` does, or what came after it.
pub fn shows(entry: &LedgerEntry, result: &LedgerEntry) -> bool {
    let run = |entry: &LedgerEntry| {
        (
            entry.scheduled_time.as_ref().map(|time| time.0),
            entry.attempts,
            entry.earlier_attempts,
        )
    };
    let (known, new) = (run(entry), run(result));
    if new.0.is_some() && known.0 != new.0 {
        return known.0 > new.0;
    }
    entry.revision == result.revision && known >= new
}

/// What to write into the ledger object of one node. Nothing is created before there is a result to record, and nothing
/// is written that would not change the object.
pub fn plan_node(observed: &NodeObserved) -> Vec<NodeAction> {
    let Some(node) = &observed.node else {
        return Vec::new();
    };
    let name = node.view.name.clone();
    let node_uid = node.view.uid.clone();
    let Some(ledger) = &observed.ledger else {
        let worth = observed
            .pending
            .iter()
            .any(|entry| observed.live_tasks.contains(&entry.task_uid));
        return if worth {
            vec![NodeAction::Create { name, node_uid }]
        } else {
            Vec::new()
        };
    };
    let (uid, resource_version) = (ledger.uid.clone(), ledger.resource_version.clone());
    if ledger.owner_uid.as_ref() != Some(&node_uid) {
        return vec![NodeAction::SetOwner {
            name,
            uid,
            resource_version,
            node_uid,
        }];
    }
    let status = record(&ledger.status, node, observed);
    if status == ledger.status {
        return Vec::new();
    }
    vec![NodeAction::WriteStatus {
        name,
        uid,
        resource_version,
        status: Box::new(status),
    }]
}

fn record(
    ledger: &WindowsHostNodeStatus,
    node: &LedgerNode,
    observed: &NodeObserved,
) -> WindowsHostNodeStatus {
    let mut tasks = ledger.tasks.clone();
    tasks.retain(|entry| counts(entry, ledger, &node.view));
    for entry in &observed.pending {
        let mut known = tasks.iter();
        if known.any(|old| old.task_uid == entry.task_uid && shows(old, entry)) {
            continue;
        }
        tasks.retain(|old| old.task_uid != entry.task_uid);
        tasks.push(entry.clone());
    }
    tasks.retain(|entry| observed.live_tasks.contains(&entry.task_uid));
    tasks.sort_by(|a, b| (&a.task, &a.task_uid).cmp(&(&b.task, &b.task_uid)));
    for entry in &mut tasks {
        let rebooted =
            !node.view.boot_id.is_empty() && entry.boot_id.as_ref() != Some(&node.view.boot_id);
        if entry.state == LedgerState::RebootPending && rebooted {
            entry.state = LedgerState::Succeeded;
            entry.boot_id = None;
        }
    }
    let count = |states: &[LedgerState]| {
        let found = tasks
            .iter()
            .filter(|entry| states.contains(&entry.state))
            .count();
        Some(i32::try_from(found).unwrap_or(i32::MAX))
    };
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    WindowsHostNodeStatus {
        node_uid: known(&node.view.uid),
        system_uuid: known(&node.view.system_uuid),
        boot_id: known(&node.view.boot_id),
        windows_build: node.windows_build.clone(),
        reboot_required: Some(
            tasks
                .iter()
                .any(|entry| entry.state == LedgerState::RebootPending),
        ),
        succeeded_tasks: count(&[LedgerState::Succeeded, LedgerState::RebootPending]),
        failed_tasks: count(&[LedgerState::Failed]),
        tasks,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn entry(task: &str, state: LedgerState) -> LedgerEntry {
        LedgerEntry {
            task: format!("ns/{task}"),
            task_uid: format!("uid-{task}"),
            revision: "r1".into(),
            state,
            attempts: 1,
            exit_code: None,
            reason: None,
            message: None,
            start_time: None,
            completion_time: None,
            next_retry_time: None,
            boot_id: None,
            earlier_attempts: None,
            scheduled_time: None,
            survives_reimage: None,
        }
    }

    /// A node whose ledger is up to date and holds `tasks`.
    fn settled(tasks: Vec<LedgerEntry>) -> NodeObserved {
        let view = NodeView {
            name: "win-1".into(),
            uid: "node-1".into(),
            system_uuid: "machine-1".into(),
            boot_id: "boot-1".into(),
            ..NodeView::default()
        };
        let node = LedgerNode {
            view,
            windows_build: Some("10.0.20348".into()),
        };
        let live_tasks = ["uid-a", "uid-b"].map(String::from).into();
        let mut observed = NodeObserved {
            node: Some(node.clone()),
            ledger: None,
            pending: tasks,
            live_tasks,
        };
        let status = record(&WindowsHostNodeStatus::default(), &node, &observed);
        observed.pending.clear();
        observed.ledger = Some(LedgerView {
            uid: "ledger-1".into(),
            resource_version: "7".into(),
            owner_uid: Some("node-1".into()),
            status,
        });
        observed
    }

    fn written(observed: &NodeObserved) -> WindowsHostNodeStatus {
        match plan_node(observed).as_slice() {
            [NodeAction::WriteStatus { status, .. }] => (**status).clone(),
            other => panic!("expected one status write, got {other:?}"),
        }
    }

    #[test]
    fn a_settled_ledger_is_not_written() {
        let mut pending = entry("a", LedgerState::RebootPending);
        pending.boot_id = Some("boot-1".into());
        assert_eq!(
            plan_node(&settled(vec![pending, entry("b", LedgerState::Failed)])),
            []
        );
    }

    #[test]
    fn a_ledger_is_created_with_the_first_result_and_not_before() {
        let mut observed = NodeObserved {
            ledger: None,
            ..settled(Vec::new())
        };
        assert_eq!(plan_node(&observed), []);
        observed.pending = vec![entry("gone", LedgerState::Succeeded)];
        assert_eq!(plan_node(&observed), [], "the task is gone");
        observed.pending = vec![entry("a", LedgerState::Succeeded)];
        let created = NodeAction::Create {
            name: "win-1".into(),
            node_uid: "node-1".into(),
        };
        assert_eq!(plan_node(&observed), [created]);
    }

    #[test]
    fn a_result_replaces_the_older_entry_of_its_task_only() {
        let mut observed = settled(vec![
            entry("a", LedgerState::Failed),
            entry("b", LedgerState::Failed),
        ]);
        observed.pending = vec![LedgerEntry {
            attempts: 2,
            ..entry("a", LedgerState::Succeeded)
        }];
        let status = written(&observed);
        assert_eq!(
            status
                .tasks
                .iter()
                .map(|e| (e.state, e.attempts))
                .collect::<Vec<_>>(),
            [(LedgerState::Succeeded, 2), (LedgerState::Failed, 1)]
        );
        assert_eq!(
            (status.succeeded_tasks, status.failed_tasks),
            (Some(1), Some(1))
        );
    }

    #[test]
    fn an_earlier_attempt_never_replaces_a_later_one() {
        let mut observed = settled(vec![LedgerEntry {
            attempts: 3,
            ..entry("a", LedgerState::Succeeded)
        }]);
        observed.pending = vec![entry("a", LedgerState::Failed)];
        assert_eq!(plan_node(&observed), []);
    }

    #[test]
    fn a_reboot_is_outstanding_until_the_boot_id_differs() {
        let mut asked = entry("a", LedgerState::RebootPending);
        asked.boot_id = Some("boot-1".into());
        let mut observed = settled(vec![asked]);
        let ledger = observed.ledger.clone().unwrap();
        assert_eq!(ledger.status.reboot_required, Some(true));
        assert_eq!(plan_node(&observed), []);
        observed.node.as_mut().unwrap().view.boot_id = "boot-2".into();
        let status = written(&observed);
        assert_eq!(
            (status.reboot_required, status.tasks[0].state),
            (Some(false), LedgerState::Succeeded)
        );
        assert_eq!(
            (status.boot_id.as_deref(), status.succeeded_tasks),
            (Some("boot-2"), Some(1))
        );
    }

    #[test]
    fn a_re_imaged_node_starts_with_an_empty_ledger() {
        let mut observed = settled(vec![entry("a", LedgerState::Succeeded)]);
        observed.node.as_mut().unwrap().view.system_uuid = "machine-2".into();
        let status = written(&observed);
        assert_eq!(
            (status.tasks.len(), status.system_uuid.as_deref()),
            (0, Some("machine-2"))
        );
    }

    #[test]
    fn an_entry_that_outlives_the_machine_stays_when_the_node_is_re_imaged() {
        let kept = LedgerEntry {
            survives_reimage: Some(true),
            ..entry("a", LedgerState::Succeeded)
        };
        let mut observed = settled(vec![kept, entry("b", LedgerState::Succeeded)]);
        observed.node.as_mut().unwrap().view.system_uuid = "machine-2".into();
        let status = written(&observed);
        let names: Vec<_> = status.tasks.iter().map(|it| it.task.as_str()).collect();
        assert_eq!(names, ["ns/a"]);
        assert_eq!(status.system_uuid.as_deref(), Some("machine-2"));
    }

    #[test]
    fn the_first_attempt_of_a_later_time_replaces_the_last_of_an_earlier_one() {
        let at = |second, attempts, state| LedgerEntry {
            attempts,
            scheduled_time: jiff::Timestamp::from_second(second).ok().map(Time),
            ..entry("a", state)
        };
        let mut observed = settled(vec![at(60, 3, LedgerState::Failed)]);
        observed.pending = vec![at(120, 1, LedgerState::Succeeded)];
        assert_eq!(written(&observed).tasks, observed.pending);
        let mut observed = settled(vec![at(120, 1, LedgerState::Succeeded)]);
        observed.pending = vec![at(60, 3, LedgerState::Failed)];
        assert_eq!(plan_node(&observed), [], "and never the other way round");
    }

    #[test]
    fn a_failure_that_is_to_be_tried_again_replaces_itself() {
        let failed = entry("a", LedgerState::Failed);
        let again = LedgerEntry {
            earlier_attempts: Some(failed.attempts),
            ..failed.clone()
        };
        assert!(shows(&again, &failed) && !shows(&failed, &again));
        assert!(shows(&failed, &failed));
    }

    #[test]
    fn a_node_that_registers_again_keeps_its_entries_and_becomes_the_owner_first() {
        let mut observed = settled(vec![entry("a", LedgerState::Succeeded)]);
        observed.node.as_mut().unwrap().view.uid = "node-2".into();
        let owner = NodeAction::SetOwner {
            name: "win-1".into(),
            uid: "ledger-1".into(),
            resource_version: "7".into(),
            node_uid: "node-2".into(),
        };
        assert_eq!(plan_node(&observed), [owner]);
        observed.ledger.as_mut().unwrap().owner_uid = Some("node-2".into());
        let status = written(&observed);
        assert_eq!(
            (status.tasks.len(), status.node_uid.as_deref()),
            (1, Some("node-2"))
        );
    }

    #[test]
    fn without_a_machine_identity_the_node_object_is_the_identity() {
        let mut observed = settled(vec![entry("a", LedgerState::Succeeded)]);
        observed.node.as_mut().unwrap().view.system_uuid.clear();
        observed.node.as_mut().unwrap().view.uid = "node-2".into();
        observed.ledger.as_mut().unwrap().owner_uid = Some("node-2".into());
        assert_eq!(written(&observed).tasks, []);
    }

    #[test]
    fn entries_of_deleted_tasks_are_dropped_and_a_gone_node_is_left_to_kubernetes() {
        let mut observed = settled(vec![
            entry("a", LedgerState::Succeeded),
            entry("b", LedgerState::Succeeded),
        ]);
        observed.live_tasks.remove("uid-b");
        assert_eq!(written(&observed).tasks.len(), 1);
        observed.node = None;
        assert_eq!(plan_node(&observed), []);
    }
}
