//! `Create` and `Exec`: what a request and a config say, made into a task or a process of one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use containerd_shim_protos::api::{
    CreateTaskRequest, CreateTaskResponse, ExecProcessRequest, Mount as Given,
};

use super::config::{Config, Role};
use super::events::Birth;
use super::failure::Failure;
use super::held::{self, Held, exec_id};
use super::packed::Expected;
use super::process::Named;
use super::sandbox::{self, Sandbox};
use super::tasks::Task;
use super::{Shim, groups, options, posix};
use crate::container::{self, Container, Kind, Stdio};
use crate::id::Id;
use crate::launch::{self, Context, Plan};
use crate::limits::Limits;
use crate::shim::rootfs;
use crate::shim::streams::{self, StreamsRequest};
use crate::sys::{Job, Rules};

/// What a request says about a process that is added.
const PROCESS: Expected = Expected {
    field: "spec",
    kind: "Process",
    rule: "send the OCI process to start",
};

impl Shim {
    /// Makes a task. Nothing is left of one that cannot be made.
    pub(super) fn create(&self, request: CreateTaskRequest) -> Result<CreateTaskResponse, Failure> {
        let id = name("id", &request.id)?;
        if !request.checkpoint.is_empty() || !request.parent_checkpoint.is_empty() {
            return Err(Failure::Never(
                "no container of Windows can be restored from a checkpoint; leave it out",
            ));
        }
        let reserved = self.tasks.reserve(&id)?;
        let bundle = PathBuf::from(&request.bundle);
        let config = Config::read(&bundle, self.rules())?;
        let (task, pod) = match config.role(&id)? {
            Role::Pod => (self.create_pod(&id, &config, request)?, None),
            Role::Alone => {
                let pod = self.tasks.pod();
                if id != self.id && pod.is_none() {
                    let own = self.id.clone();
                    return Err(Failure::OtherShim { own, id });
                }
                let task = self.create_container(&id, config, pod.as_deref(), request)?;
                (task, pod)
            }
            Role::Member(of) => {
                let pod = self.tasks.pod().filter(|pod| pod.id().as_str() == of);
                let Some(pod) = pod else {
                    return Err(Failure::NoPod { id, pod: of });
                };
                let task = self.create_container(&id, config, Some(&pod), request)?;
                (task, Some(pod))
            }
        };
        let pid = match &task {
            Task::Pod(pod) => pod.pid(),
            Task::Container(_) => 0,
        };
        if reserved.fill(task.clone()) {
            self.remove_given_up(&task);
            return Err(Failure::TooLate);
        }
        if let (Task::Container(held), Some(pod)) = (&task, &pod) {
            self.keep_in(pod, held)?;
        }
        Ok(CreateTaskResponse {
            pid,
            ..CreateTaskResponse::default()
        })
    }

    /// A task that somebody wanted away while it was made: nobody knows of it. Where it cannot be removed, its name says so to
    /// whoever asks next.
    fn remove_given_up(&self, task: &Task) {
        match task {
            Task::Pod(pod) => drop(self.delete_pod(pod)),
            Task::Container(held) => drop(self.delete_container(held, Instant::now())),
        }
    }

    /// A container whose pod ended while it was made is removed: the deletion of the pod did not see it, and nobody else would.
    fn keep_in(&self, pod: &Sandbox, held: &Held) -> Result<(), Failure> {
        let Err(ended) = job_of(pod, held.container.id()) else {
            return Ok(());
        };
        // Where that fails, or the deletion of the pod was quicker, the name says so to whoever asks next.
        drop(self.delete_container(held, Instant::now()));
        Err(ended)
    }

    fn create_pod(
        &self,
        id: &Id,
        config: &Config,
        request: CreateTaskRequest,
    ) -> Result<Task, Failure> {
        if *id != self.id {
            let (own, id) = (self.id.clone(), id.clone());
            return Err(Failure::OtherShim { own, id });
        }
        config.check_host_process(self.rules())?;
        options::retry(request.options.as_ref())?;
        let limits = self.limits_of_pod(config)?;
        let job = container::pod_job(self.host.as_ref(), &self.store, id)?;
        if limits != Limits::default() {
            job.set_limits(&limits)
                .map_err(|source| container::Error::Host {
                    action: "set the limits of the pod",
                    source,
                })?;
        }
        let parts = sandbox::Parts {
            id: id.clone(),
            pid: self.pid(),
            job,
            birth: birth(request),
            annotations: config.annotations.clone(),
        };
        let pod = Sandbox::new(&self.host, &self.publisher, parts);
        Ok(Task::Pod(Arc::new(pod)))
    }

    fn limits_of_pod(&self, config: &Config) -> Result<Limits, Failure> {
        let Some(resources) = config.resources_of_pod()? else {
            return Ok(Limits::default());
        };
        let (features, places) = (self.host.features(), self.host.places());
        let asked = launch::update(&resources, &features, places.processors);
        asked.map_err(Failure::PodLimits)
    }

