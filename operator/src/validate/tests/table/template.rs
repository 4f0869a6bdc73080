//! Cases of the template and the pod as a whole.

use super::super::super::{container as c, pod, template as t};
use super::*;

#[expect(clippy::too_many_lines, reason = "a table: each entry is a case")]
pub(super) fn template_cases() -> Vec<Case> {
    let s = "/template/spec";
    let m = "/template/metadata";
    let mut cases = vec![
        case(&t::NODE_NAME, &format!("{s}/nodeName"), json!("n1")),
        case(
            &t::NODE_SELECTOR,
            &format!("{s}/nodeSelector"),
            json!({"kubernetes.io/os": "windows"}),
        ),
        case(
            &t::AFFINITY,
            &format!("{s}/affinity"),
            json!({"nodeAffinity": {}}),
        ),
        case(
            &t::TOLERATIONS,
            &format!("{s}/tolerations"),
            json!([{"operator": "Exists"}]),
        ),
        case(
            &t::SPREAD,
            &format!("{s}/topologySpreadConstraints"),
            json!([{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]),
        ),
        case(
            &t::RESTART_DAEMON,
            &format!("{s}/restartPolicy"),
            json!("Never"),
        ),
        job(
            &t::RESTART_RUN_ONCE,
            &format!("{s}/restartPolicy"),
            json!("OnFailure"),
        ),
        case(
            &t::DEADLINE,
            &format!("{s}/activeDeadlineSeconds"),
            json!(5),
        ),
        job(
            &t::DEADLINE,
            &format!("{s}/activeDeadlineSeconds"),
            json!(5),
        ),
        case(
            &t::FINALIZERS,
            &format!("{m}/finalizers"),
            json!(["a.example/b"]),
        ),
        case(
            &t::RESERVED,
            &format!("{m}/labels/hosttask.dev~1task"),
            json!("x"),
        ),
        case(
            &t::RESERVED,
            &format!("{m}/annotations/x.hosttask.dev~1a"),
            json!("x"),
        ),
        case(&t::LABEL_KEY, &format!("{m}/labels/a b"), json!("x")),
        case(&t::LABEL_KEY, &format!("{m}/annotations/a b"), json!("x")),
        case(&t::LABEL_VALUE, &format!("{m}/labels/app"), json!("a b")),
        case(
            &t::OS_LABEL,
            &format!("{m}/labels/kubernetes.io~1os"),
            json!("linux"),
        ),
        case(
            &t::INHERIT,
            &format!("{m}/annotations/microsoft.com~1hostprocess-inherit-user"),
            json!("true"),
        ),
        case(
            &t::DISABLED,
            &format!("{m}/annotations/microsoft.com~1disable-hostprocess-container"),
            json!("true"),
        ),
        case(&pod::OS_NAME, &format!("{s}/os/name"), json!("linux")),
        case(
            &pod::HOST_NETWORK,
            &format!("{s}/hostNetwork"),
            json!(false),
        ),
        case(
            &pod::EPHEMERAL,
            &format!("{s}/ephemeralContainers"),
            json!([{"name": "debug"}]),
        ),
        case(
            &pod::RUNTIME_CLASS,
            &format!("{s}/runtimeClassName"),
            json!("windows-2022-hyper-v"),
        ),
        case(
            &pod::HOSTNAME_OVERRIDE,
            &format!("{s}/hostnameOverride"),
            json!("h"),
        ),
        case(
            &pod::DNS_POLICY,
            &format!("{s}/dnsPolicy"),
            json!("Cluster"),
        ),
        case(
            &pod::DNS_HOST_NET,
            &format!("{s}/dnsPolicy"),
            json!("ClusterFirstWithHostNet"),
        ),
        at(
            &pod::DNS_SERVERS,
            &format!("{s}/dnsPolicy"),
            json!("None"),
            "spec.template.spec.dnsConfig.nameservers",
        ),
        case(
            &pod::SERVICE_ACCOUNT,
            &format!("{s}/serviceAccountName"),
            json!("A b"),
        ),
        case(
            &pod::GRACE_PERIOD,
            &format!("{s}/terminationGracePeriodSeconds"),
            json!(-1),
        ),
        case(&pod::CONTAINERS, &format!("{s}/containers"), json!([])),
        case(&pod::NAME_TWICE, &format!("{C}/name"), json!("install")),
        case(
            &c::HOST_PROCESS,
            &format!("{s}/{OPTIONS}/hostProcess"),
            json!(false),
        ),
        case(
            &c::HOST_PROCESS,
            &format!("{C}/{OPTIONS}/hostProcess"),
            json!(false),
        ),
        case(
            &c::HOST_PROCESS,
            &format!("{I}/{OPTIONS}/hostProcess"),
            json!(false),
        ),
        case(
            &c::GMSA,
            &format!("{s}/{OPTIONS}/gmsaCredentialSpecName"),
            json!("web"),
        ),
        case(
            &c::GMSA,
            &format!("{C}/{OPTIONS}/gmsaCredentialSpec"),
            json!("{}"),
        ),
        case(
            &c::NON_ROOT,
            &format!("{s}/securityContext/runAsNonRoot"),
            json!(true),
        ),
        case(
            &c::NON_ROOT,
            &format!("{C}/securityContext/runAsNonRoot"),
            json!(true),
        ),
    ];
    for (name, value) in [
        ("hostIPC", json!(false)),
        ("hostPID", json!(true)),
        ("hostUsers", json!(true)),
        ("shareProcessNamespace", json!(false)),
        ("resources", json!({"limits": {"cpu": "1"}})),
    ] {
        cases.push(case(&pod::LINUX_POD_FIELD, &format!("{s}/{name}"), value));
    }
    for (name, value) in [
        ("appArmorProfile", json!({"type": "RuntimeDefault"})),
        ("fsGroup", json!(1)),
        ("fsGroupChangePolicy", json!("Always")),
        ("runAsGroup", json!(1)),
        ("runAsUser", json!(0)),
        ("seLinuxChangePolicy", json!("MountOption")),
        ("seLinuxOptions", json!({})),
        ("seccompProfile", json!({"type": "RuntimeDefault"})),
        ("supplementalGroups", json!([])),
        ("supplementalGroupsPolicy", json!("Merge")),
        ("sysctls", json!([])),
    ] {
        let pointer = format!("{s}/securityContext/{name}");
        cases.push(case(&pod::LINUX_POD_CONTEXT, &pointer, value));
    }
    cases
}
