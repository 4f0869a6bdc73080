//! Frames: ten bytes that say what follows, and at most 4 MiB of it.
//!
//! The first four bytes are the length of what follows the ten, the next four the number of the stream, both with the highest
//! byte first; then come the kind and the flags. A stream is one call: clients number them 1, 3, 5 and so on.

use std::io::{self, Read, Write};

/// How many bytes precede the payload.
pub const HEADER: usize = 10;

/// The most bytes of a payload, as every implementation has it.
pub const LONGEST: u32 = 4 * 1024 * 1024;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A call.
    Request,
    /// What a call ended with.
    Response,
    /// More of a call that streams.
    Data,
    /// A kind of a version to come.
    Other(u8),
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Response => 2,
            Self::Data => 3,
            Self::Other(number) => number,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Data,
            other => Self::Other(other),
        }
    }
}

/// What precedes a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The length of the payload, in bytes. It may say more than [`LONGEST`].
    pub length: u32,
    /// The stream.
    pub stream: u32,
    /// What the frame holds.
    pub kind: Kind,
    /// Flags of streams. Calls without streaming have none that matter.
    pub flags: u8,
}

impl Header {
    /// As it is sent.
    pub fn encode(&self) -> [u8; HEADER] {
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        let kind = self.kind.number();
        [l0, l1, l2, l3, s0, s1, s2, s3, kind, self.flags]
    }

    /// As it was received. Any ten bytes are a header.
    pub fn decode(bytes: [u8; HEADER]) -> Self {
        let [l0, l1, l2, l3, s0, s1, s2, s3, kind, flags] = bytes;
        Self {
            length: u32::from_be_bytes([l0, l1, l2, l3]),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            kind: Kind::from_number(kind),
            flags,
        }
    }

    /// Whether its payload is longer than any may be.
    pub fn is_too_long(&self) -> bool {
        self.length > LONGEST
    }
}

/// Reads a header; none at the end, where nobody began one.
///
/// # Errors
/// `UnexpectedEof` in the middle of one, or what the connection says.
pub fn read_header(reader: &mut dyn Read) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER];
    let mut begun = 0;
    while let Some(missing) = bytes.get_mut(begun..).filter(|it| !it.is_empty()) {
        match reader.read(missing) {
            Ok(0) if begun == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => begun += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(Header::decode(bytes)))
}

/// Reads a payload. It takes memory as the bytes arrive: a length that was only claimed costs nothing.
///
/// # Errors
/// `UnexpectedEof` where there is less, or what the connection says.
pub fn read_payload(reader: &mut dyn Read, length: u32) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    let mut rest = reader.take(length.into());
    rest.read_to_end(&mut payload)?;
    if rest.limit() > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(payload)
}

/// Reads past a payload.
///
/// # Errors
/// As [`read_payload`].
pub fn skip_payload(reader: &mut dyn Read, length: u32) -> io::Result<()> {
    let mut rest = reader.take(length.into());
    io::copy(&mut rest, &mut io::sink())?;
    if rest.limit() > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Writes a frame without flags.
///
/// # Errors
/// `InvalidInput` for a payload that is longer than [`LONGEST`], of which nothing is written, or what the connection says.
pub fn write(writer: &mut dyn Write, kind: Kind, stream: u32, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let header = Header {
        length,
        stream,
        kind,
        flags: 0,
    };
    if header.is_too_long() {
        let message = format!("a frame of {length} bytes is longer than {LONGEST}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let frame = [header.encode().as_slice(), payload].concat();
    writer.write_all(&frame)?;
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_the_one_that_others_write() {
        let mut bytes = Vec::new();
        write(&mut bytes, Kind::Response, 0x0102_0305, b"ab").unwrap();
        assert_eq!(bytes, [0, 0, 0, 2, 1, 2, 3, 5, 2, 0, b'a', b'b']);
        let mut reader = bytes.as_slice();
        let header = read_header(&mut reader).unwrap().unwrap();
        assert_eq!((header.stream, header.kind), (0x0102_0305, Kind::Response));
        assert_eq!(read_payload(&mut reader, header.length).unwrap(), b"ab");
        assert_eq!(read_header(&mut reader).unwrap(), None);
    }

    #[test]
    fn kinds_of_versions_to_come_are_kept() {
        for number in 0..=u8::MAX {
            assert_eq!(Kind::from_number(number).number(), number);
        }
    }

    #[test]
    fn the_end_in_the_middle_is_no_end() {
        let mut whole = Vec::new();
        write(&mut whole, Kind::Request, 1, b"abc").unwrap();
        for length in 1..whole.len() {
            let mut reader = &whole[..length];
            let read = read_header(&mut reader).and_then(|header| {
                let length = header.map_or(0, |it| it.length);
                read_payload(&mut reader, length)
            });
            let error = read.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length}");
        }
    }

    #[test]
    fn what_is_longer_than_a_frame_is_not_written_and_can_be_skipped() {
        let longest = usize::try_from(LONGEST).unwrap();
        let mut bytes = Vec::new();
        write(&mut bytes, Kind::Request, 1, &vec![7; longest]).unwrap();
        let before = bytes.len();
        let error = write(&mut bytes, Kind::Request, 3, &vec![7; longest + 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(bytes.len(), before);
        let mut reader = bytes.as_slice();
        let header = read_header(&mut reader).unwrap().unwrap();
        assert!(!header.is_too_long());
        skip_payload(&mut reader, header.length).unwrap();
        assert!(reader.is_empty());
        assert!(skip_payload(&mut reader, 1).is_err());
    }
}
