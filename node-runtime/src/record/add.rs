//! `record::add`: puts a record into the room behind the last one of a file, without waiting for the disk.

use std::io;
use std::path::Path;

use super::format;
use super::replace::Disk;
use super::store::read_file;
use crate::id::Id;

/// Adds the bytes of a record, as [`format::encode`] made them, to the file of a container. False where there is no room, or
/// nothing behind which it could stand.
///
/// Whatever fails, what was read from the file before is read from it then, or the new record. One writer at a time.
pub(super) fn add(disk: &dyn Disk, file: &Path, id: &Id, record: &[u8]) -> io::Result<bool> {
    let found = read_file(file)?;
    let Ok((_, end)) = format::last(id, &found) else {
        return Ok(false);
    };
    let has_room = found.len().saturating_sub(end) >= record.len();
    if has_room {
        disk.write_into(file, end, record)?;
    }
    Ok(has_room)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::super::replace::RealDisk;
    use super::super::{Phase, Record};
    use super::*;

    /// Is full after so many bytes of what is written into a file.
    struct Full(usize);

    impl Disk for Full {
        fn store(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            RealDisk.store(path, bytes)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            RealDisk.rename(from, to)
        }
        fn flush_names(&self, folder: &Path) -> io::Result<()> {
            RealDisk.flush_names(folder)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            RealDisk.remove(path)
        }
        fn write_into(&self, path: &Path, from: usize, bytes: &[u8]) -> io::Result<()> {
            RealDisk.write_into(path, from, &bytes[..self.0])?;
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    fn record(phase: Phase) -> Record {
        Record {
            id: Id::parse("web").unwrap(),
            bundle: String::new(),
            created: jiff::Timestamp::UNIX_EPOCH,
            boot_id: "17".to_owned(),
            job: "hosttask-web".to_owned(),
            phase,
            keeper: None,
            address: None,
            init: None,
            exit: None,
            undo: Vec::new(),
            annotations: BTreeMap::new(),
        }
    }

    #[test]
    fn one_that_was_written_in_part_changes_nothing_and_stands_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("record");
        let before = record(Phase::Creating);
        let id = &before.id;
        let longer = format::encode(&before).unwrap();
        let room = format::with_room(longer.clone());
        let added = record(Phase::Running);
        let bytes = format::encode(&added).unwrap();
        let read = || format::decode(id, &fs::read(&file).unwrap()).unwrap();
        for part in 0..longer.len() {
            fs::write(&file, &room).unwrap();
            add(&Full(part), &file, id, &longer).unwrap_err();
            assert_eq!(read(), before, "{part}");
            assert!(add(&RealDisk, &file, id, &bytes).unwrap());
            assert_eq!(read(), added, "{part}");
            assert_eq!(fs::read(&file).unwrap().len(), room.len());
        }
    }

    #[test]
    fn nothing_is_added_without_room_or_behind_what_is_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("record");
        let before = record(Phase::Creating);
        let bytes = format::encode(&before).unwrap();
        for there in [bytes.clone(), vec![0; 4096]] {
            fs::write(&file, &there).unwrap();
            assert!(!add(&RealDisk, &file, &before.id, &bytes).unwrap());
            assert_eq!(fs::read(&file).unwrap(), there);
        }
    }
}
