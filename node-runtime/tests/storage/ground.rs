//! A host with a bundle, layers and data, on which roots are placed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::sync::Arc;

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::launch::{MountPlan, RootPlan};
use hosttask_node_runtime::storage::{Error, MountFault, Placed, Request, Undo, place};
use hosttask_node_runtime::sys::fake::FakeHost;
use hosttask_node_runtime::sys::{Attachment, Host, Job, Means, Places, Storage};

use crate::disk::Links;

/// A host with a folder of its own.
pub(crate) struct Ground {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) places: Places,
    pub(crate) id: Id,
    pub(crate) job: Arc<dyn Job>,
    pub(crate) layers: Vec<String>,
    pub(crate) mounts: Vec<MountPlan>,
    pub(crate) read_only: bool,
    pub(crate) location: Option<String>,
}

impl Ground {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn layers(mut self, layers: &[&str]) -> Self {
        self.layers = layers.iter().map(|it| (*it).to_owned()).collect();
        self
    }

    pub(crate) fn mount(mut self, source: &str, destination: &str, read_only: bool) -> Self {
        let source = path(&self.folder.path().join(source));
        let destination = destination.to_owned();
        self.mounts.push(MountPlan {
            source,
            destination,
            read_only,
        });
        self
    }

    pub(crate) fn try_place(
        &self,
        storage: &dyn Storage,
        note: &mut dyn FnMut(Vec<Undo>) -> io::Result<()>,
    ) -> Result<Placed, Error> {
        self.try_place_as(&self.id, storage, note)
    }

    /// Places the same for another container.
    pub(crate) fn try_place_as(
        &self,
        id: &Id,
        storage: &dyn Storage,
        note: &mut dyn FnMut(Vec<Undo>) -> io::Result<()>,
    ) -> Result<Placed, Error> {
        let root = RootPlan {
            layers: self.layers.clone(),
            location: self.location.clone(),
            read_only: self.read_only,
            is_shared: false,
        };
        let (bundle, scratch) = (self.at("bundle"), self.at("scratch"));
        let request = Request {
            id,
            root: &root,
            mounts: &self.mounts,
            bundle: &bundle,
            scratch: &scratch,
            job: &*self.job,
            places: &self.places,
        };
        place(storage, &request, note)
    }

    pub(crate) fn place(&self, storage: &dyn Storage) -> (Result<Placed, Error>, Vec<Undo>) {
        let mut noted = Vec::new();
        let placed = self.try_place(storage, &mut |undo| {
            noted.extend(undo);
            Ok(())
        });
        (placed, noted)
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything on the host, links with their targets.
    pub(crate) fn everything(&self) -> BTreeMap<PathBuf, String> {
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

pub(crate) fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Wine 8 has no links at all: what is said about them there is that the root stays where it is.
pub(crate) fn has_links() -> bool {
    let ground = Ground::new();
    let (placed, _) = ground.place(&Links::default());
    placed.unwrap().means.is_some()
}

pub(crate) fn fault(error: Error) -> MountFault {
    let Error::Mount { why, .. } = error else {
        unreachable!("{error:?}");
    };
    why
}

/// Makes a symbolic link as others do.
pub(crate) fn link(source: &Path, target: &Path) {
    let attachment = Attachment {
        source,
        target,
        read_only: false,
        job: None,
    };
    Links::default()
        .attach(Means::Symlink, &attachment)
        .unwrap();
}
