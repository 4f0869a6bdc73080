//! Laws of the state machine of a container, for any order of requests and reports.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use std::collections::BTreeMap;

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::record::Exit;
use hosttask_node_runtime::state::{
    Added, Effect, EventKind, MOST_ADDED, Refused, Request, Signal, Stage, State,
};
use hosttask_node_runtime::sys::ProcessId;
use jiff::Timestamp;
use proptest::prelude::*;

/// How far something is, for who only hears what is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Created,
    Started,
    Exited,
}

/// Somebody who listens from the beginning and believes nothing that is out of order.
#[derive(Debug)]
struct Listener {
    container: Heard,
    deleted: bool,
    added: BTreeMap<Id, Heard>,
    exits: BTreeMap<Option<Id>, u32>,
}

impl Listener {
    fn new() -> Self {
        Self {
            container: Heard::Created,
            deleted: false,
            added: BTreeMap::new(),
            exits: BTreeMap::new(),
        }
    }

    fn hear(&mut self, event: &EventKind) {
        assert!(!self.deleted, "{event:?} after the end of all");
        match event {
            EventKind::Created => panic!("who makes the state tells its creation"),
            EventKind::Started { .. } => {
                assert_eq!(self.container, Heard::Created, "{event:?}");
                self.container = Heard::Started;
            }
            EventKind::ExecAdded { exec } => {
                assert_eq!(self.container, Heard::Started, "{event:?}");
                let before = self.added.insert(exec.clone(), Heard::Created);
                assert!(matches!(before, None | Some(Heard::Exited)), "{event:?}");
            }
            EventKind::ExecStarted { exec, .. } => {
                let before = self.added.insert(exec.clone(), Heard::Started);
                assert_eq!(before, Some(Heard::Created), "{event:?}");
            }
            EventKind::Exited { exec: Some(id), .. } => {
                assert_ne!(
                    self.container,
                    Heard::Exited,
                    "{event:?} after its container"
                );
                let before = self.added.insert(id.clone(), Heard::Exited);
                assert_ne!(before.unwrap(), Heard::Exited, "{event:?} twice");
                *self.exits.entry(Some(id.clone())).or_default() += 1;
            }
            EventKind::Exited { exec: None, .. } => {
                assert_ne!(self.container, Heard::Exited, "{event:?} twice");
                let open = self.added.values().filter(|it| **it != Heard::Exited);
                assert_eq!(open.count(), 0, "{event:?} before an added process");
                self.container = Heard::Exited;
                *self.exits.entry(None).or_default() += 1;
            }
            EventKind::Deleted => {
                assert_eq!(self.container, Heard::Exited, "{event:?}");
                self.deleted = true;
            }
            EventKind::Paused | EventKind::Resumed => {
                assert_eq!(self.container, Heard::Started, "{event:?}");
            }
            EventKind::MemoryLimit | EventKind::ProcessLimit => {
                assert_ne!(self.container, Heard::Exited, "{event:?}");
            }
        }
    }
}

/// One life of a container: its state and who listens.
#[derive(Debug)]
struct Life {
    state: State,
    listener: Listener,
}

impl Life {
    fn new() -> Self {
        Self {
            state: State::created(),
            listener: Listener::new(),
        }
    }

    /// Applies a request, believes its effects, and tells whether it was accepted.
    fn apply(&mut self, request: Request) -> bool {
        let Ok((next, effects)) = self.state.apply(request, Timestamp::UNIX_EPOCH) else {
            return false;
        };
        let firm = effects.iter().position(|it| !can_fail(it));
        let loose = effects.iter().rposition(can_fail);
        if let (Some(firm), Some(loose)) = (firm, loose) {
            assert!(loose < firm, "what can fail stands first: {effects:?}");
        }
        for effect in &effects {
            if let Effect::Tell(event) = effect {
                self.listener.hear(event);
            }
        }
        self.state = next;
        true
    }

    /// What a host and a patient client do until nothing is left of the container.
    fn finish(&mut self) {
        for round in 0.. {
            assert!(round < 100, "it does not end: {:?}", self.state);
            let next = match &self.state.stage {
                Stage::Starting => Request::Spawned(process(9)),
                Stage::Running {
                    told: Some(Signal::Kill),
                    ..
                } => Request::InitEnded(137),
                Stage::Running { .. } => Request::Signal(Signal::Kill),
                Stage::Ending { .. } => self.end_one_added().unwrap_or(Request::Empty),
                Stage::Created | Stage::Stopped(_) => Request::Delete,
                Stage::Deleting(_) => Request::CleanedUp,
                Stage::Deleted(_) => return,
            };
            assert!(self.apply(next.clone()), "{next:?} in {:?}", self.state);
        }
    }

