//! The API server's audit log: who asked for what, and the answer.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;

use super::error::ClusterError;

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Who asked, such as `system:serviceaccount:kube-system:daemon-set-controller`.
    pub user: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural name of the kind; empty for a path outside the resources.
    pub resource: String,
    /// `status`, `binding`, …; empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-scoped objects and for requests over all namespaces.
    pub namespace: String,
    /// Empty for lists and for objects whose name the server makes.
    pub name: String,
    /// The HTTP status of the answer; 0 where the log has none.
    pub code: u16,
    /// Whether the request asked for a dry run, which writes nothing.
    pub dry_run: bool,
    /// When the request arrived.
    pub time: Timestamp,
}

impl AuditEvent {
    /// Whether the request changed something: a successful write that is not a dry run.
    pub fn is_write(&self) -> bool {
        let writes = ["create", "update", "patch", "delete", "deletecollection"];
        writes.contains(&self.verb.as_str()) && !self.dry_run && (200..300).contains(&self.code)
    }

    /// Whether it is about Events or Leases, the traffic that write budgets leave out.
    pub fn is_event_or_lease(&self) -> bool {
        self.resource == "events" || self.resource == "leases"
    }
}

/// Reads the log from where it stopped the last time.
///
/// The server writes a line after it has sent the answer: a test that looks for its own request repeats
/// the reading until the line is there.
#[derive(Debug)]
pub struct AuditReader {
    path: PathBuf,
    offset: u64,
}

impl AuditReader {
    /// A reader that begins with the first request of the cluster.
    pub(super) const fn from_start(path: PathBuf) -> Self {
        Self { path, offset: 0 }
    }

    /// Forgets everything that is in the log now.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn skip_to_end(&mut self) -> Result<(), ClusterError> {
        self.read().map(drop)
    }

    /// The requests that were logged since the last call, in the order of their answers.
    ///
    /// # Errors
    /// The log cannot be read, or a whole line of it is not an audit event.
    pub fn read(&mut self) -> Result<Vec<AuditEvent>, ClusterError> {
        let mut bytes = Vec::new();
        let reading = || ClusterError::io(format!("read {}", self.path.display()));
        match File::open(&self.path) {
            Ok(mut file) => file
                .seek(SeekFrom::Start(self.offset))
                .and_then(|_| file.read_to_end(&mut bytes))
                .map_err(reading())?,
            // No request has been answered yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(reading()(error)),
        };
        // The last line may be half written.
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        bytes.truncate(whole);
        self.offset += whole as u64;
        bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(parse)
            .collect()
    }
}

fn parse(line: &[u8]) -> Result<AuditEvent, ClusterError> {
    let raw: Raw = serde_json::from_slice(line).map_err(|error| ClusterError::Answer {
        program: "the audit log",
        answer: format!("{error} in {}", String::from_utf8_lossy(line)),
    })?;
    let object = raw.object_ref;
    Ok(AuditEvent {
        user: raw.user.username,
        user_agent: raw.user_agent,
        verb: raw.verb,
        group: object.api_group,
        resource: object.resource,
        subresource: object.subresource,
        namespace: object.namespace,
        name: object.name,
        code: raw.response_status.code,
        dry_run: asks_for_dry_run(&raw.request_uri),
        time: raw.request_received_timestamp,
    })
}

/// Whether the query of the request has a `dryRun` parameter with a value.
fn asks_for_dry_run(uri: &str) -> bool {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| {
        pair.strip_prefix("dryRun=")
            .is_some_and(|value| !value.is_empty())
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    user: RawUser,
    #[serde(default)]
    user_agent: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    #[serde(default)]
    object_ref: RawObject,
    #[serde(default)]
    response_status: RawStatus,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize, Default)]
struct RawUser {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawObject {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
struct RawStatus {
    #[serde(default)]
    code: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(verb: &str, uri: &str, code: u16) -> AuditEvent {
        let line = serde_json::json!({
            "kind": "Event", "verb": verb, "requestURI": uri, "user": { "username": "ann" },
            "objectRef": { "resource": "pods", "namespace": "a", "name": "b" },
            "responseStatus": { "code": code },
            "requestReceivedTimestamp": "2026-01-02T03:04:05.678901Z",
        });
        parse(line.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_dry_run_and_a_refusal_are_not_writes() {
        let path = "/api/v1/namespaces/a/pods/b";
        assert!(event("patch", path, 200).is_write());
        assert!(event("patch", &format!("{path}?fieldManager=x&dryRun="), 200).is_write());
        assert!(!event("patch", &format!("{path}?fieldManager=x&dryRun=All"), 200).is_write());
        assert!(!event("patch", path, 409).is_write());
        assert!(!event("watch", path, 200).is_write());
    }

    #[test]
    fn a_half_written_line_waits_for_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let line = |name: &str| {
            format!(
                r#"{{"verb":"get","requestURI":"/","objectRef":{{"name":"{name}"}},"requestReceivedTimestamp":"2026-01-02T03:04:05Z"}}"#
            )
        };
        let mut reader = AuditReader::from_start(path.clone());
        assert_eq!(reader.read().unwrap(), []);

        let (begin, end) = (line("second"), "\n");
        std::fs::write(&path, format!("{}\n{begin}", line("first"))).unwrap();
        let names = |events: Vec<AuditEvent>| {
            events
                .into_iter()
                .map(|event| event.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(reader.read().unwrap()), ["first"]);
        assert_eq!(names(reader.read().unwrap()), [""; 0]);

        std::fs::write(&path, format!("{}\n{begin}{end}", line("first"))).unwrap();
        assert_eq!(names(reader.read().unwrap()), ["second"]);
    }
}
