//! Where each kind is listed and watched: paths and queries, narrowed on the server.

use crate::index::{InputKind, Kind, Scope};

/// Objects per page of a list.
pub(crate) const PAGE: usize = 500;

/// The path of the collection that a scope lists. `namespace`: the only one whose tasks are watched.
///
/// With a namespace the namespaced kinds are asked for there only; nodes, ledgers and Namespaces are cluster-scoped.
pub(crate) fn collection(scope: &Scope, namespace: Option<&str>) -> String {
    match scope {
        Scope::Kind(kind) => path(*kind, namespace),
        Scope::Inputs(kind, of) => {
            format!("/api/v1/namespaces/{of}/{}", input_plural(*kind))
        }
    }
}

/// The path of one object.
pub(crate) fn object(kind: Kind, namespace: &str, name: &str) -> String {
    format!("{}/{name}", path(kind, Some(namespace)))
}

fn path(kind: Kind, namespace: Option<&str>) -> String {
    let (api, plural, namespaced) = match kind {
        Kind::Task => ("/apis/hosttask.dev/v1alpha1", "windowshosttasks", true),
        Kind::Ledger => ("/apis/hosttask.dev/v1alpha1", "windowshostnodes", false),
        Kind::Node => ("/api/v1", "nodes", false),
        Kind::Namespace => ("/api/v1", "namespaces", false),
        Kind::Pod => ("/api/v1", "pods", true),
        Kind::DaemonSet => ("/apis/apps/v1", "daemonsets", true),
        Kind::Revision => ("/apis/apps/v1", "controllerrevisions", true),
        Kind::Job => ("/apis/batch/v1", "jobs", true),
    };
    match namespace.filter(|_| namespaced) {
        Some(namespace) => format!("{api}/namespaces/{namespace}/{plural}"),
        None => format!("{api}/{plural}"),
    }
}

fn input_plural(kind: InputKind) -> &'static str {
    match kind {
        InputKind::ConfigMap => "configmaps",
        InputKind::Secret => "secrets",
    }
}

/// The label selector of a kind, percent-encoded.
fn selector(scope: &Scope) -> &'static str {
    match scope {
        Scope::Kind(Kind::Node) => "&labelSelector=kubernetes.io%2Fos%3Dwindows",
        Scope::Kind(Kind::DaemonSet | Kind::Job | Kind::Pod | Kind::Revision) => {
            "&labelSelector=app.kubernetes.io%2Fmanaged-by%3Dhosttask"
        }
        Scope::Kind(Kind::Task | Kind::Ledger | Kind::Namespace) | Scope::Inputs(..) => "",
    }
}

/// One page of a consistent list. It names no resource version: "any version will do" may be answered from the cache of an API
/// server that is minutes behind, and a decision on that breaks the budget after a restart.
pub(crate) fn page(scope: &Scope, namespace: Option<&str>, token: &str) -> String {
    let collection = collection(scope, namespace);
    let token = if token.is_empty() {
        String::new()
    } else {
        format!("&continue={}", encode(token))
    };
    format!("{collection}?limit={PAGE}{}{token}", selector(scope))
}

/// A watch from a resource version on, for at most `seconds`.
pub(crate) fn watch(scope: &Scope, namespace: Option<&str>, version: &str, seconds: u64) -> String {
    let (collection, version) = (collection(scope, namespace), encode(version));
    format!(
        "{collection}?watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}\
         &resourceVersion={version}{}",
        selector(scope)
    )
}

/// The newest events that say why the pods of an object cannot be created.
pub(crate) fn failed_create(namespace: &str, uid: &str) -> String {
    let fields = encode(&format!("involvedObject.uid={uid},reason=FailedCreate"));
    format!("/api/v1/namespaces/{namespace}/events?fieldSelector={fields}&limit={PAGE}")
}

/// Percent-encodes a query value: the server chose it, and may choose any characters.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for nibble in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(nibble), 16).unwrap_or('0');
                encoded.push(digit.to_ascii_uppercase());
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_consistent_and_paged_and_narrowed() {
        let first = page(&Scope::Kind(Kind::Pod), None, "");
        assert_eq!(
            first,
            "/api/v1/pods?limit=500&labelSelector=app.kubernetes.io%2Fmanaged-by%3Dhosttask"
        );
        let next = page(&Scope::Kind(Kind::Node), Some("ignored"), "a/b=");
        assert_eq!(
            next,
            "/api/v1/nodes?limit=500&labelSelector=kubernetes.io%2Fos%3Dwindows&continue=a%2Fb%3D"
        );
        assert_eq!(
            page(&Scope::Kind(Kind::Task), Some("ops"), ""),
            "/apis/hosttask.dev/v1alpha1/namespaces/ops/windowshosttasks?limit=500"
        );
        for kind in Kind::ALL {
            assert!(
                !page(&Scope::Kind(kind), None, "").contains("resourceVersion"),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn no_source_file_asks_for_a_list_of_any_version() {
        // The words are put together here, so that this file does not find itself.
        let forbidden = [
            "resourceVersion=",
            "resource_version(\"",
            "any_semantic",
            "VersionMatch::",
        ];
        let forbidden = [
            format!("{}0", forbidden[0]),
            format!("{}0\"", forbidden[1]),
            forbidden[2].to_owned(),
            forbidden[3].to_owned(),
        ];
        let mut folders = vec![std::path::PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src"
        ))];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|kind| kind == "rs")
                    && !path.ends_with("watch/source.rs")
                {
                    let text = std::fs::read_to_string(&path).unwrap();
                    files += 1;
                    for word in &forbidden {
                        assert!(
                            !text.contains(word.as_str()),
                            "{} has {word}",
                            path.display()
                        );
                    }
                }
            }
        }
        assert!(files > 20, "{files}");
    }
}
