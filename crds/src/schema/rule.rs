//! The rules across fields that the API server checks, in the Common Expression Language.
//!
//! The operator checks them again, because an object may have been stored before a rule existed. What costs too much here,
//! or needs more than one object, only the operator checks: that a mount names a volume of the pod, that a port is
//! listed once in the whole pod, that a container's account is no more than `runAs`, and that inputs exist.

use serde_json::{Value, json};

use super::SchemaError;
use super::path::visit;

/// A rule of the `WindowsHostTask` schema.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The rule's name: that of its test cases.
    pub name: &'static str,
    /// The schema path of the field it is about; `a|b` stands for two fields, `[]` for the items of a list. A rule that holds
    /// in several places has several paths, with `, ` between them.
    pub at: &'static str,
    /// The expression that must be true; `self` is the field.
    pub rule: &'static str,
    /// What must be, and how to mend it.
    pub message: &'static str,
    /// The field below `at` that the API server names in its message; empty for `at` itself.
    pub field: &'static str,
}

macro_rules! rules {
    ($($name:literal at $at:literal $(field $field:literal)?: $rule:literal, $message:literal;)+) => {
        /// Every rule of the `WindowsHostTask` schema.
        pub const RULES: &[Rule] = &[$(Rule {
            name: $name, at: $at, rule: $rule, message: $message, field: concat!($($field)?),
        }),+];
    };
}

