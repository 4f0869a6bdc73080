//! `record::format`: the bytes of a file with a record: a header that finds damage, then JSON, and perhaps later records after it.
//!
//! ```text
//!   0  magic       "hosttask"
//!   8  version     u32, little endian
//!  12  length      u32, of the body
//!  16  checksum    u32, CRC-32 of version, length and body
//!  20  body        JSON
//! ```
//!
//! The header is the same in every version, so damage is told apart from a newer version before the body is looked at.
//!
//! The first record was flushed before anything relied on it, so that damage to it is an error. Zeros follow, in which later records
//! are written, each with a header of its own, without waiting for the disk: a crash of the writer can leave the last one in part, and
//! a loss of power anything in its place. It is as if such a one was never added.

use std::fmt;

use crate::id::Id;
use crate::record::{Error, Record};

/// The most bytes of a file: far more than any record has, and little enough to be read at once.
pub const LARGEST: usize = 1024 * 1024;

/// The version that is written. Every version up to it is read.
///
/// 1 had one record and nothing after it.
pub const VERSION: u32 = 2;

/// What the space of files is handed out in, at least: files up to here take the same.
const PAGE: usize = 4096;

/// What the file starts with.
const MAGIC: &[u8] = b"hosttask";

/// How a file is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// It is something else than a file.
    NoFile,
    /// It ends before its header does.
    Short,
    /// It has more than [`LARGEST`] bytes.
    Large,
    /// It starts with something else than our mark.
    Magic,
    /// It has fewer bytes than its header says.
    Length {
        /// What the header says, in bytes.
        expected: usize,
        /// What is there, in bytes.
        found: usize,
    },
    /// A bit of it was changed.
    Checksum,
    /// A version that never was.
    Version,
    /// Its body is no record. Only the place is told: what stands there may be private.
    Body {
        /// The line in the body, from 1.
        line: usize,
        /// The column in that line, from 1; 0 where the end of a line is.
        column: usize,
    },
    /// It is the record of another container.
    Other,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str("it is no file"),
            Self::Short => f.write_str("it ends within its header"),
            Self::Large => write!(f, "it has more than {LARGEST} bytes"),
            Self::Magic => f.write_str("it does not start with the mark of a record"),
            Self::Length { expected, found } => {
                write!(
                    f,
                    "its body has {found} bytes where its header says {expected}"
                )
            }
            Self::Checksum => f.write_str("its checksum does not match its content"),
            Self::Version => f.write_str("its version never was"),
            Self::Body { line, column } => {
                write!(f, "its body is no record at line {line}, column {column}")
            }
            Self::Other => f.write_str("it is the record of another container"),
        }
    }
}

/// The bytes of a record.
///
/// Fails with [`Error::TooLarge`] above [`LARGEST`].
pub fn encode(record: &Record) -> Result<Vec<u8>, Error> {
    let too_large = |bytes| Error::TooLarge {
        id: record.id.clone(),
        bytes,
    };
    let body = serde_json::to_vec(record).map_err(|source| Error::Encode {
        id: record.id.clone(),
        source,
    })?;
    let total = MAGIC.len() + 12 + body.len();
    let length = u32::try_from(body.len()).map_err(|_| too_large(total))?;
    if total > LARGEST {
        return Err(too_large(total));
    }
    let mut bytes = Vec::with_capacity(total);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(VERSION, length, &body).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// The bytes of a file that begins with a record, which [`encode`] made, and has room for a later one.
///
/// The room is there from the start, so that the file is what it is on the disk: one that grows is moved by some file systems, and
/// with it what was flushed. A record for which there is no room replaces the file.
pub fn with_room(mut record: Vec<u8>) -> Vec<u8> {
    let wanted = record.len().saturating_mul(2).saturating_add(PAGE / 8);
    let length = wanted.next_multiple_of(PAGE).min(LARGEST);
    record.resize(length.max(record.len()), 0);
    record
}

/// The last whole record in any bytes, or what is wrong with the first.
///
/// Fails with [`Error::Damaged`] and [`Error::Newer`]; `id` is whose record it has to be.
pub fn decode(id: &Id, bytes: &[u8]) -> Result<Record, Error> {
    last(id, bytes).map(|(record, _)| record)
}

/// The last whole record, and how many bytes stand before what follows it.
pub(crate) fn last(id: &Id, bytes: &[u8]) -> Result<(Record, usize), Error> {
    if bytes.len() > LARGEST {
        return Err(Error::Damaged {
            id: id.clone(),
            why: Damage::Large,
        });
    }
    let (mut record, mut rest) = first(id, bytes)?;
    while let Ok((later, after)) = first(id, rest) {
        (record, rest) = (later, after);
    }
    Ok((record, bytes.len() - rest.len()))
}

/// The first record, and the bytes after it.
fn first<'a>(id: &Id, bytes: &'a [u8]) -> Result<(Record, &'a [u8]), Error> {
    let damaged = |why| Error::Damaged {
        id: id.clone(),
        why,
    };
    let (version, body, rest) = open(bytes).map_err(damaged)?;
    match version {
        0 => return Err(damaged(Damage::Version)),
        1..=VERSION => {}
        newer => {
            return Err(Error::Newer {
                id: id.clone(),
                version: newer,
            });
        }
    }
    let record: Record = serde_json::from_slice(body).map_err(|error| {
        damaged(Damage::Body {
            line: error.line(),
            column: error.column(),
        })
    })?;
    if record.id == *id {
        Ok((record, rest))
    } else {
        Err(damaged(Damage::Other))
    }
}

/// The version, the body and the bytes after it, once the header was found true.
fn open(bytes: &[u8]) -> Result<(u32, &[u8], &[u8]), Damage> {
    let start = bytes.get(..MAGIC.len()).ok_or(Damage::Short)?;
    if start != MAGIC {
        return Err(Damage::Magic);
    }
    let rest = bytes.get(MAGIC.len()..).unwrap_or_default();
    let (version, rest) = number(rest)?;
    let (length, rest) = number(rest)?;
    let (sum, rest) = number(rest)?;
    let expected = usize::try_from(length).map_err(|_| Damage::Large)?;
    let found = rest.len();
    let (body, rest) = rest
        .split_at_checked(expected)
        .ok_or(Damage::Length { expected, found })?;
    if checksum(version, length, body) != sum {
        return Err(Damage::Checksum);
    }
    Ok((version, body, rest))
}

/// The next number and what follows it.
fn number(bytes: &[u8]) -> Result<(u32, &[u8]), Damage> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or(Damage::Short)?;
    Ok((u32::from_le_bytes(*number), rest))
}

/// The checksum over everything that has a meaning.
fn checksum(version: u32, length: u32, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&version.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}
