//! Starts a keeper, and knows whether it lives before anything is asked of it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use thiserror::Error;

use super::protocol::Failure;
use crate::sys::{Host, Process, ProcessId, pipe};

/// What a keeper says once it can be asked. Anything else is why it cannot.
pub const READY: &str = "ready\n";

/// How long a keeper may take until then. A busy machine needs seconds, nothing needs more.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most bytes of its last words.
const LONGEST_WORDS: u64 = 64 * 1024;

/// Why there is no keeper.
#[derive(Debug, Error)]
pub enum BootError {
    /// No pipe could be made to hear it.
    #[error("failed to make a pipe to the keeper")]
    Pipe(#[source] io::Error),
    /// It could not be started.
    #[error("failed to start the keeper {}", program.display())]
    Start {
        /// What was to be started.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It said why it cannot be asked.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// It ended before it could be asked, not in our words.
    #[error("the keeper ended before it was ready{}", words(.said))]
    Died {
        /// Its last words.
        said: String,
    },
    /// It said nothing for too long, and was ended.
    #[error("the keeper was not ready after {} seconds, and was ended; is the host overloaded?", PATIENCE.as_secs())]
    Silent,
}

fn words(said: &str) -> String {
    match said.trim() {
        "" => ", without a word".to_owned(),
        said => format!(": {said}"),
    }
}

/// Starts a keeper and waits until it can be asked.
///
/// # Errors
/// Each of [`BootError`]; no keeper is left then.
pub fn start(
    host: &dyn Host,
    program: &Path,
    arguments: &[String],
) -> Result<ProcessId, BootError> {
    let (mut reader, output): (pipe::Reader, File) = pipe::output().map_err(BootError::Pipe)?;
    let spawned = host.spawn_detached(program, arguments, output);
    let keeper = spawned.map_err(|source| BootError::Start {
        program: program.to_path_buf(),
        source,
    })?;
    let canceller = reader.canceller();
    let (told, hears) = mpsc::channel();
    let listens = thread::Builder::new().spawn(move || {
        let said = listen(&mut reader);
        // Nobody hears it after the time.
        drop(told.send(said));
    });
    let said = match listens {
        Ok(_) => hears.recv_timeout(PATIENCE).ok(),
        Err(_) => None,
    };
    canceller.cancel();
    let error = match said {
        Some(said) if said == READY => return Ok(keeper),
        Some(said) => last_words(said),
        None => BootError::Silent,
    };
    end(host, keeper);
    Err(error)
}

/// What a keeper says until it is ready or gone.
fn listen(reader: &mut dyn Read) -> String {
    let mut said = Vec::new();
    let mut limited = reader.take(LONGEST_WORDS);
    let mut part = [0; 4096];
    while said != READY.as_bytes() {
        match limited.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(count) => said.extend(part.iter().take(count)),
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Why there is no keeper, from what it said.
fn last_words(said: String) -> BootError {
    match serde_json::from_str::<Failure>(&said) {
        Ok(failure) => BootError::Refused(failure),
        Err(_) => BootError::Died { said },
    }
}

/// Ends a keeper that is of no use. One that is gone is what we want.
fn end(host: &dyn Host, keeper: ProcessId) {
    if let Ok(Some(process)) = host.open_process(keeper) {
        let process: &dyn Process = process.as_ref();
        drop(process.terminate(1));
    }
}

/// Says that this keeper can be asked.
///
/// # Errors
/// Where whoever started it is gone: then nobody ever will ask.
pub fn say_ready(output: &mut dyn Write) -> io::Result<()> {
    output.write_all(READY.as_bytes())?;
    output.flush()
}

/// Says why it cannot be asked.
///
/// # Errors
/// As [`say_ready`].
pub fn say_failure(output: &mut dyn Write, failure: &Failure) -> io::Result<()> {
    serde_json::to_writer(&mut *output, failure)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::protocol::Kind;

    #[test]
    fn a_keeper_is_heard_until_it_is_ready_or_gone() {
        assert_eq!(listen(&mut "ready\n".as_bytes()), READY);
        assert_eq!(listen(&mut "no room\n".as_bytes()), "no room\n");
        assert_eq!(listen(&mut "rea".as_bytes()), "rea");
        assert_eq!(listen(&mut "".as_bytes()), "");
        let endless = listen(&mut io::repeat(b'x'));
        assert_eq!(u64::try_from(endless.len()).unwrap(), LONGEST_WORDS);
    }

    #[test]
    fn why_a_keeper_cannot_be_asked_keeps_its_kind() {
        let failure = Failure {
            kind: Kind::AlreadyExists,
            message: "the container web exists already".to_owned(),
        };
        let mut said = Vec::new();
        say_failure(&mut said, &failure).unwrap();
        let heard = last_words(listen(&mut said.as_slice()));
        assert!(matches!(heard, BootError::Refused(it) if it == failure));
    }

    #[test]
    fn last_words_are_part_of_the_error() {
        let died = |said: &str| last_words(said.to_owned()).to_string();
        assert!(died("no room\n").ends_with("ready: no room"));
        assert!(died("").ends_with("without a word"));
    }
}
