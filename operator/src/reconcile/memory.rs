//! What the process remembers about a task between passes. Losing it costs a few requests, never a wrong decision.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hosttask_crds::task::WindowsHostTaskStatus;

use crate::error::FIRST_REFUSED_RETRY;
use crate::plan::Action;
use crate::queue::{MAX_BACKOFF, backoff};
use crate::report::Written;
use crate::status::Rejection;

/// How many of our own status writes may be on their way through the watch at once.
const SUPERSEDED: usize = 16;
/// How long writes may fail for passing reasons before the status says so.
const PATIENCE: Duration = Duration::from_secs(30);

/// The memory of one task.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// The resource versions that our own status writes replaced: the watch may still show them.
    superseded: VecDeque<String>,
    /// Our last status write, and when it was.
    written: Option<(Written, Instant)>,
    refused: Vec<Refused>,
    failing_since: Option<Instant>,
}

/// A write that the API server refused.
#[derive(Clone, Debug)]
struct Refused {
    /// The very write: anything else may be tried at once.
    action: Action,
    rejection: Rejection,
    times: u32,
    until: Instant,
}

impl Memory {
    /// The status and resource version of the task: what the watch shows, or what we wrote since.
    pub(super) fn stored(
        &self,
        shown: &WindowsHostTaskStatus,
        version: &str,
    ) -> (WindowsHostTaskStatus, String) {
        match &self.written {
            Some((written, _)) if self.superseded.iter().any(|old| old == version) => {
                (written.status.clone(), written.resource_version.clone())
            }
            _ => (shown.clone(), version.to_owned()),
        }
    }

    /// We replaced the status at `version`.
    pub(super) fn wrote(&mut self, version: String, written: Written, now: Instant) {
        if self.superseded.len() == SUPERSEDED {
            self.superseded.pop_front();
        }
        self.superseded.push_back(version);
        self.written = Some((written, now));
    }

    /// How long ago we wrote the status.
    pub(super) fn since_written(&self, now: Instant) -> Option<Duration> {
        self.written
            .as_ref()
            .map(|(_, at)| now.saturating_duration_since(*at))
    }

    /// Whether this very write was refused lately: then it is not tried before the time that is returned.
    pub(super) fn refused(&self, action: &Action, now: Instant) -> Option<(Rejection, Duration)> {
        let refused = self
            .refused
            .iter()
            .find(|refused| is_same_write(&refused.action, action) && now < refused.until)?;
        Some((
            refused.rejection.clone(),
            refused.until.saturating_duration_since(now),
        ))
    }

    /// The API server refused a write. Returns after what time to try the same again: 5 s … 5 min.
    pub(super) fn refuse(
        &mut self,
        action: &Action,
        rejection: Rejection,
        now: Instant,
    ) -> Duration {
        let before = self
            .refused
            .iter()
            .position(|before| is_same_write(&before.action, action))
            .map(|before| self.refused.swap_remove(before));
        let times = before.map_or(0, |before| before.times);
        let delay = backoff(times).max(FIRST_REFUSED_RETRY);
        // What is wanted is tried again in time; the rest is not wanted any more.
        self.refused
            .retain(|old| now.saturating_duration_since(old.until) < MAX_BACKOFF);
        self.refused
            .extend(now.checked_add(delay).map(|until| Refused {
                action: action.clone(),
                rejection,
                times: times + 1,
                until,
            }));
        delay
    }

    /// A pass carried out its whole plan.
    pub(super) fn succeeded(&mut self) {
        self.refused.clear();
        self.failing_since = None;
    }

    /// A pass failed for a passing reason. Returns whether that has gone on for so long that the status should say so.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        let since = *self.failing_since.get_or_insert(now);
        now.saturating_duration_since(since) > PATIENCE
    }
}

/// Whether two writes ask for the same. The resource version of a pod is a precondition: the kubelet raises it all the time,
/// and whoever refuses to let the pod go does not mind.
fn is_same_write(one: &Action, other: &Action) -> bool {
    if let (
        Action::DeletePod { name, uid, .. },
        Action::DeletePod {
            name: other_name,
            uid: other_uid,
            ..
        },
    ) = (one, other)
    {
        return (name, uid) == (other_name, other_uid);
    }
    one == other
}

