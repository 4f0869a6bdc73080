//! One cluster for all tests of a suite.

use std::sync::OnceLock;
use std::{panic, thread};

use super::{ClusterOptions, LocalCluster};

static SHARED: OnceLock<LocalCluster> = OnceLock::new();

impl LocalCluster {
    /// The cluster that the tests of one process share, started by the first that asks.
    ///
    /// It belongs to no async runtime. It ends with the process; its folder stays if any test panicked.
    ///
    /// # Panics
    /// The cluster does not start; the message has the reason and the logs.
    pub fn shared() -> &'static Self {
        SHARED.get_or_init(|| {
            // A runtime cannot be entered from within another, so the start has its own thread.
            let started = thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                match runtime {
                    Ok(runtime) => runtime
                        .block_on(Self::start(ClusterOptions::default()))
                        .map_err(|error| describe(&error)),
                    Err(error) => Err(error.to_string()),
                }
            });
            let outcome = started
                .join()
                .unwrap_or_else(|_| Err("the start panicked".to_owned()));
            #[expect(
                clippy::panic,
                reason = "every test of the suite fails the same way without it"
            )]
            let cluster =
                outcome.unwrap_or_else(|error| panic!("the shared cluster did not start: {error}"));
            keep_after_panic(&cluster);
            cluster
        })
    }
}

/// A static is never dropped, so the decision to keep the logs is made when a test panics.
fn keep_after_panic(cluster: &LocalCluster) {
    let folder = cluster.dir().to_owned();
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        before(info);
        if !super::is_kept(&folder) {
            super::mark_kept(&folder);
            super::tell(&format!(
                "the shared cluster's logs stay in {}",
                folder.display()
            ));
        }
    }));
}

/// The error and all its causes in one line.
fn describe(error: &super::ClusterError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
