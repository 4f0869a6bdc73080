//! One case per rule, at least: the task that breaks it and nothing else, and the field that is named.

use super::super::{
    container as c, decode, identity as i, input, limits as l, placement as p, pod, probe,
    template as t, volume as v,
};
use super::*;

struct Case {
    rule: &'static Rule,
    spec: Value,
    inputs: InputsView,
    field: String,
}

/// Where the only container and the only init container stand.
const C: &str = "/template/spec/containers/0";
const I: &str = "/template/spec/initContainers/0";
const OPTIONS: &str = "securityContext/windowsOptions";

/// A case whose problem is named by the field that was changed.
fn case(rule: &'static Rule, pointer: &str, value: Value) -> Case {
    at(rule, pointer, value, &field(pointer))
}

/// A case whose problem is at another field than the one that was changed.
fn at(rule: &'static Rule, pointer: &str, value: Value, field: &str) -> Case {
    of(daemon(), rule, pointer, value, field)
}

fn job(rule: &'static Rule, pointer: &str, value: Value) -> Case {
    of(run_once(), rule, pointer, value, &field(pointer))
}

fn of(mut spec: Value, rule: &'static Rule, pointer: &str, value: Value, field: &str) -> Case {
    set(&mut spec, pointer, value);
    Case {
        rule,
        spec,
        inputs: inputs(),
        field: field.into(),
    }
}

/// `/a/0/b` as `spec.a[0].b`; keys of maps are in brackets.
fn field(pointer: &str) -> String {
    let mut field = "spec".to_owned();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/");
        let is_key = ["matchLabels", "labels", "annotations"]
            .iter()
            .any(|it| field.ends_with(it));
        if is_key || part.parse::<usize>().is_ok() {
            field.push_str(&format!("[{part}]"));
        } else {
            field.push_str(&format!(".{part}"));
        }
    }
    field
}

fn task_cases() -> Vec<Case> {
    let account = "/runAs";
    let mut cases = vec![
        case(&REQUIRED, "/mode", Value::Null),
        case(&REQUIRED, "/runAs", Value::Null),
        case(&REQUIRED, "/template", Value::Null),
        case(&JOB_MODE, "/job", json!({"ttlSecondsAfterFinished": 5})),
        case(&decode::MALFORMED, "/mode", json!("Sometimes")),
        case(&decode::MALFORMED, "/suspend", json!("no")),
        case(&decode::MALFORMED, "/template", json!([])),
        case(
            &decode::MALFORMED,
            "/rollout/minReadySeconds",
            json!(1_i64 << 40),
        ),
        case(&decode::MALFORMED, &format!("{C}/args"), json!("one")),
        case(&i::RUN_AS_CHOICE, account, json!({})),
        case(
            &i::RUN_AS_CHOICE,
            account,
            json!({"account": "System", "localGroup": "a"}),
        ),
        at(
            &i::LOCAL_GROUP,
            account,
            json!({"localGroup": r"CORP\a"}),
            "spec.runAs.localGroup",
        ),
        at(
            &i::LOCAL_GROUP,
            account,
            json!({"localGroup": ""}),
            "spec.runAs.localGroup",
        ),
        case(
            &i::ACCOUNT,
            &format!("{C}/{OPTIONS}/runAsUserName"),
            json!(r"nt authority\SYSTEM"),
        ),
        case(
            &i::ACCOUNT,
            &format!("{I}/{OPTIONS}/runAsUserName"),
            json!("ContainerUser"),
        ),
        case(
            &i::POD_ACCOUNT,
            &format!("/template/spec/{OPTIONS}/runAsUserName"),
            json!(r"NT AUTHORITY\LocalService"),
        ),
    ];
    let mut lesser = daemon();
    set(&mut lesser, account, json!({"account": "LocalService"}));
    let name = format!("{C}/{OPTIONS}/runAsUserName");
    cases.push(of(
        lesser,
        &i::CEILING,
        &name,
        json!(r"NT AUTHORITY\SYSTEM"),
        &field(&name),
    ));
    cases
}

