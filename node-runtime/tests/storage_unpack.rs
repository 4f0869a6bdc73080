//! Image layers as a plain tree: what they mean, and that nothing they say leaves the folder.

#![expect(
    clippy::unwrap_used,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use hosttask_node_runtime::storage::{
    Bounds, EntryFault, Error, Summary, Unfit, unpack, unpack_within,
};
use tar::{Builder, EntryType, Header};

/// A layer, entry by entry, without a check of any name.
#[derive(Default)]
struct Layer(Vec<u8>);

impl Layer {
    fn entry(mut self, kind: EntryType, name: &str, target: &str, bytes: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_mtime(1_700_000_000);
        header.set_size(u64::try_from(bytes.len()).unwrap());
        if name.len() > 100 || target.len() > 100 {
            self = self.extended(&[("path", name), ("linkpath", target)]);
        } else {
            let old = header.as_old_mut();
            old.name[..name.len()].copy_from_slice(name.as_bytes());
            old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.padded(bytes)
    }

    fn padded(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Records for the next entry.
    fn extended(self, records: &[(&str, &str)]) -> Self {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let rest = format!(" {key}={value}\n");
            let mut length = rest.len() + 1;
            while length.to_string().len() + rest.len() != length {
                length += 1;
            }
            bytes.extend(format!("{length}{rest}").into_bytes());
        }
        self.entry(EntryType::XHeader, "extended", "", &bytes)
    }

    fn file(self, name: &str, bytes: &str) -> Self {
        self.entry(EntryType::Regular, name, "", bytes.as_bytes())
    }

    fn folder(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", b"")
    }

    fn hard(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, b"")
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"")
    }

    fn write(self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        let bytes = [self.0, vec![0; 1024]].concat();
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Unpacks layers, and tells every path with the content of files and `->` and the target of links.
fn unpacked(layers: Vec<Layer>) -> Result<(BTreeMap<String, String>, Summary), Error> {
    let folder = tempfile::tempdir().unwrap();
    let layers: Vec<_> = layers
        .into_iter()
        .enumerate()
        .map(|(number, layer)| layer.write(folder.path(), &format!("{number}.tar")))
        .collect();
    let root = folder.path().join("root");
    let summary = unpack(&layers, &root, &mut |_| {});
    let beside = fs::read_dir(folder.path()).unwrap().count();
    match summary {
        Ok(summary) => {
            assert_eq!(beside, layers.len() + 1, "something is beside the root");
            Ok((tree(&root), summary))
        }
        Err(error) => {
            assert_eq!(beside, layers.len(), "something is left: {error}");
            Err(error)
        }
    }
}

fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            let name = name.replace('\\', "/");
            let kind = entry.file_type().unwrap();
            let content = if kind.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().to_str().unwrap())
            } else if kind.is_dir() {
                open.push(path);
                "/".to_owned()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            found.insert(name, content);
        }
    }
    found
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, content): &(&str, &str)| ((*name).to_owned(), (*content).to_owned());
    pairs.iter().map(owned).collect()
}

