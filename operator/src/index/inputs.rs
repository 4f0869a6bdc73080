//! ConfigMaps and Secrets that tasks name: the digest of their content, never the content.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::wire::Input;
use crate::validate::InputState;

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InputKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl InputKind {
    /// The kind as Kubernetes calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// Which inputs are named: per kind and namespace, the names.
pub(super) type Named = BTreeMap<(InputKind, String), BTreeSet<String>>;

/// Which watches of inputs are needed. The number grows whenever the watch must list again, because an earlier list dropped
/// what nobody had named at that time.
pub type Wanted = BTreeMap<(InputKind, String), u64>;

/// The digest of an input's content, as hexadecimal text.
pub(super) fn digest(input: &Input) -> String {
    let mut all = Sha256::new();
    for content in [&input.data, &input.binary_data] {
        // The counts and lengths keep two different contents from reading the same.
        all.update(content.len().to_be_bytes());
        for (key, value) in content.values() {
            all.update(key.len().to_be_bytes());
            all.update(key.as_bytes());
            all.update(value);
        }
    }
    let mut text = String::with_capacity(64);
    for byte in all.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The inputs that a spec names. The spec may be invalid: what is no name is left out, `validate` complains about it.
pub(super) fn named(spec: &Value) -> BTreeSet<(InputKind, String)> {
    let mut names = BTreeSet::new();
    for (field, kind) in [
        ("configMaps", InputKind::ConfigMap),
        ("secrets", InputKind::Secret),
    ] {
        let list = spec
            .get("inputs")
            .and_then(|inputs| inputs.get(field))
            .and_then(Value::as_array);
        for name in list
            .into_iter()
            .flatten()
            .filter_map(|input| input.get("name")?.as_str())
        {
            names.insert((kind, name.to_owned()));
        }
    }
    names
}

/// The inputs of one kind in one namespace.
#[derive(Debug, Default)]
struct Group {
    /// Digest and list mark by name.
    rows: BTreeMap<String, (String, u32)>,
    epoch: u32,
    names: BTreeSet<String>,
    round: u64,
    /// The first list that tells of every name that is wanted: an older one dropped what was not wanted then.
    needed: u32,
    complete: bool,
    denied: Option<String>,
}

/// The inputs that are wanted, and what is known of them.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    groups: BTreeMap<(InputKind, String), Group>,
    rounds: u64,
}

impl Inputs {
    /// Takes over what the tasks name now.
    pub(super) fn want(&mut self, named: Named) {
        self.groups.retain(|of, _| named.contains_key(of));
        for (of, names) in named {
            let group = self.groups.entry(of).or_default();
            if !names.is_subset(&group.names) {
                self.rounds += 1;
                group.round = self.rounds;
                group.needed = group.epoch + 1;
                group.complete = false;
            }
            group.rows.retain(|name, _| names.contains(name));
            group.names = names;
        }
    }

    /// Which watches are needed.
    pub(super) fn wanted(&self) -> Wanted {
        self.groups
            .iter()
            .map(|(of, group)| (of.clone(), group.round))
            .collect()
    }

    pub(super) fn begin(&mut self, of: &(InputKind, String)) {
        if let Some(group) = self.groups.get_mut(of) {
            group.epoch += 1;
        }
    }

    /// A list ended; true when tasks may see a difference.
    pub(super) fn end(&mut self, of: &(InputKind, String)) -> bool {
        let Some(group) = self.groups.get_mut(of) else {
            return false;
        };
        let before = (group.rows.len(), group.complete, group.denied.take());
        let epoch = group.epoch;
        group.rows.retain(|_, (_, mark)| *mark == epoch);
        group.complete = group.complete || epoch >= group.needed;
        before != (group.rows.len(), group.complete, None)
    }

    /// An input was seen; true when its content changed.
    pub(super) fn seen(&mut self, kind: InputKind, input: &Input) -> bool {
        let of = (kind, input.metadata.namespace.clone());
        let name = &input.metadata.name;
        let group = self
            .groups
            .get_mut(&of)
            .filter(|group| group.names.contains(name));
        let Some(group) = group else { return false };
        let row = (digest(input), group.epoch);
        let before = group.rows.get(name).map(|(digest, _)| digest.clone());
        let changed = before.as_ref() != Some(&row.0);
        group.rows.insert(name.clone(), row);
        changed
    }

    /// An input was deleted; true when it was known.
    pub(super) fn gone(&mut self, kind: InputKind, namespace: &str, name: &str) -> bool {
        let group = self.groups.get_mut(&(kind, namespace.to_owned()));
        group.is_some_and(|group| group.rows.remove(name).is_some())
    }

    /// The API server refuses to show them; true when that is news. What was seen before is no longer known.
    pub(super) fn denied(&mut self, of: &(InputKind, String), message: &str) -> bool {
        let Some(group) = self.groups.get_mut(of) else {
            return false;
        };
        group.rows.clear();
        group.complete = false;
        group.needed = group.epoch + 1;
        let message = Some(message.to_owned());
        let news = group.denied != message;
        group.denied = message;
        news
    }

    /// Nothing that was seen counts until a list that begins from now on ends.
    pub(super) fn doubt(&mut self) {
        for group in self.groups.values_mut() {
            group.complete = false;
            group.needed = group.epoch + 1;
            group.denied = None;
        }
    }

    /// The state of one input; none while it is not known yet.
    pub(super) fn state(&self, kind: InputKind, namespace: &str, name: &str) -> Option<InputState> {
        let group = self.groups.get(&(kind, namespace.to_owned()))?;
        if let Some(message) = &group.denied {
            return Some(InputState::Denied(message.clone()));
        }
        if !group.complete {
            return None;
        }
        Some(match group.rows.get(name) {
            Some((digest, _)) => InputState::Present(digest.clone()),
            None => InputState::Missing,
        })
    }

    /// How many inputs are kept.
    pub(super) fn len(&self) -> usize {
        self.groups.values().map(|group| group.rows.len()).sum()
    }
}
