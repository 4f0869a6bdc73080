//! One container on one node: from the queue over pull, creation and runs to its last end. Pure.
//!
//! ```text
//!  Queued ─► Pulling ─► Creating ─► Running ─► Stopping
//!              │  ▲        │  ▲        │           │
//!              ▼  │        ▼  │        ▼           ▼
//!       ImageRefused  CreateRefused   (ended) ─► BackOff ─► Running …   or   Ended
//! ```
//!
//! Every state with a future carries its time, so an event happens at its planned time however late it is looked at:
//! that is what makes a seed a timeline.

use std::time::Duration;

use jiff::Timestamp;

use super::life::{End, Failure, Life, Note};
use super::pod::RestartPolicy;
use super::refusal::{self, Refusal, Stage};
use super::script::{Exit, ImageState};
use super::timing::{BACK_OFF, Surroundings, back_off, later};

/// A run of at least this length makes the kubelet forget earlier crashes.
const FORGET_CRASHES: Duration = Duration::from_mins(10);
/// containerd's exit code for a container that did not start.
const START_ERROR: i32 = 128;

/// The waiting reason after a `postStart` hook that failed.
pub(super) const HOOK_FAILED: &str = "PostStartHookError";

/// One container and its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    /// Where it is.
    pub life: Life,
    /// How often it was started again.
    pub restarts: i32,
    /// How often its process was started at all.
    pub starts: u32,
    /// How the run before this one ended; of a container that is started again, the latest run.
    pub last: Option<End>,
    /// How the run before [`Self::last`] ended.
    pub earlier: Option<End>,
    /// How the container ends that its `postStart` hook failed: nobody sees it run.
    pub(super) unseen: Option<End>,
    /// Ends in a row that lengthen the back-off.
    pub(super) crashes: u32,
    /// Whether the image is on the node.
    pub(super) pulled: bool,
}

impl Default for Container {
    fn default() -> Self {
        Self {
            life: Life::Queued,
            restarts: 0,
            starts: 0,
            last: None,
            earlier: None,
            unseen: None,
            crashes: 0,
            pulled: false,
        }
    }
}

impl Container {
    /// How the container ended for good.
    pub(super) fn end(&self) -> Option<&End> {
        match &self.life {
            Life::Ended(end) => Some(end),
            Life::Queued
            | Life::NeverRan
            | Life::Pulling { .. }
            | Life::ImageRefused { .. }
            | Life::Creating { .. }
            | Life::CreateRefused { .. }
            | Life::Running { .. }
            | Life::Stopping { .. }
            | Life::BackOff { .. } => None,
        }
    }

    /// Whether a run of it has ended or goes on.
    pub(super) fn has_run(&self) -> bool {
        self.is_running() || self.end().is_some() || self.last.is_some()
    }

    /// Whether it is beyond its first pull and creation: the kubelet has reported about it.
    pub(super) fn has_begun(&self) -> bool {
        let is_new = matches!(
            self.life,
            Life::Queued | Life::NeverRan | Life::Pulling { .. } | Life::Creating { .. }
        );
        !is_new || self.last.is_some()
    }

    /// Whether the runtime has a container of it, running or ended.
    pub(super) fn has_container(&self) -> bool {
        let was_made = |end: &End| end.started.is_some() || end.code == START_ERROR;
        self.is_running() || self.last.is_some() || self.end().is_some_and(was_made)
    }

    /// Whether its hook has failed in an earlier run, and fails in the run that nobody sees yet.
    pub(super) fn hook_failed_before(&self) -> bool {
        self.unseen.is_some() && self.last.is_some()
    }

    /// Whether the pod was over before a process of it was started, so that only the kubelet says that it ended.
    pub(super) fn was_given_up(&self) -> bool {
        self.life == Life::NeverRan || (self.end().is_some() && !self.has_container())
    }

