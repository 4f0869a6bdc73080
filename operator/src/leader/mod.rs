//! Leader election by a Lease: which of several replicas may write. The decisions are pure; [`driver`] carries them out.
//!
//! Nobody's clock is trusted but one's own, and of that only how fast it runs. Another holder's lease has run out when
//! its record has not changed for the whole lease duration *since this process first saw it*. One's own lease is valid
//! until the renew deadline counted from the moment *before* the last successful renewal was sent. As the renew
//! deadline is shorter than the lease duration, two replicas are never valid at once, however long requests take and
//! whatever the wall clocks say, as long as no clock runs half as fast again as another.
//!
//! ```text
//!   standby ── absent, released or run out ──▶ leader ── renewal fails until the deadline, or another holder ──▶ exit
//! ```
//!
//! A leader that lost never becomes a standby again: the process ends, so that nothing it had started can go on.

pub mod driver;
pub mod fence;

use std::time::{Duration, Instant};

/// How the election is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a lease that is not renewed keeps others out.
    pub lease_duration: Duration,
    /// How long a leader goes on without a successful renewal.
    pub renew_deadline: Duration,
    /// The pause between two tries.
    pub retry_period: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// Why a timing is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// Without the margin two replicas could be valid at once.
    #[error("the lease duration must be longer than the renew deadline")]
    DeadlineTooLong,
    /// There would be no second try.
    #[error("the renew deadline must be at least twice the retry period")]
    RetryTooLong,
    /// The Lease counts whole seconds.
    #[error("the lease duration must be at least one second and the retry period above zero")]
    TooShort,
}

impl Timing {
    /// Whether two replicas with this timing exclude each other.
    pub fn check(self) -> Result<Self, TimingError> {
        if self.lease_duration < Duration::from_secs(1) || self.retry_period.is_zero() {
            return Err(TimingError::TooShort);
        }
        if self.lease_duration <= self.renew_deadline {
            return Err(TimingError::DeadlineTooLong);
        }
        if self.renew_deadline < self.retry_period.saturating_mul(2) {
            return Err(TimingError::RetryTooLong);
        }
        Ok(self)
    }
}

/// What the election needs of a Lease object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseView {
    /// Who holds it; empty where it was released.
    pub holder: String,
    /// The holder's lease duration.
    pub duration: Duration,
    /// How often the holder changed.
    pub transitions: i32,
    /// The resource version: it changes with every renewal.
    pub version: String,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write the lease with us as the holder and this many transitions.
    Acquire {
        /// The new value of `leaseTransitions`.
        transitions: i32,
    },
    /// Write the lease again: we hold it.
    Renew {
        /// The value of `leaseTransitions`, unchanged.
        transitions: i32,
    },
    /// Another replica holds it: look again after the retry period.
    Wait,
    /// We held it and do not any more: the process must end.
    Lost,
}

/// What one replica remembers of the election.
#[derive(Clone, Debug)]
pub struct Elector {
    me: String,
    timing: Timing,
    /// The record as it was first seen, and when, by our own monotonic clock.
    seen: Option<(LeaseView, Instant)>,
    /// Until when we may write; none while we are not the leader.
    valid_until: Option<Instant>,
}

impl Elector {
    /// A standby called `me`. The name must be unique to the process.
    pub fn new(me: impl Into<String>, timing: Timing) -> Self {
        Self {
            me: me.into(),
            timing,
            seen: None,
            valid_until: None,
        }
    }

    /// Our name.
    pub fn me(&self) -> &str {
        &self.me
    }

    /// Whether we are the leader at `now`.
    pub fn is_valid(&self, now: Instant) -> bool {
        self.valid_until.is_some_and(|until| now < until)
    }

    /// Until when we may write.
    pub fn valid_until(&self) -> Option<Instant> {
        self.valid_until
    }

