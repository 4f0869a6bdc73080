//! What a watch reports to the index.

use std::fmt;

use super::inputs::InputKind;
use super::wire;
use super::wire::node::Node;
use super::wire::pod::Pod;

/// The kinds that are watched as long as the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `WindowsHostTask`.
    Task,
    /// Windows nodes.
    Node,
    /// Our DaemonSets.
    DaemonSet,
    /// Our Jobs.
    Job,
    /// Pods of our DaemonSets and Jobs.
    Pod,
    /// Our ControllerRevisions.
    Revision,
    /// `WindowsHostNode`.
    Ledger,
    /// Namespaces.
    Namespace,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Task,
        Self::Node,
        Self::DaemonSet,
        Self::Job,
        Self::Pod,
        Self::Revision,
        Self::Ledger,
        Self::Namespace,
    ];

    /// The kind as Kubernetes calls it, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "WindowsHostTask",
            Self::Node => "Node",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::Pod => "Pod",
            Self::Revision => "ControllerRevision",
            Self::Ledger => "WindowsHostNode",
            Self::Namespace => "Namespace",
        }
    }
}

/// What one list covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Every object of a kind that we watch.
    Kind(Kind),
    /// The ConfigMaps or Secrets of one namespace.
    Inputs(InputKind, String),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => f.write_str(kind.as_str()),
            Self::Inputs(kind, _) => f.write_str(kind.as_str()),
        }
    }
}

/// Where an object was seen: a change that a watch shows happened just now, one that a list shows happened some time ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A list, or a live read.
    List,
    /// A watch event.
    Watch,
}

/// One step of a list or watch.
#[derive(Debug)]
pub enum Change {
    /// A consistent list begins.
    Listing(Scope),
    /// The list ended: what it did not show does not exist.
    Listed(Scope),
    /// An object exists and looks like this.
    Seen(Object, Source),
    /// An object was deleted; this is how it last looked.
    Gone(Object),
    /// The API server refuses to show the ConfigMaps or Secrets of a namespace; its message.
    Denied(InputKind, String, String),
}

/// An object of a watched kind, as far as we read it.
#[derive(Debug)]
pub enum Object {
    /// A task.
    Task(Box<wire::Task>),
    /// A node.
    Node(Box<Node>),
    /// A DaemonSet.
    DaemonSet(Box<wire::DaemonSet>),
    /// A Job.
    Job(Box<wire::Job>),
    /// A pod.
    Pod(Box<Pod>),
    /// A ControllerRevision.
    Revision(Box<wire::Revision>),
    /// A ledger.
    Ledger(Box<wire::Ledger>),
    /// A namespace.
    Namespace(Box<wire::Namespace>),
    /// A ConfigMap or Secret.
    Input(InputKind, Box<wire::Input>),
}

impl Object {
    /// Decodes an object of a list or watch.
    ///
    /// # Errors
    /// As [`wire::decode`]; also an object without a name, which no row could be found by.
    pub fn decode(scope: &Scope, text: &str) -> Result<Self, serde_json::Error> {
        let object = match scope {
            Scope::Kind(Kind::Task) => Self::Task(wire::decode(text)?),
            Scope::Kind(Kind::Node) => Self::Node(wire::decode(text)?),
            Scope::Kind(Kind::DaemonSet) => Self::DaemonSet(wire::decode(text)?),
            Scope::Kind(Kind::Job) => Self::Job(wire::decode(text)?),
            Scope::Kind(Kind::Pod) => Self::Pod(wire::decode(text)?),
            Scope::Kind(Kind::Revision) => Self::Revision(wire::decode(text)?),
            Scope::Kind(Kind::Ledger) => Self::Ledger(wire::decode(text)?),
            Scope::Kind(Kind::Namespace) => Self::Namespace(wire::decode(text)?),
            Scope::Inputs(kind, _) => Self::Input(*kind, wire::decode(text)?),
        };
        if object.name().is_empty() {
            return Err(serde::de::Error::missing_field("metadata.name"));
        }
        Ok(object)
    }

    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Self::Task(object) => &object.metadata.name,
            Self::Node(object) => &object.metadata.name,
            Self::DaemonSet(object) => &object.metadata.name,
            Self::Job(object) => &object.metadata.name,
            Self::Pod(object) => &object.metadata.name,
            Self::Revision(object) => &object.metadata.name,
            Self::Ledger(object) => &object.metadata.name,
            Self::Namespace(object) => &object.metadata.name,
            Self::Input(_, object) => &object.metadata.name,
        }
    }
}