    /// Whether a process exists.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.life, Life::Running { .. } | Life::Stopping { .. })
    }

    /// Its turn has come at `at`.
    pub(super) fn begin(&mut self, at: Timestamp, around: &Surroundings<'_>) {
        if self.life == Life::Queued {
            let pull = if self.pulled {
                Duration::ZERO
            } else {
                around.pick("pull", around.pull(), 0)
            };
            self.life = Life::Pulling {
                until: later(at, pull),
            };
        }
    }

    /// Plays everything that is due. Returns when to look again; `stopping` means that nothing is started any more.
    pub(super) fn advance(
        &mut self,
        around: &Surroundings<'_>,
        stopping: bool,
        notes: &mut Vec<Note>,
    ) -> Option<Timestamp> {
        // Each turn is one event; the bound keeps a script of zero delays from spinning for ever in one step.
        for _ in 0..64 {
            let due = self.due(around)?;
            if due > around.now {
                return Some(due);
            }
            self.happen(due.max(around.floor), around, stopping, notes);
        }
        Some(later(around.now, Duration::from_millis(100)))
    }

    fn due(&self, around: &Surroundings<'_>) -> Option<Timestamp> {
        match &self.life {
            Life::Queued | Life::NeverRan | Life::Ended(_) => None,
            Life::Pulling { until }
            | Life::ImageRefused { until, .. }
            | Life::Creating { until }
            | Life::CreateRefused { until, .. }
            | Life::Stopping { until, .. }
            | Life::BackOff { until, .. } => Some(*until),
            Life::Running { since } => {
                let exit = around
                    .exit(self.starts)
                    .map(|exit| around.exit_at(*since, &exit, self.starts));
                [exit, around.killed_by_probe_at(*since, self.starts)]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }

    fn happen(
        &mut self,
        at: Timestamp,
        around: &Surroundings<'_>,
        stopping: bool,
        notes: &mut Vec<Note>,
    ) {
        match self.life.clone() {
            Life::Queued | Life::NeverRan | Life::Ended(_) => {}
            Life::Pulling { .. } | Life::ImageRefused { .. }
                if around.behaviour.image != ImageState::Present && !self.pulled =>
            {
                let tries = if let Life::ImageRefused { tries, .. } = self.life {
                    tries + 1
                } else {
                    1
                };
                let delay = around.hurry(back_off(tries));
                self.life = Life::ImageRefused {
                    since: at,
                    until: later(at, delay),
                    tries,
                };
            }
            Life::Pulling { .. } | Life::ImageRefused { .. } => {
                self.pulled = true;
                self.life = Life::Creating {
                    until: later(at, around.pick("start", around.start(), self.starts)),
                };
            }
            Life::Creating { .. } | Life::CreateRefused { .. } => match self.unseen.take() {
                Some(end) => {
                    let failed = Failure {
                        reason: HOOK_FAILED,
                        message: "the postStart hook failed".to_owned(),
                    };
                    self.ended(end, around, stopping, Some(failed));
                }
                None => self.create(at, around, stopping, notes),
            },
            Life::Running { since } => {
                let exit = around
                    .exit(self.starts)
                    .filter(|exit| around.exit_at(since, exit, self.starts) <= at);
                match exit {
                    Some(exit) => self.ended(around.end(since, at, &exit), around, stopping, None),
                    None => self.life = around.stopping(since, at, around.grace(), self.starts),
                }
            }
            Life::Stopping { since, code, .. } => {
                let exit = Exit {
                    code,
                    ..Exit::default()
                };
                self.ended(around.end(since, at, &exit), around, stopping, None);
            }
            Life::BackOff { .. } => {
                self.restarts += 1;
                self.create(at, around, stopping, notes);
            }
        }
    }

    fn create(
        &mut self,
        at: Timestamp,
        around: &Surroundings<'_>,
        stopping: bool,
        notes: &mut Vec<Note>,
    ) {
        let image_user = around.behaviour.image_user.as_deref();
        let image_user =
            image_user.unwrap_or_else(|| refusal::user_of_image(&around.container.image));
        let refused = refusal::of_container(
            around.pod,
            around.container,
            image_user,
            around.local_groups,
        );
        let scripted = around
            .behaviour
            .create_error
            .as_ref()
            .map(|error| (error.reason.clone(), error.message.clone()));
        let waiting = match (&refused, scripted) {
            (
                Some(Refusal {
                    stage: Stage::Start,
                    ..
                })
                | None,
                None,
            ) => None,
            (_, Some(scripted)) => Some(scripted),
            (Some(refused), None) => Some((refused.reason.to_owned(), refused.message.clone())),
        };
        if let Some((reason, message)) = waiting {
            let news = !matches!(&self.life, Life::CreateRefused { message: known, .. } if *known == message);
            if news {
                notes.push(Note::Refused("Failed", format!("Error: {message}")));
            }
            self.life = Life::CreateRefused {
                reason,
                message,
                until: later(at, around.hurry(BACK_OFF)),
            };
            return;
        }
        let start_error = around.behaviour.start_error.as_ref();
        let start_error = refused
            .map(|it| it.message)
            .or_else(|| start_error.cloned());
        if let Some(message) = start_error {
            self.does_not_start(at, message, around, stopping, notes);
            return;
        }
        self.starts += 1;
        notes.push(Note::Started(around.container.name.clone()));
        self.life = Life::Running { since: at };
        if around.post_start_fails() {
            // The kubelet is busy with the hook and then with the stop; when it reports again, the container has ended.
            if let Life::Stopping { until, code, .. } =
                around.stopping(at, at, around.grace(), self.starts)
            {
                let exit = Exit {
                    code,
                    ..Exit::default()
                };
                self.unseen = Some(around.end(at, until, &exit));
                self.life = Life::Creating { until };
            }
        }
    }

    fn does_not_start(
        &mut self,
        at: Timestamp,
        message: String,
        around: &Surroundings<'_>,
        stopping: bool,
        notes: &mut Vec<Note>,
    ) {
        if self.last.is_none() {
            notes.push(Note::Refused("Failed", format!("Error: {message}")));
        }
        let end = End {
            started: None,
            finished: at,
            code: START_ERROR,
            reason: "StartError".to_owned(),
            message: Some(message.clone()),
        };
        let failed = Failure {
            reason: "RunContainerError",
            message,
        };
        self.ended(end, around, stopping, Some(failed));
    }

    fn ended(
        &mut self,
        end: End,
        around: &Surroundings<'_>,
        stopping: bool,
        start_failed: Option<Failure>,
    ) {
        let again = match around.restart {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => end.code != 0,
            RestartPolicy::Never => false,
        };
        if !again || stopping {
            self.life = Life::Ended(end);
            return;
        }
        let ran = end.started.map_or(Duration::ZERO, |started| {
            end.finished.duration_since(started).unsigned_abs()
        });
        if ran >= around.hurry(FORGET_CRASHES) {
            self.crashes = 0;
        }
        // The first restart is immediate; the pause begins with the second.
        let delay = if self.crashes == 0 {
            Duration::ZERO
        } else {
            around.hurry(back_off(self.crashes))
        };
        self.crashes += 1;
        let at = end.finished;
        self.earlier = self.last.replace(end);
        let mut delay = delay;
        if start_failed.is_some() {
            // A failed start shows its own reason until the kubelet's next look, even before the immediate restart.
            delay = delay.max(around.hurry(Duration::from_secs(1)));
        }
        let start = around.pick("start", around.start(), self.starts);
        let until = later(later(at, delay), start);
        let seen = if self.crashes == 1 {
            until
        } else {
            later(at, around.hurry(Duration::from_secs(1)))
        };
        let start_failed = start_failed.map(|failed| (seen, failed));
        self.life = Life::BackOff {
            until,
            delay,
            start_failed,
        };
    }
}
