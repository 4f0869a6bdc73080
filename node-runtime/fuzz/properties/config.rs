//! Any bytes are a plan or problems, as a config, as a process that is started later and as new limits.

use std::collections::BTreeMap;

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::launch::{self, Context, Surroundings};
use hosttask_node_runtime::sys::fake::places_of;
use hosttask_node_runtime::sys::{Features, Rules};

/// A config that is good, so that a process can be started in its container.
const CONTAINER: &[u8] =
    br#"{"ociVersion":"1.1.0","process":{"args":["x"],"user":{"username":"S-1-5-18"}}}"#;

pub(crate) fn check(bytes: &[u8]) {
    let places = places_of(Rules::Windows);
    let features = Features {
        service_accounts: true,
        group_accounts: true,
        pseudo_console: true,
        ..Features::default()
    };
    let id = Id::parse("web").expect("the name is good");
    let context = Context {
        places: &places,
        features: &features,
        id: &id,
        bundle: r"C:\bundle",
    };
    let container = launch::plan(CONTAINER, &context).expect("the config is good");
    let plans = [
        launch::plan(bytes, &context).map(|plan| plan.process),
        launch::exec(bytes, &container, &context),
    ];
    for plan in plans {
        match plan {
            Ok(process) => {
                let surroundings = Surroundings {
                    places: &places,
                    root: r"C:\hpc\web\",
                    user_environment: &BTreeMap::new(),
                    is_file: &|_| true,
                    is_folder: &|_| true,
                };
                drop(launch::resolve(&process, &surroundings));
            }
            Err(problems) => assert!(!problems.is_empty()),
        }
    }
    drop(launch::update(bytes, &features, places.processors));
}
