//! What is found, and cleaned up, after a keeper ended without a word.

use std::fs::{self, File};
use std::io::ErrorKind;

use hosttask_node_runtime::container::{self, Kind, Standing};
use hosttask_node_runtime::record::{Exit, Phase, Record};
use hosttask_node_runtime::storage::Undo;
use hosttask_node_runtime::sys::fake::Operation;
use hosttask_node_runtime::sys::{Means, ProcessId};

use crate::bench::{Bench, HAS_LINKS, name, until};
use crate::scene::probe;

/// A process that can be a keeper: it does what `steps` say.
fn process(bench: &Bench, steps: &[&str]) -> ProcessId {
    let output = File::create(bench.path("keeper-output")).unwrap();
    let steps: Vec<_> = steps.iter().map(|it| (*it).to_owned()).collect();
    let program = std::path::PathBuf::from(probe());
    bench.host.spawn_detached(&program, &steps, output).unwrap()
}

fn dead(bench: &Bench) -> ProcessId {
    let keeper = process(bench, &["exit", "0"]);
    until("the keeper is dead", || {
        bench.host.open_process(keeper).unwrap().is_none()
    });
    keeper
}

/// Writes a record, as a keeper left it.
fn record(bench: &Bench, id: &str, phase: Phase, keeper: Option<ProcessId>) -> Record {
    let record = Record {
        id: name(id),
        bundle: bench.text("bundle"),
        created: bench.host.now(),
        boot_id: bench.host.boot_id().unwrap(),
        job: format!("hosttask-{id}"),
        phase,
        keeper,
        address: None,
        init: None,
        exit: None,
        undo: Vec::new(),
        annotations: [].into(),
    };
    bench
        .store
        .create(&name(id))
        .unwrap()
        .write(&record)
        .unwrap();
    record
}

fn standing(bench: &Bench, id: &str) -> Standing {
    let found = container::inspect(bench.host.as_ref(), &bench.store, &name(id));
    found.unwrap().standing
}

fn discard(bench: &Bench, id: &str, force: bool) -> Result<Option<Exit>, container::Error> {
    container::discard(bench.host.as_ref(), &bench.store, &name(id), force)
}

fn sweep(bench: &Bench) -> container::Swept {
    container::sweep(bench.host.as_ref(), &bench.store).unwrap()
}

fn exit(bench: &Bench) -> Exit {
    Exit {
        code: 7,
        at: bench.host.now(),
        memory_limit: false,
    }
}

#[test]
fn a_container_whose_keeper_lives_is_held_and_left_alone() {
    let bench = Bench::fake();
    let keeper = process(&bench, &["hang"]);
    record(&bench, "web", Phase::Creating, Some(keeper));
    assert_eq!(standing(&bench, "web"), Standing::Held);
    assert_eq!(sweep(&bench), container::Swept::default());
    assert_eq!(standing(&bench, "web"), Standing::Held);
    let error = discard(&bench, "web", true).unwrap_err();
    assert_eq!(error.kind(), Kind::FailedPrecondition);
}

