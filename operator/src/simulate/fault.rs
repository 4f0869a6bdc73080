//! The failure script: what goes wrong on which virtual nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use super::chance::number;
use super::words;

/// One line of the failure script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of which revision.
    pub revision: Which,
    /// On how many nodes, or on which.
    pub nodes: Pick,
    /// Only among nodes with this label.
    pub among: Option<(String, String)>,
    /// What happens.
    pub how: How,
    /// How long after the program started it happens (`dead`: after the rollout began), in seconds.
    pub after: Option<u64>,
    /// How long it lasts, in seconds (`slow`: how much longer the start takes). None: for ever.
    pub lasts: Option<u64>,
    /// The exit code of a crash.
    pub code: i32,
    /// What the program writes before it ends.
    pub message: String,
    /// How many pods or attempts on a node it strikes. None: all.
    pub times: Option<u32>,
}

/// A revision, seen from the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// What runs before the update.
    Old,
    /// The update.
    New,
    /// Both.
    Any,
}

/// How many nodes, or which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Every node.
    All,
    /// So many, drawn by the seed.
    Count(usize),
    /// So many percent, rounded up, drawn by the seed.
    Percent(usize),
    /// The node of this name, or with `*` at the end all whose names begin so.
    Name(String),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The program ends as soon as it starts.
    Crash,
    /// The program runs and never becomes ready (RunOnce: never ends).
    NeverReady,
    /// The image cannot be pulled.
    Image,
    /// The start (RunOnce: the run) takes `for` longer.
    Slow,
    /// The program stops being ready `after` it was.
    Breaks,
    /// The node stops answering `after` the program started.
    NodeLost,
    /// The node loses the first condition of `health.nodeConditions` `after` the program started.
    Condition,
    /// The node does not answer: before the rollout begins, or `after` it began; whatever runs there.
    Dead,
}

/// The ways a fault can strike, as they are written.
const HOWS: [(&str, How); 8] = [
    ("crash", How::Crash),
    ("never-ready", How::NeverReady),
    ("image", How::Image),
    ("slow", How::Slow),
    ("breaks", How::Breaks),
    ("node-lost", How::NodeLost),
    ("condition", How::Condition),
    ("dead", How::Dead),
];

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut fault = Self {
            revision: Which::New,
            nodes: Pick::All,
            among: None,
            how: How::Crash,
            after: None,
            lasts: None,
            code: 1,
            message: String::new(),
            times: None,
        };
        let mut told = false;
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, value) = part
                .trim()
                .split_once('=')
                .ok_or_else(|| format!("{part}: write key=value, such as how=crash"))?;
            told |= key == "how";
            fault.set(key, value)?;
        }
        if !told {
            return Err(format!("how is missing; write one of {}", names()));
        }
        if fault.how == How::Slow && fault.lasts.is_none() {
            return Err("how=slow needs for, such as for=10m".to_owned());
        }
        Ok(fault)
    }
}

fn names() -> String {
    HOWS.map(|(name, _)| name).join(", ")
}

