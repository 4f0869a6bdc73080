//! Roots of containerd's snapshotters.

use std::fs;
use std::path::{Path, PathBuf};

use hosttask_node_runtime::container::{Container, Error, Kind};
use hosttask_node_runtime::launch::MountPlan;
use hosttask_node_runtime::shim::rootfs::{self, Mount};

use crate::bench::{Bench, end};

/// A container with this root and these volumes, as the shim creates it.
pub(crate) fn create(
    bench: &Bench,
    id: &str,
    (kind, source, options): (&str, &str, &[String]),
    mounts: Vec<MountPlan>,
) -> Result<Container, Error> {
    let mut made = bench.options(id, "exit 0");
    made.plan.mounts = mounts;
    let mount = Mount {
        kind,
        source,
        target: "",
        options,
    };
    let rules = bench.host.places().rules;
    rootfs::prepare(&[mount], rules, &mut made.plan).unwrap();
    bench.create_with(made)
}

/// Writes a file, and the folders above it.
pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// What stands at a path in the container.
pub(crate) fn inside(container: &Container, path: &str) -> PathBuf {
    let root = container.status(None).unwrap().root;
    Path::new(&root).join(path)
}

pub(crate) fn text_inside(container: &Container, path: &str) -> String {
    fs::read_to_string(inside(container, path)).unwrap()
}

#[test]
fn layers_of_the_windows_snapshotter_are_put_together_and_none_is_ever_written() {
    let bench = Bench::native();
    for (path, text) in [
        ("1/Files/app/kept", "of 1"),
        ("1/Files/app/changed", "of 1"),
        ("1/Files/app/removed", "of 1"),
        ("1/Hives/x", "no file of the root"),
        ("1/layerchain.json", "[]"),
        ("2/Files/app/changed", "of 2"),
        ("2/Files/app/.wh.removed", ""),
        ("3/sandbox.vhdx", "a disk with nothing in it"),
    ] {
        write(&bench.path("s").join(path), text);
    }
    let [lowest, upper, scratch] = ["s/1", "s/2", "s/3"].map(|it| bench.text(it));
    let both = vec![format!("parentLayerPaths={:?}", [&upper, &lowest])];
    let container = create(
        &bench,
        "both",
        ("windows-layer", &scratch, &both),
        Vec::new(),
    )
    .unwrap();
    assert_eq!(text_inside(&container, "app/kept"), "of 1");
    assert_eq!(text_inside(&container, "app/changed"), "of 2");
    for gone in ["app/removed", "Hives", "Files", "sandbox.vhdx"] {
        assert!(!inside(&container, gone).exists(), "{gone}");
    }
    // One layer alone is another image's too.
    let one = vec![format!("parentLayerPaths={:?}", [&lowest])];
    let other = create(&bench, "one", ("windows-layer", &scratch, &one), Vec::new()).unwrap();
    for container in [&container, &other] {
        fs::write(inside(container, "app/kept"), "by the program").unwrap();
        container.start().unwrap();
        assert_eq!(end(container).code, 0);
        container.delete(None).unwrap();
    }
    let kept = fs::read_to_string(bench.path("s/1/Files/app/kept")).unwrap();
    assert_eq!(kept, "of 1");
    bench.is_clean();
}

#[test]
fn a_layer_that_needs_the_host_compute_service_is_told_before_anything_is_made() {
    let bench = Bench::native();
    fs::create_dir_all(bench.path("s/1/UtilityVM")).unwrap();
    let layers = [format!("parentLayerPaths={:?}", [bench.text("s/1")])];
    let source = bench.text("s/2");
    let mount = Mount {
        kind: "windows-layer",
        source: &source,
        target: "",
        options: &layers,
    };
    let mut plan = bench.plan("web", "exit 0");
    let rules = bench.host.places().rules;
    let error = rootfs::prepare(&[mount], rules, &mut plan).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    let text = error.to_string();
    let layer = bench
        .text("s/1")
        .replace('/', std::path::MAIN_SEPARATOR_STR);
    assert!(
        text.contains("UtilityVM") && text.contains(&layer),
        "{text}"
    );
}
