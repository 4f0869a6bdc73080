//! Kubeconfig files of the local cluster; none of them skips the verification of the server.

use std::path::Path;

use serde_json::{Value, json};

use super::certificates::{Identity, write_private};
use super::error::ClusterError;

/// How a client proves who it is.
pub(super) enum Credential<'a> {
    Certificate(&'a Identity),
    Token(&'a str),
}

/// Writes a kubeconfig to `path`. It is JSON, which every reader of YAML reads.
pub(super) fn write(
    path: &Path,
    server: &str,
    authority: &Path,
    user: &str,
    credential: &Credential<'_>,
) -> Result<(), ClusterError> {
    let proof: Value = match credential {
        Credential::Certificate(identity) => json!({
            "client-certificate": identity.certificate,
            "client-key": identity.key,
        }),
        Credential::Token(token) => json!({ "token": token }),
    };
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "local",
            "cluster": { "server": server, "certificate-authority": authority },
        }],
        "users": [{ "name": user, "user": proof }],
        "contexts": [{ "name": "local", "context": { "cluster": "local", "user": user } }],
        "current-context": "local",
    });
    write_private(path, &format!("{document:#}\n"))
}
