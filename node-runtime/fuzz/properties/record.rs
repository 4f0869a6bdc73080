//! Any bytes are a record or damage; a record that was read is the same when it is written and read again.

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::record::format::{VERSION, decode, encode};

pub(crate) fn check(bytes: &[u8]) {
    let id = Id::parse("web").expect("the name is good");
    // As it is, and as the body of a file with a good header: the checksum would hide the reader of the body.
    for file in [bytes.to_vec(), with_header(bytes)] {
        if let Ok(record) = decode(&id, &file) {
            let written = encode(&record).expect("what was read can be written");
            assert_eq!(decode(&id, &written).ok(), Some(record));
        }
    }
}

/// The layout is in the documentation of `record::format`.
fn with_header(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut covered = VERSION.to_le_bytes().to_vec();
    covered.extend(length.to_le_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&covered);
    sum.update(body);
    let mut file = b"hosttask".to_vec();
    file.extend(covered);
    file.extend(sum.finalize().to_le_bytes());
    file.extend(body);
    file
}
