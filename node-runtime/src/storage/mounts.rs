//! `storage::mounts`: lets folders and files of the host appear in a container's root.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::launch::MountPlan;
use crate::storage::error::{Error, MountFault, Tried};
use crate::storage::host::{Host, failed, text};
use crate::storage::path::{Unfit, key, parts, path_in_volume, separator, source_parts};
use crate::storage::place::{PlacedMount, Request};
use crate::storage::root::{Location, links};
use crate::storage::{Change, Undo, kubelet};
use crate::sys::tree::Held;
use crate::sys::{Attachment, Entry, Means, Rules};

/// A mount that was checked.
#[derive(Debug)]
pub(crate) struct Mount<'a> {
    plan: &'a MountPlan,
    source: PathBuf,
    /// The names of its destination, without the drive.
    names: Vec<&'a str>,
    /// The same as the rules compare them.
    keys: Vec<String>,
    /// Whether the config has it below the root's own place.
    is_inside: bool,
    /// Whether the kubelet alone fills its source.
    is_filled: bool,
}

impl Mount<'_> {
    /// Read-only or not, the best first. What the kubelet fills is always to be read-only, and does no harm where it is not.
    fn modes(&self) -> &'static [bool] {
        match (self.plan.read_only, self.is_filled) {
            (true, true) => &[true, false],
            (true, false) => &[true],
            (false, _) => &[false],
        }
    }

    fn fails(&self, why: MountFault) -> Error {
        fails(self.plan, why)
    }
}

fn fails(plan: &MountPlan, why: MountFault) -> Error {
    Error::Mount {
        source_path: plan.source.clone(),
        destination: plan.destination.clone(),
        why,
    }
}

/// Checks all mounts before anything is changed, and puts those of outer folders before those inside.
pub(crate) fn check<'a>(host: &Host<'a>) -> Result<Vec<Mount<'a>>, Error> {
    let request: &'a Request<'a> = host.request;
    let mut mounts = Vec::new();
    for plan in request.mounts {
        mounts.push(check_one(host, plan)?);
    }
    mounts.sort_by(|left: &Mount<'_>, right| left.keys.cmp(&right.keys));
    for pair in mounts.windows(2) {
        if let [first, second] = pair
            && first.keys == second.keys
        {
            return Err(second.fails(MountFault::Twice));
        }
    }
    Ok(mounts)
}

fn check_one<'a>(host: &Host<'a>, plan: &'a MountPlan) -> Result<Mount<'a>, Error> {
    let rules = host.request.places.rules;
    if is_pipe(&plan.source) || is_pipe(&plan.destination) {
        return Err(fails(plan, MountFault::Pipe));
    }
    let of_source =
        source_parts(&plan.source, rules).map_err(|why| fails(plan, MountFault::Source(why)))?;
    let is_filled = kubelet::is_filled(&of_source, rules);
    let names =
        parts(&plan.destination, rules).map_err(|why| fails(plan, MountFault::Destination(why)))?;
    // Below the root's own place, `C:\hpc\etc` means the same as `C:\etc`.
    let home = host.request.root.location.as_ref();
    let home = home.unwrap_or(&host.request.places.container_root);
    let home = parts(home, rules).unwrap_or_default();
    let to_key = |name: &&str| match rules {
        Rules::Windows => key(name),
        Rules::Posix => (*name).to_owned(),
    };
    let (home, all): (Vec<_>, Vec<_>) = (
        home.iter().map(to_key).collect(),
        names.iter().map(to_key).collect(),
    );
    let inside = if all.starts_with(&home) {
        home.len()
    } else {
        0
    };
    let names: Vec<_> = names.into_iter().skip(inside).collect();
    let keys: Vec<_> = all.into_iter().skip(inside).collect();
    if names.is_empty() {
        return Err(fails(plan, MountFault::Root));
    }
    let source = on_drive(host, &plan.source);
    match fs::metadata(&source) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(fails(plan, MountFault::Missing)),
        Err(error) => Err(failed("look at", &source)(error)),
        Ok(_) => Ok(Mount {
            plan,
            source,
            names,
            keys,
            is_inside: inside > 0,
            is_filled,
        }),
    }
}

/// A source of a volume by the drive of that: links and programs do not know volumes on every system.
fn on_drive(host: &Host<'_>, source: &str) -> PathBuf {
    let found = path_in_volume(source, host.request.places.rules).and_then(|(volume, rest)| {
        let drive = host.storage.drive_of(volume)?;
        Some(PathBuf::from(drive + rest))
    });
    found.unwrap_or_else(|| PathBuf::from(source))
}

fn is_pipe(path: &str) -> bool {
    let path = path.replace('/', "\\").to_ascii_lowercase();
    path.starts_with("\\\\.\\pipe\\") || path.starts_with("\\\\?\\pipe\\")
}

