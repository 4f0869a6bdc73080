//! Arguments are the same after a way through a line, and any line can be split.

use hosttask_node_runtime::launch::{quote, split};

pub(crate) fn check(text: &str) {
    assert!(!split(text).is_empty());
    // No program gets a NUL, and no name of a program has a quote.
    let mut arguments: Vec<String> = text.split('\0').map(str::to_owned).collect();
    if let Some(first) = arguments.first_mut() {
        first.retain(|it| it != '"');
    }
    assert_eq!(split(&quote(&arguments)), arguments);
}
