//! The revision of a task: a hash of its content, and the names of children that follow from it.
//!
//! Longer than 400 lines: nearly half of it are the tests of names that must never change.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hosttask_crds::label::DEFAULT_WAVE;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::desired::Wave;

/// The longest label value that Kubernetes accepts.
const LABEL_VALUE: usize = 63;
/// How much of a task's name a revision or a Job's name repeats.
const NAME_IN_CHILD: usize = 40;
/// The longest name of a DaemonSet: its controller appends a hash of up to 10 characters and a dash to it for the names
/// of its own revisions, which are label values.
const DAEMON_SET_NAME: usize = 52;
/// Characters of base32 in revisions and shortened names: 50 bits.
const HASH: usize = 10;
/// Characters of base32 in Job names: 80 bits, as there is one name per node, revision and run.
const JOB_HASH: usize = 16;

/// JSON with the keys of every object in order and no white space: equal documents give equal text, however they were
/// written.
///
/// Not `Value::to_string`: its order depends on a feature of `serde_json` that any dependency can turn on, and then an
/// operator release would restart every pod.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            out.push('{');
            for (position, (key, value)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_scalar(&Value::String(key.clone()), out);
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            write_scalar(value, out);
        }
    }
}

fn write_scalar(value: &Value, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{value}");
}

/// The SHA-256 of the canonical JSON, as 64 hexadecimal digits.
pub fn digest(raw: &Value) -> String {
    hex(&Sha256::digest(canonical(raw).as_bytes()))
}

/// The name of the revision with this content: at most 51 characters, valid as an object name and as a label value.
///
/// `collision` is `status.collisionCount`: it is raised where the name is already taken by other content.
pub fn name(task_name: &str, raw: &Value, collision: i32) -> String {
    let mut hasher = Sha256::new();
    hasher.update(canonical(raw).as_bytes());
    hasher.update(collision.to_be_bytes());
    format!(
        "{}-{}",
        cut(task_name, NAME_IN_CHILD),
        base32(&hasher.finalize(), HASH)
    )
}

/// The task's name as a label value: itself where it fits, else cut, with a hash that keeps it distinct.
pub fn label_value(task_name: &str) -> String {
    shorten(task_name, LABEL_VALUE)
}

/// The name of the DaemonSet of a wave: the task's own name for the wave `default`, else the task's and the wave's, where
/// that has at most 52 characters.
pub fn daemon_set_name(task_name: &str, wave: &str) -> String {
    if wave == DEFAULT_WAVE {
        return shorten(task_name, DAEMON_SET_NAME);
    }
    shorten(&format!("{task_name}-{wave}"), DAEMON_SET_NAME)
}

/// The hash of how the waves divide the fleet: names and selectors, in order. Budgets and soak times are not in it.
pub fn layout(waves: &[Wave]) -> String {
    let mut hasher = Sha256::new();
    let mut add = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    for wave in waves {
        add(&wave.name);
        // The counts keep a value apart from the key of a further requirement.
        add(&wave.requirements.len().to_string());
        for requirement in &wave.requirements {
            add(&requirement.key);
            add(requirement.operator.as_str());
            add(&requirement.values.len().to_string());
            requirement.values.iter().for_each(|value| add(value));
        }
    }
    base32(&hasher.finalize(), HASH)
}

/// The hash that a status keeps of the waves; none where there is only the default one.
pub(crate) fn wave_layout(waves: &[Wave]) -> Option<String> {
    (waves.len() > 1).then(|| layout(waves))
}

/// One run of a Job on a node, at one revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// The time of the schedule it is for.
    pub tick: Option<Timestamp>,
    /// The attempt, counted from 1.
    pub attempt: i32,
    /// Whether the program runs, or the check in place of it.
    pub step: Step,
}

/// What a Job runs. In the order in which an attempt goes through them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The check, which finds out whether there is anything to do.
    Check,
    /// The program.
    #[default]
    Program,
}

impl From<i32> for Run {
    /// An attempt to run the program, of a task without schedule and check.
    fn from(attempt: i32) -> Self {
        Self {
            tick: None,
            attempt,
            step: Step::Program,
        }
    }
}