fn refused(layer: Layer) -> EntryFault {
    match unpacked(vec![layer]).unwrap_err() {
        Error::Entry { why, .. } => why,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn upper_layers_replace_files_and_keep_what_they_do_not_name() {
    let lower = Layer::default()
        .folder("app/")
        .file("app/a", "old")
        .file("app/b", "kept")
        .file("x", "file")
        .file("y/z", "deep");
    let upper = Layer::default()
        .file("app/a", "new")
        .folder("x")
        .file("x/in", "1")
        .file("y", "now a file");
    let (tree, summary) = unpacked(vec![lower, upper]).unwrap();
    let files = [
        ("app", "/"),
        ("app/a", "new"),
        ("app/b", "kept"),
        ("x", "/"),
        ("x/in", "1"),
        ("y", "now a file"),
    ];
    assert_eq!(tree, expected(&files));
    assert_eq!((summary.files, summary.folders), (7, 3));
}

#[test]
fn whiteouts_hide_lower_layers_only_wherever_they_stand_in_their_own() {
    let lower = Layer::default()
        .file("a/old", "1")
        .file("a/keep", "1")
        .file("b/old", "1")
        .file("b/deep/old", "1")
        .file("c/old", "1")
        .file("c-d", "1")
        .file("gone/x/y", "1");
    let upper = Layer::default()
        .file("b/new", "2")
        .file("b/.wh..wh..opq", "")
        .file("a/.wh.old", "")
        .file(".wh.c", "")
        .file("c/new", "2")
        .file(".wh.gone", "")
        .file(".wh.never", "");
    let (tree, summary) = unpacked(vec![lower, upper]).unwrap();
    let files = [
        ("a", "/"),
        ("a/keep", "1"),
        ("b", "/"),
        ("b/new", "2"),
        ("c", "/"),
        ("c/new", "2"),
        ("c-d", "1"),
    ];
    assert_eq!(tree, expected(&files));
    assert_eq!(summary.whiteouts, 5);
}

#[test]
fn only_files_of_a_windows_layer_are_taken_and_the_rest_is_named() {
    let layer = Layer::default()
        .folder("Files")
        .extended(&[
            ("MSWINDOWS.rawsd", "AQAEgA=="),
            ("MSWINDOWS.fileattr", "34"),
        ])
        .file("Files/License.txt", "text")
        .hard("Files/Copy.txt", "Files/License.txt")
        .folder("Hives")
        .file("Hives/System_Delta", "hive")
        .file("UtilityVM/Files/kernel", "vm");
    let (tree, summary) = unpacked(vec![layer]).unwrap();
    assert_eq!(
        tree,
        expected(&[("License.txt", "text"), ("Copy.txt", "text")])
    );
    let ignored = [("Hives", 2), ("MSWINDOWS.rawsd", 1), ("UtilityVM", 1)];
    let ignored = ignored.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(summary.ignored, ignored.into());

    // `Files` is a folder as any other where a layer does not start with it.
    let plain = Layer::default().file("a", "1").file("Files/b", "2");
    let (tree, _) = unpacked(vec![plain]).unwrap();
    assert_eq!(
        tree,
        expected(&[("a", "1"), ("Files", "/"), ("Files/b", "2")])
    );
    let mixed = Layer::default().file("Files/b", "2").file("a", "1");
    assert!(matches!(refused(mixed), EntryFault::Outside));
}

#[test]
fn links_keep_their_text_and_are_never_followed() {
    if cfg!(windows) && !has_links() {
        return; // Wine 8 makes none
    }
    let layer = Layer::default()
        .folder("real")
        .link("up", "../../../../etc")
        .link("full", "/etc/passwd")
        .link("near", "real");
    let (tree, summary) = unpacked(vec![layer]).unwrap();
    assert_eq!(tree["up"].replace('\\', "/"), "-> ../../../../etc");
    assert_eq!(tree["full"].replace('\\', "/"), "-> /etc/passwd");
    assert_eq!(summary.links, 3);

    for through in ["up/owned", "near/x"] {
        let layer = Layer::default()
            .link("up", "..")
            .link("near", "real")
            .file(through, "evil");
        assert!(matches!(refused(layer), EntryFault::Through), "{through}");
    }
    // Neither in a later layer, nor by a hard link to a link's target.
    let lower = Layer::default().link("up", "..");
    let upper = Layer::default().file("up/owned", "evil");
    let error = unpacked(vec![lower, upper]).unwrap_err();
    assert!(matches!(
        error,
        Error::Entry {
            why: EntryFault::Through,
            ..
        }
    ));
    let layer = Layer::default().link("up", "..").hard("x", "up/0.tar");
    assert!(matches!(refused(layer), EntryFault::HardLink(_)));
    // A file takes the place of a link, and is not written through it.
    let lower = Layer::default().link("a", "../0.tar");
    let upper = Layer::default().file("a", "mine");
    let (tree, _) = unpacked(vec![lower, upper]).unwrap();
    assert_eq!(tree, expected(&[("a", "mine")]));
}

fn has_links() -> bool {
    let layer = Layer::default().link("a", "b");
    unpacked(vec![layer]).is_ok()
}

#[test]
fn names_that_leave_the_root_or_mean_something_else_on_windows_are_refused() {
    let names = [
        ("../x", Unfit::Up),
        ("a/../../x", Unfit::Up),
        ("Files/../../x", Unfit::Up),
        ("/etc/x", Unfit::Absolute),
        ("\\x", Unfit::Absolute),
        ("a\\..\\..\\x", Unfit::Character),
        ("C:/x", Unfit::Stream),
        ("a:stream", Unfit::Stream),
        ("//?/C:/x", Unfit::Absolute),
        ("a/nul", Unfit::Device),
        ("AUX.txt", Unfit::Device),
        ("com1", Unfit::Device),
        ("a./x", Unfit::Ending),
        ("a /x", Unfit::Ending),
        ("..\u{2024}/..", Unfit::Up),
        ("a?b", Unfit::Character),
        ("a\nb", Unfit::Character),
        ("a/.wh...", Unfit::Ending),
        ("a/.wh.", Unfit::Ending),
        ("a/.wh.b:c", Unfit::Stream),
    ];
    for (name, why) in names {
        let fault = refused(Layer::default().file(name, "evil"));
        assert!(
            matches!(fault, EntryFault::Unfit(found) if found == why),
            "{name:?}: {fault:?}"
        );
    }
    for target in ["../0.tar", "/etc/passwd", "missing", "a", "."] {
        let layer = Layer::default().folder("a").hard("b", target);
        assert!(
            matches!(refused(layer), EntryFault::HardLink(_)),
            "{target:?}"
        );
    }
    let deep = "a/".repeat(300);
    let fault = refused(Layer::default().file(&deep, ""));
    assert!(matches!(fault, EntryFault::Unfit(Unfit::Long)), "{fault:?}");
}

#[test]
fn two_names_that_are_one_on_windows_are_one_or_refused() {
    let layer = Layer::default().file("README", "1").file("readme", "2");
    assert!(matches!(refused(layer), EntryFault::Twice(name) if name == "README"));
    let layer = Layer::default().file("a", "1").folder("A");
    assert!(matches!(refused(layer), EntryFault::Twice(_)));
    let layer = Layer::default().file("\u{e4}", "1").file("\u{c4}", "2");
    assert!(matches!(refused(layer), EntryFault::Twice(_)));
    // The last of one spelling counts, as in every archive; folders are one folder.
    let layer = Layer::default()
        .file("a", "1")
        .file("a", "2")
        .file("App/x", "1")
        .file("app/y", "2");
    let (tree, _) = unpacked(vec![layer]).unwrap();
    let files = [("a", "2"), ("App", "/"), ("App/x", "1"), ("App/y", "2")];
    assert_eq!(tree, expected(&files));
    // Another layer replaces and hides in any spelling.
    let lower = Layer::default().file("README", "1").file("Old", "1");
    let upper = Layer::default().file("readme", "2").file(".wh.oLD", "");
    let (tree, _) = unpacked(vec![lower, upper]).unwrap();
    assert_eq!(tree, expected(&[("readme", "2")]));
}

#[test]
fn a_replaced_file_does_not_change_its_other_names() {
    let lower = Layer::default().file("a", "old").hard("b", "a");
    let upper = Layer::default().file("a", "new").hard("c", "b");
    let (tree, _) = unpacked(vec![lower, upper]).unwrap();
    let files = [("a", "new"), ("b", "old"), ("c", "old")];
    assert_eq!(tree, expected(&files));
    // A name that would replace its own target names nothing.
    let layer = Layer::default().file("a", "1").hard("a", "a");
    assert!(matches!(refused(layer), EntryFault::HardLink(_)));
}

#[test]
fn paths_beyond_260_characters_are_unpacked() {
    let long = format!(
        "{}/{}/{}/file",
        "a".repeat(150),
        "b".repeat(150),
        "c".repeat(150)
    );
    let (tree, _) = unpacked(vec![Layer::default().file(&long, "deep")]).unwrap();
    assert_eq!(tree[&long], "deep");
    // By the older way of GNU as well.
    let folder = tempfile::tempdir().unwrap();
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    builder
        .append_data(&mut header, &long, b"deep".as_slice())
        .unwrap();
    let layer = folder.path().join("gnu.tar");
    fs::write(&layer, builder.into_inner().unwrap()).unwrap();
    let root = folder.path().join("root");
    unpack(&[layer], &root, &mut |_| {}).unwrap();
    assert_eq!(crate::tree(&root)[&long], "deep");
}

#[test]
fn what_no_image_has_is_refused_by_name() {
    for kind in [
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::GNUSparse,
        EntryType::new(b'Z'),
    ] {
        let layer = Layer::default().entry(kind, "a", "", b"");
        assert!(matches!(refused(layer), EntryFault::Kind(_)), "{kind:?}");
    }
    let layer = Layer::default().extended(&[("size", "9")]).file("a", "1");
    assert!(matches!(refused(layer), EntryFault::Size));
    for bytes in [
        b"9 path=a".as_slice(),
        b"x path=a\n",
        b"99999999999999999999 path=a\n",
        b"3 a\n",
        b"0 path=a\n",
        b"\xff",
        b"1 ",
    ] {
        let layer = Layer::default()
            .entry(EntryType::XHeader, "e", "", bytes)
            .file("a", "1");
        assert!(matches!(refused(layer), EntryFault::Extension), "{bytes:?}");
    }
    let large = vec![b'a'; 1024 * 1024 + 1];
    for kind in [
        EntryType::XHeader,
        EntryType::XGlobalHeader,
        EntryType::GNULongName,
        EntryType::GNULongLink,
    ] {
        let layer = Layer::default().entry(kind, "e", "", &large);
        assert!(matches!(refused(layer), EntryFault::Extension), "{kind:?}");
    }
}

#[test]
fn a_layer_is_compressed_or_not_and_damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = Layer::default()
        .file("a", &"text ".repeat(1000))
        .write(folder.path(), "plain.tar");
    let plain = fs::read(&path).unwrap();
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let (first, second) = plain.split_at(700);
    let whole = [gzip(first), gzip(second)].concat();
    let unpack = |name: &str, bytes: &[u8]| {
        let layer = folder.path().join(name);
        fs::write(&layer, bytes).unwrap();
        let root = folder.path().join("root");
        let result = unpack(&[layer], &root, &mut |_| {});
        if result.is_ok() {
            assert_eq!(
                fs::read_to_string(root.join("a")).unwrap(),
                "text ".repeat(1000)
            );
            fs::remove_dir_all(&root).unwrap();
        }
        assert!(!root.exists());
        result
    };
    unpack("members.tgz", &whole).unwrap();
    let one = gzip(&plain);
    unpack("one.tgz", &one).unwrap();

    let mut flipped = one.clone();
    let crc = flipped.len() - 8;
    flipped[crc] ^= 1;
    for (name, bytes) in [
        ("cut.tgz", &one[..one.len() - 20]),
        ("flipped.tgz", &flipped),
        ("cut.tar", &plain[..700]),
        ("header.tar", &[&[1; 512], plain.as_slice()].concat()),
    ] {
        let error = unpack(name, bytes).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Layer { .. }
                    | Error::Entry {
                        why: EntryFault::Io(_),
                        ..
                    }
            ),
            "{name}: {error:?}"
        );
    }
    let error = unpack("zstd.tar", &[0x28, 0xb5, 0x2f, 0xfd, 0, 0]).unwrap_err();
    assert!(error.to_string().contains("zstd"), "{error}");
}

