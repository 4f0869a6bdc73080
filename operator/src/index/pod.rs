//! Pods: the row of at most 200 bytes that stays of each.
//!
//! Longer than 400 lines: the row, how it is made and how it is shown change together.

use hosttask_crds::label;
use jiff::Timestamp;

use super::change::Source;
use super::owner::task_symbol;
use super::symbol::{Symbol, Symbols, Uid};
use super::wire::pod::{ContainerStatus, Pod, PodStatus, Terminated};
use crate::observed::{Exit, PodView, Trouble};

/// The longest message that is kept, in bytes.
const MESSAGE_LIMIT: usize = 1024;
/// The longest message of a last run, in bytes: every pod of a fleet that starts again has one. It fits in that of a failure.
const LAST_RUN_LIMIT: usize = 224;
/// How many restarts are kept with their times; older ones are beyond any limit a task can set by then.
const RESTART_LOG: usize = 32;

/// The longest `restartWindowSeconds` that the schema allows, in milliseconds: no restart counts longer.
const LONGEST_WINDOW: i64 = 86_400_000;
/// The kubelet's waiting reason of a program that ended too often to be started again at once.
const CRASH_LOOP: &str = "CrashLoopBackOff";
/// How long a pod that crashed again and again must be ready, in milliseconds, before that is forgotten.
const CALM_READY: i64 = 60_000;
/// How long it must not have restarted, in milliseconds, where it does not become ready. The kubelet forgets after the same time.
const CALM: i64 = 600_000;
/// No time.
const NEVER: i64 = i64::MIN;

/// What stays of a pod. Its key is its UID in binary form; times are Unix milliseconds.
#[derive(Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, and a row is counted in bytes"
)]
pub(super) struct PodRow {
    pub(super) name: Box<str>,
    version: u64,
    created: i64,
    /// When it became what `ready` says by our clock, [`NEVER`] where it was never ready.
    since: i64,
    /// The kubelet's own time of that, only to see that readiness came and went unseen.
    there: i64,
    extra: Option<Box<Extra>>,
    pub(super) task: Symbol,
    pub(super) node: Symbol,
    pub(super) revision: Symbol,
    pub(super) wave: Symbol,
    /// The UID of the DaemonSet or Job that controls it; of an empty text where nothing does.
    pub(super) controller: Symbol,
    attempt: Option<i32>,
    restarts: u32,
    pub(super) mark: u32,
    ready: bool,
    pub(super) deleting: bool,
    finished: bool,
    started: bool,
    pub(super) gated: bool,
    pub(super) orphan: bool,
}

/// What few pods have.
#[derive(Clone, Debug, Default, PartialEq)]
struct Extra {
    trouble: Option<Trouble>,
    exit: Option<Exit>,
    /// How the run before the last restart that was seen ended.
    last_run: Option<Box<Exit>>,
    /// When restarts were seen, and how many.
    restarts: Vec<(i64, u32)>,
    /// When it was last seen to crash again and again; none once it is calm.
    crashed: Option<i64>,
    /// The UID, where it has not the usual form.
    uid: Option<Box<str>>,
    /// The resource version, where it is not a number.
    version: Option<Box<str>>,
}

