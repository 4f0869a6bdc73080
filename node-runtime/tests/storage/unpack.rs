//! What layers mean, one on top of the other.

use std::fs;

use hosttask_node_runtime::storage::{Bounds, EntryFault, Error, unpack, unpack_within};
use tar::{Builder, Header};

use crate::layer::{Layer, expected, refused, tree, unpacked};

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
    assert_eq!(crate::layer::tree(&root)[&long], "deep");
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
