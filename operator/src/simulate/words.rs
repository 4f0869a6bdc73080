//! Times as people write and read them.

use jiff::SignedDuration;

/// Reads a time such as `90s`, `10m`, `1h30m` or `45` (seconds), as whole seconds.
///
/// # Errors
/// What to write instead.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|time| u64::try_from(time.as_secs()).ok())
        .ok_or_else(|| format!("{text}: is no time; write it as 90s, 10m or 1h30m"))
}

/// A time in at most two units, such as `1 h 30 min`.
pub(super) fn spoken(seconds: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds.max(0);
    let mut parts = Vec::new();
    for (size, unit) in UNITS {
        let count = rest / size;
        rest %= size;
        if count > 0 && parts.len() < 2 {
            parts.push(format!("{count} {unit}"));
        } else if !parts.is_empty() {
            break;
        }
    }
    if parts.is_empty() {
        "0 s".to_owned()
    } else {
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_usual_form() {
        let read = |text| seconds(text).unwrap();
        assert_eq!(
            [read("45"), read("90s"), read("10m"), read("1h30m")],
            [45, 90, 600, 5400]
        );
        assert!(seconds("-5s").is_err());
    }

    #[test]
    fn a_time_is_told_in_at_most_two_units() {
        assert_eq!(
            [0, 59, 60, 3661, 90_061].map(spoken),
            ["0 s", "59 s", "1 min", "1 h 1 min", "1 d 1 h"]
        );
        assert_eq!(spoken(3605), "1 h");
    }
}
