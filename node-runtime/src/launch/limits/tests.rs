//! Tables of resources.

use super::*;

const PROCESSORS: u32 = 8;

fn everything() -> Features {
    let limits = [
        LimitKind::JobMemory,
        LimitKind::ProcessMemory,
        LimitKind::CpuCap,
        LimitKind::CpuWeight,
        LimitKind::Affinity,
        LimitKind::ActiveProcesses,
        LimitKind::Priority,
        LimitKind::UserInterface,
        LimitKind::NetworkRate,
    ];
    Features {
        limits: BTreeSet::from(limits),
        ..Features::default()
    }
}

fn read(json: &str) -> Result<Limits, String> {
    update(json.as_bytes(), &everything(), PROCESSORS).map_err(|it| it.to_string())
}

#[test]
fn processor_time_follows_the_formulae_of_today() {
    let table = [
        (r#"{"cpu":{"count":1}}"#, Cpu::Cap(1250)),
        (r#"{"cpu":{"count":3}}"#, Cpu::Cap(3750)),
        (r#"{"cpu":{"count":8}}"#, Cpu::Cap(10_000)),
        (
            r#"{"cpu":{"count":18446744073709551615}}"#,
            Cpu::Cap(10_000),
        ),
        (r#"{"cpu":{"maximum":1}}"#, Cpu::Cap(1)),
        (r#"{"cpu":{"maximum":10000}}"#, Cpu::Cap(10_000)),
        (r#"{"cpu":{"shares":1}}"#, Cpu::Weight(1)),
        (r#"{"cpu":{"shares":5000}}"#, Cpu::Weight(5)),
        (r#"{"cpu":{"shares":10000}}"#, Cpu::Weight(9)),
        (
            r#"{"cpu":{"count":0,"maximum":0,"shares":7500}}"#,
            Cpu::Weight(7),
        ),
    ];
    for (json, cpu) in table {
        assert_eq!(read(json).unwrap().cpu, Some(cpu), "{json}");
    }
    let crowded = update(br#"{"cpu":{"count":1}}"#, &everything(), 20_000).unwrap();
    assert_eq!(crowded.cpu, Some(Cpu::Cap(1)));
}

#[test]
fn zero_is_no_limit() {
    let json = r#"{"memory":{"limit":0},"cpu":{"count":0,"maximum":0,"shares":0,"affinity":[]},"storage":{"iops":0,"bps":0}}"#;
    assert_eq!(read(json), Ok(Limits::default()));
}

#[test]
fn what_is_out_of_range_or_impossible_is_refused_by_name() {
    let table = [
        (
            r#"{"memory":{"limit":1048575}}"#,
            "memory.limit: it must be from 1048576",
        ),
        (
            r#"{"memory":{"limit":18446744073709551615}}"#,
            "memory.limit: it must be from",
        ),
        (
            r#"{"memory":{"limit":-1}}"#,
            "memory.limit: write a whole number",
        ),
        (
            r#"{"memory":{"swap":1}}"#,
            "memory.swap: this field is unknown",
        ),
        (
            r#"{"cpu":{"maximum":10001}}"#,
            "cpu.maximum: it must be from 1 to 10000",
        ),
        (
            r#"{"cpu":{"shares":10001}}"#,
            "cpu.shares: it must be from 1 to 10000",
        ),
        (
            r#"{"cpu":{"count":1,"maximum":1}}"#,
            "cpu.maximum: only one of",
        ),
        (
            r#"{"cpu":{"count":1,"shares":1}}"#,
            "cpu.shares: only one of",
        ),
        (
            r#"{"cpu":{"affinity":[{"mask":0}]}}"#,
            "cpu.affinity[0].mask: no processor",
        ),
        (
            r#"{"cpu":{"affinity":[{"mask":256}]}}"#,
            "cpu.affinity[0].mask: this host has 8",
        ),
        (
            r#"{"cpu":{"affinity":[{"mask":1,"group":1}]}}"#,
            "cpu.affinity[0].mask: this host",
        ),
        (
            r#"{"cpu":{"affinity":[{"mask":1},{"mask":2}]}}"#,
            "cpu.affinity[1].mask: the group",
        ),
        (
            r#"{"cpu":{"affinity":[{"mask":1,"group":70000}]}}"#,
            "cpu.affinity[0].mask: no host",
        ),
        (
            r#"{"storage":{"iops":1}}"#,
            "storage.iops: Windows cannot limit",
        ),
        (
            r#"{"storage":{"bps":1}}"#,
            "storage.bps: Windows cannot limit",
        ),
        (
            r#"{"storage":{"sandboxSize":1}}"#,
            "storage.sandboxSize: the root",
        ),
    ];
    for (json, rule) in table {
        let text = read(json).unwrap_err();
        assert!(text.starts_with(rule), "{json}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn affinity_of_a_large_host_has_groups() {
    let json = br#"{"cpu":{"affinity":[{"mask":18446744073709551615},{"mask":3,"group":1}]}}"#;
    let limits = update(json, &everything(), 96).unwrap();
    let group = |group, mask| GroupAffinity { group, mask };
    assert_eq!(limits.affinity, [group(0, u64::MAX), group(1, 3)]);
}

#[test]
fn a_limit_that_the_host_lacks_is_refused_by_the_field_that_asked() {
    let json = br#"{"memory":{"limit":4194304},"cpu":{"count":1,"affinity":[{"mask":1}]}}"#;
    let text = update(json, &Features::default(), PROCESSORS).unwrap_err();
    let paths: Vec<_> = text.list().iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["memory.limit", "cpu.count", "cpu.affinity[0].mask"]);
}

#[test]
fn the_range_of_each_is_said_beside_that_only_one_can_stay() {
    let text = read(r#"{"cpu":{"maximum":10001,"shares":10002}}"#).unwrap_err();
    let places: Vec<_> = text
        .lines()
        .filter_map(|it| it.split(": ").next())
        .collect();
    assert_eq!(
        places,
        ["cpu.maximum", "cpu.shares", "cpu.shares"],
        "{text}"
    );
    assert!(text.contains("(it is \"10002\")") && text.contains("only one of"));
}