#[test]
fn a_container_whose_keeper_is_dead_has_stopped_and_its_exit_is_not_guessed() {
    let bench = Bench::fake();
    let keeper = dead(&bench);
    record(&bench, "web", Phase::Running, Some(keeper));
    assert_eq!(standing(&bench, "web"), Standing::Stopped { exit: None });
    assert_eq!(discard(&bench, "web", false).unwrap(), None);
    bench.is_clean();
    let error = discard(&bench, "web", false).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn an_exit_that_was_written_down_outlives_the_keeper() {
    let bench = Bench::fake();
    let keeper = dead(&bench);
    let mut left = record(&bench, "web", Phase::Stopped, Some(keeper));
    left.exit = Some(exit(&bench));
    bench.store.write(&left).unwrap();
    let exit = left.exit.clone();
    assert_eq!(
        standing(&bench, "web"),
        Standing::Stopped { exit: exit.clone() }
    );
    sweep(&bench);
    assert_eq!(discard(&bench, "web", false).unwrap(), exit);
    bench.is_clean();
}

#[test]
fn the_number_of_a_dead_keeper_means_nothing_once_another_process_has_it() {
    let bench = Bench::fake();
    let keeper = dead(&bench);
    record(&bench, "web", Phase::Running, Some(keeper));
    bench.faker().reuse(keeper.pid).unwrap();
    assert_eq!(standing(&bench, "web"), Standing::Stopped { exit: None });
    discard(&bench, "web", false).unwrap();
    assert_eq!(bench.faker().running(), 1, "the other process runs on");
}

#[test]
fn after_another_start_of_the_host_nothing_runs_whoever_has_the_number_now() {
    let bench = Bench::fake();
    let keeper = process(&bench, &["hang"]);
    let mut left = record(&bench, "web", Phase::Running, Some(keeper));
    assert_eq!(standing(&bench, "web"), Standing::Held);
    // Number and start time of its keeper are now those of another process.
    left.boot_id = "an earlier start".to_owned();
    bench.store.write(&left).unwrap();
    assert_eq!(standing(&bench, "web"), Standing::Stopped { exit: None });
    discard(&bench, "web", false).unwrap();
    assert_eq!(bench.faker().running(), 1, "the other process runs on");
}

#[test]
fn a_job_without_its_keeper_is_unknown_until_a_sweep_ends_it() {
    let bench = Bench::fake();
    let keeper = dead(&bench);
    let running = bench.run("web", "ignore READY hang");
    let mut left = bench.store.read(&name("web")).unwrap();
    left.keeper = Some(keeper);
    bench.store.write(&left).unwrap();
    let Standing::Unknown { why } = standing(&bench, "web") else {
        panic!("{:?}", standing(&bench, "web"));
    };
    assert!(why.contains("keeper is gone"), "{why}");
    let swept = sweep(&bench);
    assert_eq!(swept.failed, [""; 0]);
    assert_eq!(bench.faker().running(), 0);
    drop(running);
}

#[test]
fn a_record_that_cannot_be_read_is_unknown_and_only_removed_by_force() {
    let bench = Bench::fake();
    record(&bench, "web", Phase::Running, None);
    let file = bench
        .path("state")
        .join("containers")
        .join("web")
        .join("record");
    let mut bytes = fs::read(&file).unwrap();
    let within = b"hosttask".len() + 12 + 2;
    bytes[within] ^= 1;
    fs::write(&file, bytes).unwrap();
    let job = bench.host.create_job("hosttask-web").unwrap();
    assert!(matches!(standing(&bench, "web"), Standing::Unknown { .. }));
    assert_eq!(sweep(&bench), container::Swept::default());
    assert!(matches!(standing(&bench, "web"), Standing::Unknown { .. }));
    let error = discard(&bench, "web", false).unwrap_err();
    assert_eq!(error.kind(), Kind::FailedPrecondition);
    assert!(error.to_string().contains("force"), "{error}");
    assert_eq!(discard(&bench, "web", true).unwrap(), None);
    assert!(
        bench.faker().calls(Operation::Terminate) >= 1,
        "its job is ended"
    );
    drop(job);
    bench.is_clean();
}

#[test]
fn what_the_host_does_not_say_is_unknown() {
    let bench = Bench::fake();
    let keeper = dead(&bench);
    record(&bench, "web", Phase::Running, Some(keeper));
    for operation in [Operation::OpenProcess, Operation::OpenJob] {
        bench
            .faker()
            .fail(operation, 1, ErrorKind::PermissionDenied);
        assert!(matches!(standing(&bench, "web"), Standing::Unknown { .. }));
    }
    assert_eq!(standing(&bench, "web"), Standing::Stopped { exit: None });
}

#[test]
fn what_a_loss_of_power_makes_look_unfinished_is_undone_and_stays_until_somebody_asks() {
    let bench = Bench::fake();
    let mut left = record(&bench, "web", Phase::Creating, Some(dead(&bench)));
    let tree = bench.text("root-web.tree");
    fs::create_dir(&tree).unwrap();
    left.undo = vec![Undo::RemoveTree { path: tree.clone() }];
    left.boot_id = "an earlier start".to_owned();
    bench.store.write(&left).unwrap();
    assert_eq!(sweep(&bench).removed.len(), 1);
    assert!(!fs::exists(&tree).unwrap());
    // That it was created and that it ran may have been written and lost.
    assert_eq!(standing(&bench, "web"), Standing::Stopped { exit: None });
    assert_eq!(sweep(&bench), container::Swept::default());
    assert_eq!(discard(&bench, "web", false).unwrap(), None);
    bench.is_clean();
}

#[test]
fn a_creation_that_a_crash_cut_short_is_swept_wherever_it_was() {
    let bench = Bench::fake();
    let keeper = dead(&bench);
    for written in 0..3 {
        let id = format!("c{written}");
        let mut left = record(&bench, &id, Phase::Creating, Some(keeper));
        let (tree, link) = (
            bench.text(&format!("root-{id}.tree")),
            bench.text(&format!("root-{id}")),
        );
        let steps = [
            Undo::RemoveTree { path: tree.clone() },
            Undo::Detach {
                means: Means::Symlink,
                target: link.clone(),
            },
        ];
        // The last step that was written down was not done.
        left.undo = steps[..written].to_vec();
        bench.store.write(&left).unwrap();
        if written == 2 {
            fs::create_dir(&tree).unwrap();
        }
    }
    let swept = sweep(&bench);
    assert_eq!(swept.removed.len(), 3, "{swept:?}");
    assert_eq!(swept.failed, [""; 0]);
    bench.is_clean();
    assert_eq!(
        sweep(&bench),
        container::Swept::default(),
        "a second sweep finds nothing"
    );
}

#[test]
fn what_a_failed_cleanup_left_is_found_by_the_sweep() {
    if !HAS_LINKS {
        return;
    }
    let bench = Bench::fake();
    let mut options = bench.options("web", "exit 0");
    options.keeper = Some(dead(&bench));
    let container = bench.create_with(options).unwrap();
    bench
        .faker()
        .fail(Operation::Detach, 1, ErrorKind::PermissionDenied);
    container.delete(None).unwrap_err();
    drop(container);
    let swept = sweep(&bench);
    assert_eq!(swept.failed, [""; 0]);
    assert!(!bench.path("root-web").exists());
    let left = bench.store.read(&name("web")).unwrap();
    assert_eq!((left.phase, left.undo), (Phase::Stopped, Vec::new()));
    discard(&bench, "web", false).unwrap();
    bench.is_clean();
}

#[test]
fn accounts_of_the_dead_are_removed_and_those_of_the_living_stay() {
    let bench = Bench::fake();
    let keeper = process(&bench, &["hang"]);
    record(&bench, "live", Phase::Running, Some(keeper));
    let elsewhere = bench.host.create_job("hosttask-elsewhere").unwrap();
    for owner in ["live", "dead", "elsewhere"] {
        bench.faker().leave_account(owner);
    }
    let swept = sweep(&bench);
    assert_eq!(swept.removed, ["the account of dead"]);
    assert_eq!(bench.faker().accounts(), ["elsewhere", "live"]);
    drop(elsewhere);
}

#[test]
fn one_container_that_cannot_be_swept_does_not_keep_the_others() {
    let bench = Bench::fake();
    let keeper = dead(&bench);
    let tree = |id: &str| bench.path(&format!("root-{id}"));
    for id in ["a", "b"] {
        let mut left = record(&bench, id, Phase::Creating, Some(keeper));
        let path = tree(id).to_str().unwrap().to_owned();
        left.undo = vec![Undo::RemoveTree { path }];
        bench.store.write(&left).unwrap();
    }
    // Somebody put a file where the folder of the first was.
    fs::write(tree("a"), "").unwrap();
    fs::create_dir(tree("b")).unwrap();
    let swept = sweep(&bench);
    assert_eq!(
        (swept.removed.len(), swept.failed.len()),
        (1, 1),
        "{swept:?}"
    );
    assert!(swept.failed[0].contains("container a"), "{swept:?}");
    fs::remove_file(tree("a")).unwrap();
    sweep(&bench);
    bench.is_clean();
}

#[test]
fn trash_that_cannot_be_removed_does_not_keep_the_rest() {
    let bench = Bench::fake();
    // Nobody can look into a folder that is a file.
    let trash = bench.path("state").join("trash");
    fs::remove_dir(&trash).unwrap();
    fs::write(&trash, "").unwrap();
    bench.faker().leave_account("gone");
    let swept = sweep(&bench);
    assert!(swept.failed[0].contains("records"), "{swept:?}");
    assert_eq!(swept.removed, ["the account of gone"]);
}

#[test]
fn all_containers_are_listed_in_order() {
    let bench = Bench::fake();
    let keeper = dead(&bench);
    for id in ["b", "a"] {
        record(&bench, id, Phase::Running, Some(keeper));
    }
    let found = container::inspect_all(bench.host.as_ref(), &bench.store).unwrap();
    let ids: Vec<_> = found.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    let error = container::inspect(bench.host.as_ref(), &bench.store, &name("c")).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}
