//! How far the waves of a rollout may be: told apart from the plan, by what the operator saw in each pass that it finished.

use std::collections::{BTreeMap, BTreeSet};

use hosttask_operator::revision;
use jiff::Timestamp;

use crate::cluster::{Cluster, World};
use crate::truth;

/// How far the waves may be.
#[derive(Clone, Default)]
pub(crate) struct Waves {
    /// The revision that the waves below are passed for.
    update: String,
    /// When each wave that is well now will have soaked, by name.
    pub(crate) soaked: BTreeMap<String, Timestamp>,
    /// The waves that were well, soaked and approved.
    pub(crate) passed: BTreeSet<usize>,
    /// Whether the wave of the status was edited away, and no pass has named another one since.
    lost: bool,
    /// The waves of the last pass that was carried out to its end.
    layout: Option<String>,
}

impl Waves {
    /// Looks at the waves as the operator sees them, before a pass.
    pub(crate) fn look(&mut self, cluster: &Cluster, update: &str) {
        let Cluster {
            desired, seen, now, ..
        } = cluster;
        if self.update != update {
            *self = Self {
                update: update.to_owned(),
                ..Self::default()
            };
        }
        let layout = revision::layout(&desired.waves);
        let edited = self.layout.as_ref().is_some_and(|known| *known != layout);
        if self.lost || edited {
            let is_open = |wave: &usize| {
                let mut nodes = truth::wave(desired, seen, *wave);
                nodes.any(|node| {
                    truth::is_reachable(desired, node)
                        && !truth::is_over(desired, seen, &node.name, update)
                })
            };
            let last = desired.waves.len() - 1;
            let open = (0..last).find(is_open).unwrap_or(last);
            if self.lost {
                self.passed.extend(0..open);
            }
            // What was put before the wave that is rolled out, and has something to do, is yet to come.
            self.passed.retain(|wave| *wave < open);
        }
        for wave in 0..desired.waves.len() {
            let mut nodes = truth::wave(desired, seen, wave);
            let is_empty = !nodes.any(|node| truth::is_reachable(desired, node));
            if is_empty && (0..wave).all(|earlier| self.passed.contains(&earlier)) {
                // It is passed over, whatever nodes come to it later.
                self.passed.insert(wave);
            }
            if truth::is_well(desired, seen, wave, update) {
                let latest = now.checked_add(desired.waves[wave].soak).unwrap();
                let latest = Timestamp::from_second(latest.as_second()).unwrap();
                let due = self
                    .soaked
                    .entry(desired.waves[wave].name.clone())
                    .or_insert(latest);
                *due = latest.min(*due);
                if *due <= *now && truth::is_approved(cluster, wave, update) {
                    self.passed.insert(wave);
                }
            }
        }
    }

    /// A pass was carried out to its end: what it saw is written.
    pub(crate) fn written(&mut self, cluster: &Cluster, before: &World) {
        let Cluster {
            desired, status, ..
        } = cluster;
        let update = self.update.clone();
        self.soaked.retain(|name, _| {
            let position = desired.waves.iter().position(|wave| wave.name == *name);
            position.is_some_and(|wave| truth::is_well(desired, before, wave, &update))
        });
        let named = status.wave.as_ref().map(|wave| wave.name.as_str());
        let is_named = desired
            .waves
            .iter()
            .any(|wave| Some(wave.name.as_str()) == named);
        self.lost &= !is_named;
        self.layout = Some(revision::layout(&desired.waves));
    }

    /// The waves are edited: the position goes with the name of the wave.
    pub(crate) fn edited(&mut self, cluster: &Cluster) {
        let named = cluster.status.wave.as_ref().map(|wave| wave.name.as_str());
        let mut waves = cluster.desired.waves.iter();
        let position = waves.position(|wave| Some(wave.name.as_str()) == named);
        self.passed = (0..position.unwrap_or(0)).collect();
        self.lost = named.is_some() && position.is_none();
    }
}
