//! Time and allocations of one plan, from 50 to 50,000 nodes, in the middle of a rollout and at rest.
//!
//! `cargo bench -p hosttask-tests --bench plan`
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench prints its figures; they are far below 2^52"
)]

use std::alloc::System;
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use hosttask_operator::desired::{Amount, Desired, Operator, Requirement, TaskKey, Wave};
use hosttask_operator::observed::{DaemonSetState, NodeView, Observed, PodView, RevisionView};
use hosttask_operator::plan::{Action, plan};
use hosttask_operator::validate::{InputsView, TaskInput, validate};
use hosttask_operator::{build, revision};
use jiff::Timestamp;
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The fleets that are compared.
const FLEETS: [usize; 4] = [50, 500, 5_000, 50_000];
/// Nodes that were started and are not ready yet.
const IN_FLIGHT: usize = 25;
/// How long a fleet is measured at least.
const SPAN: Duration = Duration::from_millis(500);

/// What one plan costs.
#[derive(Clone, Copy)]
struct Cost {
    micros: f64,
    allocations: f64,
    kilobytes: f64,
}

/// Where the fleet stands.
#[derive(Clone, Copy, PartialEq)]
enum Scene {
    /// Half of the nodes are done, 25 are in flight, the rest waits.
    Rolling,
    /// Every node is done.
    AtRest,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!(
        "waves scene     nodes     µs/plan  allocations    kB/plan   ns/node  allocations/node"
    );
    for waves in [1, 4] {
        for scene in [Scene::Rolling, Scene::AtRest] {
            let mut costs = Vec::new();
            for nodes in FLEETS {
                let cost = measure(nodes, waves, scene)?;
                let name = match scene {
                    Scene::Rolling => "rolling",
                    Scene::AtRest => "at rest",
                };
                println!(
                    "{waves:>5} {name} {nodes:>9} {:>11.1} {:>12.0} {:>10.1} {:>9.0} {:>9.2}",
                    cost.micros,
                    cost.allocations,
                    cost.kilobytes,
                    cost.micros * 1000.0 / nodes as f64,
                    cost.allocations / nodes as f64,
                );
                costs.push(cost);
            }
            if let [small, _, _, large] = costs.as_slice() {
                println!(
                    "      50 to 50,000 nodes, 1,000 times as many: time x{:.0}, allocations x{:.0}",
                    large.micros / small.micros,
                    large.allocations / small.allocations
                );
            }
        }
    }
    Ok(())
}

fn measure(nodes: usize, waves: usize, scene: Scene) -> Result<Cost, Box<dyn Error>> {
    let now: Timestamp = "2026-01-01T12:00:00Z".parse()?;
    let (desired, observed) = situation(nodes, waves, scene, now)?;
    let planned = plan(&desired, &observed, now);
    let starts = |action: &&Action| matches!(action, Action::DeletePod { .. });
    assert_eq!(
        planned.actions.iter().filter(starts).count(),
        0,
        "the budget is used up: nothing is started"
    );
    let region = Region::new(ALLOCATOR);
    let start = Instant::now();
    let mut plans = 0_u32;
    while start.elapsed() < SPAN || plans < 5 {
        black_box(plan(black_box(&desired), black_box(&observed), now));
        plans += 1;
    }
    let (time, change) = (start.elapsed(), region.change());
    let plans = f64::from(plans);
    Ok(Cost {
        micros: time.as_secs_f64() * 1e6 / plans,
        allocations: (change.allocations + change.reallocations) as f64 / plans,
        kilobytes: change.bytes_allocated as f64 / 1e3 / plans,
    })
}

