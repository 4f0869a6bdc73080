//! Where things are on hosts that tests are told about.

use std::path::MAIN_SEPARATOR;

use crate::sys::{Places, Rules};

/// The places of an ordinary host that follows these rules: `C:\hpc\`, four processors. Nothing has to exist there.
pub fn places_of(rules: Rules) -> Places {
    let choose = |windows: &str, posix: &str| match rules {
        Rules::Windows => windows.to_owned(),
        Rules::Posix => posix.to_owned(),
    };
    Places {
        rules,
        windows: choose(r"C:\Windows", ""),
        system: choose(r"C:\Windows\System32", "/usr/bin"),
        container_root: choose(r"C:\hpc\", "/run/hosttask/roots/"),
        state_root: choose(r"C:\ProgramData\hosttask\node", "/var/lib/hosttask/node"),
        processors: 4,
    }
}

/// The same by the rules of the system the test runs on, with folders of ours among its temporary ones.
pub(super) fn own() -> Places {
    let rules = if MAIN_SEPARATOR == '/' {
        Rules::Posix
    } else {
        Rules::Windows
    };
    let temporary = std::env::temp_dir().to_string_lossy().into_owned();
    let below = |name: &str| {
        format!(
            "{}{MAIN_SEPARATOR}{name}",
            temporary.trim_end_matches(['/', '\\'])
        )
    };
    Places {
        container_root: format!("{}{MAIN_SEPARATOR}", below("hpc")),
        state_root: below("hosttask-fake"),
        ..places_of(rules)
    }
}
