//! Tests of `schedule`: the change of the clocks, rare days, and that no input makes it work long.

use super::*;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(expression: &str, zone: &str) -> Cron {
    Cron::parse(expression, zone).unwrap()
}

/// The next `count` times after `after`, as UTC.
fn run(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let cron = cron(expression, zone);
    let mut now = at(after);
    let mut found = Vec::new();
    for _ in 0..count {
        now = cron.next(now).unwrap();
        found.push(now.to_string());
    }
    found
}

#[test]
fn it_is_due_after_a_moment_and_not_at_it() {
    assert_eq!(
        run("30 2 * * *", "UTC", "2026-11-22T02:30:00Z", 2),
        ["2026-11-23T02:30:00Z", "2026-11-24T02:30:00Z"]
    );
    assert_eq!(
        run("30 2 * * *", "UTC", "2026-11-22T02:29:59.999Z", 1),
        ["2026-11-22T02:30:00Z"]
    );
}

#[test]
fn the_last_time_is_at_a_moment_or_before_it() {
    let cron = cron("*/15 * * * *", "UTC");
    let last = |text| cron.last(at(text)).unwrap().to_string();
    assert_eq!(last("2026-11-22T02:30:00Z"), "2026-11-22T02:30:00Z");
    assert_eq!(last("2026-11-22T02:29:59.999Z"), "2026-11-22T02:15:00Z");
    assert_eq!(last("2026-11-22T00:00:00Z"), "2026-11-22T00:00:00Z");
}

#[test]
fn a_daily_time_that_the_gap_swallows_is_due_right_after_it() {
    // Berlin goes from 02:00 to 03:00 on 2027-03-28 at 01:00 UTC.
    assert_eq!(
        run("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", 2),
        ["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"]
    );
    // New York goes from 02:00 to 03:00 on 2027-03-14 at 07:00 UTC.
    assert_eq!(
        run("0 2 * * *", "America/New_York", "2027-03-13T12:00:00Z", 2),
        ["2027-03-14T07:00:00Z", "2027-03-15T06:00:00Z"]
    );
    let last = cron("30 2 * * *", "Europe/Berlin").last(at("2027-03-28T10:00:00Z"));
    assert_eq!(last, Some(at("2027-03-28T01:00:00Z")));
}

#[test]
fn what_runs_more_than_once_a_day_leaves_the_gap_out() {
    assert_eq!(
        run("*/30 1-3 * * *", "Europe/Berlin", "2027-03-27T23:59:00Z", 5),
        [
            "2027-03-28T00:00:00Z", // 01:00
            "2027-03-28T00:30:00Z", // 01:30
            "2027-03-28T01:00:00Z", // 03:00
            "2027-03-28T01:30:00Z", // 03:30
            "2027-03-28T23:00:00Z", // 01:00 on the day after
        ]
    );
}

#[test]
fn a_daily_time_that_comes_twice_is_due_once() {
    // Berlin has 02:00 to 03:00 twice on 2027-10-31: from 00:00 UTC and from 01:00 UTC.
    assert_eq!(
        run("30 2 * * *", "Europe/Berlin", "2027-10-30T12:00:00Z", 2),
        ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"]
    );
    // From between the two, and back from behind both.
    let berlin = cron("30 2 * * *", "Europe/Berlin");
    assert_eq!(
        berlin.next(at("2027-10-31T00:45:00Z")),
        Some(at("2027-11-01T01:30:00Z"))
    );
    assert_eq!(
        berlin.last(at("2027-10-31T01:45:00Z")),
        Some(at("2027-10-31T00:30:00Z"))
    );
    // New York has 01:00 to 02:00 twice on 2027-11-07: from 05:00 UTC and from 06:00 UTC.
    assert_eq!(
        run("15 1 * * *", "America/New_York", "2027-11-06T12:00:00Z", 2),
        ["2027-11-07T05:15:00Z", "2027-11-08T06:15:00Z"]
    );
}

#[test]
fn what_runs_more_than_once_a_day_runs_through_both_of_a_repeated_hour() {
    assert_eq!(
        run("*/30 2 * * *", "Europe/Berlin", "2027-10-30T12:00:00Z", 5),
        [
            "2027-10-31T00:00:00Z",
            "2027-10-31T00:30:00Z",
            "2027-10-31T01:00:00Z",
            "2027-10-31T01:30:00Z",
            "2027-11-01T01:00:00Z",
        ]
    );
    let last = cron("*/30 2 * * *", "Europe/Berlin").last(at("2027-10-31T00:59:00Z"));
    assert_eq!(last, Some(at("2027-10-31T00:30:00Z")));
}

