//! The machine that stateright explores, and what it found.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use stateright::{Checker as _, HasDiscoveries, Model, Property};

use crate::config::Config;
use crate::graph::Graph;
use crate::laws::{self, LAWS};
use crate::mutant::Mutant;
use crate::operator;
use crate::state::{Document, FOREVER, Facts, Node, State};
use crate::words::Words;
use crate::world::{self, Step};

/// A configuration with the shipped plan in it, or a mutant of it.
pub(crate) struct Machine {
    words: Arc<Words>,
    graph: Arc<Mutex<Graph>>,
    /// Where it begins: the checker asks again to follow a path.
    start: Arc<OnceLock<State>>,
    /// Whether the graph is kept.
    records: bool,
    /// A state that the path to is wanted of.
    wanted: Option<u64>,
}

/// What was found in one configuration.
#[derive(Debug)]
pub struct Report {
    /// The name of the configuration.
    pub name: &'static str,
    /// How many different states were reached.
    pub states: usize,
    /// How many steps the farthest of them is away.
    pub depth: usize,
    /// Different situations that the plan was asked about.
    pub plans: usize,
    /// How many of them are at rest, with all done and told.
    pub ends: usize,
    /// Whether every state was explored.
    pub complete: bool,
    /// How long it took.
    pub time: Duration,
    /// The law that was broken (or `liveness`), and the shortest way there.
    pub broken: Option<(&'static str, Vec<String>)>,
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

impl Machine {
    fn next(&self, state: &State, step: Step) -> State {
        let mut next = state.clone();
        match step {
            Step::Pass
            | Step::Crash(_)
            | Step::Lost(_)
            | Step::Twice(_)
            | Step::Stall
            | Step::Resume
            | Step::TakeOver => operator::act(&self.words, &mut next, step),
            _ => world::happen(&self.words, &mut next, step),
        }
        if next == *state {
            return next;
        }
        match step {
            Step::Edit(_) => next.edits -= 1,
            // Who went may come back.
            Step::Return(_) => {}
            _ if !step.is_fair() => next.faults -= 1,
            _ => {}
        }
        world::remember(&self.words.config, &mut next);
        laws::always(&mut next);
        next
    }

    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        if state.broken.is_some() {
            return steps;
        }
        let nodes = 0..u8::try_from(state.nodes.len()).unwrap();
        operator::steps(&self.words, state, &mut steps);
        steps.extend([0, 1].map(Step::Controller));
        steps.extend([0, 1].map(Step::Collect));
        steps.extend(nodes.clone().map(Step::Kubelet));
        steps.extend(nodes.map(Step::Expire));
        let lags = 0..u8::try_from(state.lags.len()).unwrap();
        steps.extend(lags.map(Step::CatchUp));
        world::disturbances(&self.words.config, state, &mut steps);
        steps
    }

    /// The world of a configuration after its first content was rolled out.
    fn begin(&self) -> State {
        let config = &self.words.config;
        let node = |pool: &u8| Node {
            facts: Facts {
                up: true,
                changed: FOREVER,
                pool: *pool,
                machine: 0,
            },
            pods: Vec::new(),
            jobs: Vec::new(),
            ledger: None,
            taken: false,
            proved: false,
            befallen: false,
            relabelled: false,
            done: None,
        };
        let mut state = State {
            spec: Config::start(),
            nodes: config.pools.iter().map(node).collect(),
            sets: [None, None],
            history: Vec::new(),
            status: Document::default(),
            lags: Vec::new(),
            held: None,
            faults: 0,
            edits: 0,
            calm: None,
            soaked: false,
            broken: None,
        };
        for round in 0.. {
            let steps = self.steps(&state);
            let fair = steps.into_iter().filter(|step| step.is_fair());
            let before = state.clone();
            for step in fair {
                state = self.next(&state, step);
            }
            if state == before {
                break;
            }
            assert!(round < 100, "the first rollout ends: {state:#?}");
        }
        assert!(
            laws::is_at_its_end(&self.words, &state),
            "{state:#?} {:?}",
            self.words.said(state.status)
        );
        self.words.arm();
        (state.faults, state.edits) = (config.fault_budget, config.edit_budget);
        state
    }

    /// Whether nothing happens by itself any more, time apart, and the task is where it should be.
    fn is_at_its_end(&self, state: &State) -> bool {
        state.broken.is_none()
            && state.held.is_none()
            && state.lags.is_empty()
            && laws::is_at_its_end(&self.words, state)
            && self
                .steps(state)
                .into_iter()
                .filter(|step| step.is_fair() && *step != Step::Tick)
                .all(|step| self.next(state, step) == *state)
    }
}

impl Model for Machine {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![self.start.get_or_init(|| self.begin()).clone()]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        steps.extend(self.steps(state));
        if self.records {
            let at_its_end = self.is_at_its_end(state);
            self.graph
                .lock()
                .unwrap()
                .visit(fingerprint(state), at_its_end);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let next = self.next(state, step);
        if next == *state {
            return None;
        }
        if self.records && step.is_fair() {
            let (from, to) = (fingerprint(state), fingerprint(&next));
            self.graph.lock().unwrap().step(from, to);
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("laws", |_, state: &State| {
                let broken = state.broken;
                assert!(broken.is_none_or(|law| LAWS.iter().any(|(name, _)| *name == law)));
                broken.is_none()
            }),
            Property::always("wanted", |machine: &Self, state| {
                machine
                    .wanted
                    .is_none_or(|wanted| wanted != fingerprint(state))
            }),
        ]
    }
}

/// Explores a configuration with at most so many states, with the shipped plan or a mutant of it.
///
/// # Panics
/// The model itself is wrong, such as a first rollout that does not end.
pub fn explore(config: Config, mutant: Option<Mutant>, states: usize) -> Report {
    let start = Instant::now();
    let name = config.name;
    let words = Arc::new(Words::new(config, mutant));
    let graph = Arc::new(Mutex::new(Graph::default()));
    let start_state = Arc::new(OnceLock::new());
    let machine = |records, wanted| Machine {
        start: Arc::clone(&start_state),
        words: Arc::clone(&words),
        graph: Arc::clone(&graph),
        records,
        wanted,
    };
    let run = |machine: Machine| {
        machine
            .checker()
            .finish_when(HasDiscoveries::AnyFailures)
            .target_state_count(states)
            .spawn_bfs()
            .join()
    };
    let checker = run(machine(true, None));
    let path = |discovered: Option<stateright::Path<State, Step>>| {
        let path = discovered?;
        let broken = path.last_state().broken.unwrap_or("liveness");
        let steps = path.into_actions();
        let steps = steps.iter().map(|it| format!("{it:?}")).collect();
        Some((broken, steps))
    };
    let mut broken = path(checker.discovery("laws"));
    let complete = checker.state_count() < states && broken.is_none();
    let stuck = if broken.is_none() {
        graph.lock().unwrap().stuck()
    } else {
        Vec::new()
    };
    if !stuck.is_empty() {
        // The nearest of a few: any of them shows what is wrong.
        let ways = stuck.iter().take(3).map(|state| {
            let checker = run(machine(false, Some(*state)));
            path(checker.discovery("wanted"))
        });
        broken = ways
            .flatten()
            .min_by_key(|(_, steps): &(_, Vec<_>)| steps.len());
    }
    let ends = graph.lock().unwrap().ends();
    Report {
        name,
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        plans: words.plans(),
        ends,
        complete,
        time: start.elapsed(),
        broken,
    }
}
