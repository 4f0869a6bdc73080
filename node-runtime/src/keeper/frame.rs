//! Frames: one JSON document after four bytes of length. Whatever bytes come, the answer is a message or an error.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::sys::Connection;

/// The most bytes of a document. A process list of 10,000 processes has a tenth of it.
pub const LONGEST: usize = 4 * 1024 * 1024;

/// The version of the protocol; both sides have to speak the same one.
pub const VERSION: u32 = 1;

/// Why no message could be sent or received.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The other side closed the connection, or broke it, or was silent for too long.
    #[error("failed to {verb} the other side of the connection")]
    Broken {
        /// What was tried.
        verb: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It is longer than [`LONGEST`].
    #[error("a message has {0} bytes; at most {LONGEST} are allowed")]
    TooLong(usize),
    /// Its end is missing.
    #[error("a message ends after {had} of {announced} bytes")]
    CutOff {
        /// Bytes that came.
        had: usize,
        /// Bytes that were announced.
        announced: usize,
    },
    /// It is no message of the protocol.
    #[error("a message is malformed")]
    Malformed(#[source] serde_json::Error),
    /// The other side is of another version.
    #[error(
        "the other side speaks version {0} of the protocol, this program version {VERSION}; use the program that created the container"
    )]
    Version(u32),
}

/// What is around every message.
#[derive(serde::Serialize, serde::Deserialize)]
struct Envelope<T> {
    version: u32,
    body: T,
}

/// The part of it that every version has.
#[derive(serde::Deserialize)]
struct Head {
    version: u32,
}

/// Writes a message.
///
/// # Errors
/// [`FrameError::TooLong`], or [`FrameError::Broken`] where the other side is gone or does not read.
pub fn write<T: Serialize>(to: &mut dyn Write, body: &T) -> Result<(), FrameError> {
    let envelope = Envelope {
        version: VERSION,
        body,
    };
    let document = serde_json::to_vec(&envelope).map_err(FrameError::Malformed)?;
    let length = u32::try_from(document.len()).unwrap_or(u32::MAX);
    if document.len() > LONGEST {
        return Err(FrameError::TooLong(document.len()));
    }
    // One write: half a frame never waits for the other half.
    let frame = [&length.to_be_bytes(), document.as_slice()].concat();
    to.write_all(&frame)
        .and_then(|()| to.flush())
        .map_err(|source| FrameError::Broken {
            verb: "write to",
            source,
        })
}

/// Reads a message; none where the other side closed the connection before its first byte.
///
/// # Errors
/// Each of [`FrameError`]; nothing more can be read after one.
pub fn read<T: DeserializeOwned>(from: &mut dyn Read) -> Result<Option<T>, FrameError> {
    let mut head = Vec::new();
    fill(from, 4, &mut head)?;
    let announced = match <[u8; 4]>::try_from(head.as_slice()) {
        Ok(length) => usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX),
        Err(_) if head.is_empty() => return Ok(None),
        Err(_) => {
            return Err(FrameError::CutOff {
                had: head.len(),
                announced: 4,
            });
        }
    };
    if announced > LONGEST {
        return Err(FrameError::TooLong(announced));
    }
    let mut document = Vec::new();
    fill(from, announced, &mut document)?;
    if document.len() < announced {
        return Err(FrameError::CutOff {
            had: document.len(),
            announced,
        });
    }
    decode(&document).map(Some)
}

/// Reads a message that has to be complete in time: one who sends a byte now and then is cut off, too.
///
/// # Errors
/// As [`read`].
pub fn receive<T: DeserializeOwned>(
    connection: &mut dyn Connection,
    within: Duration,
) -> Result<Option<T>, FrameError> {
    read(&mut Timed {
        connection,
        within,
        deadline: Some(Instant::now() + within),
    })
}

