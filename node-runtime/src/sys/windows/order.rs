//! What the launcher is told and what it answers. See [`super::launcher`].

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

/// The most bytes of an order. An environment has at most 32,767 characters for each of its variables.
const LARGEST: u32 = 64 << 20;

/// The program to start, with handles as the numbers that they have in the launcher.
///
/// It has arguments and values of variables in it, so it is never printed.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// The full path of the program, as those in the job see it.
    pub(super) program: String,
    /// Its command line, quoted.
    pub(super) command_line: String,
    /// The folder it starts in, as those in the job see it.
    pub(super) directory: String,
    /// Its whole environment.
    pub(super) environment: BTreeMap<String, String>,
    /// Whether its streams are those of the console that the launcher has.
    pub(super) console_streams: bool,
    /// Its standard input, output and error; none leads nowhere.
    pub(super) streams: [Option<u64>; 3],
    /// Who it runs as; as the launcher does where none.
    pub(super) token: Option<u64>,
}

impl Order {
    /// As it is sent: its length, then itself.
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        let text = serde_json::to_vec(self)?;
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        if length > LARGEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the arguments and variables of this program are larger than 64 MiB; leave some out",
            ));
        }
        Ok(length.to_le_bytes().into_iter().chain(text).collect())
    }

    /// Reads one, and nothing behind it.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > LARGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut text = Vec::new();
        from.take(length.into()).read_to_end(&mut text)?;
        serde_json::from_slice(&text).map_err(io::Error::from)
    }
}

/// What became of an order.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) enum Answer {
    /// The program was born and waits for its first instruction.
    Born(Told),
    /// It could not be started.
    Failed(Failure),
}

/// A program that was born, with handles as the numbers that they have in the launcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    /// Its number.
    pub(super) pid: u32,
    /// When it was started, in 100 ns since 1601.
    pub(super) started: u64,
    /// The process.
    pub(super) process: u64,
    /// Its first thread.
    pub(super) thread: u64,
}

/// Why a program could not be started.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    /// The error of Windows, where it is one as it came.
    code: Option<i32>,
    kind: Kind,
    message: String,
}

/// The kinds of error that the contract of [`crate::sys::Job::spawn`] tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    NotFound,
    PermissionDenied,
    InvalidInput,
    QuotaExceeded,
    Other,
}

const KINDS: [(Kind, io::ErrorKind); 4] = [
    (Kind::NotFound, io::ErrorKind::NotFound),
    (Kind::PermissionDenied, io::ErrorKind::PermissionDenied),
    (Kind::InvalidInput, io::ErrorKind::InvalidInput),
    (Kind::QuotaExceeded, io::ErrorKind::QuotaExceeded),
];

impl Failure {
    /// Of an error.
    pub(super) fn of(error: &io::Error) -> Self {
        let kind = KINDS.iter().find(|(_, kind)| *kind == error.kind());
        Self {
            code: error.raw_os_error(),
            kind: kind.map_or(Kind::Other, |(kind, _)| *kind),
            message: error.to_string(),
        }
    }

    /// The same error on the other side.
    pub(super) fn error(self) -> io::Error {
        if let Some(code) = self.code {
            return io::Error::from_raw_os_error(code);
        }
        let kind = KINDS.iter().find(|(kind, _)| *kind == self.kind);
        let kind = kind.map_or(io::ErrorKind::Other, |(_, kind)| *kind);
        io::Error::new(kind, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        Order {
            program: r"C:\hpc\ä.exe".to_owned(),
            command_line: "\"ä\" \"\\\" %PATH%".to_owned(),
            directory: r"C:\hpc".to_owned(),
            environment: [("A".to_owned(), "1 = 𝄞\n".to_owned())].into(),
            console_streams: false,
            streams: [Some(4), None, Some(u64::MAX)],
            token: Some(8),
        }
    }

    #[test]
    fn an_order_arrives_as_it_was_given_and_what_follows_it_stays() {
        let mut bytes = order().bytes().unwrap();
        bytes.extend(b"rest");
        let mut from = bytes.as_slice();
        assert!(Order::read(&mut from).unwrap() == order());
        assert_eq!(from, b"rest");
    }

    #[test]
    fn half_an_order_and_rubbish_are_errors() {
        let bytes = order().bytes().unwrap();
        for end in 0..bytes.len() {
            assert!(
                Order::read(&mut bytes.get(..end).unwrap()).is_err(),
                "{end}"
            );
        }
        let rubbish = [&[2, 0, 0, 0, b'{', b'}'][..], &[255; 64]];
        for mut bytes in rubbish {
            assert!(Order::read(&mut bytes).is_err());
        }
    }

    #[test]
    fn an_error_keeps_its_number_or_its_kind_and_its_words() {
        let of_windows = Failure::of(&io::Error::from_raw_os_error(2)).error();
        assert_eq!(of_windows.raw_os_error(), Some(2));
        for kind in [
            io::ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::InvalidInput,
            io::ErrorKind::QuotaExceeded,
            io::ErrorKind::Other,
        ] {
            let error = Failure::of(&io::Error::new(kind, "why")).error();
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, "why"));
        }
    }
}