#[cfg(test)]
mod tests {
    use super::*;
    use hosttask_crds::Reason;

    fn status(generation: i64) -> WindowsHostTaskStatus {
        WindowsHostTaskStatus {
            observed_generation: Some(generation),
            ..WindowsHostTaskStatus::default()
        }
    }

    fn written(version: &str, generation: i64) -> Written {
        Written {
            resource_version: version.into(),
            status: status(generation),
        }
    }

    #[test]
    fn a_watch_that_lags_behind_our_own_writes_does_not_bring_an_old_status_back() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.wrote("1".into(), written("2", 20), now);
        memory.wrote("2".into(), written("3", 30), now);
        for lagging in ["1", "2"] {
            assert_eq!(
                memory.stored(&status(0), lagging),
                (status(30), "3".into()),
                "shown at {lagging}"
            );
        }
        assert_eq!(memory.stored(&status(30), "3").1, "3");
        assert_eq!(
            memory.stored(&status(41), "4"),
            (status(41), "4".into()),
            "somebody else wrote since"
        );
    }

    #[test]
    fn the_same_refused_write_waits_from_five_seconds_to_five_minutes_and_another_one_does_not() {
        let (mut memory, mut now) = (Memory::default(), Instant::now());
        let delete = |uid: &str| Action::DeleteRevision {
            name: "r".into(),
            uid: uid.into(),
        };
        let rejection = || Rejection {
            reason: Reason::ChildRejected,
            message: "no".into(),
        };
        let mut delays = Vec::new();
        for _ in 0..10 {
            let delay = memory.refuse(&delete("a"), rejection(), now);
            assert_eq!(
                memory.refused(&delete("a"), now),
                Some((rejection(), delay))
            );
            assert_eq!(memory.refused(&delete("b"), now), None);
            delays.push(delay.as_secs());
            now += delay;
            assert_eq!(memory.refused(&delete("a"), now), None, "its time has come");
        }
        assert_eq!(
            delays,
            [5, 5, 5, 8, 16, 32, 64, 128, 256, MAX_BACKOFF.as_secs()]
        );
        assert_eq!(
            memory.refuse(&delete("b"), rejection(), now),
            FIRST_REFUSED_RETRY,
            "another write starts afresh"
        );
    }

    #[test]
    fn a_pod_that_may_not_be_deleted_stays_refused_while_its_status_changes() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        let delete = |uid: &str, version: &str| Action::DeletePod {
            name: "p".into(),
            uid: uid.into(),
            resource_version: version.into(),
            node: "n".into(),
        };
        let rejection = Rejection {
            reason: Reason::ChildRejected,
            message: "no".into(),
        };
        memory.refuse(&delete("a", "7"), rejection.clone(), now);
        assert!(memory.refused(&delete("a", "8"), now).is_some());
        assert!(memory.refused(&delete("b", "8"), now).is_none());
    }

    #[test]
    fn refusals_of_several_writes_are_remembered_until_they_are_not_wanted_any_more() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        let delete = |name: &str| Action::DeleteRevision {
            name: name.into(),
            uid: "u".into(),
        };
        let rejection = || Rejection {
            reason: Reason::ChildRejected,
            message: "no".into(),
        };
        memory.refuse(&delete("a"), rejection(), now);
        memory.refuse(&delete("b"), rejection(), now);
        assert!(memory.refused(&delete("a"), now).is_some());
        assert!(memory.refused(&delete("b"), now).is_some());
        let later = now + MAX_BACKOFF * 2;
        memory.refuse(&delete("c"), rejection(), later);
        assert_eq!(memory.refused.len(), 1);
    }

    #[test]
    fn a_passing_failure_is_reported_only_when_it_does_not_pass() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        assert!(!memory.failed(now));
        assert!(!memory.failed(now + PATIENCE));
        assert!(memory.failed(now + PATIENCE + Duration::from_secs(1)));
        memory.succeeded();
        assert!(!memory.failed(now + PATIENCE * 3));
    }
}
