//! `observe`: what the index knows of a task, and the few live reads that it cannot answer. Reads only.
//!
//! In steady state there is none: each is made only while something is missing, paused or overdue.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use hosttask_crds::task::{Mode, WindowsHostTaskStatus};
use jiff::Timestamp;
use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::desired::{Content, Desired, TaskKey};
use crate::index::wire::{self, Stamp};
use crate::index::{
    Index, Key, Kind, MissingPods, Object, Scope, Settled, StableContent, daemon_set_view,
};
use crate::observed::{JobView, Observed, RevisionView};
use crate::validate::TaskInput;
use crate::watch::source;
use crate::{plan, revision, validate};

/// A live read failed.
#[expect(
    clippy::error_impl_error,
    reason = "every step has one, named by its module"
)]
#[derive(Debug, thiserror::Error)]
#[error("failed to read {path}")]
pub struct Error {
    path: String,
    #[source]
    source: kube::Error,
}

impl Error {
    /// The client's error.
    pub fn client_error(&self) -> &kube::Error {
        &self.source
    }
}

/// Everything one pass over a task may decide on.
///
/// # Errors
/// Where a live read was needed and failed. The pass must then decide nothing: what is unknown is not absent.
pub async fn observe(
    client: &Client,
    index: &Index,
    desired: &Desired,
    now: Timestamp,
) -> Result<Observed, Error> {
    let mut observed = index.observed(desired, now);
    if desired.mode == Mode::Daemon {
        live_daemon_sets(client, index, desired, &mut observed).await?;
    }
    observed.stable_content = if let Some(stable) = stable_to_load(desired, &observed) {
        stable_content(client, index, desired, stable).await?
    } else {
        index.keep_stable_content(&desired.key, None);
        None
    };
    observed.failed_create = failed_create(client, index, desired, &observed, now).await?;
    Ok(observed)
}

/// What the results of an invalid task need, where one of its Jobs ended and that is not recorded; else none. `status` is the
/// stored one.
///
/// # Errors
/// As [`observe`].
pub async fn ended(
    client: &Client,
    index: &Index,
    task: &TaskInput<'_>,
    status: &WindowsHostTaskStatus,
    now: Timestamp,
) -> Result<Option<(Desired, Observed)>, Error> {
    let Some(unjudged) = validate::for_results(task, &Value::Null) else {
        return Ok(None);
    };
    let mut observed = index.observed(&unjudged, now);
    observed.status = status.clone();
    if !plan::has_ended(&unjudged, &observed) {
        return Ok(None);
    }
    let update = status.update_revision.as_deref();
    let mut kept = observed.revisions.iter();
    let Some(kept) = kept.find(|kept| kept.ours && Some(kept.name.as_str()) == update) else {
        return Ok(None);
    };
    let stored = stored_revision(client, &task.key.namespace, kept).await?;
    let judged = stored.and_then(|stored| validate::for_results(task, &stored));
    Ok(judged.map(|judged| (judged, observed)))
}

/// Ends the expectations that the watch did not fulfil in time, by one read each. Do this before anything else: it is due for
/// an invalid task, too, about which nothing is observed. Returns what else has to be looked at again.
///
/// # Errors
/// As [`observe`].
pub async fn settle(
    client: &Client,
    index: &Index,
    key: &TaskKey,
    now: Timestamp,
) -> Result<Vec<Key>, Error> {
    let mut concerned = Vec::new();
    for overdue in index.overdue(key, now) {
        let path = source::object(overdue.kind, &overdue.namespace, &overdue.name);
        let settled = match read(client, &path).await? {
            Some(text) => Settled::Found(
                Object::decode(&Scope::Kind(overdue.kind), &text)
                    .map_err(|error| unreadable(&path, error))?,
            ),
            None => Settled::Absent,
        };
        tracing::info!(
            kind = overdue.kind.as_str(),
            name = overdue.name,
            "Settled an own write by a live read"
        );
        concerned.extend(index.settle(&overdue, settled, now));
    }
    // This pass looks at the task anyway.
    concerned.retain(|of| !matches!(of, Key::Task(task) if task == key));
    Ok(concerned)
}

/// The DaemonSets of the names that the waves need and the index does not know: one that is not ours has no label that the
/// watch selects by. A name that was not found is looked for again when it is about to be written, see
/// [`Index::doubt_absent_sets`].
async fn live_daemon_sets(
    client: &Client,
    index: &Index,
    desired: &Desired,
    observed: &mut Observed,
) -> Result<(), Error> {
    let absent = index.absent_sets(&desired.key);
    for wave in &desired.waves {
        let name = revision::daemon_set_name(&desired.key.name, &wave.name);
        let known = observed.daemon_sets.iter().any(|set| set.name == name)
            || observed.foreign.iter().any(|set| set.name == name)
            || absent.contains(&name);
        if known {
            continue;
        }
        let path = source::object(Kind::DaemonSet, &desired.key.namespace, &name);
        let set: Option<wire::DaemonSet> = read_as(client, &path).await?;
        match set.map(|set| daemon_set_view(&set, &desired.uid)) {
            Some(Ok(ours)) => observed.daemon_sets.push(ours),
            Some(Err(other)) => observed.foreign.push(other),
            None => index.note_absent_set(desired, &name),
        }
    }
    observed
        .daemon_sets
        .sort_by(|one, other| one.name.cmp(&other.name));
    observed
        .foreign
        .sort_by(|one, other| one.name.cmp(&other.name));
    Ok(())
}

