//! Where roots and mounts appear, by which means, and what is refused.

use std::fs;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::launch::MountPlan;
use hosttask_node_runtime::storage::{Error, MountFault, Placed, PlacedMount, undo};
use hosttask_node_runtime::sys::fake::FakeHost;
use hosttask_node_runtime::sys::{Host, Means, Places, Rules};

use crate::disk::Links;
use crate::ground::{Ground, fault, has_links, link, path};

#[test]
fn a_root_appears_under_its_name_and_its_mounts_below_it() {
    if !has_links() {
        return;
    }
    let ground = Ground::new()
        .layers(&["rootfs"])
        .mount("data", "/etc/app/data", false)
        .mount("data/secret", "/etc/app/file", false)
        .mount("data", "/empty", false);
    let before = ground.everything();
    let (placed, noted) = ground.place(&Links::default());
    let placed = placed.unwrap();

    let location = format!("{}{MAIN_SEPARATOR}", path(&ground.at("hpc").join("web-1")));
    assert_eq!(placed.location, location);
    assert_eq!(placed.means, Some(Means::Junction));
    let read = |name: &str| fs::read_to_string(Path::new(&placed.location).join(name)).unwrap();
    assert_eq!(read("app/program"), "rootfs");
    assert_eq!(read("etc/app/data/secret"), "data");
    assert_eq!(read("etc/app/file"), "data");
    assert_eq!(read("empty/secret"), "data");
    // A file is no junction's business, so the next means does it.
    let means: Vec<_> = placed.mounts.iter().map(|mount| mount.means).collect();
    assert_eq!(means, [Means::Junction, Means::Junction, Means::Symlink]);

    undo(&Links::default(), &noted).unwrap();
    assert_eq!(ground.everything(), before);
    undo(&Links::default(), &noted).unwrap();
    assert_eq!(ground.everything(), before);
}

#[test]
fn users_of_their_own_may_read_a_root_that_is_made_and_write_it_unless_it_is_read_only() {
    for (layers, read_only) in [
        (&[][..], false),
        (&["lower", "upper"], false),
        (&["lower", "upper"], true),
    ] {
        let mut ground = Ground::new().layers(layers);
        ground.read_only = read_only;
        let host = FakeHost::new();
        // A root that is read-only has no means here, and is made all the same.
        assert_eq!(
            ground.try_place(host.storage(), &mut |_| Ok(())).is_err(),
            read_only
        );
        let root = ground.at("scratch").join("root");
        assert_eq!(host.shared(), [(root, !read_only)]);
    }
    let ground = Ground::new().layers(&["rootfs"]);
    let host = FakeHost::new();
    let _placed = ground.try_place(host.storage(), &mut |_| Ok(()));
    assert_eq!(
        host.shared(),
        [],
        "a folder of somebody else stays as it is"
    );
}

#[test]
fn layers_are_put_together_in_the_scratch_and_stay_as_they_are() {
    let ground = Ground::new().layers(&["lower", "upper"]);
    let before = ground.everything();
    let (placed, noted) = ground.place(&Links::default());
    let placed = placed.unwrap();
    let root = Path::new(&placed.location);
    fs::write(root.join("app/program"), "changed").unwrap();
    assert_eq!(fs::read_to_string(root.join("app/more")).unwrap(), "upper");
    undo(&Links::default(), &noted).unwrap();
    assert_eq!(ground.everything(), before);
}

#[test]
fn a_root_without_layers_is_empty_and_one_on_a_host_without_links_stays_where_it_is() {
    let ground = Ground::new();
    let before = ground.everything();
    let (placed, noted) = ground.place(&Links::with(vec![], usize::MAX));
    let placed = placed.unwrap();
    assert_eq!(placed.means, None);
    let scratch = format!(
        "{}{MAIN_SEPARATOR}",
        path(&ground.at("scratch").join("root"))
    );
    assert_eq!(placed.location, scratch);
    assert_eq!(fs::read_dir(&placed.location).unwrap().count(), 0);
    undo(&Links::default(), &noted).unwrap();
    assert_eq!(ground.everything(), before);

    let ground = ground.layers(&["rootfs"]);
    let (placed, _) = ground.place(&Links::with(vec![], usize::MAX));
    let rootfs = format!(
        "{}{MAIN_SEPARATOR}",
        path(&ground.at("bundle").join("rootfs"))
    );
    assert_eq!(placed.unwrap().location, rootfs);
}

