//! The watches of ConfigMaps and Secrets: one per kind and namespace, alive only while a task there names one.
//!
//! The operator has no access to Secrets by default. A refusal is told to the index with its message, and the watch asks again
//! every half minute, so that a new RoleBinding takes effect without a restart.

use std::collections::BTreeMap;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::index::{InputKind, Scope, Wanted};
use crate::watch::Common;

/// One watch that runs.
struct Running {
    round: u64,
    resync: watch::Sender<u64>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts and ends watches as the wishes of the tasks change. Runs until the index or the watches are gone.
pub(crate) async fn run(
    common: Common,
    mut wanted: watch::Receiver<Wanted>,
    mut resync: watch::Receiver<u64>,
) {
    let mut running: BTreeMap<(InputKind, String), Running> = BTreeMap::new();
    loop {
        let now = wanted.borrow_and_update().clone();
        running.retain(|of, _| {
            let keep = now.contains_key(of);
            if !keep {
                common.ended(&Scope::Inputs(of.0, of.1.clone()));
            }
            keep
        });
        for (of, round) in now {
            if let Some(watch) = running.get_mut(&of) {
                if watch.round != round {
                    watch.round = round;
                    watch.resync.send_modify(|wish| *wish += 1);
                }
                continue;
            }
            let resync = watch::Sender::new(0);
            let (task, _) = common.spawn(Scope::Inputs(of.0, of.1.clone()), resync.subscribe());
            running.insert(
                of,
                Running {
                    round,
                    resync,
                    task,
                },
            );
        }
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            changed = resync.changed() => {
                if changed.is_err() {
                    return;
                }
                for watch in running.values() {
                    watch.resync.send_modify(|wish| *wish += 1);
                }
            }
        }
    }
}
