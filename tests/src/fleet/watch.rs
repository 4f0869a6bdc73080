//! The fleet's one watch: every pod that is bound to a node, decoded lightly.

use std::collections::BTreeSet;

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc::UnboundedSender;

use super::pod::{PodView, WatchedPod};

/// What the watch tells.
pub(super) enum Seen {
    /// A pod is there or has changed.
    Pod(Box<PodView>),
    /// The pod of this UID is gone.
    Gone(String),
    /// The watch was made anew: the pods of these UIDs exist and no others.
    All(BTreeSet<String>),
}

/// Follows the pods until nobody listens.
pub(super) async fn follow(client: Client, to: UnboundedSender<Seen>) {
    let config = watcher::Config::default()
        .fields("spec.nodeName!=")
        .timeout(200);
    let mut events =
        std::pin::pin!(watcher(Api::<WatchedPod>::all(client), config).default_backoff());
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        let sent = match event {
            Ok(watcher::Event::Init) => {
                listed.clear();
                Ok(())
            }
            Ok(watcher::Event::InitApply(pod)) => {
                let pod = PodView::from(pod);
                listed.insert(pod.uid.clone());
                to.send(Seen::Pod(Box::new(pod)))
            }
            Ok(watcher::Event::InitDone) => to.send(Seen::All(std::mem::take(&mut listed))),
            Ok(watcher::Event::Apply(pod)) => to.send(Seen::Pod(Box::new(PodView::from(pod)))),
            Ok(watcher::Event::Delete(pod)) => {
                to.send(Seen::Gone(pod.metadata.uid.unwrap_or_default()))
            }
            Err(error) => {
                tracing::debug!(%error, "the fleet's pod watch was interrupted");
                Ok(())
            }
        };
        if sent.is_err() {
            return;
        }
    }
}
