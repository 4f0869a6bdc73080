//! Asks a keeper.

use std::io;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::frame::{self, FrameError};
use super::protocol::{Failure, Kind, LONGEST_WAIT_MS, Request, Response};
use crate::id::Id;
use crate::record::Exit;
use crate::sys::{Connection, Host};

/// How long a keeper may take to answer a question, beyond the time that the question itself takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take for a change. It goes on when nobody waits, so whoever gives up early says something wrong: a slow
/// disk, a tree of thousands of processes and a large root take minutes. A keeper that ends is noticed at once.
const PATIENCE_FOR_CHANGES: Duration = Duration::from_mins(10);

/// Why a keeper did not do what it was asked.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody is there, or nobody answers.
    #[error("failed to reach the keeper at {address}")]
    Connect {
        /// Where.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The conversation broke off.
    #[error("failed to talk to the keeper")]
    Talk(#[from] FrameError),
    /// It left without an answer: it was ended, or it crashed.
    #[error("the keeper ended before it answered")]
    Left,
    /// It answered something that does not fit the request.
    #[error("the keeper's answer does not fit the request")]
    Answer(#[source] serde_json::Error),
    /// It refused, or it failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl AskError {
    /// Whether nobody serves the address, so that the keeper is gone.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Connect { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Left => true,
            Self::Talk(_) | Self::Answer(_) | Self::Failed(_) => false,
        }
    }

    /// The kind of failure, as keepers say it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Failed(failure) => failure.kind,
            Self::Connect { .. } | Self::Talk(_) | Self::Left | Self::Answer(_) => Kind::Internal,
        }
    }
}

/// A connection to a keeper.
#[derive(Debug)]
pub struct Client {
    connection: Box<dyn Connection>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`AskError::Connect`].
    pub fn connect(host: &dyn Host, address: &str) -> Result<Self, AskError> {
        let connection = host.connect(address, Duration::from_secs(5));
        let connection = connection.map_err(|source| AskError::Connect {
            address: address.to_owned(),
            source,
        })?;
        Ok(Self { connection })
    }

    /// Asks, and takes the answer. `takes` is how long the request itself may take.
    ///
    /// # Errors
    /// Each of [`AskError`] but [`AskError::Connect`]. Only after [`AskError::Failed`] can more be asked.
    pub fn ask<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        takes: Duration,
    ) -> Result<T, AskError> {
        let timeout = self.connection.set_timeout(Some(PATIENCE));
        timeout.map_err(|source| FrameError::Broken {
            verb: "talk to",
            source,
        })?;
        let patience = if request.is_change() {
            PATIENCE_FOR_CHANGES
        } else {
            PATIENCE
        };
        // A keeper that has too many clients answers before it was asked and closes: its words are worth more than ours.
        let sent = frame::write(self.connection.as_mut(), request);
        let answer = frame::receive(self.connection.as_mut(), takes + patience);
        match (sent, answer) {
            (_, Ok(Some(Response::Done(value)))) => {
                serde_json::from_value(value).map_err(AskError::Answer)
            }
            (_, Ok(Some(Response::Failed(failure)))) => Err(failure.into()),
            (Err(error), _) | (Ok(()), Err(error)) if !is_broken(&error) => Err(error.into()),
            _ => Err(AskError::Left),
        }
    }

    /// Asks for something that names no time itself.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_now<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, AskError> {
        self.ask(request, Duration::ZERO)
    }

    /// Waits for the end of a process, as long as it takes.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn wait(&mut self, exec: Option<&Id>) -> Result<Exit, AskError> {
        loop {
            if let Some(exit) = self.wait_until(exec, None)? {
                return Ok(exit);
            }
        }
    }

    /// Waits for the end of a process until a deadline, or for one round where there is none.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn wait_until(
        &mut self,
        exec: Option<&Id>,
        deadline: Option<Instant>,
    ) -> Result<Option<Exit>, AskError> {
        loop {
            let round = Duration::from_millis(LONGEST_WAIT_MS);
            let left = deadline.map(|it| it.saturating_duration_since(Instant::now()));
            let span = left.map_or(round, |left| left.min(round));
            let request = Request::Wait {
                exec: exec.cloned(),
                timeout_ms: u64::try_from(span.as_millis()).unwrap_or(LONGEST_WAIT_MS),
            };
            let exit: Option<Exit> = self.ask(&request, span)?;
            let is_late = left.is_none_or(|left| left <= span);
            if exit.is_some() || is_late {
                return Ok(exit);
            }
        }
    }
}

/// Whether the other side is gone, so that nothing can be said about why.
fn is_broken(error: &FrameError) -> bool {
    match error {
        FrameError::Broken { source, .. } => source.kind() != io::ErrorKind::TimedOut,
        FrameError::CutOff { .. } => true,
        FrameError::TooLong(_) | FrameError::Malformed(_) | FrameError::Version(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::sys::{Cancel, Halves};

    /// A keeper that says nothing, and how long it was listened to.
    #[derive(Debug, Default)]
    struct Silence {
        timeout: Option<Duration>,
        listened: Arc<Mutex<Duration>>,
    }

    impl Read for Silence {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            *self.listened.lock().unwrap() = self.timeout.unwrap_or(Duration::MAX);
            Err(io::ErrorKind::TimedOut.into())
        }
    }

    impl Write for Silence {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Connection for Silence {
        fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
            self.timeout = timeout;
            Ok(())
        }

        fn canceller(&self) -> Cancel {
            Box::new(|| {})
        }

        fn split(self: Box<Self>) -> io::Result<Halves> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    fn patience(request: &Request) -> Duration {
        let silence = Silence::default();
        let listened = Arc::clone(&silence.listened);
        let connection = Box::new(silence);
        let answer = Client { connection }.ask_now::<()>(request);
        assert!(matches!(answer, Err(AskError::Talk(_))), "{answer:?}");
        *listened.lock().unwrap()
    }

    #[test]
    fn a_change_may_take_minutes_and_a_question_may_not() {
        let kill = Request::Kill {
            exec: None,
            signal: crate::state::Signal::Terminate,
            all: false,
        };
        for change in [Request::Start, kill, Request::Delete { exec: None }] {
            assert!(patience(&change) > Duration::from_mins(5), "{change:?}");
        }
        let question = patience(&Request::Status { exec: None });
        assert!(question <= Duration::from_secs(30), "{question:?}");
    }
}
