//! The runtime is installed in a containerd that is played by files and a table of services.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hosttask_node_runtime::install::{
    Asked, DROP_IN, Error, PROGRAMS, Places, Standing, Step, Target, apply, look, plan,
};
use hosttask_node_runtime::sys::Services;
use tempfile::TempDir;

const CONFIG: &str = "# ours\nversion = 2\n[grpc]\naddress = 'x'\n";

/// Services: containerd, and the kubelet that needs it. containerd does not start while `refused` is in its configuration.
#[derive(Debug)]
struct Table {
    line: String,
    config: PathBuf,
    refused: Option<&'static str>,
    running: RefCell<BTreeSet<String>>,
    calls: RefCell<Vec<String>>,
}

impl Table {
    fn say(&self, what: &str, name: &str) {
        self.calls.borrow_mut().push(format!("{what} {name}"));
    }
}

impl Services for Table {
    fn command_line(&self, name: &str) -> io::Result<String> {
        if name != "containerd" {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.line.clone())
    }

    fn dependents(&self, _: &str) -> io::Result<Vec<String>> {
        let running = self.running.borrow();
        Ok(running
            .iter()
            .filter(|it| *it == "kubelet")
            .cloned()
            .collect())
    }

    fn stop(&self, name: &str, _: Duration) -> io::Result<()> {
        self.say("stop", name);
        self.running.borrow_mut().remove(name);
        Ok(())
    }

    fn start(&self, name: &str, _: Duration) -> io::Result<()> {
        self.say("start", name);
        let config = fs::read_to_string(&self.config)?;
        if name == "containerd" && self.refused.is_some_and(|it| config.contains(it)) {
            return Err(io::Error::other("it ended with the code 1"));
        }
        self.running.borrow_mut().insert(name.to_owned());
        Ok(())
    }
}

struct Scene {
    _folder: TempDir,
    places: Places,
    services: Table,
}

fn file(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}

fn scene(config: &str) -> Scene {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["new", "containerd"] {
        fs::create_dir(path(name)).unwrap();
    }
    for name in PROGRAMS {
        fs::write(path("new").join(file(name)), format!("{name} 2")).unwrap();
    }
    let config_file = path("containerd").join("config.toml");
    fs::write(&config_file, config).unwrap();
    let services = Table {
        line: String::new(),
        config: config_file.clone(),
        refused: None,
        running: RefCell::new(["containerd", "kubelet"].map(str::to_owned).into()),
        calls: RefCell::default(),
    };
    let asked = Asked {
        source: path("new"),
        containerd: Some(path("containerd")),
        config: Some(config_file),
        service: "containerd".to_owned(),
    };
    let places = look(Some(&services), &asked).unwrap();
    Scene {
        _folder: folder,
        places,
        services,
    }
}

impl Scene {
    fn steps(&self, target: Target) -> Vec<Step> {
        plan(&self.places.found(0).unwrap(), target)
    }

    fn go(&self, target: Target) -> Result<(), Error> {
        let steps = self.steps(target);
        apply(&self.places, &steps, Some(&self.services), &mut |_| {})
    }

    fn calls(&self) -> Vec<String> {
        self.services.calls.take()
    }

    fn config(&self) -> String {
        fs::read_to_string(&self.places.config).unwrap()
    }

    fn program(&self, index: usize) -> PathBuf {
        self.places.containerd.join(file(PROGRAMS[index]))
    }
}

#[test]
fn it_is_installed_once_and_the_kubelet_comes_back_after_containerd() {
    let scene = scene(CONFIG);
    scene.go(Target::Installed).unwrap();
    assert_eq!(
        scene.calls(),
        [
            "stop kubelet",
            "stop containerd",
            "start containerd",
            "start kubelet"
        ]
    );
    assert_eq!(fs::read(&scene.places.drop_in).unwrap(), DROP_IN.as_bytes());
    assert!(scene.config().contains("hosttask.toml") && scene.config().starts_with("# ours"));
    let shim = fs::read_to_string(scene.program(0)).unwrap();
    assert_eq!(shim, "containerd-shim-hosttask-v1 2");
    assert_eq!(scene.steps(Target::Installed), []);
}

