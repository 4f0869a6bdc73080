//! What containerd writes to the standard input of `start`, and what it reads from the output.
//!
//! containerd 2.3 and later writes [`BootstrapParams`] and reads [`BootstrapResult`]. Before that it wrote the options of the
//! runtime or nothing, and read a JSON document (1.7 and later, which say so with `MAX_SHIM_VERSION`) or a bare address. What
//! it wrote then can happen to read as [`BootstrapParams`]; only the names in it tell.

use std::io::{self, Read};

use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use protobuf::Message as _;
use serde_json::json;

use super::arguments::Options;

/// The most bytes of input that are read.
const LONGEST: u64 = 10 * 1024 * 1024;

/// The newest task service.
const NEWEST: i32 = 3;

/// The version of the task service of those that only know the older notation.
const OLDER: i32 = 2;

/// The protocol of the shim.
const PROTOCOL: &str = "ttrpc";

/// How containerd wants to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// By a message.
    Message,
    /// By a JSON document.
    Json,
    /// By the address alone.
    Bare,
}

/// How a shim is to be started, from all that containerd says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// How to answer.
    pub notation: Notation,
    /// Which task service containerd is to use: 2 or 3.
    pub version: i32,
    /// Where containerd is reached.
    pub containerd: String,
    /// Where events go; none where nobody takes them.
    pub events: Option<String>,
    /// The folder for the socket; none for the usual one.
    pub socket_folder: Option<String>,
    /// Whether each call is logged.
    pub debug: bool,
}

/// Reads the standard input, whatever it is.
///
/// # Errors
/// What the system said.
pub fn read(input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What containerd says: on the command line, on standard input, and in variables. `newest` is `MAX_SHIM_VERSION`, `events`
/// is `TTRPC_ADDRESS`.
pub fn order(
    options: &Options,
    input: &[u8],
    newest: Option<&str>,
    events: Option<String>,
) -> Order {
    let some = |text: String| Some(text).filter(|it| !it.is_empty());
    let address = options.address.clone().unwrap_or_default();
    let Some(params) = params(options, input) else {
        let newest: Option<i32> = newest.and_then(|it| it.trim().parse().ok());
        let version = newest.map_or(OLDER, |newest| newest.clamp(OLDER, NEWEST));
        // A version below has no JSON either.
        let notation = match newest {
            Some(newest) if newest >= OLDER => Notation::Json,
            _ => Notation::Bare,
        };
        return Order {
            notation,
            version,
            containerd: address,
            events: events.and_then(some),
            socket_folder: None,
            debug: options.debug,
        };
    };
    Order {
        notation: Notation::Message,
        version: NEWEST,
        containerd: some(params.containerd_grpc_address).unwrap_or(address),
        events: some(params.containerd_ttrpc_address).or_else(|| events.and_then(some)),
        socket_folder: params.socket_dir.and_then(some),
        debug: options.debug,
    }
}

/// The message, if it is one: legacy options can read as one by accident, but then the names do not fit.
fn params(options: &Options, input: &[u8]) -> Option<BootstrapParams> {
    let params = BootstrapParams::parse_from_bytes(input).ok()?;
    let is_ours =
        params.instance_id == options.id.as_str() && params.namespace == options.namespace.as_str();
    is_ours.then_some(params)
}

/// The answer: everything that `start` prints.
///
/// # Errors
/// Where it cannot be encoded.
pub fn answer(order: &Order, address: &str) -> io::Result<Vec<u8>> {
    match order.notation {
        Notation::Bare => Ok(address.as_bytes().to_owned()),
        Notation::Json => {
            let document = json!({
                "version": order.version,
                "address": address,
                "protocol": PROTOCOL,
            });
            Ok(document.to_string().into_bytes())
        }
        Notation::Message => {
            let result = BootstrapResult {
                version: order.version,
                address: address.to_owned(),
                protocol: PROTOCOL.to_owned(),
                ..BootstrapResult::default()
            };
            result.write_to_bytes().map_err(io::Error::other)
        }
    }
}

#[cfg(test)]
mod tests {
    use protobuf::well_known_types::any::Any;

    use super::*;
    use crate::id::Id;

    fn options() -> Options {
        Options {
            namespace: Id::parse("k8s.io").unwrap(),
            id: Id::parse("web").unwrap(),
            address: Some("grpc-of-line".to_owned()),
            bundle: None,
            debug: false,
        }
    }

    fn params() -> BootstrapParams {
        BootstrapParams {
            instance_id: "web".to_owned(),
            namespace: "k8s.io".to_owned(),
            containerd_ttrpc_address: "ttrpc".to_owned(),
            containerd_grpc_address: "grpc".to_owned(),
            ..BootstrapParams::default()
        }
    }

    #[test]
    fn a_message_is_answered_by_a_message_of_version_three() {
        let mut message = params();
        message.socket_dir = Some("/s".to_owned());
        let input = message.write_to_bytes().unwrap();
        // What 2.4 says beside: it is no limit of the message.
        let order = order(&options(), &input, Some("2"), Some("other".to_owned()));
        assert_eq!(order.events.as_deref(), Some("ttrpc"));
        assert_eq!(order.containerd, "grpc");
        assert_eq!(order.socket_folder.as_deref(), Some("/s"));
        let answer = answer(&order, "unix:///x").unwrap();
        let answer = BootstrapResult::parse_from_bytes(&answer).unwrap();
        assert_eq!((answer.version, answer.address.as_str()), (3, "unix:///x"));
        assert_eq!(answer.protocol, "ttrpc");
    }

    #[test]
    fn older_ones_are_answered_as_they_can_read() {
        let said = |newest| {
            let order = order(&options(), b"", newest, Some("events".to_owned()));
            assert_eq!(order.events.as_deref(), Some("events"));
            assert_eq!(order.containerd, "grpc-of-line");
            String::from_utf8(answer(&order, "A").unwrap()).unwrap()
        };
        assert_eq!(said(None), "A");
        assert_eq!(said(Some("1")), "A");
        assert_eq!(said(Some("no number")), "A");
        let two = r#"{"address":"A","protocol":"ttrpc","version":2}"#;
        assert_eq!(said(Some("2")), two);
        assert_eq!(said(Some("3")), two.replace('2', "3"));
        assert_eq!(said(Some("4")), two.replace('2', "3"));
    }

    #[test]
    fn options_of_a_runtime_are_no_message_even_where_they_read_as_one() {
        // An `Any` has two texts in the fields that a message has: both read as the other.
        let mut any = Any::new();
        any.type_url = "web".to_owned();
        any.value = b"default".to_vec();
        let input = any.write_to_bytes().unwrap();
        assert!(BootstrapParams::parse_from_bytes(&input).is_ok());
        assert_eq!(
            order(&options(), &input, Some("2"), None).notation,
            Notation::Json
        );
        let rubbish = order(&options(), b"\xff\xff\xff", None, None);
        assert_eq!((rubbish.notation, rubbish.events), (Notation::Bare, None));
    }

    #[test]
    fn the_message_of_another_container_is_none() {
        let mut message = params();
        message.instance_id = "other".to_owned();
        let input = message.write_to_bytes().unwrap();
        assert_eq!(
            order(&options(), &input, None, None).notation,
            Notation::Bare
        );
    }
}
