//! Does what was planned.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::containerd_config::{DROP_IN, with_import, without_import};
use super::look::file_name;
use super::plan::Step;
use super::{Error, PROGRAMS, Places};
use crate::record::replace::{self, RealDisk};
use crate::sys::Services;

/// How long a service may take to start or to stop.
const PATIENCE: Duration = Duration::from_mins(2);

/// Does the steps in their order, telling each to `say` before it is done. `services` is none where containerd is restarted
/// by somebody else.
///
/// # Errors
/// [`Error`]; what was done before stays, and a second call goes on from there. Only a containerd that does not start with its
/// new configuration gets the former one back.
pub fn apply(
    places: &Places,
    steps: &[Step],
    services: Option<&dyn Services>,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let former = places.read_config()?;
    for step in steps {
        match step {
            Step::PlaceProgram(index) => place(places, *index, say)?,
            Step::RemoveProgram(index) => remove(places, *index, say)?,
            Step::WriteDropIn => {
                say(&format!("write {}", places.drop_in.display()));
                replace(&places.drop_in, DROP_IN.as_bytes())?;
            }
            Step::RemoveDropIn => {
                say(&format!("remove {}", places.drop_in.display()));
                remove_file(&places.drop_in)?;
            }
            Step::AddImport | Step::RemoveImport => edit(places, *step, say)?,
            Step::Restart => match services {
                Some(services) => restart_or_undo(places, services, &former, say)?,
                None => say("containerd must be restarted before pods can use this"),
            },
        }
    }
    Ok(())
}

fn edit(places: &Places, step: Step, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let config = places.read_config()?;
    let edited = if step == Step::AddImport {
        with_import(&config, places.folder(), &places.drop_in)
    } else {
        without_import(&config, &places.drop_in)
    };
    let edited = edited.map_err(|source| Error::Config {
        path: places.config.clone(),
        source,
    })?;
    let Some(edited) = edited else { return Ok(()) };
    say(&format!("edit `imports` of {}", places.config.display()));
    replace(&places.config, edited.as_bytes())
}

/// A program that runs cannot be overwritten on Windows, but renamed.
fn place(places: &Places, index: usize, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let Some(name) = PROGRAMS.get(index) else {
        return Ok(());
    };
    let (source, target) = files(places, name);
    say(&format!("put {} beside containerd", target.display()));
    let bytes = fs::read(&source).map_err(Error::file("read the program", &source))?;
    put_aside(&target)?;
    replace(&target, &bytes)?;
    copy_rights(&source, &target)
}

fn remove(places: &Places, index: usize, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let Some(name) = PROGRAMS.get(index) else {
        return Ok(());
    };
    let (_, target) = files(places, name);
    say(&format!("remove {}", target.display()));
    put_aside(&target)
}

fn files(places: &Places, name: &str) -> (PathBuf, PathBuf) {
    let file = file_name(name);
    (places.source.join(&file), places.containerd.join(&file))
}

/// Takes a program away. One that runs is renamed, and removed by a later call.
fn put_aside(program: &Path) -> Result<(), Error> {
    for number in 0..=9 {
        let aside = program.with_extension(format!("{number}.old"));
        // One that still runs stays; so a free name is looked for.
        let is_free = match fs::remove_file(&aside) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if !is_free {
            continue;
        }
        return match fs::rename(program, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::file("rename", program)(error)),
            Ok(()) => {
                // It runs, or is gone now.
                drop(fs::remove_file(&aside));
                Ok(())
            }
        };
    }
    let error = io::Error::other("ten former ones of it still run; restart the node, or end them");
    Err(Error::file("rename", program)(error))
}

/// The right to run it, where that is one of the file.
fn copy_rights(source: &Path, target: &Path) -> Result<(), Error> {
    let rights = fs::metadata(source).map_err(Error::file("read", source))?;
    let set = fs::set_permissions(target, rights.permissions());
    set.map_err(Error::file("set the rights of", target))
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::file("remove", path)),
    }
}

/// Replaces a file as a whole: a reader sees the former or the new one, also after a crash.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    fs::create_dir_all(folder).map_err(Error::file("make the folder", folder))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let replaced = replace::replace(&RealDisk, folder, &name, bytes);
    replaced.map_err(Error::file("replace", path))
}

fn restart_or_undo(
    places: &Places,
    services: &dyn Services,
    former: &str,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let name = places.service.as_str();
    let order = services.dependents(name);
    let mut order = order.map_err(Error::service("list what needs", name))?;
    order.push(name.to_owned());
    // The same services come back after a failure: those that were stopped are no longer among the running ones.
    let Err(error) = restart(services, &order, say) else {
        return Ok(());
    };
    if places.read_config()? == former {
        return Err(error);
    }
    say("containerd did not start: put its former configuration back");
    replace(&places.config, former.as_bytes())?;
    let runs_again = restart(services, &order, say).is_ok();
    Err(Error::NotStarted {
        runs_again,
        source: Box::new(error),
    })
}

/// Stops services in this order, and starts them in the other. Where one does not stop, those before it are started again.
fn restart(
    services: &dyn Services,
    order: &[String],
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let stopped = order.iter().try_for_each(|service| {
        say(&format!("stop the service {service}"));
        let stopped = services.stop(service, PATIENCE);
        stopped.map_err(Error::service("stop", service))
    });
    let started = order.iter().rev().try_for_each(|service| {
        say(&format!("start the service {service}"));
        let started = services.start(service, PATIENCE);
        started.map_err(Error::service("start", service))
    });
    stopped.and(started)
}
