//! Waiting in tests: probe until it succeeds or a deadline passes, and say what was seen last.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// A condition did not come true in time.
#[derive(Debug, thiserror::Error)]
#[error("waited {waited:?} for {what}; last seen: {last}")]
pub struct TimedOut {
    /// What was waited for.
    pub what: String,
    /// What the probe said last.
    pub last: String,
    /// For how long.
    pub waited: Duration,
}

/// How long to wait between two probes.
const PAUSE: Duration = Duration::from_millis(100);

/// Probes again and again for `period`; the first `Err` is the text of the failure.
///
/// For what must *not* happen: there is nothing to wait for but the time.
pub async fn throughout<P, F>(what: &str, period: Duration, mut probe: P) -> Result<(), TimedOut>
where
    P: FnMut() -> F,
    F: Future<Output = Result<(), String>>,
{
    let start = Instant::now();
    loop {
        if let Err(last) = probe().await {
            return Err(TimedOut {
                what: format!("{what}, which did not last"),
                last,
                waited: start.elapsed(),
            });
        }
        if start.elapsed() >= period {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Probes until it returns `Ok`, at most for `limit`. The probe's `Err` is the text to show when time is up.
pub async fn until<T, P, F>(what: &str, limit: Duration, mut probe: P) -> Result<T, TimedOut>
where
    P: FnMut() -> F,
    F: Future<Output = Result<T, String>>,
{
    let start = Instant::now();
    loop {
        let last = match probe().await {
            Ok(found) => return Ok(found),
            Err(last) => last,
        };
        if start.elapsed() >= limit {
            return Err(TimedOut {
                what: what.to_owned(),
                last,
                waited: limit,
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}
