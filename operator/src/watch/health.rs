//! How the watches are doing: when each was last heard of, and what went wrong.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::index::{InputKind, Kind, Scope};

/// The state of the watches of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindHealth {
    /// The kind, as Kubernetes calls it.
    pub kind: &'static str,
    /// How long ago the quietest of its watches said anything (an event, a bookmark or a page of a list). A watch that has said
    /// nothing yet counts from its start; none: no watch of the kind is needed now.
    pub age: Option<Duration>,
    /// Requests and streams that failed.
    pub errors: u64,
    /// Lists that were begun.
    pub lists: u64,
    /// Objects that could not be decoded, and so were left out.
    pub undecodable: u64,
}

/// The state of all watches, for metrics.
#[derive(Debug, Default)]
pub struct Health {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    heard: BTreeMap<Scope, Instant>,
    totals: BTreeMap<&'static str, KindHealth>,
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, scope: &Scope, change: impl FnOnce(&mut KindHealth)) {
        change(self.lock().totals.entry(name(scope)).or_default());
    }

    pub(super) fn heard(&self, scope: &Scope) {
        let mut inner = self.lock();
        let now = Instant::now();
        if let Some(heard) = inner.heard.get_mut(scope) {
            *heard = now;
        } else {
            inner.heard.insert(scope.clone(), now);
        }
    }

    pub(super) fn ended(&self, scope: &Scope) {
        self.lock().heard.remove(scope);
    }

    pub(super) fn failed(&self, scope: &Scope) {
        self.count(scope, |health| health.errors += 1);
    }

    pub(super) fn listing(&self, scope: &Scope) {
        self.count(scope, |health| health.lists += 1);
    }

    pub(super) fn undecodable(&self, scope: &Scope) {
        self.count(scope, |health| health.undecodable += 1);
    }

    /// The state of every kind now.
    pub fn snapshot(&self) -> Vec<KindHealth> {
        let inner = self.lock();
        let now = Instant::now();
        let inputs = [InputKind::ConfigMap.as_str(), InputKind::Secret.as_str()];
        let kinds = Kind::ALL.iter().map(|kind| kind.as_str()).chain(inputs);
        let state = |kind| {
            let of_kind = inner.heard.iter().filter(|(scope, _)| name(scope) == kind);
            let age = of_kind
                .map(|(_, heard)| now.saturating_duration_since(*heard))
                .max();
            let totals = inner.totals.get(kind).copied().unwrap_or_default();
            KindHealth {
                kind,
                age,
                ..totals
            }
        };
        kinds.map(state).collect()
    }
}

fn name(scope: &Scope) -> &'static str {
    match scope {
        Scope::Kind(kind) => kind.as_str(),
        Scope::Inputs(kind, _) => kind.as_str(),
    }
}
