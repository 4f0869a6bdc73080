//! What the benches of containers and of tasks share: the program they run, addresses, and what must not be left.

use std::fs;
use std::path::{MAIN_SEPARATOR, Path};
use std::time::{Duration, Instant};

use hosttask_node_runtime::sys::fake::FakeHost;

/// How long a test waits for what has to happen.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// Whether folders can appear elsewhere. Wine makes no link, and says that it did; a root stays where it is there.
pub(crate) const HAS_LINKS: bool = MAIN_SEPARATOR == '/';

/// The full path of `probe`. The path that cargo tells is not one of Windows where the test runs under Wine.
pub(crate) fn probe() -> String {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    let file = format!("probe{}", std::env::consts::EXE_SUFFIX);
    folder.join(file).to_str().unwrap().to_owned()
}

/// The arguments of a process that does these steps of `probe`, divided by spaces.
pub(crate) fn arguments(steps: &str) -> Vec<String> {
    let steps = steps.split_whitespace().map(str::to_owned);
    std::iter::once(probe()).chain(steps).collect()
}

/// An address that no other test has, whose folder is this one, by the rules of the system.
pub(crate) fn address(folder: &Path, name: &str) -> String {
    if MAIN_SEPARATOR == '/' {
        return folder.join(name).to_str().unwrap().to_owned();
    }
    let unique = folder.file_name().unwrap().to_str().unwrap();
    format!(r"\\.\pipe\hosttask-test-{unique}-{name}")
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// That there are neither records below a store nor roots of containers in the folder of a test.
pub(crate) fn assert_no_files(store: &Path, folder: &Path) {
    for name in ["containers", "trash"] {
        let left = fs::read_dir(store.join(name)).unwrap();
        assert_eq!(left.count(), 0, "{name}");
    }
    let left = fs::read_dir(folder).unwrap();
    let left = left.map(|it| it.unwrap().file_name().into_string().unwrap());
    let roots: Vec<_> = left.filter(|it| it.starts_with("root-")).collect();
    assert!(roots.is_empty(), "{roots:?}");
}

/// That a host has no job, no link, no account and no process.
pub(crate) fn assert_unused(fake: &FakeHost) {
    assert!(fake.jobs().is_empty(), "{:?}", fake.jobs());
    assert!(fake.attached().is_empty(), "{:?}", fake.attached());
    assert!(fake.accounts().is_empty(), "{:?}", fake.accounts());
    assert_eq!(fake.running(), 0);
}
