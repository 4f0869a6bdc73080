//! Medians, tails and ratios.

use std::time::Duration;

/// What was measured of one contender.
#[derive(Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The time that `share` of all took at most, in milliseconds.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index of a few thousand"
        )]
        let index = (last as f64 * share).round() as usize;
        sorted[index].as_secs_f64() * 1e3
    }

    /// One line of a table: median, tail, and both over those of a baseline.
    pub(crate) fn beside(&self, name: &str, bare: &Self) -> String {
        let (p50, p99) = (self.at(0.5), self.at(0.99));
        format!(
            "{name:<34} {p50:>8.2} {p99:>8.2} ms   {:>5.2} {:>5.2} times bare (p50, p99; {} each)",
            p50 / bare.at(0.5),
            p99 / bare.at(0.99),
            self.0.len()
        )
    }
}

/// The slope of a line through points, by least squares.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few dozen points")]
    let count = points.len() as f64;
    let sum = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
    let (x, y) = (sum(|it| it.0), sum(|it| it.1));
    let (xx, xy) = (sum(|it| it.0 * it.0), sum(|it| it.0 * it.1));
    (count * xy - x * y) / (count * xx - x * x)
}
