//! Carries out the election: reads and writes the Lease and moves the fence on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use tokio::time::{sleep, timeout, timeout_at};

use super::fence::Fence;
use super::{Decision, Elector, LeaseView, Timing};

/// Why a round of the election had no result.
#[expect(
    clippy::error_impl_error,
    reason = "one Error per step; the module is part of its name"
)]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lease could not be read.
    #[error("failed to read the lease")]
    Read(#[source] Box<kube::Error>),
    /// The lease could not be written.
    #[error("failed to write the lease")]
    Write(#[source] Box<kube::Error>),
}

/// One replica's part in the election.
pub struct Election {
    api: Api<Lease>,
    name: String,
    timing: Timing,
    elector: Elector,
    fence: Arc<Fence>,
    clock: fn() -> Timestamp,
    /// The lease as we last wrote it: renewing needs no read while nobody else writes.
    own: Option<Lease>,
}

impl std::fmt::Debug for Election {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Election")
            .field("name", &self.name)
            .field("elector", &self.elector)
            .finish_non_exhaustive()
    }
}

impl Election {
    /// A standby. `me` must be unique to this process; `clock` only fills in the times that people read.
    pub fn new(
        api: Api<Lease>,
        name: &str,
        me: &str,
        timing: Timing,
        fence: Arc<Fence>,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            api,
            name: name.to_owned(),
            timing,
            elector: Elector::new(me, timing),
            fence,
            clock,
            own: None,
        }
    }

    /// Waits until this process is the leader. From then on [`Self::hold`] must run.
    ///
    /// *Guarantees*: writes nothing but the Lease. Cancel-safe: a lease that was written by a cancelled call is given
    /// back by [`Self::release`] or runs out.
    pub async fn acquire(&mut self) {
        loop {
            match timeout(self.timing.renew_deadline, self.round()).await {
                Ok(Ok(Some(Decision::Acquire { .. } | Decision::Renew { .. }))) => {
                    tracing::info!(lease = %self.name, identity = self.elector.me(), "Became the leader");
                    return;
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(lease = %self.name, error = %chain(&error), "Failed a round of the election");
                }
                Err(_) => {
                    tracing::warn!(lease = %self.name, "Timed out in a round of the election");
                }
            }
            sleep(self.timing.retry_period).await;
        }
    }

    /// Renews the lease until it is lost, and closes the fence. The caller must then end the process.
    pub async fn hold(&mut self) {
        while let Some(until) = self.elector.valid_until() {
            // A request that hangs must not make us overlook the deadline.
            let round = timeout_at(until.into(), self.round()).await;
            match round {
                Err(_) | Ok(Ok(Some(Decision::Lost))) => break,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(lease = %self.name, error = %chain(&error), "Failed to renew the lease");
                }
            }
            let left = self.elector.valid_until().map_or(Duration::ZERO, |t| {
                t.saturating_duration_since(Instant::now())
            });
            sleep(self.timing.retry_period.min(left)).await;
        }
        self.fence.close();
        tracing::error!(lease = %self.name, identity = self.elector.me(), "Lost the leadership");
    }

    /// Gives the lease back, so that a standby takes over at its next look. Closes the fence first.
    pub async fn release(&mut self) {
        self.fence.close();
        let Some(mut lease) = self.own.take() else {
            return;
        };
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime((self.clock)()));
        }
        match timeout(
            self.timing.retry_period,
            self.api.replace(&self.name, &PostParams::default(), &lease),
        )
        .await
        {
            Ok(Ok(_)) => tracing::info!(lease = %self.name, "Released the lease"),
            Ok(Err(error)) => {
                tracing::warn!(lease = %self.name, error = %chain(&error), "Failed to release the lease");
            }
            Err(_) => tracing::warn!(lease = %self.name, "Timed out while releasing the lease"),
        }
    }

    /// One round: read where needed, decide, write. Returns the decision that was carried out, none on a conflict.
    async fn round(&mut self) -> Result<Option<Decision>, Error> {
        let current = match self.own.clone() {
            Some(lease) => Some(lease),
            None => self
                .api
                .get_opt(&self.name)
                .await
                .map_err(|e| Error::Read(Box::new(e)))?,
        };
        let decision = self
            .elector
            .decide(current.as_ref().map(view).as_ref(), Instant::now());
        let transitions = match decision {
            Decision::Acquire { transitions } | Decision::Renew { transitions } => transitions,
            Decision::Wait | Decision::Lost => return Ok(Some(decision)),
        };
        let lease = self.lease(
            current.as_ref(),
            transitions,
            matches!(decision, Decision::Renew { .. }),
        );
        let sent = Instant::now();
        let written = if current.is_some() {
            self.api
                .replace(&self.name, &PostParams::default(), &lease)
                .await
        } else {
            self.api.create(&PostParams::default(), &lease).await
        };
        match written {
            Ok(lease) => {
                self.own = Some(lease);
                self.elector.written(sent);
                if let Some(until) = self.elector.valid_until() {
                    self.fence.extend(until);
                }
                Ok(Some(decision))
            }
            Err(error) => {
                // The write may have happened: what is stored now must be read before the next try.
                self.own = None;
                let conflict =
                    matches!(&error, kube::Error::Api(status) if matches!(status.code, 404 | 409));
                if conflict {
                    Ok(None)
                } else {
                    Err(Error::Write(Box::new(error)))
                }
            }
        }
    }

    fn lease(&self, current: Option<&Lease>, transitions: i32, renewing: bool) -> Lease {
        let now = MicroTime((self.clock)());
        let acquired = current
            .filter(|_| renewing)
            .and_then(|l| l.spec.as_ref()?.acquire_time.clone());
        let metadata = current.map_or_else(
            || ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            |lease| ObjectMeta {
                managed_fields: None,
                ..lease.metadata.clone()
            },
        );
        let duration = i32::try_from(self.timing.lease_duration.as_secs()).unwrap_or(i32::MAX);
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.elector.me().to_owned()),
                lease_duration_seconds: Some(duration),
                lease_transitions: Some(transitions),
                acquire_time: acquired.or_else(|| Some(now.clone())),
                renew_time: Some(now),
                ..LeaseSpec::default()
            }),
        }
    }
}

/// What the election needs of a Lease object.
fn view(lease: &Lease) -> LeaseView {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|s| s.lease_duration_seconds).unwrap_or(0);
    LeaseView {
        holder: spec
            .and_then(|s| s.holder_identity.clone())
            .unwrap_or_default(),
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        transitions: spec.and_then(|s| s.lease_transitions).unwrap_or(0),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// An error with its causes, as one line for the log.
fn chain(error: &dyn std::error::Error) -> String {
    crate::error::chain(error)
}
