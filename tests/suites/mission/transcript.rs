//! What was seen in the mission, as a page. Times, and names that are other ones in each run, are replaced.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::pods::{container, uid};

/// What was seen in one step.
pub(crate) struct Account {
    /// The task as it was applied.
    pub(crate) task: Value,
    /// The pods of the real node.
    pub(crate) pods: Vec<Value>,
    /// The calls about these pods.
    pub(crate) calls: Vec<String>,
    /// Commands about the job objects with their answers.
    pub(crate) job: Vec<String>,
    /// What the status of an object was at the end.
    pub(crate) status: Vec<(String, String)>,
}

/// A step, and what happens in it.
struct Step {
    title: &'static str,
    happens: &'static str,
}

const STEPS: [Step; 6] = [
    Step {
        title: "An installer that wants a reboot",
        happens: "A RunOnce task whose program ends with 3010. All twelve nodes count as done, and the ledger of each says that a reboot is due.\n\
                  The installer waits for a file before it ends, so that its job object can be looked at.",
    },
    Step {
        title: "An installer that fails",
        happens: "The program ends with 1603 on the real node and is tried once more. The other eleven nodes do not wait; the status blames the\n\
                  real one, with the code and what the program wrote last.",
    },
    Step {
        title: "A service gets a new version",
        happens: "The real node is the wave `canary`, so it is first. The job object of the old version is gone with all three processes, and the\n\
                  new version runs in one of its own.",
    },
    Step {
        title: "A bad version is taken back",
        happens: "The third version ends with 1067 as soon as it starts. The real node fails, the second version comes back there, and the other\n\
                  eleven nodes never saw the third.",
    },
    Step {
        title: "A task is deleted, and its program does not listen",
        happens: "Three processes, each of which ignores Ctrl+C. They have the whole grace period of 8 s; then the job ends, and none is left.",
    },
    Step {
        title: "The machine gets another image of Windows",
        happens: "Another hardware ID, and what was installed is away: the entry of the ledger is void, and the installer of the first step runs\n\
                  there again, and on no other node.",
    },
];

const PARTS: [&str; 5] = [
    "The task as it was applied",
    "The pod as kubelet saw it",
    "The calls of kubelet, as containerd tells them",
    "The job object, and the record of the shim",
    "The status",
];

/// The headings of the page, in their order.
pub(crate) fn headings() -> Vec<String> {
    let of_step = |(index, step): (usize, &Step)| {
        let parts = PARTS.map(|part| format!("### {part}"));
        std::iter::once(heading(index, step)).chain(parts)
    };
    STEPS.iter().enumerate().flat_map(of_step).collect()
}

fn heading(index: usize, step: &Step) -> String {
    format!("## {}. {}", index + 1, step.title)
}

/// The whole page.
pub(crate) fn page(accounts: &[Account]) -> String {
    let mut page = String::from(
        "# The mission, as it ran\n\n\
         One run of `cargo verify --only mission`: a real control plane, the operator, eleven simulated nodes and one real Windows node,\n\
         which is kubelet, containerd and the shim under Wine. What is shown is the real node. The test wrote this page itself\n\
         (`HOSTTASK_TRANSCRIPT=FILE`); times, and names that differ from run to run, are replaced by words in capitals.\n\
         [path.md](path.md) explains what happens in between.\n\n\
         The program of every task is `probe.exe` of the bench, which does what its arguments say.\n",
    );
    for ((index, step), account) in STEPS.iter().enumerate().zip(accounts) {
        let names = Names::of(account);
        // Writing to a string cannot fail.
        let _ = write!(page, "\n{}\n\n{}\n", heading(index, step), step.happens);
        for (part, text) in PARTS.iter().zip(account.parts()) {
            let text = names.stable(&text);
            let _ = write!(page, "\n### {part}\n\n{text}");
        }
    }
    page
}

impl Account {
    fn parts(&self) -> [String; 5] {
        let pods = self
            .pods
            .iter()
            .map(|pod| block("yaml", &yaml(&short(pod))));
        let job = self.job.iter().map(|shown| block("text", shown));
        let status = self
            .status
            .iter()
            .map(|(of, text)| format!("{of}:\n\n{}", block(language(text), text)));
        [
            block("yaml", &yaml(&self.task)),
            pods.collect::<Vec<_>>().join("\n"),
            block("text", &self.calls.join("\n")),
            job.collect::<Vec<_>>().join("\n"),
            status.collect::<Vec<_>>().join("\n"),
        ]
    }
}

fn block(language: &str, text: &str) -> String {
    format!("```{language}\n{}\n```\n", text.trim_end())
}

