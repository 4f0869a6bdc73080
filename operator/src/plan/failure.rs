//! `judge`: whether a daemon pod of the update revision is healthy, on its way, or failed.

use std::time::Duration;

use hosttask_crds::task::NodeFailure;
use jiff::Timestamp;

use super::tally::{cut, later, tail};
use crate::desired::Desired;
use crate::observed::{Exit, PodView};

/// The longest message of a failure in a status, in characters.
pub(super) const MESSAGE: usize = 256;
/// How long containerd may fail to create a container before it counts: a first try can meet a slow disk.
const CREATE_GRACE: Duration = Duration::from_mins(1);

/// The reason of a node on which the kubelet refused the pod, or threw it out, and gave none itself.
pub(super) const REFUSED: &str = "PodRefused";
/// What the kubelet waits before the first restart of a container, and at most; it doubles in between.
const BACK_OFF: (u64, u64) = (10, 300);

/// How a pod of the update revision does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is ready and has been for `minReadySeconds`.
    Healthy,
    /// It still may become healthy; at `until` it does, or counts as failed.
    Starting { until: Timestamp },
    /// It failed; `again` is when a failure that wears off is over.
    Failed {
        failure: NodeFailure,
        again: Option<Timestamp>,
    },
}

/// Whether a pod is ready and has been for `minReadySeconds`, whatever its revision.
pub(super) fn is_healthy(pod: &PodView, desired: &Desired, now: Timestamp) -> bool {
    !pod.deleting && !pod.finished && healthy_from(pod, desired).is_some_and(|from| from <= now)
}

/// From when on a pod that is ready counts as healthy: after `minReadySeconds`, and after its last back-off where it
/// crashed again and again. A program that crashes later than that would otherwise be well in every round.
pub(super) fn healthy_from(pod: &PodView, desired: &Desired) -> Option<Timestamp> {
    let steady = if is_crash_loop(pod) {
        let (first, longest) = BACK_OFF;
        let doubled = u32::try_from(pod.recent_restarts.clamp(0, 16)).unwrap_or(0);
        let seconds = first.saturating_mul(2_u64.saturating_pow(doubled));
        desired
            .min_ready
            .max(Duration::from_secs(seconds.min(longest)))
    } else {
        desired.min_ready
    };
    pod.ready_since.map(|since| later(since, steady))
}

fn is_crash_loop(pod: &PodView) -> bool {
    pod.trouble
        .as_ref()
        .is_some_and(|it| it.reason == "CrashLoopBackOff")
}

/// The failure of a node whose pod ended, and from when on it counts: `startGraceSeconds` after `begin`, and never before
/// the pod is a minute old, as the next one may be taken.
pub(super) fn refusal(
    pod: &PodView,
    desired: &Desired,
    begin: Timestamp,
) -> (Timestamp, NodeFailure) {
    let until = later(begin, desired.start_grace);
    let failure = NodeFailure {
        message: refusal_message(pod),
        ..failure(pod, REFUSED)
    };
    (until.max(later(pod.created, CREATE_GRACE)), failure)
}

/// A pod that had not come up when the progress deadline passed.
pub(super) fn overdue(pod: &PodView) -> NodeFailure {
    let trouble = pod.trouble.as_ref();
    failure(pod, trouble.map_or("NotReady", |trouble| &trouble.reason))
}

/// What the kubelet says, with its reason.
fn refusal_message(pod: &PodView) -> Option<String> {
    match (&pod.trouble, &pod.exit) {
        (Some(trouble), _) => Some(joined(&trouble.reason, &trouble.message, cut)),
        (None, Some(exit)) => Some(joined(&exit.reason, &exit.message, tail)),
        (None, None) => None,
    }
}

/// The failure of a node whose program was restarted too often. It mostly runs again by now: what its last run ended with
/// is told, as nothing else says why.
fn restarted(pod: &PodView) -> NodeFailure {
    let failure = failure(pod, "TooManyRestarts");
    let Some(last) = &pod.last_run else {
        return failure;
    };
    // Of one that crashes again and again more of the log is kept.
    let same = |exit: &&Exit| exit.code == last.code && exit.message.ends_with(&last.message);
    let last = pod.exit.as_ref().filter(same).unwrap_or(last);
    let said = Some(joined(&last.reason, &last.message, tail)).filter(|text| !text.is_empty());
    NodeFailure {
        exit_code: Some(last.code),
        message: said.or(failure.message),
        ..failure
    }
}

