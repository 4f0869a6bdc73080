//! `-info`: what this runtime is, for containerd.

use std::io;

use containerd_shim_protos::types::introspection::{RuntimeInfo, RuntimeVersion};
use protobuf::well_known_types::any::Any;
use protobuf::{Message as _, MessageField};

use crate::cli::features;
use crate::sys::Host;

/// The name by which pods choose this runtime.
pub const RUNTIME: &str = "io.containerd.hosttask.v1";

/// What containerd calls the features document of the OCI runtime specification.
const FEATURES: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

/// The message; without the features of a host that cannot be opened.
///
/// # Errors
/// Where it cannot be encoded.
pub(super) fn info(host: Option<&dyn Host>) -> io::Result<Vec<u8>> {
    let features = host.map(|host| {
        let document = features::document(&host.features(), &host.places());
        Any {
            type_url: FEATURES.to_owned(),
            value: document.to_string().into_bytes(),
            ..Any::default()
        }
    });
    let info = RuntimeInfo {
        name: RUNTIME.to_owned(),
        version: MessageField::some(RuntimeVersion {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..RuntimeVersion::default()
        }),
        features: features.into(),
        ..RuntimeInfo::default()
    };
    info.write_to_bytes().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeHost;

    #[test]
    fn the_runtime_has_a_name_a_version_and_the_features_of_the_host() {
        let read =
            |host: Option<&dyn Host>| RuntimeInfo::parse_from_bytes(&info(host).unwrap()).unwrap();
        let host = FakeHost::new();
        let said = read(Some(&host));
        assert_eq!(
            (said.name.as_str(), said.version.version.as_str()),
            (RUNTIME, env!("CARGO_PKG_VERSION"))
        );
        let features: serde_json::Value = serde_json::from_slice(&said.features.value).unwrap();
        assert_eq!(features["hosttask"]["features"]["backend"], "fake");
        assert!(read(None).features.is_none());
    }
}
