//! The options of a task: those of the stock runtime for Windows, of which one means something here.

use std::time::Duration;

use protobuf::CodedInputStream;
use protobuf::well_known_types::any::Any;

use super::failure::Failure;
use super::packed::Expected;

/// The options that are known.
const KNOWN: Expected = Expected {
    field: "options",
    kind: "containerd.runhcs.v1.Options",
    rule: "this runtime knows those of runhcs only; remove the options from its section in the config of containerd",
};

/// The number of `io_retry_timeout_in_sec` in them.
const RETRY: u32 = 17;

/// How long a reader of output that went away is waited for; none: as long as it takes.
///
/// # Errors
/// Options of another runtime: what they ask for would not be done.
pub(super) fn retry(options: Option<&Any>) -> Result<Option<Duration>, Failure> {
    let Some(options) = options.filter(|it| !it.value.is_empty()) else {
        return Ok(None);
    };
    KNOWN.check(options)?;
    let seconds = read(&options.value).map_err(|source| Failure::Decode {
        method: "Create (options)".to_owned(),
        source,
    })?;
    Ok(seconds.map(|it| Duration::from_secs(it.into())))
}

/// The value of the field, where it is given and not zero.
fn read(bytes: &[u8]) -> protobuf::Result<Option<u32>> {
    let mut input = CodedInputStream::from_bytes(bytes);
    let mut found = None;
    while let Some(tag) = input.read_raw_tag_or_eof()? {
        // A whole number; anything else of that number is no such field.
        if tag == RETRY << 3 {
            found = Some(input.read_uint32()?);
        } else {
            protobuf::rt::skip_field_for_tag(tag, &mut input)?;
        }
    }
    Ok(found.filter(|it| *it > 0))
}