impl PodRow {
    /// The row of a pod, given the row it had.
    ///
    /// None for a pod that no task of ours concerns: without a task label, or not controlled by a DaemonSet or Job. A pod that
    /// nothing controls is kept where it has a wave: its DaemonSet was deleted and left it, and the DaemonSet of the wave will
    /// take it over. (Without a wave, somebody made it by hand with our labels: not ours to count or delete.)
    pub(super) fn new(
        pod: &Pod,
        before: Option<&Self>,
        source: Source,
        now: Timestamp,
        symbols: &mut Symbols,
    ) -> Option<(Uid, Self)> {
        let metadata = &pod.metadata;
        let wave = metadata.labels.get(label::WAVE);
        let controller = match metadata.controller() {
            Some(owner) if matches!(owner.kind.as_str(), "DaemonSet" | "Job") => &*owner.uid,
            None if !wave.is_empty() => "",
            Some(_) | None => return None,
        };
        let orphan = metadata.controller().is_none();
        if controller.is_empty() && !orphan {
            return None;
        }
        if metadata.labels.get(label::TASK_UID).is_empty() || metadata.uid.is_empty() {
            return None;
        }
        let (uid, exact) = Uid::of(&metadata.uid);
        let number = number(&metadata.resource_version);
        let (ready, since, there) = readiness(pod, before, source, now);
        let restarts = containers(pod).fold(0_u32, |sum, container| {
            sum.saturating_add(container.restart_count)
        });
        let crash = Crash::new(pod, before, restarts, now);
        let log = restart_log(before, restarts, now);
        let extra = Extra {
            trouble: trouble(&pod.status).or(crash.trouble),
            exit: exit(&pod.status).or(crash.exit),
            last_run: if log.is_empty() {
                None
            } else {
                last_run(pod).map(Box::new)
            },
            crashed: crash.last,
            restarts: log,
            uid: (!exact).then(|| metadata.uid.as_str().into()),
            version: number
                .is_none()
                .then(|| metadata.resource_version.as_str().into()),
        };
        let mut row = Self {
            name: metadata.name.as_str().into(),
            version: number.unwrap_or_default(),
            created: begin(pod, before, now),
            since,
            there,
            ready,
            extra: (extra != Extra::default()).then(|| Box::new(extra)),
            task: task_symbol(
                symbols,
                &metadata.namespace,
                metadata.labels.get(label::TASK_UID),
            ),
            node: symbols.acquire(node(pod)),
            revision: symbols.acquire(metadata.labels.get(label::REVISION)),
            wave: symbols.acquire(wave),
            controller: symbols.acquire(controller),
            attempt: metadata.labels.get(label::ATTEMPT).parse().ok(),
            restarts,
            mark: 0,
            deleting: metadata.deleting,
            finished: matches!(pod.status.phase.as_str(), "Succeeded" | "Failed"),
            started: containers(pod).any(has_started),
            gated: pod.is_gated(),
            orphan,
        };
        row.calm_down(now);
        Some((uid, row))
    }

    /// Whether the pod is one that crashes again and again.
    pub(super) fn is_crashing(&self) -> bool {
        let extra = self.extra.as_deref();
        extra.is_some_and(|extra| extra.crashed.is_some())
    }

    /// Forgets that the pod crashed again and again, once it is calm. Returns whether it did.
    pub(super) fn calm_down(&mut self, now: Timestamp) -> bool {
        let now = now.as_millisecond();
        let is_well = self.ready && now.saturating_sub(self.since) >= CALM_READY;
        let Some(extra) = self.extra.as_deref_mut() else {
            return false;
        };
        let rests = |last: i64| now.saturating_sub(last) >= CALM;
        if !extra.crashed.is_some_and(|last| is_well || rests(last)) {
            return false;
        }
        extra.crashed = None;
        if extra.trouble.as_ref().is_some_and(Trouble::is_crash_loop) {
            (extra.trouble, extra.exit) = (None, None);
        }
        true
    }

    /// Gives the interned strings back.
    pub(super) fn release(self, symbols: &mut Symbols) {
        for symbol in [
            self.task,
            self.node,
            self.revision,
            self.wave,
            self.controller,
        ] {
            symbols.release(symbol);
        }
    }

    /// Whether a watch event of this resource version is older than the row.
    pub(super) fn is_newer_than(&self, version: &str) -> bool {
        number(version).is_some_and(|version| version < self.version)
    }

    /// Whether anything but the resource version and the list mark differs.
    pub(super) fn differs(&self, other: &Self) -> bool {
        self.name != other.name
            || (
                self.ready,
                self.since,
                self.deleting,
                self.finished,
                self.started,
                self.gated,
                self.orphan,
                self.restarts,
            ) != (
                other.ready,
                other.since,
                other.deleting,
                other.finished,
                other.started,
                other.gated,
                other.orphan,
                other.restarts,
            )
            || (
                self.task,
                self.node,
                self.revision,
                self.wave,
                self.controller,
                self.attempt,
            ) != (
                other.task,
                other.node,
                other.revision,
                other.wave,
                other.controller,
                other.attempt,
            )
            || self.extra != other.extra
    }

    /// How the pod ended, with the time it was created.
    pub(super) fn ended(&self) -> Option<(Timestamp, &Exit)> {
        let exit = self.extra.as_ref()?.exit.as_ref()?;
        self.finished.then(|| (self.created(), exit))
    }

