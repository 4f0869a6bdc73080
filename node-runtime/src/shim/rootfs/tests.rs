//! What the snapshotters of containerd give, and what is said about the rest.

use proptest::prelude::*;

use super::*;

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|it| (*it).to_owned()).collect()
}

fn of<'a>(kind: &'a str, source: &'a str, options: &'a [String]) -> Mount<'a> {
    Mount {
        kind,
        source,
        target: "",
        options,
    }
}

fn windows(kind: &str, source: &str, options: &[&str]) -> Result<RootPlan, Error> {
    read(&of(kind, source, &texts(options)), Rules::Windows)
}

#[test]
fn layers_of_the_windows_snapshotter_come_lowest_first_and_are_never_written() {
    let parents = r#"parentLayerPaths=["c:\\s\\2","C:/s/1"]"#;
    let root = windows("windows-layer", r"C:\s\3", &["rw", parents]).unwrap();
    assert_eq!(root.layers, [r"C:\s\1", r"C:\s\2"]);
    assert!(root.is_shared && !root.read_only);
    let view = windows("windows-layer", r"C:\s\3", &["ro", parents]).unwrap();
    assert_eq!(view.layers, [r"C:\s\1", r"C:\s\2", r"C:\s\3"]);
    assert!(view.is_shared && view.read_only);
}

#[test]
fn a_bind_is_the_folder_itself() {
    let root = windows("bind", r"C:\s\3\", &["rbind", "rw"]).unwrap();
    assert_eq!(root.layers, [r"C:\s\3"]);
    assert!(!root.is_shared && !root.read_only);
    assert!(windows("bind", r"C:\s\3", &["ro"]).unwrap().read_only);
    let options = texts(&["rbind", "ro"]);
    let root = read(&of("bind", "/s/3", &options), Rules::Posix).unwrap();
    assert_eq!(root.layers, ["/s/3"]);
}

#[test]
fn what_the_snapshotter_gives_and_nobody_can_mount_is_named() {
    let twice = "parentLayerPaths=[]";
    let cases: [(&str, &str, &[&str], &str); 12] = [
        ("overlay", r"C:\s", &[], "type \"overlay\""),
        ("CimFS", r"C:\s", &[], "type \"CimFS\""),
        ("bind", "s", &[], "source \"s\""),
        ("bind", r"\\server\share", &[], "another machine"),
        ("bind", r"C:\s", &["noexec"], "\"noexec\""),
        ("bind", r"C:\s", &["ro", "rw"], "ro and rw"),
        (
            "bind",
            r"C:\s",
            &[twice],
            "only a root of type windows-layer",
        ),
        ("windows-layer", r"C:\s", &[twice, twice], "twice"),
        (
            "windows-layer",
            r"C:\s",
            &["parentLayerPaths={"],
            "no JSON list",
        ),
        (
            "windows-layer",
            r"C:\s",
            &["parentLayerPaths=[1]"],
            "no JSON list",
        ),
        (
            "windows-layer",
            r"C:\s",
            &[r#"parentLayerPaths=["x"]"#],
            "layer \"x\"",
        ),
        ("windows-layer", r"C:\s", &["rw"], "without layers"),
    ];
    for (kind, source, options, told) in cases {
        let error = windows(kind, source, options).unwrap_err().to_string();
        assert!(error.contains(told), "{kind} {options:?}: {error}");
    }
    let many = format!("parentLayerPaths={:?}", vec![r"C:/s"; 300]);
    let error = windows("windows-layer", r"C:\s", &[&many]).unwrap_err();
    assert!(error.to_string().contains("300 layers"), "{error}");
    let options = [];
    let below = Mount {
        target: "/etc",
        ..of("bind", r"C:\s", &options)
    };
    assert!(matches!(
        read(&below, Rules::Windows),
        Err(Error::Target(_))
    ));
}

/// Whether a layer that is a folder with these entries is taken; with what of it.
fn layer(entries: &[&str]) -> Result<String, Error> {
    let folder = tempfile::tempdir().unwrap();
    for entry in entries {
        std::fs::create_dir(folder.path().join(entry)).unwrap();
    }
    let shared = RootPlan {
        layers: Vec::new(),
        location: None,
        read_only: false,
        is_shared: true,
    };
    let path = folder.path().to_str().unwrap();
    let taken = layer::folder(path, &shared)?;
    Ok(taken.strip_prefix(path).unwrap().replace('\\', "/"))
}

#[test]
fn a_layer_that_needs_the_host_compute_service_is_refused_by_its_name_with_the_reason() {
    let cases: [(&[&str], &str); 5] = [
        (&["Files", "UtilityVM"], "UtilityVM"),
        (&["Files", "utilityvm"], "UtilityVM"),
        (&["Files", "tombstones.txt"], "tombstones.txt"),
        (&["sandbox.vhdx"], "in a disk"),
        (&["layer.cim", "x"], "in a disk"),
    ];
    for (entries, told) in cases {
        let error = layer(entries).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains(told), "{entries:?}: {error}");
    }
}

#[test]
fn of_a_layer_of_the_windows_snapshotter_only_the_files_are_taken() {
    let beside = ["Files", "Hives", "layerchain.json", "blank.vhdx"];
    assert_eq!(layer(&beside).unwrap(), "/Files");
    assert_eq!(layer(&["app", "bin"]).unwrap(), "");
}

#[test]
fn a_layer_that_is_missing_is_not_found() {
    let mut root = windows(
        "windows-layer",
        r"C:\s",
        &[r#"parentLayerPaths=["C:\\s\\1"]"#],
    )
    .unwrap();
    root.is_shared = true;
    let error = layer::folder("/no/such/layer", &root).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("/no/such/layer"), "{error}");
}

proptest! {
    /// Whatever the options are, there is an answer, and only full paths are taken.
    #[test]
    fn no_option_does_harm(
        kind in "bind|windows-layer|[a-z-]{0,12}",
        source in r"([A-Z]:|\\\\\?\\)?[/\\]?([a-z.~:\\/]|\PC){0,12}",
        options in prop::collection::vec(r#"ro|rw|parentLayerPaths=(\[("([A-Z]:/)?[a-z./]{0,9}",?){0,4}\]|\PC{0,9})|\PC{0,9}"#, 0..4),
    ) {
        match read(&of(&kind, &source, &options), Rules::Windows) {
            Ok(root) => for layer in &root.layers {
                prop_assert_eq!(path::canonical(Rules::Windows, layer), Ok(layer.clone()));
            },
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
