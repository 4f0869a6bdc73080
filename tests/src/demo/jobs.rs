//! The job objects of the real Windows node, as `hosttask-node` tells them there.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::windows_node::WindowsNode;

/// Where the shim keeps its records of kubelet's containers on the node.
pub(super) const RECORDS: &str = "C:\\ProgramData\\hosttask\\containerd\\k8s.io";
/// How long the node rests between two questions: each starts a program there.
const REST: Duration = Duration::from_secs(1);

/// The job object of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Job {
    /// The container's name at containerd.
    pub(super) id: String,
    /// The name of the container in its pod.
    pub(super) container: String,
    /// How far it is: `running`, or how it ended.
    pub(super) state: String,
    /// The names of the programs in it, and how many processes of each.
    pub(super) programs: BTreeMap<String, usize>,
    /// Bytes of memory, where the host counts them.
    pub(super) memory: Option<u64>,
    /// Processor time of everything that ever ran in it.
    pub(super) processor: Duration,
}

impl Job {
    /// How many processes are in it.
    pub(super) fn processes(&self) -> usize {
        self.programs.values().sum()
    }

    /// The programs in one line.
    pub(super) fn list(&self) -> String {
        let each = self.programs.iter().map(|(name, count)| match count {
            1 => name.clone(),
            more => format!("{more} × {name}"),
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

/// What is known of the job objects, asked again and again.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    now: Mutex<Vec<Job>>,
    /// For each name of a container the one that had most processes.
    most: Mutex<BTreeMap<String, Job>>,
}

impl Jobs {
    /// The job objects as they were a moment ago.
    pub(super) fn now(&self) -> Vec<Job> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    /// The job object of a container with this name that had most processes.
    pub(super) fn most(&self, container: &str) -> Option<Job> {
        let most = self.most.lock().unwrap_or_else(PoisonError::into_inner);
        most.get(container).cloned()
    }

    /// Asks the node for ever; without one it waits for ever.
    pub(super) async fn watch(&self, node: Option<&WindowsNode>) -> Infallible {
        let Some(node) = node else {
            return std::future::pending().await;
        };
        loop {
            // A container that ends meanwhile makes a question fail: the next round is right again.
            if let Some(jobs) = look(node).await {
                self.learn(jobs);
            }
            tokio::time::sleep(REST).await;
        }
    }

    fn learn(&self, jobs: Vec<Job>) {
        let mut most = self.most.lock().unwrap_or_else(PoisonError::into_inner);
        for job in &jobs {
            let known = most.entry(job.container.clone()).or_default();
            if job.processes() > known.processes() {
                known.clone_from(job);
            }
        }
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = jobs;
    }
}

/// A container as `hosttask-node list` prints it.
#[derive(Debug, Deserialize)]
struct Listed {
    id: String,
    status: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    exit: Option<Exit>,
}

#[derive(Debug, Deserialize)]
struct Exit {
    code: u32,
}

/// A process as `hosttask-node ps` prints it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    name: String,
    commit_bytes: u64,
    private_working_set_bytes: u64,
}

/// What `hosttask-node stats` prints.
#[derive(Debug, Deserialize)]
struct Stats {
    usage: Usage,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    user_nanoseconds: u64,
    kernel_nanoseconds: u64,
    private_working_set_bytes: Option<u64>,
    commit_bytes: Option<u64>,
}

/// The job objects of all containers of pods, but for those of the pods themselves.
async fn look(node: &WindowsNode) -> Option<Vec<Job>> {
    let mut jobs = Vec::new();
    for listed in ask::<Vec<Listed>>(node, &["list"]).await? {
        let Some(mut job) = named(&listed) else {
            continue;
        };
        if listed.exit.is_none() {
            let processes = ask::<Vec<Process>>(node, &["ps", &listed.id]).await?;
            let stats = ask::<Stats>(node, &["stats", &listed.id]).await?;
            fill(&mut job, &processes, &stats.usage);
        }
        jobs.push(job);
    }
    jobs.sort_by(|left, right| (&left.container, &left.id).cmp(&(&right.container, &right.id)));
    Some(jobs)
}

async fn ask<T: DeserializeOwned>(node: &WindowsNode, question: &[&str]) -> Option<T> {
    let mut arguments = vec!["--root", RECORDS, "--output", "json"];
    arguments.extend(question);
    let answer = node.hosttask_node(&arguments).await.ok()?;
    serde_json::from_str(&answer.stdout).ok()
}

/// The job object of a container, unless it is that of a pod.
fn named(listed: &Listed) -> Option<Job> {
    let container = listed.annotations.get("io.kubernetes.cri.container-name")?;
    Some(Job {
        id: listed.id.clone(),
        container: container.clone(),
        state: match &listed.exit {
            // Windows' own errors are known by their hexadecimal digits.
            Some(Exit { code }) if *code > 0x8000_0000 => format!("ended, 0x{code:X}"),
            Some(Exit { code }) => format!("ended, {code}"),
            None => listed.status.clone(),
        },
        ..Job::default()
    })
}

fn fill(job: &mut Job, processes: &[Process], usage: &Usage) {
    for process in processes {
        *job.programs.entry(process.name.clone()).or_default() += 1;
    }
    let sum = |of: fn(&Process) -> u64| Some(processes.iter().map(of).sum());
    // Not every host counts everything: Wine leaves most of it at 0.
    let known = [
        usage.private_working_set_bytes,
        sum(|process| process.private_working_set_bytes),
        usage.commit_bytes,
        sum(|process| process.commit_bytes),
    ];
    job.memory = known.into_iter().flatten().find(|bytes| *bytes > 0);
    job.processor = Duration::from_nanos(
        usage
            .user_nanoseconds
            .saturating_add(usage.kernel_nanoseconds),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Listed {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_pod_has_a_job_that_is_not_shown_and_its_containers_have_names() {
        let pod =
            r#"{"id":"a","status":"running","annotations":{"io.kubernetes.cri.sandbox-id":"a"}}"#;
        assert_eq!(named(&listed(pod)), None);
        let ended = |code: u32| {
            let text = format!(
                r#"{{"id":"b","status":"stopped","exit":{{"code":{code}}},"annotations":{{"io.kubernetes.cri.container-name":"install"}}}}"#
            );
            named(&listed(&text)).unwrap()
        };
        assert_eq!(ended(3010).container, "install");
        assert_eq!(ended(3010).state, "ended, 3010");
        assert_eq!(ended(0xC000_0135).state, "ended, 0xC0000135");
    }

    #[test]
    fn processes_are_counted_by_program_and_memory_is_what_the_host_counts() {
        let processes = r#"[
            {"name":"a.exe","commitBytes":5,"privateWorkingSetBytes":0},
            {"name":"b.exe","commitBytes":6,"privateWorkingSetBytes":0},
            {"name":"a.exe","commitBytes":7,"privateWorkingSetBytes":0}]"#;
        let usage =
            r#"{"userNanoseconds":1000000,"kernelNanoseconds":2000000,"privateWorkingSetBytes":0}"#;
        let mut job = Job::default();
        let processes: Vec<Process> = serde_json::from_str(processes).unwrap();
        fill(&mut job, &processes, &serde_json::from_str(usage).unwrap());
        assert_eq!((job.processes(), job.memory), (3, Some(18)));
        assert_eq!(job.list(), "2 × a.exe, b.exe");
        assert_eq!(job.processor, Duration::from_millis(3));
    }

    #[test]
    fn the_job_with_most_processes_is_remembered_after_its_end() {
        let jobs = Jobs::default();
        let with = |count| Job {
            container: "main".into(),
            programs: BTreeMap::from([("a.exe".to_owned(), count)]),
            ..Job::default()
        };
        jobs.learn(vec![with(3)]);
        jobs.learn(vec![with(1)]);
        assert_eq!(jobs.now(), [with(1)]);
        assert_eq!(jobs.most("main"), Some(with(3)));
    }
}
