//! The behaviour script: which containers on which nodes do what, and what happens to the nodes themselves.
//!
//! A script is a list of rules; for each container the first rule that matches decides. The format is documented for
//! users in `tests/docs/fleet.md`.

use serde::{Deserialize, Serialize};

use hosttask_crds::label;

use super::chance::Span;
use super::glob::Glob;
use super::pod::{ContainerView, PodView};

pub use super::script_check::ScriptError;

/// Rules for containers and events for nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Script {
    /// The first rule that matches a container decides what it does.
    pub rules: Vec<Rule>,
    /// What happens to nodes, by the time since the fleet started.
    pub events: Vec<NodeEvent>,
}

/// A behaviour and the containers it is for. A field that is left out matches everything, but for `container`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rule {
    /// Node names.
    pub nodes: Vec<Glob>,
    /// The pod's label `hosttask.dev/task`, or its controller's name where it has none.
    pub task: Option<Glob>,
    /// The pod's label `hosttask.dev/revision`.
    pub revision: Option<Glob>,
    /// The pod's label `hosttask.dev/attempt`.
    pub attempt: Option<Glob>,
    /// The container's image.
    pub image: Option<Glob>,
    /// The container's command, its words separated by spaces.
    pub command: Option<Glob>,
    /// The container's name. Without it the rule is for the pod's regular containers and not for its init containers.
    pub container: Option<Glob>,
    /// What the containers do.
    pub behaviour: Behaviour,
}

/// What a container does. What is left out goes as on a healthy node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Behaviour {
    /// How long the image pull takes. Default 0.2 to 0.5.
    pub pull_seconds: Option<Span>,
    /// From the pulled image to the running process. Default 0.1.
    pub start_seconds: Option<Span>,
    /// Whether the image can be pulled.
    pub image: ImageState,
    /// The account in the image's own configuration, used where the pod names none. Default: guessed from the image.
    pub image_user: Option<String>,
    /// The container cannot be created.
    pub create_error: Option<CreateError>,
    /// The container is created and its process does not start: the message that says why.
    pub start_error: Option<String>,
    /// How the `postStart` hook ends. Without one in the pod's spec it is not run.
    pub post_start: Hook,
    /// The process ends. Default: init containers and pods that are not restarted end with 0 after a moment.
    pub exit: Option<Exit>,
    /// The process ends at once, every time it is started.
    pub crash_loop: Option<CrashLoop>,
    /// The process runs and is never ready.
    pub never_ready: bool,
    /// The process is ready only after a while.
    pub ready: Option<After>,
    /// The process was ready for a while and then is not any more. It keeps running.
    pub ready_then_broken: Option<After>,
    /// How the probes of the pod's spec end.
    pub probes: Probes,
    /// How the process stops when it is told to.
    pub stop: Option<Stop>,
}

/// Whether an image can be pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageState {
    /// It can.
    #[default]
    Present,
    /// The registry does not know it.
    Missing,
    /// The registry wants credentials.
    Denied,
    /// It has no variant for the node's Windows build.
    WrongBuild,
}

/// How a hook of a container ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hook {
    /// It succeeds.
    #[default]
    Pass,
    /// It fails: the container is stopped.
    Fail,
}

/// A failure to create the container, retried as the kubelet does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateError {
    /// The waiting reason.
    #[serde(default = "create_container_error")]
    pub reason: String,
    /// The waiting message.
    #[serde(default)]
    pub message: String,
}

fn create_container_error() -> String {
    "CreateContainerError".to_owned()
}

/// The end of a process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exit {
    /// The exit code as Kubernetes shows it: signed, so that NTSTATUS values are negative.
    pub code: i32,
    /// How long the process runs before. Default 0.5.
    #[serde(default = "half_a_second")]
    pub after_seconds: Span,
    /// What the process wrote to its log.
    #[serde(default)]
    pub log: String,
    /// What the process wrote to its termination message file.
    #[serde(default)]
    pub message: String,
    /// How many of the container's first runs in its pod end so; later ones go as on a healthy node. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

fn half_a_second() -> Span {
    Span::Exact(0.5)
}

