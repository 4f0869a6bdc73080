//! `id`: the names of containers and of processes that are started in them later.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The most characters of a name: containerd's own bound.
const LONGEST: usize = 76;

/// The name of a container, or of a process in it: letters and digits in groups, joined by one of `.`, `_` and `-`.
///
/// It becomes part of paths, pipe names and job names, so nothing else is let in. The grammar is containerd's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// It is empty.
    #[error("the id is empty; give it 1 to {LONGEST} characters")]
    Empty,
    /// It is too long.
    #[error("the id has {0} characters; give it at most {LONGEST}")]
    TooLong(usize),
    /// It has a character, or a joint, that is not allowed.
    #[error("the id {0:?} is none; use letters and digits, joined by single '.', '_' or '-'")]
    Malformed(String),
    /// Windows has a device of that name.
    #[error("the id {0:?} is a device name of Windows; choose another")]
    Device(String),
}

impl Id {
    /// Checks a name.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let length = text.chars().count();
        if length == 0 {
            return Err(IdError::Empty);
        }
        if length > LONGEST {
            return Err(IdError::TooLong(length));
        }
        let is_joint = |letter| matches!(letter, '.' | '_' | '-');
        let is_group =
            |group: &str| !group.is_empty() && group.chars().all(|it| it.is_ascii_alphanumeric());
        if !text.split(is_joint).all(is_group) {
            return Err(IdError::Malformed(text.to_owned()));
        }
        if is_device(text) {
            return Err(IdError::Device(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name on the whole host of what has this name in a namespace: `web` of `k8s.io` is `web.` and eight digits.
    ///
    /// Jobs, roots and accounts are those of the whole host, where each namespace has names of its own. A name that would be
    /// too long is cut, and gets eight digits more.
    #[must_use]
    pub fn within(&self, namespace: &Self) -> Self {
        let digits = |text: &str| format!("{:08x}", crc32fast::hash(text.as_bytes()));
        let mark = digits(&namespace.0);
        let whole = format!("{}.{mark}", self.0);
        if whole.len() <= LONGEST {
            return Self(whole);
        }
        let start: String = self.0.chars().take(LONGEST - 17).collect();
        let start = start.trim_end_matches(['.', '_', '-']);
        Self(format!("{start}.{}{mark}", digits(&self.0)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a file of that name is a device on Windows, whatever its extension.
fn is_device(text: &str) -> bool {
    let stem = text.split('.').next().unwrap_or(text).to_ascii_uppercase();
    let port = |name: &str| {
        stem.strip_prefix(name)
            .is_some_and(|rest| rest.len() == 1 && rest.chars().all(|it| it.is_ascii_digit()))
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL") || port("COM") || port("LPT")
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Id {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_containerd_and_the_kubelet_are_names() {
        let long = "a".repeat(LONGEST);
        for text in ["web", "9f8c0a", "calico-node.v3_1", "A", long.as_str()] {
            assert_eq!(Id::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_name_in_a_namespace_is_a_name_of_its_own_on_the_host() {
        let id = |text: &str| Id::parse(text).unwrap();
        let (cri, other) = (id("k8s.io"), id("moby"));
        let long = format!("{}-{}", "a".repeat(58), "b".repeat(17));
        for name in ["web", "a.b", "9".repeat(64).as_str(), long.as_str()] {
            let within = id(name).within(&cri);
            assert_eq!(Id::parse(within.as_str()), Ok(within.clone()));
            assert_eq!(within, id(name).within(&cri));
            assert_ne!(within, id(name).within(&other));
            assert_ne!(within, id(name));
        }
        let (one, two) = (format!("{long}1"), format!("{long}2"));
        assert_ne!(
            Id(one).within(&cri),
            Id(two).within(&cri),
            "what is cut still counts"
        );
    }

    #[test]
    fn nothing_that_means_something_in_a_path_is_a_name() {
        let long = "a".repeat(LONGEST + 1);
        let bad = [
            "",
            "..",
            "a..b",
            "-a",
            "a-",
            "a/b",
            "a\\b",
            "a:b",
            "a b",
            "ä",
            "а",
            "a\0",
            "a\n",
            ".a",
            "con",
            "NUL.txt",
            "com1",
            "LPT9.x",
            long.as_str(),
        ];
        for text in bad {
            assert!(Id::parse(text).is_err(), "{text:?}");
        }
        assert!(Id::parse("com10").is_ok());
        assert!(Id::parse("console").is_ok());
    }
}
