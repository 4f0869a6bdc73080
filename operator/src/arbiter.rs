//! The arbiter: what tasks leave to each other. One task works on a node at a time, and all tasks together work on no more
//! nodes than the operator was told. Pure: the reconciler asks it under a lock, with what the index shows. See `docs/arbiter.md`.
//!
//! Longer than 400 lines: half of it are the tests of one small state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::desired::TaskKey;

/// After which time a task that waits asks again by itself.
pub const ASKS_AGAIN: Duration = Duration::from_secs(15);
/// After which time nothing is kept any longer for a task that did not ask again: it cannot, or does not want to.
const FORGOTTEN: Duration = Duration::from_mins(1);

/// Nodes by task.
pub type Flights = BTreeMap<TaskKey, BTreeSet<String>>;

/// A task that could not start all it wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiter {
    /// Since when, or since it was last given something.
    since: Instant,
    /// When it last asked.
    asked: Instant,
    /// How many more nodes it would start.
    wants: usize,
    /// The nodes that it would start if others did not work there.
    held: BTreeSet<String>,
}

impl Waiter {
    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.asked) >= FORGOTTEN
    }
}

/// Who works where, and who waits.
#[derive(Debug, Default)]
pub struct Arbiter {
    /// How many nodes all tasks together may work on; none: as many as they like.
    cap: Option<usize>,
    /// What the index shows.
    flights: Flights,
    /// What passes that are under way will start.
    claims: Flights,
    waiting: BTreeMap<TaskKey, Waiter>,
    /// Who worked where when somebody was last told of it.
    told: BTreeSet<(TaskKey, String)>,
    /// Whether less is kept for somebody than before.
    yields: bool,
}

impl Arbiter {
    /// `cap`: how many nodes all tasks together may work on; 0 for as many as they like.
    pub fn new(cap: u32) -> Self {
        let cap = usize::try_from(cap).unwrap_or(usize::MAX);
        Self {
            cap: (cap > 0).then_some(cap),
            ..Self::default()
        }
    }

    /// Takes over what the index shows.
    pub fn see(&mut self, flights: Flights) {
        self.flights = flights;
    }

