//! All of it is undone: after a crash at any step, after failures, and when its record is lost.

use std::fs;
use std::io::ErrorKind;

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::storage::{Change, Error, Undo, sweep, undo};
use hosttask_node_runtime::sys::Means;

use crate::disk::Links;
use crate::ground::{Ground, has_links, link, path};

#[test]
fn a_crash_before_or_after_any_step_is_undone() {
    let ground = Ground::new()
        .layers(&["lower", "upper"])
        .mount("data", "/etc/app/data", false)
        .mount("data/secret", "/etc/file", false);
    let ground_with_root = || {
        Ground::new()
            .layers(&["rootfs"])
            .mount("data", "/empty", false)
            .mount("data", "/a/b/c", false)
    };
    let mut elsewhere = ground_with_root();
    elsewhere.location = Some(path(&elsewhere.at("else/where/root")));
    for ground in [ground, ground_with_root(), elsewhere] {
        let before = ground.everything();
        // A note that fails may be on the disk or not: the step was not done.
        for (crash, is_kept) in (0..).flat_map(|crash| [(crash, true), (crash, false)]) {
            let (mut noted, mut calls) = (Vec::new(), 0);
            let placed = ground.try_place(&Links::default(), &mut |undo| {
                calls += 1;
                let is_crash = calls > crash;
                if !is_crash || is_kept {
                    noted.extend(undo);
                }
                if is_crash {
                    return Err(ErrorKind::StorageFull.into());
                }
                Ok(())
            });
            let is_done = match placed {
                Ok(_) => true,
                Err(Error::Note { .. }) => false,
                Err(Error::NoMeans { .. }) if !has_links() => true,
                Err(other) => unreachable!("{other:?}"),
            };
            // The undoing is cut short too, at each of its own steps, before it succeeds.
            for cut in 0..4 {
                let cut = undo(&Links::with(vec![], cut), &noted);
                drop(cut);
            }
            undo(&Links::default(), &noted).unwrap();
            assert_eq!(ground.everything(), before, "crash at {crash}");
            if is_done {
                assert!(crash >= 3, "{crash} steps are too few to be all");
                break;
            }
        }
    }
}

#[test]
fn a_storage_that_fails_at_any_call_is_undone() {
    if !has_links() {
        return;
    }
    let ground = Ground::new()
        .layers(&["rootfs"])
        .mount("data", "/etc/app/data", false)
        .mount("data/secret", "/etc/file", false);
    let before = ground.everything();
    let mut is_done = false;
    for calls in 0..10 {
        let means = vec![Means::Symlink];
        let (placed, noted) = ground.place(&Links::with(means, calls));
        // The root itself falls back to staying where it is, so only mounts fail.
        is_done = placed.is_ok_and(|placed| placed.means.is_some());
        undo(&Links::default(), &noted).unwrap();
        assert_eq!(ground.everything(), before, "call {calls}");
        if is_done {
            break;
        }
    }
    assert!(is_done);
}

#[test]
fn undoing_follows_no_link_that_the_container_planted_and_keeps_its_files() {
    if !has_links() {
        return;
    }
    let ground = Ground::new()
        .layers(&["rootfs"])
        .mount("data", "/etc/app/data", false);
    let (placed, noted) = ground.place(&Links::default());
    placed.unwrap();
    // It moved the folder with the mount away, and put a link to a like one in its place.
    let outside = ground.at("outside");
    fs::create_dir_all(outside.join("app")).unwrap();
    link(&ground.at("data"), &outside.join("app/data"));
    let rootfs = ground.at("bundle/rootfs");
    fs::rename(rootfs.join("etc"), rootfs.join("moved")).unwrap();
    link(&outside, &rootfs.join("etc"));
    fs::write(rootfs.join("moved/app/own"), "its own").unwrap();

    undo(&Links::default(), &noted).unwrap();
    assert!(fs::symlink_metadata(outside.join("app/data")).is_ok());
    assert!(rootfs.join("moved/app/own").exists());
    assert_eq!(
        fs::read_to_string(ground.at("data/secret")).unwrap(),
        "data"
    );
    assert!(!ground.at("hpc").exists());
}

#[test]
fn a_tree_is_kept_while_something_may_be_mounted_in_it() {
    let ground = Ground::new();
    fs::create_dir_all(ground.at("scratch/root/etc")).unwrap();
    let root = path(&ground.at("scratch/root"));
    let noted = [
        Undo::RemoveTree { path: root.clone() },
        Undo::Inside {
            root,
            path: vec!["etc".to_owned(), "data".to_owned()],
            change: Change::Attached(Means::BindMount),
        },
    ];
    let error = undo(&Links::with(vec![], 0), &noted).unwrap_err();
    assert!(matches!(error, Error::Undo { of: 2, ref failures } if failures.len() == 2));
    assert!(ground.at("scratch/root").exists());
    undo(&Links::default(), &noted).unwrap();
    assert!(!ground.at("scratch/root").exists());
    assert!(ground.at("scratch/keep").exists());
}

#[test]
fn a_sweep_removes_marked_roots_of_dead_containers_only() {
    if !has_links() {
        return;
    }
    let ground = Ground::new().layers(&["rootfs"]);
    let (placed, _) = ground.place(&Links::default());
    placed.unwrap();
    let hpc = ground.at("hpc");
    // What others put there: a folder, an unmarked link, marks that name nobody or somebody else, a mark beside a folder.
    fs::create_dir(hpc.join("theirs")).unwrap();
    link(&ground.at("data"), &hpc.join("unmarked"));
    fs::write(hpc.join("theirs~hosttask"), "text").unwrap();
    fs::write(
        hpc.join("unmarked~hosttask"),
        "{\"id\":\"other\",\"means\":\"symlink\"}",
    )
    .unwrap();
    fs::write(
        hpc.join("..~hosttask"),
        "{\"id\":\"a\",\"means\":\"symlink\"}",
    )
    .unwrap();
    let before = ground.everything();

    let lives = |id: &Id| *id == ground.id;
    let swept = sweep(&Links::default(), &ground.places, &lives).unwrap();
    assert!(swept.is_empty());
    assert_eq!(ground.everything(), before);

    let swept = sweep(&Links::default(), &ground.places, &|_| false).unwrap();
    assert_eq!(swept, ["web-1"]);
    assert!(!hpc.join("web-1").exists() && !hpc.join("web-1~hosttask").exists());
    assert_eq!(ground.everything().len() + 2, before.len());
    let swept = sweep(&Links::default(), &ground.places, &|_| false).unwrap();
    assert!(swept.is_empty());
}
