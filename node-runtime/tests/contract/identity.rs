//! Whom programs run as.

use hosttask_node_runtime::sys::{Streams, User};

use crate::bench::{Bench, ended};

pub(crate) fn whoever_runs_the_runtime_can_be_inherited(bench: &Bench) {
    let identity = bench.host.log_on(&User::Inherit, "inherit").unwrap();
    assert!(!identity.account().is_empty());
    assert!(!identity.environment().unwrap().is_empty());
    let job = bench.job();
    let launch = bench.launch(&["exit", "0"]);
    let process = job
        .spawn(&launch, Streams::default(), identity.as_ref())
        .unwrap();
    drop(identity);
    assert_eq!(ended(process.as_ref()), 0);
}

pub(crate) fn a_group_that_does_not_exist_is_refused(bench: &Bench) {
    if bench.is_wine() {
        return bench.not_run(
            "a group that does not exist",
            "Wine says that every group exists",
        );
    }
    let group = User::Group("no-such-group".to_owned());
    assert!(bench.host.log_on(&group, "nobody").is_err());
    assert_eq!(bench.host.sweep_identities(&|_| false).unwrap(), [""; 0]);
}

pub(crate) fn a_temporary_account_is_gone_with_its_last_reference(bench: &Bench) {
    let Some(fake) = &bench.fake else {
        return bench.not_run("temporary accounts", "the suite makes none on a real host");
    };
    let group = User::Group("operators".to_owned());
    let first = bench.host.log_on(&group, "web").unwrap();
    let second = bench.host.log_on(&group, "web").unwrap();
    assert_eq!(fake.accounts(), ["web"]);
    drop(first);
    assert_eq!(fake.accounts(), ["web"]);
    drop(second);
    assert!(fake.accounts().is_empty());
}

pub(crate) fn an_account_that_a_crash_left_is_swept(bench: &Bench) {
    let Some(fake) = &bench.fake else {
        return bench.not_run("leftover accounts", "the suite makes none on a real host");
    };
    fake.leave_account("gone");
    fake.leave_account("here");
    let removed = bench
        .host
        .sweep_identities(&|owner| owner == "here")
        .unwrap();
    assert_eq!(removed.len(), 1, "{removed:?}");
    assert!(removed[0].contains("gone"));
    assert_eq!(fake.accounts(), ["here"]);
    assert!(
        bench
            .host
            .sweep_identities(&|owner| owner == "here")
            .unwrap()
            .is_empty()
    );
}
