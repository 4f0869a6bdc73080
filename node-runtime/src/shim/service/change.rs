//! What changes a task or a process: start, kill, pause, resume, resize, close its input, update.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use containerd_shim_protos::api::{
    CloseIORequest, KillRequest, PauseRequest, ResizePtyRequest, ResumeRequest, StartRequest,
    StartResponse, UpdateTaskRequest,
};

use super::Shim;
use super::failure::Failure;
use super::packed::Expected;
use super::sandbox::Stage;
use super::signal::{self, Asked};
use super::tasks::Task;
use crate::container::{self, Phase};
use crate::keeper::overlay;
use crate::launch;
use crate::state::Refused;
use crate::sys::Console;

/// What a request says about new limits.
const LIMITS: Expected = Expected {
    field: "resources",
    kind: "WindowsResources",
    rule: "send WindowsResources, the windows.resources of the OCI; nothing else can be set",
};

/// The owner of our annotations.
const OWN: &str = "dev.hosttask/";

impl Shim {
    /// Starts a task or an added process.
    pub(super) fn start(&self, request: &StartRequest) -> Result<StartResponse, Failure> {
        let pid = match self.tasks.find(&request.id)? {
            Task::Pod(pod) if request.exec_id.is_empty() => pod.start()?,
            Task::Pod(pod) => return Err(Failure::NoProcess(pod.id().clone())),
            Task::Container(held) => {
                let (exec, process) = held.process(&request.exec_id)?;
                if let Some(pod) = self.tasks.pod() {
                    pod.check_lives()?;
                }
                let started = match &exec {
                    None => held.container.start()?,
                    Some(exec) => held.container.start_exec(exec)?,
                };
                if process.is_deaf.load(Ordering::Acquire) {
                    // It runs, whatever becomes of its input: to say otherwise would be to lose it.
                    drop(close(held.container.close_stdin(exec.as_ref())));
                }
                started.pid
            }
        };
        Ok(StartResponse {
            pid,
            ..StartResponse::default()
        })
    }

    /// Asks a task or a process to end, or ends it.
    pub(super) fn kill(&self, request: &KillRequest) -> Result<(), Failure> {
        let asked = signal::parse(self.rules(), request.signal)?;
        let held = match self.tasks.find(&request.id)? {
            Task::Container(held) => held,
            Task::Pod(pod) if !request.exec_id.is_empty() => {
                return Err(Failure::NoProcess(pod.id().clone()));
            }
            Task::Pod(pod) if asked == Asked::Nothing => {
                return match pod.stage() {
                    Stage::Created | Stage::Running => Ok(()),
                    Stage::Stopped(_) => Err(Failure::PodEnded(pod.id().clone())),
                };
            }
            Task::Pod(pod) => return pod.kill(),
        };
        let (exec, _) = held.process(&request.exec_id)?;
        match asked {
            Asked::End(signal) => Ok(held.container.kill(exec.as_ref(), signal, request.all)?),
            Asked::Nothing => match held.container.status(exec.as_ref())?.phase {
                Phase::Stopped => Err(container::Error::from(Refused::NothingToSignal).into()),
                Phase::Created | Phase::Running | Phase::Paused | Phase::Stopping => Ok(()),
            },
        }
    }

    /// Stops every process of a container for the time being.
    pub(super) fn pause(&self, request: &PauseRequest) -> Result<(), Failure> {
        Ok(self.tasks.container(&request.id)?.container.pause()?)
    }

    /// Lets them go on.
    pub(super) fn resume(&self, request: &ResumeRequest) -> Result<(), Failure> {
        Ok(self.tasks.container(&request.id)?.container.resume()?)
    }

    /// Sets the size of a terminal.
    pub(super) fn resize(&self, request: &ResizePtyRequest) -> Result<(), Failure> {
        let held = self.tasks.container(&request.id)?;
        let (exec, _) = held.process(&request.exec_id)?;
        let console = Console {
            columns: side("width", request.width)?,
            rows: side("height", request.height)?,
        };
        Ok(held.container.resize(exec.as_ref(), console)?)
    }

    /// Lets a process read the end of its input; one that was not started will.
    pub(super) fn close_io(&self, request: &CloseIORequest) -> Result<(), Failure> {
        let held = self.tasks.container(&request.id)?;
        let (exec, process) = held.process(&request.exec_id)?;
        if !request.stdin {
            return Ok(());
        }
        if process.streams.terminal {
            // Nothing is kept in mind: it would be done at the start, to a program that runs then.
            return match held.container.status(exec.as_ref())?.phase {
                Phase::Stopped => Ok(()),
                Phase::Created | Phase::Running | Phase::Paused | Phase::Stopping => {
                    Err(container::Error::EndOfTerminal.into())
                }
            };
        }
        process.is_deaf.store(true, Ordering::Release);
        close(held.container.close_stdin(exec.as_ref()))
    }

    /// Sets limits. What the request leaves out stays. It is answered once they hold.
    pub(super) fn update(&self, request: &UpdateTaskRequest) -> Result<(), Failure> {
        let held = self.tasks.container(&request.id)?;
        if let Some(own) = request.annotations.keys().find(|it| it.starts_with(OWN)) {
            return Err(Failure::Request {
                what: format!("annotations[{own}]"),
                rule: "annotations are read when a container is created; change its config, and create it again",
            });
        }
        let resources = LIMITS.of(&request.resources)?;
        let (features, places) = (self.host.features(), self.host.places());
        let asked = launch::update(resources, &features, places.processors)?;
        let mut limits = held.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = overlay(&limits, asked, &BTreeSet::new());
        held.container.update(&wanted)?;
        *limits = wanted;
        Ok(())
    }
}

/// An input that is gone is closed, and one that is not there yet will be when its process is started.
fn close(closed: Result<(), container::Error>) -> Result<(), Failure> {
    match closed {
        Err(container::Error::Refused(
            Refused::NotStarted
            | Refused::Ended
            | Refused::AddedNotStarted(_)
            | Refused::AddedEnded(_),
        )) => Ok(()),
        closed => Ok(closed?),
    }
}

/// A side of a terminal, in characters.
fn side(what: &'static str, value: u32) -> Result<u16, Failure> {
    let fits = i16::try_from(value).ok().filter(|it| *it > 0);
    fits.map(i16::unsigned_abs).ok_or_else(|| Failure::Request {
        what: format!("{what} is {value}"),
        rule: "it must be from 1 to 32767",
    })
}
