//! Where a shim is reached, and where its log is read.

use sha2::{Digest as _, Sha256};

use crate::id::Id;
use crate::sys::{Places, Rules};

/// The part of the pipe name space in which only administrators can make a pipe: nobody can be there before us.
const PROTECTED: &str = r"\\.\pipe\ProtectedPrefix\Administrators";

/// Where containerd expects the sockets of shims.
const SOCKETS: &str = "/run/containerd/s";

/// The address of a shim. `containerd` is the address of the one it works for: two of them on a host have nothing in common.
/// On Windows there is one. Two dashes follow the namespace: no name has two in a row, so that no two pairs are one text.
pub fn of_shim(
    places: &Places,
    containerd: &str,
    folder: Option<&str>,
    namespace: &Id,
    id: &Id,
) -> String {
    match places.rules {
        Rules::Windows => format!(r"{PROTECTED}\containerd-shim-{namespace}--{id}-pipe"),
        Rules::Posix => {
            let folder = folder.unwrap_or(SOCKETS).trim_end_matches('/');
            format!("unix://{folder}/{}", digest(containerd, namespace, id))
        }
    }
}

/// The pipe from which containerd reads the log of a shim; none where it reads a file of the bundle. containerd knows it by
/// this name, which is outside of the protected part.
pub fn of_log(places: &Places, namespace: &Id, id: &Id) -> Option<String> {
    match places.rules {
        Rules::Windows => Some(format!(r"\\.\pipe\containerd-shim-{namespace}-{id}-log")),
        Rules::Posix => None,
    }
}

/// A name that no other shim has, in hexadecimal digits: the path of a socket may be no longer than some 100 bytes.
fn digest(containerd: &str, namespace: &Id, id: &Id) -> String {
    let mut hash = Sha256::new();
    for part in [containerd, namespace.as_str(), id.as_str()] {
        hash.update(part.as_bytes());
        // Names have none of these, so that no two triples are one text.
        hash.update(b"\n");
    }
    let bytes = hash.finalize();
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits
        .filter_map(|it| char::from_digit(it.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::places_of;

    fn id(text: &str) -> Id {
        Id::parse(text).unwrap()
    }

    #[test]
    fn a_pipe_is_where_only_administrators_can_make_one() {
        let windows = places_of(Rules::Windows);
        let address = of_shim(&windows, "any", None, &id("k8s.io"), &id("web"));
        let expected = r"\\.\pipe\ProtectedPrefix\Administrators\containerd-shim-k8s.io--web-pipe";
        assert_eq!(address, expected);
        let of = |namespace, name| of_shim(&windows, "any", None, &id(namespace), &id(name));
        assert_ne!(of("a-b", "c"), of("a", "b-c"));
        let log = of_log(&windows, &id("k8s.io"), &id("web"));
        assert_eq!(
            log.as_deref(),
            Some(r"\\.\pipe\containerd-shim-k8s.io-web-log")
        );
    }

    #[test]
    fn a_socket_has_a_name_of_its_own_that_is_short_enough() {
        let posix = places_of(Rules::Posix);
        let of = |containerd: &str, namespace: &str, name: &str| {
            of_shim(&posix, containerd, None, &id(namespace), &id(name))
        };
        let one = of("/run/c", "a-b", "c");
        assert_ne!(one, of("/run/c", "a", "b-c"));
        assert_ne!(one, of("/run/d", "a-b", "c"));
        assert_eq!(one, of("/run/c", "a-b", "c"));
        let path = one.strip_prefix("unix://").unwrap();
        assert!(
            path.starts_with("/run/containerd/s/") && path.len() < 104,
            "{path}"
        );
        let longest = "x".repeat(76);
        assert_eq!(of("/run/c", &longest, &longest).len(), one.len());
        assert_eq!(of_log(&posix, &id("a"), &id("b")), None);
    }

    #[test]
    fn a_folder_that_containerd_names_is_used() {
        let posix = places_of(Rules::Posix);
        let address = of_shim(&posix, "c", Some("/tmp/s/"), &id("a"), &id("b"));
        assert!(
            address.starts_with("unix:///tmp/s/") && !address.contains("s//"),
            "{address}"
        );
    }
}
