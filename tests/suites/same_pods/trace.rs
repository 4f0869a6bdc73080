//! The normal form of what was seen of a pod: what does not depend on how fast a node is and how often it was looked at.
//!
//! - Each fact of a pod (its phase, each condition, each container's state and whether it is ready) is a sequence of its
//!   own, so it does not matter which of two containers moved first.
//! - A fact that stays as it was is told once.
//! - A kubelet reports what is so when it reports: what came and went in between is missing. Where a later status proves
//!   it, it is filled in: a container that ended had run (but for one that never started), what it shows as its last
//!   state it had ended with, and a pod with a regular container that ran had been `Running` before its end.
//!   A pod with a container in the runtime had a sandbox, and one that is over has none any more, also where it is deleted
//!   before its kubelet says so.
//! - Of a container that is started again at once, the run before may have come and gone between two looks: only its last run
//!   is told, of the two that are followed.
//! - A container that is started again and again is followed for two runs: how many there are before the pod is deleted is a
//!   matter of time. So is when a kubelet shows `CrashLoopBackOff`, which it does when it looks again; that it did is a
//!   fact of its own.
//! - That a container waits to be created is told only at first: where the kubelet gives up on one whose image or settings
//!   are refused, it may say so once more.
//! - Times, identifiers, addresses and texts are left out, but for the termination message of a program that ran.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// The condition that a pod's sandbox is there.
const SANDBOX: &str = "PodReadyToStartContainers";
/// The last run of a container that is compared.
const LAST_RUN: i64 = 1;

/// The sequence of each fact of a pod.
pub(crate) type Trace = BTreeMap<String, Vec<String>>;

/// A fact of a pod that the two nodes told differently.
pub(crate) struct Difference {
    /// The pod.
    pub(crate) pod: String,
    /// The fact: `phase`, `condition Ready`, `state main`, `ready main`, `back-off main`.
    pub(crate) fact: String,
    simulated: Vec<String>,
    real: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "{}, {}:", self.pod, self.fact)?;
        writeln!(to, "  simulated: {}", self.simulated.join(" → "))?;
        write!(to, "  real:      {}", self.real.join(" → "))
    }
}

/// The facts that two nodes told differently.
pub(crate) fn differences(pod: &str, simulated: &Trace, real: &Trace) -> Vec<Difference> {
    let mut facts: Vec<&String> = simulated.keys().chain(real.keys()).collect();
    facts.sort();
    facts.dedup();
    let of = |trace: &Trace, fact: &str| trace.get(fact).cloned().unwrap_or_default();
    let both = facts.into_iter().map(|fact| Difference {
        pod: pod.to_owned(),
        fact: fact.clone(),
        simulated: of(simulated, fact),
        real: of(real, fact),
    });
    both.filter(|it| it.simulated != it.real).collect()
}

/// The normal form of the statuses of a pod, in the order in which they were seen.
pub(crate) fn normal(statuses: &[Value]) -> Trace {
    let mut trace = Trace::new();
    for status in statuses {
        for list in ["initContainerStatuses", "containerStatuses"] {
            for container in status[list].as_array().into_iter().flatten() {
                tell_container(&mut trace, container);
            }
        }
        for condition in status["conditions"].as_array().into_iter().flatten() {
            let fact = format!("condition {}", text(&condition["type"]));
            if condition["type"] == SANDBOX && has_container(status) {
                fill(&mut trace, &fact, "True".to_owned());
            }
            let value = [text(&condition["status"]), text(&condition["reason"])];
            tell(&mut trace, fact, value.join(" ").trim_end().to_owned());
        }
        let phase = [text(&status["phase"]), text(&status["reason"])];
        if is_over(status) && has_run(status) {
            fill(&mut trace, "phase", "Running".to_owned());
        }
        tell(
            &mut trace,
            "phase".to_owned(),
            phase.join(" ").trim_end().to_owned(),
        );
    }
    let sandbox = trace.get_mut(&format!("condition {SANDBOX}"));
    let sandbox = sandbox.filter(|told| told.last().is_some_and(|last| last == "True"));
    if let Some(told) = sandbox.filter(|_| statuses.last().is_some_and(is_over)) {
        told.push("False PodSandboxNotReady".to_owned());
    }
    keep_last_runs(&mut trace);
    trace
}

