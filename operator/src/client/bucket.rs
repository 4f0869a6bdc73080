//! A token bucket: how long the next request must wait so that the API server sees a bounded rate. Pure.

use std::time::{Duration, Instant};

/// Lets `burst` requests through at once and `per_second` on average.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// The time one token takes to come back; zero: no limit.
    interval: Duration,
    /// How far ahead of its steady rate the caller may run.
    tolerance: Duration,
    /// When the bucket is full again, if nobody takes a token until then.
    full_at: Option<Instant>,
}

impl Bucket {
    /// A full bucket. A rate of zero or less means no limit.
    pub fn new(per_second: f64, burst: u32) -> Self {
        let interval = if per_second > 0.0 {
            Duration::from_secs_f64(1.0 / per_second)
        } else {
            Duration::ZERO
        };
        Self {
            interval,
            tolerance: interval.saturating_mul(burst.max(1)),
            full_at: None,
        }
    }

    /// Takes a token, possibly one that comes only later. Returns how long the caller must wait for it; waiters are
    /// served in the order of their calls.
    pub fn reserve(&mut self, now: Instant) -> Duration {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + self.interval;
        self.full_at = Some(full_at);
        full_at
            .saturating_duration_since(now)
            .saturating_sub(self.tolerance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_at_once_and_the_next_ones_at_the_rate() {
        let (mut bucket, now) = (Bucket::new(50.0, 100), Instant::now());
        assert!((0..100).all(|_| bucket.reserve(now).is_zero()));
        assert_eq!(bucket.reserve(now), Duration::from_millis(20));
        assert_eq!(bucket.reserve(now), Duration::from_millis(40));
        let later = now + Duration::from_secs(10);
        assert!(
            (0..100).all(|_| bucket.reserve(later).is_zero()),
            "it is full again"
        );
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let (mut bucket, now) = (Bucket::new(0.0, 1), Instant::now());
        assert!((0..10_000).all(|_| bucket.reserve(now).is_zero()));
    }

    proptest! {
        #[test]
        fn no_window_sees_more_than_the_burst_plus_the_rate(
            rate in 1_u32..200, burst in 1_u32..200, pauses in prop::collection::vec(0_u64..100, 1..400),
        ) {
            let (mut bucket, start) = (Bucket::new(f64::from(rate), burst), Instant::now());
            let mut now = start;
            let mut passed = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                passed.push(now + bucket.reserve(now));
            }
            for (i, first) in passed.iter().enumerate() {
                for (j, last) in passed.iter().enumerate().skip(i) {
                    let seen = f64::from(u32::try_from(j - i + 1).unwrap());
                    let allowed = f64::from(burst) + last.duration_since(*first).as_secs_f64() * f64::from(rate) + 1e-3;
                    prop_assert!(seen <= allowed + 1.0, "{} in {:?}", seen, last.duration_since(*first));
                }
            }
        }
    }
}