    fn end_one_added(&self) -> Option<Request> {
        self.state.added.iter().find_map(|(id, added)| match added {
            Added::Starting => Some(Request::AddedNotSpawned(id.clone())),
            Added::Running { .. } => Some(Request::AddedEnded(id.clone(), 137)),
            Added::Created | Added::Stopped(_) => None,
        })
    }
}

/// What has to succeed before anything else follows.
fn can_fail(effect: &Effect) -> bool {
    match effect {
        Effect::RememberRunning
        | Effect::Resume
        | Effect::Suspend
        | Effect::Terminate
        | Effect::SetLimits
        | Effect::TerminateAdded(_) => true,
        Effect::EndTree
        | Effect::Remember
        | Effect::Tell(_)
        | Effect::Interrupt
        | Effect::InterruptAdded(_)
        | Effect::Spawn
        | Effect::SpawnAdded(_)
        | Effect::CleanUp => false,
    }
}

fn process(pid: u32) -> ProcessId {
    ProcessId { pid, started: 1 }
}

/// A request for two numbers: cheap to make, so that there can be many. Those that make a life go on come more often.
fn request(kind: u8, detail: u8) -> Request {
    let name = ["a", "b", "c"][usize::from(detail % 3)];
    let id = Id::parse(name).unwrap();
    let signal = [Signal::Terminate, Signal::Kill][usize::from(detail % 2)];
    let pid = u32::from(detail % 3) + 2;
    match kind % 50 {
        0..4 => Request::Start,
        4..8 => Request::Spawned(process(1)),
        8 => Request::NotSpawned,
        9..11 => Request::Signal(signal),
        11..13 => Request::Pause,
        13..15 => Request::Resume,
        15 => Request::Update,
        16..18 => Request::InitEnded(detail.into()),
        18..21 => Request::Empty,
        21 => Request::MemoryLimit(detail.is_multiple_of(2).then_some(pid)),
        22 => Request::ProcessLimit,
        23 => Request::Delete,
        24 => Request::CleanedUp,
        25 => Request::NotCleanedUp,
        26..31 => Request::Add(id),
        31..36 => Request::StartAdded(id),
        36..41 => Request::AddedSpawned(id, process(pid)),
        41 => Request::AddedNotSpawned(id),
        42..44 => Request::SignalAdded(id, signal),
        44..48 => Request::AddedEnded(id, detail.into()),
        _ => Request::DeleteAdded(id),
    }
}

type Numbers = Vec<(u8, u8)>;

fn history() -> impl Strategy<Value = Numbers> {
    prop::collection::vec(any::<(u8, u8)>(), 0..80)
}

/// The life that such a history makes.
fn live(history: &Numbers) -> Life {
    let mut life = Life::new();
    for (kind, detail) in history {
        life.apply(request(*kind, *detail));
    }
    life
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_state_reaches_deleted_and_tells_each_exit_once_and_in_order(history in history()) {
        let mut life = live(&history);
        life.finish();
        prop_assert!(life.listener.deleted);
        prop_assert_eq!(life.listener.exits.get(&None), Some(&1));
        for heard in life.listener.added.values() {
            prop_assert_eq!(*heard, Heard::Exited);
        }
    }

    #[test]
    fn nothing_new_runs_in_a_tree_that_is_ended(history in history(), new in 0_usize..3) {
        let new = Id::parse(["a", "b", "c"][new]).unwrap();
        let life = live(&history);
        let ended = match life.state.stage {
            Stage::Running { told, .. } => told == Some(Signal::Kill),
            Stage::Ending { graceful, .. } => !graceful,
            Stage::Created
            | Stage::Starting
            | Stage::Stopped(_)
            | Stage::Deleting(_)
            | Stage::Deleted(_) => return Ok(()),
        };
        if !ended {
            return Ok(());
        }
        prop_assert!(life.state.apply(Request::Add(new.clone()), Timestamp::UNIX_EPOCH).is_err());
        prop_assert!(life.state.apply(Request::StartAdded(new.clone()), Timestamp::UNIX_EPOCH).is_err());
        let late = Request::AddedSpawned(new, process(3));
        if let Ok((_, effects)) = life.state.apply(late, Timestamp::UNIX_EPOCH) {
            prop_assert_eq!(effects.last(), Some(&Effect::EndTree));
        }
    }

    #[test]
    fn a_stop_reaches_programs_that_go_on(history in history()) {
        let life = live(&history);
        let Stage::Running { paused, told, .. } = life.state.stage.clone() else {
            return Ok(());
        };
        let now = Timestamp::UNIX_EPOCH;
        let (next, effects) = life.state.apply(Request::Signal(Signal::Terminate), now).unwrap();
        let resumed = Effect::Tell(EventKind::Resumed);
        if paused {
            prop_assert_eq!(effects, [Effect::Resume, resumed, Effect::Interrupt]);
        } else {
            prop_assert_eq!(effects, [Effect::Interrupt]);
        }
        prop_assert!(next.apply(Request::Pause, now).is_err(), "a stop cannot be paused away");
        let (next, effects) = next.apply(Request::InitEnded(0), now).unwrap();
        let graceful = told != Some(Signal::Kill);
        prop_assert_eq!(effects.is_empty(), graceful, "the others keep their grace");
        let is_ending = matches!(next.stage, Stage::Ending { graceful: it, .. } if it == graceful);
        prop_assert!(is_ending);
    }
}

