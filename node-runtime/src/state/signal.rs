//! Signals: two are left of what Unix has, as Windows knows no others.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a process is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Please end: it may clean up, or not listen.
    Terminate,
    /// End now.
    Kill,
}

/// A signal that we cannot pass on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no signal that Windows programs understand; use SIGTERM or SIGKILL")]
pub struct UnknownSignal(String);

impl Signal {
    /// Reads a signal: a name with or without `SIG`, a console event of Windows, or a number, in any case.
    ///
    /// 0 is refused: it asks on Linux whether a process lives, and is Ctrl+C in containerd's numbers for Windows.
    ///
    /// # Errors
    /// For signals that mean anything but an end, such as `SIGUSR1`.
    pub fn parse(text: &str) -> Result<Self, UnknownSignal> {
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        match name.strip_suffix("_EVENT").unwrap_or(name) {
            "TERM" | "INT" | "QUIT" | "HUP" | "1" | "2" | "3" | "6" | "15" => Ok(Self::Terminate),
            "CTRL_C" | "CTRL_BREAK" | "CTRL_CLOSE" | "CTRL_LOGOFF" | "CTRL_SHUTDOWN" => {
                Ok(Self::Terminate)
            }
            "KILL" | "9" => Ok(Self::Kill),
            _ => Err(UnknownSignal(text.to_owned())),
        }
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kubelet_docker_and_people_send_is_understood() {
        for text in [
            "SIGTERM",
            "term",
            "15",
            "SIGINT",
            "CTRL_C",
            "ctrl_shutdown_event",
            "6",
        ] {
            assert_eq!(Signal::parse(text), Ok(Signal::Terminate), "{text}");
        }
        for text in ["SIGKILL", "Kill", "9"] {
            assert_eq!(Signal::parse(text), Ok(Signal::Kill), "{text}");
        }
    }

    #[test]
    fn a_signal_that_is_no_request_to_end_is_refused_by_name() {
        for text in ["", "0", "SIGUSR1", "SIGSTOP", "-9", "99999999999"] {
            let error = Signal::parse(text).unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }
}
