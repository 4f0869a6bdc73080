//! What a list of moments amounts to: how many nodes were disturbed at once, and what was stopped at whose expense. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::journal::{Did, Moment};

/// The worst that happened to a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// By wave: the most nodes that were without a ready pod at the same moment, of those that had one before.
    pub most_disturbed: BTreeMap<String, usize>,
    /// By wave: the most disturbed nodes at a moment at which a *ready* pod was told to stop, that pod's node among them. This
    /// is what a budget is about when nodes break by themselves.
    pub most_at_a_stop: BTreeMap<String, usize>,
    /// By wave: the most nodes that were in work at the same moment: their pod was told to stop, and no pod was ready there
    /// since.
    pub most_in_work: BTreeMap<String, usize>,
    /// The most live pods on one node at the same moment.
    pub most_on_a_node: usize,
    /// Pods that were made.
    pub made: BTreeSet<String>,
    /// Pods that were told to stop.
    pub stopped: BTreeSet<String>,
}

impl Verdict {
    /// The most nodes of a wave that were disturbed at the same moment.
    pub fn disturbed(&self, wave: &str) -> usize {
        self.most_disturbed.get(wave).copied().unwrap_or(0)
    }

    /// The most nodes of a wave that were in work at the same moment.
    pub fn in_work(&self, wave: &str) -> usize {
        self.most_in_work.get(wave).copied().unwrap_or(0)
    }

    /// The most nodes of a wave that were disturbed at a moment at which a ready pod was told to stop.
    pub fn at_a_stop(&self, wave: &str) -> usize {
        self.most_at_a_stop.get(wave).copied().unwrap_or(0)
    }
}

/// What is known of a pod that was not deleted yet.
struct Pod<'a> {
    node: &'a str,
    ready: bool,
    live: bool,
}

#[derive(Default)]
struct World<'a> {
    pods: BTreeMap<&'a str, Pod<'a>>,
    served: BTreeSet<&'a str>,
    in_work: BTreeSet<&'a str>,
}

impl<'a> World<'a> {
    /// Plays one moment. Returns whether it stopped a ready pod.
    fn play(&mut self, moment: &'a Moment) -> bool {
        let pod = self.pods.entry(&moment.uid).or_insert(Pod {
            node: &moment.node,
            ready: false,
            live: true,
        });
        if !moment.node.is_empty() {
            pod.node = &moment.node;
        }
        let was_ready = pod.ready;
        match moment.did {
            Did::Appear => {}
            Did::BecomeReady => {
                pod.ready = true;
                self.served.insert(pod.node);
                self.in_work.remove(pod.node);
            }
            Did::LoseReady => pod.ready = false,
            Did::BeginToStop | Did::End => {
                pod.ready = false;
                pod.live = false;
                if moment.did == Did::BeginToStop {
                    self.in_work.insert(pod.node);
                }
            }
            Did::Leave => {
                self.pods.remove(moment.uid.as_str());
            }
        }
        was_ready && moment.did == Did::BeginToStop
    }

    /// The nodes that once had a ready pod and have none now.
    fn disturbed(&self) -> BTreeSet<&'a str> {
        let ready: BTreeSet<&str> = self
            .pods
            .values()
            .filter(|pod| pod.ready)
            .map(|pod| pod.node)
            .collect();
        self.served.difference(&ready).copied().collect()
    }

    fn most_on_a_node(&self) -> usize {
        let mut counts = BTreeMap::<&str, usize>::new();
        for pod in self
            .pods
            .values()
            .filter(|pod| pod.live && !pod.node.is_empty())
        {
            *counts.entry(pod.node).or_default() += 1;
        }
        counts.into_values().max().unwrap_or(0)
    }
}

