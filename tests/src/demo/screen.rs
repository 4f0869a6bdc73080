//! The live picture of the tasks: a table that is drawn again in place on a terminal, a log line per change elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{Table, presets};
use hosttask_crds::task::WindowsHostTask;
use hosttask_crds::{WindowsHostNode, WindowsHostNodeStatus};

use super::jobs::Job;
use crate::bed::condition;

/// What there is to show.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) tasks: Vec<WindowsHostTask>,
    /// The ledgers.
    pub(super) nodes: Vec<WindowsHostNode>,
    /// The job objects of the real node.
    pub(super) jobs: Vec<Job>,
}

/// What is shown now.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: bool,
    lines: usize,
    last: BTreeMap<String, String>,
}

impl Screen {
    /// A table in place if `terminal`, else log lines.
    pub(super) fn new(terminal: bool) -> Self {
        Self {
            terminal,
            lines: 0,
            last: BTreeMap::new(),
        }
    }

    /// Shows the tasks, the nodes' ledgers and the real node's job objects as they are.
    pub(super) fn show(&mut self, seen: &Seen, elapsed: Duration, say: &mut dyn FnMut(&str)) {
        if self.terminal {
            self.draw(seen, elapsed, say);
        } else {
            self.log(seen, elapsed, say);
        }
    }

    fn draw(&mut self, seen: &Seen, elapsed: Duration, say: &mut dyn FnMut(&str)) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "TASK", "MODE", "READY", "PROGRESS", "HEALTHY", "FAILED", "WAVE", "WAITING", "REASON",
        ]);
        for task in &seen.tasks {
            table.add_row(row(task));
        }
        let mut parts = vec![table.to_string()];
        if !seen.nodes.is_empty() {
            parts.push(format!(" {}", ledgers(&seen.nodes)));
        }
        if !seen.jobs.is_empty() {
            parts.push(job_table(&seen.jobs).to_string());
        }
        parts.push(format!("{:>4.0} s", elapsed.as_secs_f32()));
        let text = parts.join("\n");
        let up = if self.lines > 0 {
            format!("\x1b[{}A", self.lines)
        } else {
            String::new()
        };
        let cleared: Vec<String> = text
            .lines()
            .map(|line| format!("\x1b[2K{}", line.trim_end()))
            .collect();
        // Jobs come and go: what is left of a longer picture goes too.
        say(&format!("{up}{}\x1b[J", cleared.join("\n")));
        self.lines = cleared.len();
    }

    fn log(&mut self, seen: &Seen, elapsed: Duration, say: &mut dyn FnMut(&str)) {
        let mut lines = Vec::new();
        if !seen.nodes.is_empty() {
            lines.push(("nodes".to_owned(), ledgers(&seen.nodes)));
        }
        for task in &seen.tasks {
            let [
                name,
                mode,
                ready,
                progress,
                healthy,
                failed,
                wave,
                _,
                reason,
            ] = row(task);
            let line = format!(
                "{name} ({mode}): {reason}, wave {wave}, {progress} updated, {healthy} healthy, {failed} failed, Ready={ready}"
            );
            lines.push((name, line));
        }
        for (name, line) in lines {
            self.tell(name, line.clone(), &line, elapsed, say);
        }
        for job in &seen.jobs {
            // Numbers change all the time: they are told along when something else does.
            let matters = format!("{}{}", job.state, job.list());
            self.tell(job.id.clone(), matters, &job_line(job), elapsed, say);
        }
    }

    /// Says the line of `name` when what matters about it is new.
    fn tell(
        &mut self,
        name: String,
        matters: String,
        line: &str,
        elapsed: Duration,
        say: &mut dyn FnMut(&str),
    ) {
        if self.last.get(&name) != Some(&matters) {
            say(&format!("{:>6.1} s  {line}", elapsed.as_secs_f32()));
            self.last.insert(name, matters);
        }
    }
}

fn job_table(jobs: &[Job]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "JOB OBJECT",
        "CONTAINER",
        "STATE",
        "PROCESSES",
        "MEMORY",
        "CPU",
        "PROGRAMS",
    ]);
    for job in jobs {
        table.add_row([
            short(job),
            job.container.clone(),
            job.state.clone(),
            job.processes().to_string(),
            memory(job),
            processor(job),
            job.list(),
        ]);
    }
    table
}

fn job_line(job: &Job) -> String {
    let name = format!("{} of {}", short(job), job.container);
    if job.processes() == 0 {
        return format!("{name}: {}", job.state);
    }
    format!(
        "{name}: {}, {} processes ({}), {} of memory, {} of processor time",
        job.state,
        job.processes(),
        job.list(),
        memory(job),
        processor(job)
    )
}

/// The beginning of the name of the job object, as long as people read it.
fn short(job: &Job) -> String {
    format!("hosttask-{}…", job.id.chars().take(8).collect::<String>())
}

fn memory(job: &Job) -> String {
    job.memory.map_or_else(
        || "-".to_owned(),
        |bytes| format!("{} MiB", bytes / 1024 / 1024),
    )
}

fn processor(job: &Job) -> String {
    format!("{:.2} s", job.processor.as_secs_f32())
}

/// What the nodes' ledgers say, in one line.
fn ledgers(nodes: &[WindowsHostNode]) -> String {
    let names = |is_one: fn(&WindowsHostNodeStatus) -> bool| {
        let found = nodes
            .iter()
            .filter(|node| node.status.as_ref().is_some_and(is_one))
            .filter_map(|node| node.metadata.name.as_deref());
        let found: Vec<&str> = found.collect();
        if found.is_empty() {
            "none".to_owned()
        } else {
            found.join(", ")
        }
    };
    format!(
        "nodes with results: {}; reboot required: {}; failed: {}",
        nodes.len(),
        names(|status| status.reboot_required == Some(true)),
        names(|status| status.failed_tasks > Some(0)),
    )
}

/// A bar and the numbers behind it.
fn bar(done: i32, all: i32) -> String {
    const WIDTH: i32 = 12;
    let filled = if all > 0 { done * WIDTH / all } else { 0 };
    let part = |sign: &str, count: i32| sign.repeat(usize::try_from(count).unwrap_or(0));
    format!(
        "{}{} {done}/{all}",
        part("█", filled),
        part("░", WIDTH - filled)
    )
}

fn row(task: &WindowsHostTask) -> [String; 9] {
    let status = task.status.clone().unwrap_or_default();
    let ready = condition(&status, "Ready");
    let count = |value: Option<i32>| value.unwrap_or(0);
    [
        format!(
            "{}/{}",
            task.metadata.namespace.as_deref().unwrap_or_default(),
            task.metadata.name.as_deref().unwrap_or_default()
        ),
        format!("{:?}", task.spec.mode),
        ready.map_or_else(|| "-".to_owned(), |c| c.status.clone()),
        bar(count(status.updated_nodes), count(status.desired_nodes)),
        count(status.healthy_nodes).to_string(),
        count(status.failed_nodes).to_string(),
        status.wave.as_ref().map_or_else(
            || "-".to_owned(),
            |wave| format!("{} {}/{}", wave.name, wave.index + 1, wave.total),
        ),
        status
            .wave
            .as_ref()
            .and_then(|wave| wave.waiting)
            .map_or_else(|| "-".to_owned(), |waiting| format!("{waiting:?}")),
        ready.map_or_else(|| "Pending".to_owned(), |c| c.reason.clone()),
    ]
}
