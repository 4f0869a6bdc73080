//! The test bed: a real control plane, a simulated Windows fleet and the operator's own binary with its shipped RBAC.

mod history;
mod jobs;
mod journal;
mod operator;
mod plots;
mod reapplier;
mod scene;
mod statuses;
mod tasks;
mod verdict;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::cluster::{AuditEvent, ClusterError, ClusterOptions, LocalCluster, ToolOutput};
use crate::fleet::{Fleet, FleetError, FleetOptions, NodeCondition};
use crate::poll::{self, TimedOut};

pub use history::{History, Samples};
pub use jobs::{JobSamples, JobWitness};
pub use journal::{Did, Journal, Moment};
pub use operator::{
    Endpoint, Metrics, OperatorError, OperatorOptions, OperatorProcess, binary as operator_binary,
};
pub use plots::{Plot, RING, fleet, plot, wave};
pub use reapplier::Reapplier;
pub use scene::{Scene, Told};
pub use statuses::{Said, Statuses};
pub use tasks::{Tasks, condition, daemon, image, ready_since, run_once, task, with};
pub use verdict::Verdict;

/// What a test bed is made of.
#[derive(Debug, Default)]
pub struct BedOptions {
    /// How the control plane is started.
    pub cluster: ClusterOptions,
    /// Which nodes there are.
    pub fleet: FleetOptions,
    /// How each operator replica is started; none: no operator.
    pub operators: Vec<OperatorOptions>,
}

/// Why a test bed could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BedError {
    /// The control plane did not come up.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The operator did not come up.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// Something did not happen in time.
    #[error(transparent)]
    Late(#[from] TimedOut),
    /// The fleet could not be created.
    #[error("failed to create the simulated fleet: {0}")]
    Fleet(String),
    /// A request to the control plane failed.
    #[error("failed to {what}")]
    Request {
        /// What was asked for.
        what: String,
        /// The client's error.
        source: kube::Error,
    },
}

/// A running control plane with nodes and operators.
#[derive(Debug)]
pub struct TestBed {
    /// The control plane.
    pub cluster: LocalCluster,
    /// The simulated nodes.
    pub fleet: Fleet,
    /// The replicas of the operator, in start order.
    pub operators: Mutex<Vec<OperatorProcess>>,
}

/// The root of the workspace.
pub fn workspace_root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// The runtime that all scenarios of one test binary share: the fleet's tasks outlive a single test.
///
/// # Panics
/// The system gives no threads.
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        #[expect(clippy::expect_used, reason = "without a runtime no scenario can run")]
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("start the runtime")
    })
}

/// Runs one scenario to its end on the shared runtime.
pub fn scenario<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(work)
}

/// Set once the logs of the shared bed are sure to be kept on a panic.
static HOOK: std::sync::Once = std::sync::Once::new();

/// The test bed that all scenarios of one suite share. Its logs are kept if any of them panics.
///
/// # Panics
/// It does not start.
pub async fn shared(
    cell: &'static tokio::sync::OnceCell<TestBed>,
    options: impl FnOnce() -> BedOptions,
) -> &'static TestBed {
    let bed = cell
        .get_or_init(|| async {
            #[expect(clippy::panic, reason = "no scenario of the suite can run without it")]
            TestBed::start(options())
                .await
                .unwrap_or_else(|error| panic!("the test bed did not start: {}", describe(&error)))
        })
        .await;
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            bed.cluster.keep();
        }));
    });
    bed
}

