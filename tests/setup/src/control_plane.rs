//! The control plane's programs: taken from the machine where new enough, else built once from Go modules.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::SetupError;
use crate::go;
use crate::module::Module;
use crate::version::Version;

/// Oldest Kubernetes whose controllers and API server the suites are written for.
const KUBERNETES: Version = Version::new(1, 34);
/// Oldest etcd that such an API server supports.
const ETCD: Version = Version::new(3, 5);
/// The names the program answers to.
const NAMES: [&str; 6] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "kstatus",
];

/// Where each program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The key-value store of the API server.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// The built-in controllers (DaemonSet, Job, node lifecycle, …).
    pub kube_controller_manager: PathBuf,
    /// The scheduler.
    pub kube_scheduler: PathBuf,
    /// The command line client.
    pub kubectl: PathBuf,
    /// Reads JSON objects from standard input and prints their kstatus, one line of JSON each.
    pub kstatus: PathBuf,
}

/// Finds or builds the programs of the control plane.
///
/// `KUBEBUILDER_ASSETS` and then `PATH` are asked first. Servers older than Kubernetes 1.34 or etcd 3.5 are
/// passed over, and the three Kubernetes servers are only taken together from one folder. What is
/// missing is built from `tests/control-plane` into the cache, once per content of the sources and
/// Go version; `report` gets a line now and then while that runs. Two processes never build at once.
///
/// # Errors
/// Go is missing or too old, the build fails, or the cache folder cannot be written.
pub fn programs(report: &mut dyn FnMut(&str)) -> Result<Programs, SetupError> {
    let found = installed(&search_folders());
    let folder = build(found.is_some(), report)?;
    Ok(match found {
        Some(found) => Programs {
            kstatus: folder.join("kstatus"),
            ..found
        },
        None => in_folder(&folder),
    })
}

/// The folder with the Go sources of the program.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("control-plane")
}

/// The first executable file of this name in `PATH`.
pub fn in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// `KUBEBUILDER_ASSETS`, then the folders of `PATH`.
fn search_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os("KUBEBUILDER_ASSETS")
        .map(PathBuf::from)
        .into_iter()
        .chain(std::env::split_paths(&path))
        .filter(|folder| folder.is_absolute())
        .collect()
}

/// A whole control plane from `folders` where each part is new enough, without kstatus.
fn installed(folders: &[PathBuf]) -> Option<Programs> {
    let servers = folders
        .iter()
        .map(|folder| in_folder(folder))
        .find(|candidate| {
            [
                &candidate.kube_apiserver,
                &candidate.kube_controller_manager,
                &candidate.kube_scheduler,
            ]
            .iter()
            .all(|server| is_new_enough(server, &["--version"], KUBERNETES))
        })?;
    let first = |pick: fn(Programs) -> PathBuf, arguments: &[&str], oldest| {
        folders
            .iter()
            .map(|folder| pick(in_folder(folder)))
            .find(|program| is_new_enough(program, arguments, oldest))
    };
    Some(Programs {
        etcd: first(|all| all.etcd, &["--version"], ETCD)?,
        kubectl: first(|all| all.kubectl, &["version", "--client"], KUBERNETES)?,
        ..servers
    })
}

fn is_new_enough(program: &Path, arguments: &[&str], oldest: Version) -> bool {
    program.is_file() && Version::of(program, arguments).is_some_and(|found| found >= oldest)
}

fn in_folder(folder: &Path) -> Programs {
    Programs {
        etcd: folder.join("etcd"),
        kube_apiserver: folder.join("kube-apiserver"),
        kube_controller_manager: folder.join("kube-controller-manager"),
        kube_scheduler: folder.join("kube-scheduler"),
        kubectl: folder.join("kubectl"),
        kstatus: folder.join("kstatus"),
    }
}

/// Builds what is missing and returns the folder of it; `only_kstatus` leaves the servers out.
fn build(only_kstatus: bool, report: &mut dyn FnMut(&str)) -> Result<PathBuf, SetupError> {
    let sources = sources();
    Module {
        sources: &sources,
        package: "",
        arguments: build_arguments(&sources, go::COMPILE, only_kstatus)?,
        environment: &[],
        program: "control-plane",
        names: &NAMES,
        what: if only_kstatus {
            "kstatus from Go modules: about 7 minutes the first time"
        } else {
            "the control plane from Go modules: about 7 minutes the first time"
        },
    }
    .build(report)
}

