//! Between the words of the model and those of the shipped plan; every plan is made once and remembered.
//!
//! Longer than 400 lines: one translator between the plan and the model, in both directions.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hosttask_crds::label;
use hosttask_crds::node::{LedgerEntry, LedgerState};
use hosttask_crds::task::{FailureAction, WindowsHostTaskStatus};
use hosttask_operator::desired::{Content, Desired};
use hosttask_operator::plan::{Action, Plan, plan};
use hosttask_operator::{build, revision};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::config::{Config, TICK, WAVES};
use crate::mutant::Mutant;
use crate::state::{Act, Document, FOREVER, Job, Moment, Spec};
use crate::view::{NOW, View, time};

/// A plan in the words of the model.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) acts: Vec<Act>,
    pub(crate) status: Document,
    /// Whether time alone will change something.
    pub(crate) waits: bool,
}

/// What the laws read in a status.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) reason: String,
    pub(crate) ready: bool,
    /// Whether a rollout is under way.
    pub(crate) rolling: bool,
    pub(crate) updated: usize,
    pub(crate) update: Option<u8>,
    pub(crate) stable: Option<u8>,
    pub(crate) failed: Option<u8>,
    pub(crate) retry: Option<String>,
}

/// What was said so far, by number.
#[derive(Default)]
struct Book {
    plans: HashMap<View, Arc<Outcome>>,
    desired: HashMap<Spec, Arc<Desired>>,
    statuses: Vec<(WindowsHostTaskStatus, Said)>,
    status_numbers: HashMap<String, u16>,
    entries: Vec<LedgerEntry>,
    entry_numbers: HashMap<String, u16>,
    applied: Vec<String>,
}

/// The translator of one configuration.
pub(crate) struct Words {
    pub(crate) config: Config,
    mutant: Option<Mutant>,
    /// Whether the mutant is at work: the first rollout is always the shipped plan's.
    armed: AtomicBool,
    pub(crate) revisions: Vec<String>,
    pub(crate) layouts: Vec<String>,
    /// Each content, and its digest.
    pub(crate) contents: Vec<(Content, String)>,
    /// The position of the wave of each pool, by division.
    pub(crate) positions: Vec<[usize; 2]>,
    book: Mutex<Book>,
}

