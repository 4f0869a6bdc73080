//! A folder on the way to a mount that is exchanged for a link, ten thousand times, while mounts are made and undone.
//!
//! Only where a folder can be exchanged for a link in one step and links exist: Windows holds the folders open, so that they
//! cannot be exchanged at all, and Wine 8 has no links.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

mod disk;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use disk::Links;
use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::launch::{MountPlan, RootPlan};
use hosttask_node_runtime::storage::{Request, place, undo};
use hosttask_node_runtime::sys::Host;
use hosttask_node_runtime::sys::Means;
use hosttask_node_runtime::sys::fake::FakeHost;
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// How often the folder and the link change places.
const EXCHANGES: usize = 10_000;

#[test]
fn a_folder_that_is_exchanged_for_a_link_never_leads_a_mount_or_its_undoing_outside() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["rootfs/a/b", "outside/b", "data", "scratch"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    // What an undoing that was led outside would remove.
    std::os::unix::fs::symlink(at("data"), at("outside/b/link")).unwrap();
    std::os::unix::fs::symlink(at("outside"), at("rootfs/planted")).unwrap();
    let guard = || {
        let link = fs::symlink_metadata(at("outside/b/link")).is_ok();
        (link, count(&at("outside")), count(&at("outside/b")))
    };
    let before = guard();

    let turns = Mutex::new(Turn {
        folder: at("rootfs/a"),
        link: at("rootfs/planted"),
        is_exchanged: false,
    });
    let (done, exchanged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (mut placed, mut refused) = (0_usize, 0_usize);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                turns.lock().unwrap().exchange();
                if exchanged.fetch_add(1, Ordering::SeqCst) >= EXCHANGES {
                    // From now on it rests in between, so that both outcomes come to pass on every machine.
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while exchanged.load(Ordering::SeqCst) < EXCHANGES || placed == 0 || refused == 0 {
                let count = if once(folder.path(), &turns) {
                    &mut placed
                } else {
                    &mut refused
                };
                *count += 1;
                assert_eq!(guard(), before, "something was changed outside");
            }
        }));
        done.store(true, Ordering::SeqCst);
        outcome.unwrap();
    });
    assert!(placed > 0 && refused > 0);
}

/// Which of the two is where.
struct Turn {
    folder: PathBuf,
    link: PathBuf,
    is_exchanged: bool,
}

impl Turn {
    fn exchange(&mut self) {
        renameat_with(CWD, &self.folder, CWD, &self.link, RenameFlags::EXCHANGE).unwrap();
        self.is_exchanged = !self.is_exchanged;
    }

    fn settle(&mut self) {
        if self.is_exchanged {
            self.exchange();
        }
    }
}

/// Places a root with a mount and undoes it; whether it could be placed.
fn once(folder: &Path, turns: &Mutex<Turn>) -> bool {
    let host = FakeHost::new();
    let job = host.create_job("hosttask-web").unwrap();
    let (id, mut places) = (Id::parse("web").unwrap(), host.places());
    places.container_root = format!("{}/", folder.join("hpc").display());
    let text = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let root = RootPlan {
        layers: vec![text("rootfs")],
        location: None,
        read_only: false,
        is_shared: false,
    };
    let mount = |destination: &str| MountPlan {
        source: text("data"),
        destination: destination.to_owned(),
        read_only: false,
    };
    let mounts = [mount("/a/b/new/mount"), mount("/a/b/other")];
    let (bundle, scratch) = (folder.join("bundle"), folder.join("scratch"));
    let request = Request {
        id: &id,
        root: &root,
        mounts: &mounts,
        bundle: &bundle,
        scratch: &scratch,
        job: &*job,
        places: &places,
    };
    let mut noted = Vec::new();
    let storage = Links::with(vec![Means::Symlink], usize::MAX);
    let done = place(&storage, &request, &mut |undo| {
        noted.extend(undo);
        Ok(())
    });
    undo(&storage, &noted).unwrap();
    // While the folder is exchanged, what was made in it is found by a later undoing only: now it stands still, where it was.
    let mut turn = turns.lock().unwrap();
    turn.settle();
    undo(&storage, &noted).unwrap();
    let left = ["rootfs/a/b", "hpc"].map(|it| count(&folder.join(it)));
    assert_eq!(left, [0, 0], "left after {noted:?}");
    drop(turn);
    done.is_ok()
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}
