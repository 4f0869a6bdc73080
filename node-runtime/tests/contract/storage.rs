//! Folders that appear elsewhere.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use hosttask_node_runtime::sys::{self, Attachment, Entry, Means};

use crate::bench::{Bench, kind};

/// A folder with a file, and a place for it.
fn folders(bench: &Bench) -> (PathBuf, PathBuf) {
    let name = Bench::name();
    let source = bench.folder.path().join(format!("{name}-source"));
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "content").unwrap();
    (source, bench.folder.path().join(format!("{name}-target")))
}

/// Attaches a folder.
fn attach(bench: &Bench, means: Means, source: &PathBuf, target: &PathBuf) -> io::Result<()> {
    let attachment = Attachment {
        source,
        target,
        read_only: false,
        job: None,
    };
    bench.host.storage().attach(means, &attachment)
}

/// Does something by each means that can place a folder anywhere, each with a folder and a target of its own.
fn by_each(bench: &Bench, case: impl Fn(Means, PathBuf, PathBuf)) {
    // The host in memory makes real links, too.
    let real = sys::native().unwrap().features().means;
    let mut means = bench.host.storage().means();
    means.retain(|it| real.contains(it));
    if means.is_empty() {
        bench.not_run(
            "a folder that appears elsewhere",
            "this system has no means",
        );
    }
    for means in means {
        match means {
            Means::BindFilter => bench.not_run("the bind filter", "it needs a silo"),
            Means::VolumeMountPoint => {
                bench.not_run("volume mount points", "no volume is made for it");
            }
            Means::BindMount | Means::Junction | Means::Symlink => {
                let (source, target) = folders(bench);
                case(means, source, target);
            }
        }
    }
}

pub(crate) fn a_folder_appears_elsewhere_and_is_gone_again(bench: &Bench) {
    let storage = bench.host.storage();
    by_each(bench, |means, source, target| {
        attach(bench, means, &source, &target).unwrap();
        assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "content");
        assert_eq!(storage.entry(&target).unwrap(), Some(Entry::Link));
        fs::write(target.join("new"), "").unwrap();
        storage.detach(means, &target).unwrap();
        assert_eq!(storage.entry(&target).unwrap(), None);
        assert!(source.join("new").exists());
    });
}

pub(crate) fn what_stands_at_the_target_is_not_replaced(bench: &Bench) {
    by_each(bench, |means, source, target| {
        fs::write(&target, "mine").unwrap();
        assert_eq!(
            kind(attach(bench, means, &source, &target)),
            ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        fs::remove_file(&target).unwrap();
        attach(bench, means, &source, &target).unwrap();
        assert_eq!(
            kind(attach(bench, means, &source, &target)),
            ErrorKind::AlreadyExists
        );
        let missing = source.join("missing");
        let other = source.join("other");
        assert_eq!(
            kind(attach(bench, means, &missing, &other)),
            ErrorKind::NotFound
        );
        assert_eq!(bench.host.storage().entry(&other).unwrap(), None);
    });
}

pub(crate) fn detaching_twice_is_no_error(bench: &Bench) {
    let storage = bench.host.storage();
    by_each(bench, |means, source, target| {
        storage.detach(means, &target).unwrap();
        attach(bench, means, &source, &target).unwrap();
        storage.detach(means, &target).unwrap();
        storage.detach(means, &target).unwrap();
        storage.detach(means, &target.join("below")).unwrap();
    });
}

pub(crate) fn detaching_never_reaches_what_the_link_leads_to(bench: &Bench) {
    let storage = bench.host.storage();
    by_each(bench, |means, source, target| {
        attach(bench, means, &source, &target).unwrap();
        storage.detach(means, &target).unwrap();
        assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "content");
        // A link whose folder is gone is a link still.
        attach(bench, means, &source, &target).unwrap();
        fs::remove_dir_all(&source).unwrap();
        assert_eq!(storage.entry(&target).unwrap(), Some(Entry::Link));
        storage.detach(means, &target).unwrap();
        assert_eq!(storage.entry(&target).unwrap(), None);
    });
}

pub(crate) fn a_folder_that_is_no_link_is_not_detached(bench: &Bench) {
    by_each(bench, |means, source, _| {
        // Somebody put a folder there: that is no link of ours to undo. It may be refused.
        let _ = bench.host.storage().detach(means, &source);
        assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "content");
        let file = source.join("file");
        let _ = bench.host.storage().detach(means, &file);
        assert_eq!(fs::read_to_string(&file).unwrap(), "content");
    });
}

pub(crate) fn read_only_is_refused_where_it_cannot_be_done(bench: &Bench) {
    let storage = bench.host.storage();
    by_each(bench, |means, source, target| {
        let attachment = Attachment {
            source: &source,
            target: &target,
            read_only: true,
            job: None,
        };
        match storage.attach(means, &attachment) {
            Ok(()) => {
                assert!(fs::write(target.join("new"), "").is_err());
                storage.detach(means, &target).unwrap();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
        }
        assert_eq!(storage.entry(&target).unwrap(), None);
        assert!(!source.join("new").exists());
    });
}

pub(crate) fn entries_are_told_apart_without_following_them(bench: &Bench) {
    let storage = bench.host.storage();
    let (source, _) = folders(bench);
    assert_eq!(storage.entry(&source).unwrap(), Some(Entry::Folder));
    assert_eq!(
        storage.entry(&source.join("file")).unwrap(),
        Some(Entry::File)
    );
    assert_eq!(storage.entry(&source.join("none")).unwrap(), None);
    assert_eq!(
        storage.entry(&source.join("none").join("below")).unwrap(),
        None
    );
    assert_eq!(
        storage.entry(&source.join("file").join("below")).unwrap(),
        None
    );
}

pub(crate) fn a_protected_folder_is_still_ours(bench: &Bench) {
    let (source, _) = folders(bench);
    bench.host.storage().protect(&source).unwrap();
    fs::write(source.join("new"), "x").unwrap();
    assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "content");
    assert!(bench.host.storage().protect(&source.join("none")).is_err());
    let shared = source.join("shared");
    fs::create_dir(&shared).unwrap();
    bench.host.storage().share(&shared, false).unwrap();
    fs::write(shared.join("new"), "x").unwrap();
    bench.host.storage().protect(&source).unwrap();
    assert_eq!(fs::read_to_string(shared.join("new")).unwrap(), "x");
    let none = source.join("none");
    assert!(bench.host.storage().share(&none, true).is_err());
}