/// An error and its causes in one line.
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl TestBed {
    /// Starts everything and waits until the operators are ready.
    pub async fn start(options: BedOptions) -> Result<Self, BedError> {
        let cluster = LocalCluster::start(options.cluster).await?;
        operator::install(&cluster).await?;
        let fleet = Fleet::start(cluster.client(), options.fleet)
            .await
            .map_err(|error| BedError::Fleet(error.to_string()))?;
        let mut operators = Vec::new();
        for each in options.operators {
            operators.push(OperatorProcess::start(&cluster, each).await?);
        }
        for each in &operators {
            each.ready().await?;
        }
        Ok(Self {
            cluster,
            fleet,
            operators: Mutex::new(operators),
        })
    }

    /// A client with all rights.
    pub fn client(&self) -> kube::Client {
        self.cluster.client()
    }

    /// Starts one more replica from another binary, as an upgrade of the Deployment does, and waits until it is ready.
    pub async fn add_operator_binary(
        &self,
        binary: &Path,
        options: OperatorOptions,
    ) -> Result<(), BedError> {
        let operator = OperatorProcess::start_binary(&self.cluster, binary, options).await?;
        operator.ready().await?;
        self.operators
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(operator);
        Ok(())
    }

    /// Starts one more replica and waits until it is ready.
    pub async fn add_operator(&self, options: OperatorOptions) -> Result<(), BedError> {
        let operator = OperatorProcess::start(&self.cluster, options).await?;
        operator.ready().await?;
        self.operators
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(operator);
        Ok(())
    }

    /// What the operator's ServiceAccount has written so far, without Leases and Events.
    pub fn operator_writes(&self) -> Result<Vec<AuditEvent>, ClusterError> {
        let mut events = self.cluster.audit()?;
        events.retain(|event| {
            event.user.ends_with(":hosttask-operator")
                && event.is_write()
                && !event.is_event_or_lease()
        });
        Ok(events)
    }

    /// Sets labels of a node, or removes them where the value is null, as `kubectl label` does.
    pub async fn label_node(&self, node: &str, labels: &Value) -> Result<(), BedError> {
        let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
        Api::<Node>::all(self.client())
            .patch(node, &PatchParams::default(), &patch)
            .await
            .map(drop)
            .map_err(|source| BedError::Request {
                what: format!("label node {node}"),
                source,
            })
    }

    /// Makes a node report a condition from now on.
    pub async fn node_reports(
        &self,
        node: &str,
        type_: &str,
        status: &str,
    ) -> Result<(), FleetError> {
        let condition = NodeCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: "Reported".to_owned(),
            message: format!("{type_} is {status}"),
        };
        self.fleet.set_condition(node, condition).await
    }

    /// Waits until the API server shows a node's Ready condition with this status.
    pub async fn wait_node(
        &self,
        node: &str,
        ready: &str,
        limit: Duration,
    ) -> Result<(), TimedOut> {
        let nodes = Api::<Node>::all(self.client());
        poll::until(&format!("node {node}: Ready={ready}"), limit, || async {
            let found = nodes.get(node).await.map_err(|error| error.to_string())?;
            let conditions = found.status.and_then(|status| status.conditions);
            let status = conditions
                .into_iter()
                .flatten()
                .find(|one| one.type_ == "Ready")
                .map(|one| one.status);
            match status {
                Some(status) if status == ready => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Creates a namespace whose Pod Security level lets HostProcess pods in, and gives access to its tasks.
    pub async fn namespace(&self, name: &str) -> Result<Tasks, BedError> {
        self.namespace_with_level(name, "privileged").await
    }

    /// Creates a namespace with the given Pod Security level and gives access to its tasks.
    pub async fn namespace_with_level(&self, name: &str, level: &str) -> Result<Tasks, BedError> {
        let labels = [(
            "pod-security.kubernetes.io/enforce".to_owned(),
            level.to_owned(),
        )];
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(labels.into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        Api::all(self.client())
            .create(&PostParams::default(), &namespace)
            .await
            .map_err(|source| BedError::Request {
                what: format!("create namespace {name}"),
                source,
            })?;
        Ok(Tasks::new(self.client(), name))
    }

    /// Lets the operator read the Secrets of a namespace, with the command that its condition names.
    pub async fn allow_secrets(&self, namespace: &str) -> Result<ToolOutput, ClusterError> {
        let arguments = [
            "create",
            "rolebinding",
            "hosttask-secret-reader",
            "--namespace",
            namespace,
            "--clusterrole=hosttask-secret-reader",
            "--serviceaccount=hosttask-system:hosttask-operator",
        ];
        self.cluster.kubectl(&arguments).await
    }
}
