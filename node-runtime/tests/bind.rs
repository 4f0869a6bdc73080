//! Roots and mounts that only the job of their container sees, on the host in memory.

#![expect(
    clippy::unwrap_used,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::launch::{MountPlan, RootPlan};
use hosttask_node_runtime::storage::{self, Placed, Request, Undo};
use hosttask_node_runtime::sys::fake::{FakeHost, Operation};
use hosttask_node_runtime::sys::{Attachment, Host, Job, Launch, Means, Places, Streams, User};

/// A host with the bind filter, whose containers' roots appear in a folder of the test.
struct Ground {
    host: FakeHost,
    folder: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let host = FakeHost::new().with_features(|it| {
            it.means = vec![Means::BindFilter, Means::Symlink];
        });
        let folder = tempfile::tempdir().unwrap();
        for name in ["web", "db", "data"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { host, folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    /// Places the root of this name, with the data at two places, for a job.
    fn place(&self, name: &str, job: &dyn Job) -> (Placed, Vec<Undo>) {
        let root = RootPlan {
            layers: vec![self.text(name)],
            location: None,
            read_only: name == "db",
            is_shared: false,
        };
        let mounts = [MountPlan {
            source: self.text("data"),
            destination: self.text("etc/app"),
            read_only: true,
        }];
        let places = Places {
            container_root: format!("{}{MAIN_SEPARATOR}", self.text("hpc")),
            ..self.host.places()
        };
        let request = Request {
            id: &Id::parse(name).unwrap(),
            root: &root,
            mounts: &mounts,
            bundle: self.folder.path(),
            scratch: &self.at("scratch"),
            job,
            places: &places,
        };
        let mut noted = Vec::new();
        let mut note = |undo| {
            noted.extend(undo);
            Ok(())
        };
        let done = storage::place(self.host.storage(), &request, &mut note).unwrap();
        (done, noted)
    }
}

/// Where the data appears below the root, as the config has it without a drive.
fn below(root: &Path, destination: &Path) -> PathBuf {
    let names = destination
        .components()
        .skip_while(|it| !matches!(it, std::path::Component::Normal(_)));
    root.join(names.collect::<PathBuf>())
}

#[test]
fn every_container_sees_its_own_root_at_the_same_place() {
    let ground = Ground::new();
    let jobs = ["web", "db"].map(|name| (name, ground.host.create_job(name).unwrap()));
    let mut all = Vec::new();
    for (name, job) in &jobs {
        let (placed, noted) = ground.place(name, job.as_ref());
        assert_eq!(placed.means, Some(Means::BindFilter));
        assert_eq!(placed.tried, []);
        assert_eq!(
            placed.location,
            format!("{}{MAIN_SEPARATOR}", ground.text("hpc"))
        );
        let root = ground.at("hpc");
        let expected = BTreeMap::from([
            (root.clone(), (ground.at(name), *name == "db")),
            (ground.at("etc/app"), (ground.at("data"), true)),
            (
                below(&root, &ground.at("etc/app")),
                (ground.at("data"), true),
            ),
        ]);
        assert_eq!(ground.host.bound(name), expected);
        all.push(noted);
    }
    assert!(
        ground.host.attached().is_empty(),
        "the host itself sees nothing"
    );
    for ((name, job), noted) in jobs.into_iter().zip(all) {
        storage::undo(ground.host.storage(), &noted).unwrap();
        drop(job);
        assert_eq!(ground.host.bound(name), BTreeMap::new());
    }
    let left: BTreeSet<_> = fs::read_dir(ground.folder.path())
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(left, ["data", "db", "web"].map(Into::into).into());
}

#[test]
fn what_is_hidden_from_a_container_stays_as_it_is() {
    let ground = Ground::new();
    fs::create_dir_all(ground.at("etc/app")).unwrap();
    fs::write(ground.at("etc/app/own"), "the host's").unwrap();
    let job = ground.host.create_job("web").unwrap();
    let (_, noted) = ground.place("web", job.as_ref());
    storage::undo(ground.host.storage(), &noted).unwrap();
    drop(job);
    assert_eq!(
        fs::read_to_string(ground.at("etc/app/own")).unwrap(),
        "the host's"
    );
}

#[test]
fn a_mount_that_cannot_be_below_the_root_as_well_is_where_the_program_expects_it() {
    let ground = Ground::new();
    ground.host.fail(Operation::Attach, 3, ErrorKind::NotFound);
    let job = ground.host.create_job("web").unwrap();
    let (placed, _) = ground.place("web", job.as_ref());
    let targets: Vec<_> = placed.mounts.iter().map(|it| it.target.clone()).collect();
    assert_eq!(targets, [ground.at("etc/app")]);
}

#[test]
fn a_bind_that_fails_gives_way_to_a_link_and_says_why() {
    let ground = Ground::new();
    ground
        .host
        .fail(Operation::Attach, 1, ErrorKind::PermissionDenied);
    let root = RootPlan {
        layers: vec![ground.text("web")],
        location: None,
        read_only: false,
        is_shared: false,
    };
    let places = Places {
        container_root: format!("{}{MAIN_SEPARATOR}", ground.text("hpc")),
        ..ground.host.places()
    };
    let job = ground.host.create_job("web").unwrap();
    let request = Request {
        id: &Id::parse("web").unwrap(),
        root: &root,
        mounts: &[],
        bundle: ground.folder.path(),
        scratch: &ground.at("scratch"),
        job: job.as_ref(),
        places: &places,
    };
    let done = storage::place(ground.host.storage(), &request, &mut |_| Ok(())).unwrap();
    assert_eq!(done.means, Some(Means::Symlink));
    let tried: Vec<_> = done.tried.iter().map(|it| it.means).collect();
    assert_eq!(tried, [Means::BindFilter]);
}

#[test]
fn nothing_is_bound_for_a_job_in_which_a_program_runs() {
    let ground = Ground::new();
    let job = ground.host.create_job("web").unwrap();
    let launch = Launch {
        program: "probe".to_owned(),
        arguments: vec!["probe".to_owned(), "hang".to_owned()],
        command_line: String::new(),
        directory: String::new(),
        environment: BTreeMap::new(),
        console: None,
        suspended: false,
        drop_privileges: BTreeSet::new(),
    };
    let identity = ground.host.log_on(&User::Inherit, "web").unwrap();
    job.spawn(&launch, Streams::default(), identity.as_ref())
        .unwrap();
    let attachment = Attachment {
        source: &ground.at("data"),
        target: &ground.at("hpc"),
        read_only: false,
        job: Some(job.as_ref()),
    };
    let bound = ground.host.storage().attach(Means::BindFilter, &attachment);
    assert_eq!(bound.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(ground.host.bound("web"), BTreeMap::new());
}
