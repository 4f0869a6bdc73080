//! What must never happen, read from the truth and never from the plan.

use crate::config::{Config, Quality};
use hosttask_crds::task::Mode;

use crate::state::{Act, Document, Job, Node, Pod, Spec, State};
use crate::words::Words;
use crate::world::{is_serving, serves};

/// The safety laws, as the properties that the checker proves.
pub(crate) const LAWS: [(&str, &str); 18] = [
    (
        "budget",
        "nodes of a wave whose serving pod we took stay within maxUnavailable, however stale our view",
    ),
    (
        "strict budget",
        "with a true view, no serving pod is deleted where that leaves more than maxUnavailable of its wave disturbed",
    ),
    (
        "bad first",
        "no serving pod is deleted while an outdated pod of its wave serves nobody",
    ),
    (
        "unreachable",
        "no pod is deleted on a node that does not answer",
    ),
    ("content", "only another content takes a pod away"),
    (
        "template",
        "no pod is deleted while the controller would start the old template again",
    ),
    (
        "wave order",
        "no node of a wave is touched before every node of the waves before had the content",
    ),
    (
        "soak",
        "no node of a wave is touched before the wave before was well for its soak",
    ),
    (
        "approval",
        "no node is touched behind a wave that nobody approved",
    ),
    (
        "window",
        "nothing is started outside the maintenance window",
    ),
    ("paused", "a paused task starts nothing"),
    (
        "latch",
        "a failed content starts nothing until somebody asks for it",
    ),
    (
        "rollback",
        "a rollback only brings the stable content, newest wave first",
    ),
    ("single", "our writes never make two of a task on one node"),
    ("twice", "what ended well on a machine is not run again"),
    ("foreign", "objects of others are left alone"),
    ("division", "changing the waves restarts no pod"),
    ("status", "the status never claims more than is true"),
];

/// The pass that writes.
pub(crate) struct Pass<'a> {
    pub(crate) words: &'a Words,
    /// The spec it was planned on.
    pub(crate) spec: Spec,
    /// The status it was planned on.
    pub(crate) before: Document,
    /// Whether it was planned on the truth of this moment.
    pub(crate) exact: bool,
}

impl Pass<'_> {
    fn config(&self) -> &Config {
        &self.words.config
    }

    fn wave(&self, node: &Node) -> u8 {
        self.config().wave(self.spec.layout, node.facts.pool)
    }

    fn rolls_back(&self) -> bool {
        self.words.rolls_back(self.before, self.spec)
    }

    /// Whether a pod may go although it is of the content that is aimed at by the status: a retry was asked for.
    fn may_repeat(&self, pod: &Pod) -> bool {
        let said = self.words.said(self.before);
        let asked = (self.spec.retry > 0).then(|| self.spec.retry.to_string());
        asked.is_some() && asked != said.retry && !serves(pod)
    }

    fn of_wave<'a>(&'a self, state: &'a State, wave: u8) -> impl Iterator<Item = &'a Node> {
        let nodes = state.nodes.iter();
        nodes.filter(move |node| self.wave(node) == wave)
    }
}

/// Judges a write of ours before it is made.
pub(crate) fn before(pass: &Pass<'_>, state: &mut State, act: &Act) {
    let broken = match act {
        Act::DeletePod { node, pod, up } => delete(pass, state, usize::from(*node), pod, *up),
        Act::CreateJob {
            node,
            machine,
            content,
            ..
        } => {
            let at = usize::from(*node);
            let broken =
                started(pass, state, at).or_else(|| job(pass, state, at, *machine, *content));
            let node = &mut state.nodes[at];
            // What another content did to the node may have to be done again.
            if node.facts.machine == *machine && node.done != Some(*content) {
                node.done = None;
            }
            broken
        }
        Act::Apply { wave, content, .. } => apply(pass, state, *wave, *content),
        _ => None,
    };
    state.broken = state.broken.or(broken);
}

