//! Numbers of signals, as containerd sends them, and what becomes of them here.

use super::failure::Failure;
use crate::state::Signal;
use crate::sys::Rules;

/// What a number asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Whether it runs.
    Nothing,
    /// An end.
    End(Signal),
}

/// What a number asks for. Every request to end reaches every process of the task, in the one way there is for it.
///
/// On Windows containerd passes on numbers of console events too: 0 is Ctrl+C there, and asks on Linux whether a process lives.
pub(super) fn parse(rules: Rules, number: u32) -> Result<Asked, Failure> {
    let known = match rules {
        Rules::Windows => {
            "15 (SIGTERM), 9 (SIGKILL), or the console events 0, 1, 2, 5 and 6, which ask as 15 does"
        }
        Rules::Posix => "15 (SIGTERM), 9 (SIGKILL), or 1, 2 and 3, which ask as 15 does",
    };
    match (rules, number) {
        (_, 9) => Ok(Asked::End(Signal::Kill)),
        (_, 15 | 1 | 2) | (Rules::Windows, 0 | 5 | 6) | (Rules::Posix, 3) => {
            Ok(Asked::End(Signal::Terminate))
        }
        (Rules::Posix, 0) => Ok(Asked::Nothing),
        _ => Err(Failure::Signal { number, known }),
    }
}
