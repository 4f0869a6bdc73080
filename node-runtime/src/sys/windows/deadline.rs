//! How long a wait may still take.

use std::time::{Duration, Instant};

/// A moment on the monotonic clock; a wait that is too long to name never ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// So long from now.
    pub(super) fn after(timeout: Duration) -> Self {
        Self(Instant::now().checked_add(timeout))
    }

    /// Never, where there is no timeout.
    pub(super) fn after_any(timeout: Option<Duration>) -> Self {
        timeout.map_or(Self(None), Self::after)
    }

    /// How much is left, and at most `step`.
    pub(super) fn left(self, step: Duration) -> Duration {
        self.0.map_or(step, |until| {
            until.saturating_duration_since(Instant::now()).min(step)
        })
    }

    /// Whether it is over.
    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|until| until <= Instant::now())
    }

    /// What is left in whole milliseconds, as Win32 waits: rounded up, so that a wait never returns too early and spins.
    /// At most a day, so callers ask again until [`Deadline::is_over`].
    pub(super) fn milliseconds(self) -> u32 {
        const DAY: Duration = Duration::from_hours(24);
        let left = self.left(DAY).as_nanos().div_ceil(1_000_000);
        u32::try_from(left).unwrap_or(u32::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_and_an_endless_one_never_ends() {
        let endless = Deadline::after(Duration::MAX);
        assert!(!endless.is_over());
        assert_eq!(endless.milliseconds(), 24 * 60 * 60 * 1000);
        assert_eq!(Deadline::after(Duration::ZERO).milliseconds(), 0);
        assert!(Deadline::after(Duration::ZERO).is_over());
        assert!(Deadline::after(Duration::from_micros(999_999)).milliseconds() > 0);
    }
}
