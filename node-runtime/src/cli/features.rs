//! `features`: what OCI runtimes say about themselves, and what this host can do.

use serde_json::{Value, json};

use super::context::Context;
use super::error::CommandError;
use super::output;
use crate::sys::{Features, Places};

/// `features`.
pub(super) fn features(context: &Context) -> Result<u32, CommandError> {
    let document = document(&context.host.features(), &context.places);
    output::json(&document).map_err(CommandError::Print)?;
    Ok(0)
}

/// The document of the OCI runtime specification, with what is ours under a name of ours.
pub(crate) fn document(features: &Features, places: &Places) -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": super::OCI_VERSION,
        // No hook is run: a config that asks for one is refused.
        "hooks": [],
        "mountOptions": ["ro", "rw"],
        "annotations": {
            "dev.hosttask/version": env!("CARGO_PKG_VERSION"),
        },
        "potentiallyUnsafeConfigAnnotations": [
            "microsoft.com/hostprocess-",
            "dev.hosttask/",
        ],
        "hosttask": { "features": features, "places": places },
    })
}