    fn create_container(
        &self,
        id: &Id,
        mut config: Config,
        pod: Option<&Sandbox>,
        request: CreateTaskRequest,
    ) -> Result<Task, Failure> {
        config.check_host_process(self.rules())?;
        let retry = options::retry(request.options.as_ref())?;
        let mut job = None;
        if let Some(pod) = pod {
            job = Some(job_of(pod, id)?);
            config.inherit(pod.annotations())?;
        }
        let bundle = PathBuf::from(&request.bundle);
        let mut plan = self.in_context(id, &bundle, |context| {
            launch::plan(&config.document, context)
        })?;
        place_root(&request.rootfs, self.rules(), &mut plan)?;
        check_terminal(request.terminal, plan.process.console.is_some())?;
        let birth = birth(request);
        let stdio = self.streams(id, None, &birth.streams, retry)?;
        let container = self.make(id, &bundle, &plan, &stdio, job.as_ref())?;
        let parts = held::Parts {
            plan,
            bundle,
            retry,
            birth,
        };
        let held = Held::new(container, parts, &self.publisher)?;
        Ok(Task::Container(Arc::new(held)))
    }

    /// Makes the container. What a dead shim left under its name is removed first.
    fn make(
        &self,
        id: &Id,
        bundle: &Path,
        plan: &Plan,
        stdio: &Stdio,
        pod: Option<&Arc<dyn Job>>,
    ) -> Result<Container, Failure> {
        let attempt = || {
            let options = container::Options {
                id: id.clone(),
                bundle: bundle.to_path_buf(),
                plan: plan.clone(),
                stdio: stdio.clone(),
                store: Arc::clone(&self.store),
                pod: pod.cloned(),
                keeper: self.keeper,
                address: None,
            };
            Container::create(Arc::clone(&self.host), options)
        };
        match attempt() {
            // What is held by a process that lives is not discarded.
            Err(error) if error.kind() == Kind::AlreadyExists => {
                let discarded = container::discard(self.host.as_ref(), &self.store, id, false);
                Ok(discarded.map_or(Err(error), |_| attempt())?)
            }
            tried => Ok(tried?),
        }
    }

    /// Adds a process to a container that runs.
    pub(super) fn exec(&self, request: ExecProcessRequest) -> Result<(), Failure> {
        let held = self.tasks.container(&request.id)?;
        let id = held.container.id();
        let Some(exec) = exec_id(&request.exec_id)? else {
            return Err(Failure::Request {
                what: "exec_id".to_owned(),
                rule: "it is empty; give the process a name",
            });
        };
        let document = document(&request, self.rules())?;
        let plan = self.in_context(id, &held.bundle, |context| {
            launch::exec(&document, &held.plan, context)
        })?;
        check_terminal(request.terminal, plan.console.is_some())?;
        let streams = Named {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
        };
        let stdio = self.streams(id, Some(&exec), &streams, held.retry)?;
        let lives = |other: &Id| held.container.status(Some(other)).is_ok();
        let Some(process) = held.processes.add(&exec, streams, lives) else {
            let id = id.clone();
            return Err(Failure::ExecExists { id, exec });
        };
        match held.container.exec(exec.clone(), plan, stdio) {
            Ok(()) => {
                process.made();
                Ok(())
            }
            Err(error) => {
                held.processes.remove(&exec);
                Err(error.into())
            }
        }
    }

    fn streams(
        &self,
        id: &Id,
        exec: Option<&Id>,
        named: &Named,
        retry: Option<std::time::Duration>,
    ) -> Result<Stdio, Failure> {
        let request = StreamsRequest {
            host: self.host.as_ref(),
            namespace: self.namespace.as_str(),
            id: id.as_str(),
            exec: exec.map(Id::as_str),
            stdin: &named.stdin,
            stdout: &named.stdout,
            stderr: &named.stderr,
            terminal: named.terminal,
            retry,
        };
        Ok(streams::stdio(&request)?)
    }

    fn in_context<T>(&self, id: &Id, bundle: &Path, work: impl FnOnce(&Context<'_>) -> T) -> T {
        work(&Context {
            places: &self.host.places(),
            features: &self.host.features(),
            id,
            bundle: &bundle.to_string_lossy(),
        })
    }
}

/// A name in a request.
pub(super) fn name(what: &'static str, text: &str) -> Result<Id, Failure> {
    Id::parse(text).map_err(|source| Failure::Name { what, source })
}

/// The job of the pod that a container is made in.
fn job_of(pod: &Sandbox, id: &Id) -> Result<Arc<dyn Job>, Failure> {
    pod.job().map_err(|_| Failure::NoPod {
        id: id.clone(),
        pod: pod.id().to_string(),
    })
}

/// Puts the root that the snapshotter gives into the plan.
fn place_root(given: &[Given], rules: Rules, plan: &mut Plan) -> Result<(), Failure> {
    let mounts: Vec<rootfs::Mount<'_>> = given
        .iter()
        .map(|mount| rootfs::Mount {
            kind: &mount.type_,
            source: &mount.source,
            target: &mount.target,
            options: &mount.options,
        })
        .collect();
    Ok(rootfs::prepare(&mounts, rules, plan)?)
}

fn birth(request: CreateTaskRequest) -> Birth {
    Birth {
        bundle: request.bundle,
        rootfs: request.rootfs,
        streams: Named {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
        },
    }
}

/// A request and its config must agree: else one side waits for streams that the other does not have.
fn check_terminal(asked: bool, planned: bool) -> Result<(), Failure> {
    if asked == planned {
        return Ok(());
    }
    Err(Failure::Request {
        what: format!("terminal is {asked}, and the process.terminal of the config is {planned}"),
        rule: "give both the same",
    })
}

/// The process object of an exec.
fn document(request: &ExecProcessRequest, rules: Rules) -> Result<Vec<u8>, Failure> {
    let process = PROCESS.of(&request.spec)?;
    match rules {
        Rules::Windows => groups::process(process),
        Rules::Posix => posix::process(process),
    }
}
