//! The requests of the engine: at most one per pod under way, a bounded number in all, made again when they fail.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;

use super::api::{self, ApiError};
use super::engine::{Engine, Timer, Turn};
use super::pod::PodView;
use super::timing::later;

/// How long a failed request waits before it is made again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) enum Write {
    Status(Box<PodStatus>),
    Delete,
}

/// A request that ended.
pub(super) enum Done {
    Pod {
        uid: String,
        write: Write,
        result: Result<(), ApiError>,
    },
    Lease,
    Event,
}

impl Engine {
    pub(super) fn warn(&mut self, pod: &Arc<PodView>, reason: &'static str, message: String) {
        if !self.options.events {
            return;
        }
        let (client, pod) = (self.client.clone(), Arc::clone(pod));
        self.flight.spawn(async move {
            // An event that is lost is lost, as on a real node.
            if let Err(error) =
                api::warn(&client, &pod.spec.node_name, &pod, reason, &message).await
            {
                tracing::debug!(?error, "a warning was not published");
            }
            Done::Event
        });
    }

    /// Hands out waiting writes while there is room.
    pub(super) fn hand_out(&mut self) {
        while self.flight.len() < self.options.writers {
            let Some(next) = self.queue.pop_front() else {
                return;
            };
            match next {
                Timer::Pod(uid) | Timer::Retry(uid) => self.send_pod(uid),
                Timer::Lease(name) => self.send_lease(&name),
                Timer::Up(_) | Timer::Event(_) => {}
            }
        }
    }

    fn send_pod(&mut self, uid: String) {
        let Some(slot) = self.slots.get_mut(&uid) else {
            return;
        };
        if slot.busy
            || !self
                .hosts
                .get(&slot.pod.spec.node_name)
                .is_some_and(|host| host.alive)
        {
            return;
        }
        let Some(write) = slot.wants.take() else {
            return;
        };
        slot.busy = true;
        let (client, pod) = (self.client.clone(), Arc::clone(&slot.pod));
        self.flight.spawn(async move {
            let result = match &write {
                Write::Status(status) => api::report(&client, &pod, status).await,
                Write::Delete => api::remove(&client, &pod).await,
            };
            Done::Pod { uid, write, result }
        });
    }

    fn send_lease(&mut self, name: &str) {
        let Some(host) = self.hosts.get(name).filter(|host| host.alive) else {
            return;
        };
        let (client, machine, uid) = (self.client.clone(), host.machine.clone(), host.uid.clone());
        let seconds = self.options.lease_seconds();
        self.flight.spawn(async move {
            // The next renewal is the retry.
            drop(api::renew(&client, &machine, &uid, seconds).await);
            Done::Lease
        });
    }

    pub(super) fn finish(&mut self, done: Done) -> Turn {
        match done {
            Done::Event => {}
            Done::Lease => self.count(|stats| stats.lease_writes += 1),
            Done::Pod { uid, write, result } => {
                self.count(|stats| stats.pod_writes += 1);
                self.finish_pod(&uid, write, result);
            }
        }
        Turn::Next
    }

    fn finish_pod(&mut self, uid: &str, write: Write, result: Result<(), ApiError>) {
        let Some(slot) = self.slots.get_mut(uid) else {
            return;
        };
        slot.busy = false;
        match result {
            Ok(()) if matches!(write, Write::Delete) => {}
            Ok(()) => self.step(uid),
            // Gone, or another pod of the same name: there is nobody to report about any more.
            Err(error) if matches!(error.code(), 404 | 409) => slot.wants = None,
            Err(error) => {
                tracing::debug!(%error, code = error.code(), "a pod write failed");
                slot.wants.get_or_insert(write);
                self.timers
                    .insert((later(Timestamp::now(), RETRY), Timer::Retry(uid.to_owned())));
                self.count(|stats| stats.retries += 1);
            }
        }
        // A status that came up meanwhile has been waiting for this one.
        if self
            .slots
            .get(uid)
            .is_some_and(|slot| slot.wants.is_some() && !slot.busy)
        {
            self.queue.push_back(Timer::Pod(uid.to_owned()));
        }
    }
}