    /// What to do about the lease as it was just read (none: there is no such object).
    pub fn decide(&mut self, lease: Option<&LeaseView>, now: Instant) -> Decision {
        if self.valid_until.is_some_and(|until| now >= until) {
            return Decision::Lost;
        }
        let leading = self.valid_until.is_some();
        let Some(lease) = lease else {
            // Somebody deleted our lease: another replica may already hold a new one that we have not seen.
            return if leading {
                Decision::Lost
            } else {
                Decision::Acquire { transitions: 0 }
            };
        };
        if lease.holder == self.me {
            // Not leading and yet the holder: our acquiring write was answered with an error and still happened.
            return Decision::Renew {
                transitions: lease.transitions,
            };
        }
        if leading {
            return Decision::Lost;
        }
        let first_seen = match &self.seen {
            Some((seen, at)) if seen == lease => *at,
            _ => {
                self.seen = Some((lease.clone(), now));
                now
            }
        };
        // A holder that claims a shorter lease than ours still gets ours: its renew deadline may be like ours.
        let patience = lease.duration.max(self.timing.lease_duration);
        if lease.holder.is_empty() || now.saturating_duration_since(first_seen) >= patience {
            return Decision::Acquire {
                transitions: lease.transitions.saturating_add(1),
            };
        }
        Decision::Wait
    }

