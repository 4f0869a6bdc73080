//! `spec.rollout.waves` and what goes with them: the partition, which is instead of waves, and the approval of a wave.

use std::collections::BTreeSet;
use std::time::Duration;

use hosttask_crds::label::DEFAULT_WAVE;
use hosttask_crds::task::{self, Mode, Rollout};

use super::amount::amount;
use super::found::{Found, rules};
use super::limits::{MONTH, seconds};
use super::rollout::MAX_UNAVAILABLE;
use super::{name, selector};
use crate::desired::{Amount, Wave};
use crate::placement::{alternatives, requirements};

rules! {
    PARTITION: ApiServer, "spec.rollout.partition",
        "must be a number of nodes from 0, or a percentage from 0% to 100%";
    PARTITION_OR_WAVES: Hosttask, "spec.rollout.partition",
        "is only without waves; remove it, or remove the waves (a wave with approval: Manual holds the later ones back)";
    APPROVED_WAVE: ApiServer, "spec.rollout.approvedWave",
        "must be REVISION/WAVE; copy it from the message of the condition Ready";
    SCHEDULED: Hosttask, "spec.rollout.{waves,partition,failurePolicy}",
        "is of no use with mode Scheduled, where every node runs when the schedule is due; remove it, and use maxUnavailable \
         and schedule.jitterSeconds";
    NAME: ApiServer, "spec.rollout.waves[*].name",
        "must be 1 to 20 lower-case letters, digits and dashes, without a dash at an end";
    DEFAULT_NAME: ApiServer, "spec.rollout.waves[*].name",
        "is the wave of the nodes that no other wave selects, always the last one; choose another name";
    TWICE: ApiServer, "spec.rollout.waves[*].name", "is the name of another wave as well; rename one";
    EMPTY_SELECTOR: ApiServer, "spec.rollout.waves[*].nodeSelector",
        "must have a label or an expression; a wave that takes every node leaves none to later waves, remove it";
    ALTERNATIVES: Hosttask, "spec.rollout.waves",
        "divide the fleet in too many ways for the node affinity of a DaemonSet: the product of the numbers of labels and \
         expressions of all waves must be at most 64; select waves by one label each";
}

/// The longest name of a wave: it is part of the name of its DaemonSet.
const LONGEST_NAME: usize = 20;
/// How many terms a node affinity may have; the API server takes more, the scheduler tries each on every node.
const MOST_ALTERNATIVES: usize = 64;

/// Judges the waves, and puts the wave of all other nodes after them.
pub(super) fn waves(rollout: &Rollout, mode: Option<Mode>, found: &mut Found) -> Vec<Wave> {
    if mode == Some(Mode::Scheduled) && !rollout.waves.is_empty() {
        found.report(&SCHEDULED, "spec.rollout.waves".to_owned(), None);
    }
    if mode == Some(Mode::Scheduled) && rollout.failure_policy.is_some() {
        found.report(&SCHEDULED, "spec.rollout.failurePolicy".to_owned(), None);
    }
    let mut names = BTreeSet::new();
    let mut waves = Vec::new();
    for (index, it) in rollout.waves.iter().enumerate() {
        let at = format!("spec.rollout.waves[{index}]");
        judge_name(&it.name, &mut names, &at, found);
        waves.push(wave(it, &at, found));
    }
    waves.push(Wave::rest());
    let alternatives = alternatives(&waves);
    if alternatives > MOST_ALTERNATIVES {
        found.report(
            &ALTERNATIVES,
            "spec.rollout.waves".to_owned(),
            Some(&alternatives),
        );
    }
    waves
}

/// Judges the partition; none where it holds back no node.
pub(super) fn partition(
    rollout: &Rollout,
    mode: Option<Mode>,
    found: &mut Found,
) -> Option<Amount> {
    let field = "spec.rollout.partition";
    let partition = amount(rollout.partition.as_ref(), 0, &PARTITION, field, found)
        .filter(|it| !matches!(it, Amount::Count(0) | Amount::Percent(0)));
    if let Some(partition) = &partition {
        if mode == Some(Mode::Scheduled) {
            found.report(&SCHEDULED, field.to_owned(), Some(partition));
        } else if !rollout.waves.is_empty() {
            found.report(&PARTITION_OR_WAVES, field.to_owned(), Some(partition));
        }
    }
    partition
}

/// Judges the form of the approval. That the revision or the wave is another one by now is no mistake: it approves nothing.
pub(super) fn approved_wave(rollout: &Rollout, found: &mut Found) -> Option<String> {
    let approved = rollout.approved_wave.clone()?;
    let is_legal = approved.split_once('/').is_some_and(|(revision, wave)| {
        !revision.is_empty() && !wave.is_empty() && !wave.contains('/')
    });
    if !is_legal {
        let field = "spec.rollout.approvedWave".to_owned();
        found.report(&APPROVED_WAVE, field, Some(&approved));
    }
    Some(approved)
}

fn judge_name<'a>(text: &'a str, names: &mut BTreeSet<&'a str>, at: &str, found: &mut Found) {
    let field = format!("{at}.name");
    if !name::is_label(text) || text.len() > LONGEST_NAME {
        found.report(&NAME, field, Some(&text));
    } else if text == DEFAULT_WAVE {
        found.report(&DEFAULT_NAME, field, Some(&text));
    } else if !names.insert(text) {
        found.report(&TWICE, field, Some(&text));
    }
}

fn wave(it: &task::Wave, at: &str, found: &mut Found) -> Wave {
    let field = format!("{at}.nodeSelector");
    selector::node_selector(&it.node_selector, &field, found);
    let has_labels = it
        .node_selector
        .match_labels
        .iter()
        .flatten()
        .next()
        .is_some();
    let has_expressions = it
        .node_selector
        .match_expressions
        .iter()
        .flatten()
        .next()
        .is_some();
    if !has_labels && !has_expressions {
        found.report(&EMPTY_SELECTOR, field, None);
    }
    let soak: Duration = seconds(
        it.soak_seconds,
        0,
        0..=MONTH,
        &format!("{at}.soakSeconds"),
        found,
    );
    Wave {
        name: it.name.clone(),
        requirements: requirements(&it.node_selector),
        max_unavailable: amount(
            it.max_unavailable.as_ref(),
            1,
            &MAX_UNAVAILABLE,
            &format!("{at}.maxUnavailable"),
            found,
        ),
        soak,
        approval: it.approval.unwrap_or_default(),
    }
}