/// The worst that happened to the task from the moment `since` on; what was before says how things stood.
pub(super) fn judge(
    moments: &[Moment],
    task: &str,
    since: usize,
    group: impl Fn(&str) -> Option<String>,
) -> Verdict {
    let mut world = World::default();
    let mut verdict = Verdict::default();
    for (index, moment) in moments.iter().enumerate() {
        if moment.task != task {
            continue;
        }
        let stopped_a_ready_pod = world.play(moment);
        if index < since {
            continue;
        }
        match moment.did {
            Did::Appear => drop(verdict.made.insert(moment.uid.clone())),
            Did::BeginToStop => drop(verdict.stopped.insert(moment.uid.clone())),
            Did::BecomeReady | Did::LoseReady | Did::End | Did::Leave => {}
        }
        verdict.most_on_a_node = verdict.most_on_a_node.max(world.most_on_a_node());
        let mut counts = BTreeMap::<String, usize>::new();
        for wave in world.disturbed().into_iter().filter_map(&group) {
            *counts.entry(wave).or_default() += 1;
        }
        let mut in_work = BTreeMap::<String, usize>::new();
        for wave in world.in_work.iter().filter_map(|node| group(node)) {
            *in_work.entry(wave).or_default() += 1;
        }
        for (wave, count) in in_work {
            raise(&mut verdict.most_in_work, &wave, count);
        }
        let own = group(&moment.node).filter(|_| stopped_a_ready_pod);
        for (wave, count) in counts {
            if own.as_deref() == Some(wave.as_str()) {
                raise(&mut verdict.most_at_a_stop, &wave, count);
            }
            raise(&mut verdict.most_disturbed, &wave, count);
        }
    }
    verdict
}

fn raise(counts: &mut BTreeMap<String, usize>, wave: &str, count: usize) {
    let most = counts.entry(wave.to_owned()).or_default();
    *most = count.max(*most);
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn moments(list: &[(&str, &str, Did)]) -> Vec<Moment> {
        let at = Instant::now();
        let one = |(node, uid, did): &(&str, &str, Did)| Moment {
            at,
            task: "agent".to_owned(),
            node: (*node).to_owned(),
            uid: (*uid).to_owned(),
            revision: "agent-1".to_owned(),
            did: *did,
        };
        list.iter().map(one).collect()
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "the shape of what tells the wave of a node"
    )]
    fn first_letter(node: &str) -> Option<String> {
        Some(node.chars().take(1).collect())
    }

    const FLEET: [(&str, &str, Did); 6] = [
        ("a1", "1", Did::Appear),
        ("a1", "1", Did::BecomeReady),
        ("a2", "2", Did::Appear),
        ("a2", "2", Did::BecomeReady),
        ("b1", "3", Did::Appear),
        ("b1", "3", Did::BecomeReady),
    ];

    #[test]
    fn nodes_without_a_ready_pod_count_together_and_by_wave() {
        let mut list = FLEET.to_vec();
        list.extend([
            ("a1", "1", Did::BeginToStop),
            ("a1", "1", Did::Leave),
            ("a1", "4", Did::Appear),
            ("b1", "3", Did::BeginToStop),
            ("a2", "2", Did::BeginToStop),
            ("a1", "4", Did::BecomeReady),
        ]);
        let verdict = judge(&moments(&list), "agent", FLEET.len(), first_letter);
        assert_eq!((verdict.disturbed("a"), verdict.disturbed("b")), (2, 1));
        assert_eq!((verdict.at_a_stop("a"), verdict.at_a_stop("b")), (2, 1));
        assert_eq!((verdict.made.len(), verdict.stopped.len()), (1, 3));
        assert_eq!(verdict.most_on_a_node, 1);
    }

    #[test]
    fn a_node_that_breaks_by_itself_is_disturbed_but_nobody_stopped_it() {
        let mut list = FLEET.to_vec();
        list.extend([
            ("a1", "1", Did::LoseReady),
            ("a1", "1", Did::BeginToStop),
            ("a2", "2", Did::LoseReady),
        ]);
        let verdict = judge(&moments(&list), "agent", FLEET.len(), first_letter);
        assert_eq!((verdict.disturbed("a"), verdict.at_a_stop("a")), (2, 0));
        assert_eq!(verdict.in_work("a"), 1);
    }

    #[test]
    fn what_happened_before_the_mark_and_nodes_that_are_left_out_do_not_count() {
        let mut list = vec![
            ("a1", "0", Did::Appear),
            ("a1", "0", Did::BecomeReady),
            ("a1", "0", Did::BeginToStop),
            ("a1", "0", Did::Leave),
        ];
        list.extend(FLEET);
        let begin = list.len();
        list.push(("b1", "3", Did::BeginToStop));
        let without_b = |node: &str| first_letter(node).filter(|wave| wave != "b");
        let verdict = judge(&moments(&list), "agent", begin, without_b);
        assert_eq!((verdict.disturbed("a"), verdict.disturbed("b")), (0, 0));
        assert_eq!(
            judge(&moments(&list), "other", 0, first_letter),
            Verdict::default()
        );
    }
}
