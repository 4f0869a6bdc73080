//! `Tally`: what one pass counted over the nodes of a task, for the status to report.

use std::fmt::Write as _;
use std::time::Duration;

use hosttask_crds::task::NodeFailure;
use jiff::Timestamp;

/// The longest list of failures in a status.
pub(crate) const FAILURES: usize = 10;
/// The most nodes a message names.
const NAMED: usize = 3;

/// What one pass counted. The nodes are `desired`; each is exactly one of updated and fine, pending, in progress, failed or
/// unreachable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Every node the task should run on.
    pub(crate) desired: i32,
    /// Nodes at the update revision (RunOnce: that finished it).
    pub(crate) updated: i32,
    /// Nodes that are healthy at any revision (RunOnce: that finished the update revision successfully).
    pub(crate) healthy: i32,
    /// Nodes on which the update revision failed.
    pub(crate) failed: i32,
    /// Nodes that were started and are neither healthy nor failed.
    pub(crate) in_progress: i32,
    /// Nodes that do not answer and were not touched.
    pub(crate) unreachable: i32,
    /// Reachable nodes that wait for the update revision.
    pub(crate) pending: i32,
    /// The nodes that percentages are of: all but the unreachable ones and those a cordon keeps out.
    pub(crate) base: i32,
    /// Nodes of `base` that are healthy at the update revision.
    pub(crate) good: i32,
    /// Nodes of `base` on which the update revision failed for good: past its grace, or without a further attempt.
    pub(crate) lost: i32,
    /// Nodes that Kubernetes has not created a pod for.
    pub(crate) without_pod: i32,
    /// Nodes that a cordon keeps out.
    pub(crate) cordoned: i32,
    /// When the last planned retry begins: the progress deadline does not count before it.
    pub(crate) not_before: Option<Timestamp>,
    /// Whether the update revision was rolled out completely before this pass.
    pub(crate) finished: bool,
    /// Nodes on which the check found nothing to do; none without a check.
    pub(crate) compliant: Option<i32>,
    /// Nodes on which the check found something to do that is left so; none without a check.
    pub(crate) non_compliant: Option<i32>,
    /// When the task was last due by its schedule.
    pub(crate) last_tick: Option<Timestamp>,
    /// When the task is due next by its schedule.
    pub(crate) next_tick: Option<Timestamp>,
    /// The first nodes that the rollout waits for, as `node (reason)`.
    waited: Vec<String>,
    /// How many nodes it waits for.
    waiting: usize,
    failures: Vec<(Timestamp, NodeFailure)>,
    /// Nodes that did not fail, and are to blame for a missed progress deadline all the same.
    blamed: Vec<(Timestamp, NodeFailure)>,
    /// When to look again.
    pub(crate) wake: Wake,
}

/// The earliest moment at which something changes by time alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wake(Option<Timestamp>);

impl Wake {
    /// Something changes at `time`.
    pub(crate) fn at(&mut self, time: Timestamp) {
        self.0 = Some(self.0.map_or(time, |earliest| earliest.min(time)));
    }

    /// How long that is from `now`. A moment that has passed already is due at once.
    pub(crate) fn after(self, now: Timestamp) -> Option<Duration> {
        let wait = self.0?.duration_since(now);
        Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
    }
}

impl Tally {
    /// The rollout waits for this node.
    pub(crate) fn wait_for(&mut self, node: &str, reason: &str) {
        self.waiting += 1;
        if self.waited.len() < NAMED {
            self.waited.push(format!("{node} ({reason})"));
        }
    }

    /// The update revision failed on a node, with a pod or attempt of `time`.
    pub(crate) fn fail(&mut self, time: Timestamp, failure: NodeFailure) {
        self.failed += 1;
        self.failures.push((time, failure));
    }

    /// A node that had not come up when the progress deadline passed. It is not counted as failed.
    pub(crate) fn blame(&mut self, time: Timestamp, failure: NodeFailure) {
        self.blamed.push((time, failure));
    }

