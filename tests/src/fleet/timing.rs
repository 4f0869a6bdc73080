//! When things happen to a container: the script's durations, the kubelet's back-off and the probes. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::chance::{Span, draw};
use super::life::{End, Life};
use super::pod::{ContainerView, MessagePolicy, PodView, Probe, RestartPolicy};
use super::script::{Behaviour, Exit, Hook, Outcome, Stop};

/// The kubelet's first back-off after a crash or a failed pull.
pub(super) const BACK_OFF: Duration = Duration::from_secs(10);
/// The kubelet's longest back-off.
const BACK_OFF_MAX: Duration = Duration::from_mins(5);
/// The bytes of log that the kubelet takes for a termination message.
const LOG_TAIL_BYTES: usize = 2048;
/// The lines of log that the kubelet takes for a termination message.
const LOG_TAIL_LINES: usize = 80;
/// The longest message the kubelet takes from a termination message file.
const MESSAGE_BYTES: usize = 4096;

/// Everything a container depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    /// The time of this step.
    pub now: Timestamp,
    /// No event happens before this: the time of the step before.
    pub floor: Timestamp,
    /// The fleet's seed.
    pub seed: u64,
    /// How much faster than real the kubelet's own delays go.
    pub speed: f64,
    /// The node's name.
    pub node: &'a str,
    /// The groups of the node.
    pub local_groups: &'a [String],
    /// The pod.
    pub pod: &'a PodView,
    /// The container.
    pub container: &'a ContainerView,
    /// What the script says.
    pub behaviour: &'a Behaviour,
    /// When an ended process is started again.
    pub restart: RestartPolicy,
    /// Whether it ends by itself unless the script says otherwise.
    pub runs_to_end: bool,
}

/// The time `delay` after `time`.
pub(super) fn later(time: Timestamp, delay: Duration) -> Timestamp {
    time.checked_add(delay).unwrap_or(Timestamp::MAX)
}

