//! Where a container can be, how its runs end, and what is told about it.

use std::time::Duration;

use jiff::Timestamp;

/// Where a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Its turn has not come.
    Queued,
    /// Its turn did not come before the pod was over.
    NeverRan,
    /// The image is being pulled.
    Pulling { until: Timestamp },
    /// The pull failed; it is tried again.
    ImageRefused {
        since: Timestamp,
        until: Timestamp,
        tries: u32,
    },
    /// The image is there, the process is not.
    Creating { until: Timestamp },
    /// It could not be created; it is tried again.
    CreateRefused {
        reason: String,
        message: String,
        until: Timestamp,
    },
    /// The process runs.
    Running { since: Timestamp },
    /// The process was told to stop.
    Stopping {
        since: Timestamp,
        until: Timestamp,
        code: i32,
    },
    /// The process ended and is started again, after a pause unless it is the first time. `until` is when the process
    /// is there again. Why a start failed is shown until the kubelet looks again, which is the first time here.
    BackOff {
        until: Timestamp,
        delay: Duration,
        start_failed: Option<(Timestamp, Failure)>,
    },
    /// The process ended for good.
    Ended(End),
}

/// Why a start failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The waiting reason.
    pub reason: &'static str,
    /// The waiting message.
    pub message: String,
}

/// How a run of a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// When the process started, where it did.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Timestamp,
    /// The exit code.
    pub code: i32,
    /// `Completed`, `Error` or why the node knows no exit code.
    pub reason: String,
    /// The termination message.
    pub message: Option<String>,
}

/// Something worth counting or reporting that happened in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// The process of a container was started.
    Started(String),
    /// A pod or container was refused: an event with this reason and message.
    Refused(&'static str, String),
}