impl Words {
    pub(crate) fn new(config: Config, mutant: Option<Mutant>) -> Self {
        let contents = 0..u8::try_from(config.contents.len()).unwrap();
        let layouts = 0..u8::try_from(config.layouts.len()).unwrap();
        let content = |it| {
            let content = config.content(it);
            let digest = revision::digest(&content.raw);
            (content, digest)
        };
        let position = |it| [0, 1].map(|pool| config.position(it, pool));
        let layout = |it| revision::layout(&config.waves(it));
        Self {
            revisions: contents.clone().map(|it| config.revision(it)).collect(),
            contents: contents.map(content).collect(),
            layouts: layouts.clone().map(layout).collect(),
            positions: layouts.map(position).collect(),
            book: Mutex::default(),
            armed: AtomicBool::new(false),
            config,
            mutant,
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    /// Lets the mutant begin.
    pub(crate) fn arm(&self) {
        self.book().plans.clear();
        self.armed.store(true, Ordering::Relaxed);
    }

    /// The mutant at work.
    fn mutant(&self) -> Option<Mutant> {
        self.mutant.filter(|_| self.armed.load(Ordering::Relaxed))
    }

    /// Whether this mutant is at work.
    pub(crate) fn is_mutant(&self, mutant: Mutant) -> bool {
        self.mutant() == Some(mutant)
    }

    /// The number of different situations that were planned.
    pub(crate) fn plans(&self) -> usize {
        self.book().plans.len()
    }

    /// The plan of the shipped code for what is seen.
    pub(crate) fn plan(&self, view: &View) -> Arc<Outcome> {
        if let Some(known) = self.book().plans.get(view) {
            return Arc::clone(known);
        }
        let mut desired = (*self.desired(view.spec)).clone();
        let mut observed = self.observed(view, &desired);
        let honest = self
            .mutant()
            .is_some()
            .then(|| (desired.clone(), observed.clone()));
        if let Some(mutant) = self.mutant() {
            mutant.before(&mut desired, &mut observed);
        }
        let now = time(0);
        let mut planned = plan(&desired, &observed, now);
        if let (Some(mutant), Some((desired, observed))) = (self.mutant(), honest) {
            mutant.after(&desired, &observed, &mut planned);
        }
        let outcome = Arc::new(self.outcome(&planned, view));
        let known = Arc::clone(&outcome);
        self.book().plans.insert(view.clone(), known);
        outcome
    }

    /// A hash of what was applied.
    pub(crate) fn applied(&self, number: u16) -> String {
        self.book().applied[usize::from(number)].clone()
    }

    fn desired(&self, spec: Spec) -> Arc<Desired> {
        let known = self.book().desired.get(&spec).cloned();
        known.unwrap_or_else(|| {
            let made = Arc::new(self.config.desired(spec));
            self.book().desired.insert(spec, Arc::clone(&made));
            made
        })
    }

    /// What a status said.
    pub(crate) fn said(&self, status: Document) -> Said {
        self.book()
            .statuses
            .get(usize::from(status.number).wrapping_sub(1))
            .map(|(_, said)| said.clone())
            .unwrap_or_default()
    }

    /// Whether the task rolls its failed content back.
    pub(crate) fn rolls_back(&self, status: Document, spec: Spec) -> bool {
        let said = self.said(status);
        self.config.policy == Some(FailureAction::Rollback)
            && said.failed == Some(spec.content)
            && said.stable.is_some_and(|stable| stable != spec.content)
            && retried(&said, spec)
    }

    /// Whether a failed content may not be started any more.
    pub(crate) fn is_latched(&self, status: Document, spec: Spec) -> bool {
        let said = self.said(status);
        matches!(
            self.config.policy,
            Some(FailureAction::Pause | FailureAction::Rollback)
        ) && said.failed == Some(spec.content)
            && retried(&said, spec)
    }

    pub(crate) fn entry(&self, entry: Document) -> LedgerEntry {
        let mut known = self.book().entries[usize::from(entry.number)].clone();
        let [start, end, retry, _] = entry.times.map(|it| it.map(|it| Time(time(it))));
        (
            known.start_time,
            known.completion_time,
            known.next_retry_time,
        ) = (start, end, retry);
        known
    }

    /// Whether a ledger entry is the result of this Job or of a later attempt.
    pub(crate) fn records(&self, entry: Document, job: &Job) -> bool {
        let entry = self.entry(entry);
        self.content_of(&entry.revision) == Some(job.content)
            && entry.attempts >= i32::from(job.attempt)
    }

    /// Whether a ledger entry is of this content.
    pub(crate) fn is_of(&self, entry: Document, content: u8) -> bool {
        self.content_of(&self.entry(entry).revision) == Some(content)
    }

    /// The content that a ledger entry says was done.
    pub(crate) fn done(&self, entry: Document) -> Option<u8> {
        let entry = self.entry(entry);
        (entry.state != LedgerState::Failed)
            .then(|| self.content_of(&entry.revision))
            .flatten()
    }

    fn entry_document(&self, entry: &LedgerEntry) -> Document {
        let at = |time: &Option<Time>| time.as_ref().map(|time| moment(time.0));
        let times = [
            at(&entry.start_time),
            at(&entry.completion_time),
            at(&entry.next_retry_time),
            None,
        ];
        let mut bare = entry.clone();
        (bare.start_time, bare.completion_time, bare.next_retry_time) = (None, None, None);
        let mut book = self.book();
        let next = u16::try_from(book.entries.len()).unwrap();
        let number = *book
            .entry_numbers
            .entry(serde_json::to_string(&bare).unwrap())
            .or_insert(next);
        if number == next {
            book.entries.push(bare);
        }
        Document { number, times }
    }

    pub(crate) fn status(&self, status: Document) -> WindowsHostTaskStatus {
        let Some(at) = usize::from(status.number).checked_sub(1) else {
            return WindowsHostTaskStatus {
                observed_generation: Some(-1),
                ..WindowsHostTaskStatus::default()
            };
        };
        let mut known = self.book().statuses[at].0.clone();
        let [start, soak, progress, window] = status.times.map(|it| it.map(|it| Time(time(it))));
        known.last_progress_time = progress;
        known.next_window_time = window;
        if let Some(wave) = &mut known.wave {
            (wave.start_time, wave.soak_end_time) = (start, soak);
        }
        known
    }

    /// A status without what no decision reads: texts, and when conditions changed.
    fn status_document(&self, status: &WindowsHostTaskStatus) -> Document {
        let at = |time: &Option<Time>| time.as_ref().map(|time| moment(time.0));
        let wave = status.wave.as_ref();
        let times = [
            wave.and_then(|wave| at(&wave.start_time)),
            wave.and_then(|wave| at(&wave.soak_end_time)),
            at(&status.last_progress_time),
            None,
        ];
        let mut bare = status.clone();
        (bare.last_progress_time, bare.next_window_time) = (None, None);
        if let Some(wave) = &mut bare.wave {
            (wave.start_time, wave.soak_end_time) = (None, None);
        }
        for failure in &mut bare.failures {
            (failure.message, failure.next_retry_time) = (None, None);
        }
        bare.failures.sort_by(|a, b| a.node.cmp(&b.node));
        for condition in &mut bare.conditions {
            condition.message.clear();
            condition.last_transition_time = Time(time(0));
        }
        let key = serde_json::to_string(&bare).unwrap();
        let said = self.read(&bare);
        let mut book = self.book();
        let next = u16::try_from(book.statuses.len()).unwrap() + 1;
        let number = *book.status_numbers.entry(key).or_insert(next);
        if number == next {
            book.statuses.push((bare, said));
        }
        Document { number, times }
    }

    fn read(&self, status: &WindowsHostTaskStatus) -> Said {
        let ready = status.conditions.iter().find(|it| it.type_ == "Ready");
        let number = |name: &Option<String>| name.as_ref().and_then(|it| self.content_of(it));
        Said {
            reason: ready.map(|it| it.reason.clone()).unwrap_or_default(),
            ready: ready.is_some_and(|it| it.status == "True"),
            rolling: status.wave.is_some(),
            updated: usize::try_from(status.updated_nodes.unwrap_or(0)).unwrap(),
            update: number(&status.update_revision),
            stable: number(&status.stable_revision),
            failed: number(&status.failed_revision),
            retry: status.last_handled_retry.clone(),
        }
    }

    pub(crate) fn content_of(&self, revision: &str) -> Option<u8> {
        let at = self.revisions.iter().position(|it| it == revision)?;
        Some(u8::try_from(at).unwrap())
    }

    fn outcome(&self, plan: &Plan, view: &View) -> Outcome {
        let act = |action| self.act(action, view);
        Outcome {
            acts: plan.actions.iter().filter_map(act).collect(),
            status: self.status_document(&plan.status),
            waits: plan
                .requeue
                .is_some_and(|after| after.as_secs() <= 20 * TICK.unsigned_abs()),
        }
    }

    fn act(&self, action: &Action, view: &View) -> Option<Act> {
        let revision = |name: &str| self.content_of(name).unwrap();
        Some(match action {
            Action::CheckDaemonSet(_) | Action::CheckJob(_) => Act::Check,
            Action::CreateRevision(created) => Act::CreateRevision {
                content: revision(created.metadata.name.as_ref().unwrap()),
            },
            Action::RenumberRevision { name, .. } => Act::Renumber {
                content: revision(name),
            },
            Action::DeleteRevision { name, .. } => Act::DeleteRevision {
                content: revision(name),
            },
            Action::ApplyDaemonSet(set) => {
                let hash = build::applied(set).to_owned();
                let labels = set.spec.template.metadata.as_ref().unwrap().labels.as_ref();
                let labels = labels.unwrap();
                let wave = &labels[label::WAVE];
                let layout = &set.metadata.annotations.as_ref().unwrap()[label::LAYOUT];
                let mut book = self.book();
                let known = book.applied.iter().position(|it| *it == hash);
                let applied = known.unwrap_or_else(|| {
                    book.applied.push(hash);
                    book.applied.len() - 1
                });
                Act::Apply {
                    wave: number(WAVES.iter().position(|it| it == wave)),
                    layout: number(self.layouts.iter().position(|it| it == layout)),
                    content: revision(&labels[label::REVISION]),
                    applied: u16::try_from(applied).unwrap(),
                }
            }
            Action::OrphanDaemonSet { uid, .. } => {
                let (_, wave, id) = parts(uid);
                Act::Orphan { wave, id }
            }
            Action::MovePod { uid, wave, .. } => {
                let (_, node, id) = parts(uid);
                let wave = number(WAVES.iter().position(|it| it == wave));
                Act::Move { node, id, wave }
            }
            Action::UngatePod { .. } => Act::Ungate,
            Action::DeletePod { uid, .. } => {
                let (_, node, id) = parts(uid);
                let at = usize::from(node);
                let pod = view.pods[at].iter().find(|pod| pod.id == id);
                Act::DeletePod {
                    node,
                    pod: *pod.unwrap(),
                    up: view.facts[at].up,
                }
            }
            Action::CreateJob(job) => {
                let labels = job.metadata.labels.as_ref().unwrap();
                let notes: &BTreeMap<_, _> = job.metadata.annotations.as_ref().unwrap();
                let (_, node, machine) = parts(notes[label::MACHINE].split('/').next().unwrap());
                Act::CreateJob {
                    node,
                    machine,
                    content: revision(&labels[label::REVISION]),
                    attempt: labels[label::ATTEMPT].parse().unwrap(),
                }
            }
            Action::DeleteJob { uid, .. } => {
                let (_, node, id) = parts(uid);
                let jobs = &view.jobs[usize::from(node)];
                let job = jobs.iter().find(|job| job.id == id).unwrap();
                Act::DeleteJob {
                    node,
                    id,
                    salt: job.salt,
                    content: job.content,
                    attempt: job.attempt,
                    machine: job.machine,
                }
            }
            Action::RecordResult { node, entry } => {
                let at = node.trim_start_matches("win-").parse().unwrap();
                Act::Record {
                    node: at,
                    machine: view.facts[usize::from(at)].machine,
                    entry: self.entry_document(entry),
                }
            }
            Action::Publish(_) => return None,
        })
    }
}

/// Whether nobody asked for a retry that was not acted on yet.
fn retried(said: &Said, spec: Spec) -> bool {
    said.retry == (spec.retry > 0).then(|| spec.retry.to_string())
}

fn number(position: Option<usize>) -> u8 {
    u8::try_from(position.unwrap()).unwrap()
}

/// The numbers in an identity such as `uid-1-0`.
fn parts(uid: &str) -> (&str, u8, u8) {
    let mut parts = uid.split('-');
    let kind = parts.next().unwrap();
    let mut next = || parts.next().unwrap().parse().unwrap();
    (kind, next(), next())
}

fn moment(time: Timestamp) -> Moment {
    let seconds = time.as_second() - NOW;
    let ticks = seconds.div_euclid(TICK);
    assert_eq!(ticks * TICK, seconds, "every delay is whole ticks");
    if ticks <= -200 {
        return FOREVER;
    }
    i8::try_from(ticks).unwrap()
}