impl Default for Exit {
    fn default() -> Self {
        Self {
            code: 0,
            after_seconds: half_a_second(),
            log: String::new(),
            message: String::new(),
            times: None,
        }
    }
}

/// A process that ends at once, every time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CrashLoop {
    /// The exit code. Default 1.
    pub code: i32,
    /// How long each run takes. Default 0.2.
    pub after_seconds: Span,
    /// What each run wrote to its log.
    pub log: String,
}

impl Default for CrashLoop {
    fn default() -> Self {
        Self {
            code: 1,
            after_seconds: Span::Exact(0.2),
            log: String::new(),
        }
    }
}

/// A delay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct After {
    /// How long.
    pub after_seconds: Span,
}

/// How probes end. A probe that the pod does not define is never run, whatever stands here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Probes {
    /// The startup probe: a failure restarts the container.
    pub startup: Outcome,
    /// The readiness probe: decides `ready`.
    pub readiness: Outcome,
    /// The liveness probe: a failure restarts the container.
    pub liveness: Outcome,
}

/// How one probe ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It succeeds.
    #[default]
    Pass,
    /// It fails.
    Fail,
    /// It fails, and succeeds from this long after the start of the process on.
    PassAfterSeconds(Span),
    /// It succeeds, and fails from this long after the start of the process on.
    FailAfterSeconds(Span),
}

/// How a process stops when it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stop {
    /// How long it takes; longer than the grace period means that it is killed with exit code 1. Default 0.1 to 0.3.
    #[serde(default = "a_moment")]
    pub after_seconds: Span,
    /// The exit code.
    #[serde(default)]
    pub code: i32,
}

fn a_moment() -> Span {
    Span::Between([0.1, 0.3])
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            after_seconds: a_moment(),
            code: 0,
        }
    }
}

/// Something that happens to nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeEvent {
    /// When, since the fleet started.
    pub after_seconds: f64,
    /// Which nodes; unused for `Joins`.
    #[serde(default)]
    pub nodes: Vec<Glob>,
    /// What.
    pub does: Happening,
    /// How many nodes join. Default 1.
    #[serde(default = "one")]
    pub count: usize,
    /// How long a reboot or a re-imaging takes.
    #[serde(default)]
    pub down_seconds: f64,
    /// Whether re-imaging also replaces the Node object.
    #[serde(default)]
    pub new_object: bool,
}

fn one() -> usize {
    1
}

/// What can happen to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happening {
    /// It stops answering; its containers go on unseen.
    Dies,
    /// It answers again.
    Revives,
    /// It restarts: another boot ID, containers started anew.
    Reboots,
    /// It is installed anew: another system UUID.
    Reimaged,
    /// New nodes register.
    Joins,
    /// It is removed with its Node object.
    Leaves,
}

impl Script {
    /// Reads a script and checks it.
    ///
    /// # Errors
    /// The first thing wrong with it, with its place.
    pub fn parse(yaml: &str) -> Result<Self, ScriptError> {
        let script: Self =
            serde_saphyr::from_str(yaml).map_err(|error| ScriptError::Syntax(Box::new(error)))?;
        script.check()?;
        Ok(script)
    }

    /// The behaviour of one container: that of the first rule that matches, or nothing special.
    pub(super) fn behaviour(
        &self,
        node: &str,
        pod: &PodView,
        container: &ContainerView,
        init: bool,
    ) -> Option<&Behaviour> {
        self.rules
            .iter()
            .find(|rule| rule.matches(node, pod, container, init))
            .map(|rule| &rule.behaviour)
    }
}

impl Rule {
    fn matches(&self, node: &str, pod: &PodView, container: &ContainerView, init: bool) -> bool {
        let fits =
            |glob: &Option<Glob>, value: &str| glob.as_ref().is_none_or(|glob| glob.matches(value));
        (self.nodes.is_empty() || self.nodes.iter().any(|glob| glob.matches(node)))
            && fits(&self.task, pod.task())
            && fits(&self.revision, pod.label(label::REVISION))
            && fits(&self.attempt, pod.label(label::ATTEMPT))
            && fits(&self.image, &container.image)
            && fits(&self.command, &container.command.join(" "))
            && self
                .container
                .as_ref()
                .map_or(!init, |glob| glob.matches(&container.name))
    }
}
