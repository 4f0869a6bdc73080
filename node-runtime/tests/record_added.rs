//! Records that are added to a file without waiting for the disk: read like any other, and as if never written where they are torn.

#![expect(
    clippy::unwrap_used,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

mod disk;
mod records;

use std::fs;

use disk::Links;
use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::record::format::{LARGEST, decode, encode};
use hosttask_node_runtime::record::{Error, Folder, Phase, Record, Store};
use hosttask_node_runtime::sys::ProcessId;

fn id() -> Id {
    Id::parse("web").unwrap()
}

fn record(phase: Phase) -> Record {
    records::record(&id(), phase)
}

fn running() -> Record {
    Record {
        init: Some(ProcessId { pid: 6, started: 7 }),
        ..record(Phase::Running)
    }
}

/// A container whose first record is written.
fn creating() -> (tempfile::TempDir, Store, Folder) {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), &Links::default()).unwrap();
    let folder = store.create(&id()).unwrap();
    folder.write(&record(Phase::Creating)).unwrap();
    (root, store, folder)
}

#[test]
fn what_was_added_last_is_read_by_another_process_until_the_record_is_replaced() {
    let (root, _, folder) = creating();
    let other = Store::open(root.path(), &Links::default()).unwrap();
    for added in [record(Phase::Created), running()] {
        folder.add(&added).unwrap();
        assert_eq!(other.read(&id()).unwrap(), added);
    }
    let stopped = record(Phase::Stopped);
    folder.write(&stopped).unwrap();
    assert_eq!(other.read(&id()).unwrap(), stopped);
    let left = fs::read(folder.path().join("record")).unwrap();
    let (first, behind) = left.split_at(encode(&stopped).unwrap().len());
    assert_eq!(first, encode(&stopped).unwrap());
    assert!(behind.iter().all(|byte| *byte == 0));
}

#[test]
fn one_that_is_there_in_part_or_damaged_was_never_added() {
    let before = record(Phase::Running);
    let first = encode(&before).unwrap();
    let added = encode(&running()).unwrap();
    let read = |tail: &[u8]| decode(&id(), &[first.as_slice(), tail].concat()).unwrap();
    assert_eq!(read(&added), running());
    for length in 0..added.len() {
        assert_eq!(read(&added[..length]), before, "{length}");
        // The disk knew how long the file is, and not yet what stands there.
        let mut unwritten = added[..length].to_vec();
        unwritten.resize(added.len(), 0);
        assert_eq!(read(&unwritten), before, "{length}");
    }
    for at in 0..added.len() {
        let mut changed = added.clone();
        changed[at] ^= 1;
        assert_eq!(read(&changed), before, "{at}");
    }
}

#[test]
fn no_damage_of_the_first_is_made_good_by_what_was_added() {
    let mut file = [record(Phase::Creating), running()].map(|it| encode(&it).unwrap());
    let last = file[0].len() - 1;
    file[0][last] ^= 1;
    let read = decode(&id(), &file.concat());
    assert!(matches!(read, Err(Error::Damaged { .. })), "{read:?}");
}

#[test]
fn one_for_which_there_is_no_room_replaces_the_file() {
    let (_root, store, folder) = creating();
    let mut last = running();
    for length in [10, 10_000, LARGEST / 3, LARGEST - 1000, 10] {
        last.annotations
            .insert("long".to_owned(), "x".repeat(length));
        for pid in 0..9 {
            last.init = Some(ProcessId { pid, started: 7 });
            folder.add(&last).unwrap();
            assert_eq!(store.read(&id()).unwrap(), last);
        }
    }
}

#[test]
fn nothing_is_added_for_another_container_or_to_one_that_was_removed() {
    let (_root, store, folder) = creating();
    let other = Record {
        id: Id::parse("db").unwrap(),
        ..running()
    };
    let error = folder.add(&other).unwrap_err();
    assert!(matches!(error, Error::Other { .. }), "{error:?}");
    store.remove(&id()).unwrap();
    let error = folder.add(&running()).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}
