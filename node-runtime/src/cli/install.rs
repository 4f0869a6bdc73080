//! `install` and `uninstall`: the runtime in containerd of this node.

use std::io::{self, Write as _};

use serde::Serialize;

use super::arguments::{Install, Node, Output, Uninstall};
use super::context::Context;
use super::error::CommandError;
use super::output;
use crate::install::{self, Asked, Found, PROGRAMS, Places, Standing, Step, Target};
use crate::sys::{Services, services};

/// The exit code of `install --check` where something is to be done.
const NOT_INSTALLED: u32 = 1;

/// What was found, and what was or would be done.
#[derive(Serialize)]
struct Report<'a> {
    places: Shown,
    found: &'a Found,
    steps: &'a [Step],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    containerd: String,
    config: String,
    drop_in: String,
    service: String,
}

/// `install`.
pub(super) fn install(context: &Context, command: &Install) -> Result<u32, CommandError> {
    let services = services::native();
    let (places, found) = survey(context, &command.node, services.as_deref())?;
    let steps = install::plan(&found, Target::Installed);
    if command.check {
        print(context, &places, &found, &steps)?;
        return Ok(if steps.is_empty() { 0 } else { NOT_INSTALLED });
    }
    act(context, &command.node, &places, &steps, services.as_deref())?;
    print(context, &places, &found, &steps)?;
    Ok(0)
}

/// `uninstall`.
pub(super) fn uninstall(context: &Context, command: &Uninstall) -> Result<u32, CommandError> {
    let services = services::native();
    let (places, found) = survey(context, &command.node, services.as_deref())?;
    if found.containers > 0 && !command.force {
        return Err(CommandError::StillUsed(found.containers));
    }
    let steps = install::plan(&found, Target::Gone);
    act(context, &command.node, &places, &steps, services.as_deref())?;
    print(context, &places, &found, &steps)?;
    Ok(0)
}

fn survey(
    context: &Context,
    node: &Node,
    services: Option<&dyn Services>,
) -> Result<(Places, Found), CommandError> {
    let source = if let Some(folder) = &node.from {
        folder.clone()
    } else {
        let program = std::env::current_exe();
        let program = program.map_err(CommandError::file("find", "this program"))?;
        program.parent().map(ToOwned::to_owned).unwrap_or_default()
    };
    let asked = Asked {
        source,
        containerd: node.containerd.clone(),
        config: node.config.clone(),
        service: node.service.clone(),
    };
    let places = install::look(services, &asked)?;
    let containers = context.shim_containers()?;
    let found = places.found(containers)?;
    Ok((places, found))
}

fn act(
    context: &Context,
    node: &Node,
    places: &Places,
    steps: &[Step],
    services: Option<&dyn Services>,
) -> Result<(), CommandError> {
    let is_quiet = context.output(Output::Table) == Output::Json;
    let mut say = |line: &str| {
        if !is_quiet {
            // Who does not listen does not stop it.
            drop(writeln!(io::stderr(), "{line}"));
        }
    };
    let services = services.filter(|_| !node.no_restart);
    install::apply(places, steps, services, &mut say)?;
    Ok(())
}

fn print(
    context: &Context,
    places: &Places,
    found: &Found,
    steps: &[Step],
) -> Result<(), CommandError> {
    let printed = match context.output(Output::Table) {
        Output::Json => output::json(&Report {
            places: Shown {
                containerd: places.containerd.display().to_string(),
                config: places.config.display().to_string(),
                drop_in: places.drop_in.display().to_string(),
                service: places.service.clone(),
            },
            found,
            steps,
        }),
        Output::Table => output::table(&["WHAT", "WHERE", "FOUND"], rows(places, found)),
    };
    printed.map_err(CommandError::Print)
}

fn rows(places: &Places, found: &Found) -> Vec<Vec<String>> {
    let word = |standing: Standing| match standing {
        Standing::Missing => "missing",
        Standing::Different => "another one",
        Standing::Current => "as it should be",
    };
    let programs = PROGRAMS.iter().zip(&found.programs);
    let mut rows: Vec<Vec<String>> = programs
        .map(|(name, standing)| {
            let folder = places.containerd.display().to_string();
            vec![(*name).to_owned(), folder, word(*standing).to_owned()]
        })
        .collect();
    let drop_in = places.drop_in.display().to_string();
    let config = places.config.display().to_string();
    rows.push(vec![
        "drop-in".to_owned(),
        drop_in,
        word(found.drop_in).to_owned(),
    ]);
    rows.push(vec![
        "import".to_owned(),
        config,
        word(found.import).to_owned(),
    ]);
    let containers = found.containers.to_string();
    rows.push(vec![
        "containers".to_owned(),
        "this node".to_owned(),
        containers,
    ]);
    rows
}
