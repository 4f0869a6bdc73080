//! What should not happen and does: calls at the wrong time, a bundle that vanishes, a disk that is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use super::bench::{Bench, PATIENCE, RUNNING, code_of, eventually};
use hosttask_tests::containerd::run;

#[test]
fn calls_at_the_wrong_time_are_refused_and_change_nothing() {
    let bench = Bench::new();
    bench.started("web", &["hang"]);
    let refused = |call, exec: &str| bench.client.call(call, "web", exec).unwrap_err().code;
    assert_eq!(refused("delete", ""), "FailedPrecondition");
    assert_eq!(refused("start", "ghost"), "NotFound");
    assert_eq!(refused("create", ""), "AlreadyExists");
    assert_eq!(bench.status("web", ""), Ok(RUNNING));
    bench.client.kill("web", "", 9).unwrap();
    assert_eq!(bench.code("web", ""), 137);
    assert_eq!(
        bench.client.kill("web", "", 9).unwrap_err().code,
        "NotFound"
    );
    bench.remove("web");
    assert_eq!(refused("state", ""), "NotFound");
    bench.is_empty();
}

#[test]
fn ten_who_wait_all_get_the_code() {
    let bench = Bench::new();
    let go = bench.file("go");
    bench.started("web", &["await", &go, "exit", "42"]);
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let client = bench.containerd.client(&bench.namespace).unwrap();
                scope.spawn(move || code_of(&client.call("wait", "web", "").unwrap()))
            })
            .collect();
        fs::write(&go, "").unwrap();
        for one in waiting {
            assert_eq!(one.join().unwrap(), 42);
        }
    });
    bench.remove("web");
}

#[test]
fn a_bundle_that_vanishes_under_a_running_task_stops_nothing() {
    let bench = Bench::new();
    let go = bench.file("go");
    bench.started("web", &["await", &go, "exit", "9"]);
    fs::remove_dir_all(bench.bundle("web")).unwrap();
    assert_eq!(bench.status("web", ""), Ok(RUNNING));
    fs::write(&go, "").unwrap();
    assert_eq!(bench.code("web", ""), 9);
    // containerd may complain about the folder it cannot rename; what was the shim's is gone in any case.
    let _ = bench.client.call("delete", "web", "");
    eventually("nothing of it runs", PATIENCE, || {
        let left = bench.processes("web");
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

#[test]
fn a_full_disk_is_said_and_a_task_that_runs_goes_on() {
    let bench = Bench::new();
    let records = bench.containerd.records();
    let _mounted = match SmallDisk::mount(&records) {
        Ok(mounted) => mounted,
        Err(why) => {
            println!(
                "not run: a full disk (mounting is not allowed: {})",
                why.trim()
            );
            return;
        }
    };
    let go = bench.file("go");
    bench.started("web", &["await", &go, "exit", "5"]);
    // All of it, to the last byte.
    let filler = records.join("filler");
    let size = fs::write(&filler, vec![0; 1 << 20]).unwrap_err();
    assert_eq!(size.kind(), std::io::ErrorKind::StorageFull);
    let refused = bench
        .create_with("full", &bench.spec("full", &["hang"]))
        .unwrap_err();
    assert!(
        refused.message.to_lowercase().contains("space"),
        "{refused}"
    );
    assert!(bench.processes("full").is_empty());
    fs::write(&go, "").unwrap();
    assert_eq!(bench.code("web", ""), 5);
    fs::remove_file(&filler).unwrap();
    bench.client.call("remove", "full", "").unwrap();
    bench.started("full", &["exit", "6"]);
    assert_eq!(bench.code("full", ""), 6);
    bench.remove("full");
    bench.remove("web");
    bench.is_empty();
}

/// A file system of a few kilobytes; it is gone when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it, or says why that is not allowed.
    fn mount(folder: &Path) -> Result<Self, String> {
        fs::create_dir_all(folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "records"]);
        let ended = run(mount.arg(folder), PATIENCE).unwrap();
        if ended.code == Some(0) {
            Ok(Self(folder.to_owned()))
        } else {
            Err(ended.complained)
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Also where a shim still has a file there open: a failed test must not keep it mounted.
        let ended = run(Command::new("umount").arg("--lazy").arg(&self.0), PATIENCE);
        drop(ended);
    }
}
