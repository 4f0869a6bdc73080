//! What the mission runs on: a control plane, the operator, eleven simulated nodes and a real one.

use std::fmt::Write as _;
use std::time::Duration;

use hosttask_crds::task::WindowsHostTaskStatus;
use hosttask_tests::bed::{
    self, BedOptions, Journal, OperatorOptions, RING, Tasks, TestBed, workspace_root,
};
use hosttask_tests::fleet::{FleetOptions, Script};
use hosttask_tests::poll;
use hosttask_tests::windows_node::{WindowsNode, WindowsNodeOptions};
use serde_json::{Value, json};

use crate::orders::CANARY;
use crate::pods::Pods;

/// How long a step may take: two cores run a control plane, a node and perhaps a compiler.
pub(crate) const SOON: Duration = Duration::from_mins(4);
/// How many nodes are simulated.
const SIMULATED: usize = 11;
/// Where the tasks are.
const NAMESPACE: &str = "mission";
/// How many lines of each log a report has.
const TAIL: usize = 60;

/// Simulated programs do what the real one does, but for what fails on the real node only.
const SCRIPT: &str = r#"
rules:
- { command: "*exit 3010", behaviour: { exit: { code: 3010, log: "Restart the computer to finish." } } }
- { task: stubborn, behaviour: { stop: { afterSeconds: 600, code: 1 } } }
"#;

/// Everything that the mission needs.
pub(crate) struct Mission {
    /// The tasks.
    pub(crate) tasks: Tasks,
    /// The pods of the real node.
    pub(crate) pods: Pods,
    /// The pods of all nodes, in short.
    pub(crate) journal: Journal,
    /// The real node. It ends before the control plane, which it would miss.
    pub(crate) node: WindowsNode,
    pub(crate) bed: TestBed,
}

impl Mission {
    /// Starts everything.
    pub(crate) async fn start() -> Self {
        let options = BedOptions {
            fleet: FleetOptions {
                nodes: SIMULATED,
                script: Script::parse(SCRIPT).unwrap(),
                ..FleetOptions::default()
            },
            operators: vec![OperatorOptions::default()],
            ..BedOptions::default()
        };
        let bed = TestBed::start(options)
            .await
            .unwrap_or_else(|error| panic!("{}", bed::describe(&error)));
        let class = workspace_root().join("config/runtime/runtime-class.yaml");
        let class = class.to_string_lossy();
        let applied = bed.cluster.kubectl(&["apply", "-f", &class]).await.unwrap();
        assert!(applied.is_success(), "{applied:?}");
        let node = WindowsNode::start(&bed.cluster, WindowsNodeOptions::default())
            .await
            .unwrap_or_else(|error| panic!("{}", bed::describe(&error)));
        let canary = json!({ RING: CANARY });
        bed.label_node(node.name(), &canary).await.unwrap();
        Self {
            tasks: bed.namespace(NAMESPACE).await.unwrap(),
            pods: Pods::start(bed.client(), NAMESPACE, node.name()),
            journal: Journal::start(bed.client(), NAMESPACE).await,
            node,
            bed,
        }
    }

    /// Applies a task, as `kubectl apply` does.
    pub(crate) async fn apply(&self, task: &Value) {
        self.tasks.apply(task).await.unwrap();
    }

    /// Waits until the task is settled with this status and reason of Ready.
    pub(crate) async fn settled(
        &self,
        task: &str,
        status: &str,
        reason: &str,
    ) -> WindowsHostTaskStatus {
        let settled = self.tasks.wait_ready(task, status, reason, SOON).await;
        settled.unwrap()
    }

    /// Waits until a pod of the task on the real node has been as wanted, and returns its first version that was.
    pub(crate) async fn pod(
        &self,
        task: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        poll::until(&format!("a pod of {task}: {what}"), SOON, || async {
            let found = self.pods.first(task, &wanted);
            found.ok_or_else(|| match self.pods.of(task).last() {
                Some(last) => last["status"].to_string(),
                None => "there was none".to_owned(),
            })
        })
        .await
        .unwrap()
    }

    /// How everything stands, for whoever has to find out why a step failed.
    pub(crate) async fn report(&self) -> String {
        let mut text = String::new();
        for (kind, form) in [
            ("windowshosttasks,windowshostnodes", "yaml"),
            ("pods,jobs,daemonsets", "wide"),
            ("events", "wide"),
        ] {
            let asked = ["get", kind, "--namespace", NAMESPACE, "--output", form];
            let answer = self.bed.cluster.kubectl(&asked).await;
            let shown = answer.map_or_else(|error| error.to_string(), |it| it.stdout + &it.stderr);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "== {kind}\n{shown}");
        }
        let containers = self.shows(&["list"]).await;
        let _ = writeln!(text, "== containers on the real node\n{containers}");
        for program in ["kubelet", "containerd"] {
            let log = self.node.log(program);
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(TAIL)..);
            let tail = tail.unwrap_or_default().join("\n");
            let _ = writeln!(text, "== the end of the log of {program}\n{tail}");
        }
        text
    }
}