/// A task of an ordinary size; `content` tells two of its revisions apart.
fn task(content: &str, waves: usize) -> Result<Desired, Box<dyn Error>> {
    let key = TaskKey {
        namespace: "monitoring".to_owned(),
        name: "windows-exporter".to_owned(),
    };
    let variables: Vec<_> = (0..10)
        .map(|at| json!({ "name": format!("SETTING_{at}"), "value": format!("value {at}") }))
        .collect();
    let spec = json!({
        "mode": "Daemon",
        "runAs": { "account": "System" },
        "template": { "spec": { "containers": [{
            "name": "main",
            "image": format!("registry.example/windows-exporter:{content}"),
            "env": variables,
            "resources": { "limits": { "memory": "200Mi" } },
        }] } },
        "rollout": { "maxUnavailable": IN_FLIGHT, "minReadySeconds": 10 },
    });
    let input = TaskInput {
        key: &key,
        uid: "7b5c1f3e-0000-4000-8000-000000000001",
        generation: 3,
        spec: &spec,
    };
    let mut desired =
        validate(&input, &InputsView::default()).map_err(|problems| format!("{problems:?}"))?;
    desired.waves = (1..waves)
        .map(|at| Wave {
            name: format!("wave-{at}"),
            requirements: vec![Requirement {
                key: "wave".to_owned(),
                operator: Operator::In,
                values: vec![at.to_string()],
            }],
            max_unavailable: Some(Amount::Count(i32::try_from(IN_FLIGHT).unwrap_or(i32::MAX))),
            ..Wave::rest()
        })
        .chain([Wave::rest()])
        .collect();
    Ok(desired)
}

fn situation(
    nodes: usize,
    waves: usize,
    scene: Scene,
    now: Timestamp,
) -> Result<(Desired, Observed), Box<dyn Error>> {
    let (before, desired) = (task("1.0", waves)?, task("1.1", waves)?);
    let name = |task: &Desired| revision::name(&task.key.name, &task.content.raw, 0);
    let (old, new) = (name(&before), name(&desired));
    let mut observed = Observed {
        created: now,
        stable_content: Some(before.content.clone()),
        ..Observed::default()
    };
    for (number, task) in (1_i64..).zip([&before, &desired]) {
        observed.revisions.push(RevisionView {
            name: name(task),
            uid: format!("revision-{number}"),
            number,
            digest: revision::digest(&task.content.raw),
            ours: true,
        });
    }
    // The first wave is under way: it has the new template, and the later ones the old.
    let rolling = scene == Scene::Rolling;
    for (at, wave) in desired.waves.iter().enumerate() {
        let is_new = at == 0 || !rolling;
        let (content, revision) = if is_new {
            (&desired.content, &new)
        } else {
            (&before.content, &old)
        };
        let set = build::daemon_set(&desired, at, content, revision);
        observed.daemon_sets.push(DaemonSetState {
            name: revision::daemon_set_name(&desired.key.name, &wave.name),
            uid: format!("set-{at}"),
            applied: build::applied(&set).to_owned(),
            revision: revision.clone(),
            settled: true,
            wave: wave.name.clone(),
            layout: revision::layout(&desired.waves),
            ..DaemonSetState::default()
        });
    }
    observed.daemon_sets.sort_by(|a, b| a.name.cmp(&b.name));
    let long_ago: Timestamp = "2026-01-01T00:00:00Z".parse()?;
    let first = nodes / waves;
    for at in 0..nodes {
        let wave = (at / first.max(1)).min(waves - 1);
        let in_flight = rolling && wave == 0 && (first / 2..first / 2 + IN_FLIGHT).contains(&at);
        let done = !rolling || (wave == 0 && at < first / 2);
        observed.nodes.push(NodeView {
            name: format!("aks-win-{at:05}"),
            uid: format!("9d2f6c1a-0000-4000-8000-{at:012}"),
            ready: true,
            ready_changed: Some(long_ago),
            system_uuid: format!("4c4c4544-0000-4000-8000-{at:012}"),
            boot_id: "boot".to_owned(),
            wave,
            ..NodeView::default()
        });
        observed.pods.push(PodView {
            name: format!("windows-exporter-{at:05}"),
            uid: format!("1a2b3c4d-0000-4000-8000-{at:012}"),
            resource_version: (1_000_000 + at).to_string(),
            node: format!("aks-win-{at:05}"),
            revision: if done || in_flight { &new } else { &old }.clone(),
            wave: desired
                .waves
                .get(wave)
                .map_or_else(String::new, |wave| wave.name.clone()),
            created: if in_flight { now } else { long_ago },
            ready_since: (!in_flight).then_some(long_ago),
            started: true,
            ..PodView::default()
        });
    }
    // The status that this situation has, in which the plan changes nothing any more.
    observed.status.stable_revision = Some(if rolling { old } else { new });
    for _ in 0..3 {
        observed.status = plan(&desired, &observed, now).status;
    }
    Ok((desired, observed))
}