#[test]
fn what_the_host_cannot_do_is_refused_by_name_and_undone() {
    let none = vec![];
    let all = vec![Means::BindFilter, Means::VolumeMountPoint, Means::Symlink];
    for (means, read_only, mount_read_only, location) in [
        (none.clone(), false, false, true),
        (none.clone(), true, false, false),
        (all.clone(), true, false, false),
        (all, false, true, false),
    ] {
        let mut ground = Ground::new().layers(&["rootfs"]);
        ground.read_only = read_only;
        if mount_read_only {
            ground = ground.mount("data", "/etc/app", true);
        }
        if location {
            ground.location = Some(path(&ground.at("elsewhere/root")));
        }
        let before = ground.everything();
        let (placed, noted) = ground.place(&Links::with(means.clone(), usize::MAX));
        let error = placed.unwrap_err();
        let Error::NoMeans { tried, .. } = &error else {
            unreachable!("{error:?}");
        };
        let is_named = means.iter().all(|means| {
            let is_tried = tried.iter().any(|it| it.means == *means);
            is_tried || *means == Means::BindFilter && mount_read_only
        });
        assert!(is_named, "{error}");
        undo(&Links::default(), &noted).unwrap();
        assert_eq!(ground.everything(), before);
    }
}

#[test]
fn with_the_bind_filter_everything_is_where_the_program_expects_it() {
    let windows = |ground: &Ground| Places {
        rules: Rules::Windows,
        windows: "C:\\Windows".to_owned(),
        container_root: "C:\\bound\\".to_owned(),
        ..ground.places.clone()
    };
    // The names are Windows' in a list, the sources are of this disk, so only Windows knows them as full paths.
    if MAIN_SEPARATOR == '/' {
        let placed = Placed {
            location: "C:\\bound\\".to_owned(),
            means: Some(Means::BindFilter),
            source: PathBuf::from("/layers/web"),
            mounts: vec![PlacedMount {
                source: PathBuf::from("/data"),
                target: PathBuf::from("C:\\bound\\etc\\App"),
                means: Means::BindFilter,
                read_only: true,
            }],
            tried: vec![],
        };
        let windows = windows(&Ground::new());
        for (path, host) in [
            ("c:\\BOUND\\bin\\a.exe", "/layers/web/bin/a.exe"),
            ("C:\\bound\\ETC\\app\\x", "/data/x"),
            ("C:\\bound\\etc\\apps", "/layers/web/etc/apps"),
            ("C:\\Windows\\a.exe", "C:\\Windows\\a.exe"),
            ("a.exe", "a.exe"),
        ] {
            assert_eq!(placed.on_host(path, &windows), host, "{path}");
        }
        return;
    }
    let host = FakeHost::new()
        .with_features(|it| it.means = vec![Means::BindFilter, Means::Symlink])
        .recording();
    let mut ground = Ground::new()
        .layers(&["rootfs"])
        .mount("data", "/etc/app", true)
        .mount("data", "C:\\bound\\in", false)
        .mount("data/secret", "C:\\etc\\app\\nested", false);
    ground.places = windows(&ground);
    ground.read_only = true;
    let (placed, noted) = ground.place(host.storage());
    let placed = placed.unwrap();
    assert_eq!(placed.location, "C:\\bound\\");
    let targets: Vec<_> = placed.mounts.iter().map(|it| path(&it.target)).collect();
    let expected = [
        "C:\\etc\\app",
        "C:\\bound\\etc\\app",
        "C:\\etc\\app\\nested",
        "C:\\bound\\etc\\app\\nested",
        "C:\\bound\\in",
    ];
    assert_eq!(targets, expected);
    assert!(placed.mounts.iter().all(|it| it.means == Means::BindFilter));
    undo(host.storage(), &noted).unwrap();
    assert!(host.attached().is_empty());
}

