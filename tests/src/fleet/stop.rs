//! How a container stops: told to, within its grace period, or because its machine was lost. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::container::Container;
use super::life::{End, Life};
use super::pod::RestartPolicy;
use super::timing::{Surroundings, later};

impl Container {
    /// A container whose earlier run was lost with the machine: it counts as ended, and its next start as a restart.
    pub(super) fn lost(
        &self,
        at: Timestamp,
        code: i32,
        reason: &str,
        restart: RestartPolicy,
    ) -> Self {
        let started = match &self.life {
            Life::Running { since } | Life::Stopping { since, .. } => Some(*since),
            Life::Ended(end)
                if restart == RestartPolicy::Never
                    || (restart == RestartPolicy::OnFailure && end.code == 0) =>
            {
                return self.clone();
            }
            Life::Queued
            | Life::NeverRan
            | Life::Pulling { .. }
            | Life::ImageRefused { .. }
            | Life::Creating { .. }
            | Life::CreateRefused { .. }
            | Life::BackOff { .. }
            | Life::Ended(_) => None,
        };
        let Some(started) = started else {
            let restarts = self.restarts + i32::from(matches!(self.life, Life::BackOff { .. }));
            return Self {
                life: Life::Queued,
                restarts,
                crashes: 0,
                ..self.clone()
            };
        };
        let end = End {
            started: Some(started),
            finished: at,
            code,
            reason: reason.to_owned(),
            message: None,
        };
        if restart == RestartPolicy::Never {
            return Self {
                life: Life::Ended(end),
                ..self.clone()
            };
        }
        Self {
            life: Life::Queued,
            restarts: self.restarts + 1,
            last: Some(end),
            crashes: 0,
            ..self.clone()
        }
    }

    /// Tells the process to stop within `grace`; a container without a process ends as it stands. `is_due` is whether the
    /// kubelet takes it for one that may have run.
    pub(super) fn stop(
        &mut self,
        at: Timestamp,
        grace: Duration,
        around: &Surroundings<'_>,
        is_due: bool,
    ) {
        if let Some(end) = self.unseen.take() {
            self.life = Life::Ended(end);
            return;
        }
        match &self.life {
            Life::Running { since } => self.life = around.stopping(*since, at, grace, self.starts),
            // A shorter grace period than before, as a second `kubectl delete` asks for.
            Life::Stopping { since, until, .. } if *until > later(at, grace) => {
                self.life = Life::Stopping {
                    since: *since,
                    until: later(at, grace),
                    code: 1,
                };
            }
            Life::Stopping { .. } | Life::Ended(_) | Life::NeverRan => {}
            Life::Queued if !is_due => self.life = Life::NeverRan,
            Life::BackOff { .. } if self.last.is_some() => {
                if let Some(end) = self.last.take() {
                    self.life = Life::Ended(end);
                }
            }
            Life::Queued
            | Life::Pulling { .. }
            | Life::ImageRefused { .. }
            | Life::Creating { .. }
            | Life::CreateRefused { .. }
            | Life::BackOff { .. } => {
                self.life = Life::Ended(End {
                    started: None,
                    finished: at,
                    code: 137,
                    reason: "ContainerStatusUnknown".to_owned(),
                    message: Some(
                        "The container was not running when the pod was terminated".to_owned(),
                    ),
                });
            }
        }
    }
}