    /// Whether it serves and stays.
    pub(super) fn is_serving(&self) -> bool {
        self.ready && !self.deleting && !self.finished
    }

    /// Whether it was never ready, and nothing is known that would keep it from becoming so.
    pub(super) fn is_starting(&self) -> bool {
        let was_ready = self.ready || self.since != NEVER;
        !(was_ready || self.deleting || self.finished || self.gated || self.has_trouble())
    }

    /// Whether something keeps it from running its program at all.
    pub(super) fn is_stuck(&self) -> bool {
        self.has_trouble() && !self.started
    }

    fn has_trouble(&self) -> bool {
        let extra = self.extra.as_deref();
        extra.is_some_and(|extra| extra.trouble.is_some())
    }

    /// When it was created.
    pub(super) fn created(&self) -> Timestamp {
        time(self.created).unwrap_or_default()
    }

    /// Its UID as text. `uid`: the key of the row.
    pub(super) fn uid_text(&self, uid: Uid) -> String {
        let kept = self.extra.as_deref().and_then(|extra| extra.uid.as_deref());
        kept.map_or_else(|| uid.text(), str::to_owned)
    }

    /// The pod as decisions see it. `window` is how long a restart counts.
    pub(super) fn view(
        &self,
        uid: Uid,
        window: std::time::Duration,
        now: Timestamp,
        symbols: &Symbols,
    ) -> PodView {
        let extra = self.extra.as_deref();
        let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let begin = now.as_millisecond().saturating_sub(window);
        let recent = extra.map_or(0, |extra| {
            let counted = extra.restarts.iter().filter(|(when, _)| *when > begin);
            counted.fold(0_u32, |sum, (_, count)| sum.saturating_add(*count))
        });
        PodView {
            name: self.name.to_string(),
            uid: self.uid_text(uid),
            resource_version: extra
                .and_then(|extra| extra.version.as_deref())
                .map_or_else(|| self.version.to_string(), str::to_owned),
            node: symbols.text(self.node).to_owned(),
            revision: symbols.text(self.revision).to_owned(),
            attempt: self.attempt,
            job: self
                .attempt
                .map_or_else(String::new, |_| symbols.text(self.controller).to_owned()),
            wave: symbols.text(self.wave).to_owned(),
            orphan: self.orphan,
            gated: self.gated,
            created: self.created(),
            ready_since: time(self.since).filter(|_| self.ready),
            unready_since: time(self.since).filter(|_| !self.ready),
            deleting: self.deleting,
            finished: self.finished,
            started: self.started,
            recent_restarts: i32::try_from(recent).unwrap_or(i32::MAX),
            trouble: extra.and_then(|extra| extra.trouble.clone()),
            exit: extra.and_then(|extra| extra.exit.clone()),
            last_run: extra
                .and_then(|extra| extra.last_run.as_deref())
                .filter(|_| recent > 0)
                .cloned(),
        }
    }
}

/// What is remembered of a pod that crashes again and again.
///
/// The kubelet starts it, it runs for a moment, it ends, the kubelet waits: seen at one of these moments it looks well. What it
/// said when it last waited holds until it is calm, so that a round changes nothing.
#[derive(Default)]
struct Crash {
    last: Option<i64>,
    trouble: Option<Trouble>,
    exit: Option<Exit>,
}

impl Crash {
    fn new(pod: &Pod, before: Option<&PodRow>, restarts: u32, now: Timestamp) -> Self {
        let now = now.as_millisecond();
        if trouble(&pod.status).is_some_and(|trouble| trouble.is_crash_loop()) {
            let last = Some(now);
            return Self {
                last,
                ..Self::default()
            };
        }
        let known = before.and_then(|row| Some((row.restarts, row.extra.as_deref()?)));
        let Some((count, extra)) = known.filter(|(_, extra)| extra.crashed.is_some()) else {
            return Self::default();
        };
        Self {
            last: if restarts > count {
                Some(now)
            } else {
                extra.crashed
            },
            trouble: extra.trouble.clone(),
            exit: extra.exit.clone(),
        }
    }
}

impl Trouble {
    fn is_crash_loop(&self) -> bool {
        self.reason == CRASH_LOOP
    }
}

