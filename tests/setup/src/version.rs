//! Versions as programs print them, compared by major and minor number.

use std::fmt;
use std::path::Path;
use std::process::Command;

/// Major and minor number of a program's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl Version {
    /// The version with these two numbers.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Finds the first `MAJOR.MINOR` in what a program printed, with or without a leading `v` or `go`.
    pub fn find(text: &str) -> Option<Self> {
        text.split(|c: char| c.is_whitespace() || c == ',')
            .find_map(|word| {
                let number = word.trim_start_matches("go").trim_start_matches('v');
                let mut parts = number.split('.');
                let major = parts.next()?.parse().ok()?;
                let digits: String = parts
                    .next()?
                    .chars()
                    .take_while(char::is_ascii_digit)
                    .collect();
                Some(Self {
                    major,
                    minor: digits.parse().ok()?,
                })
            })
    }

    /// Runs `program` with `arguments` and finds the version in its output; none if it does not run.
    pub fn of(program: &Path, arguments: &[&str]) -> Option<Self> {
        let output = Command::new(program).args(arguments).output().ok()?;
        if !output.status.success() {
            return None;
        }
        Self::find(&String::from_utf8_lossy(&output.stdout))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_the_programs_print() {
        let cases = [
            ("Kubernetes v1.37.0\n", Some(Version::new(1, 37))),
            (
                "etcd Version: 3.7.0\nGit SHA: none\nGo Version: go1.26.8",
                Some(Version::new(3, 7)),
            ),
            (
                "Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0",
                Some(Version::new(1, 32)),
            ),
            ("go1.26.8", Some(Version::new(1, 26))),
            ("go1.27rc1", Some(Version::new(1, 27))),
            ("usage: program", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Version::find(text), expected, "{text:?}");
        }
    }

    #[test]
    fn minor_versions_compare_as_numbers() {
        assert!(Version::new(1, 9) < Version::new(1, 34));
        assert!(Version::new(2, 0) > Version::new(1, 34));
    }
}