/// The arguments of `go` but for the output: without a version stamp kubectl refuses to start.
fn build_arguments(
    sources: &Path,
    compile: &str,
    only_kstatus: bool,
) -> Result<Vec<OsString>, SetupError> {
    let path = sources.join("go.mod");
    let text =
        fs::read_to_string(&path).map_err(SetupError::io(format!("read {}", path.display())))?;
    let version = kubernetes_version(&text).unwrap_or("v0.0.0");
    let minor = Version::find(version).map_or(0, |found| found.minor);
    let stamp = [
        ("gitVersion", version.to_owned()),
        ("gitMajor", "1".to_owned()),
        ("gitMinor", minor.to_string()),
        ("gitTreeState", "clean".to_owned()),
        ("gitCommit", "unknown".to_owned()),
        ("buildDate", "1970-01-01T00:00:00Z".to_owned()),
    ]
    .map(|(name, value)| format!(" -X k8s.io/component-base/version.{name}={value}"))
    .concat();
    let mut arguments: Vec<OsString> = vec![
        "build".into(),
        "-trimpath".into(),
        compile.into(),
        format!("-ldflags=-s -w{stamp}").into(),
    ];
    if only_kstatus {
        arguments.push("-tags=kstatusonly".into());
    }
    Ok(arguments)
}

/// The arguments of `go` for a program of Kubernetes on a node, whose `go.mod` is in `sources`.
pub(crate) fn kubelet_build(sources: &Path) -> Result<Vec<OsString>, SetupError> {
    build_arguments(sources, go::COMPILE_QUICKLY, false)
}

/// The version that `go.mod` requires of Kubernetes.
fn kubernetes_version(go_mod: &str) -> Option<&str> {
    go_mod.lines().find_map(|line| {
        let mut words = line
            .trim()
            .trim_start_matches("require ")
            .split_whitespace();
        (words.next()? == "k8s.io/kubernetes")
            .then(|| words.next())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A folder with scripts that print versions; removed at the end.
    struct Machine(PathBuf);

    impl Machine {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("hosttask-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn add(&self, folder: &str, programs: &[&str], version: &str) -> PathBuf {
            let folder = self.0.join(folder);
            fs::create_dir_all(&folder).unwrap();
            for program in programs {
                let path = folder.join(program);
                fs::write(&path, format!("#!/bin/sh\necho Kubernetes {version}\n")).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            folder
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const SERVERS: [&str; 3] = [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ];

    #[test]
    fn installed_servers_are_taken_together_from_the_first_folder_that_is_new_enough() {
        let machine = Machine::new("together");
        let halves = machine.add("halves", &["kube-apiserver", "kube-scheduler"], "v1.37.0");
        let old = machine.add("old", &SERVERS, "v1.33.9");
        let good = machine.add("good", &SERVERS, "v1.34.0");
        let later = machine.add("later", &SERVERS, "v1.40.0");
        let tools = machine.add("tools", &["kubectl", "etcd"], "v3.5.1");

        let all = [
            halves.clone(),
            old.clone(),
            good.clone(),
            later,
            tools.clone(),
        ];
        let found = installed(&all).unwrap();
        assert_eq!(found.kube_apiserver, good.join("kube-apiserver"));
        assert_eq!(
            found.kube_controller_manager,
            good.join("kube-controller-manager")
        );
        assert_eq!(found.kube_scheduler, good.join("kube-scheduler"));
        assert_eq!(
            (found.etcd, found.kubectl),
            (tools.join("etcd"), tools.join("kubectl"))
        );

        assert_eq!(installed(&[halves, old, tools.clone()]), None);
        assert_eq!(
            installed(std::slice::from_ref(&good)),
            None,
            "without etcd and kubectl"
        );

        let stale = machine.add("stale", &["kubectl"], "v1.32.4-dispatcher");
        let newer = machine.add("newer", &["kubectl"], "v1.37.0");
        machine.add("tools", &["etcd"], "3.4.0");
        fs::remove_file(tools.join("kubectl")).unwrap();
        assert_eq!(
            installed(&[stale.clone(), good.clone(), newer.clone(), tools.clone()]),
            None
        );
        machine.add("tools", &["etcd"], "3.6.0");
        assert_eq!(
            installed(&[stale, good, newer.clone(), tools])
                .unwrap()
                .kubectl,
            newer.join("kubectl")
        );
    }

    #[test]
    fn the_version_stamp_is_the_one_that_go_mod_requires() {
        let arguments = build_arguments(&sources(), go::COMPILE, false).unwrap();
        let text = arguments.last().unwrap().to_string_lossy().into_owned();
        assert!(
            text.contains("version.gitVersion=v1.") && !text.contains("gitMinor=0 "),
            "{text}"
        );
        assert_eq!(
            kubernetes_version("require k8s.io/kubernetes v1.2.3\n"),
            Some("v1.2.3")
        );
        assert_eq!(
            kubernetes_version("\tk8s.io/kubernetes v1.2.4 // x\n"),
            Some("v1.2.4")
        );
        assert_eq!(kubernetes_version("k8s.io/kubernetes-csi v1.2.4\n"), None);
    }
}