rules! {
    "mode_is_immutable" at "spec.mode": "self == oldSelf",
        "is immutable; delete the task and create it again to change the mode";
    "run_as_is_one_of_two" at "spec.runAs": "has(self.account) != has(self.localGroup)",
        "must say exactly one of account (System, LocalService, NetworkService, Inherit) and localGroup";
    "local_group_is_a_bare_name" at "spec.runAs.localGroup":
        r#"self.matches('^[^\\x00-\\x1f\\x7f"/\\\\:;|=,+*?<>@\\[\\]]+$') && !self.matches('^[. ]*$')"#,
        "is no name of a local group; give the bare name, without a domain, control characters and any of \" / \\ : ; | = , + * ? < > @ [ ]";
    "local_group_is_no_account" at "spec.runAs.localGroup":
        "!(self.lowerAscii().replace(' ', '') in ['system', 'localservice', 'networkservice', 'containeradministrator', 'containeruser'])",
        "is an account and no group; use runAs.account: System, LocalService or NetworkService";
    "job_is_not_for_daemons" at "spec" field ".job": "!has(self.job) || self.mode != 'Daemon'",
        "is only for mode RunOnce and Scheduled; remove it";
    "schedule_goes_with_the_mode" at "spec" field ".schedule": "has(self.schedule) == (self.mode == 'Scheduled')",
        "is required with mode Scheduled, and only for that mode; add it, or remove it";
    "scheduled_runs_have_no_waves" at "spec" field ".rollout":
        "self.mode != 'Scheduled' || !has(self.rollout) || (!has(self.rollout.failurePolicy) && (!has(self.rollout.waves) || self.rollout.waves.size() == 0) && (!has(self.rollout.partition) || (type(self.rollout.partition) == int ? self.rollout.partition == 0 : self.rollout.partition == '0%')))",
        "has waves, a partition or a failurePolicy, which mode Scheduled has no use for: every node runs when the schedule is due, and the next time is another try; remove them, and use maxUnavailable and schedule.jitterSeconds";
    "restart_policy_follows_the_mode" at "spec" field ".template.spec.restartPolicy":
        "!has(self.template.spec.restartPolicy) || self.template.spec.restartPolicy == (self.mode == 'Daemon' ? 'Always' : 'Never')",
        "must be Always with mode Daemon and Never with mode RunOnce and Scheduled; remove it, the operator sets it";
    "windows_build_has_three_numbers" at "spec.placement.windowsBuilds.[]":
        r"self.matches('^[0-9]{1,6}\\.[0-9]{1,6}\\.[0-9]{1,6}$')",
        "is no Windows build; give it as in the node label node.kubernetes.io/windows-build, such as 10.0.20348";
    "node_selector_asks_for_windows" at "spec.placement.nodeSelector, spec.rollout.waves.nodeSelector":
        "!has(self.matchLabels) || !('kubernetes.io/os' in self.matchLabels) || self.matchLabels['kubernetes.io/os'] == 'windows'",
        "asks for nodes that are not Windows; remove kubernetes.io/os: windows is always required";
    "selector_operator_is_known" at "spec.placement.nodeSelector.matchExpressions.operator, spec.rollout.waves.nodeSelector.matchExpressions.operator":
        "self in ['In', 'NotIn', 'Exists', 'DoesNotExist']", "must be In, NotIn, Exists or DoesNotExist";
    "selector_values_follow_the_operator" at "spec.placement.nodeSelector.matchExpressions.[], spec.rollout.waves.nodeSelector.matchExpressions.[]" field ".values":
        "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
        "must have a value with In and NotIn, and none with Exists and DoesNotExist";
    "toleration_operator_is_known" at "spec.placement.tolerations.operator":
        "self in ['', 'Exists', 'Equal']", "must be Exists or Equal";
    "toleration_without_key_needs_exists" at "spec.placement.tolerations.[]" field ".key":
        "(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
        "may be empty only with operator Exists, which then tolerates every key";
    "toleration_exists_has_no_value" at "spec.placement.tolerations.[]" field ".value":
        "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
        "must be empty with operator Exists; use operator Equal";
    "toleration_seconds_need_no_execute" at "spec.placement.tolerations.[]" field ".tolerationSeconds":
        "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        "is only for effect NoExecute; remove it or set the effect";
    "max_unavailable_is_an_amount" at "spec.rollout.maxUnavailable, spec.rollout.waves.maxUnavailable":
        "type(self) == int ? self >= 1 : self.matches('^([1-9][0-9]?|100)%$')",
        "must be a number of nodes from 1, or a percentage from 1% to 100%; to start no node use rollout.paused";
    "progress_deadline_is_longer_than_ready" at "spec.rollout" field ".progressDeadlineSeconds":
        "(has(self.minReadySeconds) ? self.minReadySeconds : 10) < (has(self.progressDeadlineSeconds) ? self.progressDeadlineSeconds : 1800)",
        "must be more than minReadySeconds (defaults: 1800 and 10), or the rollout counts as stuck before a pod can be ready; raise it";
    "partition_or_waves" at "spec.rollout" field ".partition":
        "!has(self.partition) || !has(self.waves) || self.waves.size() == 0 || (type(self.partition) == int ? self.partition == 0 : self.partition == '0%')",
        "is only without waves; remove it, or remove the waves (a wave with approval: Manual holds the later ones back)";
    "partition_is_an_amount" at "spec.rollout.partition":
        "type(self) == int ? self >= 0 : self.matches('^([0-9]|[1-9][0-9]|100)%$')",
        "must be a number of nodes from 0, or a percentage from 0% to 100%";
    "wave_name_is_a_label" at "spec.rollout.waves.name": "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "must be 1 to 20 lower-case letters, digits and dashes, without a dash at an end";
    "wave_name_is_not_default" at "spec.rollout.waves.name": "self != 'default'",
        "is the wave of the nodes that no other wave selects, always the last one; choose another name";
    "wave_selects_nodes" at "spec.rollout.waves.nodeSelector":
        "(has(self.matchLabels) && self.matchLabels.size() > 0) || (has(self.matchExpressions) && self.matchExpressions.size() > 0)",
        "must have a label or an expression; a wave that takes every node leaves none to later waves, remove it";
    "approved_wave_names_a_revision_and_a_wave" at "spec.rollout.approvedWave": "self.matches('^[^/]+/[^/]+$')",
        "must be REVISION/WAVE; copy it from the message of the condition Ready";
    "max_failed_nodes_is_an_amount" at "spec.rollout.failurePolicy.maxFailedNodes":
        "type(self) == int ? self >= 1 : self.matches('^([1-9][0-9]?|100)%$')",
        "must be a number of nodes from 1, or a percentage from 1% to 100%; to do nothing about failures use action: Continue";
    "rollback_needs_daemon" at "spec" field ".rollout.failurePolicy.action":
        "self.mode == 'Daemon' || !has(self.rollout) || !has(self.rollout.failurePolicy) || !has(self.rollout.failurePolicy.action) || self.rollout.failurePolicy.action != 'Rollback'",
        "can be Rollback only with mode Daemon: what a program did in a finished run cannot be taken back; use Pause";
    "max_unreachable_is_an_amount" at "spec.rollout.unreachableNodes.maxUnreachable":
        "type(self) == int ? self >= 0 : self.matches('^([0-9]|[1-9][0-9]|100)%$')",
        "must be a number of nodes from 0, or a percentage from 0% to 100%";
    "schedule_has_five_fields" at "spec.rollout.maintenanceWindows.schedule, spec.schedule.cron":
        r"self.matches('^[^\\s]+( +[^\\s]+){4}$')",
        "must have the five fields of cron: minute, hour, day of month, month and day of week, such as 0 2 * * SUN";
    "ready_condition_is_true" at "spec.health.nodeConditions.[]" field ".status":
        "self.type != 'Ready' || self.status == 'True'",
        "must be True for the condition Ready, as no pod starts on a node that is not ready; remove it, Ready is always looked at";
    "min_healthy_is_an_amount" at "spec.health.minHealthy":
        "type(self) == int ? self >= 0 : self.matches('^([0-9]|[1-9][0-9]|100)%$')",
        "must be a number of nodes from 0, or a percentage from 0% to 100%";
    "retry_delays_are_in_order" at "spec.job.retry" field ".maxSeconds":
        "(has(self.initialSeconds) ? self.initialSeconds : 300) <= (has(self.maxSeconds) ? self.maxSeconds : 86400)",
        "must not be less than initialSeconds (without it, that is 300); raise it or lower initialSeconds";
    "check_only_needs_check" at "spec.job" field ".checkOnly": "!has(self.checkOnly) || !self.checkOnly || has(self.check)",
        "needs job.check, which says what to look at; add it, or remove checkOnly";
    "rerun_needs_run_once" at "spec" field ".job":
        "self.mode != 'Scheduled' || !has(self.job) || (!has(self.job.rerunOn) && !has(self.job.rerunNonce))",
        "has rerunOn or rerunNonce, which are only for mode RunOnce: with mode Scheduled the schedule says when; remove them";
    "rerun_nonce_needs_spec_change" at "spec.job" field ".rerunNonce":
        "!has(self.rerunNonce) || self.rerunNonce == '' || !has(self.rerunOn) || 'SpecChange' in self.rerunOn",
        "has no effect without SpecChange in rerunOn; add that, or remove rerunNonce";
    "exit_code_has_one_meaning" at "spec.job.exitCodes" field ".rebootRequired":
        "!has(self.rebootRequired) || !has(self.success) || !self.rebootRequired.exists(code, code in self.success)",
        "lists a code that is also a success code; an exit code can have one meaning, remove it from one list";
    "exit_code_zero_asks_for_no_reboot" at "spec.job.exitCodes.rebootRequired": "!(0 in self)",
        "must not list 0, which ends a Job as complete in Kubernetes; let the program exit with 3010";
    "template_keys_are_not_reserved" at "spec.template.metadata.labels|annotations":
        "!self.exists(key, key.startsWith('hosttask.dev/'))",
        "has a key under hosttask.dev/, which belongs to the operator; remove it";
    "template_has_no_os_label" at "spec.template.metadata.labels":
        "!('kubernetes.io/os' in self) || self['kubernetes.io/os'] == 'windows'",
        "has kubernetes.io/os with another value than windows, at which the kubelet refuses the pod; remove it";
    "account_is_not_in_an_annotation" at "spec.template.metadata.annotations":
        "!('microsoft.com/hostprocess-inherit-user' in self)",
        "has microsoft.com/hostprocess-inherit-user, which decides the account; remove it and set spec.runAs to {account: Inherit}";
    "host_process_is_not_disabled" at "spec.template.metadata.annotations":
        "!('microsoft.com/disable-hostprocess-container' in self)",
        "has microsoft.com/disable-hostprocess-container, which forbids what the task is; remove it";
    "template_has_no_node_name" at "spec.template.spec" field ".nodeName": "!has(self.nodeName)",
        "would put every pod on one node, past the scheduler; remove it and use spec.placement.nodeSelector with kubernetes.io/hostname";
    "template_has_no_node_selector" at "spec.template.spec" field ".nodeSelector": "!has(self.nodeSelector)",
        "must be said in spec.placement; move it to spec.placement.nodeSelector.matchLabels (kubernetes.io/os: windows can be left out)";
    "template_has_no_affinity" at "spec.template.spec" field ".affinity": "!has(self.affinity)",
        "must be said in spec.placement; move it to spec.placement.nodeSelector.matchExpressions, each node runs exactly one pod";
    "template_has_no_tolerations" at "spec.template.spec" field ".tolerations": "!has(self.tolerations)",
        "must be said in spec.placement; move them to spec.placement.tolerations, or use spec.placement.tolerate";
    "template_has_no_deadline" at "spec.template.spec" field ".activeDeadlineSeconds": "!has(self.activeDeadlineSeconds)",
        "is refused in DaemonSets and would hide the result of Jobs; remove it, with mode RunOnce use spec.job.activeDeadlineSeconds";
    "host_network_is_true" at "spec.template.spec.hostNetwork": "self",
        "must be true, as HostProcess containers have no network of their own; remove it, the operator sets it";
    "os_is_windows" at "spec.template.spec.os.name": "self == 'windows'",
        "must be windows; remove it, the operator sets it";
    "host_process_is_true" at "spec.template.spec.securityContext.windowsOptions.hostProcess": "self",
        "must be true in a task; remove it, the operator sets it";
    "container_host_process_is_true" at "spec.template.spec.containers|initContainers.securityContext.windowsOptions.hostProcess":
        "self", "must be true in all containers of a task; remove it, the operator sets it for the pod";
    "init_container_restarts_always" at "spec.template.spec.initContainers.restartPolicy": "self == 'Always'",
        "must be Always, which makes a sidecar of it; else remove it";
    "env_has_one_source" at "spec.template.spec.containers|initContainers.env.[]":
        "!has(self.valueFrom) || !has(self.value) || self.value == ''",
        "must have only one of value and valueFrom; remove one";
    "env_source_is_one" at "spec.template.spec.containers|initContainers.env.valueFrom":
        "[has(self.configMapKeyRef), has(self.fieldRef), has(self.fileKeyRef), has(self.resourceFieldRef), has(self.secretKeyRef)].exists_one(it, it)",
        "must say exactly one source: configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef or fileKeyRef";
    "host_port_is_the_container_port" at "spec.template.spec.containers|initContainers.ports.[]" field ".hostPort":
        "!has(self.hostPort) || self.hostPort == self.containerPort",
        "must be the containerPort, as the pod is on the host network; remove it";
    "mount_path_is_not_the_drive" at "spec.template.spec.containers|initContainers.volumeMounts.mountPath":
        r"!self.matches('^[cC]:[/\\\\]*$')", "is drive C: itself, over which nothing can be mounted; give a directory";
    "mount_path_is_no_pipe" at "spec.template.spec.containers|initContainers.volumeMounts.mountPath":
        r"!self.startsWith('\\\\.\\pipe')",
        "is a named pipe, which cannot be mounted into a HostProcess container; remove the mount, the container reaches the pipe under its path";
    "volume_has_one_source" at "spec.template.spec.volumes.[]":
        "[has(self.configMap), has(self.csi), has(self.downwardAPI), has(self.emptyDir), has(self.ephemeral), has(self.hostPath), has(self.image), has(self.persistentVolumeClaim), has(self.projected), has(self.secret)].exists_one(it, it)",
        "must have exactly one source, such as hostPath, configMap, secret or emptyDir";
    "host_path_is_no_pipe" at "spec.template.spec.volumes.hostPath.path": r"!self.startsWith('\\\\.\\pipe')",
        "is a named pipe, which cannot be mounted into a HostProcess container; remove volume and mount, the container reaches the pipe under the same path";
    "host_path_is_a_file_or_directory" at "spec.template.spec.volumes.hostPath.type":
        "self in ['', 'DirectoryOrCreate', 'Directory', 'FileOrCreate', 'File']",
        "must be DirectoryOrCreate, Directory, FileOrCreate or File: sockets and devices cannot be mounted on Windows; remove volume and mount, the container reaches it under its path on the host";
    "probe_has_one_handler" at "spec.template.spec.containers|initContainers.livenessProbe|readinessProbe|startupProbe":
        "[has(self.exec), has(self.httpGet), has(self.tcpSocket), has(self.grpc)].exists_one(it, it)",
        "must say exactly one of exec, httpGet, tcpSocket and grpc";
    "hook_has_one_handler" at "spec.template.spec.containers|initContainers.lifecycle.postStart|preStop":
        "[has(self.exec), has(self.httpGet), has(self.tcpSocket), has(self.sleep)].exists_one(it, it)",
        "must say exactly one of exec, httpGet, tcpSocket and sleep";
}

/// Writes the rules into the schema.
pub(super) fn add(root: &mut Value) -> Result<(), SchemaError> {
    for rule in RULES {
        let mut entry = json!({"rule": rule.rule, "message": rule.message});
        if let Some(entry) = entry.as_object_mut().filter(|_| !rule.field.is_empty()) {
            entry.insert("fieldPath".into(), json!(rule.field));
        }
        for at in rule.at.split(", ") {
            if visit(root, at, &mut |node| push(node, &entry)) == 0 {
                return Err(SchemaError::NoSuchField(at));
            }
        }
    }
    Ok(())
}

fn push(node: &mut Value, entry: &Value) {
    let Some(node) = node.as_object_mut() else {
        return;
    };
    let rules = node
        .entry("x-kubernetes-validations")
        .or_insert_with(|| json!([]));
    if let Some(rules) = rules.as_array_mut() {
        rules.push(entry.clone());
    }
}
