//! A path has one spelling, and stays below the root it is put into.

use hosttask_node_runtime::launch::path::{canonical, canonical_relative, in_root};
use hosttask_node_runtime::sys::Rules;

pub(crate) fn check(text: &str) {
    let hosts = [
        (Rules::Windows, '\\', r"C:\hpc\web\"),
        (Rules::Posix, '/', "/run/hpc/web/"),
    ];
    for (rules, separator, root) in hosts {
        if let Ok(relative) = canonical_relative(rules, text) {
            assert_eq!(canonical_relative(rules, &relative), Ok(relative));
        }
        let Ok(full) = canonical(rules, text) else {
            continue;
        };
        assert_eq!(canonical(rules, &full), Ok(full.clone()));
        let inside = in_root(rules, root, &full);
        assert!(inside.starts_with(root) && !inside.split(separator).any(|name| name == ".."));
    }
}
