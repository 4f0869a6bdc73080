//! The demonstration: a control plane, Windows nodes, the shipped configuration, real tasks, and their way to the end; then a
//! bad release that is rolled back by itself.

mod screen;
mod second_act;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::Parser;
use hosttask_crds::WindowsHostNode;
use hosttask_crds::task::{WindowsHostTask, WindowsHostTaskStatus};
use kube::api::{Api, ListParams};

use crate::bed::{BedError, BedOptions, OperatorOptions, TestBed, condition, workspace_root};
use crate::cluster::{ClusterError, ClusterOptions};
use crate::fleet::script::ScriptError;
use crate::fleet::{FleetError, FleetOptions, Glob, Script};
use screen::Screen;

/// Runs the main job on this machine: a real Kubernetes control plane, simulated Windows nodes, the Hosttask operator, and
/// real tasks (Calico, kube-proxy, CSI-proxy, `windows_exporter`, an installer that runs once per node, a service with a canary
/// wave). Then a bad release of that service, which is rolled back by itself, and a minute in which nothing may be written.
///
/// Exit code 0: all of that happened. 1: it did not, or something could not be started. 130: interrupted.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo demo", bin_name = "cargo demo", version)]
pub struct Options {
    /// How many Windows nodes to simulate.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(3..=5000))]
    pub nodes: u32,
    /// The seed of the simulated nodes: the same seed gives the same run.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Leave everything running at the end, until Ctrl-C, and print how to reach it.
    #[arg(long)]
    pub keep: bool,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 600)]
    pub timeout: u64,
}

