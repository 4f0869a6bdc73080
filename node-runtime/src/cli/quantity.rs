//! Values of options: a time, a number of bytes, a variable, or none of something.

use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use thiserror::Error;

/// Why a value is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// It is no time.
    #[error("{0:?} is no time; write it as 30s, 1m30s or 500ms")]
    Time(String),
    /// It is no number of bytes.
    #[error("{0:?} is no number of bytes; write it as 268435456, 256MiB or 1GiB")]
    Bytes(String),
    /// It is no variable. What it is stays unsaid: it may be secret.
    #[error("a variable is written as NAME=VALUE")]
    Variable,
}

/// A time from 0 to a day. A bare number is of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace(pub Duration);

impl FromStr for Grace {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let malformed = || QuantityError::Time(text.to_owned());
        let span = match text.parse::<u32>() {
            Ok(seconds) => Duration::from_secs(seconds.into()),
            Err(_) => text
                .parse::<SignedDuration>()
                .ok()
                .and_then(|it| Duration::try_from(it).ok())
                .ok_or_else(malformed)?,
        };
        let day = Duration::from_hours(24);
        if span > day {
            return Err(malformed());
        }
        Ok(Self(span))
    }
}

/// A number of bytes, with or without one of KiB, MiB, GiB (or Ki, Mi, Gi).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let end = text
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let factor: Option<u64> = match unit {
            "" => Some(1),
            "Ki" | "KiB" => Some(1 << 10),
            "Mi" | "MiB" => Some(1 << 20),
            "Gi" | "GiB" => Some(1 << 30),
            _ => None,
        };
        let number = number.parse::<u64>().ok();
        number
            .zip(factor)
            .and_then(|(number, factor)| number.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| QuantityError::Bytes(text.to_owned()))
    }
}

/// Something, or the word `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrNone<T> {
    /// Nothing of it: the limit is lifted.
    None,
    /// This.
    Some(T),
}

impl<T: FromStr> FromStr for OrNone<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "none" {
            return Ok(Self::None);
        }
        text.parse().map(Self::Some)
    }
}

/// A variable of an environment. Its value may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variable")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl FromStr for Variable {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let parts = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty() && !name.contains('\0'));
        let (name, value) = parts.ok_or(QuantityError::Variable)?;
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_people_do_and_ends_after_a_day() {
        let cases = [
            ("0", 0),
            ("30", 30_000),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("24h", 86_400_000),
        ];
        for (text, milliseconds) in cases {
            let time = text.parse::<Grace>().unwrap();
            assert_eq!(time.0, Duration::from_millis(milliseconds), "{text}");
        }
        for text in [
            "",
            "-1s",
            "25h",
            "soon",
            "1 fortnight",
            "99999999999999999999",
        ] {
            assert!(text.parse::<Grace>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_of_bytes_never_overflows_and_has_units_of_1024_only() {
        assert_eq!("256MiB".parse(), Ok(Bytes(268_435_456)));
        assert_eq!("1Gi".parse(), Ok(Bytes(1 << 30)));
        assert_eq!("7".parse(), Ok(Bytes(7)));
        for text in ["", "MiB", "1MB", "-1", "1.5GiB", "99999999999GiB", "1 MiB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_limit_can_be_none() {
        assert_eq!("none".parse(), Ok(OrNone::<Bytes>::None));
        assert_eq!("5".parse(), Ok(OrNone::Some(5_u8)));
        assert!("300".parse::<OrNone<u8>>().is_err());
    }

    #[test]
    fn a_variable_has_a_name_and_is_never_shown() {
        let variable: Variable = "KEY=a=hunter2".parse().unwrap();
        assert_eq!(
            (variable.name.as_str(), variable.value.as_str()),
            ("KEY", "a=hunter2")
        );
        assert!(!format!("{variable:?}").contains("hunter2"));
        let refused = "=hunter2".parse::<Variable>().unwrap_err();
        assert!(!refused.to_string().contains("hunter2"));
    }
}
