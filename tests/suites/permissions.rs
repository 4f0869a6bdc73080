//! What each role in `config/rbac` grants, with the reason for every verb. A verb that is not here may not be there.

use std::collections::BTreeSet;

use hosttask_tests::manifest::{self, Document};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// API group, resource, verb, and what the operator does with it.
type Grant = (&'static str, &'static str, &'static str, &'static str);

const TASKS: &str = "hosttask.dev";

const OPERATOR: &[Grant] = &[
    (
        TASKS,
        "windowshosttasks",
        "list",
        "fills the index, and counts every task in the metrics",
    ),
    (TASKS, "windowshosttasks", "watch", "follows the tasks"),
    (TASKS, "windowshosttasks/status", "patch", "reports"),
    (
        TASKS,
        "windowshosttasks/finalizers",
        "update",
        "owner references that block deletion, where the API server checks them",
    ),
    (
        TASKS,
        "windowshostnodes",
        "list",
        "fills the index with the ledgers",
    ),
    (TASKS, "windowshostnodes", "watch", "follows the ledgers"),
    (
        TASKS,
        "windowshostnodes",
        "create",
        "the ledger of a node that joined",
    ),
    (
        TASKS,
        "windowshostnodes",
        "patch",
        "gives the ledger to a Node that was created anew",
    ),
    (
        TASKS,
        "windowshostnodes/status",
        "patch",
        "entries of the ledger",
    ),
    (
        "apps",
        "daemonsets",
        "get",
        "tells an own child from another of its name; settles a write that the watch is late with",
    ),
    ("apps", "daemonsets", "list", "fills the index"),
    (
        "apps",
        "daemonsets",
        "watch",
        "sees that others changed a child",
    ),
    (
        "apps",
        "daemonsets",
        "create",
        "the child of a Daemon task; a server-side apply that creates needs it too",
    ),
    (
        "apps",
        "daemonsets",
        "patch",
        "server-side apply of a new revision",
    ),
    (
        "apps",
        "daemonsets",
        "delete",
        "takes the children of other waves apart; their pods stay and are handed over",
    ),
    (
        "apps",
        "controllerrevisions",
        "get",
        "the content of the stable revision, once in each rollout",
    ),
    (
        "apps",
        "controllerrevisions",
        "list",
        "fills the index with the history",
    ),
    (
        "apps",
        "controllerrevisions",
        "watch",
        "follows the history",
    ),
    (
        "apps",
        "controllerrevisions",
        "create",
        "keeps a new revision",
    ),
    (
        "apps",
        "controllerrevisions",
        "patch",
        "renumbers a revision that is used again",
    ),
    (
        "apps",
        "controllerrevisions",
        "delete",
        "keeps the history within revisionHistoryLimit",
    ),
    (
        "batch",
        "jobs",
        "get",
        "tells an own Job from another of its name; settles a write that the watch is late with",
    ),
    ("batch", "jobs", "list", "fills the index"),
    ("batch", "jobs", "watch", "sees that a Job ended"),
    (
        "batch",
        "jobs",
        "create",
        "one Job per node, revision and attempt",
    ),
    (
        "batch",
        "jobs",
        "delete",
        "a Job that never started its program and is superseded, or whose node is another machine now",
    ),
    (
        "",
        "pods",
        "get",
        "settles a deletion that the watch is late with",
    ),
    (
        "",
        "pods",
        "list",
        "fills the index; a consistent list before deciding",
    ),
    ("", "pods", "watch", "sees that pods become ready or fail"),
    (
        "",
        "pods",
        "patch",
        "gives a pod to another wave; lifts the scheduling gate of dependsOn",
    ),
    ("", "pods", "delete", "replaces a pod within the budget"),
    ("", "nodes", "list", "fills the index with the fleet"),
    (
        "",
        "nodes",
        "watch",
        "nodes that join, leave, reboot or are re-imaged",
    ),
    ("", "namespaces", "list", "fills the index with the levels"),
    (
        "",
        "namespaces",
        "watch",
        "goes on when the level is changed",
    ),
    ("", "configmaps", "list", "digests of the inputs"),
    (
        "",
        "configmaps",
        "watch",
        "a changed input is a new revision",
    ),
    (
        "",
        "events",
        "list",
        "why Kubernetes does not create the pods of a child",
    ),
    ("events.k8s.io", "events", "create", "tells of transitions"),
    (
        "events.k8s.io",
        "events",
        "patch",
        "counts an event that repeats",
    ),
];

const LEADER_ELECTION: &[Grant] = &[
    ("coordination.k8s.io", "leases", "get", "who leads"),
    (
        "coordination.k8s.io",
        "leases",
        "create",
        "the first election",
    ),
    (
        "coordination.k8s.io",
        "leases",
        "update",
        "renews, takes over and gives back",
    ),
];

const SECRET_READER: &[Grant] = &[
    (
        "",
        "secrets",
        "list",
        "digests of the inputs, in the namespaces that opt in",
    ),
    ("", "secrets", "watch", "a changed input is a new revision"),
];

fn objects() -> Vec<Document> {
    manifest::objects(&manifest::repository().join("config/rbac")).unwrap()
}

