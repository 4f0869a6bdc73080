//! The label and annotation keys on children, and who writes them. They are part of the API.

/// Label on every child: the watches select by it. Its value is [`MANAGED_BY_HOSTTASK`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`].
pub const MANAGED_BY_HOSTTASK: &str = "hosttask";
/// Label on every child and pod: the task's name, shortened with a hash where it is over 63 characters.
pub const TASK: &str = "hosttask.dev/task";
/// Label on every child and pod: the task's UID. It is what DaemonSets select their pods by.
pub const TASK_UID: &str = "hosttask.dev/task-uid";
/// Label on every pod, Job and `ControllerRevision`: the name of the revision.
pub const REVISION: &str = "hosttask.dev/revision";
/// Label on Jobs and their pods: which attempt on the node it is, counted from 1.
pub const ATTEMPT: &str = "hosttask.dev/attempt";
/// Label on the Jobs, and their pods, that run `job.check` in place of the program. Its value is [`STEP_CHECK`].
pub const STEP: &str = "hosttask.dev/step";
/// The value of [`STEP`].
pub const STEP_CHECK: &str = "check";
/// Label on the Jobs, and their pods, of a Scheduled task: the time they are for, in seconds since 1970.
pub const TICK: &str = "hosttask.dev/tick";
/// Annotation on Jobs and their pods: the node it is for. (Node names can be longer than a label value.)
pub const NODE: &str = "hosttask.dev/node";
/// Annotation on Jobs: the machine it is for, as `NODE-UID/SYSTEM-UUID`. Another value means another or a re-imaged machine.
pub const MACHINE: &str = "hosttask.dev/machine";
/// Annotation on DaemonSets: a hash of what was applied, so that an equal apply can be skipped.
pub const APPLIED: &str = "hosttask.dev/applied";
/// Annotation that makes a HostProcess container run as containerd's own account.
pub const INHERIT_USER: &str = "microsoft.com/hostprocess-inherit-user";
/// Node label with the Windows build, such as `10.0.20348`.
pub const WINDOWS_BUILD: &str = "node.kubernetes.io/windows-build";
/// Node label with the operating system.
pub const OS: &str = "kubernetes.io/os";
/// The field manager of everything the operator applies.
pub const FIELD_MANAGER: &str = "hosttask-operator";
/// Label on every DaemonSet and its pods: the wave they belong to. DaemonSets select their pods by it.
pub const WAVE: &str = "hosttask.dev/wave";
/// The wave of the nodes that no wave of the spec selects.
pub const DEFAULT_WAVE: &str = "default";
/// Annotation on DaemonSets: a hash of how the waves divide the fleet. DaemonSets of another division are taken apart, and
/// their pods handed over, before new ones are made.
pub const LAYOUT: &str = "hosttask.dev/layout";
/// Scheduling gate on daemon pods of a task that depends on others; lifted once those are well on the node.
pub const DEPENDENCY_GATE: &str = "hosttask.dev/dependencies";
/// Annotation on a task: another value makes a failed revision be tried again.
pub const RETRY: &str = "hosttask.dev/retry";
/// Annotation on a task: approves a wave, as `REVISION/WAVE`.
pub const APPROVED_WAVE: &str = "hosttask.dev/approved-wave";
