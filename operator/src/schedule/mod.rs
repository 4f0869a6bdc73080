//! When a cron schedule is due, in a time zone. Pure; the time zones are compiled in.
//!
//! A schedule has the five fields of cron: minute, hour, day of month, month, day of week. Where the clocks change, it does
//! what Vixie's cron does. A schedule with one hour and one minute runs once a day: at the first moment after a gap that
//! swallows its time, and at the first of two moments that have its time. Any other schedule follows the clock on the wall:
//! nothing in a gap, both times where an hour is repeated.

use croner::parser::{CronParser, Seconds, Year};
use croner::{CronPattern, JobType, Weekday};
use jiff::civil::{Date, DateTime, date};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};

/// The longest expression, in bytes.
pub const LONGEST: usize = 256;
/// Days after which dates and days of the week come back in the same order (28 years), unless a century is no leap year.
const CYCLE: i32 = 10_228;
/// How many days are searched: 41 years. The 29th of February is a Sunday once in 28 years, or once in 40 around the year
/// 2100.
const SEARCH: i32 = 14_976;
/// By how many hours a clock is put back at once, at most (3 in Casey, Antarctica), and one to spare.
const PUT_BACK: i64 = 4;

/// Why a schedule is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It is too long.
    #[error("has {0} characters; at most {LONGEST} are allowed")]
    TooLong(usize),
    /// It is malformed.
    #[error(
        "is no cron schedule of five fields (minute, hour, day of month, month, day of week): {0}"
    )]
    Malformed(String),
    /// No day matches it.
    #[error("never comes: no month has such a day")]
    Never,
    /// The time zone is not in the IANA database.
    #[error("time zone {0:?} is not known; give an IANA name such as Europe/Berlin or UTC")]
    TimeZone(String),
}

/// A cron schedule in a time zone.
#[derive(Clone, Debug)]
pub struct Cron {
    pattern: CronPattern,
    /// One hour and one minute: once a day.
    once_a_day: bool,
    hours: Vec<i8>,
    minutes: Vec<i8>,
    zone: TimeZone,
}

impl Cron {
    /// Reads `expression`; `time_zone` is an IANA name.
    ///
    /// # Errors
    ///
    /// Names what is wrong with the expression or the time zone, worded to follow a field name and value.
    pub fn parse(expression: &str, time_zone: &str) -> Result<Self, CronError> {
        if expression.len() > LONGEST {
            return Err(CronError::TooLong(expression.len()));
        }
        // Not the system's database: an image without one, or with an old one, must not give another answer.
        let zone = TimeZoneDatabase::bundled()
            .get(time_zone)
            .map_err(|_| CronError::TimeZone(time_zone.to_owned()))?;
        let pattern = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(expression)
            .map_err(|error| CronError::Malformed(error.to_string()))?;
        let once_a_day = pattern.determine_job_type() == JobType::FixedTime;
        let pattern = pattern.pattern;
        let matching = |limit: i8, matches: &dyn Fn(u32) -> bool| -> Vec<i8> {
            (0..limit)
                .filter(|value| u32::try_from(*value).is_ok_and(matches))
                .collect()
        };
        let cron = Self {
            once_a_day,
            hours: matching(24, &|hour| pattern.hour_match(hour).unwrap_or(false)),
            minutes: matching(60, &|minute| pattern.minute_match(minute).unwrap_or(false)),
            pattern,
            zone,
        };
        if cron.days(date(2000, 1, 1), 1, CYCLE).next().is_none() {
            return Err(CronError::Never);
        }
        Ok(cron)
    }