#[test]
fn rare_days_are_found() {
    assert_eq!(
        run("0 0 29 2 *", "UTC", "2026-11-22T00:00:00Z", 2),
        ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]
    );
    // A Sunday too; then not before the year 2104 has one.
    assert_eq!(
        run("0 0 29 2 +0", "UTC", "2060-03-01T00:00:00Z", 2),
        ["2088-02-29T00:00:00Z", "2128-02-29T00:00:00Z"]
    );
    // The second Tuesday of the month, which is when Microsoft publishes updates.
    assert_eq!(
        run("0 22 * * TUE#2", "UTC", "2026-11-22T00:00:00Z", 1),
        ["2026-12-08T22:00:00Z"]
    );
}

#[test]
fn days_of_the_month_and_of_the_week_together_mean_either() {
    assert_eq!(
        run("0 0 13 * FRI", "UTC", "2026-11-10T00:00:00Z", 3),
        [
            "2026-11-13T00:00:00Z",
            "2026-11-20T00:00:00Z",
            "2026-11-27T00:00:00Z"
        ]
    );
}

#[test]
fn what_never_comes_or_is_malformed_says_why() {
    let error = |expression: &str, zone: &str| Cron::parse(expression, zone).unwrap_err();
    for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 +1"] {
        assert_eq!(error(never, "Europe/Berlin"), CronError::Never, "{never}");
    }
    assert_eq!(
        error("* * * * *", "Middle/Earth").to_string(),
        "time zone \"Middle/Earth\" is not known; give an IANA name such as Europe/Berlin or UTC"
    );
    for malformed in [
        "",
        "* * * *",
        "* * * * * *",
        "61 * * * *",
        "@reboot",
        "x",
        "+",
    ] {
        let error = error(malformed, "UTC");
        assert!(
            matches!(error, CronError::Malformed(_)),
            "{malformed}: {error}"
        );
    }
    assert_eq!(error(&"0".repeat(300), "UTC"), CronError::TooLong(300));
}

#[test]
fn a_schedule_that_only_a_gap_would_have_is_never_due() {
    let cron = cron("*/10 2 * 3 SUN#L", "Europe/Berlin");
    let now = at("2026-11-22T00:00:00Z");
    assert_eq!((cron.next(now), cron.last(now)), (None, None));
}

#[test]
fn the_ends_of_time_have_no_next_and_no_last() {
    let cron = cron("0 0 * * *", "UTC");
    assert_eq!(cron.next(Timestamp::MAX), None);
    assert_eq!(cron.last(Timestamp::MIN), None);
}

/// Every field as people write it.
fn field(from: u8, to: u8) -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (from..=to).prop_map(|value| value.to_string()),
        (1..=to).prop_map(|step| format!("*/{step}")),
        (from..=to, from..=to).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        prop::collection::vec(from..=to, 1..4).prop_map(|values| {
            let values: Vec<String> = values.iter().map(u8::to_string).collect();
            values.join(",")
        }),
    ]
}

proptest! {
    #[test]
    fn any_text_is_refused_or_read(expression in ".{0,40}", zone in "[A-Za-z/_]{0,12}") {
        let _ = Cron::parse(&expression, "UTC");
        let _ = Cron::parse("0 0 * * *", &zone);
    }

    #[test]
    fn nothing_is_due_between_the_last_time_and_the_next(
        expression in (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6))
            .prop_map(|(m, h, d, month, w)| format!("{m} {h} {d} {month} {w}")),
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Antarctica/Casey"]),
        second in 1_262_304_000_i64..2_208_988_800,
    ) {
        let Ok(cron) = Cron::parse(&expression, zone) else { return Ok(()) };
        let now = Timestamp::from_second(second).unwrap();
        let (last, next) = (cron.last(now), cron.next(now));
        if let (Some(last), Some(next)) = (last, next) {
            prop_assert!(last <= now && now < next);
            prop_assert_eq!(cron.next(last), Some(next));
            prop_assert_eq!(cron.last(next), Some(next));
            let before = next.checked_sub(Span::new().seconds(1)).unwrap();
            prop_assert_eq!(cron.last(before), Some(last));
        }
    }
}