    /// A write of the lease with us as the holder, sent at `sent`, succeeded.
    pub fn written(&mut self, sent: Instant) {
        self.valid_until = sent.checked_add(self.timing.renew_deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn held_by(holder: &str, version: u64) -> LeaseView {
        LeaseView {
            holder: holder.into(),
            duration: Duration::from_secs(15),
            transitions: 4,
            version: version.to_string(),
        }
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_that_another_renews_is_never_taken() {
        let (mut elector, start) = (Elector::new("me", Timing::default()), Instant::now());
        for second in 0..100 {
            let decision = elector.decide(Some(&held_by("other", second / 10)), at(start, second));
            assert_eq!(decision, Decision::Wait, "after {second} s");
        }
    }

    #[test]
    fn a_lease_that_nobody_renews_is_taken_after_its_duration_since_it_was_first_seen() {
        let (mut elector, start) = (Elector::new("me", Timing::default()), Instant::now());
        let lease = held_by("other", 1);
        assert_eq!(elector.decide(Some(&lease), start), Decision::Wait);
        assert_eq!(elector.decide(Some(&lease), at(start, 14)), Decision::Wait);
        assert_eq!(
            elector.decide(Some(&lease), at(start, 15)),
            Decision::Acquire { transitions: 5 }
        );
    }

    #[test]
    fn a_released_or_absent_lease_is_taken_at_once() {
        let mut elector = Elector::new("me", Timing::default());
        let now = Instant::now();
        assert_eq!(
            elector.decide(Some(&held_by("", 9)), now),
            Decision::Acquire { transitions: 5 }
        );
        assert_eq!(
            elector.decide(None, now),
            Decision::Acquire { transitions: 0 }
        );
    }

    #[test]
    fn a_leader_that_cannot_renew_until_the_deadline_has_lost_even_if_the_lease_is_still_its_own() {
        let (mut elector, start) = (Elector::new("me", Timing::default()), Instant::now());
        elector.written(start);
        assert!(elector.is_valid(at(start, 9)) && !elector.is_valid(at(start, 10)));
        assert_eq!(
            elector.decide(Some(&held_by("me", 1)), at(start, 9)),
            Decision::Renew { transitions: 4 }
        );
        assert_eq!(
            elector.decide(Some(&held_by("me", 1)), at(start, 10)),
            Decision::Lost
        );
    }

    #[test]
    fn a_leader_that_sees_another_holder_or_no_lease_has_lost() {
        let (mut elector, start) = (Elector::new("me", Timing::default()), Instant::now());
        elector.written(start);
        assert_eq!(
            elector.decide(Some(&held_by("other", 1)), at(start, 1)),
            Decision::Lost
        );
        assert_eq!(elector.decide(None, at(start, 1)), Decision::Lost);
    }

    #[test]
    fn a_timing_without_a_margin_is_refused() {
        let timing = |lease, renew, retry| {
            let of = Duration::from_secs;
            Timing {
                lease_duration: of(lease),
                renew_deadline: of(renew),
                retry_period: of(retry),
            }
            .check()
            .err()
        };
        assert_eq!(timing(15, 10, 2), None);
        assert_eq!(timing(10, 10, 2), Some(TimingError::DeadlineTooLong));
        assert_eq!(timing(15, 10, 6), Some(TimingError::RetryTooLong));
        assert_eq!(timing(15, 10, 0), Some(TimingError::TooShort));
    }

    /// A lease on a server, and requests to it that take their time. All times are true milliseconds.
    #[derive(Default)]
    struct Server {
        lease: Option<(String, u64)>,
        version: u64,
    }

    /// One replica: its clock is off by an offset and runs at `rate` per mille of true time.
    struct Replica {
        elector: Elector,
        base: Instant,
        offset: u64,
        rate: u64,
        alive: bool,
    }

    impl Replica {
        fn local(&self, true_ms: u64) -> Instant {
            self.base + Duration::from_millis(self.offset + true_ms * self.rate / 1_000)
        }
    }

    #[derive(Clone, Debug)]
    struct Turn {
        who: usize,
        /// True time until this turn begins, and what its read and its write then take before and after the server acts.
        pause: u64,
        read: u64,
        write_to: u64,
        write_back: u64,
        /// Whether the answer to the write is lost.
        lost: bool,
    }

    /// Mostly quick, sometimes as slow as a request that is about to be given up. Slow ones alone would hide a lease that is
    /// taken too early behind the time it takes to take it.
    fn delay() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0_u64..50, 1 => 0_u64..8_000]
    }

    fn turn() -> impl Strategy<Value = Turn> {
        let lost = prop::bool::weighted(0.15);
        (0_usize..2, 0_u64..6_000, delay(), delay(), delay(), lost).prop_map(
            |(who, pause, read, write_to, write_back, lost)| Turn {
                who,
                pause,
                read,
                write_to,
                write_back,
                lost,
            },
        )
    }

    proptest! {
        /// Each turn is one round of one replica: read, decide, write with the version it read. Rounds of the two
        /// replicas overlap: a write reaches the server up to 8 s after the read it is based on.
        #[test]
        fn two_replicas_are_never_valid_at_once_under_clock_skew_and_delay(
            turns in prop::collection::vec(turn(), 1..60),
            offsets in (0_u64..1_000_000, 0_u64..1_000_000),
            rates in (900_u64..1_100, 900_u64..1_100),
        ) {
            let base = Instant::now();
            let replica = |name: &str, offset, rate| Replica {
                elector: Elector::new(name, Timing::default()), base, offset, rate, alive: true,
            };
            let mut replicas = [replica("a", offsets.0, rates.0), replica("b", offsets.1, rates.1)];
            let mut server = Server::default();
            // (true time, what happens): first all reads and writes of all rounds in the order of true time
            let mut free_at = [0_u64; 2];
            let mut clock = 0_u64;
            let mut events: Vec<(u64, usize, Turn)> = Vec::new();
            for turn in turns {
                clock += turn.pause;
                let begin = clock.max(free_at[turn.who]);
                free_at[turn.who] = begin + turn.read + turn.write_to + turn.write_back + 1;
                events.push((begin + turn.read, 0, turn.clone()));
                events.push((begin + turn.read + turn.write_to, 1, turn.clone()));
                events.push((begin + turn.read + turn.write_to + turn.write_back, 2, turn));
            }
            events.sort_by_key(|(time, phase, turn)| (*time, *phase, turn.who));
            let mut decided: [Option<(u64, u64)>; 2] = [None, None]; // (version read, true time sent)
            let mut answered: [Option<u64>; 2] = [None, None]; // true time sent, once the server accepted
            for (time, phase, turn) in events {
                let who = turn.who;
                if !replicas[who].alive { continue; }
                match phase {
                    0 => {
                        let view = server.lease.as_ref().map(|(holder, version)| held_by(holder, *version));
                        let now = replicas[who].local(time);
                        let version = server.lease.as_ref().map_or(0, |(_, version)| *version);
                        decided[who] = match replicas[who].elector.decide(view.as_ref(), now) {
                            Decision::Acquire { .. } | Decision::Renew { .. } => Some((version, time)),
                            Decision::Wait => None,
                            Decision::Lost => { replicas[who].alive = false; None }
                        };
                    }
                    1 => if let Some((version, sent)) = decided[who].take()
                        && server.lease.as_ref().map_or(0, |(_, current)| *current) == version
                    {
                        server.version += 1;
                        server.lease = Some((replicas[who].elector.me().to_owned(), server.version));
                        answered[who] = (!turn.lost).then_some(sent);
                    },
                    _ => if let Some(sent) = answered[who].take() {
                        let sent = replicas[who].local(sent);
                        replicas[who].elector.written(sent);
                    },
                }
                let valid = replicas.iter().filter(|r| r.alive && r.elector.is_valid(r.local(time))).count();
                prop_assert!(valid < 2, "two leaders at {time} ms");
            }
        }
    }
}
