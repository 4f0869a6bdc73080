//! Where a rollout goes, and which waves it passes.

use std::time::Duration;

use hosttask_crds::task::{Approval, WindowsHostTaskStatus};

use super::*;
use crate::desired::{FailurePolicy, Wave};
use crate::index::tests::desired;
use crate::observed::NodeView;

const UPDATE: &str = "r-2";

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A task with these waves and the default one.
fn task(waves: &[(&str, u64, Approval)]) -> Desired {
    let wave = |(name, soak, approval): &(&str, u64, Approval)| Wave {
        name: (*name).to_owned(),
        soak: Duration::from_secs(*soak),
        approval: *approval,
        ..Wave::rest()
    };
    let waves = waves.iter().map(wave).chain([Wave::rest()]);
    Desired {
        waves: waves.collect(),
        ..desired()
    }
}

/// A task whose rollout is at a wave.
fn at(task: &Desired, name: &str, soak_end: Option<i64>) -> Observed {
    let wave = WaveStatus {
        name: name.into(),
        layout: revision::wave_layout(&task.waves),
        soak_end_time: soak_end
            .map(|end| k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(second(end))),
        ..WaveStatus::default()
    };
    Observed {
        status: WindowsHostTaskStatus {
            stable_revision: Some("r-1".into()),
            update_revision: Some(UPDATE.into()),
            wave: Some(wave),
            ..WindowsHostTaskStatus::default()
        },
        nodes: vec![NodeView::default()],
        ..Observed::default()
    }
}

/// A wave of so many nodes, of which so many are well and so many are still to be done.
fn tally(base: i32, good: i32, open: i32) -> WaveTally {
    WaveTally {
        base,
        good,
        open,
        settled: true,
        ..WaveTally::default()
    }
}

fn course(task: &Desired, observed: &Observed, waves: &[WaveTally], now: i64) -> Course {
    let standing = Standing::of(task, observed, UPDATE);
    chart(task, observed, &standing, waves, true, second(now))
}

const AUTO: Approval = Approval::Auto;

#[test]
fn too_many_failures_are_counted_up_and_at_least_one() {
    let of = |percent, base| threshold(Amount::Percent(percent), base);
    assert_eq!([of(10, 11), of(10, 10), of(1, 3), of(50, 0)], [2, 1, 1, 1]);
    assert_eq!(
        [
            threshold(Amount::Count(0), 9),
            threshold(Amount::Count(3), 2)
        ],
        [1, 3]
    );
}

#[test]
fn a_rollout_turns_by_its_policy_and_by_what_is_known_to_work() {
    use Direction::{Back, Forward, Standing as Stays};
    let policy = |action| {
        Some(FailurePolicy {
            max_failed: Amount::Count(2),
            action,
        })
    };
    let base = at(&task(&[]), "default", None);
    let standing = |failed, finished, returns| Standing {
        finished,
        returns,
        failed,
        ..Standing::of(&desired(), &base, UPDATE)
    };
    let open = standing(false, false, false);
    let known = standing(true, false, false);
    let pause = policy(FailureAction::Pause);
    let back = policy(FailureAction::Rollback);
    let goes_on = policy(FailureAction::Continue);
    let cases = [
        (open, None, 9, true, (false, Forward)),
        (open, pause, 1, true, (false, Forward)),
        (open, pause, 2, true, (true, Stays)),
        (open, back, 2, true, (true, Back)),
        (open, back, 2, false, (true, Stays)),
        (open, goes_on, 9, true, (false, Forward)),
        // What failed once is not tried again, whatever becomes of the policy and the nodes.
        (known, None, 0, true, (true, Stays)),
        (known, goes_on, 0, true, (true, Stays)),
        (known, back, 0, true, (true, Back)),
        // What is complete, or was before, is not given up.
        (standing(false, true, true), back, 9, true, (false, Forward)),
        (standing(true, false, true), back, 9, true, (false, Forward)),
    ];
    for (number, (standing, policy, failed, returns, expected)) in cases.into_iter().enumerate() {
        let task = Desired {
            failure_policy: policy,
            ..desired()
        };
        let found = direction(&task, &standing, failed, 10, returns);
        assert_eq!(found, expected, "case {number}");
    }
}

#[test]
fn one_pass_leaves_every_wave_behind_that_is_well_or_empty() {
    let task = task(&[("a", 0, AUTO), ("b", 0, AUTO), ("c", 0, AUTO)]);
    let waves = [
        tally(2, 2, 0),
        tally(0, 0, 0),
        tally(1, 0, 1),
        tally(3, 0, 3),
    ];
    let course = course(&task, &at(&task, "a", None), &waves, 0);
    assert_eq!(course.position, 2);
    assert_eq!(course.steps, [Step::Completed(0), Step::Skipped(1)]);
    assert!(!course.over && course.gate.is_none());
}

