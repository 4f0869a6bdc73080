//! Maintenance windows and the schedules in them.

use hosttask_crds::task::MaintenanceWindow;

use super::found::{Found, rules};
use super::limits::{WEEK, seconds};
use crate::desired::Window;
use crate::schedule::{Cron, CronError};

rules! {
    CRON: Hosttask, "spec.{rollout.maintenanceWindows[*].schedule,schedule.cron}",
        "must be the five fields of cron (minute, hour, day of month, month, day of week) and come at some time, such as \
         0 2 * * SUN";
    TIME_ZONE: Hosttask, "spec.{rollout.maintenanceWindows[*],schedule}.timeZone",
        "is no time zone of the IANA database; give a name such as Europe/Berlin, or leave it out for Etc/UTC";
}

/// The time zone where none is given.
pub(super) const UTC: &str = "Etc/UTC";
/// The fields of a schedule.
const FIELDS: usize = 5;

/// Judges `spec.rollout.maintenanceWindows`.
pub(super) fn windows(windows: &[MaintenanceWindow], found: &mut Found) -> Vec<Window> {
    let one = |(index, it): (usize, &MaintenanceWindow)| {
        let at = format!("spec.rollout.maintenanceWindows[{index}]");
        let time_zone = it.time_zone.as_deref().unwrap_or(UTC);
        let (field, zone_field) = (format!("{at}.schedule"), format!("{at}.timeZone"));
        cron(&it.schedule, time_zone, (&field, &zone_field), found);
        let duration = Some(it.duration_seconds);
        let field = format!("{at}.durationSeconds");
        Window {
            schedule: it.schedule.clone(),
            duration: seconds(duration, 0, 60..=WEEK, &field, found),
            time_zone: time_zone.to_owned(),
        }
    };
    windows.iter().enumerate().map(one).collect()
}

/// Judges a schedule and its time zone; the fields are those of the two.
pub(super) fn cron(schedule: &str, time_zone: &str, fields: (&str, &str), found: &mut Found) {
    let (field, zone_field) = (fields.0.to_owned(), fields.1.to_owned());
    let mut error = Cron::parse(schedule, time_zone).err();
    if let Some(CronError::TimeZone(_)) = &error {
        found.report(&TIME_ZONE, zone_field, Some(&time_zone));
        error = Cron::parse(schedule, UTC).err();
    }
    let count = schedule.split_ascii_whitespace().count();
    if let Some(error) = error {
        found.report_with(&CRON, field, Some(&schedule), &error.to_string());
    } else if count != FIELDS {
        // Nicknames such as @daily: the schema does not take them, so no task can rely on them.
        let detail = format!("it has {count} fields");
        found.report_with(&CRON, field, Some(&schedule), &detail);
    }
}
