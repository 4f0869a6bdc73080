//! The kinds of writes, in words.

use std::fmt;

/// A kind of write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Dry run of a DaemonSet.
    CheckDaemonSet,
    /// Dry run of a Job.
    CheckJob,
    /// A new `ControllerRevision`.
    CreateRevision,
    /// A new number for a `ControllerRevision`.
    RenumberRevision,
    /// A `ControllerRevision` goes.
    DeleteRevision,
    /// Server-side apply of a DaemonSet.
    ApplyDaemonSet,
    /// A DaemonSet goes and leaves its pods.
    OrphanDaemonSet,
    /// A pod gets another wave.
    MovePod,
    /// A pod loses its scheduling gate.
    UngatePod,
    /// A pod goes.
    DeletePod,
    /// A new Job.
    CreateJob,
    /// A Job goes.
    DeleteJob,
    /// A new ledger object.
    CreateLedger,
    /// A ledger object gets another owner.
    AdoptLedger,
    /// The status of a ledger object.
    WriteLedger,
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CheckDaemonSet => "check DaemonSet",
            Self::CheckJob => "check Job",
            Self::CreateRevision => "create ControllerRevision",
            Self::RenumberRevision => "renumber ControllerRevision",
            Self::DeleteRevision => "delete ControllerRevision",
            Self::ApplyDaemonSet => "apply DaemonSet",
            Self::OrphanDaemonSet => "delete DaemonSet",
            Self::MovePod => "change the wave of Pod",
            Self::UngatePod => "lift the scheduling gate of Pod",
            Self::DeletePod => "delete Pod",
            Self::CreateJob => "create Job",
            Self::DeleteJob => "delete Job",
            Self::CreateLedger => "create WindowsHostNode",
            Self::AdoptLedger => "set the owner of WindowsHostNode",
            Self::WriteLedger => "write the status of WindowsHostNode",
        })
    }
}

impl Write {
    /// The object as a condition names it.
    pub(super) fn child(self) -> &'static str {
        match self {
            Self::CheckDaemonSet | Self::ApplyDaemonSet | Self::OrphanDaemonSet => "DaemonSet",
            Self::CheckJob | Self::CreateJob | Self::DeleteJob => "Job",
            Self::CreateRevision | Self::RenumberRevision | Self::DeleteRevision => {
                "ControllerRevision"
            }
            Self::DeletePod | Self::MovePod | Self::UngatePod => "Pod",
            Self::CreateLedger | Self::AdoptLedger | Self::WriteLedger => "WindowsHostNode",
        }
    }
}