fn named<T: DeserializeOwned>(kind: &str, name: &str) -> T {
    let mut found = objects();
    found.retain(|it| it.kind() == kind && it.name() == name);
    assert_eq!(found.len(), 1, "{kind} {name}");
    serde_json::from_value(found.remove(0).value).unwrap()
}

/// The rules as `group resource verb`. What else a rule can say is not allowed here.
fn granted(rules: Option<Vec<k8s_openapi::api::rbac::v1::PolicyRule>>) -> Vec<String> {
    let mut found = Vec::new();
    for rule in rules.unwrap() {
        assert!(rule.resource_names.is_none() && rule.non_resource_urls.is_none());
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                found.extend(
                    rule.verbs
                        .iter()
                        .map(|verb| format!("{group} {resource} {verb}")),
                );
            }
        }
    }
    found
}

fn check(granted: &[String], wanted: &[Grant]) {
    let set: BTreeSet<_> = granted.iter().cloned().collect();
    assert_eq!(set.len(), granted.len(), "a verb is granted twice");
    let wanted: BTreeSet<_> = wanted
        .iter()
        .map(|(group, resource, verb, reason)| {
            assert!(!reason.is_empty());
            format!("{group} {resource} {verb}")
        })
        .collect();
    let unexplained: Vec<_> = set.difference(&wanted).collect();
    let missing: Vec<_> = wanted.difference(&set).collect();
    assert!(
        unexplained.is_empty() && missing.is_empty(),
        "without a reason: {unexplained:?}, not granted: {missing:?}"
    );
}

#[test]
fn the_operator_may_do_what_the_table_says_and_nothing_else() {
    let role: ClusterRole = named("ClusterRole", "hosttask-operator");
    check(&granted(role.rules), OPERATOR);
    let role: Role = named("Role", "hosttask-operator");
    assert_eq!(role.metadata.namespace.as_deref(), Some("hosttask-system"));
    check(&granted(role.rules), LEADER_ELECTION);
}

#[test]
fn secrets_are_read_only_where_a_namespace_binds_the_role_for_it() {
    let role: ClusterRole = named("ClusterRole", "hosttask-secret-reader");
    check(&granted(role.rules), SECRET_READER);
    let names: BTreeSet<_> = objects()
        .iter()
        .filter(|it| it.kind().ends_with("Binding"))
        .map(|it| it.value["roleRef"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, BTreeSet::from(["hosttask-operator".to_owned()]));
}

#[test]
fn the_roles_are_bound_to_the_service_account_of_the_deployment() {
    let role: ClusterRoleBinding = named("ClusterRoleBinding", "hosttask-operator");
    let in_namespace: RoleBinding = named("RoleBinding", "hosttask-operator");
    let account: Value = named("ServiceAccount", "hosttask-operator");
    let deployment = manifest::repository().join("config/operator/deployment.yaml");
    let deployment = &manifest::documents(&deployment).unwrap()[0].value;
    assert_eq!(
        deployment["spec"]["template"]["spec"]["serviceAccountName"],
        account["metadata"]["name"]
    );
    assert_eq!(
        deployment["metadata"]["namespace"],
        account["metadata"]["namespace"]
    );
    assert_eq!(role.role_ref.kind, "ClusterRole");
    assert_eq!(in_namespace.role_ref.kind, "Role");
    for subjects in [role.subjects, in_namespace.subjects] {
        let subjects = subjects.unwrap();
        assert_eq!(subjects.len(), 1);
        assert_eq!(subjects[0].kind, "ServiceAccount");
        assert_eq!(subjects[0].name, "hosttask-operator");
        assert_eq!(subjects[0].namespace.as_deref(), Some("hosttask-system"));
    }
}

#[test]
fn viewing_comes_with_the_built_in_role_and_writing_with_none() {
    let labels = |name: &str| {
        let role: ClusterRole = named("ClusterRole", name);
        let labels = role.metadata.labels.unwrap_or_default();
        let aggregated = labels
            .into_keys()
            .filter(|key| key.contains("aggregate-to"));
        (aggregated.collect::<Vec<_>>(), granted(role.rules))
    };
    let (aggregated, grants) = labels("hosttask-viewer");
    assert_eq!(aggregated, ["rbac.authorization.k8s.io/aggregate-to-view"]);
    let is_reading = |grant: &String| {
        ["get", "list", "watch"]
            .iter()
            .any(|verb| grant.ends_with(verb))
    };
    assert!(grants.iter().all(is_reading), "{grants:?}");
    // Whoever writes a task is SYSTEM on the nodes.
    let (aggregated, grants) = labels("hosttask-editor");
    assert!(aggregated.is_empty(), "{aggregated:?}");
    assert!(grants.contains(&format!("{TASKS} windowshosttasks create")));
    let of_others = grants.iter().filter(|grant| !grant.starts_with(TASKS));
    assert_eq!(of_others.count(), 0);
    let status_writes = grants
        .iter()
        .filter(|it| it.contains("/status") && !it.ends_with("get"));
    assert_eq!(status_writes.count(), 0);
}
