//! Chance that can be repeated: the same seed and the same names give the same numbers.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::words;

/// A time that differs from case to case, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The shortest, in seconds.
    pub least: u64,
    /// The longest, in seconds.
    pub most: u64,
}

impl Span {
    /// No time at all.
    pub const NONE: Self = Self { least: 0, most: 0 };

    /// The time of one case.
    pub(super) fn pick(self, seed: u64, about: &[&str]) -> u64 {
        let width = self.most.saturating_sub(self.least).saturating_add(1);
        let above = number(seed, about).checked_rem(width).unwrap_or(0);
        self.least.saturating_add(above)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let (least, most) = (words::seconds(least)?, words::seconds(most)?);
        if least > most {
            return Err(format!(
                "{text}: write the shorter time first, as in 20s..40s"
            ));
        }
        Ok(Self { least, most })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most {
            return write!(f, "{} s", self.least);
        }
        write!(f, "{} to {} s", self.least, self.most)
    }
}

/// A number that depends on nothing but the seed and what it is about.
pub(super) fn number(seed: u64, about: &[&str]) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_be_bytes());
    for part in about {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher
        .finalize()
        .iter()
        .take(8)
        .fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_never_left_and_its_ends_are_reached() {
        let span: Span = "2s..4s".parse().unwrap();
        let picked: std::collections::BTreeSet<u64> = (0..200)
            .map(|n| span.pick(7, &["node", &n.to_string()]))
            .collect();
        assert_eq!(picked.into_iter().collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(Span::NONE.pick(7, &[]), 0);
    }

    #[test]
    fn a_span_says_what_is_wrong_with_it() {
        assert!(
            "4s..2s"
                .parse::<Span>()
                .unwrap_err()
                .contains("shorter time first")
        );
        assert!("soon".parse::<Span>().unwrap_err().contains("90s"));
        assert_eq!(
            "1m".parse::<Span>().unwrap(),
            Span {
                least: 60,
                most: 60
            }
        );
    }
}
