//! `Glob`: the name patterns of a behaviour script, where `*` is any run of characters and `?` is one character.

use serde::{Deserialize, Serialize};

/// A name pattern. A pattern without `*` and `?` matches only itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Glob(String);

impl Glob {
    /// The pattern as it is written in a script.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Whether the whole of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        // One mark is enough: when a later `*` has been reached, an earlier one never has to take more.
        let (mut p, mut n) = (0, 0);
        let mut mark: Option<(usize, usize)> = None;
        while n < name.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    mark = Some((p, n));
                    p += 1;
                }
                Some(&wanted) if wanted == b'?' || name.get(n) == Some(&wanted) => {
                    p += 1;
                    n += 1;
                }
                Some(_) | None => match mark {
                    Some((star, taken)) => {
                        mark = Some((star, taken + 1));
                        p = star + 1;
                        n = taken + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern.iter().skip(p).all(|&rest| rest == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn a_pattern_matches_the_whole_name_and_nothing_else() {
        for (pattern, name, matches) in [
            ("win-0001", "win-0001", true),
            ("win-0001", "win-00010", false),
            ("win-*", "win-0001", true),
            ("win-*", "lin-0001", false),
            ("*-calico-*", "node-calico-7f", true),
            ("*ab", "aab", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("win-000?", "win-0007", true),
            ("win-000?", "win-000", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(
                Glob::new(pattern).matches(name),
                matches,
                "{pattern} on {name}"
            );
        }
    }
}