/// Reads a message that may begin at any time, and has to be complete that long after its first byte.
///
/// # Errors
/// As [`read`].
pub fn receive_later<T: DeserializeOwned>(
    connection: &mut dyn Connection,
    within: Duration,
) -> Result<Option<T>, FrameError> {
    read(&mut Timed {
        connection,
        within,
        deadline: None,
    })
}

/// Reads `count` bytes, or fewer where the other side ends before. Memory grows with what came, not with what was announced.
fn fill(from: &mut dyn Read, count: usize, into: &mut Vec<u8>) -> Result<(), FrameError> {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    let read = from.take(count).read_to_end(into);
    read.map(|_| ()).map_err(|source| FrameError::Broken {
        verb: "read from",
        source,
    })
}

/// A document as a message.
fn decode<T: DeserializeOwned>(document: &[u8]) -> Result<T, FrameError> {
    let head: Head = serde_json::from_slice(document).map_err(FrameError::Malformed)?;
    if head.version != VERSION {
        return Err(FrameError::Version(head.version));
    }
    let envelope: Envelope<T> = serde_json::from_slice(document).map_err(FrameError::Malformed)?;
    Ok(envelope.body)
}

/// A connection of which all reads together have one deadline.
struct Timed<'a> {
    connection: &'a mut dyn Connection,
    within: Duration,
    /// None until the first byte came, where that has none.
    deadline: Option<Instant>,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(deadline) = self.deadline else {
            self.connection.set_timeout(None)?;
            let count = self.connection.read(buffer)?;
            self.deadline = Some(Instant::now() + self.within);
            return Ok(count);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        self.connection.set_timeout(Some(left))?;
        self.connection.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn frame(document: &[u8]) -> Vec<u8> {
        let length = u32::try_from(document.len()).unwrap();
        [&length.to_be_bytes(), document].concat()
    }

    #[test]
    fn what_is_written_is_read_and_then_the_end() {
        let mut bytes = Vec::new();
        write(&mut bytes, &"one").unwrap();
        write(&mut bytes, &"two").unwrap();
        let mut from = bytes.as_slice();
        assert_eq!(read::<String>(&mut from).unwrap().unwrap(), "one");
        assert_eq!(read::<String>(&mut from).unwrap().unwrap(), "two");
        assert!(read::<String>(&mut from).unwrap().is_none());
    }

    #[test]
    fn a_message_that_is_too_long_is_neither_sent_nor_read() {
        let long = "x".repeat(LONGEST);
        assert!(matches!(
            write(&mut Vec::new(), &long),
            Err(FrameError::TooLong(_))
        ));
        let announced = u32::MAX.to_be_bytes();
        let read = read::<String>(&mut announced.as_slice());
        assert!(matches!(read, Err(FrameError::TooLong(_))));
    }

    #[test]
    fn another_version_is_named_even_when_its_body_means_nothing_here() {
        let bytes = frame(br#"{"version":7,"soul":[]}"#);
        let read = read::<String>(&mut bytes.as_slice());
        assert!(matches!(read, Err(FrameError::Version(7))), "{read:?}");
    }

    #[test]
    fn a_document_that_nests_ten_thousand_deep_is_malformed() {
        let deep = format!(r#"{{"version":1,"body":{}"#, "[".repeat(10_000));
        let bytes = frame(deep.as_bytes());
        let read = read::<serde_json::Value>(&mut bytes.as_slice());
        assert!(matches!(read, Err(FrameError::Malformed(_))), "{read:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read::<BTreeMap<String, u32>>(&mut bytes.as_slice());
            let _ = read::<BTreeMap<String, u32>>(&mut frame(&bytes).as_slice());
        }

        #[test]
        fn a_message_that_is_cut_anywhere_is_an_error(text in ".{0,40}", part in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            write(&mut bytes, &text).unwrap();
            let cut = 1 + part.index(bytes.len() - 1);
            prop_assert!(read::<String>(&mut &bytes[..cut]).is_err());
        }
    }
}
