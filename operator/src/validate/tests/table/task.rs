//! Cases of everything but the template.

use super::super::super::{
    decode, identity as i, input, job as j, limits as l, placement as p, selector as s, wave,
    window,
};
use super::*;

pub(super) fn task_cases() -> Vec<Case> {
    let account = "/runAs";
    let mut cases = vec![
        case(&REQUIRED, "/mode", Value::Null),
        case(&REQUIRED, "/runAs", Value::Null),
        case(&REQUIRED, "/template", Value::Null),
        case(&j::MODE, "/job", json!({"ttlSecondsAfterFinished": 60})),
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

pub(super) fn placement_cases() -> Vec<Case> {
    let labels = "/placement/nodeSelector/matchLabels";
    let expression = "/placement/nodeSelector/matchExpressions/0";
    let toleration = "/placement/tolerations/0";
    vec![
        case(&s::KEY, &format!("{labels}/a b"), json!("x")),
        case(&s::KEY, &format!("{expression}/key"), json!("-a")),
        case(&s::VALUE, &format!("{labels}/pool"), json!("a b")),
        case(&s::VALUE, &format!("{expression}/values/0"), json!("-")),
        case(&s::OPERATOR, &format!("{expression}/operator"), json!("Gt")),
        case(&s::VALUES, &format!("{expression}/values"), json!([])),
        at(
            &s::VALUES,
            &format!("{expression}/operator"),
            json!("Exists"),
            "spec.placement.nodeSelector.matchExpressions[0].values",
        ),
        case(
            &s::NOT_WINDOWS,
            &format!("{labels}/kubernetes.io~1os"),
            json!("linux"),
        ),
        case(
            &s::NOT_WINDOWS,
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

pub(super) fn input_cases() -> Vec<Case> {
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

pub(super) fn limit_cases() -> Vec<Case> {
    let mut cases = vec![
        case(&l::MIN_HEALTHY, "/health/minHealthy", json!(-1)),
        case(&l::MIN_HEALTHY, "/health/minHealthy", json!("most")),
        job(&j::CODE_NONE, "/job/exitCodes/success", json!([])),
        job(&j::CODE_TWICE, "/job/exitCodes/success", json!([0, 0])).named_at("[1]"),
        job(
            &j::CODE_IN_BOTH,
            "/job/exitCodes/rebootRequired",
            json!([7]),
        )
        .named_at("[0]"),
        job(&j::CODE_ZERO, "/job/exitCodes/rebootRequired", json!([0])).named_at("[0]"),
        of(
            run_once(),
            &j::CODE_COUNT,
            "/job/exitCodes/success",
            json!((0..255).collect::<Vec<i32>>()),
            "spec.job.exitCodes",
        ),
        job(&j::RETRY_ORDER, "/job/retry/maxSeconds", json!(299)),
        job(&j::RETRY_ORDER, "/job/retry/initialSeconds", json!(86_401)),
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
        ("/job/ttlSecondsAfterFinished", 59),
        ("/job/retry/limit", -1),
        ("/job/retry/initialSeconds", 0),
    ] {
        cases.push(job(&l::RANGE, pointer, json!(value)));
    }
    cases
}

pub(super) fn job_cases() -> Vec<Case> {
    let command = json!({"command": ["powershell", "-Command", "exit 0"]});
    let scheduled =
        |rule, pointer: &str, value| of(scheduled(), rule, pointer, value, &field(pointer));
    let mut nonce = job(&j::NONCE, "/job/rerunNonce", json!("2"));
    set(&mut nonce.spec, "/job/rerunOn", json!(["NodeReboot"]));
    let mut cases = vec![
        nonce,
        job(&j::CHECK_COMMAND, "/job/check/command", json!([])),
        job(&j::CHECK_COMMAND, "/job/check/command", json!([""])),
        job(&j::CHECK_ONLY, "/job/checkOnly", json!(true)),
        job(
            &j::RERUN_TWICE,
            "/job/rerunOn",
            json!(["NodeReboot", "NodeReboot"]),
        )
        .named_at("[1]"),
        scheduled(&j::RERUN_MODE, "/job/rerunOn", json!(["NodeReboot"])),
        scheduled(&j::RERUN_MODE, "/job/rerunNonce", json!("2")),
        scheduled(&j::SCHEDULE, "/schedule", Value::Null),
        scheduled(&window::CRON, "/schedule/cron", json!("0 3 * *")),
        scheduled(&window::TIME_ZONE, "/schedule/timeZone", json!("Berlin")),
        scheduled(&l::RANGE, "/schedule/startingDeadlineSeconds", json!(0)),
        scheduled(&l::RANGE, "/schedule/jitterSeconds", json!(86_401)),
        scheduled(&wave::SCHEDULED, "/rollout/partition", json!(1)),
        scheduled(
            &wave::SCHEDULED,
            "/rollout/failurePolicy",
            json!({"maxFailedNodes": 2}),
        ),
        scheduled(
            &wave::SCHEDULED,
            "/rollout/waves",
            steered()["rollout"]["waves"].clone(),
        ),
        case(&j::SCHEDULE_MODE, "/schedule", json!({"cron": "0 3 * * *"})),
        job(&j::SCHEDULE_MODE, "/schedule", json!({"cron": "0 3 * * *"})),
    ];
    let mut with_check = job(&j::CHECK_COMMAND, "/job/check", command);
    set(&mut with_check.spec, "/job/check/command/0", json!(""));
    cases.push(with_check.named("command"));
    cases
}
