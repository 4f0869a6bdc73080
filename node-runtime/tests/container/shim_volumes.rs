//! The kubelet's volumes in the roots of containerd's snapshotters.
//!
//! Only where links can be made: on Linux. Wine makes none, and a real Windows was not seen yet.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use hosttask_node_runtime::container::Kind;
use hosttask_node_runtime::launch::MountPlan;

use crate::bench::{Bench, end};
use crate::shim_rootfs::{create, inside, text_inside, write};

fn volume(bench: &Bench, source: &str, destination: &str, read_only: bool) -> MountPlan {
    MountPlan {
        source: bench.text(source),
        destination: destination.to_owned(),
        read_only,
    }
}

/// What the kubelet does when a `ConfigMap` changes: a new folder, and the link to it exchanged in one step.
fn write_volume(volume: &Path, generation: &str, text: &str) {
    write(&volume.join(generation).join("key"), text);
    symlink(generation, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if !volume.join("key").exists() {
        symlink("..data/key", volume.join("key")).unwrap();
    }
}

#[test]
fn volumes_of_the_kubelet_are_live_in_every_container_and_stay_when_it_goes() {
    let bench = Bench::native();
    let filled = "kubelet/pods/uid/volumes/kubernetes.io~configmap/settings";
    let token = "kubelet/pods/uid/volumes/kubernetes.io~projected/kube-api-access";
    let shared = "kubelet/pods/uid/volumes/kubernetes.io~empty-dir/shared";
    let message = "kubelet/pods/uid/containers/web/0a1b";
    write_volume(&bench.path(filled), "..2026_a", "old");
    write_volume(&bench.path(token), "..2026_a", "token");
    fs::create_dir_all(bench.path(shared)).unwrap();
    write(&bench.path(message), "");
    let deep = format!("/{}/settings", ["long-name-of-a-folder"; 20].join("/"));
    let mounts = || {
        vec![
            volume(&bench, filled, "/etc/settings", true),
            volume(&bench, filled, &deep, true),
            volume(
                &bench,
                token,
                "/var/run/secrets/kubernetes.io/serviceaccount",
                true,
            ),
            volume(&bench, shared, "/shared", false),
            volume(&bench, message, "/dev/termination-log", false),
            volume(
                &bench,
                &format!("{filled}/..data/key"),
                "/etc/one-key",
                true,
            ),
        ]
    };
    let create_one = |id: &str| {
        let root = bench.path(&format!("snapshot-{id}"));
        write(&root.join("app/program"), "of the image");
        let root = root.to_str().unwrap().to_owned();
        create(&bench, id, ("bind", &root, &["rw".to_owned()]), mounts()).unwrap()
    };
    let both = [create_one("one"), create_one("two")];
    let everywhere = ["etc/settings/key".to_owned(), format!("{}/key", &deep[1..])];
    for container in &both {
        assert_eq!(text_inside(container, "app/program"), "of the image");
        for path in &everywhere {
            assert_eq!(text_inside(container, path), "old");
        }
        assert_eq!(text_inside(container, "etc/one-key"), "old");
        let status = container.status(None).unwrap();
        let told = status
            .tried
            .iter()
            .filter(|it| it.contains("can be written"));
        assert_eq!(told.count(), 4, "{:?}", status.tried);
    }
    write_volume(&bench.path(filled), "..2026_b", "new");
    fs::remove_dir_all(bench.path(filled).join("..2026_a")).unwrap();
    let [one, two] = &both;
    fs::write(inside(one, "shared/file"), "of one").unwrap();
    fs::write(inside(one, "dev/termination-log"), "because").unwrap();
    for path in &everywhere {
        assert_eq!(text_inside(two, path), "new", "{path}");
    }
    assert_eq!(text_inside(two, "shared/file"), "of one");
    for container in &both {
        container.start().unwrap();
        assert_eq!(end(container).code, 0);
        container.delete(None).unwrap();
    }
    let left = |path: &str| fs::read_to_string(bench.path(path)).unwrap();
    assert_eq!(left(&format!("{filled}/key")), "new");
    assert_eq!(left(&format!("{token}/key")), "token");
    assert_eq!(left(&format!("{shared}/file")), "of one");
    assert_eq!(left(message), "because");
    // The snapshot is containerd's to remove: it has what the image had.
    let entries = fs::read_dir(bench.path("snapshot-one")).unwrap();
    let names: Vec<_> = entries.map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["app"]);
    bench.is_clean();
}

#[test]
fn a_read_only_folder_of_the_host_is_refused_where_nothing_is_read_only() {
    let bench = Bench::native();
    fs::create_dir_all(bench.path("host")).unwrap();
    fs::create_dir_all(bench.path("snapshot")).unwrap();
    let mounts = vec![volume(&bench, "host", "/host", true)];
    let root = bench.text("snapshot");
    let error = create(&bench, "web", ("bind", &root, &[]), mounts).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("a read-only mount"), "{error}");
    assert_eq!(fs::read_dir(bench.path("snapshot")).unwrap().count(), 0);
    bench.is_clean();
}