    /// The newest failures, newest first.
    pub(crate) fn failures(&self) -> Vec<NodeFailure> {
        let mut failures: Vec<_> = self.failures.iter().chain(&self.blamed).collect();
        failures.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.node.cmp(&y.node)));
        failures
            .into_iter()
            .take(FAILURES)
            .map(|(_, failure)| failure.clone())
            .collect()
    }

    /// What the rollout waits for, in words, without the failed nodes.
    pub(crate) fn under_way(&self) -> Option<String> {
        blame(&[], &self.waited, self.waiting)
    }

    /// What the rollout waits for, in words: failed nodes first.
    pub(crate) fn waited(&self) -> Option<String> {
        let total = self.waiting + self.failures.len();
        blame(&self.failures(), &self.waited, total)
    }
}

/// Names three of `total` nodes: failed ones with their reason and exit code, then others.
pub(crate) fn blame(failures: &[NodeFailure], others: &[String], total: usize) -> Option<String> {
    let name = |failure: &NodeFailure| match failure.exit_code {
        Some(code) => format!("{} ({}, exit code {code})", failure.node, failure.reason),
        None => format!("{} ({})", failure.node, failure.reason),
    };
    let mut names: Vec<String> = failures.iter().take(NAMED).map(name).collect();
    names.extend(others.iter().take(NAMED - names.len()).cloned());
    if total > NAMED {
        names.push(format!("{} more", total - NAMED));
    }
    (!names.is_empty()).then(|| names.join(", "))
}

/// `text`, cut to `limit` characters.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars()
        .take(limit.saturating_sub(1))
        .chain(['…'])
        .collect()
}

/// The end of `text`, of `limit` characters: the cause stands last in a log.
pub(crate) fn tail(text: &str, limit: usize) -> String {
    let count = text.chars().count();
    if count <= limit {
        return text.to_owned();
    }
    let kept = limit.saturating_sub(1);
    ['…']
        .into_iter()
        .chain(text.chars().skip(count - kept))
        .collect()
}

/// Appends to a text. Writing into memory cannot fail.
pub(crate) fn write_to(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}

/// `time + delay`, or the end of time.
pub(crate) fn later(time: Timestamp, delay: Duration) -> Timestamp {
    time.saturating_add(delay).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(node: usize) -> NodeFailure {
        NodeFailure {
            node: format!("win-{node:02}"),
            reason: "CrashLoop".into(),
            ..NodeFailure::default()
        }
    }

    #[test]
    fn the_ten_newest_failures_are_kept_newest_first() {
        let mut tally = Tally::default();
        for second in 0..14 {
            tally.fail(
                Timestamp::from_second(second).unwrap(),
                failure(usize::try_from(second).unwrap()),
            );
        }
        let nodes: Vec<String> = tally.failures().into_iter().map(|f| f.node).collect();
        assert_eq!(
            (nodes.len(), nodes[0].as_str(), nodes[9].as_str()),
            (10, "win-13", "win-04")
        );
        assert_eq!(tally.failed, 14);
    }

    #[test]
    fn a_message_names_three_nodes_failed_ones_first_and_counts_the_rest() {
        let mut tally = Tally::default();
        assert_eq!(tally.waited(), None);
        tally.wait_for("win-20", "starting");
        tally.fail(Timestamp::UNIX_EPOCH, failure(7));
        assert_eq!(
            tally.waited().unwrap(),
            "win-07 (CrashLoop), win-20 (starting)"
        );
        (1..4).for_each(|n| tally.fail(Timestamp::UNIX_EPOCH, failure(n)));
        assert_eq!(
            tally.waited().unwrap(),
            "win-01 (CrashLoop), win-02 (CrashLoop), win-03 (CrashLoop), 2 more"
        );
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(tail("äöü", 3), "äöü");
        assert_eq!(tail("äöüß", 3), "…üß");
    }

    #[test]
    fn the_earliest_moment_wakes_and_a_past_one_at_once() {
        let second = |s| Timestamp::from_second(s).unwrap();
        let mut wake = Wake::default();
        assert_eq!(wake.after(second(0)), None);
        wake.at(second(20));
        wake.at(second(10));
        assert_eq!(wake.after(second(4)), Some(Duration::from_secs(6)));
        assert_eq!(wake.after(second(11)), Some(Duration::ZERO));
    }
}
