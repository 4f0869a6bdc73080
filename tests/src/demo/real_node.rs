//! The real Windows node of the demonstration: what it is, what runs there, and how it is judged.

use hosttask_crds::WindowsHostNode;
use hosttask_setup::demo_programs;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use serde_json::json;

use super::jobs::{Jobs, RECORDS};
use super::{DemoError, Options};
use crate::bed::{TestBed, describe};
use crate::windows_node::{WindowsNode, WindowsNodeError, WindowsNodeOptions};

/// The name of the node in the cluster.
pub(super) const NAME: &str = "windows-1";
/// The label that keeps the recipes away.
const LABEL: &str = "hosttask.dev/real-node";
/// The container of the service, and how many processes it has with those that it starts.
const SERVICE: (&str, usize) = ("forwarder", 3);

/// Starts the node, or says what this machine lacks for it.
pub(super) async fn start(
    bed: &TestBed,
    options: &Options,
    say: &mut dyn FnMut(&str),
) -> Result<Option<WindowsNode>, DemoError> {
    if options.no_windows {
        return Ok(None);
    }
    say("Starting a real Windows node beside them (--no-windows leaves it out)");
    let named = WindowsNodeOptions {
        name: NAME.to_owned(),
        ..WindowsNodeOptions::default()
    };
    let node = match WindowsNode::start(&bed.cluster, named).await {
        Ok(node) => node,
        Err(error) if error.is_lacking() => {
            let why = describe(&error);
            say(&format!("No real Windows node takes part: {why}"));
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    load(&node).await?;
    bed.label_node(NAME, &json!({ LABEL: "true" })).await?;
    let info = Api::<Node>::all(bed.client()).get(NAME).await?;
    let info = info.status.and_then(|status| status.node_info);
    let info = info.unwrap_or_default();
    say(&format!(
        "{NAME}: kubelet {} and {} for Windows, both as they are released, and our shim, under Wine as Windows {}",
        info.kubelet_version, info.container_runtime_version, info.kernel_version
    ));
    say(
        "  log-forwarder and vc-runtime run there, as small programs of the demo's own; the recipes leave it out",
    );
    Ok(Some(node))
}

/// Gives the node the images of the demo's own tasks: no registry has them.
async fn load(node: &WindowsNode) -> Result<(), DemoError> {
    let programs = tokio::task::spawn_blocking(|| demo_programs::programs(&mut |_| {}))
        .await
        .map_err(|error| DemoError::Programs(error.into()))?
        .map_err(WindowsNodeError::from)?;
    let forwarder = "log-forwarder.exe";
    let installer = "vc_redist.x64.exe";
    for (image, program, path) in [
        ("log-forwarder:1.4", forwarder, &programs.forwarder),
        ("log-forwarder:2.0", forwarder, &programs.bad_forwarder),
        ("vc-runtime-installer:14.40", installer, &programs.installer),
    ] {
        let bytes = std::fs::read(path).map_err(DemoError::Programs)?;
        let image = format!("ghcr.io/hosttask/{image}");
        node.import_image(&image, &[program], &[(program, &bytes)])
            .await?;
    }
    Ok(())
}

/// Shows the job object of the service in the words of the node's own tool.
pub(super) async fn show(
    node: &WindowsNode,
    jobs: &Jobs,
    say: &mut dyn FnMut(&str),
) -> Result<(), DemoError> {
    let Some(job) = jobs
        .now()
        .into_iter()
        .find(|job| job.container == SERVICE.0)
    else {
        return Ok(());
    };
    say("");
    say(&format!("The job object of log-forwarder on {NAME}:"));
    for question in ["ps", "stats"] {
        say(&format!(
            "{NAME}> hosttask-node --root {RECORDS} {question} {}",
            job.id
        ));
        let arguments = ["--root", RECORDS, "--output", "table", question, &job.id];
        let answer = node.hosttask_node(&arguments).await?;
        for line in answer.stdout.lines() {
            say(&format!("  {}", line.trim_end()));
        }
    }
    Ok(())
}

/// What must be true of the node when all tasks have settled: what is not, in words.
pub(super) fn judge(jobs: &Jobs, ledgers: &[WindowsHostNode]) -> Vec<String> {
    let mut problems = Vec::new();
    let (container, processes) = SERVICE;
    let most = jobs.most(container).unwrap_or_default();
    if most.processes() < processes {
        problems.push(format!(
            "the job object of {container} on {NAME} should have {processes} processes: {}",
            most.list()
        ));
    }
    let ledger = ledgers
        .iter()
        .find(|ledger| ledger.metadata.name.as_deref() == Some(NAME));
    let status = ledger.and_then(|ledger| ledger.status.as_ref());
    if status.is_none_or(|status| status.reboot_required != Some(true)) {
        problems.push(format!(
            "the ledger of {NAME} should say that a reboot is required: its installer ended with 3010"
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_on_which_nothing_ran_is_not_let_through() {
        let problems = judge(&Jobs::default(), &[]);
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
