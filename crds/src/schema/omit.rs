//! The fields of a pod template that the schema leaves out, and why.
//!
//! What is left out cannot be written: `kubectl` and server-side apply refuse it as an unknown field. Fields that would
//! change *where* a task runs are not left out but refused by a rule, because a client that does not ask for strict
//! checking would lose them in silence and run the task on nodes it was not meant for.

/// Fields of one place that are left out for one reason.
#[derive(Clone, Copy, Debug)]
pub struct Omitted {
    /// The schema path of the object that has the fields.
    pub at: &'static str,
    /// The fields.
    pub fields: &'static [&'static str],
    /// Why they are left out, for the reader of the reference page.
    pub why: &'static str,
}

macro_rules! omitted {
    ($($at:literal: [$($field:literal),+ $(,)?], $why:literal;)+) => {
        /// Every field of a pod template that the schema leaves out.
        pub const OMITTED: &[Omitted] = &[$(Omitted { at: $at, fields: &[$($field),+], why: $why }),+];
    };
}

omitted! {
    "spec.template.metadata": [
        "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generateName",
        "generation", "managedFields", "name", "namespace", "ownerReferences", "resourceVersion", "selfLink", "uid",
    ], "Kubernetes or the operator sets it; a finalizer would keep pods from being replaced";
    "spec.template.spec": ["hostIPC", "hostPID", "hostUsers", "shareProcessNamespace"],
        "Linux namespaces; the API server refuses it for Windows pods";
    "spec.template.spec": ["resources"], "pod-level resources exist on Linux only; set them per container";
    "spec.template.spec": ["ephemeralContainers"], "cannot be set in a template; use `kubectl debug`";
    "spec.template.spec": ["evictionResponders", "schedulingGroup"],
        "for pods that are scheduled or moved as a group; a task's pods belong to their nodes";
    "spec.template.spec": ["topologySpreadConstraints", "schedulingGates", "schedulerName"],
        "each node runs exactly one pod, placed by the DaemonSet or Job controller and the default scheduler";
    "spec.template.spec": ["overhead"], "set from the RuntimeClass by admission";
    "spec.template.spec": ["priority"], "set from `priorityClassName` by admission";
    "spec.template.spec": ["resourceClaims"], "dynamic resource allocation is not available on Windows";
    "spec.template.spec": ["serviceAccount"], "the deprecated name of `serviceAccountName`";
    "spec.template.spec": [
        "dnsConfig", "dnsPolicy", "hostAliases", "hostname", "hostnameOverride", "setHostnameAsFQDN", "subdomain",
    ], "a HostProcess container has the host's name, hosts file and resolver";
    "spec.template.spec.securityContext": [
        "appArmorProfile", "fsGroup", "fsGroupChangePolicy", "runAsGroup", "runAsUser", "seLinuxChangePolicy",
        "seLinuxOptions", "seccompProfile", "supplementalGroups", "supplementalGroupsPolicy", "sysctls",
    ], "the API server refuses it for Windows pods";
    "spec.template.spec.securityContext": ["runAsNonRoot"],
        "has no meaning for a HostProcess container; the account is said in `runAs`";
    "spec.template.spec.securityContext.windowsOptions": ["gmsaCredentialSpec", "gmsaCredentialSpecName"],
        "HostProcess containers never log on a group managed service account";
    "spec.template.spec.containers|initContainers.securityContext": [
        "allowPrivilegeEscalation", "appArmorProfile", "capabilities", "privileged", "procMount",
        "readOnlyRootFilesystem", "runAsGroup", "runAsUser", "seLinuxOptions", "seccompProfile",
    ], "the API server refuses it for Windows pods, whatever its value";
    "spec.template.spec.containers|initContainers.securityContext": ["runAsNonRoot"],
        "has no meaning for a HostProcess container; the account is said in `runAs`";
    "spec.template.spec.containers|initContainers.securityContext.windowsOptions":
        ["gmsaCredentialSpec", "gmsaCredentialSpecName"],
        "HostProcess containers never log on a group managed service account";
    "spec.template.spec.containers|initContainers": ["volumeDevices"],
        "raw block devices cannot be given to a Windows container";
    "spec.template.spec.containers|initContainers": ["resizePolicy"],
        "Windows job objects of a running HostProcess container are not resized";
    "spec.template.spec.containers|initContainers": ["restartPolicyRules"],
        "restarts are governed by `mode`, `health` and `job`";
    "spec.template.spec.containers": ["restartPolicy"], "restarts are governed by `mode`, `health` and `job`";
    "spec.template.spec.containers|initContainers.resources": ["claims"],
        "dynamic resource allocation is not available on Windows";
    "spec.template.spec.containers|initContainers.lifecycle": ["stopSignal"],
        "Windows has no signals; a container is stopped by CTRL_SHUTDOWN_EVENT";
    "spec.template.spec.containers|initContainers.livenessProbe|readinessProbe|startupProbe.httpGet": ["protocol"],
        "too young: the kubelets of most Windows pools do not know it";
    "spec.template.spec.containers|initContainers.lifecycle.postStart|preStop.httpGet": ["protocol"],
        "too young: the kubelets of most Windows pools do not know it";
    "spec.template.spec.containers|initContainers.livenessProbe|readinessProbe|startupProbe.grpc": ["mode"],
        "too young: the kubelets of most Windows pools do not know it";
    "spec.template.spec.containers|initContainers.volumeMounts":
        ["bindMountOptions", "mountPropagation", "recursiveReadOnly"],
        "options of Linux mounts";
    "spec.template.spec.volumes": [
        "awsElasticBlockStore", "azureDisk", "azureFile", "cinder", "gcePersistentDisk", "portworxVolume",
        "vsphereVolume",
    ], "deprecated in favour of CSI drivers: use `persistentVolumeClaim`, `ephemeral` or `csi`";
    "spec.template.spec.volumes": [
        "cephfs", "fc", "flocker", "glusterfs", "iscsi", "nfs", "photonPersistentDisk", "quobyte", "rbd", "scaleIO",
        "storageos",
    ], "not available on Windows, or removed from Kubernetes";
    "spec.template.spec.volumes": ["flexVolume", "gitRepo"],
        "deprecated: use a CSI driver, or an init container that fetches the files";
    "spec.template.spec.volumes.emptyDir": ["medium", "mode"],
        "an emptyDir is a directory on the node's disk; Windows has no memory file system and no file modes for it";
    "spec.template.spec.volumes.configMap|downwardAPI|projected|secret": ["defaultUser"],
        "files on Windows have no numeric owner";
    "spec.template.spec.volumes.ephemeral.volumeClaimTemplate.metadata": [
        "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generateName",
        "generation", "managedFields", "name", "namespace", "ownerReferences", "resourceVersion", "selfLink", "uid",
    ], "Kubernetes sets it";
}
