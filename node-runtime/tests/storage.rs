//! Roots and mounts: where they appear by which means, what is refused, and that all of it is undone after a crash at any step.

#![expect(
    clippy::unwrap_used,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

mod disk;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::sync::Arc;

use disk::Links;
use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::launch::{MountPlan, RootPlan};
use hosttask_node_runtime::storage::{
    Change, Error, MountFault, Placed, Request, Undo, place, sweep, undo,
};
use hosttask_node_runtime::sys::fake::FakeHost;
use hosttask_node_runtime::sys::{Host, Job, Means, Places, Rules, Storage};

/// A host with a folder of its own.
struct Ground {
    folder: tempfile::TempDir,
    places: Places,
    id: Id,
    job: Arc<dyn Job>,
    layers: Vec<String>,
    mounts: Vec<MountPlan>,
    read_only: bool,
    location: Option<String>,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = FakeHost::new();
        let id = Id::parse("web-1").unwrap();
        let mut places = host.places();
        places.container_root = format!("{}{MAIN_SEPARATOR}", path(&folder.path().join("hpc")));
        let ground = Self {
            job: host.create_job("hosttask-web-1").unwrap(),
            folder,
            places,
            id,
            layers: Vec::new(),
            mounts: Vec::new(),
            read_only: false,
            location: None,
        };
        for (name, content) in [
            ("bundle/rootfs/app/program", "rootfs"),
            ("bundle/lower/app/program", "lower"),
            ("bundle/upper/app/more", "upper"),
            ("data/secret", "data"),
            ("scratch/keep", ""),
        ] {
            let file = ground.folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        fs::create_dir(ground.folder.path().join("bundle/rootfs/empty")).unwrap();
        ground
    }

    fn layers(mut self, layers: &[&str]) -> Self {
        self.layers = layers.iter().map(|it| (*it).to_owned()).collect();
        self
    }

    fn mount(mut self, source: &str, destination: &str, read_only: bool) -> Self {
        let source = path(&self.folder.path().join(source));
        let destination = destination.to_owned();
        self.mounts.push(MountPlan {
            source,
            destination,
            read_only,
        });
        self
    }

    fn try_place(
        &self,
        storage: &dyn Storage,
        note: &mut dyn FnMut(Undo) -> io::Result<()>,
    ) -> Result<Placed, Error> {
        let root = RootPlan {
            layers: self.layers.clone(),
            location: self.location.clone(),
            read_only: self.read_only,
        };
        let (bundle, scratch) = (self.at("bundle"), self.at("scratch"));
        let request = Request {
            id: &self.id,
            root: &root,
            mounts: &self.mounts,
            bundle: &bundle,
            scratch: &scratch,
            job: &*self.job,
            places: &self.places,
        };
        place(storage, &request, note)
    }

    fn place(&self, storage: &dyn Storage) -> (Result<Placed, Error>, Vec<Undo>) {
        let mut noted = Vec::new();
        let placed = self.try_place(storage, &mut |undo| {
            noted.push(undo);
            Ok(())
        });
        (placed, noted)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything on the host, links with their targets.
    fn everything(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                let content = if kind.is_symlink() {
                    path(&fs::read_link(entry.path()).unwrap())
                } else if kind.is_dir() {
                    open.push(entry.path());
                    "/".to_owned()
                } else {
                    fs::read_to_string(entry.path()).unwrap()
                };
                found.insert(entry.path(), content);
            }
        }
        found
    }
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Wine 8 has no links at all: what is said about them there is that the root stays where it is.
fn has_links() -> bool {
    let ground = Ground::new();
    let (placed, _) = ground.place(&Links::default());
    placed.unwrap().means.is_some()
}

fn fault(error: Error) -> MountFault {
    match error {
        Error::Mount { why, .. } => why,
        other => unreachable!("{other:?}"),
    }
}

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
        let is_named = match &error {
            Error::NoMeans { tried, .. } => means.iter().all(|means| {
                let is_tried = tried.iter().any(|it| it.means == *means);
                is_tried || *means == Means::BindFilter && mount_read_only
            }),
            _ => false,
        };
        assert!(is_named, "{error}");
        undo(&Links::default(), &noted).unwrap();
        assert_eq!(ground.everything(), before);
    }
}

