//! One container on one node: from the queue over pull, creation and runs to its last end. Pure.
//!
//! ```text
//!  Queued ─► Pulling ─► Creating ─► Running ─► Stopping
//!              │  ▲        │  ▲        │           │
//!              ▼  │        ▼  │        ▼           ▼
//!       ImageRefused  CreateRefused   (ended) ─► BackOff ─► Creating …   or   Ended
//! ```
//!
//! Every state with a future carries its time, so an event happens at its planned time however late it is looked at:
//! that is what makes a seed a timeline.

use std::time::Duration;

use jiff::Timestamp;

use super::life::{End, Life, Note};
use super::pod::RestartPolicy;
use super::refusal::{self, Refusal, Stage};
use super::script::{Exit, ImageState};
use super::timing::{BACK_OFF, Surroundings, back_off, later};

/// A run of at least this length makes the kubelet forget earlier crashes.
const FORGET_CRASHES: Duration = Duration::from_mins(10);
/// containerd's exit code for a container that did not start.
const START_ERROR: i32 = 128;

/// One container and its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    /// Where it is.
    pub life: Life,
    /// How often it was started again.
    pub restarts: i32,
    /// How often its process was started at all.
    pub starts: u32,
    /// How the run before this one ended.
    pub last: Option<End>,
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
            | Life::Pulling { .. }
            | Life::ImageRefused { .. }
            | Life::Creating { .. }
            | Life::CreateRefused { .. }
            | Life::Running { .. }
            | Life::Stopping { .. }
            | Life::BackOff { .. } => None,
        }
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
            Life::Queued | Life::Ended(_) => None,
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
            Life::Queued | Life::Ended(_) => {}
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
            Life::Creating { .. } | Life::CreateRefused { .. } => {
                self.create(at, around, stopping, notes);
            }
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
            Life::BackOff { .. } => self.again(at, around),
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
        if let Some(refused) = refused {
            if self.last.is_none() {
                notes.push(Note::Refused(
                    "Failed",
                    format!("Error: {}", refused.message),
                ));
            }
            let message = Some(refused.message.clone());
            let reason = refused.reason.to_owned();
            let end = End {
                started: None,
                finished: at,
                code: START_ERROR,
                reason,
                message,
            };
            self.ended(end, around, stopping, Some(refused.message));
            return;
        }
        self.starts += 1;
        notes.push(Note::Started(around.container.name.clone()));
        self.life = Life::Running { since: at };
    }

    fn ended(
        &mut self,
        end: End,
        around: &Surroundings<'_>,
        stopping: bool,
        start_failed: Option<String>,
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
        self.last = Some(end);
        if delay.is_zero() && start_failed.is_none() {
            self.again(at, around);
        } else {
            // A failed start shows its own reason until the kubelet's next look, even before the immediate restart.
            let delay = delay.max(around.hurry(Duration::from_secs(1)));
            let start_failed = start_failed.filter(|_| self.crashes == 1);
            self.life = Life::BackOff {
                until: later(at, delay),
                delay,
                start_failed,
            };
        }
    }

    fn again(&mut self, at: Timestamp, around: &Surroundings<'_>) {
        self.restarts += 1;
        self.life = Life::Creating {
            until: later(at, around.pick("start", around.start(), self.starts)),
        };
    }

    /// Whether the startup probe has passed, and whether the container counts as ready; with when that changes next.
    pub(super) fn readiness(&self, around: &Surroundings<'_>) -> (bool, bool, Option<Timestamp>) {
        let Life::Running { since } = self.life else {
            return (self.is_running(), false, None);
        };
        let behaviour = around.behaviour;
        let started = around.startup_at(since, self.starts);
        let is_started = started.is_some_and(|started| started <= around.now);
        let never = behaviour.never_ready || around.readiness_fails();
        let Some(started) = started.filter(|_| !never) else {
            return (
                is_started,
                false,
                started.filter(|started| *started > around.now),
            );
        };
        let ready = around.ready_at(since, started, self.starts);
        let broken = around.broken_at(since, ready, self.starts);
        let is_ready = ready <= around.now && broken.is_none_or(|broken| broken > around.now);
        let next = [Some(started), Some(ready), broken]
            .into_iter()
            .flatten()
            .filter(|time| *time > around.now)
            .min();
        (is_started, is_ready, next)
    }

    /// Whether a failed pull shows as `ErrImagePull` still or as `ImagePullBackOff`, and when that changes.
    pub(super) fn pull_backs_off(
        since: Timestamp,
        until: Timestamp,
        now: Timestamp,
    ) -> (bool, Timestamp) {
        let fresh = later(since, until.duration_since(since).unsigned_abs() / 5);
        if now < fresh {
            (false, fresh)
        } else {
            (true, until)
        }
    }
}