#[test]
fn a_wave_is_not_left_while_nodes_are_open_or_too_few_are_well() {
    let task = task(&[("a", 0, AUTO)]);
    let observed = at(&task, "a", None);
    let rest = tally(3, 0, 3);
    let open = course(&task, &observed, &[tally(2, 2, 1), rest], 0);
    assert_eq!((open.position, open.over), (0, false));
    let short = course(&task, &observed, &[tally(2, 1, 0), rest], 0);
    assert_eq!(
        (short.position, short.over, short.short),
        (0, true, Some((1, 2)))
    );
    let unsettled = WaveTally {
        settled: false,
        ..tally(2, 2, 0)
    };
    let waits = course(&task, &observed, &[unsettled, rest], 0);
    assert_eq!((waits.position, waits.over), (0, false));
}

#[test]
fn where_nobody_answers_no_wave_is_passed_over() {
    let task = task(&[("a", 0, AUTO)]);
    let none = [tally(0, 0, 0), tally(0, 0, 0)];
    let observed = at(&task, "a", None);
    assert_eq!(course(&task, &observed, &none, 0).position, 0);
    let nobody = Observed {
        nodes: Vec::new(),
        ..observed
    };
    let course = course(&task, &nobody, &none, 0);
    assert_eq!(
        (course.position, course.over),
        (1, true),
        "a task without nodes is done"
    );
}

#[test]
fn a_wave_soaks_from_the_moment_it_is_well_and_a_shorter_soak_holds() {
    let waves = [tally(2, 2, 0), tally(3, 0, 3)];
    let mut task = task(&[("a", 300, AUTO)]);
    let begins = course(&task, &at(&task, "a", None), &waves, 1_000);
    assert_eq!(begins.gate, Some(Gate::Soak(second(1_300))));
    assert_eq!(begins.soak_end, Some(second(1_300)));
    let goes_on = course(&task, &at(&task, "a", Some(1_300)), &waves, 1_299);
    assert_eq!(goes_on.gate, Some(Gate::Soak(second(1_300))));
    let over = course(&task, &at(&task, "a", Some(1_300)), &waves, 1_300);
    assert_eq!((over.position, over.soak_end), (1, None));
    task.waves[0].soak = Duration::from_secs(10);
    let cut = course(&task, &at(&task, "a", Some(1_300)), &waves, 1_100);
    assert_eq!(cut.gate, Some(Gate::Soak(second(1_110))));
    let broken = [tally(2, 1, 1), tally(3, 0, 3)];
    let broken = course(&task, &at(&task, "a", Some(1_300)), &broken, 1_100);
    assert_eq!(
        (broken.soak_end, broken.gate),
        (None, None),
        "it begins anew"
    );
}

#[test]
fn an_approval_is_asked_for_after_the_soak_and_counts_for_this_revision_and_all_waves_before() {
    let waves = [tally(2, 2, 0), tally(1, 1, 0), tally(3, 0, 3)];
    let mut task = task(&[("a", 60, Approval::Manual), ("b", 0, AUTO)]);
    let soaked = at(&task, "a", Some(900));
    assert_eq!(
        course(&task, &soaked, &waves, 1_000).gate,
        Some(Gate::Approval)
    );
    for (said, passed) in [
        ("r-2/a", true),
        ("r-2/b", true),
        ("r-1/a", false),
        ("r-2/other", false),
        ("a", false),
    ] {
        let mut asked = soaked.clone();
        asked.requests.approved_wave = Some(said.to_owned());
        assert_eq!(
            course(&task, &asked, &waves, 1_000).position == 2,
            passed,
            "{said}"
        );
        let told = approval::mistake(&task, &asked, UPDATE, 0);
        assert_eq!(told.is_none(), passed, "{told:?}");
    }
    task.approved_wave = Some("r-2/a".into());
    assert_eq!(course(&task, &soaked, &waves, 1_000).position, 2);
}

#[test]
fn a_rollout_goes_on_at_the_wave_it_was_at_unless_an_edit_put_work_before_it() {
    let task = task(&[("a", 0, AUTO), ("b", 0, AUTO)]);
    let before = [tally(1, 0, 1), tally(1, 0, 1), tally(1, 0, 1)];
    let after = [tally(1, 1, 0), tally(1, 0, 1), tally(1, 0, 1)];
    let position = |name: &str, edited: bool, waves: &[WaveTally]| {
        let mut observed = at(&task, name, None);
        if let Some(wave) = observed.status.wave.as_mut().filter(|_| edited) {
            wave.layout = Some("former".into());
        }
        course(&task, &observed, waves, 0).position
    };
    assert_eq!(
        position("b", false, &before),
        1,
        "a node of a passed wave is back"
    );
    assert_eq!(position("b", true, &before), 0);
    assert_eq!(position("b", true, &after), 1);
    assert_eq!(position("default", true, &after), 1);
    assert_eq!(
        position("gone", true, &after),
        1,
        "past the one that is well"
    );
}

#[test]
fn what_is_complete_needs_no_waves() {
    let task = task(&[("a", 300, Approval::Manual)]);
    let mut observed = at(&task, "a", None);
    observed.status.stable_revision = Some(UPDATE.into());
    let waves = [tally(1, 0, 1), tally(1, 1, 0)];
    let course = course(&task, &observed, &waves, 0);
    assert_eq!((course.position, course.gate), (1, None));
}