/// The stable revision, where its content is needed: while it is not what the task asks for.
fn stable_to_load<'a>(desired: &Desired, observed: &'a Observed) -> Option<&'a RevisionView> {
    if desired.mode != Mode::Daemon {
        return None;
    }
    let name = observed.status.stable_revision.as_deref()?;
    let stable = observed
        .revisions
        .iter()
        .find(|revision| revision.name == name && revision.ours)?;
    (stable.digest != revision::digest(&desired.content.raw)).then_some(stable)
}

/// The content of a stored revision, read once.
async fn stable_content(
    client: &Client,
    index: &Index,
    desired: &Desired,
    stable: &RevisionView,
) -> Result<Option<Content>, Error> {
    let RevisionView { name, uid, .. } = stable;
    let known = index.stable_content(&desired.key);
    if let Some(known) = known.filter(|known| (&known.name, &known.uid) == (name, uid)) {
        return Ok(known.content);
    }
    let Some(stored) = stored_revision(client, &desired.key.namespace, stable).await? else {
        return Ok(None);
    };
    let content = match validate::stored_content(stored) {
        Ok(content) => Some(content),
        Err(error) => {
            // Somebody changed it: without it, a pause starts nothing, which is safe.
            tracing::warn!(revision = name, error = %error, "Ignored a stored revision that cannot be read");
            None
        }
    };
    let read = StableContent {
        name: name.clone(),
        uid: uid.clone(),
        content: content.clone(),
    };
    index.keep_stable_content(&desired.key, Some(read));
    Ok(content)
}

/// The content of a stored revision; none where it is gone.
async fn stored_revision(
    client: &Client,
    namespace: &str,
    revision: &RevisionView,
) -> Result<Option<Value>, Error> {
    let path = source::object(Kind::Revision, namespace, &revision.name);
    let stored: Option<wire::Revision> = read_as(client, &path).await?;
    let stored = stored.filter(|stored| stored.metadata.uid == revision.uid);
    Ok(stored.map(|stored| stored.data))
}

/// Why Kubernetes cannot create the pods of a child, from its newest `FailedCreate` event.
async fn failed_create(
    client: &Client,
    index: &Index,
    desired: &Desired,
    observed: &Observed,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let Some(child) = child_without_pods(desired, observed) else {
        index.note_missing_pods(&desired.key, None);
        return Ok(None);
    };
    let known = index.missing_pods(&desired.key);
    let mut missing = known.clone().unwrap_or_else(|| MissingPods::new(now));
    if missing.is_due(now) {
        let path = source::failed_create(&desired.key.namespace, child);
        let events: Option<Events> = read_as(client, &path).await?;
        missing.read = Some(now);
        missing.message = events.and_then(Events::newest);
    }
    let message = missing.message.clone();
    if known.as_ref() != Some(&missing) {
        index.note_missing_pods(&desired.key, Some(missing));
    }
    Ok(message)
}

/// The UID of a child that should have a pod on some node and has none there.
fn child_without_pods<'a>(desired: &Desired, observed: &'a Observed) -> Option<&'a str> {
    match desired.mode {
        Mode::Daemon => {
            let with: BTreeSet<&str> = observed.pods.iter().map(|pod| pod.node.as_str()).collect();
            let ready = observed.nodes.iter().filter(|node| node.ready);
            let mut without = ready.filter(|node| !with.contains(node.name.as_str()));
            without.find_map(|node| {
                let wave = desired.waves.get(node.wave)?;
                let name = revision::daemon_set_name(&desired.key.name, &wave.name);
                let sets = observed.daemon_sets.iter();
                let mut alive = sets.filter(|set| !set.deleting);
                Some(alive.find(|set| set.name == name)?.uid.as_str())
            })
        }
        Mode::RunOnce | Mode::Scheduled => {
            let pods = observed.pods.iter();
            let with: BTreeSet<(&str, &str, i32)> = pods
                .filter_map(|pod| Some((pod.node.as_str(), pod.revision.as_str(), pod.attempt?)))
                .collect();
            let has_pod = |job: &JobView| with.contains(&(&job.node, &job.revision, job.attempt));
            let mut running = observed
                .jobs
                .iter()
                .filter(|job| job.end.is_none() && !job.deleting && !job.uid.is_empty());
            running
                .find(|job| !has_pod(job))
                .map(|job| job.uid.as_str())
        }
    }
}

/// A list of core/v1 Events, as far as we read it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Events {
    #[serde(deserialize_with = "wire::nullable")]
    items: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Event {
    #[serde(deserialize_with = "wire::nullable")]
    message: String,
    last_timestamp: Stamp,
    #[serde(rename = "eventTime")]
    precise_timestamp: Stamp,
}

impl Events {
    fn newest(self) -> Option<String> {
        let newest = self
            .items
            .into_iter()
            .max_by_key(|event| event.last_timestamp.0.max(event.precise_timestamp.0))?;
        Some(newest.message)
    }
}

async fn read_as<T: DeserializeOwned>(client: &Client, path: &str) -> Result<Option<T>, Error> {
    let Some(text) = read(client, path).await? else {
        return Ok(None);
    };
    wire::decode(&text)
        .map(Some)
        .map_err(|error| unreadable(path, error))
}

/// The text of an object; none where there is none.
async fn read(client: &Client, path: &str) -> Result<Option<String>, Error> {
    let failed = |source| Error {
        path: path.to_owned(),
        source,
    };
    let request = http::Request::get(path).body(Vec::new());
    let request = request.map_err(|error| failed(kube::Error::HttpError(error)))?;
    match client.request_text(request).await {
        Ok(text) => Ok(Some(text)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn unreadable(path: &str, error: serde_json::Error) -> Error {
    Error {
        path: path.to_owned(),
        source: kube::Error::SerdeError(error),
    }
}