/// What holds for every start of a node.
fn started(pass: &Pass<'_>, state: &State, at: usize) -> Option<&'static str> {
    let spec = pass.spec;
    let wave = pass.wave(&state.nodes[at]);
    if spec.paused {
        return Some("paused");
    }
    if pass.rolls_back() {
        return None;
    }
    if pass.words.is_latched(pass.before, spec) {
        return Some("latch");
    }
    if spec.window_closed {
        return Some("window");
    }
    ordered(pass, state, wave)
}

/// Whether the wave may be touched, as far as the waves before it go.
fn ordered(pass: &Pass<'_>, state: &State, wave: u8) -> Option<&'static str> {
    let said = pass.words.said(pass.before);
    let finished = !said.rolling && said.stable == Some(pass.spec.content);
    // The memory of the truth is of the content that is asked for now.
    if wave == 0 || finished || state.spec != pass.spec {
        return None;
    }
    let before = || pass.of_wave(state, 0).filter(|node| !node.befallen);
    if before().any(|node| !node.proved) {
        return Some("wave order");
    }
    if before().count() == 0 || pass.of_wave(state, 0).any(|node| node.befallen) {
        return None;
    }
    if pass.config().soak > 0 && !state.soaked {
        return Some("soak");
    }
    (pass.config().manual && !pass.spec.approved).then_some("approval")
}

fn delete(
    pass: &Pass<'_>,
    state: &mut State,
    at: usize,
    pod: &Pod,
    up: bool,
) -> Option<&'static str> {
    let (config, spec) = (pass.config(), pass.spec);
    let node = &state.nodes[at];
    let wave = pass.wave(node);
    let truth = node.pods.iter().find(|it| it.id == pod.id).copied()?;
    // Of two pods on a node one has to go.
    if node.pods.iter().filter(|it| !it.deleting).count() > 1 {
        return None;
    }
    if !up {
        return Some("unreachable");
    }
    let said = pass.words.said(pass.before);
    let target = if pass.rolls_back() {
        said.stable?
    } else {
        spec.content
    };
    if truth.content == target && !pass.may_repeat(&truth) {
        return Some(if pass.rolls_back() {
            "rollback"
        } else {
            "content"
        });
    }
    if truth.content == target {
        return None;
    }
    if let Some(law) = started(pass, state, at) {
        return Some(law);
    }
    if state.sets[usize::from(wave)].is_none_or(|set| set.seen != Some(target)) && pass.exact {
        return Some("template");
    }
    let newer = |node: &&Node| {
        let back = |pod: &Pod| !pod.deleting && pod.content != target;
        node.facts.up && pass.wave(node) > wave && node.pods.iter().any(back)
    };
    if pass.exact && pass.rolls_back() && state.nodes.iter().any(|node| newer(&node)) {
        return Some("rollback");
    }
    let rests = |node: &Node| {
        let bad = |pod: &Pod| !pod.deleting && pod.ready.is_none() && pod.content != target;
        node.facts.up && node.pods.len() == 1 && node.pods.iter().any(bad)
    };
    if serves(&truth) && pass.exact && pass.of_wave(state, wave).any(rests) {
        return Some("bad first");
    }
    let max = usize::try_from(config.max_unavailable).unwrap();
    // A node that left with the new content on it holds its slot while the rollout goes on.
    let left = |node: &Node| {
        let ours =
            |pod: &Pod| !pod.deleting && pod.content == target && pod.created <= node.facts.changed;
        !node.facts.up && said.rolling && !pass.rolls_back() && node.pods.iter().any(ours)
    };
    let disturbed = |node: &&Node| left(node) || (node.facts.up && !is_serving(node));
    let disturbed = pass.of_wave(state, wave).filter(disturbed).count() + 1;
    if serves(&truth) && pass.exact && disturbed > max {
        return Some("strict budget");
    }
    state.nodes[at].taken = true;
    let taken = pass
        .of_wave(state, wave)
        .filter(|node| node.taken && holds_slot(node));
    (said.rolling && taken.count() > max).then_some("budget")
}

/// A node that left before its replacement was created is given up; one that left after keeps its slot.
fn holds_slot(node: &Node) -> bool {
    let left = node.facts.changed;
    let kept = |pod: &Pod| pod.deleting || pod.created <= left;
    node.facts.up || node.pods.iter().any(kept)
}

fn job(
    pass: &Pass<'_>,
    state: &State,
    at: usize,
    machine: u8,
    content: u8,
) -> Option<&'static str> {
    let node = &state.nodes[at];
    if node.facts.machine == machine && node.done == Some(content) {
        return Some("twice");
    }
    let wave = pass.wave(node);
    let busy = |node: &&Node| {
        node.jobs
            .iter()
            .any(|job| job.end.is_none() && !job.foreign)
    };
    let others = pass.of_wave(state, wave).filter(busy);
    let here = usize::from(!busy(&node));
    let max = usize::try_from(pass.config().max_unavailable).unwrap();
    // A Job that a user deleted under a stale view, or of the machine before, is nobody's slot.
    (others.count() + here > max).then_some("budget")
}