/// An object is shown in several lines, and what is said about one in a single line.
fn language(text: &str) -> &'static str {
    if text.contains('\n') { "yaml" } else { "text" }
}

/// An object as people read it.
pub(crate) fn yaml(object: &impl Serialize) -> String {
    serde_saphyr::to_string(object).unwrap()
}

/// What is special about a pod of ours.
fn short(pod: &Value) -> Value {
    let take = |from: &Value, fields: &[&str]| {
        let is_told = |field: &&&str| !from[**field].is_null() && from[**field] != json!({});
        let present = fields.iter().filter(is_told);
        let taken = present.map(|field| ((*field).to_owned(), from[*field].clone()));
        Value::Object(taken.collect())
    };
    let spec = [
        "nodeName",
        "runtimeClassName",
        "os",
        "hostNetwork",
        "securityContext",
        "restartPolicy",
        "terminationGracePeriodSeconds",
    ];
    let mut short = json!({
        "metadata": take(&pod["metadata"], &["name", "uid", "labels", "deletionTimestamp"]),
        "spec": take(&pod["spec"], &spec),
        "status": take(&pod["status"], &["phase"]),
    });
    if let Some(labels) = short["metadata"]["labels"].as_object_mut() {
        labels.retain(|key, _| key.starts_with("hosttask.dev/"));
    }
    let container = &pod["spec"]["containers"][0];
    short["spec"]["containers"] = json!([take(container, &["name", "image", "command"])]);
    let state = &pod["status"]["containerStatuses"][0];
    let state = take(
        state,
        &["name", "containerID", "restartCount", "state", "lastState"],
    );
    short["status"]["containerStatuses"] = json!([state]);
    short
}

/// Words for what is another one in each run.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    fn of(account: &Account) -> Self {
        let mut names = Self::default();
        for (index, pod) in account.pods.iter().enumerate() {
            let number = index + 1;
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            names.add(name, format!("POD-{number}"));
            names.add(uid(pod), format!("POD-UID-{number}"));
            names.add(&container(pod), format!("CONTAINER-{number}"));
            let last = &pod["status"]["containerStatuses"][0]["lastState"];
            let last = last["terminated"]["containerID"].as_str();
            let last = last.and_then(|id| id.strip_prefix("containerd://"));
            names.add(
                last.unwrap_or_default(),
                format!("CONTAINER-{number}-BEFORE"),
            );
        }
        let made = account.calls.iter().filter_map(|call| {
            let (_, made) = call.split_once("returns sandbox id \"")?;
            made.split('"').next()
        });
        for (index, sandbox) in made.enumerate() {
            names.add(sandbox, format!("SANDBOX-{}", index + 1));
        }
        names
    }

    fn add(&mut self, name: &str, word: String) {
        if !name.is_empty() {
            self.0.entry(name.to_owned()).or_insert(word);
        }
    }

    /// The text with words in place of all that has one, of other identifiers, and of times.
    fn stable(&self, text: &str) -> String {
        let mut known = text.to_owned();
        for (name, word) in &self.0 {
            known = known.replace(name, word);
        }
        let mut out = String::new();
        let mut rest = known.as_str();
        while !rest.is_empty() {
            let is_part = |c: char| c.is_ascii_alphanumeric() || "-:.+".contains(c);
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(length);
            // What ends a clause is no part of a time.
            let core = word.trim_end_matches([':', '.']);
            out.push_str(substitute(core).unwrap_or(core));
            out.push_str(&word[core.len()..]);
            let next = after.chars().next();
            out.extend(next);
            rest = next.map_or("", |next| &after[next.len_utf8()..]);
        }
        out
    }
}

/// What stands for a word that is another one in each run.
fn substitute(word: &str) -> Option<&'static str> {
    let is_hexadecimal = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    let groups: Vec<usize> = word.split('-').map(str::len).collect();
    if word.len() == 64 && is_hexadecimal(word) {
        return Some("ID");
    }
    if groups == [8, 4, 4, 4, 12] && is_hexadecimal(&word.replace('-', "")) {
        return Some("UID");
    }
    word.parse::<Timestamp>().is_ok().then_some("TIME")
}

#[test]
fn times_and_identifiers_are_replaced_and_nothing_else() {
    let mut names = Names::default();
    names.add("agent-x7k2p", "POD-1".to_owned());
    let id = "0123456789abcdef".repeat(4);
    let uid = "6d8a2c10-5b1e-4c53-9d3f-000000000001";
    let text = format!("agent-x7k2p \"{id}\" at 2026-11-22T09:00:00.5Z: {uid}, exit 3010: äö.");
    assert_eq!(
        names.stable(&text),
        "POD-1 \"ID\" at TIME: UID, exit 3010: äö."
    );
}
