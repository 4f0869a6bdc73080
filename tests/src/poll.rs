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

/// How long one probe may take: a request that went to a server which was killed just then is never answered.
const ANSWER: Duration = Duration::from_mins(1);

/// Probes once.
async fn once<T>(probe: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    // What probes becomes no larger by it.
    let answer = tokio::time::timeout(ANSWER, Box::pin(probe)).await;
    answer.unwrap_or_else(|_| Err(format!("no answer for {ANSWER:?}")))
}

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
        if let Err(last) = once(probe()).await {
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
        let last = match once(probe()).await {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_never_answered_is_given_up_and_made_again() {
        let probes = AtomicU32::new(0);
        let second = until("an answer", Duration::from_hours(1), || async {
            if probes.fetch_add(1, Ordering::Relaxed) == 0 {
                std::future::pending::<()>().await;
            }
            Ok(probes.load(Ordering::Relaxed))
        });
        assert!(matches!(second.await, Ok(2)));
        let never = until("an answer", Duration::from_secs(90), || {
            std::future::pending::<Result<(), String>>()
        });
        let error = never.await.unwrap_err();
        assert!(error.last.contains("no answer for 60s"), "{error}");
    }
}
