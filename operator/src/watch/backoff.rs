//! Waiting after errors: exponential with jitter, so that a hundred watches do not come back in the same second.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// How long to wait before the next try.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Something worked.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Something failed: between half of 1 s, 2 s, 4 s, … 60 s and all of it, at least 1 s.
    pub(super) fn next(&mut self) -> Duration {
        let step = FIRST
            .saturating_mul(2_u32.saturating_pow(self.failures.min(16)))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        (step / 2 + jitter(step / 2)).max(FIRST)
    }

    /// The server forgot our resource version: the first time is no error and needs no wait.
    pub(super) fn expired(&mut self) -> Duration {
        if self.failures == 0 {
            self.failures = 1;
            return Duration::ZERO;
        }
        self.next()
    }
}

/// A random time of at most `most`.
pub(super) fn jitter(most: Duration) -> Duration {
    // The standard library's only source of randomness; nothing here needs a better one.
    let random = RandomState::new().hash_one(0_u8);
    let limit = u64::try_from(most.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    Duration::from_millis(random % limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_a_minute_and_starts_over_after_a_success() {
        let mut backoff = Backoff::default();
        let mut limit = 1;
        for _ in 0..20 {
            let wait = backoff.next();
            assert!(
                wait >= FIRST && wait >= Duration::from_secs(limit) / 2,
                "{wait:?}"
            );
            assert!(wait <= Duration::from_secs(limit), "{wait:?} > {limit}");
            limit = (limit * 2).min(60);
        }
        backoff.reset();
        assert_eq!(backoff.next(), FIRST);
    }

    #[test]
    fn a_forgotten_resource_version_waits_only_the_second_time() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.expired(), Duration::ZERO);
        assert!(backoff.expired() >= FIRST);
    }
}
