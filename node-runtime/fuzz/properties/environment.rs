//! An environment has every name once, whatever the user's and the config's variables are.

use std::collections::{BTreeMap, BTreeSet};

use hosttask_node_runtime::launch::{Command, ProcessPlan, Surroundings, resolve};
use hosttask_node_runtime::sys::fake::places_of;
use hosttask_node_runtime::sys::{Rules, User};

/// Variables, as names and values.
pub(crate) type Entries = Vec<(String, String)>;

pub(crate) fn check(user: Entries, config: Entries) {
    let is_name = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    let map = |entries: Entries| -> BTreeMap<String, String> {
        entries
            .into_iter()
            .filter(|(name, _)| is_name(name))
            .collect()
    };
    let process = ProcessPlan {
        user: User::System,
        command: Command::Arguments(vec!["x".to_owned()]),
        directory: String::new(),
        expected_root: r"C:\hpc\".to_owned(),
        environment: map(config),
        console: None,
        drop_privileges: BTreeSet::new(),
        allow_batch: false,
    };
    let places = places_of(Rules::Windows);
    let surroundings = Surroundings {
        places: &places,
        root: r"C:\hpc\web\",
        user_environment: &map(user),
        is_file: &|_| true,
        is_folder: &|_| true,
    };
    let Ok(launch) = resolve(&process, &surroundings) else {
        return;
    };
    let names = launch.environment.keys();
    let folded: BTreeSet<String> = names.map(|name| name.to_uppercase()).collect();
    assert_eq!(folded.len(), launch.environment.len());
}
