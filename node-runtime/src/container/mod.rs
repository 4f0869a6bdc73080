//! `container`: runs what [`crate::state`] decides against a host.