#[test]
fn a_newer_shim_is_put_in_place_without_a_restart() {
    let scene = scene(CONFIG);
    scene.go(Target::Installed).unwrap();
    scene.calls();
    fs::write(scene.program(0), "1").unwrap();
    assert_eq!(scene.steps(Target::Installed), [Step::PlaceProgram(0)]);
    scene.go(Target::Installed).unwrap();
    assert_eq!(scene.calls(), Vec::<String>::new());
    assert_eq!(scene.steps(Target::Installed), []);
    let entries = fs::read_dir(&scene.places.containerd).unwrap();
    let paths: Vec<PathBuf> = entries.map(|it| it.unwrap().path()).collect();
    let ends = ["old", "new"].map(std::ffi::OsStr::new);
    let left = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|end| ends.contains(&end)));
    assert_eq!(left.count(), 0, "{paths:?}");
}

#[test]
fn what_was_installed_is_gone_afterwards_and_the_rest_stays() {
    let scene = scene("imports = ['other.toml']\nversion = 2\n");
    let before = scene.config();
    scene.go(Target::Installed).unwrap();
    scene.go(Target::Gone).unwrap();
    assert_eq!(scene.config(), before);
    let places = &scene.places;
    assert!(!places.drop_in.exists() && !scene.program(0).exists() && !scene.program(1).exists());
    assert_eq!(scene.steps(Target::Gone), []);
}

#[test]
fn a_containerd_that_does_not_start_gets_its_configuration_back() {
    let mut scene = scene(CONFIG);
    scene.services.refused = Some("hosttask.toml");
    let error = scene.go(Target::Installed).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotStarted {
                runs_again: true,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(scene.config(), CONFIG);
    let running = scene.services.running.borrow();
    assert_eq!(running.len(), 2, "the kubelet runs again too: {running:?}");
}

#[test]
fn without_services_nothing_is_restarted_and_it_is_said() {
    let scene = scene(CONFIG);
    let mut said = Vec::new();
    let steps = scene.steps(Target::Installed);
    apply(&scene.places, &steps, None, &mut |line| {
        said.push(line.to_owned());
    })
    .unwrap();
    assert_eq!(scene.calls(), Vec::<String>::new());
    assert!(
        said.iter().any(|line| line.contains("must be restarted")),
        "{said:?}"
    );
}

#[test]
fn what_is_missing_is_named() {
    let missing = scene(CONFIG);
    fs::remove_file(&missing.places.config).unwrap();
    let error = missing.places.found(0).unwrap_err();
    assert!(error.to_string().contains("config default"), "{error}");
    let asked = Asked {
        service: "other".to_owned(),
        ..Asked::default()
    };
    let error = look(Some(&missing.services), &asked).unwrap_err();
    assert!(error.to_string().contains("other") && error.to_string().contains("--service"));
    let error = look(None, &asked).unwrap_err();
    assert!(error.to_string().contains("--containerd"));
    let broken = scene("imports = 1");
    assert!(matches!(broken.places.found(0), Err(Error::Config { .. })));
}

#[test]
fn what_is_found_is_told_apart() {
    let scene = scene(CONFIG);
    let found = scene.places.found(3).unwrap();
    assert_eq!(found.programs, [Standing::Missing, Standing::Missing]);
    assert_eq!(
        (found.drop_in, found.import),
        (Standing::Missing, Standing::Missing)
    );
    scene.go(Target::Installed).unwrap();
    fs::write(&scene.places.drop_in, "version = 2\n").unwrap();
    let found = scene.places.found(0).unwrap();
    assert_eq!(
        (found.drop_in, found.import),
        (Standing::Different, Standing::Current)
    );
    assert!(found.import_is_ours);
    assert_eq!(
        scene.steps(Target::Installed),
        [Step::WriteDropIn, Step::Restart]
    );
}

#[test]
fn the_drop_in_in_config_is_the_one_that_is_installed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(folder.join("../config/runtime/containerd/hosttask.toml"));
    assert_eq!(
        text.expect("the drop-in for people who install by hand"),
        DROP_IN
    );
}
