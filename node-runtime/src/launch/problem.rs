//! `problem`: what is wrong with a config, all at once, each with the place, the rule and the fix.

use std::fmt;

/// How many are kept: a hostile config could have one for each of its bytes.
const MOST: usize = 100;

/// The most characters of a value that are shown.
const SHOWN: usize = 80;

/// The most characters of a path that are shown in an error about it.
const SHOWN_PATH: usize = 300;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, as `process.user.username` or `mounts[2].source`; empty: the whole document.
    pub path: String,
    /// What it has, cut and without control characters; none where it could be a secret, as arguments and variables are.
    pub value: Option<String>,
    /// The rule that it breaks, and what to do.
    pub rule: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "the config"
        } else {
            &self.path
        };
        write!(f, "{path}: {}", self.rule)?;
        match &self.value {
            Some(value) => write!(f, " (it is \"{value}\")"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a config, one per line, in the order it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    left_out: usize,
}

impl Problems {
    /// What was found. At most 100 are kept.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// One more, of a field whose value must not be shown or says nothing.
    pub(super) fn add(&mut self, path: &str, rule: impl fmt::Display) {
        self.push(path, None, &rule);
    }

    /// One more, with what the field has.
    pub(super) fn add_value(&mut self, path: &str, value: &str, rule: impl fmt::Display) {
        self.push(path, Some(shorten(value)), &rule);
    }

    /// What was made of the config, if nothing is wrong with it.
    pub(super) fn unless_any<T>(self, made: Option<T>) -> Result<T, Self> {
        match made {
            Some(made) if self.is_empty() => Ok(made),
            _ => Err(self),
        }
    }

    fn push(&mut self, path: &str, value: Option<String>, rule: &dyn fmt::Display) {
        if self.list.len() >= MOST {
            self.left_out += 1;
            return;
        }
        self.list.push(Problem {
            path: shorten(path),
            value,
            rule: clean(&rule.to_string()),
        });
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.list.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Problems {}

/// A text that cannot break a line of a log or a terminal.
fn clean(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, letter| {
        match letter {
            // A path with every backslash doubled is hard to read.
            '\\' | '"' | '\'' => shown.push(letter),
            _ => shown.extend(letter.escape_debug()),
        }
        shown
    })
}

/// The same, cut for a value among others.
pub(super) fn shorten(text: &str) -> String {
    cut(text, SHOWN)
}

/// The same, cut where no path of ordinary length is.
pub(super) fn shown(text: &str) -> String {
    cut(text, SHOWN_PATH)
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", clean(text.get(..end).unwrap_or_default())),
        None => clean(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_a_line_of_its_own_however_hostile_the_value() {
        let mut problems = Problems::default();
        problems.add("process.args", "give at least one");
        problems.add_value("a\nb", "\u{1b}[31mred\r\n", "wrong");
        problems.add("c", "no \u{202e}\u{1b}");
        let text = problems.to_string();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains('\u{202e}'), "{text}");
        assert!(text.lines().all(|line| !line.contains(char::is_control)));
        assert!(problems.unless_any(Some(())).is_err());
    }

    #[test]
    fn a_flood_of_problems_is_counted_and_a_long_value_is_cut() {
        let mut problems = Problems::default();
        for _ in 0..1_000 {
            problems.add_value("x", &"y".repeat(10_000), "wrong");
        }
        let text = problems.to_string();
        assert!(text.ends_with("and 900 more"), "{text}");
        assert!(text.len() < 20_000);
    }
}
