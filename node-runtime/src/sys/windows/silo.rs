//! What a job sees that others do not: bound where the host can, which is tried out before it is relied on.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::windows::io::AsHandle;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use std::{env, process};

use windows_sys::Win32::System::JobObjects::JOBOBJECT_BASIC_ACCOUNTING_INFORMATION;

use super::handle::Handle;
use super::interrupt::ARGUMENT;
use super::launcher::{self, Errand};
use super::pipe::random_text;
use super::process::WindowsProcess;
use super::{bind, folder, job, job_info};
use crate::sys::{Attachment, Launch, Process, Streams};

/// How long the program of a trial may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is bound for a job.
#[derive(Debug, Default)]
pub(super) struct Bound(Mutex<Vec<PathBuf>>);

impl Bound {
    /// Lets something appear to the processes of a job without processes. It becomes a silo for that.
    pub(super) fn add(&self, job: &Handle, attachment: &Attachment<'_>) -> io::Result<()> {
        let kept = [PathBuf::from(folder::system()?), launcher::helper()?];
        refuse_hidden(attachment.target, &kept)?;
        if !bind::is_silo(job) {
            bind::make_silo(job)?;
        }
        let Attachment {
            source,
            target,
            read_only,
            ..
        } = *attachment;
        fs::metadata(source)?;
        bind::bind(job, source, target, read_only)?;
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        targets.push(target.to_owned());
        Ok(())
    }

    /// Takes everything back, newest first, where no process is in the job that would see the host's files then. What is left
    /// goes with the silo.
    pub(super) fn clear(&self, job: &Handle) {
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if targets.is_empty() {
            return;
        }
        let now = job_info::query::<JOBOBJECT_BASIC_ACCOUNTING_INFORMATION>(job);
        if now.is_ok_and(|now| now.ActiveProcesses > 0) {
            return;
        }
        for target in targets.drain(..).rev() {
            drop(bind::unbind(job, &target));
        }
    }
}

/// Refuses what would take the launcher's own files away, or put others beside them: it runs as we do, whoever may write there.
fn refuse_hidden(target: &Path, kept: &[PathBuf]) -> io::Result<()> {
    let target = parts(target);
    let hides = |kept: &PathBuf| parts(kept).starts_with(&target);
    let is_beside = |program: &PathBuf| {
        let folder = program.parent().map(parts).unwrap_or_default();
        target.starts_with(&folder)
    };
    let (system, programs) = kept.split_first().unzip();
    let is_refused = system.is_some_and(hides)
        || programs
            .unwrap_or_default()
            .iter()
            .any(|it| hides(it) || is_beside(it));
    if is_refused {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it would hide programs of the system, or be among those of this runtime; choose another destination",
        ));
    }
    Ok(())
}

