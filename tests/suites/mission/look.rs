//! What is to be seen on the real node: the records of the shim, the processes of a job object, and kubelet's calls.

use std::path::Path;

use hosttask_tests::containerd::strays;
use hosttask_tests::poll;
use hosttask_tests::windows_node::WindowsNodeError;
use serde_json::Value;

use crate::bench::{Mission, SOON};
use crate::orders::File;
use crate::pods::{container, uid};
use crate::transcript::Account;

/// Where the shim keeps its records of what kubelet runs.
const ROOT: &str = r"C:\ProgramData\hosttask\containerd\k8s.io";
/// The calls of the CRI that are told, and what containerd tells about stopping.
const CALLS: [&str; 10] = [
    "RunPodSandbox",
    "CreateContainer",
    "StartContainer",
    "StopContainer",
    "Stop container",
    "Kill container",
    "RemoveContainer",
    "StopPodSandbox",
    "RemovePodSandbox",
    "ExecSync",
];

impl Mission {
    /// A command about the shim's records with its answer, as a terminal shows both.
    pub(crate) async fn shows(&self, arguments: &[&str]) -> String {
        // A table has no room for all that a record has.
        let form = if arguments.contains(&"state") {
            "json"
        } else {
            "table"
        };
        let answer = self.ask(form, arguments).await;
        let answer = answer.unwrap_or_else(|why| why);
        let typed = arguments.join(" ");
        format!("> hosttask-node --root {ROOT} {typed}\n{answer}")
    }

    /// What the shim knows about the containers of kubelet.
    async fn held(&self) -> Result<Vec<Value>, String> {
        let answer = self.ask("json", &["list"]).await?;
        serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))
    }

    async fn ask(&self, form: &str, arguments: &[&str]) -> Result<String, String> {
        let mut all = vec!["--root", ROOT, "--output", form];
        all.extend(arguments);
        match self.node.hosttask_node(&all).await {
            Ok(answer) => Ok(answer.stdout),
            Err(WindowsNodeError::Failed { said, .. }) => Err(said),
            Err(other) => Err(other.to_string()),
        }
    }

    /// Waits until the job object of a container has so many processes, and shows them with its record.
    pub(crate) async fn job(&self, container: &str, count: usize) -> Vec<String> {
        let typed = ["tasks", "ps", container];
        let processes = poll::until(&format!("{count} processes in a job"), SOON, || async {
            let answer = self.node.ctr(&typed).await;
            let answer = answer.map_err(|error| error.to_string())?.stdout;
            // The first line has the heads of the table.
            if answer.lines().skip(1).count() == count {
                Ok(answer)
            } else {
                Err(answer)
            }
        })
        .await
        .unwrap();
        let typed = typed.join(" ");
        // Of the details only the name is the same in each run.
        let short = processes.lines().map(|line| {
            let name = line.split_once(" created_at:").map(|(name, _)| name);
            name.unwrap_or(line)
        });
        let short = short.collect::<Vec<_>>().join("\n");
        let processes = format!("> ctr --namespace k8s.io {typed}\n{short}");
        vec![self.shows(&["state", container]).await, processes]
    }

    /// Waits until the job object of a container is gone with everything in it, and shows what the shim says about it.
    pub(crate) async fn gone(&self, container: &str) -> String {
        poll::until("a job object to be gone", SOON, || async {
            let held = self.held().await?;
            let left = held.into_iter().find(|it| it["id"] == container);
            match (left, programs(container)) {
                (None, programs) if programs.is_empty() => Ok(()),
                (left, programs) => Err(format!("{left:?}, {programs:?}")),
            }
        })
        .await
        .unwrap();
        self.shows(&["state", container]).await
    }

    /// What was seen in a step: its task, its pods with the calls about them, their job objects, and how it ended.
    pub(crate) fn account(
        &self,
        task: Value,
        pods: Vec<Value>,
        job: Vec<String>,
        status: Vec<(String, String)>,
    ) -> Account {
        Account {
            calls: self.calls(&pods),
            task,
            pods,
            job,
            status,
        }
    }

    /// kubelet's calls about some pods, as containerd tells them.
    fn calls(&self, pods: &[Value]) -> Vec<String> {
        let mut known: Vec<String> = Vec::new();
        for pod in pods {
            known.extend([uid(pod).to_owned(), container(pod)]);
        }
        known.retain(|id| !id.is_empty());
        let log = self.node.log("containerd");
        let mut calls = Vec::new();
        for said in log.lines().filter_map(message) {
            let is_call = CALLS.iter().any(|call| said.starts_with(call));
            if !is_call || !known.iter().any(|id| said.contains(id)) {
                continue;
            }
            // The sandbox and the containers of the pod have names of their own from here on.
            let made = said.split_once("returns ").map(|(_, made)| made);
            let made = made.and_then(|made| made.split('"').nth(1));
            known.extend(made.map(ToOwned::to_owned));
            calls.push(said);
        }
        calls
    }

    /// Lets the programs go on that wait for a file.
    pub(crate) fn release(&self, file: &File) {
        std::fs::write(self.node.drive().join(file.ours), "").unwrap();
    }

    /// Whether a file is on the node.
    pub(crate) fn has(&self, file: &File) -> bool {
        self.node.drive().join(file.ours).exists()
    }

    /// Takes a file off the node, as a new image of Windows does.
    pub(crate) fn wipe(&self, file: &File) {
        std::fs::remove_file(self.node.drive().join(file.ours)).unwrap();
    }
}

/// The processes that run a program of a container's image, as the system below Wine sees them.
pub(crate) fn programs(container: &str) -> Vec<String> {
    let all = strays(Path::new(container));
    let of_image = all
        .into_iter()
        .filter(|it| it.command.contains("probe.exe"));
    of_image.map(|it| it.command).collect()
}

/// What a line of containerd's log says, without its time and its level.
fn message(line: &str) -> Option<String> {
    let (_, text) = line.split_once(" msg=")?;
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split(' ').next().map(ToOwned::to_owned);
    };
    let mut said = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some(said),
            '\\' => said.push(characters.next()?),
            other => said.push(other),
        }
    }
}

#[test]
fn the_message_of_a_line_of_containerd_is_what_its_quotes_have() {
    let line = r#"time="2026" level=info msg="StartContainer for \"c1\"" a=b"#;
    assert_eq!(message(line).unwrap(), r#"StartContainer for "c1""#);
    assert_eq!(
        message("time=x level=info msg=started a=b").unwrap(),
        "started"
    );
    assert_eq!(message("no log line"), None);
}
