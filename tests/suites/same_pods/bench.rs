//! One control plane with a simulated and a real node, and how a pod is played on both.

use std::fs;

use futures::future::join;
use hosttask_tests::bed;
use hosttask_tests::cluster::{ClusterOptions, LocalCluster};
use hosttask_tests::fleet::{Behaviour, Fleet, FleetOptions, Glob, Rule, Span, Taints};
use hosttask_tests::windows_node::{WindowsNode, WindowsNodeOptions};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::case::{Case, Gate, file_name, hangs};
use super::journal::Journal;
use super::trace::{Trace, normal};

/// A control plane with both nodes.
pub(crate) struct Bench {
    cluster: LocalCluster,
    fleet: Fleet,
    node: WindowsNode,
    journal: Journal,
}

/// Which of the two nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Simulated,
    Real,
}

impl Bench {
    /// Starts both nodes.
    pub(crate) async fn start() -> Self {
        let cluster = LocalCluster::start(ClusterOptions::default())
            .await
            .unwrap();
        let node = WindowsNode::start(&cluster, WindowsNodeOptions::default())
            .await
            .unwrap_or_else(|error| panic!("{}", bed::describe(&error)));
        let options = FleetOptions {
            nodes: 1,
            taints: Taints::None,
            ..FleetOptions::default()
        };
        let fleet = Fleet::start(cluster.client(), options).await.unwrap();
        let journal = Journal::follow(Api::namespaced(cluster.client(), "default"));
        Self {
            cluster,
            fleet,
            node,
            journal,
        }
    }

    /// Plays a pod on both nodes, from its creation to its end. Returns what was seen of the simulated and of the real one.
    pub(crate) async fn play(&self, case: &Case) -> (Trace, Trace) {
        join(
            self.play_on(Side::Simulated, case),
            self.play_on(Side::Real, case),
        )
        .await
    }

    async fn play_on(&self, side: Side, case: &Case) -> Trace {
        let name = self.prepare(side, case).await;
        self.create(side, &name, case).await;
        let mut from = 0;
        if let Some(gate) = &case.gate {
            from = self
                .journal
                .wait(&name, "at its gate", 0, &*gate.when)
                .await;
            self.open(side, case, gate).await;
        }
        self.journal
            .wait(&name, "at its end", from, &*case.until)
            .await;
        let pods = self.pods();
        pods.delete(&name, &DeleteParams::default()).await.unwrap();
        self.journal.wait_gone(&name).await;
        normal(&self.journal.statuses(&name))
    }

    /// What is there before the pod is. Returns the pod's name.
    async fn prepare(&self, side: Side, case: &Case) -> String {
        match side {
            Side::Simulated => {
                self.behave(case.name, "*", hangs()).await;
                for (container, behaviour) in &case.does {
                    self.behave(case.name, container, behaviour.clone()).await;
                }
                format!("{}-simulated", case.name)
            }
            Side::Real => {
                if case.gate.as_ref().is_some_and(|gate| gate.removes) {
                    fs::write(self.file(case), "x").unwrap();
                }
                format!("{}-real", case.name)
            }
        }
    }

    async fn open(&self, side: Side, case: &Case, gate: &Gate) {
        match side {
            Side::Simulated => {
                for (container, behaviour) in &gate.then {
                    self.behave(case.name, container, behaviour.clone()).await;
                }
            }
            Side::Real if gate.removes => fs::remove_file(self.file(case)).unwrap(),
            Side::Real => fs::write(self.file(case), "x").unwrap(),
        }
    }

    fn file(&self, case: &Case) -> std::path::PathBuf {
        self.node.drive().join("node").join(file_name(case.name))
    }

    async fn behave(&self, pod: &str, container: &str, behaviour: Value) {
        let mut behaviour: Behaviour = serde_json::from_value(behaviour).unwrap();
        // Slow enough that the first report is not replaced by the next one before it is written.
        behaviour.pull_seconds.get_or_insert(Span::Exact(4.0));
        let rule = Rule {
            task: Some(Glob::new(pod)),
            container: Some(Glob::new(container)),
            behaviour,
            ..Rule::default()
        };
        self.fleet.set_behaviour(rule).await.unwrap();
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client(), "default")
    }

    /// Creates a HostProcess pod straight on the node: what a kubelet refuses is not for the scheduler to see.
    async fn create(&self, side: Side, name: &str, case: &Case) {
        let node = match side {
            Side::Simulated => self.fleet.nodes()[0].as_str(),
            Side::Real => self.node.name(),
        };
        let mut pod = json!({
            "metadata": { "name": name, "labels": case.labels },
            "spec": {
                "nodeName": node,
                "os": { "name": "windows" },
                "hostNetwork": true,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 20,
                "automountServiceAccountToken": false,
                "tolerations": [{ "operator": "Exists" }],
                "securityContext": { "windowsOptions": {
                    "hostProcess": true, "runAsUserName": "NT AUTHORITY\\SYSTEM"
                } },
            }
        });
        pod["metadata"]["labels"]["hosttask.dev/task"] = json!(case.name);
        for (key, value) in case.spec.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let made = self.pods().create(&PostParams::default(), &pod).await;
        made.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
