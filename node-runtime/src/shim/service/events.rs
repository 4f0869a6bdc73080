//! What happened to a task, as containerd is told.

use std::collections::BTreeMap;

use containerd_shim_protos::api::Mount;
use containerd_shim_protos::events::task::{
    TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit, TaskIO, TaskOOM, TaskPaused,
    TaskResumed, TaskStart,
};
use containerd_shim_protos::topics;
use protobuf::well_known_types::any::Any;
use protobuf::well_known_types::timestamp::Timestamp as Stamp;
use protobuf::{MessageField, MessageFull};

use jiff::Timestamp;

use super::process::Named;
use crate::container::EventKind;
use crate::id::Id;
use crate::record::Exit;

/// An event as it is published: where, and what.
pub(super) type Event = (&'static str, Any);

/// What the first event of a task says beside its name.
#[derive(Debug, Clone, Default)]
pub(super) struct Birth {
    pub(super) bundle: String,
    pub(super) rootfs: Vec<Mount>,
    pub(super) streams: Named,
}

/// Makes the events of a container of what happens to it.
pub(super) struct Teller {
    id: Id,
    birth: Birth,
    /// The numbers of its processes.
    pids: BTreeMap<Option<Id>, u32>,
    /// Whether memory was refused, which is told once.
    is_out_of_memory: bool,
    exit: Option<Exit>,
}

impl Teller {
    /// One that has told nothing yet.
    pub(super) fn new(id: Id, birth: Birth) -> Self {
        Self {
            id,
            birth,
            pids: BTreeMap::new(),
            is_out_of_memory: false,
            exit: None,
        }
    }

    /// The event, where containerd has one for it.
    pub(super) fn event(&mut self, kind: &EventKind) -> Option<Event> {
        let container_id = self.id.to_string();
        match kind {
            EventKind::Created => created(&self.id, 0, &self.birth),
            EventKind::Started { pid } => {
                self.pids.insert(None, *pid);
                started(&self.id, *pid)
            }
            EventKind::ExecAdded { exec } => pack(
                topics::TASK_EXEC_ADDED_EVENT_TOPIC,
                &TaskExecAdded {
                    container_id,
                    exec_id: exec.to_string(),
                    ..TaskExecAdded::default()
                },
            ),
            EventKind::ExecStarted { exec, pid } => {
                self.pids.insert(Some(exec.clone()), *pid);
                pack(
                    topics::TASK_EXEC_STARTED_EVENT_TOPIC,
                    &TaskExecStarted {
                        container_id,
                        exec_id: exec.to_string(),
                        pid: *pid,
                        ..TaskExecStarted::default()
                    },
                )
            }
            EventKind::Exited { exec: None, exit } => {
                self.exit = Some(exit.clone());
                exited(&self.id, &self.id, self.first(), exit)
            }
            EventKind::Exited {
                exec: Some(exec),
                exit,
            } => {
                let pid = self.pids.remove(&Some(exec.clone())).unwrap_or_default();
                exited(&self.id, exec, pid, exit)
            }
            EventKind::MemoryLimit => {
                let was_told = std::mem::replace(&mut self.is_out_of_memory, true);
                if was_told {
                    return None;
                }
                pack(
                    topics::TASK_OOM_EVENT_TOPIC,
                    &TaskOOM {
                        container_id,
                        ..TaskOOM::default()
                    },
                )
            }
            // containerd has no words for it; the container's own events have.
            EventKind::ProcessLimit => None,
            EventKind::Paused => pack(
                topics::TASK_PAUSED_EVENT_TOPIC,
                &TaskPaused {
                    container_id,
                    ..TaskPaused::default()
                },
            ),
            EventKind::Resumed => pack(
                topics::TASK_RESUMED_EVENT_TOPIC,
                &TaskResumed {
                    container_id,
                    ..TaskResumed::default()
                },
            ),
            EventKind::Deleted => {
                let exit = self.exit.as_ref()?;
                deleted(&self.id, self.first(), exit)
            }
        }
    }

    fn first(&self) -> u32 {
        self.pids.get(&None).copied().unwrap_or_default()
    }
}

/// A task is there.
pub(super) fn created(id: &Id, pid: u32, birth: &Birth) -> Option<Event> {
    let streams = &birth.streams;
    let io = TaskIO {
        stdin: streams.stdin.clone(),
        stdout: streams.stdout.clone(),
        stderr: streams.stderr.clone(),
        terminal: streams.terminal,
        ..TaskIO::default()
    };
    pack(
        topics::TASK_CREATE_EVENT_TOPIC,
        &TaskCreate {
            container_id: id.to_string(),
            bundle: birth.bundle.clone(),
            rootfs: birth.rootfs.clone(),
            io: MessageField::some(io),
            pid,
            ..TaskCreate::default()
        },
    )
}

/// Its first process runs.
pub(super) fn started(id: &Id, pid: u32) -> Option<Event> {
    pack(
        topics::TASK_START_EVENT_TOPIC,
        &TaskStart {
            container_id: id.to_string(),
            pid,
            ..TaskStart::default()
        },
    )
}

/// A process of it ended; the first one has the name of the task.
pub(super) fn exited(id: &Id, process: &Id, pid: u32, exit: &Exit) -> Option<Event> {
    pack(
        topics::TASK_EXIT_EVENT_TOPIC,
        &TaskExit {
            container_id: id.to_string(),
            id: process.to_string(),
            pid,
            exit_status: exit.code,
            exited_at: MessageField::some(stamp(exit.at)),
            ..TaskExit::default()
        },
    )
}

/// Nothing of it is left.
pub(super) fn deleted(id: &Id, pid: u32, exit: &Exit) -> Option<Event> {
    pack(
        topics::TASK_DELETE_EVENT_TOPIC,
        &TaskDelete {
            container_id: id.to_string(),
            pid,
            exit_status: exit.code,
            exited_at: MessageField::some(stamp(exit.at)),
            ..TaskDelete::default()
        },
    )
}

/// A time as containerd writes it.
pub(super) fn stamp(at: Timestamp) -> Stamp {
    Stamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
        ..Stamp::default()
    }
}

/// A message with its type, as containerd names it: without the prefix that others write before it.
pub(super) fn any<M: MessageFull>(message: &M) -> protobuf::Result<Any> {
    Ok(Any {
        type_url: M::descriptor().full_name().to_owned(),
        value: message.write_to_bytes()?,
        ..Any::default()
    })
}

/// Only a message of more than 2 GiB cannot be packed, and no event is one.
fn pack<M: MessageFull>(topic: &'static str, message: &M) -> Option<Event> {
    Some((topic, any(message).ok()?))
}