/// The kubelet's pause before attempt `n + 1`: 10 s, doubled each time, at most 300 s.
pub(super) fn back_off(n: u32) -> Duration {
    BACK_OFF
        .saturating_mul(1 << n.saturating_sub(1).min(8))
        .min(BACK_OFF_MAX)
}
fn tail_of_log(log: &str) -> &str {
    let from_bytes = log.ceil_char_boundary(log.len().saturating_sub(LOG_TAIL_BYTES));
    let body = log.strip_suffix('\n').unwrap_or(log);
    let from_lines = body
        .rmatch_indices('\n')
        .nth(LOG_TAIL_LINES - 1)
        .map_or(0, |(at, _)| at + 1);
    log.get(from_bytes.max(from_lines)..).unwrap_or_default()
}
impl Surroundings<'_> {
    pub(super) fn pick(&self, what: &str, span: Span, run: u32) -> Duration {
        span.pick(
            self.seed,
            &[
                self.node,
                self.pod.task(),
                &self.container.name,
                what,
                &run.to_string(),
            ],
        )
    }

    pub(super) fn hurry(&self, delay: Duration) -> Duration {
        delay.div_f64(self.speed)
    }

    pub(super) fn seconds(&self, seconds: i32) -> Duration {
        self.hurry(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    pub(super) fn pull(&self) -> Span {
        self.behaviour
            .pull_seconds
            .unwrap_or(Span::Between([0.2, 0.5]))
    }

    pub(super) fn start(&self) -> Span {
        self.behaviour.start_seconds.unwrap_or(Span::Exact(0.1))
    }

    pub(super) fn post_start_fails(&self) -> bool {
        self.container.lifecycle.post_start.is_some() && self.behaviour.post_start == Hook::Fail
    }

    pub(super) fn grace(&self) -> Duration {
        Duration::from_secs(
            u64::try_from(self.pod.spec.termination_grace_period_seconds.unwrap_or(30))
                .unwrap_or(0),
        )
    }

    pub(super) fn stopping(
        &self,
        since: Timestamp,
        at: Timestamp,
        grace: Duration,
        run: u32,
    ) -> Life {
        let Stop {
            after_seconds,
            code,
        } = self.behaviour.stop.unwrap_or_default();
        let needs = self.pick("stop", after_seconds, run);
        // hcsshim terminates the job object with exit code 1 when the grace period is over.
        let code = if needs > grace { 1 } else { code };
        Life::Stopping {
            since,
            until: later(at, needs.min(grace)),
            code,
        }
    }

    pub(super) fn exit(&self, starts: u32) -> Option<Exit> {
        if let Some(crash) = &self.behaviour.crash_loop {
            let exit = Exit {
                code: crash.code,
                after_seconds: crash.after_seconds,
                ..Exit::default()
            };
            return Some(Exit {
                log: crash.log.clone(),
                ..exit
            });
        }
        let scripted = self
            .behaviour
            .exit
            .clone()
            .filter(|exit| exit.times.is_none_or(|times| starts <= times));
        scripted.or_else(|| self.runs_to_end.then(Exit::default))
    }

    pub(super) fn exit_at(&self, since: Timestamp, exit: &Exit, run: u32) -> Timestamp {
        later(since, self.pick("exit", exit.after_seconds, run))
    }

    pub(super) fn startup_at(&self, since: Timestamp, run: u32) -> Option<Timestamp> {
        let Some(probe) = self.container.startup_probe else {
            return Some(since);
        };
        let first = later(since, self.seconds(probe.initial_delay_seconds));
        match self.behaviour.probes.startup {
            Outcome::Pass | Outcome::FailAfterSeconds(_) => Some(first),
            Outcome::Fail => None,
            Outcome::PassAfterSeconds(span) => {
                Some(first.max(later(since, self.pick("startup", span, run))))
            }
        }
    }

    pub(super) fn killed_by_probe_at(&self, since: Timestamp, run: u32) -> Option<Timestamp> {
        let strikes = |probe: Probe| {
            self.seconds(probe.period_seconds)
                .saturating_mul(u32::try_from(probe.failure_threshold).unwrap_or(1))
        };
        let started = self.startup_at(since, run);
        let startup = self.container.startup_probe.and_then(|probe| {
            let limit = later(
                later(since, self.seconds(probe.initial_delay_seconds)),
                strikes(probe),
            );
            (started.is_none_or(|started| started > limit)).then_some(limit)
        });
        let liveness = self.container.liveness_probe.and_then(|probe| {
            let first = later(started?, self.seconds(probe.initial_delay_seconds));
            match self.behaviour.probes.liveness {
                Outcome::Pass => None,
                Outcome::Fail => Some(later(first, strikes(probe))),
                Outcome::PassAfterSeconds(span) => {
                    let limit = later(first, strikes(probe));
                    (later(since, self.pick("liveness", span, run)) > limit).then_some(limit)
                }
                Outcome::FailAfterSeconds(span) => Some(later(
                    first.max(later(since, self.pick("liveness", span, run))),
                    strikes(probe),
                )),
            }
        });
        [startup, liveness].into_iter().flatten().min()
    }

    pub(super) fn readiness_fails(&self) -> bool {
        self.container.readiness_probe.is_some() && self.behaviour.probes.readiness == Outcome::Fail
    }

    pub(super) fn ready_at(&self, since: Timestamp, started: Timestamp, run: u32) -> Timestamp {
        let asked = self
            .behaviour
            .ready
            .map(|ready| later(since, self.pick("ready", ready.after_seconds, run)));
        let probe = self
            .container
            .readiness_probe
            .map(|probe| later(started, self.seconds(probe.initial_delay_seconds)));
        let passes = match (
            self.container.readiness_probe,
            self.behaviour.probes.readiness,
        ) {
            (Some(_), Outcome::PassAfterSeconds(span)) => {
                Some(later(since, self.pick("readiness", span, run)))
            }
            (None, _) | (Some(_), Outcome::Pass | Outcome::Fail | Outcome::FailAfterSeconds(_)) => {
                None
            }
        };
        [asked, probe, passes]
            .into_iter()
            .flatten()
            .fold(started, Timestamp::max)
    }

    pub(super) fn broken_at(
        &self,
        since: Timestamp,
        ready: Timestamp,
        run: u32,
    ) -> Option<Timestamp> {
        let scripted = self.behaviour.ready_then_broken;
        let broken =
            scripted.map(|after| later(ready, self.pick("broken", after.after_seconds, run)));
        let probe = match (
            self.container.readiness_probe,
            self.behaviour.probes.readiness,
        ) {
            (Some(_), Outcome::FailAfterSeconds(span)) => {
                Some(later(since, self.pick("readiness", span, run)))
            }
            (None, _) | (Some(_), Outcome::Pass | Outcome::Fail | Outcome::PassAfterSeconds(_)) => {
                None
            }
        };
        [broken, probe].into_iter().flatten().min()
    }

    pub(super) fn end(&self, started: Timestamp, finished: Timestamp, exit: &Exit) -> End {
        let falls_back =
            self.container.termination_message_policy == MessagePolicy::FallbackToLogsOnError;
        let message = if exit.message.is_empty() && falls_back && exit.code != 0 {
            tail_of_log(&exit.log).to_owned()
        } else {
            exit.message
                .get(..exit.message.floor_char_boundary(MESSAGE_BYTES))
                .unwrap_or_default()
                .to_owned()
        };
        let reason = if exit.code == 0 { "Completed" } else { "Error" };
        let message = Some(message).filter(|message| !message.is_empty());
        End {
            started: Some(started),
            finished,
            code: exit.code,
            reason: reason.to_owned(),
            message,
        }
    }

    /// The runtime's identifier of a run of the container.
    pub(super) fn container_id(&self, run: u32) -> String {
        let part = |word: &str| {
            draw(
                self.seed,
                &[&self.pod.uid, &self.container.name, &run.to_string(), word],
            )
        };
        format!(
            "containerd://{:016x}{:016x}{:016x}{:016x}",
            part("a"),
            part("b"),
            part("c"),
            part("d")
        )
    }
}
