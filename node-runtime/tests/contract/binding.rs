//! What is bound for one job: its programs see it, and nobody else does. It needs silos and the bind filter of Windows.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hosttask_node_runtime::sys::fake::steps::FAILED;
use hosttask_node_runtime::sys::{Attachment, Job, Launch, Means, Streams, pipe};

use crate::bench::{Bench, ended, kind, probe, read};

/// Whether the host can; says so where it cannot.
fn can(bench: &Bench) -> bool {
    let can = bench.host.storage().means().contains(&Means::BindFilter);
    if !can {
        let why = bench.host.features().view_refused;
        let why = why.unwrap_or_else(|| "the host has none".to_owned());
        bench.not_run("the bind filter", &why);
    }
    can
}

/// A folder with `probe` and a file in it that says the name.
fn folder(bench: &Bench, name: &str) -> PathBuf {
    let folder = bench.folder.path().join(name);
    fs::create_dir(&folder).unwrap();
    fs::copy(probe(), folder.join(probe().file_name().unwrap())).unwrap();
    fs::write(folder.join("file"), name).unwrap();
    folder
}

/// A job that sees a folder at a place.
fn job(bench: &Bench, source: &Path, target: &Path, read_only: bool) -> Arc<dyn Job> {
    let job = bench.job();
    let attachment = Attachment {
        source,
        target,
        read_only,
        job: Some(job.as_ref()),
    };
    let storage = bench.host.storage();
    storage.attach(Means::BindFilter, &attachment).unwrap();
    job
}

/// `probe` of the bound folder, with steps.
fn launch(bench: &Bench, target: &Path, steps: &[&str]) -> Launch {
    let mut launch = bench.launch(steps);
    let program = target.join(probe().file_name().unwrap());
    program.to_str().unwrap().clone_into(&mut launch.program);
    launch
}

pub(crate) fn what_is_bound_for_a_job_is_seen_by_its_programs_alone(bench: &Bench) {
    if !can(bench) {
        return;
    }
    let target = bench.folder.path().join("view");
    let file = target.join("file").to_str().unwrap().to_owned();
    let jobs = ["one", "two"].map(|name| {
        let source = folder(bench, name);
        (name, job(bench, &source, &target, false))
    });
    for (name, job) in &jobs {
        let (reader, stdout) = pipe::output().unwrap();
        let streams = Streams {
            stdout: Some(stdout),
            ..Streams::default()
        };
        let launch = launch(bench, &target, &["show", &file]);
        let process = job.spawn(&launch, streams, bench.identity.as_ref());
        let text = read(reader).unwrap();
        assert_eq!(ended(process.unwrap().as_ref()), 0, "{text}");
        assert_eq!(text.trim_end(), *name);
    }
    assert_eq!(bench.host.storage().entry(&target).unwrap(), None);
    let outside = bench.start(
        bench.job().as_ref(),
        &launch(bench, &target, &["exit", "0"]),
    );
    assert_eq!(kind(outside), ErrorKind::NotFound);
}

pub(crate) fn what_is_bound_read_only_is_read_and_not_written(bench: &Bench) {
    if !can(bench) {
        return;
    }
    let (source, target) = (folder(bench, "source"), bench.folder.path().join("view"));
    let file = target.join("file").to_str().unwrap().to_owned();
    for (read_only, code) in [(true, FAILED), (false, 0)] {
        let job = job(bench, &source, &target, read_only);
        let launch = launch(bench, &target, &["write", &file, "new"]);
        let process = bench.start(job.as_ref(), &launch).unwrap();
        assert_eq!(ended(process.as_ref()), code);
        let text = fs::read_to_string(source.join("file")).unwrap();
        assert_eq!(text == "new", !read_only, "{text}");
    }
}

pub(crate) fn what_is_bound_goes_with_its_job(bench: &Bench) {
    if !can(bench) {
        return;
    }
    let (source, target) = (folder(bench, "source"), bench.folder.path().join("view"));
    let first = job(bench, &source, &target, false);
    let name = first.name().to_owned();
    drop(first);
    let second = bench.host.create_job(&name).unwrap();
    let refused = bench.start(second.as_ref(), &launch(bench, &target, &["exit", "0"]));
    assert_eq!(kind(refused), ErrorKind::NotFound);
    assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "source");
}

pub(crate) fn a_program_that_is_not_in_what_is_bound_is_not_found(bench: &Bench) {
    if !can(bench) {
        return;
    }
    let (source, target) = (folder(bench, "source"), bench.folder.path().join("view"));
    let job = job(bench, &source, &target, false);
    let mut launch = launch(bench, &target, &["exit", "0"]);
    let program = target.join("missing.exe");
    program.to_str().unwrap().clone_into(&mut launch.program);
    assert_eq!(
        kind(bench.start(job.as_ref(), &launch)),
        ErrorKind::NotFound
    );
    assert_eq!(job.usage().unwrap().active_processes, 0);
}
