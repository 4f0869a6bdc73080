//! The command line of `hosttask`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hosttask_crds::task::Mode;
use jiff::Timestamp;
use serde_json::json;

use super::{
    Fault, FleetError, Pace, Report, Setting, Share, Span, TaskFile, TaskFileError, VirtualNode,
    invent, picture, read_fleet, simulate, text, words,
};
use crate::desired::Desired;
use crate::validate::Problem;

/// Looks at Hosttask tasks without a cluster.
#[derive(Clone, Debug, Parser)]
#[command(name = "hosttask", version)]
pub struct Command {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum What {
    /// Show how a task would roll out: the operator's own decisions over virtual Windows nodes and a virtual clock
    ///
    /// Without --from, the task is rolled out for the first time and then updated to another content of the same task. Nothing
    /// is contacted, nothing is written but --svg. The same arguments give the same outcome.
    ///
    /// Exit codes: 0 when the task could be simulated, however its rollout ended; 2 when the task has problems, all of which
    /// are printed with field, value and fix; 1 for everything else.
    #[command(verbatim_doc_comment, after_help = EXAMPLES)]
    Simulate(Box<Simulate>),
}

const EXAMPLES: &str = "Examples:
  hosttask simulate -f task.yaml --nodes 500 --svg rollout.svg
  hosttask simulate -f task.yaml --label ring=canary:5 --fail 'nodes=20%,how=crash,code=1603'
  hosttask simulate -f new.yaml --from old.yaml --fleet nodes.yaml -o json     # kubectl get nodes -o yaml > nodes.yaml
Failure scripts (--fail, more than once; the first that fits a node decides):
  how=crash | never-ready | image | slow | breaks | node-lost | condition | dead
  nodes=all | 5 | 2% | win-00001 | win-000*    where=LABEL=VALUE    revision=new | old | any
  after=30s    for=10m    code=1603    message=TEXT    times=1 (only the first pod or attempt on a node)";

/// What to simulate.
#[derive(Clone, Debug, Args)]
pub struct Simulate {
    /// The file with the task; other documents in it are skipped
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub file: PathBuf,
    /// The task's name, where the file has several
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// The file with the task as it runs now: only the update from it is simulated
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Only the first rollout of the task, no update
    #[arg(long, conflicts_with = "from")]
    pub first: bool,
    /// How many nodes to invent; a wave that no --label speaks of gets 5 % of them
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub nodes: usize,
    /// The nodes, as `groups: [{ count: 200, labels: { ring: canary } }]` or as `kubectl get nodes -o yaml` prints them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nodes", "label"])]
    pub fleet: Option<PathBuf>,
    /// A label that some of the invented nodes have, as KEY=VALUE:COUNT or KEY=VALUE:PERCENT%
    #[arg(long, value_name = "SHARE")]
    pub label: Vec<Share>,
    /// What goes wrong, such as 'revision=new,nodes=2%,how=crash'; see below
    #[arg(long, value_name = "FAULT")]
    pub fail: Vec<Fault>,
    /// Makes another run of the same arguments
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long a pod takes until it is ready
    #[arg(long, value_name = "TIME..TIME", default_value = "20s..60s")]
    pub start: Span,
    /// How long a pod takes to stop
    #[arg(long, value_name = "TIME..TIME", default_value = "2s..10s")]
    pub stop: Span,
    /// How long a program of a Job runs
    #[arg(long, value_name = "TIME..TIME", default_value = "30s..2m")]
    pub run: Span,
    /// When the first simulated rollout begins, for maintenance windows and schedules
    #[arg(long, value_name = "TIME", default_value = "2026-01-05T08:00:00Z")]
    pub begin: Timestamp,
    /// After which time a rollout is given up [default: 30 days; 1 day for mode Scheduled]
    #[arg(long, value_name = "TIME", value_parser = words::seconds)]
    pub limit: Option<u64>,
    /// How long somebody takes to approve a wave that asks for it, or `never`
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = approval)]
    pub approve_after: Approve,
    /// The form of the outcome
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value_t = Form::Text)]
    pub output: Form,
    /// Also draw the last rollout, nodes over time by state, into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// The form of the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    Text,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// How long somebody takes to approve; none: nobody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approve(Option<u64>);

fn approval(text: &str) -> Result<Approve, String> {
    if text == "never" {
        return Ok(Approve(None));
    }
    words::seconds(text).map(|seconds| Approve(Some(seconds)))
}

