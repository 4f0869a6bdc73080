//! Since when a container counts as started and as ready, and what changes next. Pure.

use jiff::Timestamp;

use super::container::Container;
use super::life::Life;
use super::timing::{Surroundings, later};

impl Container {
    /// Whether the startup probe has passed, and whether the container counts as ready; with when that changes next.
    pub(super) fn readiness(&self, around: &Surroundings<'_>) -> (bool, bool, Option<Timestamp>) {
        // A program that was told to stop serves until it has stopped.
        let (Life::Running { since } | Life::Stopping { since, .. }) = self.life else {
            return (false, false, None);
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
