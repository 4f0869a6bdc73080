//! Records on disk: exclusive creation, damage of any kind, removal that a crash cuts short, several processes and threads.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

mod disk;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use disk::Links;
use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::record::format::{LARGEST, VERSION, decode, encode};
use hosttask_node_runtime::record::{Damage, Error, Exit, Phase, Record, Store};
use hosttask_node_runtime::storage::Undo;
use hosttask_node_runtime::sys::{Attachment, Means, ProcessId, Storage};

fn id(text: &str) -> Id {
    Id::parse(text).unwrap()
}

fn record(name: &str) -> Record {
    Record {
        id: id(name),
        bundle: "C:\\bundles\\web".to_owned(),
        created: "2026-11-22T09:37:39.123456789Z".parse().unwrap(),
        boot_id: "17".to_owned(),
        job: format!("hosttask-{name}"),
        phase: Phase::Stopped,
        keeper: Some(ProcessId { pid: 4, started: 5 }),
        address: Some("\\\\.\\pipe\\hosttask-web".to_owned()),
        init: Some(ProcessId { pid: 6, started: 7 }),
        exit: Some(Exit {
            code: u32::MAX,
            at: "2026-11-22T09:40:00Z".parse().unwrap(),
            memory_limit: true,
        }),
        undo: vec![Undo::Detach {
            means: Means::Junction,
            target: "C:\\hpc\\web".to_owned(),
        }],
        annotations: [("ключ".to_owned(), "line\nbreak \u{1f600}".to_owned())].into(),
    }
}

fn store(folder: &Path) -> Store {
    Store::open(folder, &Links::default()).unwrap()
}

#[test]
fn what_was_written_is_read_by_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let first = store(folder.path());
    let made = first.create(&id("web")).unwrap();
    made.write(&record("web")).unwrap();
    let other = store(folder.path());
    assert_eq!(other.read(&id("web")).unwrap(), record("web"));
    assert_eq!(made.path(), other.path(&id("web")));

    let mut running = record("web");
    running.phase = Phase::Running;
    first.write(&running).unwrap();
    assert_eq!(other.read(&id("web")).unwrap(), running);
}

#[test]
fn a_container_without_a_record_does_not_exist_but_its_id_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let _made = store.create(&id("web")).unwrap();
    assert!(store.list().unwrap().is_empty());
    let error = store.read(&id("web")).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    let error = store.create(&id("web")).unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
}

#[test]
fn of_many_that_create_one_id_at_once_one_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let name = id(&format!("web-{round}"));
        let barrier = Barrier::new(8);
        let create = || {
            // A store of its own is what another process has.
            let store = store(folder.path());
            barrier.wait();
            store.create(&name)
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert_eq!(results.iter().filter(|it| it.is_ok()).count(), 1);
        for error in results.into_iter().filter_map(Result::err) {
            assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
        }
    }
}

#[test]
fn a_sweep_never_takes_a_container_that_is_being_created() {
    let folder = tempfile::tempdir().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let sweeper = store(folder.path());
            while !done.load(Ordering::SeqCst) {
                sweeper.sweep().unwrap();
            }
        });
        let creator = store(folder.path());
        let outcome = std::panic::catch_unwind(|| {
            for round in 0..300 {
                let name = format!("web-{round}");
                let made = creator.create(&id(&name)).unwrap();
                made.write(&record(&name)).unwrap();
                drop(made);
                assert_eq!(creator.read(&id(&name)).unwrap().id, id(&name));
            }
        });
        done.store(true, Ordering::SeqCst);
        outcome.unwrap();
        assert_eq!(creator.list().unwrap().len(), 300);
    });
}

#[test]
fn another_process_neither_writes_nor_removes_what_its_creator_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (mine, other) = (store(folder.path()), store(folder.path()));
    let made = mine.create(&id("web")).unwrap();
    made.write(&record("web")).unwrap();
    let error = other.write(&record("web")).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    let error = other.remove(&id("web")).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    drop(made);
    other.write(&record("web")).unwrap();
    other.remove(&id("web")).unwrap();
    let error = mine.read(&id("web")).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

#[test]
fn its_creator_removes_it_and_the_id_is_free_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    for _ in 0..3 {
        let made = store.create(&id("web")).unwrap();
        made.write(&record("web")).unwrap();
        fs::write(made.path().join("log"), "text").unwrap();
        store.remove(&id("web")).unwrap();
        let error = made.write(&record("web")).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
        let error = store.remove(&id("web")).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    }
    assert_eq!(count(&folder.path().join("containers")), 0);
    assert_eq!(count(&folder.path().join("trash")), 0);
}

#[test]
fn a_removal_that_was_cut_short_is_finished_by_a_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let first = store(folder.path());
    // Cut after the move, and cut after the record in a folder that could not be moved.
    for name in ["moved", "emptied", "alive"] {
        first
            .create(&id(name))
            .unwrap()
            .write(&record(name))
            .unwrap();
    }
    let containers = folder.path().join("containers");
    fs::rename(
        containers.join("moved"),
        folder.path().join("trash/moved.0"),
    )
    .unwrap();
    fs::remove_file(containers.join("emptied/record")).unwrap();
    // A creation that was cut before its lock.
    fs::create_dir(containers.join("begun")).unwrap();

    let swept = first.sweep().unwrap();
    assert_eq!(swept, ["moved.0", "begun", "emptied"]);
    assert!(first.sweep().unwrap().is_empty());
    assert_eq!(count(&containers), 1);
    assert_eq!(count(&folder.path().join("trash")), 0);
    assert_eq!(first.list().unwrap().len(), 1);
}