/// Refuses what only the bind filter does: a mount inside another.
pub(crate) fn check_linked(mounts: &[Mount<'_>]) -> Result<(), Error> {
    for (index, inner) in mounts.iter().enumerate() {
        let outer = mounts.iter().take(index);
        let mut outer = outer.filter(|outer| inner.keys.starts_with(&outer.keys));
        if let Some(outer) = outer.next() {
            let outer = outer.plan.destination.clone();
            return Err(inner.fails(MountFault::Nested(outer)));
        }
    }
    Ok(())
}

/// Lets a mount appear in the view of the container's job: where the program expects it, and below the root as well, where
/// programs look that were written for hosts without the bind filter.
pub(crate) fn bind(
    host: &mut Host<'_>,
    mount: &Mount<'_>,
    location: &Location,
) -> Result<Vec<PlacedMount>, Error> {
    let rules = host.request.places.rules;
    let inside = location
        .bound
        .join(mount.names.join(&separator(rules).to_string()));
    let own = with_drive(&mount.plan.destination, &host.request.places.windows);
    let mut placed = Vec::new();
    let targets = if mount.is_inside {
        vec![inside]
    } else {
        vec![PathBuf::from(own), inside]
    };
    for target in targets {
        // Seen from outside, where it is bound from, the folder around it has to be there.
        host.make_above(&target)?;
        let attachment = Attachment {
            source: &mount.source,
            target: &target,
            read_only: mount.plan.read_only,
            job: Some(host.request.job),
        };
        let undo = |means| {
            let target = text(&target)?;
            Ok(Undo::Detach { means, target })
        };
        let mut tried = Vec::new();
        let done = host.attach(&[Means::BindFilter], &attachment, &undo, &mut tried)?;
        let means = match done {
            Some(means) => means,
            // It is where the program expects it: the other place is for the habits of some.
            None if !placed.is_empty() => continue,
            None => return Err(none(mount, &target, tried)),
        };
        placed.push(PlacedMount {
            source: mount.source.clone(),
            target,
            means,
            read_only: mount.plan.read_only,
        });
    }
    Ok(placed)
}

/// `/etc/app` is on the system's drive.
fn with_drive(path: &str, windows: &str) -> String {
    match (path.chars().next(), windows.get(..2)) {
        (Some('/' | '\\'), Some(drive)) => format!("{drive}{}", path.replace('/', "\\")),
        _ => path.to_owned(),
    }
}

/// Lets a mount appear inside the root by a link or a mount of the host.
///
/// Each folder on the way is held while the next is looked at, so that nobody can lead us elsewhere by exchanging one.
pub(crate) fn link(
    host: &mut Host<'_>,
    mount: &Mount<'_>,
    root: &Path,
    told: &mut Vec<Tried>,
) -> Result<PlacedMount, Error> {
    let Some((name, above)) = mount.names.split_last() else {
        return Err(mount.fails(MountFault::Root));
    };
    let mut step = Step {
        root: text(root)?,
        path: Vec::new(),
    };
    let mut held = Held::open(root).map_err(|error| step.planted(mount, error))?;
    for name in above {
        step.path.push((*name).to_owned());
        let next = held.path().join(name);
        if host.entry(&next)?.is_none() {
            host.note(step.undo(Change::MadeFolder))?;
            crate::storage::host::make_folder(&next)?;
        }
        held = held
            .child(name)
            .map_err(|error| step.planted(mount, error))?;
    }
    step.path.push((*name).to_owned());
    let target = held.path().join(name);
    match host.entry(&target)? {
        None => {}
        Some(Entry::Folder) if is_empty(&target)? => {
            host.note(step.undo(Change::RemovedFolder))?;
            fs::remove_dir(&target).map_err(failed("make room at", &target))?;
        }
        Some(_) => return Err(mount.fails(MountFault::Taken)),
    }
    let shown = root.join(step.path.iter().collect::<PathBuf>());
    let mut tried = Vec::new();
    let means = links(&host.storage.means());
    let undo = |means| Ok(step.undo(Change::Attached(means)));
    for read_only in mount.modes() {
        let attachment = Attachment {
            source: &mount.source,
            target: &target,
            read_only: *read_only,
            job: Some(host.request.job),
        };
        let Some(means) = host.attach(&means, &attachment, &undo, &mut tried)? else {
            continue;
        };
        if *read_only != mount.plan.read_only {
            let why = format!(
                "{} can be written: this host has no read-only mounts without the bind filter",
                shown.display()
            );
            told.push(Tried { means, why });
        }
        return Ok(PlacedMount {
            means,
            source: mount.source.clone(),
            target: shown,
            read_only: *read_only,
        });
    }
    Err(none(mount, &shown, tried))
}

/// A place inside the root.
struct Step {
    root: String,
    path: Vec<String>,
}

impl Step {
    fn undo(&self, change: Change) -> Undo {
        Undo::Inside {
            root: self.root.clone(),
            path: self.path.clone(),
            change,
        }
    }

    /// Why a folder on the way could not be held.
    fn planted(&self, mount: &Mount<'_>, error: std::io::Error) -> Error {
        if matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::NotFound) {
            return mount.fails(MountFault::Planted);
        }
        Error::Io {
            action: "open the folder",
            path: Path::new(&self.root).join(self.path.iter().collect::<PathBuf>()),
            source: error,
        }
    }
}

fn is_empty(folder: &Path) -> Result<bool, Error> {
    let mut entries = fs::read_dir(folder).map_err(failed("list", folder))?;
    Ok(entries.next().is_none())
}

fn none(mount: &Mount<'_>, target: &Path, tried: Vec<Tried>) -> Error {
    Error::NoMeans {
        what: if mount.plan.read_only {
            "a read-only mount"
        } else {
            "a mount"
        },
        target: target.to_path_buf(),
        tried,
    }
}

/// Whether a path of the program lies at or below `at`; then the names below it.
pub(crate) fn below<'a>(
    path: &'a str,
    at: &str,
    rules: Rules,
) -> Result<Option<Vec<&'a str>>, Unfit> {
    let (path, at) = (parts(path, rules)?, parts(at, rules)?);
    let same = |(left, right): (&&str, &&str)| match rules {
        Rules::Windows => key(left) == key(right),
        Rules::Posix => left == right,
    };
    let is_below = at.len() <= path.len() && at.iter().zip(&path).all(same);
    Ok(is_below.then(|| path.into_iter().skip(at.len()).collect()))
}
