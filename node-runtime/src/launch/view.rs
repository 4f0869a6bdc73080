//! `view`: where a path of the config is on the host.
//!
//! With containerd's bind filter the root appears at `C:\hpc\` to the container alone; without it, at a folder of its own that
//! everybody sees. A config is written for the former. So a path in the place where the config expects the root leads to the
//! root. Any other full path is looked for in the root first: an image that has `C:\app` means its own, even if somebody made a
//! `C:\app` on the host, where every user can make folders. What is in the system's folder is always the host's.

use std::collections::BTreeMap;

use super::{Surroundings, path};
use crate::sys::{Places, Rules};

/// The variable that has the root.
pub(super) const MOUNT_POINT: &str = "CONTAINER_SANDBOX_MOUNT_POINT";

/// What is before and behind the variable, in the two spellings that are replaced.
const SPELLINGS: [(&str, &str); 2] = [("%", "%"), ("$env:", "")];

/// What a process is started in, and where its config expects the root.
pub(super) struct View<'a> {
    surroundings: &'a Surroundings<'a>,
    expected_root: &'a str,
}

impl<'a> View<'a> {
    pub(super) fn new(surroundings: &'a Surroundings<'a>, expected_root: &'a str) -> Self {
        Self {
            surroundings,
            expected_root,
        }
    }

    pub(super) fn places(&self) -> &'a Places {
        self.surroundings.places
    }

    /// The root, with a separator at its end.
    pub(super) fn root(&self) -> &'a str {
        self.surroundings.root
    }

    pub(super) fn user_environment(&self) -> &'a BTreeMap<String, String> {
        self.surroundings.user_environment
    }

    pub(super) fn is_file(&self, path: &str) -> bool {
        (self.surroundings.is_file)(path)
    }

    pub(super) fn is_folder(&self, path: &str) -> bool {
        (self.surroundings.is_folder)(path)
    }

    /// The text with the root, without the separator at its end, in place of both spellings of the variable, in any case.
    ///
    /// What was put in is not read again. `$env:` ends with its name: a longer one is another variable.
    pub(super) fn expand(&self, text: &str) -> String {
        let separator = path::separator(self.places().rules);
        let root = self.root();
        let root = root.strip_suffix(separator).unwrap_or(root);
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['%', '$']) {
            let (before, from) = rest.split_at(at);
            expanded.push_str(before);
            if let Some(behind) = after_variable(from) {
                expanded.push_str(root);
                rest = behind;
            } else {
                let mut letters = from.chars();
                expanded.extend(letters.next());
                rest = letters.as_str();
            }
        }
        expanded.push_str(rest);
        expanded
    }

    /// The same place below the root, for a full path in the place where the config expects the root; none for another.
    pub(super) fn lead(&self, text: &str) -> Option<String> {
        let rules = self.places().rules;
        let Ok(path::Start::Full(..)) = path::start(rules, text) else {
            return None;
        };
        let full = path::join(rules, text, ".").ok()?;
        if path::below(rules, &full, self.root()).is_some() {
            return None;
        }
        let rest = path::below(rules, &full, self.expected_root)?;
        Some(format!("{}{rest}", self.root()))
    }

    /// Where a full path may be, best first.
    pub(super) fn candidates(&self, full: String) -> Vec<String> {
        let rules = self.places().rules;
        if path::below(rules, &full, self.root()).is_some() {
            return vec![full];
        }
        let bare = |path: String| path::join(rules, &path, ".").unwrap_or(path);
        if let Some(led) = self.lead(&full) {
            return vec![bare(led)];
        }
        let system = match rules {
            Rules::Windows => &self.places().windows,
            Rules::Posix => &self.places().system,
        };
        if !system.is_empty() && path::below(rules, &full, system).is_some() {
            return vec![full];
        }
        vec![bare(path::in_root(rules, self.root(), &full)), full]
    }

    /// Whether a full path is in the root.
    pub(super) fn is_in_root(&self, full: &str) -> bool {
        path::below(self.places().rules, full, self.root()).is_some()
    }
}

/// What follows the variable at the start of a text, if it is there.
pub(super) fn after_variable(text: &str) -> Option<&str> {
    SPELLINGS.iter().find_map(|(before, behind)| {
        let rest = strip_prefix(text, before)?;
        let rest = strip_prefix(rest, MOUNT_POINT)?;
        let rest = rest.strip_prefix(behind)?;
        let is_longer = |it: char| it.is_alphanumeric() || it == '_';
        (!behind.is_empty() || !rest.starts_with(is_longer)).then_some(rest)
    })
}

fn strip_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}
