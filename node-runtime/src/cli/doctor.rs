//! `doctor`: what this host can do, what will be used, and what to do about the rest.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use super::arguments::Output;
use super::context::Context;
use super::error::CommandError;
use super::findings::{Answer, Finding, findings};
use super::output;
use crate::keeper::protocol::chain;
use crate::launch;
use crate::record;
use crate::sys::{Launch, Streams, User};

/// How long the program that is run for a trial may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// `doctor`. Fails where containers cannot run.
pub(super) fn doctor(context: &Context) -> Result<u32, CommandError> {
    let mut findings = findings(&context.host.features(), &context.places);
    findings.push(records(context));
    findings.push(program(context));
    let broken = findings.iter().filter(|it| it.answer == Answer::Broken);
    let broken = broken.count();
    let printed = match context.output(Output::Table) {
        Output::Json => output::json(&findings),
        Output::Table => {
            let lines: Vec<String> = findings.iter().map(lines).collect();
            output::text_line(&lines.join("\n"))
        }
    };
    printed.map_err(CommandError::Print)?;
    if broken > 0 {
        return Err(CommandError::Unfit(broken));
    }
    Ok(0)
}

/// What was found, what follows and what to do, on lines of their own: they are sentences, no cells.
fn lines(finding: &Finding) -> String {
    let Finding {
        about,
        answer,
        means,
        fix,
    } = finding;
    let mut lines = format!("{:<7} {about}\n        {means}", answer.word());
    if let Some(fix) = fix {
        lines.push_str("\n        → ");
        lines.push_str(fix);
    }
    lines
}

/// Whether there is a place for records.
fn records(context: &Context) -> Finding {
    let root = context.root.display();
    let (answer, means, fix) = match context.store() {
        Ok(_) => (
            Answer::Yes,
            format!("they are in {root}, for administrators only"),
            None,
        ),
        Err(error) => {
            let is_wrong_place = matches!(
                error,
                CommandError::Record(record::Error::NoFolder { .. } | record::Error::Link { .. })
            );
            let fix = if is_wrong_place {
                "name another folder with --root"
            } else {
                "run as administrator, or name another folder with --root"
            };
            (Answer::Broken, chain(&error), Some(fix.to_owned()))
        }
    };
    Finding {
        about: "records",
        answer,
        means,
        fix,
    }
}

/// Whether a program really runs in a job: this one, saying its version to nobody.
fn program(context: &Context) -> Finding {
    let (answer, means) = match try_program(context) {
        Ok(true) => (
            Answer::Yes,
            "one was run in a job and ended as it should".to_owned(),
        ),
        Ok(false) => (
            Answer::Broken,
            "one that was run in a job did not end as it should".to_owned(),
        ),
        Err(error) => (Answer::Broken, error.to_string()),
    };
    Finding {
        about: "a program in a job",
        answer,
        means,
        fix: (answer == Answer::Broken)
            .then(|| "run as administrator; if that does not help, the message says what the system refused".to_owned()),
    }
}

fn try_program(context: &Context) -> io::Result<bool> {
    let host = &context.host;
    let name = format!("hosttask-doctor-{}", std::process::id());
    let job = host.create_job(&name)?;
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    let arguments = vec![program.clone(), "--version".to_owned()];
    let identity = host.log_on(&User::Inherit, &name)?;
    let launch = Launch {
        command_line: launch::quote(&arguments),
        program,
        arguments,
        directory: context.root.to_string_lossy().into_owned(),
        environment: identity.environment()?,
        console: None,
        suspended: false,
        drop_privileges: BTreeSet::new(),
    };
    let process = job.spawn(&launch, Streams::default(), identity.as_ref())?;
    Ok(process.wait(PATIENCE)? == Some(0))
}