/// A reason and what was said with it, each where there is one; what was said is shortened.
fn joined(reason: &str, said: &str, shorten: fn(&str, usize) -> String) -> String {
    match (reason, said) {
        (only, "") | ("", only) => shorten(only, MESSAGE),
        (reason, said) => {
            let left = MESSAGE.saturating_sub(reason.chars().count() + 2);
            cut(&format!("{reason}: {}", shorten(said, left)), MESSAGE)
        }
    }
}

/// Whether something keeps a pod from starting its first program: nothing is lost with it. A pod whose trouble is another one
/// may have run something.
pub(super) fn is_stuck(pod: &PodView) -> bool {
    let trouble = pod.trouble.as_ref().and_then(|it| cannot_start(&it.reason));
    trouble.is_some()
        && !pod.started
        && !pod.finished
        && pod.exit.is_none()
        && pod.ready_since.is_none()
        && pod.recent_restarts == 0
}

/// The failure that a waiting reason of the kubelet stands for, where it says that a container could not be started.
fn cannot_start(trouble: &str) -> Option<&'static str> {
    match trouble {
        "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError" | "RegistryUnavailable" => {
            Some("ImagePull")
        }
        image if image.starts_with("ImagePull") || image.starts_with("ErrImage") => {
            Some("ImagePull")
        }
        "CreateContainerError" | "CreateContainerConfigError" | "RunContainerError" => {
            Some("CreateContainer")
        }
        _ => None,
    }
}

/// Judges a pod of the update revision that is neither deleted nor finished.
pub(super) fn judge(pod: &PodView, desired: &Desired, now: Timestamp) -> Verdict {
    // A pod that was ready and lost it gets the same time again as a new one: a container that restarts is no failure.
    let begin = pod
        .unready_since
        .map_or(pod.created, |since| since.max(pod.created));
    let trouble = pod
        .trouble
        .as_ref()
        .map(|trouble| trouble.reason.as_str())
        .unwrap_or_default();
    let fail = |reason: &str, again| Verdict::Failed {
        failure: failure(pod, reason),
        again,
    };
    if pod.recent_restarts > desired.max_restarts {
        // Restarts leave the window by time alone.
        return Verdict::Failed {
            failure: restarted(pod),
            again: Some(later(now, desired.restart_window)),
        };
    }
    let until = healthy_from(pod, desired);
    if is_crash_loop(pod) && until.is_none_or(|until| until > now) {
        return fail("CrashLoop", until);
    }
    if let Some(until) = until {
        return if until <= now {
            Verdict::Healthy
        } else {
            Verdict::Starting { until }
        };
    }
    let (reason, grace) = match cannot_start(trouble) {
        Some(reason) if trouble == "InvalidImageName" => (reason, Duration::ZERO),
        Some(reason @ "CreateContainer") => (reason, CREATE_GRACE.min(desired.start_grace)),
        Some(reason) => (reason, desired.start_grace),
        None => (
            "NotReady",
            desired.start_grace.saturating_add(desired.min_ready),
        ),
    };
    let until = later(begin, grace);
    if until <= now {
        fail(reason, None)
    } else {
        Verdict::Starting { until }
    }
}

fn failure(pod: &PodView, reason: &str) -> NodeFailure {
    let exit = pod.exit.as_ref();
    let said = exit
        .map(|exit| tail(&exit.message, MESSAGE))
        .filter(|message| !message.is_empty());
    let trouble = pod.trouble.as_ref();
    let message = said.or_else(|| trouble.map(|trouble| cut(&trouble.message, MESSAGE)));
    NodeFailure {
        node: pod.node.clone(),
        revision: pod.revision.clone(),
        reason: reason.to_owned(),
        exit_code: exit.map(|exit| exit.code),
        message: message.filter(|message| !message.is_empty()),
        attempts: None,
        next_retry_time: None,
    }
}