/// Leaves out the runs of a container that were followed by another.
fn keep_last_runs(trace: &mut Trace) {
    let states = trace
        .iter_mut()
        .filter(|(fact, _)| fact.starts_with("state "));
    for (_, told) in states {
        let run = |value: &String| value.split(' ').next().and_then(|it| it.parse().ok());
        let last: Option<i64> = told.iter().filter_map(run).max();
        told.retain(|value| value.contains(" waiting ") || run(value) == last);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_over(status: &Value) -> bool {
    matches!(text(&status["phase"]), "Succeeded" | "Failed")
}

/// Whether the runtime has a container of the pod.
fn has_container(status: &Value) -> bool {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let all = lists.iter().filter_map(|list| status[list].as_array());
    all.flatten().any(|it| it["containerID"].is_string())
}

/// Whether all regular containers of an ended pod had a process.
fn has_run(status: &Value) -> bool {
    let all = status["containerStatuses"].as_array();
    all.is_some_and(|all| all.iter().all(|it| ran(&it["state"]["terminated"])))
}

/// Whether an end is that of a process, and not of a start that failed or of a container that never was.
fn ran(end: &Value) -> bool {
    matches!(text(&end["reason"]), "Completed" | "Error")
}

/// Adds a value to a fact unless it is the last one already.
fn tell(trace: &mut Trace, fact: String, value: String) {
    let told = trace.entry(fact).or_default();
    if told.last() != Some(&value) {
        told.push(value);
    }
}

/// Adds a value that must have been there, unless it was seen.
fn fill(trace: &mut Trace, fact: &str, value: String) {
    let told = trace.entry(fact.to_owned()).or_default();
    if !told.contains(&value) {
        told.push(value);
    }
}

fn tell_container(trace: &mut Trace, container: &Value) {
    let name = text(&container["name"]);
    let run = container["restartCount"].as_i64().unwrap_or_default();
    let fact = format!("state {name}");
    let state = &container["state"];
    let before = &container["lastState"]["terminated"];
    if before.is_object() {
        // A container that waits for its next run counts that run only when it has begun.
        let of = if state["waiting"].is_object() {
            run
        } else {
            run - 1
        };
        fill_end(trace, &fact, of, before);
    }
    if text(&state["waiting"]["reason"]) == "CrashLoopBackOff" {
        fill(trace, &format!("back-off {name}"), "seen".to_owned());
    } else if state["running"].is_object() {
        tell_run(trace, &fact, run, "running");
    } else if state["terminated"].is_object() {
        fill_end(trace, &fact, run, &state["terminated"]);
    } else {
        let reason = text(&state["waiting"]["reason"]);
        let is_new = matches!(reason, "ContainerCreating" | "PodInitializing");
        if !is_new || !trace.contains_key(&fact) {
            tell_run(trace, &fact, run, &format!("waiting {reason}"));
        }
    }
    tell(
        trace,
        format!("ready {name}"),
        container["ready"].to_string(),
    );
}

/// Tells a state of a run.
fn tell_run(trace: &mut Trace, fact: &str, run: i64, state: &str) {
    if run <= LAST_RUN {
        tell(trace, fact.to_owned(), format!("{run} {state}"));
    }
}

/// Tells the end of a run, which was a run before.
fn fill_end(trace: &mut Trace, fact: &str, run: i64, end: &Value) {
    if run > LAST_RUN {
        return;
    }
    if ran(end) {
        fill(trace, fact, format!("{run} running"));
    }
    let mut value = format!("{run} {} {}", text(&end["reason"]), end["exitCode"]);
    if ran(end) && end["message"].is_string() {
        value = format!("{value} {:?}", text(&end["message"]).trim_end());
    }
    fill(trace, fact, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(phase: &str, state: &Value, restarts: i64, last: &Value) -> Value {
        json!({ "phase": phase, "containerStatuses": [{ "name": "main", "state": state,
            "restartCount": restarts, "lastState": last, "ready": false }] })
    }

    #[test]
    fn what_a_later_status_proves_is_filled_in_and_what_stays_is_told_once() {
        let waiting = json!({ "waiting": { "reason": "ContainerCreating" } });
        let end = |code: i32| json!({ "terminated": { "reason": "Error", "exitCode": code } });
        let back_off = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        let fast = [
            status("Pending", &waiting, 0, &json!({})),
            status("Pending", &waiting, 0, &json!({})),
            status("Running", &end(4), 1, &end(3)),
            status("Running", &back_off, 1, &end(4)),
            status("Running", &back_off, 2, &end(5)),
            status("Failed", &end(5), 2, &end(4)),
        ];
        let trace = normal(&fast);
        assert_eq!(trace["phase"], ["Pending", "Running", "Failed"]);
        assert_eq!(trace["back-off main"], ["seen"]);
        assert_eq!(
            trace["state main"],
            ["0 waiting ContainerCreating", "1 running", "1 Error 4"]
        );
    }

    #[test]
    fn a_start_that_failed_is_no_run_and_two_ways_to_report_it_differ() {
        let failed = json!({ "terminated": { "reason": "StartError", "exitCode": 128 } });
        let ended = json!({ "terminated": { "reason": "Error", "exitCode": 128 } });
        let of = |state: &Value| normal(&[status("Failed", state, 0, &json!({}))]);
        let (left, right) = (of(&failed), of(&ended));
        assert_eq!(left["phase"], ["Failed"]);
        assert_eq!(right["phase"], ["Running", "Failed"]);
        let facts: Vec<String> = differences("one", &left, &right)
            .into_iter()
            .map(|it| it.fact)
            .collect();
        assert_eq!(facts, ["phase", "state main"]);
        assert!(differences("one", &left, &left).is_empty());
    }
}