#[test]
fn the_end_of_the_first_process_ends_the_tree_unless_it_was_asked_to_end() {
    let mut life = Life::new();
    assert!(life.apply(Request::Start));
    assert!(life.apply(Request::Spawned(process(1))));
    let now = Timestamp::UNIX_EPOCH;
    let (_, effects) = life.state.apply(Request::InitEnded(7), now).unwrap();
    assert_eq!(effects, [Effect::EndTree]);
}

#[test]
fn a_container_whose_program_could_not_be_started_can_be_started_again() {
    let mut life = Life::new();
    assert!(life.apply(Request::Start));
    assert!(life.apply(Request::NotSpawned));
    assert_eq!(life.state, State::created());
    assert!(life.apply(Request::Start));
}

#[test]
fn the_one_that_ended_first_is_forgotten_when_there_are_too_many() {
    let mut life = Life::new();
    life.apply(Request::Start);
    life.apply(Request::Spawned(process(1)));
    let id = |number: usize| Id::parse(&format!("probe-{number}")).unwrap();
    for number in 0..MOST_ADDED {
        life.state.added.insert(id(number), Added::Starting);
    }
    let now = Timestamp::UNIX_EPOCH;
    let add = Request::Add(id(MOST_ADDED));
    let refused = life.state.apply(add.clone(), now).unwrap_err();
    assert_eq!(refused, Refused::TooManyAdded);
    for (number, second) in [(5, 20), (7, 10), (9, 30)] {
        let exit = Exit {
            code: 0,
            at: Timestamp::from_second(second).unwrap(),
            memory_limit: false,
        };
        life.state.added.insert(id(number), Added::Stopped(exit));
    }
    let (next, _) = life.state.apply(add, now).unwrap();
    assert_eq!(next.added.len(), MOST_ADDED);
    let gone = (0..MOST_ADDED).find(|it| !next.added.contains_key(&id(*it)));
    assert_eq!(gone, Some(7));
    assert_eq!(next.added[&id(MOST_ADDED)], Added::Created);
}

#[test]
fn every_refusal_says_in_words_why() {
    let mut life = Life::new();
    let name = Id::parse("probe").unwrap();
    let refusal = |life: &Life, request| {
        let error = life
            .state
            .apply(request, Timestamp::UNIX_EPOCH)
            .unwrap_err();
        error.to_string()
    };
    assert!(refusal(&life, Request::Add(name.clone())).contains("start it first"));
    assert!(refusal(&life, Request::Pause).contains("start it first"));
    life.apply(Request::Start);
    life.apply(Request::Spawned(process(1)));
    assert!(refusal(&life, Request::Start).contains("started already"));
    assert!(refusal(&life, Request::Delete).contains("stop or kill it first"));
    assert!(refusal(&life, Request::DeleteAdded(name.clone())).contains("\"probe\""));
    life.apply(Request::Pause);
    life.apply(Request::Add(name.clone()));
    assert!(refusal(&life, Request::StartAdded(name.clone())).contains("resume it first"));
    life.apply(Request::Signal(Signal::Kill));
    life.apply(Request::InitEnded(137));
    life.apply(Request::Empty);
    assert!(refusal(&life, Request::Add(name)).contains("ended"));
    assert!(refusal(&life, Request::Signal(Signal::Kill)).contains("ended"));
}