/// When the pod began: when it was created, or scheduled, where a gate of ours kept it from that for long.
fn begin(pod: &Pod, before: Option<&PodRow>, now: Timestamp) -> i64 {
    let scheduled = pod
        .status
        .conditions
        .iter()
        .find(|it| it.kind == "PodScheduled" && it.status == "True")
        .and_then(|it| it.last_transition_time.0);
    let created = pod.metadata.creation_timestamp.unwrap_or(now);
    let ungated = before.is_some_and(|row| row.gated) && !pod.is_gated();
    [scheduled, ungated.then_some(now)]
        .into_iter()
        .flatten()
        .map(Timestamp::as_millisecond)
        .chain(before.map(|row| row.created))
        .fold(created.as_millisecond(), i64::max)
}

fn time(milliseconds: i64) -> Option<Timestamp> {
    (milliseconds != NEVER)
        .then(|| Timestamp::from_millisecond(milliseconds).ok())
        .flatten()
}

/// A resource version as a number, only where the number gives the same text back.
fn number(version: &str) -> Option<u64> {
    version
        .parse()
        .ok()
        .filter(|number: &u64| number.to_string() == version)
}

/// The node of a pod. The DaemonSet controller names it in the affinity before the scheduler binds the pod.
fn node(pod: &Pod) -> &str {
    if !pod.spec.node_name.is_empty() {
        return &pod.spec.node_name;
    }
    let terms = pod
        .spec
        .affinity
        .node_affinity
        .required
        .node_selector_terms
        .iter();
    let mut fields = terms.flat_map(|term| term.match_fields.iter());
    fields
        .find(|field| field.key == "metadata.name")
        .and_then(|field| field.values.first())
        .map_or("", String::as_str)
}

/// Whether the pod is ready, since when by our clock, and since when by the kubelet's.
///
/// The kubelet's clock may be minutes off. A change that we see happen counts from now. One that we only find in a list counts
/// from the kubelet's time, but not from the future (a pod would never have been ready long enough) and not from before
/// the pod was created (it would have been ready long enough at once). A pod that was never ready has no such time.
fn readiness(
    pod: &Pod,
    before: Option<&PodRow>,
    source: Source,
    now: Timestamp,
) -> (bool, i64, i64) {
    let condition = pod
        .status
        .conditions
        .iter()
        .find(|condition| condition.kind == "Ready");
    let ready = condition.is_some_and(|condition| condition.status == "True");
    let now = now.as_millisecond();
    let there = condition.and_then(|condition| condition.last_transition_time.0);
    let there = there.map_or(NEVER, Timestamp::as_millisecond);
    let created = pod
        .metadata
        .creation_timestamp
        .map_or(NEVER, Timestamp::as_millisecond);
    let guess = if there == NEVER {
        now
    } else {
        there.max(created).min(now)
    };
    let since = match (before, source) {
        (Some(row), _) if row.ready == ready && row.there == there => row.since,
        // It is still not ready: what came between was too short to be told.
        (Some(row), _) if !row.ready && !ready => row.since,
        (Some(_), Source::Watch) => now,
        (None, Source::Watch) if ready => now,
        (None, Source::Watch) => NEVER,
        (None, Source::List) if there == NEVER && !ready => NEVER,
        (_, Source::List) => guess,
    };
    (ready, since, there)
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status
        .init_container_statuses
        .iter()
        .chain(&pod.status.container_statuses)
}

/// Whether a container runs or has run. Where the kubelet says nothing, it may have.
fn has_started(container: &ContainerStatus) -> bool {
    container.state.waiting.is_none()
        || container.last_state.terminated.is_some()
        || container.restart_count > 0
}

/// The restarts seen so far. What happened before we first saw the pod has no time and does not count.
fn restart_log(before: Option<&PodRow>, restarts: u32, now: Timestamp) -> Vec<(i64, u32)> {
    let Some(before) = before else {
        return Vec::new();
    };
    let mut log = before
        .extra
        .as_ref()
        .map(|extra| extra.restarts.clone())
        .unwrap_or_default();
    let longest = now.as_millisecond().saturating_sub(LONGEST_WINDOW);
    log.retain(|(at, _)| *at >= longest);
    let more = restarts.saturating_sub(before.restarts);
    if more > 0 {
        log.push((now.as_millisecond(), more));
        let excess = log.len().saturating_sub(RESTART_LOG);
        log.drain(..excess);
    }
    log
}

