//! The fleet's only source of variation: a hash of the seed and of what is being decided, so that a seed is a timeline.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A hash of the seed and the parts that name one decision. Equal parts give equal numbers on every machine.
pub(super) fn draw(seed: u64, parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for part in parts {
        // The end mark keeps ("ab", "c") apart from ("a", "bc").
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// A version 4 UUID made of the same hash.
pub(super) fn uuid(seed: u64, parts: &[&str]) -> String {
    let mut all = parts.to_vec();
    all.push("high");
    let high = draw(seed, &all);
    all.pop();
    all.push("low");
    let low = draw(seed, &all);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0x0fff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

/// A duration in seconds as a script writes it: one number, or a list of the least and the most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Span {
    /// Always this long.
    Exact(f64),
    /// Between the two, drawn per node, task and container.
    Between([f64; 2]),
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self::Exact(0.0);

    /// Whether both ends are finite, not negative, at most ten years and in order.
    pub fn is_valid(self) -> bool {
        let (low, high) = self.ends();
        (0.0..=315_360_000.0).contains(&low) && (low..=315_360_000.0).contains(&high)
    }

    /// The duration for the decision named by `parts`.
    pub fn pick(self, seed: u64, parts: &[&str]) -> Duration {
        let (low, high) = self.ends();
        // 32 bits convert to a float without loss and are finer than a millisecond in ten days.
        let share =
            u32::try_from(draw(seed, parts) >> 32).map_or(0.0, f64::from) / f64::from(u32::MAX);
        Duration::try_from_secs_f64(low + (high - low) * share).unwrap_or_default()
    }

    fn ends(self) -> (f64, f64) {
        match self {
            Self::Exact(seconds) => (seconds, seconds),
            Self::Between([low, high]) => (low, high),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_draw_depends_on_every_part_and_on_the_seed() {
        let numbers: BTreeSet<u64> = [
            draw(1, &["ab", "c"]),
            draw(1, &["a", "bc"]),
            draw(2, &["ab", "c"]),
            draw(1, &["ab"]),
            draw(1, &["c", "ab"]),
        ]
        .into();
        assert_eq!(numbers.len(), 5);
        assert_eq!(draw(1, &["ab", "c"]), draw(1, &["ab", "c"]));
    }

    #[test]
    fn a_span_stays_between_its_ends_and_uses_the_room_between_them() {
        let span = Span::Between([0.2, 0.5]);
        let picked: Vec<f64> = (0..1000)
            .map(|n| span.pick(7, &["node", &n.to_string()]).as_secs_f64())
            .collect();
        assert!(picked.iter().all(|s| (0.2..=0.5).contains(s)));
        assert!(picked.iter().any(|s| *s < 0.21) && picked.iter().any(|s| *s > 0.49));
        assert_eq!(Span::Exact(3.0).pick(7, &[]), Duration::from_secs(3));
    }

    #[test]
    fn a_span_that_is_negative_backward_or_endless_is_invalid() {
        for bad in [
            Span::Exact(-1.0),
            Span::Exact(f64::NAN),
            Span::Exact(1e12),
            Span::Between([2.0, 1.0]),
        ] {
            assert!(!bad.is_valid(), "{bad:?}");
        }
        assert!(Span::Between([1.0, 1.0]).is_valid());
    }

    #[test]
    fn a_uuid_has_the_form_of_version_4() {
        let id = uuid(3, &["win-0001", "boot"]);
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