#[test]
fn an_id_in_another_case_is_another_container_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store
        .create(&id("Web"))
        .unwrap()
        .write(&record("Web"))
        .unwrap();
    let error = store.read(&id("web")).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    let error = store.remove(&id("web")).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert_eq!(store.read(&id("Web")).unwrap(), record("Web"));
}

#[test]
fn every_kind_of_damage_is_named_and_never_read_as_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let made = store.create(&id("web")).unwrap();
    let file = made.path().join("record");
    let good = encode(&record("web")).unwrap();
    let why = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        match store.read(&id("web")) {
            Err(Error::Damaged { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(why(b""), Damage::Short);
    assert_eq!(why(&good[..19]), Damage::Short);
    assert!(matches!(
        why(&good[..good.len() - 1]),
        Damage::Length { .. }
    ));
    assert_eq!(why(&vec![b'h'; LARGEST + 1]), Damage::Large);
    assert_eq!(why(&vec![0; good.len()]), Damage::Magic);
    assert_eq!(why(&encode(&record("db")).unwrap()), Damage::Other);
    assert_eq!(why(&sealed(0, b"{}")), Damage::Version);
    assert!(matches!(why(&sealed(1, b"{}")), Damage::Body { .. }));
    let deep = "[".repeat(10_000);
    assert!(matches!(
        why(&sealed(1, deep.as_bytes())),
        Damage::Body { .. }
    ));

    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let listed = store.list().unwrap();
    assert_eq!(listed.len(), 1);
    let error = listed[0].1.as_ref().unwrap_err();
    assert!(
        matches!(
            error,
            Error::Damaged {
                why: Damage::NoFile,
                ..
            }
        ),
        "{error:?}"
    );
    drop(made);
    store.remove(&id("web")).unwrap();
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn a_newer_version_is_refused_by_name_and_a_damaged_newer_one_is_damage() {
    let newer = sealed(VERSION + 1, b"\x00\x01 another format");
    let error = decode(&id("web"), &newer).unwrap_err();
    assert!(
        matches!(error, Error::Newer { version, .. } if version == VERSION + 1),
        "{error:?}"
    );
    let mut damaged = newer;
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let error = decode(&id("web"), &damaged).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
}

#[test]
fn the_first_version_stays_readable() {
    let bytes = include_bytes!("fixtures/record/version-1.record");
    assert_eq!(decode(&id("web"), bytes).unwrap(), record("web"));
}

#[test]
fn a_record_that_would_not_be_read_again_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let made = store.create(&id("web")).unwrap();
    made.write(&record("web")).unwrap();
    let mut large = record("web");
    large
        .annotations
        .insert("a".to_owned(), "b".repeat(LARGEST));
    let error = made.write(&large).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    let error = made.write(&record("db")).unwrap_err();
    assert!(matches!(error, Error::Other { .. }), "{error:?}");
    assert_eq!(store.read(&id("web")).unwrap(), record("web"));
}

#[test]
fn a_reader_never_sees_half_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let writer = store(folder.path());
    let made = writer.create(&id("web")).unwrap();
    made.write(&record("web")).unwrap();
    let done = AtomicBool::new(false);
    let reads = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let store = store(folder.path());
            let mut reads = 0_usize;
            while !done.load(Ordering::SeqCst) || reads == 0 {
                assert_eq!(store.read(&id("web")).unwrap().id, id("web"));
                reads += 1;
            }
            reads
        });
        let outcome = std::panic::catch_unwind(|| {
            for length in 0..200 {
                let mut longer = record("web");
                longer.bundle = "b".repeat(length * 50);
                made.write(&longer).unwrap();
            }
        });
        done.store(true, Ordering::SeqCst);
        outcome.unwrap();
        reader.join().unwrap()
    });
    assert!(reads > 0);
}

#[test]
fn of_many_that_open_a_new_namespace_at_once_all_succeed() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let barrier = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    Store::open_namespace(folder.path(), &id("pods"), &Links::default()).unwrap();
                });
            }
        });
        let left: Vec<_> = fs::read_dir(folder.path().join("pods"))
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("namespace."))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_root_that_is_a_link_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real");
    fs::create_dir(&real).unwrap();
    let link = folder.path().join("link");
    let storage = Links::default();
    let attachment = Attachment {
        source: &real,
        target: &link,
        read_only: false,
        job: None,
    };
    match storage.attach(Means::Symlink, &attachment) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            // Wine 8 has no links, so there is nothing to refuse.
            assert_ne!(std::path::MAIN_SEPARATOR, '/');
            return;
        }
        made => made.unwrap(),
    }
    let error = Store::open(&link, &storage).unwrap_err();
    assert!(matches!(error, Error::Link { .. }), "{error:?}");
    assert_eq!(count(&real), 0);
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// A body under a true header.
fn sealed(version: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    let covered = [&version.to_le_bytes(), &length.to_le_bytes(), body].concat();
    let sum = crc32fast::hash(&covered).to_le_bytes();
    [&b"hosttask"[..], &covered[..8], &sum, body].concat()
}
