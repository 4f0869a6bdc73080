//! Layers that lie: nothing they say leaves the root, and everything that is refused is named.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hosttask_node_runtime::storage::{Bounds, EntryFault, Error, Unfit, unpack, unpack_within};
use tar::EntryType;

use crate::layer::{Layer, expected, makes_links, refused, unpacked};

#[test]
fn links_keep_their_text_and_are_never_followed() {
    if cfg!(windows) && !makes_links() {
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
fn whiteouts_that_are_repeated_look_through_the_tree_once() {
    let took = |folder: &str| {
        // Links are made last, and the bad name at the end sees to it that none is: only the looking takes time.
        let mut layer = Layer::default().folder("empty");
        for number in 0..6_000 {
            layer = layer.link(&format!("d/{number}"), "x");
        }
        for _ in 0..20_000 {
            layer = layer.file(&format!("{folder}/.wh..wh..opq"), "");
        }
        let started = std::time::Instant::now();
        let fault = refused(layer.file("../end", ""));
        assert!(matches!(fault, EntryFault::Unfit(Unfit::Up)), "{fault:?}");
        started.elapsed()
    };
    // The quickest of three each: whatever else runs here only slows one down.
    let quickest = |folder| (0..3).map(|_| took(folder)).min().unwrap();
    let (base, took) = (quickest("empty"), quickest("d"));
    assert!(took < base * 3, "{took:?} for {base:?}");
}
