//! The second act: a bad release reaches a canary node, is rolled back by itself, and then nothing is written any more.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use hosttask_crds::task::{WindowsHostTask, WindowsHostTaskStatus};
use kube::api::Api;

use super::screen::Screen;
use super::{Cast, DemoError, apply, real_node, status};
use crate::bed::{TestBed, condition};
use crate::cluster::AuditReader;

/// The namespace and name of the task that gets the bad release.
const TASK: (&str, &str) = ("win-ops", "log-forwarder");
/// How long the operator must write nothing.
const SILENCE: Duration = Duration::from_mins(1);
/// How long it must have written nothing before that is measured: counters are written a little later than decisions.
const CALM: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(500);

/// The nodes that get a release first: the real one, or else two simulated ones, one where there are few.
pub(super) fn canaries(cast: &Cast) -> Vec<String> {
    if cast.real.is_some() {
        return vec![real_node::NAME.to_owned()];
    }
    let second = (cast.options.nodes > 3).then(|| "win-0004".to_owned());
    ["win-0001".to_owned()].into_iter().chain(second).collect()
}

/// Applies the bad release, shows how it ends, and judges that.
pub(super) async fn play(cast: &Cast, say: &mut dyn FnMut(&str)) -> Result<(), DemoError> {
    say("");
    say("A bad release: log-forwarder 2.0 ends as soon as it starts. Nobody looks.");
    let before = read(&cast.bed).await?;
    apply(&cast.bed, "tests/fixtures/demo/bad-update", say).await?;
    let after = follow(cast, &before, say).await?;
    judge(&before, &after, cast.nodes(true), &canaries(cast))?;
    for failure in &after.failures {
        say(&format!(
            "blamed: {} ({}, exit code {}): {}",
            failure.node,
            failure.reason,
            failure
                .exit_code
                .map_or_else(|| "unknown".to_owned(), |code| code.to_string()),
            failure.message.as_deref().unwrap_or("no message")
        ));
    }
    let message = condition(&after, "Ready").map_or("", |ready| ready.message.as_str());
    say(&format!("{}/{}: {message}", TASK.0, TASK.1));
    silence(cast, say).await
}

async fn read(bed: &TestBed) -> Result<WindowsHostTaskStatus, DemoError> {
    let api = Api::<WindowsHostTask>::namespaced(bed.client(), TASK.0);
    Ok(status(&api.get(TASK.1).await?))
}

/// Shows the tasks until the bad release was taken back.
async fn follow(
    cast: &Cast,
    before: &WindowsHostTaskStatus,
    say: &mut dyn FnMut(&str),
) -> Result<WindowsHostTaskStatus, DemoError> {
    let start = Instant::now();
    let mut screen = Screen::new(std::io::stdout().is_terminal());
    loop {
        let mut seen = cast.look(false).await?;
        seen.tasks
            .retain(|task| task.metadata.name.as_deref() == Some(TASK.1));
        screen.show(&seen, start.elapsed(), say);
        let now = seen.tasks.first().map(status).unwrap_or_default();
        let is_new = now.update_revision != before.update_revision;
        let is_over = condition(&now, "Ready").is_some_and(|ready| ready.reason == "RolledBack");
        if is_new && is_over {
            return Ok(now);
        }
        if start.elapsed() > Duration::from_secs(cast.options.timeout) {
            return Err(DemoError::Timeout(
                cast.options.timeout,
                vec![format!("{}/{}", TASK.0, TASK.1)],
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What must be true after the rollback.
fn judge(
    before: &WindowsHostTaskStatus,
    after: &WindowsHostTaskStatus,
    nodes: i32,
    canaries: &[String],
) -> Result<(), DemoError> {
    let mut problems = Vec::new();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            problems.push(format!("{}/{} after the rollback: {what}", TASK.0, TASK.1));
        }
    };
    expect(
        after.stable_revision == before.stable_revision,
        "the stable revision should be the one before",
    );
    expect(
        after.failed_revision.is_some() && after.failed_revision == after.update_revision,
        "the failed revision should be remembered",
    );
    expect(
        after.healthy_nodes == Some(nodes),
        "every node should be healthy",
    );
    expect(
        after.updated_nodes == Some(0),
        "no node should have the bad release",
    );
    let blamed = after
        .failures
        .iter()
        .all(|failure| canaries.contains(&failure.node));
    expect(
        blamed && !after.failures.is_empty(),
        "a canary node should be blamed, and no other",
    );
    if problems.is_empty() {
        Ok(())
    } else {
        Err(DemoError::Unexpected(problems))
    }
}

/// Counts what the operator writes in a minute, by the API server's audit log: it must be nothing.
async fn silence(cast: &Cast, say: &mut dyn FnMut(&str)) -> Result<(), DemoError> {
    let mut reader = cast.bed.cluster.audit_reader();
    reader.skip_to_end()?;
    let start = Instant::now();
    let mut calm = Instant::now();
    while calm.elapsed() < CALM {
        if !writes(&mut reader)?.is_empty() {
            calm = Instant::now();
        }
        if start.elapsed() > Duration::from_secs(cast.options.timeout) {
            return Err(DemoError::Timeout(
                cast.options.timeout,
                vec![format!("{}/{}", TASK.0, TASK.1)],
            ));
        }
        tokio::time::sleep(POLL).await;
    }
    let seconds = SILENCE.as_secs();
    say(&format!(
        "Now nothing should be written. Counting for {seconds} s"
    ));
    tokio::time::sleep(SILENCE).await;
    let written = writes(&mut reader)?;
    say(&format!(
        "{} writes in {seconds} s (by the API server's audit log; Leases and Events left out)",
        written.len()
    ));
    if written.is_empty() {
        Ok(())
    } else {
        Err(DemoError::Unexpected(written))
    }
}

/// What the operator wrote since the last look.
fn writes(reader: &mut AuditReader) -> Result<Vec<String>, DemoError> {
    let events = reader.read()?.into_iter().filter(|event| {
        event.user.ends_with(":hosttask-operator") && event.is_write() && !event.is_event_or_lease()
    });
    Ok(events
        .map(|event| {
            format!(
                "{} {} {}/{}",
                event.verb, event.resource, event.namespace, event.name
            )
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hosttask_crds::task::NodeFailure;

    fn rolled_back() -> (WindowsHostTaskStatus, WindowsHostTaskStatus) {
        let before = WindowsHostTaskStatus {
            stable_revision: Some("one".into()),
            update_revision: Some("one".into()),
            ..WindowsHostTaskStatus::default()
        };
        let failure = NodeFailure {
            node: "win-0004".into(),
            ..NodeFailure::default()
        };
        let after = WindowsHostTaskStatus {
            update_revision: Some("two".into()),
            failed_revision: Some("two".into()),
            healthy_nodes: Some(12),
            updated_nodes: Some(0),
            failures: vec![failure],
            ..before.clone()
        };
        (before, after)
    }

    #[test]
    fn a_rollback_with_a_blamed_canary_node_is_what_is_asked_for() {
        let (before, after) = rolled_back();
        judge(&before, &after, 12, &["win-0004".to_owned()]).unwrap();
    }

    #[test]
    fn whatever_is_missing_is_named() {
        let (before, mut after) = rolled_back();
        after.failures[0].node = "win-0002".into();
        after.healthy_nodes = Some(11);
        let judged = judge(&before, &after, 12, &["win-0004".to_owned()]);
        let text = judged.unwrap_err().to_string();
        assert!(
            text.contains("canary node") && text.contains("healthy"),
            "{text}"
        );
    }
}