/// The name of the Job of one node, revision and run: at most 57 characters and always the same for the same
/// arguments, so that creating it twice is harmless.
pub fn job_name(
    task_name: &str,
    task_uid: &str,
    revision: &str,
    machine: &str,
    run: impl Into<Run>,
) -> String {
    let run = run.into();
    let mut hasher = Sha256::new();
    for part in [task_uid, revision, machine] {
        // The length keeps ("a", "bc") apart from ("ab", "c").
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(run.attempt.to_be_bytes());
    // Only what is set: the names of tasks without a schedule and a check are those of the first release.
    if run.step == Step::Check {
        hasher.update(b"check");
    }
    if let Some(tick) = run.tick {
        hasher.update(b"tick");
        hasher.update(tick.as_second().to_be_bytes());
    }
    // The name becomes the host name of the pod, where a dot would start a domain.
    let prefix = cut(task_name, NAME_IN_CHILD).replace('.', "-");
    format!("{prefix}-{}", base32(&hasher.finalize(), JOB_HASH))
}

fn shorten(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let hash = base32(&Sha256::digest(text.as_bytes()), HASH);
    format!("{}-{hash}", cut(text, longest - HASH - 1))
}

/// The first characters of a name, without dots and dashes at the end: `a.-b` is no object name.
fn cut(text: &str, longest: usize) -> &str {
    let end = (0..=longest.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    text.get(..end)
        .unwrap_or_default()
        .trim_end_matches(['.', '-'])
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The first `length` characters of RFC 4648 base32 in lower case, which object names allow.
fn base32(bytes: &[u8], length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = String::with_capacity(length);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            let index = usize::try_from((buffer >> bits) & 31).unwrap_or_default();
            text.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'a')));
            if text.len() == length {
                return text;
            }
        }
        buffer &= (1 << bits) - 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::desired::{Amount, Operator, Requirement};
    use crate::validate::name as grammar;
    use hosttask_crds::task::Approval;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_digest_is_the_known_hash_of_the_sorted_text() {
        let value = json!({"b": [1, {"z": null, "a": "é\n"}], "a": true});
        assert_eq!(
            canonical(&value),
            r#"{"a":true,"b":[1,{"a":"é\n","z":null}]}"#
        );
        // printf '{}' | sha256sum
        assert_eq!(
            digest(&json!({})),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
    }

    #[test]
    fn base32_is_that_of_the_standard() {
        // The standard pads the last group with zero bits.
        assert_eq!(base32(b"foobar\0", 10), "mzxw6ytboi");
        assert_eq!(base32(b"foobar", 4), "mzxw");
    }

    #[test]
    fn a_collision_gives_another_name() {
        let raw = json!({"template": {}});
        assert_ne!(name("web", &raw, 0), name("web", &raw, 1));
        assert_eq!(name("web", &raw, 0), name("web", &raw, 0));
    }

    #[test]
    fn a_short_name_is_kept_and_a_long_one_stays_distinct() {
        assert_eq!(
            daemon_set_name("windows-exporter", DEFAULT_WAVE),
            "windows-exporter"
        );
        let long = "a".repeat(52);
        assert_eq!(daemon_set_name(&long, DEFAULT_WAVE), long);
        let (one, two) = (format!("{long}b"), format!("{long}c"));
        assert_ne!(
            daemon_set_name(&one, DEFAULT_WAVE),
            daemon_set_name(&two, DEFAULT_WAVE)
        );
        assert_eq!(daemon_set_name(&one, DEFAULT_WAVE).len(), 52);
        assert_eq!(label_value(&"a".repeat(253)).len(), 63);
    }

    #[test]
    fn the_daemon_set_of_a_wave_has_a_name_of_its_own() {
        assert_eq!(daemon_set_name("agent", "canary"), "agent-canary");
        let long = "a".repeat(50);
        let names: BTreeSet<String> = ["canary", "early", DEFAULT_WAVE]
            .map(|wave| daemon_set_name(&long, wave))
            .into();
        assert_eq!(names.len(), 3);
        assert!(names.iter().all(|name| name.len() <= DAEMON_SET_NAME));
    }

    fn requirement(key: &str, operator: Operator, values: &[&str]) -> Requirement {
        Requirement {
            key: key.into(),
            operator,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }
    }

    fn wave(name: &str, requirements: &[Requirement]) -> Wave {
        Wave {
            name: name.into(),
            requirements: requirements.to_vec(),
            ..Wave::rest()
        }
    }

    #[test]
    fn the_layout_is_that_of_names_selectors_and_their_order_only() {
        let ring = || requirement("ring", Operator::In, &["0"]);
        let plain = vec![wave("canary", &[ring()]), wave("early", &[ring()])];
        let mut slow = plain.clone();
        slow[0].soak = Duration::from_mins(10);
        slow[0].max_unavailable = Some(Amount::Count(3));
        slow[1].approval = Approval::Manual;
        assert_eq!(layout(&plain), layout(&slow));
        assert_eq!(layout(&plain), "puzmkmh7xv", "it is stored on DaemonSets");
        let swapped: Vec<Wave> = plain.iter().rev().cloned().collect();
        let one = |all: &[Requirement]| vec![wave("canary", all), plain[1].clone()];
        let others = [
            swapped,
            plain[..1].to_vec(),
            vec![wave("canaries", &[ring()]), plain[1].clone()],
            one(&[]),
            one(&[ring(), ring()]),
            one(&[requirement("rings", Operator::In, &["0"])]),
            one(&[requirement("ring", Operator::NotIn, &["0"])]),
            one(&[requirement("ring", Operator::In, &["0", "1"])]),
            // The values of the first could be read as a second requirement.
            one(&[requirement(
                "ring",
                Operator::In,
                &["0", "ring", "In", "1", "0"],
            )]),
        ];
        let all: BTreeSet<String> = others.iter().map(|waves| layout(waves)).collect();
        assert_eq!(all.len(), others.len());
        assert!(!all.contains(&layout(&plain)));
    }

    #[test]
    fn each_part_of_a_job_changes_its_name() {
        let base = job_name("t", "u", "r", "n", 1);
        let run = |tick: Option<i64>, step| Run {
            tick: tick.map(|second| Timestamp::from_second(second).unwrap()),
            attempt: 1,
            step,
        };
        assert_eq!(base, job_name("t", "u", "r", "n", run(None, Step::Program)));
        let others = [
            job_name("t", "v", "r", "n", 1),
            job_name("t", "u", "s", "n", 1),
            job_name("t", "u", "r", "m", 1),
            job_name("t", "u", "r", "n", 2),
            job_name("t", "ur", "", "n", 1),
            job_name("t", "u", "r", "n", run(None, Step::Check)),
            job_name("t", "u", "r", "n", run(Some(60), Step::Check)),
            job_name("t", "u", "r", "n", run(Some(60), Step::Program)),
            job_name("t", "u", "r", "n", run(Some(120), Step::Program)),
        ];
        for other in others {
            assert_ne!(base, other);
        }
    }

    /// Any name a task can have: a DNS subdomain of up to 253 characters.
    fn task_name() -> impl Strategy<Value = String> {
        "[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?){0,3}"
            .prop_filter("a task's name has at most 253 characters", |name| {
                name.len() <= 253
            })
    }

    proptest! {
        #[test]
        fn every_name_of_a_child_is_legal(
            task in task_name(),
            wave in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
            content in "\\PC*",
            attempt in 1..1000,
        ) {
            let raw = json!({"template": content});
            let revision = name(&task, &raw, 0);
            let (set, label) = (daemon_set_name(&task, DEFAULT_WAVE), label_value(&task));
            let of_wave = daemon_set_name(&task, &wave);
            let job = job_name(&task, "uid", &revision, "node", attempt);
            for object in [&revision, &set, &of_wave, &job] {
                prop_assert!(grammar::is_subdomain(object), "{object} is no object name");
            }
            for value in [&revision, &label, &job] {
                prop_assert!(grammar::is_label_value(value), "{value} is no label value");
            }
            prop_assert!(set.len() <= 52 && of_wave.len() <= 52 && job.len() <= 63 && revision.len() <= 51);
            prop_assert!(!job.contains('.'));
        }

        #[test]
        fn cutting_never_splits_a_character(text in "\\PC{0,80}", longest in 0_usize..60) {
            prop_assert!(cut(&text, longest).len() <= longest);
        }
    }
}
