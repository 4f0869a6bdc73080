//! The words by which `status.failures` and the ledgers of nodes say how it went on a node: part of the API, documented from
//! here.

/// One word, with what it means and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word as it stands in `reason`.
    pub name: &'static str,
    /// What happened.
    pub meaning: &'static str,
    /// What to do; empty where nothing is wrong.
    pub fix: &'static str,
}

macro_rules! words {
    ($($name:ident: $meaning:literal, $fix:literal;)+) => {
        /// Every word that is ours. Where none of them fits, it is the one of Kubernetes, such as `ErrImagePull`.
        pub const WORDS: &[Word] = &[$(Word { name: stringify!($name), meaning: $meaning, fix: $fix }),+];
    };
}

words! {
    CrashLoop: "The program ends again and again, and the kubelet waits before it starts it anew.",
        "Read the exit code and the message, its last words; `kubectl logs --previous` has more.";
    TooManyRestarts: "The program was restarted more than `health.maxRestarts` times in `health.restartWindowSeconds`.",
        "As for CrashLoop. Raise `maxRestarts` where that is normal.";
    NotReady: "The pod was not ready in time: `health.startGraceSeconds` and `rollout.minReadySeconds`, or the progress deadline.",
        "Look at the readiness probe and the log. Raise `startGraceSeconds` where the image is large or the start slow.";
    ImagePull: "The image cannot be pulled, or its name is none.",
        "Correct name or tag; look at the pull secrets, the registry and the Windows version of the image.";
    CreateContainer: "containerd cannot create the container, or its ConfigMap or Secret is missing.",
        "Read the message: a working directory, a user, a mount or a key that the node does not have.";
    PodRefused: "The kubelet refused the pod, or threw it out.",
        "Read the message: resources, ports or a label of the node.";
    NodeNotReady: "The node stopped being Ready after the task was started there.",
        "Look at the node. The revision may have broken it: network, disk or memory.";
    NodeRegressed: "The node lost a condition of `health.nodeConditions` after the task was started there.",
        "Look at the condition that the message names.";
    ExitCode: "The program ended with a code that is neither in `job.exitCodes.success` nor in `rebootRequired`.",
        "Look the code up in the program's documentation; add it to `exitCodes` where it means success.";
    DeadlineExceeded: "The program did not end in `job.activeDeadlineSeconds` and was stopped.",
        "Look whether it waits for an answer; raise the deadline.";
    JobFailed: "The Job failed, and its pod is gone, so that nobody knows the exit code.",
        "It is tried again. Look at the Events of the namespace.";
    CheckFailed: "The check of `job.check` could not be run.",
        "Correct its command; the message says what the node answered.";
    Succeeded: "The program ended with a code that means success.", "";
    RebootRequired: "The program ended with a code of `job.exitCodes.rebootRequired`.", "Reboot the node; nothing does it for you.";
    Compliant: "The check found nothing to do; the program was not run.", "";
    NonCompliant: "The check found something to do, and `job.checkOnly` left it so.",
        "Set `job.checkOnly` to false: then the program runs.";
}
