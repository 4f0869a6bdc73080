//! What a part of `cargo verify` counts, and how it is read from what test programs print.

/// What a part has found so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// The names of the tests that failed. Where output of its own stands between the name of a test and how it ended, its name
    /// is missing here.
    pub(crate) failed_tests: Vec<String>,
    /// One reason for each test that did not run.
    pub(crate) skipped: Vec<String>,
    /// How many passed in each run of the same tests that has a name, and how many inputs of a kind a test had.
    pub(crate) named: Vec<(String, u64)>,
}

impl Count {
    /// Adds what another one found.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failed_tests.extend(other.failed_tests);
        self.skipped.extend(other.skipped);
        self.named.extend(other.named);
    }

    /// Reads what test programs print. A test that prints `not run: REASON` ends well but has proved
    /// nothing, so it counts as skipped. What a program says that died before its summary is in none of the numbers: see
    /// [`Self::died`].
    pub(crate) fn from_tests(output: &str) -> Self {
        let mut count = Self::default();
        for line in output.lines().map(str::trim) {
            if let Some(reason) = line.strip_prefix("not run: ") {
                count.skipped.push(reason.to_owned());
            }
            if let Some((kind, inputs)) = line
                .strip_prefix("inputs of ")
                .and_then(|it| it.split_once(": "))
                && let Ok(inputs) = inputs.parse()
            {
                count.named.push((format!("inputs of {kind}"), inputs));
            }
            if let Some(test) = line
                .strip_prefix("test ")
                .and_then(|it| it.strip_suffix(" ... FAILED"))
            {
                count.failed_tests.push(test.to_owned());
            }
            let Some(result) = line.strip_prefix("test result: ") else {
                continue;
            };
            let number = |what: &str| {
                result
                    .split([';', '.'])
                    .find_map(|field| field.trim().strip_suffix(what)?.trim().parse::<u64>().ok())
                    .unwrap_or(0)
            };
            count.passed += number("passed");
            count.failed += number("failed");
            for _ in 0..number("ignored") {
                count.skipped.push("marked #[ignore]".to_owned());
            }
        }
        let silent = count
            .skipped
            .iter()
            .filter(|reason| *reason != "marked #[ignore]")
            .count();
        count.passed = count.passed.saturating_sub(silent as u64);
        count
    }

    /// How many test programs said that they begin, and nothing at their end.
    pub(crate) fn died(output: &str) -> u64 {
        let begins = |line: &str| {
            let tests = line.strip_prefix("running ")?.split_once(" test")?;
            tests.0.parse::<u64>().ok()
        };
        let begun = output.lines().filter(|line| begins(line).is_some());
        let ended = output.lines().filter(|it| it.starts_with("test result: "));
        begun.count().saturating_sub(ended.count()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_over_all_programs_and_silent_ones_are_skipped() {
        let output = "\
running 3 tests
test a ... ok
---- a stdout ----
not run: ../shared/manifests is not here
inputs of path: 1234
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
test b::c ... FAILED
test d ... FAILED
test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s
";
        let count = Count::from_tests(output);
        assert_eq!((count.passed, count.failed), (11, 2));
        assert_eq!(count.failed_tests, ["b::c", "d"]);
        assert_eq!(count.named, [("inputs of path".to_owned(), 1234)]);
        assert_eq!(
            count.skipped,
            ["../shared/manifests is not here", "marked #[ignore]"]
        );
    }
}
