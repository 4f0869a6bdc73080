//! Which requests are tried again, and when. Pure.
//!
//! Only requests whose repetition changes nothing are: reads and server-side applies. A create is never repeated here,
//! because an answer that was lost would make a second object (or a conflict that looks like somebody else's).

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};

/// How often a request is tried in all.
pub const TRIES: u32 = 4;
/// The delay before the second try; it doubles from try to try.
const FIRST_DELAY: Duration = Duration::from_millis(250);
/// The longest `Retry-After` that is waited for here; a longer one is left to the back-off of the work queue.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// The media type of a server-side apply.
const APPLY: &str = "application/apply-patch+yaml";

/// Whether a request may be sent twice with the effect of one.
pub fn is_repeatable(method: &Method, headers: &HeaderMap) -> bool {
    match *method {
        Method::GET | Method::HEAD => true,
        Method::PATCH => headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|t| t.as_bytes() == APPLY.as_bytes()),
        _ => false,
    }
}

/// How a try ended, as far as repeating it depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a status, and the seconds of its `Retry-After`.
    Answered(StatusCode, Option<u64>),
    /// Without an answer.
    Broken,
}

/// After what time to try again; none: the end of the last try is the result. `tries` is how many there were, from 1.
pub fn next_try(tries: u32, ended: Ended) -> Option<Duration> {
    if tries >= TRIES {
        return None;
    }
    let own = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
    match ended {
        Ended::Broken => Some(own),
        Ended::Answered(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, asked) => {
            let asked = Duration::from_secs(asked.unwrap_or(0));
            (asked <= MAX_DELAY).then(|| own.max(asked))
        }
        Ended::Answered(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(kind: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        is_repeatable(&Method::PATCH, &headers)
    }

    #[test]
    fn only_reads_and_applies_are_repeated() {
        let none = HeaderMap::new();
        assert!(is_repeatable(&Method::GET, &none));
        assert!(patch("application/apply-patch+yaml"));
        assert!(!patch("application/merge-patch+json"));
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            assert!(!is_repeatable(&method, &none), "{method}");
        }
    }

    #[test]
    fn the_server_is_given_the_time_it_asks_for_but_no_worker_waits_long() {
        let throttled =
            |seconds| next_try(1, Ended::Answered(StatusCode::TOO_MANY_REQUESTS, seconds));
        assert_eq!(throttled(None), Some(Duration::from_millis(250)));
        assert_eq!(throttled(Some(3)), Some(Duration::from_secs(3)));
        assert_eq!(throttled(Some(60)), None, "the work queue waits instead");
    }

    #[test]
    fn a_request_is_tried_four_times_at_most_and_refusals_are_final() {
        let delays: Vec<_> = (1..9)
            .map(|n| next_try(n, Ended::Broken).map(|d| d.as_millis()))
            .collect();
        assert_eq!(
            delays,
            [
                Some(250),
                Some(500),
                Some(1_000),
                None,
                None,
                None,
                None,
                None
            ]
        );
        for code in [400, 403, 404, 409, 422, 500, 504] {
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(next_try(1, Ended::Answered(status, None)), None, "{code}");
        }
    }
}
