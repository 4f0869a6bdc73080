//! The differences between the two nodes that are known and explained: the table of `tests/docs/fleet.md`.

use super::trace::Difference;

/// The page with the table.
const PAGE: &str = include_str!("../../docs/fleet.md");
/// The table's first line.
const HEAD: &str = "| pod | fact | why it differs |";

/// The rows of the table.
pub(crate) struct Table(Vec<Row>);

struct Row {
    pod: String,
    fact: String,
}

impl Table {
    /// Reads the page.
    pub(crate) fn read() -> Self {
        Self::parse(PAGE)
    }

    fn parse(page: &str) -> Self {
        let lines = page.lines().skip_while(|line| *line != HEAD);
        let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
        Self(rows.flat_map(Row::parse).collect())
    }

    /// The differences that no row explains, and the rows that explain nothing.
    pub(crate) fn against<'a>(
        &self,
        found: &'a [Difference],
    ) -> (Vec<&'a Difference>, Vec<String>) {
        let fits = |row: &Row, it: &Difference| row.pod == it.pod && row.fact == it.fact;
        let unexplained = found
            .iter()
            .filter(|it| !self.0.iter().any(|row| fits(row, it)))
            .collect();
        let outdated = self
            .0
            .iter()
            .filter(|row| !found.iter().any(|it| fits(row, it)));
        let outdated = outdated.map(|row| format!("{}, {}", row.pod, row.fact));
        (unexplained, outdated.collect())
    }
}

impl Row {
    /// The rows that one line means: several pods and several facts are separated by commas.
    fn parse(line: &str) -> Vec<Self> {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [pods, facts, why] = cells.as_slice() else {
            panic!("tests/docs/fleet.md: a row of three cells was expected: {line}");
        };
        assert!(!why.is_empty(), "tests/docs/fleet.md: no reason: {line}");
        let words = |cell: &str| -> Vec<String> {
            let words = cell
                .split(',')
                .map(|word| word.trim().trim_matches('`').to_owned());
            words.collect()
        };
        let facts = words(facts);
        let of = |pod: String| {
            facts
                .iter()
                .map(move |fact| Self {
                    pod: pod.clone(),
                    fact: fact.clone(),
                })
                .collect::<Vec<_>>()
        };
        words(pods).into_iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::trace::{differences, normal};
    use super::*;

    #[test]
    fn a_row_explains_its_pods_and_facts_and_is_outdated_without_them() {
        let page =
            format!("text\n\n{HEAD}\n| --- | --- | --- |\n| `a`, `b` | `phase` | slow |\n\nmore\n");
        let of = |phase: &str| normal(&[json!({ "phase": phase })]);
        let found: Vec<Difference> = ["a", "c"]
            .iter()
            .flat_map(|pod| differences(pod, &of("Pending"), &of("Failed")))
            .collect();
        let (unexplained, outdated) = Table::parse(&page).against(&found);
        let pods: Vec<&str> = unexplained.iter().map(|it| it.pod.as_str()).collect();
        assert_eq!(pods, ["c"]);
        assert_eq!(outdated, ["b, phase"]);
    }
}