fn placement_cases() -> Vec<Case> {
    let labels = "/placement/nodeSelector/matchLabels";
    let expression = "/placement/nodeSelector/matchExpressions/0";
    let toleration = "/placement/tolerations/0";
    vec![
        case(&p::SELECTOR_KEY, &format!("{labels}/a b"), json!("x")),
        case(&p::SELECTOR_KEY, &format!("{expression}/key"), json!("-a")),
        case(&p::SELECTOR_VALUE, &format!("{labels}/pool"), json!("a b")),
        case(
            &p::SELECTOR_VALUE,
            &format!("{expression}/values/0"),
            json!("-"),
        ),
        case(
            &p::SELECTOR_OPERATOR,
            &format!("{expression}/operator"),
            json!("Gt"),
        ),
        case(
            &p::SELECTOR_VALUES,
            &format!("{expression}/values"),
            json!([]),
        ),
        at(
            &p::SELECTOR_VALUES,
            &format!("{expression}/operator"),
            json!("Exists"),
            "spec.placement.nodeSelector.matchExpressions[0].values",
        ),
        case(
            &p::SELECTOR_OS,
            &format!("{labels}/kubernetes.io~1os"),
            json!("linux"),
        ),
        case(
            &p::SELECTOR_OS,
            expression,
            json!({"key": "kubernetes.io/os", "operator": "NotIn", "values": ["windows"]}),
        ),
        case(&p::BUILD, "/placement/windowsBuilds/0", json!("2022")),
        at(
            &p::TOLERATION_KEY,
            toleration,
            json!({"operator": "Equal", "value": "x"}),
            "spec.placement.tolerations[0].key",
        ),
        case(
            &p::TOLERATION_OPERATOR,
            &format!("{toleration}/operator"),
            json!("Gt"),
        ),
        at(
            &p::TOLERATION_VALUE,
            &format!("{toleration}/operator"),
            json!("Exists"),
            "spec.placement.tolerations[0].value",
        ),
        case(
            &p::TOLERATION_EFFECT,
            &format!("{toleration}/effect"),
            json!("Never"),
        ),
        case(
            &p::TOLERATION_SECONDS,
            &format!("{toleration}/tolerationSeconds"),
            json!(5),
        ),
    ]
}

