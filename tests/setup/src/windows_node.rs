//! What a real Windows node runs under Wine: kubelet and containerd for Windows, and the libraries Wine lacks below them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::control_plane::{in_path, kubelet_build};
use crate::error::SetupError;
use crate::fingerprint::fingerprint;
use crate::go::COMPILE_QUICKLY;
use crate::module::Module;
use crate::vet;

/// The variables of a build for Windows.
const WINDOWS: [(&str, &str); 2] = [("GOOS", "windows"), ("GOARCH", "amd64")];
/// The compiler of the stand-in libraries and of the demonstration's programs.
pub(crate) const COMPILER: &str = "x86_64-w64-mingw32-gcc";
/// The library that gives a program randomness and what else it lacks.
const RANDOMNESS: &str = "bcryptprimitives";
/// Each library with its sources; all but the first come from the folder of the same name.
const LIBRARIES: [(&str, &[&str]); 4] = [
    (
        RANDOMNESS,
        &[
            "program.c",
            "pipes.c",
            "sockets.c",
            "links.c",
            "removal.c",
            "adapters.c",
        ],
    ),
    ("pdh", &["pdh.c"]),
    ("vmcompute", &["vmcompute.c"]),
    ("bindfltapi", &["bindfltapi.c"]),
];

/// Where each program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// Starts Windows programs.
    pub wine: PathBuf,
    /// The process that all Windows programs of one prefix share.
    pub wine_server: PathBuf,
    /// The kubelet, unpatched, of the version that `tests/windows-node/kubelet/go.mod` names.
    pub kubelet: PathBuf,
    /// containerd, unpatched, of the version that `tests/windows-node/containerd/go.mod` names. Under the name `ctr.exe` it is
    /// its own client.
    pub containerd: PathBuf,
    /// The stand-ins for libraries of Windows, for the folder `system32` of the prefix.
    pub libraries: Vec<PathBuf>,
}

/// Finds Wine and builds the rest into the cache, once for each content of the sources.
///
/// `report` gets a line now and then: a first build takes about ten minutes. Two processes never build at once.
///
/// # Errors
/// Wine, the compiler or Go is missing (the message has the command that installs it), or a build fails.
pub fn programs(report: &mut dyn FnMut(&str)) -> Result<Programs, SetupError> {
    let missing = |program, package| SetupError::ToolMissing { program, package };
    let wine = wine().ok_or_else(|| missing("wine64", "wine64"))?;
    let wine_server = wine_server(&wine).ok_or_else(|| missing("wineserver", "wine64"))?;
    compiler()?;
    Ok(Programs {
        libraries: libraries(report)?,
        containerd: containerd(report)?,
        kubelet: kubelet(report)?,
        wine,
        wine_server,
    })
}

/// Says so when the compiler is missing.
pub(crate) fn compiler() -> Result<(), SetupError> {
    let missing = SetupError::ToolMissing {
        program: COMPILER,
        package: "gcc-mingw-w64-x86-64",
    };
    in_path(COMPILER).map(drop).ok_or(missing)
}

/// Finds Wine in `PATH`, or where Debian's `wine64` alone puts it.
pub fn wine() -> Option<PathBuf> {
    let usual = PathBuf::from("/usr/lib/wine/wine64");
    let usual = usual.is_file().then_some(usual);
    in_path("wine64").or(usual).or_else(|| in_path("wine"))
}

/// The server that belongs to a Wine: it lies beside it under one of two names, or in `PATH`.
pub fn wine_server(wine: &Path) -> Option<PathBuf> {
    ["wineserver", "wineserver64"]
        .iter()
        .map(|name| wine.with_file_name(name))
        .find(|path| path.is_file())
        .or_else(|| in_path("wineserver"))
}

/// The folder with the sources of the programs and the libraries.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("windows-node")
}

fn kubelet(report: &mut dyn FnMut(&str)) -> Result<PathBuf, SetupError> {
    let sources = sources().join("kubelet");
    let program = "kubelet.exe";
    let folder = Module {
        sources: &sources,
        package: "",
        arguments: kubelet_build(&sources)?,
        environment: &WINDOWS,
        program,
        names: &[],
        what: "kubelet for Windows from Go modules: about 6 minutes the first time",
    }
    .build(report)?;
    Ok(folder.join(program))
}

