//! The tasks of the mission. Each is a program of the image that every node has, `probe.exe`, and what it is told to do.

use hosttask_tests::bed::{self, wave, with};
use hosttask_tests::windows_node::WindowsNode;
use serde_json::{Value, json};

/// The program, in the image.
const PROGRAM: &str = r"%CONTAINER_SANDBOX_MOUNT_POINT%\probe.exe";

/// The value of the label `ring` of the node that gets new versions first.
pub(crate) const CANARY: &str = "canary";
/// The installer that wants a reboot.
pub(crate) const INSTALLER: &str = "installer";
/// The installer that fails.
pub(crate) const BROKEN: &str = "broken-installer";
/// The service.
pub(crate) const AGENT: &str = "agent";
/// The service that does not listen.
pub(crate) const STUBBORN: &str = "stubborn";
/// How long the service that does not listen is asked to end before it is ended, in seconds.
pub(crate) const GRACE: u64 = 8;
/// What the installer that fails says last.
pub(crate) const COMPLAINT: &str = "MSI (s): fatal error during installation (1603)";

/// A file of the node, as the node's programs and as this program call it.
pub(crate) struct File {
    pub(crate) theirs: &'static str,
    pub(crate) ours: &'static str,
}

/// The installer goes on once it is there.
pub(crate) const GO_INSTALL: File = File {
    theirs: r"C:\node\go-install",
    ours: "node/go-install",
};
/// What the installer installs.
pub(crate) const INSTALLED: File = File {
    theirs: r"C:\installed",
    ours: "installed",
};
/// The installer that fails goes on once it is there.
pub(crate) const GO_FAIL: File = File {
    theirs: r"C:\node\go-fail",
    ours: "node/go-fail",
};

/// Installs on all nodes at once, and ends with 3010: a reboot is needed.
pub(crate) fn installer() -> Value {
    let steps = [
        "await",
        GO_INSTALL.theirs,
        "ready",
        INSTALLED.theirs,
        "print",
        "Restart the computer to finish.",
        "exit",
        "3010",
    ];
    let at_once = json!({ "rollout": { "maxUnavailable": "100%" } });
    task(INSTALLER, "RunOnce", &steps, &at_once)
}

/// Ends with 1603, and is tried once more.
pub(crate) fn broken_installer() -> Value {
    let steps = ["await", GO_FAIL.theirs, "print", COMPLAINT, "exit", "1603"];
    let spec = json!({
        "rollout": { "maxUnavailable": "100%" },
        "job": { "retry": { "limit": 1, "initialSeconds": 1, "maxSeconds": 60 } },
    });
    task(BROKEN, "RunOnce", &steps, &spec)
}

/// A version of the service, which starts two more processes and ends when it is asked to.
pub(crate) fn agent(version: &str) -> Value {
    let name = format!("agent {version}");
    agent_that(&["print", &name, "on-interrupt", "0", "tree", "2", "hang"])
}

/// A version of the service that ends as soon as it starts.
pub(crate) fn bad_agent() -> Value {
    let said = "agent 3.0: the port is taken";
    agent_that(&["complain", said, "exit", "1067"])
}

/// A node in the wave `canary` is first, and what fails there goes back.
fn agent_that(steps: &[&str]) -> Value {
    let spec = json!({
        "rollout": {
            "maxUnavailable": "100%",
            "minReadySeconds": 5,
            "waves": [wave(CANARY, &json!({}))],
            "failurePolicy": { "action": "Rollback", "maxFailedNodes": 1 },
        },
    });
    task(AGENT, "Daemon", steps, &spec)
}

/// Three processes, each of which ignores being asked to end.
pub(crate) fn stubborn() -> Value {
    let steps = [
        "ignore", "leave", "ignore", "leave", "ignore", "hang", ";", "hang", ";", "hang",
    ];
    let spec = json!({
        "rollout": { "maxUnavailable": "100%", "minReadySeconds": 0 },
        "template": { "spec": { "terminationGracePeriodSeconds": GRACE } },
    });
    task(STUBBORN, "Daemon", &steps, &spec)
}

/// A task whose program does these steps on the real node too, with what `spec` says besides.
fn task(name: &str, mode: &str, steps: &[&str], spec: &Value) -> Value {
    let mut command = vec![PROGRAM];
    command.extend(steps);
    let mut task = bed::task(name, mode, WindowsNode::IMAGE);
    let pod = &mut task["spec"]["template"]["spec"];
    pod["runtimeClassName"] = json!("hosttask");
    let container = &mut pod["containers"][0];
    container["imagePullPolicy"] = json!("Never");
    container["command"] = json!(command);
    with(task, &json!({ "spec": spec }))
}