#[test]
fn more_than_allowed_is_refused_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let layer = Layer::default()
        .file("a", "12345")
        .file("b", "12345")
        .write(folder.path(), "a.tar");
    let within = |entries, bytes| {
        let bounds = Bounds { entries, bytes };
        let layers = std::slice::from_ref(&layer);
        unpack_within(layers, &root, bounds, false, &mut |_| {})
    };
    let error = within(1, 100).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooMuch {
                what: "entries",
                most: 1
            }
        ),
        "{error:?}"
    );
    let error = within(2, 9).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooMuch {
                what: "bytes",
                most: 9
            }
        ),
        "{error:?}"
    );
    assert!(!root.exists());
    within(2, 10).unwrap();
    let error = within(2, 10).unwrap_err();
    assert!(matches!(error, Error::Taken { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "12345");
}

#[test]
fn folders_are_layers_too_and_their_files_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (lower, upper) = (folder.path().join("lower"), folder.path().join("upper"));
    for (path, content) in [
        (lower.join("Files/app/a"), "old"),
        (lower.join("Files/app/b"), "b"),
        (lower.join("Hives/x"), "x"),
        (upper.join("app/a"), "new"),
        (upper.join("app/.wh.b"), ""),
        (upper.join("Files/is"), "here"),
    ] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    for share in [false, true] {
        let root = folder.path().join(format!("root-{share}"));
        let layers = [lower.clone(), upper.clone()];
        let bounds = Bounds::default();
        let summary = unpack_within(&layers, &root, bounds, share, &mut |_| {}).unwrap();
        let files = [
            ("app", "/"),
            ("app/a", "new"),
            ("Files", "/"),
            ("Files/is", "here"),
        ];
        assert_eq!(tree(&root), expected(&files));
        assert_eq!(summary.hard_links > 0, share);
        assert_eq!(summary.ignored["Hives"], 1);
        fs::remove_dir_all(&root).unwrap();
    }
    assert_eq!(
        fs::read_to_string(lower.join("Files/app/a")).unwrap(),
        "old"
    );
    fs::write(lower.join("tombstones.txt"), "\\Files\\app").unwrap();
    let root = folder.path().join("root");
    let error = unpack(&[lower], &root, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::ForeignLayer { .. }), "{error:?}");
}

