//! The operator's edges: what it sees, its writes with their preconditions, its expectations, and how it dies.

use crate::config::Fault;
use crate::laws::{self, Pass};
use crate::mutant::Mutant;
use crate::state::{Act, Held, Lag, State};
use crate::view::View;
use crate::words::Words;
use crate::world::Step;
use crate::writes::{expect, forget, write};

/// What the operator sees: the truth, but for what lags.
pub(crate) fn view(state: &State) -> View {
    let nodes = state.nodes.iter();
    let mut view = View {
        spec: state.spec,
        facts: nodes.clone().map(|node| node.facts).collect(),
        pods: nodes.clone().map(|node| node.pods.clone()).collect(),
        jobs: nodes.clone().map(|node| node.jobs.clone()).collect(),
        ledger: nodes.map(|node| node.ledger).collect(),
        sets: state.sets,
        history: state.history.clone(),
        status: state.status,
    };
    for lag in &state.lags {
        match lag {
            Lag::Facts { node, shown } => view.facts[usize::from(*node)] = *shown,
            Lag::Pods { node, shown, .. } => view.pods[usize::from(*node)].clone_from(shown),
            Lag::Jobs { node, shown, .. } => view.jobs[usize::from(*node)].clone_from(shown),
            Lag::Set { wave, shown, .. } => view.sets[usize::from(*wave)] = *shown,
        }
    }
    // A ledger is void on another machine than the operator thinks it is of; a pod of no wave cannot be seen.
    for (at, node) in state.nodes.iter().enumerate() {
        if view.facts[at].machine != node.facts.machine {
            view.ledger[at] = None;
        }
    }
    view
}

/// The steps of the operator that may come next.
pub(crate) fn steps(words: &Words, state: &State, steps: &mut Vec<Step>) {
    if let Some(held) = &state.held {
        steps.push(Step::Resume);
        if held.deposed {
            steps.push(Step::Pass);
        } else if state.faults > 0 && words.config.faults.contains(&Fault::TakeOver) {
            steps.push(Step::TakeOver);
        }
        return;
    }
    steps.push(Step::Pass);
    let plan = words.plan(&view(state));
    if plan.waits {
        steps.push(Step::Tick);
    }
    if state.faults == 0 || (plan.acts.is_empty() && plan.status == state.status) {
        return;
    }
    let acts = u8::try_from(plan.acts.len()).unwrap();
    for fault in words.config.faults {
        match fault {
            // After the last write, but before the status.
            Fault::Crash => steps.extend((0..=acts).map(Step::Crash)),
            Fault::Lost => steps.extend((0..acts).map(Step::Lost)),
            Fault::Twice => steps.extend((0..acts).map(Step::Twice)),
            Fault::Stall => steps.push(Step::Stall),
            _ => {}
        }
    }
}

/// Carries out a step of the operator.
pub(crate) fn act(words: &Words, state: &mut State, step: Step) {
    match step {
        Step::Stall => state.held = Some(planned(words, state)),
        Step::TakeOver => {
            if let Some(held) = &mut state.held {
                held.deposed = true;
            }
            restart(words, state);
        }
        Step::Resume => {
            let Some(held) = state.held.take() else {
                return;
            };
            // The fence: no write of a process that is no longer the leader leaves it.
            if !held.deposed || words.is_mutant(Mutant::NoFence) {
                let deposed = held.deposed;
                carry_out(words, state, &held, false, None, deposed);
            }
        }
        Step::Pass | Step::Crash(_) | Step::Lost(_) | Step::Twice(_) => {
            let exact = state.lags.is_empty();
            let held = planned(words, state);
            carry_out(words, state, &held, exact, Some(step), false);
        }
        _ => unreachable!("a step of the world"),
    }
}

fn planned(words: &Words, state: &State) -> Held {
    let plan = words.plan(&view(state));
    Held {
        acts: plan.acts.clone(),
        status: plan.status,
        before: state.status,
        spec: state.spec,
        deposed: false,
    }
}

/// Writes what was planned. `exact`: it was planned on the truth of this moment.
fn carry_out(
    words: &Words,
    state: &mut State,
    held: &Held,
    exact: bool,
    step: Option<Step>,
    deposed: bool,
) {
    let pass = Pass {
        words,
        spec: held.spec,
        before: held.before,
        exact,
    };
    for (at, act) in held.acts.iter().enumerate() {
        let is = |number: u8| usize::from(number) == at;
        if let Some(Step::Crash(number)) = step
            && is(number)
        {
            return restart(words, state);
        }
        let lost = matches!(step, Some(Step::Lost(number)) if is(number));
        let twice = matches!(step, Some(Step::Twice(number)) if is(number));
        laws::before(&pass, state, act);
        // Nobody but the process itself knows what it expects.
        let expects = !deposed && !words.is_mutant(Mutant::NaiveCache);
        let lasting = matches!(
            act,
            Act::DeletePod { .. } | Act::CreateJob { .. } | Act::DeleteJob { .. }
        );
        let mut went = write(words, state, act);
        if went && expects && (!lost || lasting) {
            expect(state, act);
        }
        if went && twice {
            went = match act {
                // The second time the object has another version, and that answer takes the expectation back.
                Act::DeletePod { .. } => {
                    forget(state, act);
                    false
                }
                Act::CreateJob { .. } if words.is_mutant(Mutant::GeneratedNames) => {
                    write(words, state, act)
                }
                _ => true,
            };
        }
        if lost || !went {
            return;
        }
    }
    if matches!(step, Some(Step::Crash(_))) {
        return restart(words, state);
    }
    // The status carries the resource version that it was planned on.
    if state.status == held.before {
        state.status = held.status;
        laws::reported(&pass, state);
    }
}

/// A new process knows nothing and lists everything.
fn restart(words: &Words, state: &mut State) {
    if !words.is_mutant(Mutant::StaleRestart) {
        return state.lags.clear();
    }
    for lag in &mut state.lags {
        match lag {
            Lag::Facts { .. } => {}
            Lag::Pods { shown, raw, .. } => shown.clone_from(raw),
            Lag::Jobs { shown, raw, .. } => shown.clone_from(raw),
            Lag::Set { shown, raw, .. } => shown.clone_from(raw),
        }
    }
}

impl Held {
    /// The identities of the pods of a node that it is about.
    pub(crate) fn pods(&self, node: usize) -> Vec<u8> {
        let of = |at: u8, id: u8| (usize::from(at) == node).then_some(id);
        let acts = self.acts.iter();
        acts.filter_map(|act| match act {
            Act::DeletePod { node, pod, .. } => of(*node, pod.id),
            Act::Move { node, id, .. } => of(*node, *id),
            _ => None,
        })
        .collect()
    }
}
