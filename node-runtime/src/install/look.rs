//! Where everything is on this node, and what of it is as it should be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::containerd_config::{DROP_IN, with_import, without_import};
use super::plan::{Found, Standing};
use super::{Error, PROGRAMS, Places};
use crate::launch;
use crate::sys::Services;

/// What was said on the command line. What is none is found out.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The folder of the programs to install.
    pub source: PathBuf,
    /// The folder of `containerd.exe`.
    pub containerd: Option<PathBuf>,
    /// containerd's configuration.
    pub config: Option<PathBuf>,
    /// The name of containerd's service.
    pub service: String,
}

/// Finds out where everything is.
///
/// # Errors
/// [`Error::Service`] and [`Error::NoProgram`] where something has to be found out and cannot.
pub fn look(services: Option<&dyn Services>, asked: &Asked) -> Result<Places, Error> {
    let line = || {
        let services = services.ok_or(Error::NoServices)?;
        let line = services.command_line(&asked.service);
        line.map_err(Error::service("read how to start", &asked.service))
    };
    let (containerd, config) = match (&asked.containerd, &asked.config) {
        (Some(containerd), Some(config)) => (containerd.clone(), config.clone()),
        (containerd, config) => {
            let started = Started::parse(&line()?);
            let folder = containerd.clone().or(started.folder);
            let folder = folder.ok_or_else(|| Error::NoProgram {
                name: asked.service.clone(),
            })?;
            // containerd's own default on Windows is a file of this name beside its program, where its documentation puts both.
            let config = config.clone().or(started.config);
            let config = config.unwrap_or_else(|| folder.join("config.toml"));
            (folder, config)
        }
    };
    let beside = config.parent().unwrap_or_else(|| Path::new(""));
    Ok(Places {
        source: asked.source.clone(),
        drop_in: beside.join("conf.d").join("hosttask.toml"),
        containerd,
        config,
        service: asked.service.clone(),
    })
}

/// What the line says by which a service is started.
#[derive(Debug, PartialEq, Eq)]
struct Started {
    folder: Option<PathBuf>,
    config: Option<PathBuf>,
}

impl Started {
    fn parse(line: &str) -> Self {
        let arguments = launch::split(line);
        let mut config = None;
        let mut rest = arguments.iter().skip(1);
        while let Some(argument) = rest.next() {
            let flag = argument.trim_start_matches('-');
            if flag.len() == argument.len() {
                continue;
            }
            match flag.split_once('=') {
                Some(("config" | "c", path)) => config = Some(PathBuf::from(path)),
                None if ["config", "c"].contains(&flag) => config = rest.next().map(PathBuf::from),
                _ => {}
            }
        }
        let program = arguments.first().map(|it| it.replace('/', "\\"));
        let folder = program
            .as_deref()
            .and_then(|it| it.rsplit_once('\\'))
            .map(|(folder, _)| PathBuf::from(folder));
        Self { folder, config }
    }
}

impl Places {
    /// What of an installation is there.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::NoConfig`] and [`Error::Config`].
    pub fn found(&self, containers: usize) -> Result<Found, Error> {
        let programs = PROGRAMS.map(|name| self.program(name));
        let programs: Result<Vec<_>, _> = programs.into_iter().collect();
        let config = self.read_config()?;
        let failed = |source| Error::Config {
            path: self.config.clone(),
            source,
        };
        let with = with_import(&config, self.folder(), &self.drop_in).map_err(failed)?;
        let without = without_import(&config, &self.drop_in).map_err(failed)?;
        Ok(Found {
            programs: programs?,
            drop_in: match read(&self.drop_in)? {
                None => Standing::Missing,
                Some(text) if text == DROP_IN.as_bytes() => Standing::Current,
                Some(_) => Standing::Different,
            },
            import: if with.is_none() {
                Standing::Current
            } else {
                Standing::Missing
            },
            import_is_ours: without.is_some(),
            containers,
        })
    }

    fn program(&self, name: &str) -> Result<Standing, Error> {
        let file = file_name(name);
        let source = self.source.join(&file);
        let wanted = fs::read(&source).map_err(Error::file("read the program", &source))?;
        Ok(match read(&self.containerd.join(&file))? {
            None => Standing::Missing,
            Some(there) if there == wanted => Standing::Current,
            Some(_) => Standing::Different,
        })
    }

    pub(super) fn read_config(&self) -> Result<String, Error> {
        match fs::read_to_string(&self.config) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoConfig {
                path: self.config.clone(),
            }),
            Err(error) => Err(Error::file("read", &self.config)(error)),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        self.config.parent().unwrap_or_else(|| Path::new(""))
    }
}

/// The file of a program on this system.
pub(super) fn file_name(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_service_names_the_folder_and_the_configuration() {
        let cases = [
            (
                r#""C:\Program Files\containerd\containerd.exe" --run-service"#,
                Some(r"C:\Program Files\containerd"),
                None,
            ),
            (
                r"C:\k\containerd.exe --run-service --service-name containerd --config C:\k\c.toml",
                Some(r"C:\k"),
                Some(r"C:\k\c.toml"),
            ),
            (
                r#"C:/k/containerd.exe -c "C:\a b\c.toml" -l debug"#,
                Some(r"C:\k"),
                Some(r"C:\a b\c.toml"),
            ),
            (
                r"C:\k\containerd.exe --config=D:\x.toml",
                Some(r"C:\k"),
                Some(r"D:\x.toml"),
            ),
            ("containerd.exe", None, None),
            ("", None, None),
        ];
        for (line, folder, config) in cases {
            let expected = Started {
                folder: folder.map(PathBuf::from),
                config: config.map(PathBuf::from),
            };
            assert_eq!(Started::parse(line), expected, "{line}");
        }
    }
}