fn template_cases() -> Vec<Case> {
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

fn container_cases() -> Vec<Case> {
    let mut cases = vec![
        case(&c::NAME, &format!("{C}/name"), json!("Agent")),
        case(&c::IMAGE, &format!("{C}/image"), json!(" a")),
        case(&c::IMAGE, &format!("{I}/image"), json!("")),
        case(
            &c::PULL_POLICY,
            &format!("{C}/imagePullPolicy"),
            json!("Sometimes"),
        ),
        case(
            &c::MESSAGE_POLICY,
            &format!("{C}/terminationMessagePolicy"),
            json!("Log"),
        ),
        case(
            &c::INIT_RESTART,
            &format!("{I}/restartPolicy"),
            json!("Never"),
        ),
        case(&c::ENV_NAME, &format!("{C}/env/0/name"), json!("A=B")),
        case(
            &c::ENV_TWICE,
            &format!("{C}/env/1"),
            json!({"name": "NODE", "value": "x"}),
        )
        .named("name"),
        at(
            &c::ENV_SOURCE,
            &format!("{C}/env/0/value"),
            json!("x"),
            "spec.template.spec.containers[0].env[0].valueFrom",
        ),
        case(&c::ENV_SOURCE, &format!("{C}/env/0/valueFrom"), json!({})),
        case(
            &c::PORT_NUMBER,
            &format!("{C}/ports/0/containerPort"),
            json!(65_536),
        ),
        case(&c::PORT_HOST, &format!("{C}/ports/0/hostPort"), json!(80)),
        case(
            &c::PORT_PROTOCOL,
            &format!("{C}/ports/0/protocol"),
            json!("tcp"),
        ),
        case(&c::PORT_NAME, &format!("{C}/ports/0/name"), json!("80")),
        case(
            &c::PORT_NAME_TWICE,
            &format!("{C}/ports/1"),
            json!({"containerPort": 1, "name": "http"}),
        )
        .named("name"),
        case(
            &c::PORT_TWICE,
            &format!("{C}/ports/1"),
            json!({"containerPort": 9182}),
        )
        .named("containerPort"),
        case(
            &c::PORT_TWICE,
            "/template/spec/containers/1",
            json!({"name": "b", "image": "b", "ports": [{"containerPort": 9182}]}),
        )
        .named("ports[0].containerPort"),
        case(
            &c::QUANTITY,
            &format!("{C}/resources/limits/cpu"),
            json!("half"),
        ),
        case(
            &c::QUANTITY,
            &format!("{C}/resources/requests/memory"),
            json!("-1"),
        ),
        case(
            &c::REQUEST_OVER_LIMIT,
            &format!("{C}/resources/requests/cpu"),
            json!("501m"),
        ),
        case(
            &c::HUGE_PAGES,
            &format!("{C}/resources/limits/hugepages-2Mi"),
            json!("2Mi"),
        ),
        case(
            &probe::PROBE_HANDLER,
            &format!("{C}/livenessProbe"),
            json!({"periodSeconds": 5}),
        ),
        case(
            &probe::PROBE_HANDLER,
            &format!("{C}/readinessProbe"),
            json!({"exec": {}, "grpc": {"port": 1}}),
        ),
        case(
            &probe::PROBE_NUMBER,
            &format!("{C}/readinessProbe/periodSeconds"),
            json!(-1),
        ),
        case(
            &probe::PROBE_SUCCESS,
            &format!("{C}/startupProbe"),
            json!({"exec": {}, "successThreshold": 2}),
        )
        .named("successThreshold"),
        case(
            &probe::INIT_PROBE,
            &format!("{I}/livenessProbe"),
            json!({"exec": {}}),
        ),
        case(
            &probe::INIT_PROBE,
            &format!("{I}/lifecycle"),
            json!({"preStop": {"exec": {}}}),
        ),
        case(
            &probe::LIFECYCLE_HANDLER,
            &format!("{C}/lifecycle/preStop"),
            json!({}),
        ),
    ];
    for (name, value) in [
        ("allowPrivilegeEscalation", json!(false)),
        ("appArmorProfile", json!({"type": "RuntimeDefault"})),
        ("capabilities", json!({"drop": ["ALL"]})),
        ("privileged", json!(false)),
        ("procMount", json!("Default")),
        ("readOnlyRootFilesystem", json!(false)),
        ("runAsGroup", json!(1)),
        ("runAsUser", json!(1)),
        ("seLinuxOptions", json!({})),
        ("seccompProfile", json!({"type": "RuntimeDefault"})),
    ] {
        for container in [C, I] {
            let pointer = format!("{container}/securityContext/{name}");
            cases.push(case(&c::LINUX_FIELD, &pointer, value.clone()));
        }
    }
    cases
}

fn volume_cases() -> Vec<Case> {
    let volume = "/template/spec/volumes/1";
    let mount = "/template/spec/containers/0/volumeMounts/0";
    let with = |name: &str, source: Value| {
        let mut volume = source;
        set(&mut volume, "/name", json!(name));
        volume
    };
    vec![
        case(&v::VOLUME_NAME, volume, with("A", json!({"emptyDir": {}}))).named("name"),
        case(
            &v::VOLUME_TWICE,
            volume,
            with("config", json!({"emptyDir": {}})),
        )
        .named("name"),
        case(&v::VOLUME_SOURCE, volume, with("a", json!({}))),
        case(
            &v::VOLUME_SOURCE,
            volume,
            with("a", json!({"emptyDir": {}, "hostPath": {"path": "/a"}})),
        ),
        case(
            &v::PIPE,
            volume,
            with(
                "a",
                json!({"hostPath": {"path": r"\\.\pipe\csi-proxy-disk-v1"}}),
            ),
        )
        .named("hostPath.path"),
        case(
            &v::SOCKET,
            volume,
            with("a", json!({"hostPath": {"path": "/a", "type": "Socket"}})),
        )
        .named("hostPath.type"),
        case(
            &v::HOST_PATH_DOTS,
            volume,
            with("a", json!({"hostPath": {"path": r"C:\a\..\b"}})),
        )
        .named("hostPath.path"),
        case(
            &v::MEDIUM,
            volume,
            with("a", json!({"emptyDir": {"medium": "Memory"}})),
        )
        .named("emptyDir.medium"),
        case(
            &v::DEVICES,
            &format!("{C}/volumeDevices"),
            json!([{"name": "config", "devicePath": "d"}]),
        ),
        case(&v::MOUNT_VOLUME, &format!("{mount}/name"), json!("other")),
        case(&v::MOUNT_PATH, &format!("{mount}/mountPath"), json!("")),
        case(
            &v::MOUNT_TWICE,
            "/template/spec/containers/0/volumeMounts/1",
            json!({"name": "config", "mountPath": "/etc/agent"}),
        )
        .named("mountPath"),
        case(
            &v::MOUNT_DRIVE,
            &format!("{mount}/mountPath"),
            json!("c:\\"),
        ),
        case(&v::MOUNT_DRIVE, &format!("{mount}/mountPath"), json!("/")),
        case(
            &v::MOUNT_PIPE,
            &format!("{mount}/mountPath"),
            json!(r"\\.\pipe\a"),
        ),
        case(
            &v::PROPAGATION,
            &format!("{mount}/mountPropagation"),
            json!("HostToContainer"),
        ),
        case(
            &v::RECURSIVE,
            &format!("{mount}/recursiveReadOnly"),
            json!("IfPossible"),
        ),
        case(&v::SUB_PATH, &format!("{mount}/subPath"), json!("../a")),
        case(&v::SUB_PATH, &format!("{mount}/subPathExpr"), json!("/a")),
    ]
}

fn input_cases() -> Vec<Case> {
    let states = |config_map: Option<InputState>, secret: Option<InputState>| InputsView {
        config_maps: config_map
            .into_iter()
            .map(|it| ("agent".into(), it))
            .collect(),
        secrets: secret.into_iter().map(|it| ("token".into(), it)).collect(),
    };
    let present = || Some(InputState::Present("d".into()));
    let denied = || Some(InputState::Denied("forbidden".into()));
    let (map, secret) = (
        "spec.inputs.configMaps[0].name",
        "spec.inputs.secrets[0].name",
    );
    let with = |rule, inputs, field: &str| Case {
        rule,
        spec: daemon(),
        inputs,
        field: field.into(),
    };
    vec![
        case(&input::NAME, "/inputs/configMaps/0/name", json!("A b")),
        case(&input::TWICE, "/inputs/secrets/1", json!({"name": "token"})).named("name"),
        with(&input::MISSING, states(None, present()), map),
        with(
            &input::MISSING,
            states(Some(InputState::Missing), present()),
            map,
        ),
        with(&input::MISSING, states(present(), None), secret),
        with(&input::CONFIG_MAP_DENIED, states(denied(), present()), map),
        with(&input::SECRET_DENIED, states(present(), denied()), secret),
    ]
}

fn limit_cases() -> Vec<Case> {
    let mut cases = vec![
        case(&l::MAX_UNAVAILABLE, "/rollout/maxUnavailable", json!(0)),
        case(&l::MAX_UNAVAILABLE, "/rollout/maxUnavailable", json!("0%")),
        case(
            &l::MAX_UNAVAILABLE,
            "/rollout/maxUnavailable",
            json!("101%"),
        ),
        case(&l::MAX_UNAVAILABLE, "/rollout/maxUnavailable", json!("5")),
        case(&l::MAX_UNAVAILABLE, "/rollout/maxUnavailable", json!("+5%")),
        case(&l::MIN_HEALTHY, "/health/minHealthy", json!(-1)),
        case(&l::MIN_HEALTHY, "/health/minHealthy", json!("most")),
        case(
            &l::DEADLINE_ORDER,
            "/rollout/progressDeadlineSeconds",
            json!(30),
        ),
        job(&l::CODE_TWICE, "/job/exitCodes/success", json!([0, 0])).named_at("[1]"),
        job(
            &l::CODE_IN_BOTH,
            "/job/exitCodes/rebootRequired",
            json!([7]),
        )
        .named_at("[0]"),
        job(&l::CODE_ZERO, "/job/exitCodes/rebootRequired", json!([0])).named_at("[0]"),
        of(
            run_once(),
            &l::CODE_COUNT,
            "/job/exitCodes/success",
            json!((0..255).collect::<Vec<i32>>()),
            "spec.job.exitCodes",
        ),
        job(&l::RETRY_ORDER, "/job/retry/maxSeconds", json!(299)),
        job(&l::RETRY_ORDER, "/job/retry/initialSeconds", json!(86_401)),
    ];
    for (pointer, value) in [
        ("/rollout/minReadySeconds", -1),
        ("/rollout/revisionHistoryLimit", -1),
        ("/health/maxRestarts", -1),
        ("/health/restartWindowSeconds", 0),
        ("/health/startGraceSeconds", 86_401),
    ] {
        cases.push(case(&l::RANGE, pointer, json!(value)));
    }
    for (pointer, value) in [
        ("/job/activeDeadlineSeconds", 0),
        ("/job/ttlSecondsAfterFinished", -1),
        ("/job/retry/limit", -1),
        ("/job/retry/initialSeconds", 0),
    ] {
        cases.push(job(&l::RANGE, pointer, json!(value)));
    }
    cases
}

impl Case {
    /// The problem is at a field below the one that was changed.
    fn named(self, below: &str) -> Self {
        self.named_at(&format!(".{below}"))
    }

    fn named_at(mut self, suffix: &str) -> Self {
        self.field.push_str(suffix);
        self
    }
}

fn cases() -> Vec<Case> {
    let all = [
        task_cases(),
        placement_cases(),
        template_cases(),
        container_cases(),
        volume_cases(),
        input_cases(),
        limit_cases(),
    ];
    all.into_iter().flatten().collect()
}

#[test]
fn a_task_with_something_of_everything_is_valid() {
    for spec in [daemon(), run_once()] {
        assert_eq!(check(&spec, &inputs()).err(), None);
    }
}

#[test]
fn breaking_a_rule_is_reported_once_with_its_field_and_nothing_else_is() {
    for case in cases() {
        let problems = check(&case.spec, &case.inputs).expect_err(case.rule.message);
        let [problem] = problems.as_slice() else {
            panic!("{} ({}): {problems:#?}", case.rule.message, case.field);
        };
        assert_eq!(problem.field, case.field, "{}", case.rule.message);
        assert!(
            problem.message.starts_with(case.rule.message),
            "{problem:#?}"
        );
        assert_eq!(problem.reason, case.rule.reason);
    }
}

#[test]
fn no_rule_is_without_a_case() {
    let cases = cases();
    for rule in rules() {
        assert!(
            cases
                .iter()
                .any(|case| case.rule.message == rule.message && case.rule.field == rule.field),
            "no case breaks the rule of {}: {}",
            rule.field,
            rule.message
        );
    }
}

#[test]
fn all_broken_rules_are_reported_together() {
    let mut spec = run_once();
    set(&mut spec, "/runAs", json!({}));
    set(&mut spec, "/template/spec/hostNetwork", json!(false));
    set(&mut spec, "/template/spec/hostPID", json!(true));
    set(&mut spec, "/health/minHealthy", json!("many"));
    set(&mut spec, "/job/retry/limit", json!(-1));
    let problems = check(&spec, &InputsView::default()).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.runAs",
            "spec.template.spec.hostNetwork",
            "spec.template.spec.hostPID",
            "spec.inputs.configMaps[0].name",
            "spec.inputs.secrets[0].name",
            "spec.health.minHealthy",
            "spec.job.retry.limit",
        ]
    );
}

#[test]
fn a_denied_secret_names_the_command_that_grants_it() {
    let view = InputsView {
        secrets: BTreeMap::from([("token".into(), InputState::Denied("forbidden".into()))]),
        ..inputs()
    };
    let problems = check(&daemon(), &view).unwrap_err();
    assert_eq!(problems[0].reason, Reason::SecretAccessDenied);
    assert!(problems[0].message.contains(
        "kubectl create rolebinding hosttask-secret-reader --namespace monitoring \
         --clusterrole=hosttask-secret-reader \
         --serviceaccount=hosttask-system:hosttask-operator"
    ));
}