    /// The first time it is due after `after`. None where that is more than 41 years away.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.search(after, 1, |time| time > after, Timestamp::min)
    }

    /// The last time it was due at `at_or_before` or before it. None where that is more than 41 years ago.
    pub fn last(&self, at_or_before: Timestamp) -> Option<Timestamp> {
        self.search(
            at_or_before,
            -1,
            |time| time <= at_or_before,
            Timestamp::max,
        )
    }

    /// The best of the times that pass `is_wanted`, going from `origin` in the direction of `step`.
    fn search(
        &self,
        origin: Timestamp,
        step: i32,
        is_wanted: impl Fn(Timestamp) -> bool,
        better: impl Fn(Timestamp, Timestamp) -> Timestamp,
    ) -> Option<Timestamp> {
        let local = self.zone.to_datetime(origin);
        // Where a clock is put back, the order on the wall is not the order in time: begin before, and look a bit further.
        let spare = Span::new()
            .hours(PUT_BACK)
            .checked_mul(i64::from(step))
            .ok()?;
        let start = local.checked_sub(spare).ok()?;
        let mut best: Option<Timestamp> = None;
        let mut enough: Option<DateTime> = None;
        for day in self.days(start.date(), step, SEARCH) {
            for hour in self.hours_in(step) {
                let hour = day.at(hour, 0, 0, 0);
                let is_over = |end: DateTime| if step > 0 { hour > end } else { hour < end };
                if enough.is_some_and(is_over) {
                    return best;
                }
                let found = self.times(hour).filter(|time| is_wanted(*time));
                best = found.fold(best, |best, time| {
                    Some(best.map_or(time, |best| better(best, time)))
                });
                if best.is_some() && enough.is_none() {
                    enough = Some(hour.checked_add(spare).ok()?);
                }
            }
        }
        best
    }

    fn hours_in(&self, step: i32) -> impl Iterator<Item = i8> {
        let count = self.hours.len();
        (0..count).filter_map(move |at| {
            let at = if step > 0 { at } else { count - 1 - at };
            self.hours.get(at).copied()
        })
    }

    /// The days that match, from `start` in the direction of `step`, out of `limit` days.
    fn days(&self, start: Date, step: i32, limit: i32) -> impl Iterator<Item = Date> {
        (0..limit)
            .map_while(move |at| start.checked_add(Span::new().days(at * step)).ok())
            .filter(|day| self.is_day(*day))
    }

    fn is_day(&self, day: Date) -> bool {
        let part = |value: i8| u32::try_from(value).unwrap_or_default();
        let weekday = match day.weekday() {
            jiff::civil::Weekday::Monday => Weekday::Monday,
            jiff::civil::Weekday::Tuesday => Weekday::Tuesday,
            jiff::civil::Weekday::Wednesday => Weekday::Wednesday,
            jiff::civil::Weekday::Thursday => Weekday::Thursday,
            jiff::civil::Weekday::Friday => Weekday::Friday,
            jiff::civil::Weekday::Saturday => Weekday::Saturday,
            jiff::civil::Weekday::Sunday => Weekday::Sunday,
        };
        let (year, month) = (i32::from(day.year()), part(day.month()));
        // An error would be a day that is not in the calendar.
        self.pattern.month_match(month).unwrap_or(false)
            && self
                .pattern
                .day_match(year, month, part(day.day()), weekday)
                .unwrap_or(false)
    }

    /// The moments at which it is due within an hour of the clock on the wall, in no order.
    fn times(&self, hour: DateTime) -> impl Iterator<Item = Timestamp> {
        self.minutes
            .iter()
            .filter_map(move |minute| hour.with().minute(*minute).build().ok())
            .flat_map(|time| self.moments(time))
            .flatten()
    }

    /// The moments at which the clock on the wall shows `time` and the schedule is due.
    fn moments(&self, time: DateTime) -> [Option<Timestamp>; 2] {
        match self.zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(time).ok(), None],
            AmbiguousOffset::Gap { before, .. } if self.once_a_day => {
                // Read by the old offset, the time is after the change of the clock; `preceding` is exclusive.
                let after = before.to_timestamp(time).ok();
                let change = after
                    .and_then(|after| after.checked_add(Span::new().nanoseconds(1)).ok())
                    .and_then(|after| self.zone.preceding(after).next());
                [change.map(|change| change.timestamp()), None]
            }
            AmbiguousOffset::Gap { .. } => [None, None],
            AmbiguousOffset::Fold { before, after } => [
                before.to_timestamp(time).ok(),
                after.to_timestamp(time).ok().filter(|_| !self.once_a_day),
            ],
        }
    }
}

#[cfg(test)]
mod tests;