fn apply(pass: &Pass<'_>, state: &State, wave: u8, content: u8) -> Option<&'static str> {
    let said = pass.words.said(pass.before);
    if pass.rolls_back() {
        return (Some(content) != said.stable).then_some("rollback");
    }
    let old = state.sets[usize::from(wave)].map(|set| set.content);
    let begins = content == pass.spec.content && said.stable.is_some_and(|it| it != content);
    if !begins || old == Some(content) {
        return None;
    }
    if pass.spec.paused {
        return Some("paused");
    }
    ordered(pass, state, wave)
}

/// Judges a status that was just written.
pub(crate) fn reported(pass: &Pass<'_>, state: &mut State) {
    if !pass.exact || state.broken.is_some() {
        return;
    }
    let said = pass.words.said(state.status);
    let content = state.spec.content;
    let has = |node: &&Node| match pass.config().mode {
        Mode::Daemon => node.pods.iter().any(|pod| pod.content == content),
        _ => node
            .ledger
            .is_some_and(|entry| pass.words.is_of(entry, content)),
    };
    let lies = said.updated > state.nodes.iter().filter(has).count()
        || (said.ready && !said_before(pass) && !everywhere(pass.words, state, content));
    if lies {
        state.broken = Some("status");
    }
}

/// Whether the content was complete before: a finished rollout stays finished.
fn said_before(pass: &Pass<'_>) -> bool {
    let said = pass.words.said(pass.before);
    !said.rolling && said.stable == Some(pass.spec.content) && said.update == said.stable
}

/// Judges every state: what no single write breaks.
pub(crate) fn always(state: &mut State) {
    if state.broken.is_some() {
        return;
    }
    let double = |node: &Node| {
        let pods = node.pods.iter().filter(|pod| !pod.deleting).count();
        let jobs = node.jobs.iter();
        let open = |job: &&Job| {
            job.end.is_none() && !job.foreign && !job.deleting && job.machine == node.facts.machine
        };
        (pods > 1 && !node.relabelled) || jobs.filter(open).count() > 1
    };
    if state.nodes.iter().any(double) {
        state.broken = Some("single");
    }
}

/// Whether every node that answers has `content`, and only that, and it is well.
fn everywhere(words: &Words, state: &State, content: u8) -> bool {
    let nodes = state.nodes.iter().filter(|node| node.facts.up);
    let mut nodes = nodes.peekable();
    let has = |node: &Node| match words.config.mode {
        Mode::Daemon => {
            matches!(node.pods.as_slice(), [pod] if serves(pod) && pod.content == content)
        }
        _ => node.ledger.and_then(|entry| words.done(entry)) == Some(content),
    };
    nodes.peek().is_some() && nodes.all(has)
}

/// Whether the status tells the truth about a world that came to rest, and there is nothing that should still be done.
pub(crate) fn is_at_its_end(words: &Words, state: &State) -> bool {
    let (config, spec) = (&words.config, state.spec);
    let said = words.said(state.status);
    let blamed = config.contents[usize::from(spec.content)] != Quality::Good
        || state.nodes.iter().any(|node| node.befallen);
    // Nothing can be proved while nobody answers.
    if state.nodes.iter().all(|node| !node.facts.up) {
        return true;
    }
    match said.reason.as_str() {
        "RolloutComplete" | "AllNodesSucceeded" => everywhere(words, state, spec.content),
        "Paused" => spec.paused,
        "WaitingForWindow" => spec.window_closed,
        "AwaitingApproval" => config.manual && !spec.approved,
        "RolledBack" => said.stable.is_some_and(|it| everywhere(words, state, it)),
        "FailureThresholdExceeded" | "ProgressDeadlineExceeded" | "Degraded" => {
            let back = words.rolls_back(state.status, spec);
            blamed && !back
        }
        _ => false,
    }
}
