//! Where a keeper, and the streams of a command, are reached.

use std::path::{Path, PathBuf};

use crate::id::Id;
use crate::sys::{Places, Rules};

/// The part of the pipe name space in which only administrators can make a pipe: nobody can be there before us.
const PIPES: &str = r"\\.\pipe\ProtectedPrefix\Administrators\hosttask-node";

/// The address of a container's keeper. Two roots on one host have nothing in common, so theirs differ.
pub fn of_keeper(places: &Places, root: &Path, id: &Id) -> String {
    address(places, root, id.as_str())
}

/// The address of one stream of an attached command: `process` is the command's own number.
pub fn of_stream(places: &Places, root: &Path, process: u32, stream: &str) -> String {
    match folder_of_streams(places, root, process) {
        Some(folder) => folder.join(stream).to_string_lossy().into_owned(),
        // No id can begin with a dash, so it is not the address of a keeper.
        None => address(places, root, &format!("-{process}-{stream}")),
    }
}

/// The folder with the sockets of keepers, where the system has sockets in folders.
pub fn folder_of_keepers(places: &Places, root: &Path) -> Option<PathBuf> {
    match places.rules {
        Rules::Windows => None,
        Rules::Posix => Some(root.join("run")),
    }
}

/// The folder with the sockets of one attached command.
pub fn folder_of_streams(places: &Places, root: &Path, process: u32) -> Option<PathBuf> {
    let folder = folder_of_keepers(places, root)?;
    Some(folder.join(format!("-{process}")))
}

fn address(places: &Places, root: &Path, name: &str) -> String {
    match folder_of_keepers(places, root) {
        Some(folder) => folder.join(name).to_string_lossy().into_owned(),
        None => format!("{PIPES}-{:016x}-{name}", digest(&root.to_string_lossy())),
    }
}

/// FNV-1a over the lower-case path: the file systems of Windows know no case.
fn digest(root: &str) -> u64 {
    let lower = root.to_lowercase();
    lower.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::places_of;

    #[test]
    fn two_roots_have_two_pipes_and_one_root_in_any_case_has_one() {
        let places = places_of(Rules::Windows);
        let id = Id::parse("web").unwrap();
        let of = |root: &str| of_keeper(&places, Path::new(root), &id);
        assert_eq!(of(r"C:\State"), of(r"c:\state"));
        assert_ne!(of(r"C:\state"), of(r"C:\other"));
        assert!(of(r"C:\state").starts_with(PIPES));
        assert!(of(r"C:\state").ends_with("-web"));
    }

    #[test]
    fn a_socket_lies_in_the_root() {
        let places = places_of(Rules::Posix);
        let id = Id::parse("web").unwrap();
        let root = Path::new("/var/lib/x");
        let inside = |parts: &[&str]| root.join(parts.iter().collect::<PathBuf>());
        assert_eq!(
            Path::new(&of_keeper(&places, root, &id)),
            inside(&["run", "web"])
        );
        let stream = of_stream(&places, root, 7, "stdout");
        assert_eq!(Path::new(&stream), inside(&["run", "-7", "stdout"]));
        assert!(Id::parse("-7").is_err());
    }
}