impl Fault {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let number = |what: &str| format!("{key}={value}: {what}");
        match key {
            "revision" => {
                self.revision = match value {
                    "old" => Which::Old,
                    "new" => Which::New,
                    "any" => Which::Any,
                    _ => return Err(number("write old, new or any")),
                }
            }
            "nodes" => self.nodes = Pick::read(value)?,
            "where" => {
                let label = value
                    .split_once('=')
                    .ok_or_else(|| number("write a label, such as where=ring=canary"))?;
                self.among = Some((label.0.to_owned(), label.1.to_owned()));
            }
            "how" => {
                let found = HOWS.iter().find(|(name, _)| *name == value);
                let (_, how) = found.ok_or_else(|| number(&format!("write one of {}", names())))?;
                self.how = *how;
            }
            "after" => self.after = Some(words::seconds(value)?),
            "for" => self.lasts = Some(words::seconds(value)?),
            "code" => {
                self.code = value
                    .parse()
                    .map_err(|_| number("write an exit code, such as 1603"))?;
            }
            "message" => value.clone_into(&mut self.message),
            "times" => {
                let times = value.parse().map_err(|_| number("write a number"))?;
                self.times = Some(times);
            }
            _ => {
                return Err(number(
                    "no such key; write revision, nodes, where, how, after, for, code, message or times",
                ));
            }
        }
        Ok(())
    }

    /// The nodes it strikes, out of all nodes of the task with their labels. `place` keeps two faults apart.
    pub(super) fn choose(
        &self,
        seed: u64,
        place: usize,
        nodes: &[(&str, &BTreeMap<String, String>)],
    ) -> BTreeSet<String> {
        let is_among = |labels: &BTreeMap<String, String>| {
            self.among
                .as_ref()
                .is_none_or(|(key, value)| labels.get(key) == Some(value))
        };
        let mut found: Vec<&str> = nodes
            .iter()
            .filter(|(name, labels)| is_among(labels) && self.nodes.fits(name))
            .map(|(name, _)| *name)
            .collect();
        let place = place.to_string();
        found.sort_by_cached_key(|name| number(seed, &["fault", &place, name]));
        let count = self.nodes.count(found.len());
        found.into_iter().take(count).map(str::to_owned).collect()
    }
}

impl Pick {
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "nodes={text}: write all, a number, a percentage or a node's name, such as win-0001 or win-00*"
            )
        };
        if text == "all" {
            return Ok(Self::All);
        }
        if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.parse().map_err(|_| wrong())?;
            return if percent <= 100 {
                Ok(Self::Percent(percent))
            } else {
                Err(wrong())
            };
        }
        if let Ok(count) = text.parse() {
            return Ok(Self::Count(count));
        }
        if text.is_empty() {
            Err(wrong())
        } else {
            Ok(Self::Name(text.to_owned()))
        }
    }

    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Name(wanted) => wanted
                .strip_suffix('*')
                .map_or(name == wanted, |prefix| name.starts_with(prefix)),
            Self::All | Self::Count(_) | Self::Percent(_) => true,
        }
    }

    fn count(&self, all: usize) -> usize {
        match self {
            Self::All | Self::Name(_) => all,
            Self::Count(count) => *count,
            Self::Percent(percent) => all.saturating_mul(*percent).div_ceil(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_with_all_its_parts() {
        let fault: Fault =
            "revision=any,nodes=2%,where=ring=canary,how=crash,code=1603,after=30s,for=1h,times=2"
                .parse()
                .unwrap();
        assert_eq!(
            (
                fault.revision,
                fault.how,
                fault.code,
                fault.after,
                fault.lasts,
                fault.times
            ),
            (Which::Any, How::Crash, 1603, Some(30), Some(3600), Some(2))
        );
        assert_eq!(fault.nodes, Pick::Percent(2));
        assert_eq!(fault.among, Some(("ring".into(), "canary".into())));
    }

    #[test]
    fn a_mistake_says_what_to_write() {
        for (text, hint) in [
            ("nodes=2%", "how is missing; write one of crash"),
            ("how=explodes", "write one of crash"),
            ("how=crash,nodes=200%", "a percentage"),
            ("how=crash,wher=x", "no such key"),
            ("how=crash,after=soon", "90s"),
            ("how=slow", "for=10m"),
            ("crash", "key=value"),
        ] {
            let error = text.parse::<Fault>().unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn so_many_nodes_are_drawn_and_always_the_same() {
        let names: Vec<String> = (0..200).map(|n| format!("win-{n:03}")).collect();
        let labels = BTreeMap::new();
        let nodes: Vec<_> = names.iter().map(|name| (name.as_str(), &labels)).collect();
        let of = |text: &str, seed| text.parse::<Fault>().unwrap().choose(seed, 0, &nodes);
        assert_eq!(of("how=dead,nodes=3%", 1).len(), 6);
        assert_eq!(of("how=dead,nodes=3%", 1), of("how=dead,nodes=3%", 1));
        assert_ne!(of("how=dead,nodes=3%", 1), of("how=dead,nodes=3%", 2));
        assert_eq!(of("how=dead,nodes=win-00*", 1).len(), 10);
        assert_eq!(of("how=dead,where=ring=canary", 1).len(), 0);
    }
}