/// Why a simulation was not made.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A file cannot be read or written.
    #[error("failed to {what} {path}: {source}")]
    File {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A task file is no task file.
    #[error("{path}: {source}")]
    Task {
        /// The file.
        path: String,
        /// Why.
        source: TaskFileError,
    },
    /// The fleet cannot be used.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The outcome cannot be printed as JSON.
    #[error("failed to print the outcome as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The outcome cannot be printed as YAML.
    #[error("failed to print the outcome as YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

impl CommandError {
    /// 2 for a task with problems, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Task {
                source: TaskFileError::Problems { .. },
                ..
            } => 2,
            Self::Task { .. }
            | Self::File { .. }
            | Self::Fleet(_)
            | Self::Json(_)
            | Self::Yaml(_) => 1,
        }
    }

    /// The problems of the task, one a line, with field, value and fix; else what went wrong.
    pub fn lines(&self) -> Vec<String> {
        let Self::Task {
            path,
            source: TaskFileError::Problems { task, problems },
        } = self
        else {
            return vec![self.to_string()];
        };
        let mut lines = vec![format!("{path}: problems in {task}: {}", problems.len())];
        lines.extend(problems.iter().map(problem));
        lines
    }
}

fn problem(problem: &Problem) -> String {
    match &problem.value {
        Some(value) => format!("  {}: {value}: {}", problem.field, problem.message),
        None => format!("  {}: {}", problem.field, problem.message),
    }
}

impl Simulate {
    /// Reads the files, simulates, and returns what to print.
    ///
    /// # Errors
    /// A file cannot be used, or the task has problems.
    pub fn run(&self) -> Result<String, CommandError> {
        let desired = task(&self.file, self.task.as_deref())?;
        let from = match &self.from {
            Some(path) => Some(task(path, self.task.as_deref())?),
            None => None,
        };
        let report = simulate(&Setting {
            fleet: self.fleet(&desired)?,
            limit: self.limit(&desired),
            desired,
            from,
            first_only: self.first,
            faults: self.fail.clone(),
            pace: Pace {
                start: self.start,
                stop: self.stop,
                run: self.run,
            },
            seed: self.seed,
            begin: self.begin,
            approve_after: self.approve_after.0.map(Duration::from_secs),
        });
        if let (Some(path), Some(rollout)) = (&self.svg, report.rollouts.last()) {
            let written = std::fs::write(path, picture(&report, rollout));
            written.map_err(|source| file("write", path, source))?;
        }
        self.print(&report)
    }

    fn limit(&self, desired: &Desired) -> Duration {
        let days = if desired.mode == Mode::Scheduled {
            1
        } else {
            30
        };
        self.limit
            .map_or_else(|| Duration::from_hours(24 * days), Duration::from_secs)
    }

    fn fleet(&self, desired: &Desired) -> Result<Vec<VirtualNode>, CommandError> {
        let Some(path) = &self.fleet else {
            return Ok(invent(self.nodes, &self.label, desired)?);
        };
        Ok(read_fleet(&read(path)?)?)
    }

    fn print(&self, report: &Report) -> Result<String, CommandError> {
        Ok(match self.output {
            Form::Text => text(report),
            Form::Json => format!("{}\n", serde_json::to_string_pretty(report)?),
            Form::Yaml => serde_saphyr::to_string(report)?,
        })
    }
}

/// The problems of a task as JSON, for `-o json`.
pub fn problems_as_json(error: &CommandError) -> Option<String> {
    let CommandError::Task {
        source: TaskFileError::Problems { task, problems },
        ..
    } = error
    else {
        return None;
    };
    let each = problems
        .iter()
        .map(|it| json!({ "field": it.field, "value": it.value, "message": it.message }));
    let all = json!({ "task": task, "problems": each.collect::<Vec<_>>() });
    serde_json::to_string_pretty(&all).ok()
}

fn task(path: &Path, wanted: Option<&str>) -> Result<Desired, CommandError> {
    TaskFile::read(&read(path)?, wanted)
        .map(|file| file.desired)
        .map_err(|source| CommandError::Task {
            path: path.display().to_string(),
            source,
        })
}

/// The content of a file, or of standard input for `-`.
fn read(path: &Path) -> Result<String, CommandError> {
    let content = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    content.map_err(|source| file("read", path, source))
}

fn file(what: &'static str, path: &Path, source: std::io::Error) -> CommandError {
    CommandError::File {
        what,
        path: path.display().to_string(),
        source,
    }
}
