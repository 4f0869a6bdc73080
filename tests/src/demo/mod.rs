//! The demonstration: a control plane, Windows nodes, the shipped configuration, real tasks, and their way to the end; then a
//! bad release that is rolled back by itself.

mod jobs;
mod judgement;
mod real_node;
mod screen;
mod second_act;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::Parser;
use hosttask_crds::WindowsHostNode;
use hosttask_crds::task::{WindowsHostTask, WindowsHostTaskStatus};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use serde_json::json;

use crate::bed::{BedError, BedOptions, OperatorOptions, TestBed, workspace_root};
use crate::cluster::{ClusterError, ClusterOptions};
use crate::fleet::script::ScriptError;
use crate::fleet::{FleetError, FleetOptions, Script};
use crate::windows_node::{WindowsNode, WindowsNodeError};
use jobs::{Jobs, RECORDS};
use judgement::{EXPECTED, is_settled, judge};
use screen::{Screen, Seen};

/// Runs the main job on this machine: a real Kubernetes control plane, simulated Windows nodes, the Hosttask operator, and
/// real tasks (Calico, kube-proxy, CSI-proxy, `windows_exporter`, an installer that runs once per node, a service with a canary
/// wave). Then a bad release of that service, which is rolled back by itself, and a minute in which nothing may be written.
///
/// Where Wine is there, one more node is real: kubelet and containerd for Windows start the installer and the service through
/// our runtime, as processes in job objects, which are shown beside the tasks. It gets every release first.
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
    /// Leave the real Windows node out. It needs Wine, a mingw compiler and, the first time, about eight minutes to build kubelet
    /// and containerd for Windows.
    #[arg(long)]
    pub no_windows: bool,
    /// Leave everything running at the end, until Ctrl-C, and print how to reach it.
    #[arg(long)]
    pub keep: bool,
    /// Give up on tasks that have not settled after so many seconds; starting and stopping are not counted.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
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
    /// The real Windows node could not be started, or asked.
    #[error("failed to use the real Windows node, which --no-windows leaves out")]
    WindowsNode(#[from] WindowsNodeError),
    /// The programs that run there cannot be read.
    #[error("failed to read the programs of the real Windows node")]
    Programs(#[source] std::io::Error),
    /// The tasks cannot be read.
    #[error("failed to read the tasks")]
    Read(#[from] kube::Error),
    /// Time is up.
    #[error("these tasks did not settle within {0} s: {tasks}; see why above, or give them longer by --timeout", tasks = .1.join(", "))]
    Timeout(u64, Vec<String>),
    /// A task ended in another way than it should.
    #[error("{}", .0.join("; "))]
    Unexpected(Vec<String>),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// Who takes part.
struct Cast {
    /// Before the control plane: it is to end first.
    real: Option<WindowsNode>,
    bed: TestBed,
    jobs: Jobs,
    options: Options,
}

impl Cast {
    /// How many nodes there are, with the real one if `with_real`.
    fn nodes(&self, with_real: bool) -> i32 {
        let simulated = i32::try_from(self.options.nodes).unwrap_or(i32::MAX);
        simulated.saturating_add(i32::from(with_real && self.real.is_some()))
    }

    /// What there is to show; the ledgers only if `with_ledgers`.
    async fn look(&self, with_ledgers: bool) -> Result<Seen, kube::Error> {
        let all = ListParams::default();
        let tasks = Api::<WindowsHostTask>::all(self.bed.client());
        let ledgers = Api::<WindowsHostNode>::all(self.bed.client());
        Ok(Seen {
            tasks: tasks.list(&all).await?.items,
            nodes: if with_ledgers {
                ledgers.list(&all).await?.items
            } else {
                Vec::new()
            },
            jobs: self.jobs.now(),
        })
    }
}

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
    let cast = gather(options, say).await?;
    // What happens is followed while the node is asked for its job objects.
    let mut outcome = tokio::select! {
        outcome = play(&cast, say) => outcome,
        never = cast.jobs.watch(cast.real.as_ref()) => match never {},
    };
    say("");
    say("$ kubectl get wht,whn -A");
    let shown = cast.bed.cluster.kubectl(&["get", "wht,whn", "-A"]).await?;
    for line in shown.stdout.lines() {
        say(line);
    }
    if outcome.is_err() {
        cast.bed.cluster.keep();
        say(&format!(
            "The logs are kept in {}",
            cast.bed.cluster.dir().display()
        ));
        if let Some(node) = &cast.real {
            node.keep();
        }
    }
    if options.keep {
        tell_how_to_reach(&cast, say);
        let waited = tokio::signal::ctrl_c().await;
        waited.map_err(|_| DemoError::Interrupted)?;
        say("Stopping everything it started, up to half a minute");
        outcome = outcome.and(Err(DemoError::Interrupted));
    }
    outcome
}

/// Starts everybody who takes part.
async fn gather(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Cast, DemoError> {
    let start = Instant::now();
    say(&format!(
        "Starting a Kubernetes control plane and {} simulated Windows nodes",
        options.nodes
    ));
    let nodes = usize::try_from(options.nodes).unwrap_or(usize::MAX);
    let fleet = FleetOptions {
        nodes,
        seed: options.seed,
        ..FleetOptions::default()
    };
    let bed = TestBed::start(BedOptions {
        cluster: ClusterOptions::default(),
        fleet,
        operators: vec![OperatorOptions::default()],
    })
    .await?;
    bed.fleet
        .set_script(Script::parse(&script(bed.fleet.nodes()))?)
        .await?;
    let real = real_node::start(&bed, options, say).await?;
    let cast = Cast {
        real,
        bed,
        jobs: Jobs::default(),
        options: options.clone(),
    };
    for node in second_act::canaries(&cast) {
        cast.bed
            .label_node(&node, &json!({ "ring": "canary" }))
            .await?;
    }
    say(&format!(
        "Ready after {:.0} s: control plane, nodes, config/default, operator",
        start.elapsed().as_secs_f32()
    ));
    Ok(cast)
}

/// Applies the tasks and follows them, then plays the second act.
async fn play(cast: &Cast, say: &mut dyn FnMut(&str)) -> Result<(), DemoError> {
    let recipes = if cast.real.is_some() {
        "tests/fixtures/demo/recipes"
    } else {
        "config/recipes"
    };
    for each in ["tests/fixtures/cluster", recipes, "tests/fixtures/demo"] {
        apply(&cast.bed, each, say).await?;
    }
    follow(cast, say).await?;
    if let Some(node) = &cast.real {
        real_node::show(node, &cast.jobs, say).await?;
    }
    second_act::play(cast, say).await
}

fn tell_how_to_reach(cast: &Cast, say: &mut dyn FnMut(&str)) {
    let cluster = &cast.bed.cluster;
    say("");
    say("Everything is left running until Ctrl-C. In another terminal:");
    say(&format!(
        "export KUBECONFIG={}",
        cluster.kubeconfig().display()
    ));
    let folder = cluster.kubectl_path().parent();
    say(&format!(
        "export PATH={}:$PATH   # kubectl",
        folder
            .unwrap_or_else(|| std::path::Path::new("/"))
            .display()
    ));
    if let Some(node) = &cast.real {
        let name = node.name();
        say(&format!(
            "kubectl -n win-ops get pods -o wide --field-selector spec.nodeName={name}   # these have logs and take exec"
        ));
        let program = node.shell_line("hosttask-node.exe");
        say(&format!(
            "{program} --root '{RECORDS}' list   # also: ps ID, stats ID"
        ));
    }
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
async fn follow(cast: &Cast, say: &mut dyn FnMut(&str)) -> Result<(), DemoError> {
    let limit = Duration::from_secs(cast.options.timeout);
    let start = Instant::now();
    let mut screen = Screen::new(std::io::stdout().is_terminal());
    loop {
        let seen = cast.look(true).await?;
        screen.show(&seen, start.elapsed(), say);
        if seen.tasks.len() >= EXPECTED.len() && seen.tasks.iter().all(is_settled) {
            return judge(cast, &seen);
        }
        if start.elapsed() > limit {
            let open = seen.tasks.iter().filter(|task| !is_settled(task));
            let names = open.map(|task| {
                let namespace = task.metadata.namespace.as_deref().unwrap_or_default();
                format!("{namespace}/{}", task.name_any())
            });
            return Err(DemoError::Timeout(cast.options.timeout, names.collect()));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn status(task: &WindowsHostTask) -> WindowsHostTaskStatus {
    task.status.clone().unwrap_or_default()
}