#[test]
fn with_the_bind_filter_everything_is_where_the_program_expects_it() {
    let places = |ground: &Ground| Places {
        rules: Rules::Windows,
        windows: "C:\\Windows".to_owned(),
        container_root: "C:\\hpc\\".to_owned(),
        ..ground.places.clone()
    };
    // The names are Windows' in a list, the sources are of this disk, so only Windows knows them as full paths.
    if MAIN_SEPARATOR == '/' {
        let placed = Placed {
            location: "C:\\hpc\\".to_owned(),
            means: Some(Means::BindFilter),
            source: PathBuf::from("/layers/web"),
            mounts: vec![hosttask_node_runtime::storage::PlacedMount {
                source: PathBuf::from("/data"),
                target: PathBuf::from("C:\\hpc\\etc\\App"),
                means: Means::BindFilter,
                read_only: true,
            }],
            tried: vec![],
        };
        let places = places(&Ground::new());
        for (path, host) in [
            ("c:\\HPC\\bin\\a.exe", "/layers/web/bin/a.exe"),
            ("C:\\hpc\\ETC\\app\\x", "/data/x"),
            ("C:\\hpc\\etc\\apps", "/layers/web/etc/apps"),
            ("C:\\Windows\\a.exe", "C:\\Windows\\a.exe"),
            ("a.exe", "a.exe"),
        ] {
            assert_eq!(placed.on_host(path, &places), host, "{path}");
        }
        return;
    }
    let host = FakeHost::new()
        .with_features(|it| it.means = vec![Means::BindFilter, Means::Symlink])
        .recording();
    let mut ground = Ground::new()
        .layers(&["rootfs"])
        .mount("data", "/etc/app", true)
        .mount("data", "C:\\hpc\\in", false)
        .mount("data/secret", "C:\\etc\\app\\nested", false);
    ground.places = places(&ground);
    ground.read_only = true;
    let (placed, noted) = ground.place(host.storage());
    let placed = placed.unwrap();
    assert_eq!(placed.location, "C:\\hpc\\");
    let targets: Vec<_> = placed.mounts.iter().map(|it| path(&it.target)).collect();
    let expected = [
        "C:\\etc\\app",
        "C:\\hpc\\etc\\app",
        "C:\\etc\\app\\nested",
        "C:\\hpc\\etc\\app\\nested",
        "C:\\hpc\\in",
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
        let link = hosttask_node_runtime::sys::Attachment {
            source: &ground.at("data"),
            target: &ground.at("bundle/rootfs/planted"),
            read_only: false,
            job: None,
        };
        Links::default().attach(Means::Symlink, &link).unwrap();
        let before = ground.everything();
        let (placed, noted) = ground.place(&Links::default());
        assert_eq!(fault(placed.unwrap_err()), why, "{destination}");
        undo(&Links::default(), &noted).unwrap();
        assert_eq!(ground.everything(), before, "{destination}");
    }
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

#[test]
fn a_crash_before_or_after_any_step_is_undone() {
    let ground = Ground::new()
        .layers(&["lower", "upper"])
        .mount("data", "/etc/app/data", false)
        .mount("data/secret", "/etc/file", false);
    let ground_with_root = || {
        Ground::new()
            .layers(&["rootfs"])
            .mount("data", "/empty", false)
            .mount("data", "/a/b/c", false)
    };
    for ground in [ground, ground_with_root()] {
        let before = ground.everything();
        for crash in 0.. {
            let mut noted = Vec::new();
            let placed = ground.try_place(&Links::default(), &mut |undo| {
                // What is noted may be on the disk although the answer is a failure.
                noted.push(undo);
                if noted.len() > crash {
                    return Err(ErrorKind::StorageFull.into());
                }
                Ok(())
            });
            let is_done = match placed {
                Ok(_) => true,
                Err(Error::Note { .. }) => false,
                Err(Error::NoMeans { .. }) if !has_links() => true,
                Err(other) => unreachable!("{other:?}"),
            };
            // The undoing is cut short too, at each of its own steps, before it succeeds.
            for cut in 0..4 {
                let cut = undo(&Links::with(vec![], cut), &noted);
                drop(cut);
            }
            undo(&Links::default(), &noted).unwrap();
            assert_eq!(ground.everything(), before, "crash at {crash}");
            if is_done {
                assert!(crash >= 3, "{crash} steps are too few to be all");
                break;
            }
        }
    }
}

#[test]
fn a_storage_that_fails_at_any_call_is_undone() {
    if !has_links() {
        return;
    }
    let ground = Ground::new()
        .layers(&["rootfs"])
        .mount("data", "/etc/app/data", false)
        .mount("data/secret", "/etc/file", false);
    let before = ground.everything();
    let mut is_done = false;
    for calls in 0..10 {
        let means = vec![Means::Symlink];
        let (placed, noted) = ground.place(&Links::with(means, calls));
        // The root itself falls back to staying where it is, so only mounts fail.
        is_done = placed.is_ok_and(|placed| placed.means.is_some());
        undo(&Links::default(), &noted).unwrap();
        assert_eq!(ground.everything(), before, "call {calls}");
        if is_done {
            break;
        }
    }
    assert!(is_done);
}

#[test]
fn undoing_follows_no_link_that_the_container_planted_and_keeps_its_files() {
    if !has_links() {
        return;
    }
    let ground = Ground::new()
        .layers(&["rootfs"])
        .mount("data", "/etc/app/data", false);
    let (placed, noted) = ground.place(&Links::default());
    placed.unwrap();
    // It moved the folder with the mount away, and put a link to a like one in its place.
    let outside = ground.at("outside");
    fs::create_dir_all(outside.join("app")).unwrap();
    let link = |source: &Path, target: &Path| {
        let attachment = hosttask_node_runtime::sys::Attachment {
            source,
            target,
            read_only: false,
            job: None,
        };
        Links::default()
            .attach(Means::Symlink, &attachment)
            .unwrap();
    };
    link(&ground.at("data"), &outside.join("app/data"));
    let rootfs = ground.at("bundle/rootfs");
    fs::rename(rootfs.join("etc"), rootfs.join("moved")).unwrap();
    link(&outside, &rootfs.join("etc"));
    fs::write(rootfs.join("moved/app/own"), "its own").unwrap();

    undo(&Links::default(), &noted).unwrap();
    assert!(fs::symlink_metadata(outside.join("app/data")).is_ok());
    assert!(rootfs.join("moved/app/own").exists());
    assert_eq!(
        fs::read_to_string(ground.at("data/secret")).unwrap(),
        "data"
    );
    assert!(!ground.at("hpc").exists());
}

#[test]
fn a_tree_is_kept_while_something_may_be_mounted_in_it() {
    let ground = Ground::new();
    fs::create_dir_all(ground.at("scratch/root/etc")).unwrap();
    let root = path(&ground.at("scratch/root"));
    let noted = [
        Undo::RemoveTree { path: root.clone() },
        Undo::Inside {
            root,
            path: vec!["etc".to_owned(), "data".to_owned()],
            change: Change::Attached(Means::BindMount),
        },
    ];
    let error = undo(&Links::with(vec![], 0), &noted).unwrap_err();
    assert!(matches!(error, Error::Undo { of: 2, ref failures } if failures.len() == 2));
    assert!(ground.at("scratch/root").exists());
    undo(&Links::default(), &noted).unwrap();
    assert!(!ground.at("scratch/root").exists());
    assert!(ground.at("scratch/keep").exists());
}

#[test]
fn a_sweep_removes_marked_roots_of_dead_containers_only() {
    if !has_links() {
        return;
    }
    let ground = Ground::new().layers(&["rootfs"]);
    let (placed, _) = ground.place(&Links::default());
    placed.unwrap();
    let hpc = ground.at("hpc");
    // What others put there: a folder, an unmarked link, marks that name nobody or somebody else, a mark beside a folder.
    fs::create_dir(hpc.join("theirs")).unwrap();
    let attachment = hosttask_node_runtime::sys::Attachment {
        source: &ground.at("data"),
        target: &hpc.join("unmarked"),
        read_only: false,
        job: None,
    };
    Links::default()
        .attach(Means::Symlink, &attachment)
        .unwrap();
    fs::write(hpc.join("theirs~hosttask"), "text").unwrap();
    fs::write(
        hpc.join("unmarked~hosttask"),
        "{\"id\":\"other\",\"means\":\"symlink\"}",
    )
    .unwrap();
    fs::write(
        hpc.join("..~hosttask"),
        "{\"id\":\"a\",\"means\":\"symlink\"}",
    )
    .unwrap();
    let before = ground.everything();

    let lives = |id: &Id| *id == ground.id;
    let swept = sweep(&Links::default(), &ground.places, &lives).unwrap();
    assert!(swept.is_empty());
    assert_eq!(ground.everything(), before);

    let swept = sweep(&Links::default(), &ground.places, &|_| false).unwrap();
    assert_eq!(swept, ["web-1"]);
    assert!(!hpc.join("web-1").exists() && !hpc.join("web-1~hosttask").exists());
    assert_eq!(ground.everything().len() + 2, before.len());
    let swept = sweep(&Links::default(), &ground.places, &|_| false).unwrap();
    assert!(swept.is_empty());
}
