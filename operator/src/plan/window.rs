//! When maintenance windows are open. Pure.

use jiff::Timestamp;

use super::tally::later;
use crate::desired::Window;
use crate::schedule::Cron;

/// How many windows that follow one another without a break are joined. What is open for longer has no end in sight.
const JOINED: usize = 32;

/// Whether work may be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WindowState {
    /// It may.
    Open {
        /// Until when: the end of the last of the windows that overlap or follow one another. None: no end in sight.
        closes: Option<Timestamp>,
    },
    /// It may not.
    Closed {
        /// From when it may. None: there is no such time within the next 41 years.
        opens: Option<Timestamp>,
    },
}

/// Whether one of `windows` is open at `now`. Without windows it is open for ever. A window is open at the moment it opens
/// and closed at the moment it closes.
pub(super) fn state(windows: &[Window], now: Timestamp) -> WindowState {
    if windows.is_empty() {
        return WindowState::Open { closes: None };
    }
    // A window that cannot be read does not get here; it would never be open.
    let windows: Vec<Opening<'_>> = windows
        .iter()
        .filter_map(|window| {
            let cron = Cron::parse(&window.schedule, &window.time_zone).ok()?;
            Some(Opening { cron, window })
        })
        .collect();
    let end_at = |moment: Timestamp| {
        windows
            .iter()
            .filter_map(|window| window.end_at(moment))
            .max()
    };
    let Some(mut closes) = end_at(now) else {
        let opens = windows
            .iter()
            .filter_map(|window| window.cron.next(now))
            .min();
        return WindowState::Closed { opens };
    };
    for _ in 0..JOINED {
        match end_at(closes) {
            Some(end) => closes = end,
            None => {
                return WindowState::Open {
                    closes: Some(closes),
                };
            }
        }
    }
    WindowState::Open { closes: None }
}

struct Opening<'a> {
    cron: Cron,
    window: &'a Window,
}

impl Opening<'_> {
    /// When the window that is open at `moment` closes. None where it is closed then.
    fn end_at(&self, moment: Timestamp) -> Option<Timestamp> {
        let opened = self.cron.last(moment)?;
        Some(later(opened, self.window.duration)).filter(|end| *end > moment)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn window(schedule: &str, hours: u64, time_zone: &str) -> Window {
        Window {
            schedule: schedule.to_owned(),
            duration: Duration::from_secs(hours * 3600),
            time_zone: time_zone.to_owned(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn open(closes: &str) -> WindowState {
        WindowState::Open {
            closes: Some(at(closes)),
        }
    }

    fn closed(opens: &str) -> WindowState {
        WindowState::Closed {
            opens: Some(at(opens)),
        }
    }

    #[test]
    fn without_windows_it_is_open_for_ever() {
        assert_eq!(
            state(&[], at("2026-11-22T00:00:00Z")),
            WindowState::Open { closes: None }
        );
    }

    #[test]
    fn a_window_is_open_from_its_first_moment_until_before_its_last() {
        let nightly = [window("0 22 * * *", 4, "Europe/Berlin")];
        let of = |text| state(&nightly, at(text));
        assert_eq!(of("2026-11-22T20:59:59Z"), closed("2026-11-22T21:00:00Z"));
        assert_eq!(of("2026-11-22T21:00:00Z"), open("2026-11-23T01:00:00Z"));
        assert_eq!(of("2026-11-23T00:59:59Z"), open("2026-11-23T01:00:00Z"));
        assert_eq!(of("2026-11-23T01:00:00Z"), closed("2026-11-23T21:00:00Z"));
    }

    #[test]
    fn windows_that_overlap_or_touch_are_one() {
        let windows = [
            window("0 20 * * *", 2, "UTC"),
            window("0 22 * * *", 2, "UTC"),
            window("0 23 * * *", 3, "UTC"),
            window("0 12 * * *", 1, "UTC"),
        ];
        assert_eq!(
            state(&windows, at("2026-11-22T20:30:00Z")),
            open("2026-11-23T02:00:00Z")
        );
        assert_eq!(
            state(&windows, at("2026-11-22T02:00:00Z")),
            closed("2026-11-22T12:00:00Z")
        );
    }

    #[test]
    fn a_window_as_long_as_its_period_never_closes() {
        let windows = [window("0 0 * * *", 24, "UTC")];
        assert_eq!(
            state(&windows, at("2026-11-22T00:00:00Z")),
            WindowState::Open { closes: None }
        );
    }

    #[test]
    fn a_window_lasts_its_duration_across_a_change_of_the_clock() {
        // 02:00 to 03:00 is repeated in Berlin that night: four hours from 00:00 end at 03:00.
        let windows = [window("0 0 * * *", 4, "Europe/Berlin")];
        assert_eq!(
            state(&windows, at("2027-10-31T01:30:00Z")),
            open("2027-10-31T02:00:00Z")
        );
    }

    #[test]
    fn a_window_that_can_never_open_is_closed_without_an_opening() {
        let windows = [window("0 0 30 2 *", 4, "UTC")];
        assert_eq!(
            state(&windows, at("2026-11-22T00:00:00Z")),
            WindowState::Closed { opens: None }
        );
    }
}