#[test]
fn a_mount_that_cannot_be_is_refused_before_anything_is_done() {
    let ground = || Ground::new().layers(&["rootfs"]);
    let cases: Vec<(Ground, &str)> = vec![
        (ground().mount("data", "etc", false), "no full path"),
        (ground().mount("data", "/a/../../b", false), "'..'"),
        (ground().mount("data", "/", false), "the root itself"),
        (ground().mount("missing", "/a", false), "does not exist"),
        (
            ground().mount("data", "//./pipe/x", false),
            "named pipes are not mounted",
        ),
        (
            ground()
                .mount("data", "/a", false)
                .mount("data/secret", "/a", false),
            "the same destination",
        ),
        (
            ground()
                .mount("data/secret", "/a/b", false)
                .mount("data", "/a", false),
            "inside the mount at \"/a\"",
        ),
    ];
    for (ground, words) in cases {
        let before = ground.everything();
        let (placed, noted) = ground.place(&Links::default());
        let error = placed.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(noted.is_empty(), "{noted:?}");
        assert_eq!(ground.everything(), before);
    }
    let mut ground = ground();
    ground.mounts.push(MountPlan {
        source: "\\\\.\\pipe\\docker_engine".to_owned(),
        destination: "/pipe".to_owned(),
        read_only: false,
    });
    let (placed, _) = ground.place(&Links::default());
    assert_eq!(fault(placed.unwrap_err()), MountFault::Pipe);
}

#[test]
fn a_destination_in_use_or_behind_a_link_is_refused_and_nothing_is_made_behind_it() {
    if !has_links() {
        return;
    }
    for (destination, why) in [
        ("/app", MountFault::Taken),
        ("/app/program", MountFault::Taken),
        ("/app/program/x", MountFault::Planted),
        ("/planted/x", MountFault::Planted),
        ("/planted/deep/x", MountFault::Planted),
        ("/planted", MountFault::Taken),
    ] {
        let ground = Ground::new()
            .layers(&["rootfs"])
            .mount("data", destination, false);
        link(&ground.at("data"), &ground.at("bundle/rootfs/planted"));
        let before = ground.everything();
        let (placed, noted) = ground.place(&Links::default());
        assert_eq!(fault(placed.unwrap_err()), why, "{destination}");
        undo(&Links::default(), &noted).unwrap();
        assert_eq!(ground.everything(), before, "{destination}");
    }
}

#[test]
fn a_place_that_another_takes_in_the_last_moment_is_not_taken_away_from_it() {
    if !has_links() {
        return;
    }
    // The second finds the place free; the first takes it while the second writes down that it is about to.
    let mut ground = Ground::new().layers(&["rootfs"]);
    ground.location = Some(path(&ground.at("shared/root")));
    let first = || {
        let (placed, _) = ground.place(&Links::default());
        placed.unwrap();
        ground.everything()
    };
    let second = Id::parse("web-2").unwrap();
    let (mut noted, mut before) = (Vec::new(), None);
    let placed = ground.try_place_as(&second, &Links::default(), &mut |undo| {
        noted.extend(undo);
        before.get_or_insert_with(first);
        Ok(())
    });
    assert!(matches!(placed.unwrap_err(), Error::Taken { .. }));
    undo(&Links::default(), &noted).unwrap();
    // The mark and the link are there, and so are their folders.
    assert_eq!(Some(ground.everything()), before);
}

#[test]
fn a_place_that_is_taken_or_claimed_stays_as_it_is() {
    if !has_links() {
        return;
    }
    let ground = Ground::new().layers(&["rootfs"]);
    fs::create_dir_all(ground.at("hpc/web-1/theirs")).unwrap();
    let before = ground.everything();
    let (placed, noted) = ground.place(&Links::default());
    assert!(matches!(placed.unwrap_err(), Error::Taken { .. }));
    undo(&Links::default(), &noted).unwrap();
    assert_eq!(ground.everything(), before);

    // Two containers that ask for one place: the second does not take the root of the first away.
    let mut first = Ground::new().layers(&["rootfs"]);
    first.location = Some(path(&first.at("shared/root")));
    let (placed, _) = first.place(&Links::default());
    placed.unwrap();
    let before = first.everything();
    first.id = Id::parse("web-2").unwrap();
    let (placed, noted) = first.place(&Links::default());
    assert!(matches!(placed.unwrap_err(), Error::Taken { .. }));
    undo(&Links::default(), &noted).unwrap();
    assert_eq!(first.everything(), before);
    // Nor where it asked before the first was attached, and only the mark tells.
    fs::remove_file(first.at("shared/root")).unwrap();
    let before = first.everything();
    let (placed, noted) = first.place(&Links::default());
    assert!(matches!(placed.unwrap_err(), Error::Taken { .. }));
    undo(&Links::default(), &noted).unwrap();
    assert_eq!(first.everything(), before);
}
