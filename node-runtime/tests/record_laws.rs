//! The reader of records, given any bytes (F6): it never panics, and what it accepts was written by us.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

use std::time::{Duration, Instant};

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::record::format::{LARGEST, decode, encode};
use hosttask_node_runtime::record::{Error, Exit, Phase, Record};
use hosttask_node_runtime::storage::Undo;
use hosttask_node_runtime::sys::{Means, ProcessId};
use jiff::Timestamp;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

fn runner() -> TestRunner {
    let config = ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new_with_rng(
        config,
        TestRng::from_seed(RngAlgorithm::ChaCha, &[6_u8; 32]),
    )
}

fn id() -> Id {
    Id::parse("web").unwrap()
}

fn undo() -> impl Strategy<Value = Undo> {
    let detach = ".*".prop_map(|target| Undo::Detach {
        means: Means::VolumeMountPoint,
        target,
    });
    let tree = ".*".prop_map(|path| Undo::RemoveTree { path });
    let empty = ".*".prop_map(|path| Undo::RemoveIfEmpty { path });
    prop_oneof![detach, tree, empty]
}

fn process() -> impl Strategy<Value = Option<ProcessId>> {
    let id = any::<(u32, u64)>().prop_map(|(pid, started)| ProcessId { pid, started });
    proptest::option::of(id)
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0_i64..4_000_000_000, 0_i32..1_000_000_000)
        .prop_map(|(seconds, nanoseconds)| Timestamp::new(seconds, nanoseconds).unwrap())
}

fn record() -> impl Strategy<Value = Record> {
    let exit = (any::<u32>(), time(), any::<bool>());
    let phase = prop_oneof![
        Just(Phase::Creating),
        Just(Phase::Created),
        Just(Phase::Running),
        Just(Phase::Stopped)
    ];
    let texts = (".*", ".*", ".*", proptest::option::of(".*"));
    let lists = (vec(undo(), 0..4), btree_map(".*", ".*", 0..4));
    (
        texts,
        phase,
        process(),
        process(),
        proptest::option::of(exit),
        time(),
        lists,
    )
        .prop_map(
            |((bundle, boot_id, job, address), phase, keeper, init, exit, created, lists)| Record {
                id: id(),
                bundle,
                created,
                boot_id,
                job,
                phase,
                keeper,
                address,
                init,
                exit: exit.map(|(code, at, memory_limit)| Exit {
                    code,
                    at,
                    memory_limit,
                }),
                undo: lists.0,
                annotations: lists.1,
            },
        )
}

/// One change to a file, as a disk, a crash or a person makes it.
#[derive(Debug, Clone)]
enum Change {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Append(Vec<u8>),
    Zero(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        index().prop_map(Change::Cut),
        vec(any::<u8>(), 1..40).prop_map(Change::Append),
        index().prop_map(Change::Zero),
        (index(), vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
    ]
}

fn changed(bytes: &[u8], change: &Change) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let length = bytes.len();
    match change {
        Change::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
        Change::Cut(at) => bytes.truncate(at.index(length)),
        Change::Append(more) => bytes.extend(more),
        Change::Zero(at) => bytes[at.index(length)..].fill(0),
        Change::Insert(at, more) => {
            let at = at.index(length);
            bytes.splice(at..at, more.iter().copied());
        }
    }
    bytes
}

#[test]
fn every_record_is_read_as_it_was_written() {
    runner()
        .run(&record(), |record| {
            let bytes = encode(&record).unwrap();
            prop_assert_eq!(decode(&id(), &bytes).unwrap(), record);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_changed_file_is_damaged_whatever_was_changed_and_what_follows_it_is_nothing() {
    runner()
        .run(&(record(), change()), |(record, change)| {
            let bytes = encode(&record).unwrap();
            let changed = changed(&bytes, &change);
            prop_assume!(changed != bytes);
            let read = decode(&id(), &changed);
            if changed.starts_with(&bytes) {
                prop_assert_eq!(read.unwrap(), record);
            } else {
                prop_assert!(matches!(read, Err(Error::Damaged { .. })), "{:?}", read);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_file_with_an_added_record_is_never_read_as_what_nobody_wrote() {
    runner()
        .run(&(record(), record(), change()), |(one, two, change)| {
            let bytes = [encode(&one).unwrap(), encode(&two).unwrap()].concat();
            match decode(&id(), &changed(&bytes, &change)) {
                Ok(read) => prop_assert!(read == one || read == two, "{:?}", read),
                Err(error) => {
                    prop_assert!(matches!(error, Error::Damaged { .. }), "{:?}", error);
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn any_bytes_are_answered_without_a_panic() {
    let sealed = (any::<u32>(), vec(any::<u8>(), 0..200)).prop_map(|(version, body)| {
        let length = u32::try_from(body.len()).unwrap();
        let covered = [
            &(version % 3).to_le_bytes(),
            &length.to_le_bytes(),
            body.as_slice(),
        ]
        .concat();
        let sum = crc32fast::hash(&covered).to_le_bytes();
        [&b"hosttask"[..], &covered[..8], &sum, body.as_slice()].concat()
    });
    let any = prop_oneof![vec(any::<u8>(), 0..300), sealed];
    runner()
        .run(&any, |bytes| {
            let read = decode(&id(), &bytes);
            let is_refused = matches!(read, Err(Error::Damaged { .. } | Error::Newer { .. }));
            prop_assert!(is_refused, "{:?}", read);
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_largest_file_is_answered_at_once() {
    let started = Instant::now();
    for byte in [b'[', b'{', b'"', 0, 0xff] {
        let body = vec![byte; LARGEST - 20];
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        let covered = [&1_u32.to_le_bytes(), &length, body.as_slice()].concat();
        let sum = crc32fast::hash(&covered).to_le_bytes();
        let bytes = [&b"hosttask"[..], &covered[..8], &sum, body.as_slice()].concat();
        assert!(matches!(decode(&id(), &bytes), Err(Error::Damaged { .. })));
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}