    /// The tasks that wait longer than this one would.
    fn older<'a>(
        &'a self,
        task: &'a TaskKey,
        now: Instant,
    ) -> impl Iterator<Item = (&'a TaskKey, &'a Waiter)> {
        let since = self.waiting.get(task).map_or(now, |waiter| waiter.since);
        self.waiting.iter().filter(move |(other, waiter)| {
            (waiter.since, *other) < (since, task) && !waiter.is_forgotten(now)
        })
    }

    /// The nodes that other tasks work on, or wait for longer than this one, and which tasks.
    pub fn busy(&self, task: &TaskKey, now: Instant) -> BTreeMap<String, String> {
        let mut busy = BTreeMap::new();
        for (other, waiter) in self.older(task, now) {
            let name = other.to_string();
            busy.extend(waiter.held.iter().map(|node| (node.clone(), name.clone())));
        }
        for (other, nodes) in self.flights.iter().chain(&self.claims) {
            if other != task {
                let name = other.to_string();
                busy.extend(nodes.iter().map(|node| (node.clone(), name.clone())));
            }
        }
        busy
    }

    /// How many of the nodes that a task wants to start it may start now; none: all. `held`: the nodes that it would start if
    /// they were not busy.
    ///
    /// First come, first served: what waits longer is kept for, and who gets something goes to the end of the line, so that a
    /// large rollout does not keep the others out for days.
    pub fn ask(
        &mut self,
        task: &TaskKey,
        wants: usize,
        held: BTreeSet<String>,
        now: Instant,
    ) -> Option<usize> {
        self.waiting.retain(|_, waiter| !waiter.is_forgotten(now));
        let kept: usize = self.older(task, now).map(|(_, waiter)| waiter.wants).sum();
        let before = self.waiting.remove(task);
        let since = before.as_ref().map_or(now, |waiter| waiter.since);
        let free = self.free().map(|free| free.saturating_sub(kept));
        let granted = free.map_or(wants, |free| free.min(wants));
        let after = Waiter {
            since: if granted > 0 { now } else { since },
            asked: now,
            wants: wants.saturating_sub(granted),
            held,
        };
        self.yields |= before.is_some_and(|before| {
            before.since < after.since
                || before.wants > after.wants
                || !before.held.is_subset(&after.held)
        });
        if after.wants > 0 || !after.held.is_empty() {
            self.waiting.insert(task.clone(), after);
        }
        free.map(|_| granted)
    }

    /// How many nodes may be started under the cap.
    fn free(&self) -> Option<usize> {
        let worked = self.flights.values().chain(self.claims.values());
        let worked: BTreeSet<&String> = worked.flatten().collect();
        Some(self.cap?.saturating_sub(worked.len()))
    }

    /// Whether a task waits for others.
    pub fn is_waiting(&self, task: &TaskKey) -> bool {
        self.waiting.contains_key(task)
    }

    /// A pass is about to start a task on these nodes.
    pub fn claim(&mut self, task: &TaskKey, nodes: BTreeSet<String>) {
        if !nodes.is_empty() {
            self.claims.insert(task.clone(), nodes);
        }
    }

    /// The pass ended: what it started is in the index by now.
    pub fn release(&mut self, task: &TaskKey) {
        self.claims.remove(task);
    }

    /// A task wants nothing: it is gone, invalid or not asked for.
    pub fn forget(&mut self, task: &TaskKey) {
        self.yields |= self.waiting.remove(task).is_some();
    }

    /// The tasks that have to be looked at again, because somebody ended work on a node since this was last asked.
    pub fn wake(&mut self) -> Vec<TaskKey> {
        let all = self.flights.iter().chain(&self.claims);
        let now: BTreeSet<(TaskKey, String)> = all
            .flat_map(|(task, nodes)| nodes.iter().map(|node| (task.clone(), node.clone())))
            .collect();
        let ended = !self.told.is_subset(&now);
        self.told = now;
        if !std::mem::take(&mut self.yields) && !ended {
            return Vec::new();
        }
        self.waiting.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn task(number: usize) -> TaskKey {
        TaskKey {
            namespace: "a".into(),
            name: format!("t{number}"),
        }
    }

    fn nodes(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn works(all: &[(usize, &[&str])]) -> Flights {
        let all = all.iter();
        all.map(|(number, names)| (task(*number), nodes(names)))
            .collect()
    }

    #[test]
    fn a_node_that_another_task_works_on_or_is_about_to_is_busy_and_an_own_one_is_not() {
        let mut arbiter = Arbiter::new(0);
        arbiter.see(works(&[(1, &["a"]), (2, &["b"])]));
        arbiter.claim(&task(3), nodes(&["c"]));
        let now = Instant::now();
        let busy = arbiter.busy(&task(2), now);
        let expected = [("a", "a/t1"), ("c", "a/t3")];
        assert_eq!(
            busy,
            expected
                .map(|(node, task)| (node.to_owned(), task.to_owned()))
                .into()
        );
        arbiter.release(&task(3));
        assert_eq!(arbiter.busy(&task(2), now).len(), 1);
    }

    #[test]
    fn a_node_is_kept_for_the_task_that_waits_longest_for_it() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut arbiter = Arbiter::new(0);
        arbiter.see(works(&[(9, &["a"])]));
        arbiter.ask(&task(2), 0, nodes(&["a"]), at(0));
        arbiter.ask(&task(1), 0, nodes(&["a"]), at(1));
        arbiter.see(Flights::new());
        assert_eq!(arbiter.busy(&task(1), at(2))["a"], "a/t2");
        assert!(arbiter.busy(&task(2), at(2)).is_empty());
        assert!(arbiter.busy(&task(1), begin + FORGOTTEN).is_empty());
        arbiter.wake();
        arbiter.ask(&task(2), 1, BTreeSet::new(), at(3));
        assert_eq!(arbiter.wake(), [task(1)], "it waits for it no more");
    }

    #[test]
    fn without_a_cap_everybody_gets_all_and_with_one_a_node_counts_once() {
        let now = Instant::now();
        let mut arbiter = Arbiter::new(0);
        assert_eq!(arbiter.ask(&task(1), 500, BTreeSet::new(), now), None);
        let mut arbiter = Arbiter::new(4);
        arbiter.see(works(&[(1, &["a", "b"]), (2, &["b"])]));
        arbiter.claim(&task(3), nodes(&["a", "c"]));
        assert_eq!(arbiter.ask(&task(4), 500, BTreeSet::new(), now), Some(1));
    }

    #[test]
    fn what_waits_longer_is_kept_for_and_who_gets_something_goes_to_the_end_of_the_line() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut arbiter = Arbiter::new(2);
        arbiter.see(works(&[(9, &["a", "b"])]));
        assert_eq!(arbiter.ask(&task(2), 5, BTreeSet::new(), at(0)), Some(0));
        assert_eq!(arbiter.ask(&task(1), 5, BTreeSet::new(), at(1)), Some(0));
        arbiter.see(works(&[(9, &["a"])]));
        assert_eq!(
            arbiter.ask(&task(1), 5, BTreeSet::new(), at(2)),
            Some(0),
            "t2 first"
        );
        assert_eq!(arbiter.ask(&task(2), 5, BTreeSet::new(), at(3)), Some(1));
        arbiter.see(works(&[(2, &["c"])]));
        assert_eq!(
            arbiter.ask(&task(2), 4, BTreeSet::new(), at(4)),
            Some(0),
            "now t1"
        );
        assert_eq!(arbiter.ask(&task(1), 5, BTreeSet::new(), at(5)), Some(1));
    }

    #[test]
    fn nothing_is_kept_for_a_task_that_does_not_ask_again_or_wants_no_more() {
        let begin = Instant::now();
        let mut arbiter = Arbiter::new(1);
        arbiter.see(works(&[(9, &["a"])]));
        arbiter.ask(&task(1), 3, BTreeSet::new(), begin);
        arbiter.see(Flights::new());
        assert_eq!(arbiter.ask(&task(2), 1, BTreeSet::new(), begin), Some(0));
        assert_eq!(
            arbiter.ask(&task(2), 1, BTreeSet::new(), begin + FORGOTTEN),
            Some(1),
            "t1 is stuck"
        );
        let mut arbiter = Arbiter::new(1);
        arbiter.see(works(&[(9, &["a"])]));
        for (number, wants) in [(1, 3), (2, 1)] {
            arbiter.ask(&task(number), wants, BTreeSet::new(), begin);
        }
        arbiter.see(Flights::new());
        arbiter.wake();
        // It was paused.
        arbiter.ask(&task(1), 0, BTreeSet::new(), begin);
        assert_eq!(arbiter.wake(), [task(2)]);
        assert_eq!(arbiter.ask(&task(2), 1, BTreeSet::new(), begin), Some(1));
    }

    #[test]
    fn who_waits_is_told_once_whenever_work_on_a_node_ends_however_it_ends() {
        let now = Instant::now();
        let mut arbiter = Arbiter::new(0);
        arbiter.see(works(&[(1, &["a", "b"])]));
        arbiter.ask(&task(2), 0, nodes(&["a"]), now);
        assert_eq!(arbiter.wake(), []);
        arbiter.see(works(&[(1, &["a"])]));
        assert_eq!(arbiter.wake(), [task(2)]);
        assert_eq!(arbiter.wake(), []);
        // What a pass claimed and did is in the index when it ends; what it did not do is free again.
        arbiter.claim(&task(1), nodes(&["c", "d"]));
        assert_eq!(arbiter.wake(), []);
        arbiter.see(works(&[(1, &["a", "c", "d"])]));
        arbiter.release(&task(1));
        assert_eq!(arbiter.wake(), []);
        arbiter.claim(&task(1), nodes(&["e"]));
        arbiter.wake();
        arbiter.release(&task(1));
        assert_eq!(arbiter.wake(), [task(2)]);
        arbiter.forget(&task(2));
        arbiter.see(Flights::new());
        assert_eq!(arbiter.wake(), []);
    }

    /// Tasks that each have to work on every node, as the reconciler plays it. A step is a task that asks, or work that ends on
    /// a node.
    struct World {
        arbiter: Arbiter,
        open: Vec<BTreeSet<String>>,
        flights: Flights,
        now: Instant,
    }

    impl World {
        fn pass(&mut self, number: usize) -> usize {
            self.now += Duration::from_millis(10);
            let key = task(number);
            self.arbiter.see(self.flights.clone());
            let busy = self.arbiter.busy(&key, self.now);
            let open = self.open[number].iter().cloned();
            let (held, free): (BTreeSet<String>, BTreeSet<String>) =
                open.partition(|node| busy.contains_key(node));
            let slots = self.arbiter.ask(&key, free.len(), held, self.now);
            let starts: BTreeSet<String> =
                free.into_iter().take(slots.unwrap_or(usize::MAX)).collect();
            self.arbiter.claim(&key, starts.clone());
            for node in &starts {
                self.open[number].remove(node);
            }
            let count = starts.len();
            self.flights.entry(key.clone()).or_default().extend(starts);
            self.arbiter.see(self.flights.clone());
            self.arbiter.release(&key);
            count
        }

        fn works(&self) -> Vec<(TaskKey, String)> {
            let all = self.flights.iter();
            all.flat_map(|(key, nodes)| nodes.iter().map(|node| (key.clone(), node.clone())))
                .collect()
        }

        /// Work ends on a node. `again`: every task but the first has to work there again at once, for ever.
        fn end(&mut self, which: usize, again: bool) {
            let all = self.works();
            if let Some((key, node)) = all.get(which % all.len().max(1)) {
                self.flights.get_mut(key).unwrap().remove(node);
                let number: usize = key.name[1..].parse().unwrap();
                if again && number > 0 {
                    self.open[number].insert(node.clone());
                }
            }
        }

        fn check(&self, cap: u32) -> Result<(), TestCaseError> {
            let mut seen = BTreeSet::new();
            for node in self.flights.values().flatten() {
                prop_assert!(seen.insert(node), "two tasks work on {node}");
            }
            prop_assert!(cap == 0 || seen.len() <= usize::try_from(cap).unwrap());
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn the_cap_holds_no_node_has_two_tasks_and_nobody_starves_beside_tasks_that_never_end(
            tasks in 2_usize..6, nodes in 1_usize..8, cap in 0_u32..5,
            steps in prop::collection::vec((any::<bool>(), 0_usize..64), 0..80),
        ) {
            let fleet: BTreeSet<String> = (0..nodes).map(|node| format!("n{node}")).collect();
            let mut world = World {
                arbiter: Arbiter::new(cap),
                open: vec![fleet; tasks],
                flights: Flights::new(),
                now: Instant::now(),
            };
            for (asks, which) in steps {
                if asks {
                    world.pass(which % tasks);
                } else {
                    world.end(which, false);
                }
                world.check(cap)?;
            }
            // From here on every task but the first has endless work on every node, and the first is always asked last.
            // Work ends on one node after the other.
            for round in 0..4 * tasks * nodes * nodes {
                let node = format!("n{}", round % nodes);
                let place = world.works().iter().position(|(_, other)| *other == node);
                if let Some(place) = place {
                    world.end(place, true);
                }
                for number in (0..tasks).rev() {
                    world.pass(number);
                    world.check(cap)?;
                }
                if world.open[0].is_empty() {
                    break;
                }
            }
            prop_assert!(world.open[0].is_empty(), "it starves: {:?}", world.open[0]);
        }
    }
}
