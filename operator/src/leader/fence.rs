//! The fence: until when this process may write, readable by every request without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Until when writes are allowed. Shared by the election, which moves it on, and the client, which obeys it.
#[derive(Debug)]
pub struct Fence {
    base: Instant,
    /// Milliseconds since `base`; 0: closed.
    until: AtomicU64,
}

impl Fence {
    /// A fence that lets nothing through until the election opens it.
    pub fn closed() -> Self {
        Self {
            base: Instant::now(),
            until: AtomicU64::new(0),
        }
    }

    /// A fence for a process that runs alone, without election.
    pub fn open() -> Self {
        Self {
            base: Instant::now(),
            until: AtomicU64::new(u64::MAX),
        }
    }

    /// Allows writes until `until`.
    pub fn extend(&self, until: Instant) {
        let millis = until.saturating_duration_since(self.base).as_millis();
        self.until
            .store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Forbids writes from now on.
    pub fn close(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// Whether a write may be sent at `now`.
    pub fn allows(&self, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.base);
        now < Duration::from_millis(self.until.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_allowed_only_until_the_deadline_that_was_set_last() {
        let fence = Fence::closed();
        let now = Instant::now();
        assert!(!fence.allows(now), "nobody was elected yet");
        fence.extend(now + Duration::from_secs(10));
        assert!(fence.allows(now + Duration::from_secs(9)));
        assert!(!fence.allows(now + Duration::from_secs(11)));
        fence.close();
        assert!(!fence.allows(now));
        assert!(Fence::open().allows(now + Duration::from_hours(1_000)));
    }
}