fn containerd(report: &mut dyn FnMut(&str)) -> Result<PathBuf, SetupError> {
    let program = "containerd.exe";
    let folder = Module {
        sources: &sources().join("containerd"),
        package: "",
        arguments: ["build", "-trimpath", COMPILE_QUICKLY, "-ldflags=-s -w"]
            .map(OsString::from)
            .to_vec(),
        environment: &WINDOWS,
        program,
        names: &[],
        what: "containerd for Windows from Go modules: about 2 minutes the first time",
    }
    .build(report)?;
    Ok(folder.join(program))
}

/// Compiles the libraries, each beside its place and renamed: two processes may do it at once, and both come out right.
fn libraries(report: &mut dyn FnMut(&str)) -> Result<Vec<PathBuf>, SetupError> {
    let sources = sources().join("libraries");
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("wine");
    let randomness = shared.join(format!("{RANDOMNESS}.c"));
    let shared = fingerprint(&shared, COMPILER, &[])?;
    let name = fingerprint(&sources, COMPILER, &[shared.into()])?;
    let folder = crate::cache_dir().join("windows-libraries").join(name);
    fs::create_dir_all(&folder).map_err(SetupError::io(format!("create {}", folder.display())))?;
    let mut built = Vec::new();
    for (name, files) in LIBRARIES {
        let library = folder.join(format!("{name}.dll"));
        if !library.is_file() {
            report(&format!("building {name}.dll"));
            let mut inputs: Vec<PathBuf> = files.iter().map(|file| sources.join(file)).collect();
            if name == RANDOMNESS {
                inputs.push(randomness.clone());
            }
            let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
            compile(&["-shared"], &inputs, &library)?;
        }
        built.push(library);
    }
    Ok(built)
}

/// Compiles `inputs` to `program`, a library if `kind` says so.
pub(crate) fn compile(kind: &[&str], inputs: &[&Path], program: &Path) -> Result<(), SetupError> {
    let partial = program.with_extension(format!("partial-{}", std::process::id()));
    let log = program.with_extension("log");
    let output = Command::new(COMPILER)
        .args(kind)
        .args(["-O2", "-Wall", "-Wextra", "-Werror"])
        .args(["-Wl,--strip-all", "-o"])
        .arg(&partial)
        .args(inputs)
        .args(["-ladvapi32", "-lntdll", "-lole32"])
        .output()
        .map_err(SetupError::io(format!("run {COMPILER}")))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        fs::write(&log, &text).map_err(SetupError::io(format!("write {}", log.display())))?;
        let tail = crate::go::tail(&text, 20);
        return Err(SetupError::Build { log, tail });
    }
    fs::rename(&partial, program).map_err(SetupError::io(format!("rename {}", partial.display())))
}

/// The commands that look for mistakes in both programs, as built for Windows.
///
/// # Errors
/// As those of [`vet::command`].
pub fn vet(report: &mut dyn FnMut(&str)) -> Result<Vec<Command>, SetupError> {
    let vet = |name| {
        vet::command(
            &sources().join(name),
            COMPILE_QUICKLY,
            &["."],
            &WINDOWS,
            report,
        )
    };
    ["containerd", "kubelet"].into_iter().map(vet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_of_a_library_exists_and_none_is_left_out() {
        let mut there: Vec<String> = fs::read_dir(sources().join("libraries"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "c"))
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        there.sort();
        let mut named: Vec<&str> = LIBRARIES
            .iter()
            .flat_map(|(_, files)| *files)
            .copied()
            .collect();
        named.sort_unstable();
        assert_eq!(there, named);
    }

    #[test]
    fn every_stand_in_is_on_the_page_of_what_the_runtime_runs_with() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../node-runtime/docs");
        let page = fs::read_to_string(page.join("compatibility.md")).unwrap();
        for (_, files) in LIBRARIES {
            for file in files {
                let row = format!("| `{file}` |");
                assert!(page.contains(&row), "{file} has no row");
            }
        }
    }

    #[test]
    fn kubelet_is_of_the_same_version_as_the_control_plane() {
        let version = |folder: &Path| {
            let text = fs::read_to_string(folder.join("go.mod")).unwrap();
            text.lines()
                .map(str::trim)
                .find(|line| line.starts_with("k8s.io/kubernetes v"))
                .map(ToOwned::to_owned)
        };
        let kubelet = version(&sources().join("kubelet"));
        assert!(kubelet.is_some());
        assert_eq!(kubelet, version(&crate::control_plane::sources()));
    }
}
