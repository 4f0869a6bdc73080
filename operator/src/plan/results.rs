//! `results`: what Jobs came to that ended while their task is invalid. Pure.
//!
//! Nothing else is done for such a task. A result cannot wait: once the TTL of its Job is over nobody knows that the program
//! ran, and a corrected task would run it again.

use hosttask_crds::task::Mode;

use super::Action;
use super::outcome::{announce, result};
use super::site::{Children, Site};
use crate::desired::Desired;
use crate::observed::{JobEnd, JobView, Observed};

/// Whether a Job ended whose result is not recorded.
pub fn has_ended(desired: &Desired, observed: &Observed) -> bool {
    sites(observed).any(|site| ended(desired, observed, &site).is_some())
}

/// Records what ended, and tells of it.
pub fn results(desired: &Desired, observed: &Observed) -> Vec<Action> {
    let mut actions = Vec::new();
    for site in sites(observed) {
        let node = site.node;
        let last = observed.ledger.get(&node.name);
        let end = ended(desired, observed, &site);
        let entry = end.and_then(|(job, end)| result(desired, node, job, end, last));
        if let Some(entry) = entry {
            let event = announce(node, &entry);
            actions.push(Action::RecordResult {
                node: node.name.clone(),
                entry: Box::new(entry),
            });
            actions.extend(event.map(Action::Publish));
        }
    }
    actions
}

fn sites(observed: &Observed) -> impl Iterator<Item = Site<'_>> {
    let mut children = Children::of(observed);
    let nodes = observed.nodes.iter().chain(&observed.left);
    nodes.map(move |node| children.take(node))
}

/// The Job whose result is to be recorded, as far as it counts: of a task that runs once, one of its revision.
fn ended<'a>(
    desired: &Desired,
    observed: &'a Observed,
    site: &Site<'a>,
) -> Option<(&'a JobView, &'a JobEnd)> {
    let last = observed.ledger.get(&site.node.name);
    match desired.mode {
        Mode::Daemon => None,
        Mode::RunOnce => {
            let update = observed.status.update_revision.as_deref()?;
            site.ended(Some(update), last)
        }
        Mode::Scheduled => site.ended(None, last),
    }
}
