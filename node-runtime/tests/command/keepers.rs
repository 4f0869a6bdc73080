//! A keeper is killed at every boundary of a container's life: nothing runs after five seconds, nothing is made up, and
//! everything can be removed.

use std::time::Duration;

use hosttask_node_runtime::sys::ProcessId;

use super::bench::{Bench, PATIENCE, PROBE, eventually, status_of};

/// How long something may still run after its keeper was killed.
const GONE: Duration = Duration::from_secs(5);

/// Kills the keeper of `web`, and looks at what is left.
fn kill_and_look(bench: &Bench, processes: &[ProcessId]) {
    bench.kill_keeper(&bench.web);
    eventually("nothing of it runs", GONE, || {
        processes.iter().all(|process| !bench.runs(*process))
    });
    let state = bench.state(&bench.web);
    assert!(
        matches!(status_of(&state), "stopped" | "unknown"),
        "{state}"
    );
    let refused = bench.fails(&["start", &bench.web], 125);
    assert!(refused.contains("keeper"), "{refused}");
    bench.done(&["delete", &bench.web]);
    assert_eq!(bench.done(&["list", "-o", "json"]).trim(), "[]");
    // Nothing of it is in the way of the next one.
    bench.detached(&bench.web, &["hang"]);
    assert_eq!(status_of(&bench.state(&bench.web)), "running");
}

#[test]
fn before_it_was_started() {
    let bench = Bench::new();
    let bundle = bench.bundle(&bench.web, &["hang"]);
    bench.done(&["create", "--bundle", &bundle, &bench.web]);
    kill_and_look(&bench, &[]);
}

#[test]
fn while_a_tree_of_processes_runs() {
    let bench = Bench::new();
    bench.detached(&bench.web, &["tree", "10", "hang"]);
    let host = &bench.host;
    let job = host.open_job(&bench.record(&bench.web).job).unwrap();
    eventually("the tree has grown", PATIENCE, || {
        job.processes().unwrap().len() >= 11
    });
    // Closed again before the keeper dies: whoever has the job open keeps it alive.
    drop(job);
    kill_and_look(&bench, &[bench.record(&bench.web).init.unwrap()]);
}

#[test]
fn while_it_is_paused() {
    let bench = Bench::new();
    if !bench.host.features().suspend {
        println!("not run: pausing (this host has none)");
        return;
    }
    bench.detached(&bench.web, &["tree", "3", "hang"]);
    bench.done(&["pause", &bench.web]);
    kill_and_look(&bench, &[bench.record(&bench.web).init.unwrap()]);
}

#[test]
fn while_a_command_is_attached_and_another_program_runs_in_it() {
    let bench = Bench::new();
    let mut attached = bench.start(&["run", &bench.web, "--", &PROBE, "hang"]);
    eventually("it runs", PATIENCE, || {
        let listed = bench.run(&["list", "-o", "json"]).printed;
        listed.contains("\"running\"")
    });
    let mut exec = bench.start(&["exec", &bench.web, "--", &PROBE, "hang"]);
    eventually("the other program runs", PATIENCE, || {
        let job = bench.host.open_job(&bench.record(&bench.web).job).unwrap();
        job.processes().unwrap().len() >= 2
    });
    kill_and_look(&bench, &[bench.record(&bench.web).init.unwrap()]);
    assert_eq!(attached.wait().unwrap().code(), Some(125));
    assert_eq!(exec.wait().unwrap().code(), Some(125));
}

#[test]
fn after_it_ended() {
    let bench = Bench::new();
    bench.detached(&bench.web, &["exit", "6"]);
    bench.reaches(&bench.web, "stopped");
    bench.kill_keeper(&bench.web);
    // For a moment it is not certain whether its job is gone as well.
    let state = bench.reaches(&bench.web, "stopped");
    assert_eq!(state["exit"]["code"], 6);
    let refused = bench.fails(&["delete", "--exec", "one", &bench.web], 125);
    assert!(refused.contains("keeper"), "{refused}");
    assert_eq!(bench.state(&bench.web)["exit"]["code"], 6);
    bench.done(&["delete", &bench.web]);
}

#[test]
fn a_delete_that_meets_the_end_of_its_keeper_removes_the_container() {
    let bench = Bench::new();
    for force in [&["--force"][..], &[]] {
        bench.detached(&bench.web, &["hang"]);
        let address = bench.record(&bench.web).address.unwrap();
        bench.kill_keeper(&bench.web);
        // As a keeper that was just killed: it still takes a client, and leaves without an answer.
        let mut keeper = bench.host.listen(&address).unwrap();
        std::thread::scope(|scope| {
            let taken = scope.spawn(move || keeper.accept(PATIENCE).unwrap().is_some());
            bench.done(&[&["delete"], force, &[&bench.web]].concat());
            assert!(taken.join().unwrap());
        });
        assert_eq!(bench.done(&["list", "-o", "json"]).trim(), "[]");
    }
}

#[test]
fn a_stop_of_what_ended_with_its_keeper_succeeds_and_says_so() {
    let bench = Bench::new();
    bench.detached(&bench.web, &["hang"]);
    bench.kill_keeper(&bench.web);
    let ended = bench.run(&["stop", &bench.web]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.complained.contains("with its keeper"), "{ended:?}");
    bench.done(&["delete", &bench.web]);
    bench.detached(&bench.web, &["exit", "6"]);
    bench.reaches(&bench.web, "stopped");
    bench.kill_keeper(&bench.web);
    let ended = bench.run(&["stop", &bench.web]);
    assert_eq!((ended.code, ended.complained.as_str()), (0, ""));
}

#[test]
fn what_a_killed_keeper_left_is_removed_by_a_sweep_and_what_lives_stays() {
    let bench = Bench::new();
    bench.detached(&bench.web, &["hang"]);
    bench.detached(&bench.other, &["hang"]);
    bench.kill_keeper(&bench.web);
    let swept = bench.done(&["sweep"]);
    assert!(
        swept.contains(&bench.web) && !swept.contains(&bench.other),
        "{swept}"
    );
    // How it ended can still be asked, until it is deleted.
    bench.reaches(&bench.web, "stopped");
    assert_eq!(bench.state(&bench.other)["status"], "running");
    // Leftovers of the whole host are swept, also those of other tests.
    let again = bench.done(&["sweep", "-o", "json"]);
    let ours = [&bench.web, &bench.other];
    assert!(!ours.iter().any(|id| again.contains(*id)), "{again}");
    bench.done(&["delete", &bench.web]);
}