/// A path as names that can be compared.
fn parts(path: &Path) -> Vec<String> {
    let text = path.to_string_lossy().to_lowercase().replace('/', "\\");
    let text = text.strip_prefix(r"\\?\").unwrap_or(&text);
    let names = text.split('\\').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// What trials found out, once for as long as the program runs.
#[derive(Debug, Default)]
pub(super) struct Trials {
    alone: OnceLock<Result<(), String>>,
    nested: OnceLock<Result<(), String>>,
}

impl Trials {
    /// Whether a job can have a view of its own, alone or inside another one. `Unsupported` says why not.
    pub(super) fn ask(&self, is_nested: bool) -> io::Result<()> {
        let known = if is_nested { &self.nested } else { &self.alone };
        let found = known.get_or_init(|| trial(is_nested).map_err(|error| error.to_string()));
        found
            .clone()
            .map_err(|why| io::Error::new(io::ErrorKind::Unsupported, why))
    }
}

/// Binds the folder of this program in a job that is made for that, and runs the program from there.
fn trial(is_nested: bool) -> io::Result<()> {
    bind::is_there()?;
    let name = format!("hosttask-silo-{}-{}", process::id(), random_text(8)?);
    let outer = is_nested.then(|| job::create(&format!("{name}-outer")));
    let outer = outer.transpose()?;
    let job = job::create(&name)?;
    bind::make_silo(&job)?;
    let place = env::temp_dir().join(&name);
    fs::create_dir(&place)?;
    let ran = run_bound(&job, outer.as_ref(), &place.join("view"));
    drop(job);
    // Nothing was made in it, but for the eyes of the job.
    fs::remove_dir(&place)?;
    ran
}

fn run_bound(job: &Handle, outer: Option<&Handle>, view: &Path) -> io::Result<()> {
    let program = launcher::helper()?;
    let (Some(folder), Some(file)) = (program.parent(), program.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    bind::bind(job, folder, view, true)?;
    let launch = harmless(&view.join(file))?;
    let errand = Errand {
        launch: &launch,
        streams: Streams::default(),
        jobs: outer
            .into_iter()
            .chain([job])
            .map(AsHandle::as_handle)
            .collect(),
        job,
        token: None,
        console: None,
    };
    let born = launcher::start(errand, &|_| ())?;
    let program = WindowsProcess::born(born, true, None)?;
    program.resume()?;
    let exit = program.wait(PATIENCE)?;
    drop(bind::unbind(job, view));
    match exit {
        Some(0) => Ok(()),
        exit => Err(io::Error::other(format!(
            "a program that was bound for a trial does not run there (exit code {exit:?})"
        ))),
    }
}

/// The program of ours at this path, asked to interrupt nobody: it ends at once.
fn harmless(program: &Path) -> io::Result<Launch> {
    let program = program.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    let needed = ["SystemRoot", "SystemDrive"].into_iter();
    let environment: BTreeMap<String, String> = needed
        .filter_map(|name| Some((name.to_owned(), env::var(OsStr::new(name)).ok()?)))
        .collect();
    Ok(Launch {
        program: program.to_owned(),
        arguments: Vec::new(),
        command_line: format!("hosttask {ARGUMENT}"),
        directory: folder::system()?,
        environment,
        console: None,
        suspended: true,
        drop_privileges: std::collections::BTreeSet::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_may_hide_the_system_or_stand_among_our_own_programs() {
        let kept = [
            PathBuf::from(r"C:\Windows\system32"),
            PathBuf::from(r"\\?\C:\Program Files\hosttask\hosttask-node.exe"),
        ];
        for target in [
            r"C:\Windows",
            "c:/windows/SYSTEM32",
            r"\\?\C:\",
            r"C:\program files",
            r"C:\Program Files\hosttask\",
            r"C:\Program Files\hosttask\version.dll",
            r"C:\Program Files\Hosttask\hosttask-node.exe",
        ] {
            let refused = refuse_hidden(Path::new(target), &kept);
            assert_eq!(
                refused.unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{target}"
            );
        }
        for target in [
            r"C:\hpc",
            r"C:\Windows\System32\drivers\etc\hosts",
            r"C:\Windows2",
            r"C:\Program Files\hosttask2",
            r"D:\",
        ] {
            assert!(refuse_hidden(Path::new(target), &kept).is_ok(), "{target}");
        }
    }

    #[test]
    fn the_program_of_a_trial_runs_and_ends_in_a_job_in_another() {
        let name = format!("hosttask-harmless-{}", process::id());
        let outer = job::create(&format!("{name}-outer")).unwrap();
        let job = job::create(&name).unwrap();
        let launch = harmless(&launcher::helper().unwrap()).unwrap();
        let errand = Errand {
            launch: &launch,
            streams: Streams::default(),
            jobs: vec![outer.as_handle(), job.as_handle()],
            job: &job,
            token: None,
            console: None,
        };
        let born = launcher::start(errand, &|_| ()).unwrap();
        let program = WindowsProcess::born(born, true, None).unwrap();
        program.resume().unwrap();
        assert_eq!(program.wait(PATIENCE).unwrap(), Some(0));
    }

    #[test]
    fn a_host_without_a_bind_filter_says_so_and_nothing_is_left() {
        if bind::is_there().is_ok() {
            return;
        }
        let trials = Trials::default();
        for is_nested in [false, true] {
            let error = trials.ask(is_nested).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert!(error.to_string().contains("bindfltapi.dll"), "{error}");
        }
    }
}