#[test]
fn its_progress_never_goes_back_and_ends_with_all_layers() {
    let folder = tempfile::tempdir().unwrap();
    let first = Layer::default()
        .file("a", &"x".repeat(3_000_000))
        .write(folder.path(), "1.tar");
    let second = Layer::default()
        .file("b", "2")
        .write(folder.path(), "2.tar");
    let mut seen = Vec::new();
    let root = folder.path().join("root");
    unpack(&[first, second], &root, &mut |progress| {
        seen.push((progress.layer, progress.entries, progress.bytes));
    })
    .unwrap();
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(seen.last(), Some(&(2, 2, 3_000_001)));
    assert!(seen.len() > 4, "a long file tells how far it is");
}

#[test]
fn whiteouts_that_are_repeated_look_through_the_tree_once() {
    let took = |folder: &str| {
        let (mut lower, mut upper) = (Layer::default(), Layer::default().folder("empty"));
        for number in 0..500 {
            lower = lower.folder(&format!("d/{number}"));
            upper = upper.folder(&format!("d/new-{number}"));
        }
        for _ in 0..20_000 {
            upper = upper.file(&format!("{folder}/.wh..wh..opq"), "");
        }
        let started = std::time::Instant::now();
        let (tree, _) = unpacked(vec![lower, upper]).unwrap();
        (tree.len(), started.elapsed())
    };
    let (all, base) = took("empty");
    let (left, took) = took("d");
    assert_eq!((all, left), (1_002, 502));
    assert!(took < base * 4, "{took:?} for {base:?}");
}