/// What keeps a container from running, init containers first: they run first.
fn trouble(status: &PodStatus) -> Option<Trouble> {
    let all = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses);
    let mut waiting = all.filter_map(|container| container.state.waiting.as_ref());
    let normal = |reason: &str| matches!(reason, "" | "ContainerCreating" | "PodInitializing");
    if let Some(waiting) = waiting.find(|waiting| !normal(&waiting.reason)) {
        return Some(Trouble {
            reason: waiting.reason.clone(),
            message: cut(without_delay(&waiting.message)),
        });
    }
    // The kubelet refused the pod, or evicted it: no container has anything to say.
    let refused = status.phase == "Failed" && !status.reason.is_empty();
    refused.then(|| Trouble {
        reason: status.reason.clone(),
        message: cut(&status.message),
    })
}

/// The kubelet's message without how long it waits: `back-off 40s restarting failed container=…` doubles in each round and would
/// be news each time.
fn without_delay(message: &str) -> &str {
    let rest = message.strip_prefix("back-off ");
    let rest = rest.and_then(|rest| rest.split_once(' '));
    rest.map_or(message, |(_, rest)| rest)
}

/// How the program ended: the container that failed, else the last one that ended. A container that waits for its next start
/// ended before.
fn exit(status: &PodStatus) -> Option<Exit> {
    let all = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses);
    let ended: Vec<&Terminated> = all
        .filter_map(|container| {
            let last = container.last_state.terminated.as_ref();
            let last = last.filter(|_| container.state.waiting.is_some());
            container.state.terminated.as_ref().or(last)
        })
        .collect();
    let failed = ended.iter().find(|terminated| terminated.exit_code != 0);
    // An init container that succeeded says nothing about the program, unless it is all there is.
    let main = status
        .container_statuses
        .iter()
        .filter_map(|c| c.state.terminated.as_ref());
    let done = main.max_by_key(|terminated| terminated.finished_at.0);
    let terminated = failed.copied().or(done)?;
    Some(Exit {
        code: terminated.exit_code,
        reason: if status.reason.is_empty() {
            terminated.reason.clone()
        } else {
            status.reason.clone()
        },
        message: cut(&terminated.message),
    })
}

/// The newest run that ended of the containers that were restarted, whatever they do now. Of two that ended in the same second,
/// which is as exact as the kubelet tells it, the one that failed.
fn last_run(pod: &Pod) -> Option<Exit> {
    let restarted = containers(pod).filter(|container| container.restart_count > 0);
    let ended = restarted.filter_map(|container| {
        let now = container.state.terminated.as_ref();
        now.or(container.last_state.terminated.as_ref())
    });
    let last = ended.max_by_key(|ended| (ended.finished_at.0, ended.exit_code != 0))?;
    Some(Exit {
        code: last.exit_code,
        reason: last.reason.clone(),
        message: tail(&last.message, LAST_RUN_LIMIT),
    })
}

/// A text of at most [`MESSAGE_LIMIT`] bytes.
fn cut(text: &str) -> String {
    tail(text, MESSAGE_LIMIT)
}

/// A text of at most `limit` bytes, cut between characters. The end is kept: a log tail tells the cause last.
fn tail(text: &str, limit: usize) -> String {
    let mut begin = text.len().saturating_sub(limit);
    while !text.is_char_boundary(begin) {
        begin += 1;
    }
    text.get(begin..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_row_with_its_keys_stays_under_200_bytes() {
        let keys = size_of::<Uid>() + size_of::<(Symbol, Uid)>();
        // `tool-windows-exporter-x7k2p` in its allocation.
        let name = 32;
        let bytes = size_of::<PodRow>() + keys + name;
        println!(
            "{bytes} bytes per pod: row {}, keys {keys}, name {name}",
            size_of::<PodRow>()
        );
        assert!(bytes <= 200, "{bytes}");
    }

    #[test]
    fn a_long_message_keeps_its_end_and_whole_characters() {
        let text = format!("{}é", "ü".repeat(2000));
        let kept = cut(&text);
        assert!(kept.len() <= MESSAGE_LIMIT);
        assert!(kept.ends_with('é'));
        assert_eq!(cut("short"), "short");
    }
}