/// Why the demonstration did not end well.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Something could not be started.
    #[error("failed to set up")]
    Bed(#[from] BedError),
    /// kubectl could not be run.
    #[error("failed to run kubectl")]
    Kubectl(#[from] ClusterError),
    /// kubectl refused something.
    #[error("kubectl {command} failed: {message}")]
    Refused {
        /// The arguments.
        command: String,
        /// What it wrote.
        message: String,
    },
    /// The fleet's script is wrong.
    #[error("failed to read the fleet's behaviour")]
    Script(#[from] ScriptError),
    /// The simulated nodes cannot be reached.
    #[error("failed to instruct the simulated nodes")]
    Fleet(#[from] FleetError),
    /// The tasks cannot be read.
    #[error("failed to read the tasks")]
    Read(#[from] kube::Error),
    /// Time is up.
    #[error("not every task settled within {0} s")]
    Timeout(u64),
    /// A task ended in another way than it should.
    #[error("{}", .0.join("; "))]
    Unexpected(Vec<String>),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// The tasks of the demonstration and how each must end: (namespace, name, reason, nodes that may fail).
const EXPECTED: [(&str, &str, &str, i32); 6] = [
    ("kube-system", "calico-node-windows", "RolloutComplete", 0),
    ("kube-system", "kube-proxy-windows", "RolloutComplete", 0),
    ("kube-system", "csi-proxy", "RolloutComplete", 0),
    ("windows-exporter", "windows-exporter", "RolloutComplete", 0),
    ("win-ops", "vc-runtime", "EnoughNodesSucceeded", 1),
    ("win-ops", "log-forwarder", "RolloutComplete", 0),
];

/// One node needs a reboot after the installer, one cannot install it; the second release of the service misses a library.
fn script(nodes: &[String]) -> String {
    let reboot = nodes.get(1).map_or("none", String::as_str);
    let broken = nodes.get(2).map_or("none", String::as_str);
    format!(
        r#"
rules:
- {{ task: vc-runtime, nodes: ["{reboot}"], behaviour: {{ exit: {{ code: 3010, afterSeconds: 1.5, log: "The requested operation is successful. Restart the computer to finish." }} }} }}
- {{ task: vc-runtime, nodes: ["{broken}"], behaviour: {{ exit: {{ code: 1603, afterSeconds: 1.0, log: "MSI (s): fatal error during installation (1603)" }} }} }}
- {{ task: vc-runtime, behaviour: {{ exit: {{ code: 0, afterSeconds: 1.5, log: "installed" }} }} }}
- {{ image: "*/log-forwarder:2.*", behaviour: {{ crashLoop: {{ code: -1073741515, log: "The code execution cannot proceed because vcruntime140_1.dll was not found." }} }} }}
"#
    )
}

/// Runs the demonstration; `say` prints a line.
///
/// # Errors
/// What could not be started, or what ended in another way than it should.
pub async fn run(options: &Options, say: &mut dyn FnMut(&str)) -> Result<(), DemoError> {
    let start = Instant::now();
    say(&format!(
        "Starting a Kubernetes control plane and {} simulated Windows nodes",
        options.nodes
    ));
    let nodes = usize::try_from(options.nodes).unwrap_or(usize::MAX);
    let fleet = FleetOptions {
        nodes,
        seed: options.seed,
        labels: second_act::canaries(options.nodes)
            .iter()
            .map(|node| (Glob::new(node), "ring".to_owned(), "canary".to_owned()))
            .collect(),
        ..FleetOptions::default()
    };
    let operators = vec![OperatorOptions::default()];
    let bed = TestBed::start(BedOptions {
        cluster: ClusterOptions::default(),
        fleet,
        operators,
    })
    .await?;
    bed.fleet
        .set_script(Script::parse(&script(bed.fleet.nodes()))?)
        .await?;
    say(&format!(
        "Ready after {:.0} s: control plane, nodes, config/default, operator",
        start.elapsed().as_secs_f32()
    ));
    for each in [
        "tests/fixtures/cluster",
        "config/recipes",
        "tests/fixtures/demo",
    ] {
        apply(&bed, each, say).await?;
    }
    let mut outcome = follow(&bed, options, say).await;
    if outcome.is_ok() {
        outcome = second_act::play(&bed, options, say).await;
    }
    say("");
    say("$ kubectl get wht,whn -A");
    let shown = bed.cluster.kubectl(&["get", "wht,whn", "-A"]).await?;
    for line in shown.stdout.lines() {
        say(line);
    }
    if outcome.is_err() {
        bed.cluster.keep();
        say(&format!(
            "The logs are kept in {}",
            bed.cluster.dir().display()
        ));
    }
    if options.keep {
        say("");
        say("Everything is left running until Ctrl-C. In another terminal:");
        say(&format!(
            "export KUBECONFIG={}",
            bed.cluster.kubeconfig().display()
        ));
        say(&format!(
            "export PATH={}:$PATH   # kubectl",
            bed.cluster
                .kubectl_path()
                .parent()
                .unwrap_or_else(|| std::path::Path::new("/"))
                .display()
        ));
        tokio::signal::ctrl_c()
            .await
            .map_err(|_| DemoError::Interrupted)?;
        return outcome.and(Err(DemoError::Interrupted));
    }
    outcome
}

/// Applies one folder of the repository with kubectl.
async fn apply(bed: &TestBed, folder: &str, say: &mut dyn FnMut(&str)) -> Result<(), DemoError> {
    say(&format!("$ kubectl apply --server-side -k {folder}"));
    let path = workspace_root().join(folder);
    let path = path.to_string_lossy();
    let args = ["apply", "--server-side", "-k", &path];
    let output = bed.cluster.kubectl(&args).await?;
    for line in output.stdout.lines() {
        say(&format!("  {line}"));
    }
    if output.is_success() {
        return Ok(());
    }
    Err(DemoError::Refused {
        command: format!("apply -k {folder}"),
        message: output.stderr,
    })
}

/// Shows the tasks until all have settled, and judges how they ended.
async fn follow(
    bed: &TestBed,
    options: &Options,
    say: &mut dyn FnMut(&str),
) -> Result<(), DemoError> {
    let api = Api::<WindowsHostTask>::all(bed.client());
    let limit = Duration::from_secs(options.timeout);
    let start = Instant::now();
    let ledgers = Api::<WindowsHostNode>::all(bed.client());
    let mut screen = Screen::new(std::io::stdout().is_terminal());
    loop {
        let tasks = api.list(&ListParams::default()).await?.items;
        let nodes = ledgers.list(&ListParams::default()).await?.items;
        screen.show(&tasks, &nodes, start.elapsed(), say);
        if tasks.len() >= EXPECTED.len() && tasks.iter().all(is_settled) {
            return judge(&tasks, i32::try_from(options.nodes).unwrap_or(i32::MAX));
        }
        if start.elapsed() > limit {
            return Err(DemoError::Timeout(options.timeout));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn status(task: &WindowsHostTask) -> WindowsHostTaskStatus {
    task.status.clone().unwrap_or_default()
}

/// Whether nothing more is going to happen to a task by itself.
fn is_settled(task: &WindowsHostTask) -> bool {
    let status = status(task);
    status.observed_generation == task.metadata.generation
        && status.in_progress_nodes == Some(0)
        && status.pending_nodes == Some(0)
        && condition(&status, "Reconciling").is_none()
}

fn judge(tasks: &[WindowsHostTask], nodes: i32) -> Result<(), DemoError> {
    let mut problems = Vec::new();
    for (namespace, name, reason, failed) in EXPECTED {
        let found = tasks.iter().find(|task| {
            task.metadata.namespace.as_deref() == Some(namespace)
                && task.metadata.name.as_deref() == Some(name)
        });
        let Some(task) = found else {
            problems.push(format!("{namespace}/{name} does not exist"));
            continue;
        };
        let status = status(task);
        let ready = condition(&status, "Ready");
        let counts = (
            status.desired_nodes,
            status.healthy_nodes,
            status.failed_nodes,
        );
        if ready.is_none_or(|c| c.status != "True" || c.reason != reason)
            || counts != (Some(nodes), Some(nodes - failed), Some(failed))
        {
            let message = ready.map_or("no condition", |c| c.message.as_str());
            problems.push(format!(
                "{namespace}/{name} should be {reason} with {failed} failed nodes: {message}"
            ));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(DemoError::Unexpected(problems))
    }
}
