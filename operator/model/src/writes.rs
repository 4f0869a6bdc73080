//! The API server's side of the operator's writes, and what the operator expects of them.

use crate::mutant::Mutant;
use crate::state::{Act, Job, Lag, Pod, Set, State};
use crate::words::Words;
use crate::world::free;

/// One request. Returns whether it was carried out.
pub(crate) fn write(words: &Words, state: &mut State, act: &Act) -> bool {
    match *act {
        Act::Check | Act::Ungate => true,
        Act::CreateRevision { content } => {
            if !state.history.contains(&content) {
                state.history.push(content);
            }
            true
        }
        Act::Renumber { content } => {
            state.history.retain(|it| *it != content);
            state.history.push(content);
            true
        }
        Act::DeleteRevision { content } => {
            state.history.retain(|it| *it != content);
            true
        }
        Act::Apply {
            wave,
            layout,
            content,
            applied,
        } => {
            let ids = set_ids(state, wave);
            let set = &mut state.sets[usize::from(wave)];
            let before = set.unwrap_or(Set {
                id: free(&ids),
                layout,
                content,
                applied,
                seen: None,
                settled: false,
                deleting: 0,
            });
            *set = Some(Set {
                layout,
                content,
                applied,
                settled: before.settled && before.applied == applied,
                ..before
            });
            true
        }
        Act::Orphan { wave, id } => {
            if let Some(set) = &mut state.sets[usize::from(wave)]
                && set.id == id
            {
                set.deleting = set.deleting.max(1);
                return true;
            }
            // It is gone: that is what was wanted. Another one of that name is a conflict.
            state.sets[usize::from(wave)].is_none()
        }
        Act::Move { node, id, wave } => {
            let pods = &mut state.nodes[usize::from(node)].pods;
            if let Some(pod) = pods.iter_mut().find(|pod| pod.id == id) {
                pod.wave = wave;
            }
            true
        }
        Act::DeletePod { node, pod, .. } => {
            let pods = &mut state.nodes[usize::from(node)].pods;
            let found = pods.iter_mut().find(|found| **found == pod);
            found.is_some_and(|found| !std::mem::replace(&mut found.deleting, true))
        }
        Act::CreateJob {
            node,
            machine,
            content,
            attempt,
        } => create_job(words, state, node, (machine, content, attempt)),
        Act::DeleteJob {
            node,
            id,
            salt,
            content,
            attempt,
            machine,
        } => {
            let careless = words.is_mutant(Mutant::NoPrecondition);
            let named = |job: &&mut Job| {
                (job.salt, job.content, job.attempt, job.machine)
                    == (salt, content, attempt, machine)
            };
            let jobs = &mut state.nodes[usize::from(node)].jobs;
            let Some(job) = jobs.iter_mut().find(named) else {
                return false;
            };
            if job.id != id && !careless {
                return false;
            }
            if job.foreign {
                state.broken = Some("foreign");
                return true;
            }
            job.deleting = true;
            true
        }
        Act::Record {
            node,
            machine,
            entry,
        } => {
            let node = &mut state.nodes[usize::from(node)];
            // The result of another machine is void.
            if node.facts.machine == machine {
                node.ledger = Some(entry);
            }
            true
        }
    }
}

fn set_ids(state: &State, wave: u8) -> Vec<u8> {
    let lags = state.lags.iter().filter_map(|lag| match lag {
        Lag::Set {
            wave: of,
            shown,
            raw,
        } if *of == wave => Some([*shown, *raw]),
        _ => None,
    });
    let held = state.held.iter().flat_map(|held| &held.acts);
    let held = held.filter_map(|act| match act {
        Act::Orphan { wave: of, id } if *of == wave => Some(*id),
        _ => None,
    });
    let known = lags.flatten().flatten().map(|set| set.id);
    known.chain(held).collect()
}

fn create_job(words: &Words, state: &mut State, node: u8, what: (u8, u8, u8)) -> bool {
    let (machine, content, attempt) = what;
    let known = state.lags.iter().flat_map(|lag| match lag {
        Lag::Jobs {
            node: of,
            shown,
            raw,
        } if *of == node => [shown.as_slice(), raw].concat(),
        _ => Vec::new(),
    });
    let mut ids: Vec<u8> = known.map(|job| job.id).collect();
    let generated = words.is_mutant(Mutant::GeneratedNames);
    let node = &mut state.nodes[usize::from(node)];
    ids.extend(node.jobs.iter().map(|job| job.id));
    let same = |job: &&Job| (job.machine, job.content, job.attempt) == (machine, content, attempt);
    let twins = node.jobs.iter().filter(same).count();
    if !generated && let Some(job) = node.jobs.iter().find(same) {
        return !job.foreign;
    }
    node.jobs.push(Job {
        id: free(&ids),
        salt: u8::try_from(twins.min(3)).unwrap(),
        content,
        attempt,
        machine,
        created: 0,
        known: true,
        deleting: false,
        end: None,
        foreign: false,
    });
    true
}

/// The operator remembers its own write until the watch shows it.
pub(crate) fn expect(state: &mut State, act: &Act) {
    let (nodes, sets) = (&state.nodes, &state.sets);
    for lag in &mut state.lags {
        match (act, lag) {
            (
                Act::DeletePod { node, pod, .. },
                Lag::Pods {
                    node: of, shown, ..
                },
            ) if node == of => {
                let same = shown.iter_mut().find(|it: &&mut Pod| it.id == pod.id);
                if let Some(pod) = same {
                    pod.deleting = true;
                }
            }
            (
                Act::Move { node, id, wave },
                Lag::Pods {
                    node: of, shown, ..
                },
            ) if node == of => {
                let same = shown.iter_mut().find(|it| it.id == *id);
                if let Some(pod) = same {
                    pod.wave = *wave;
                }
            }
            (
                Act::CreateJob { node, .. },
                Lag::Jobs {
                    node: of, shown, ..
                },
            ) if node == of => {
                let all = nodes[usize::from(*node)].jobs.iter();
                let news = all.filter(|job| shown.iter().all(|it| it.id != job.id));
                let news: Vec<Job> = news.copied().collect();
                shown.extend(news.into_iter().map(|job| Job {
                    known: false,
                    end: None,
                    ..job
                }));
            }
            (
                Act::DeleteJob { node, id, .. },
                Lag::Jobs {
                    node: of, shown, ..
                },
            ) if node == of => {
                let same = shown.iter_mut().find(|it| it.id == *id);
                if let Some(job) = same {
                    job.deleting = true;
                }
            }
            (
                Act::Apply { wave, .. },
                Lag::Set {
                    wave: of, shown, ..
                },
            ) if wave == of => {
                let applied = sets[usize::from(*wave)];
                *shown = applied.map(|set| Set {
                    settled: false,
                    ..set
                });
            }
            (
                Act::Orphan { wave, .. },
                Lag::Set {
                    wave: of,
                    shown: Some(set),
                    ..
                },
            ) if wave == of => {
                set.deleting = 1;
            }
            _ => {}
        }
    }
}

/// An answer says that the delete did not happen.
pub(crate) fn forget(state: &mut State, act: &Act) {
    let Act::DeletePod { node, pod, .. } = act else {
        return;
    };
    for lag in &mut state.lags {
        if let Lag::Pods {
            node: of, shown, ..
        } = lag
            && node == of
        {
            let same = shown.iter_mut().find(|it| it.id == pod.id);
            if let Some(it) = same {
                it.deleting = pod.deleting;
            }
        }
    }
}
