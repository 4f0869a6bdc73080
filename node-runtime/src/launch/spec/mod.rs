//! `spec`: the OCI `config.json` to a plan, or to every problem with it.

use super::annotation::Annotations;
use super::field::{Fields, Refusal};
use super::limits::Asked;
use super::problem::Problems;
use super::process::Process;
use super::{Context, Plan, ProcessPlan, document, mount, process, root, user};
use crate::sys::User;

/// The first number of the versions of the OCI runtime spec that can be read.
const VERSION: &str = "1.";

/// Sections that say what kind of container this is.
const SECTIONS: &[Refusal] = &[
    ("linux", "this is for Linux containers; leave it out"),
    ("solaris", "this is for Solaris; leave it out"),
    (
        "vm",
        "this is for containers in virtual machines; leave it out",
    ),
    ("zos", "this is for z/OS; leave it out"),
    ("freebsd", "this is for FreeBSD; leave it out"),
];

const REFUSALS: &[Refusal] = &[
    ("hooks", "this runtime runs no hooks; leave them out"),
    (
        "domainname",
        "the container has the domain of the host; leave it out",
    ),
];

const WINDOWS_SECTIONS: &[Refusal] = &[(
    "hyperv",
    "a HostProcess container is not in a virtual machine; leave it out",
)];

const WINDOWS_REFUSALS: &[Refusal] = &[
    (
        "devices",
        "a HostProcess container sees the devices of the host; leave them out",
    ),
    (
        "credentialSpec",
        "group managed service accounts do not work in HostProcess containers; leave it out",
    ),
    (
        "servicing",
        "a HostProcess container has no Windows of its own to be updated; leave it out",
    ),
];

const NETWORK: &str = "a HostProcess container has the network of the host; leave it out";

const NETWORK_REFUSALS: &[Refusal] = &[
    ("endpointList", NETWORK),
    ("DNSSearchList", NETWORK),
    ("networkSharedContainerName", NETWORK),
    ("networkNamespace", NETWORK),
];

/// Reads a config. Pure: nothing of the host is looked at.
///
/// Unknown fields are refused, as are those that ask for something nobody can do here. What a program writes that fills in
/// every field (`null`, `0`, `""`, empty) asks for nothing. Two fields mean nothing where the host is not hidden and are let
/// through, as containerd always sends them: `hostname`, which the kubelet sets to the host's, and
/// `windows.ignoreFlushesDuringBoot`.
///
/// # Errors
/// All problems at once, each with the place, the rule and the fix; never a secret.
pub fn plan(config: &[u8], context: &Context<'_>) -> Result<Plan, Problems> {
    let mut problems = Problems::default();
    let Some(spec) = document::read(config, &mut problems) else {
        return Err(problems);
    };
    let plan = whole(spec, context, &mut problems);
    problems.unless_any(plan)
}

fn whole(mut spec: Fields, context: &Context<'_>, problems: &mut Problems) -> Option<Plan> {
    version(&mut spec, problems);
    spec.refuse_section(SECTIONS, problems);
    spec.refuse(REFUSALS, problems);
    spec.pass(&["hostname"]);
    let mut asked = Asked::default();
    let layer_folders = windows(&mut spec, &mut asked, problems);
    let annotations = spec.text_map("annotations", problems);
    let read = Annotations::read(&annotations, context, &mut asked, problems);
    let limits = asked.limits(context.features, context.places.processors, problems);
    let expected_root = match &read.location {
        Some(location) => location.clone(),
        None => context.places.container_root.clone(),
    };
    let mounts = spec.objects("mounts", problems);
    let mounts = mount::read(mounts, &expected_root, context, problems);
    let root = spec.object("root", problems);
    let location = read.location.clone();
    let root = root::read(
        root,
        layer_folders,
        location,
        context.places.rules,
        problems,
    );
    let process = spec.object("process", problems);
    if process.is_none() {
        problems.add("process", "it is missing; say what is run");
    }
    spec.finish(problems);
    let process = process::read(process?, context, problems)?;
    let user = user_of(&process, &read, context, problems)?;
    let user_name = process.user_name.clone();
    let process = process.plan(user, expected_root, &read);
    Some(Plan {
        process,
        root,
        mounts,
        limits,
        user_name,
        annotations,
    })
}

fn version(spec: &mut Fields, problems: &mut Problems) {
    let version = spec.text("ociVersion", problems).unwrap_or_default();
    if !version.starts_with(VERSION) {
        let rule = "only versions 1.x of the OCI runtime spec can be read; correct it";
        problems.add_value("ociVersion", &version, rule);
    }
}

/// Reads `windows`, and returns its layer folders.
fn windows(spec: &mut Fields, asked: &mut Asked, problems: &mut Problems) -> Vec<String> {
    let Some(mut windows) = spec.object("windows", problems) else {
        return Vec::new();
    };
    windows.refuse_section(WINDOWS_SECTIONS, problems);
    windows.refuse(WINDOWS_REFUSALS, problems);
    windows.pass(&["ignoreFlushesDuringBoot"]);
    if let Some(mut network) = windows.object("network", problems) {
        network.refuse(NETWORK_REFUSALS, problems);
        // How names are looked up is the host's, where it is always allowed.
        network.pass(&["allowUnqualifiedDNSQuery"]);
        network.finish(problems);
    }
    if let Some(resources) = windows.object("resources", problems) {
        asked.read(resources, problems);
    }
    let layer_folders = windows.texts("layerFolders", problems);
    windows.finish(problems);
    layer_folders
}

fn user_of(
    process: &Process,
    annotations: &Annotations,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<User> {
    if annotations.inherit_user {
        return Some(User::Inherit);
    }
    let user = user::parse(context.places.rules, &process.user_name);
    let user = user
        .map_err(|rule| problems.add_value(&process.user_path, &process.user_name, rule))
        .ok()?;
    check_log_on(&user, process, context, problems);
    Some(user)
}

/// Whether the host can log the user on.
fn check_log_on(user: &User, process: &Process, context: &Context<'_>, problems: &mut Problems) {
    let can = match user {
        User::System | User::LocalService | User::NetworkService => {
            context.features.service_accounts
        }
        User::Group(_) => context.features.group_accounts,
        User::Inherit => true,
    };
    if !can {
        let rule = "this host cannot log that user on; start the runtime as the system, or set the annotation microsoft.com/hostprocess-inherit-user to run as the runtime does";
        problems.add_value(&process.user_path, &process.user_name, rule);
    }
}

/// Reads an OCI `process` object that is to be started in a container.
///
/// It has its own user, folder, variables and console. An empty folder is the container's. What the container's processes lack
/// (privileges, batch files), it lacks too.
///
/// # Errors
/// All problems at once. A user that may do more than the container's is one.
pub fn exec(process: &[u8], plan: &Plan, context: &Context<'_>) -> Result<ProcessPlan, Problems> {
    let mut problems = Problems::default();
    let Some(fields) = document::read(process, &mut problems) else {
        return Err(problems);
    };
    let of_container = &plan.process;
    let read = process::read(fields, context, &mut problems);
    let made = read.and_then(|process| {
        let container = (plan.user_name.as_str(), &of_container.user);
        let rules = context.places.rules;
        let user = user::for_exec(rules, &process.user_name, container, &mut problems)?;
        if user != of_container.user {
            check_log_on(&user, &process, context, &mut problems);
        }
        let directory = if process.directory.is_empty() {
            of_container.directory.clone()
        } else {
            process.directory
        };
        Some(ProcessPlan {
            user,
            command: process.command,
            directory,
            environment: process.environment,
            console: process.console,
            ..of_container.clone()
        })
    });
    problems.unless_any(made)
}

impl Process {
    fn plan(self, user: User, expected_root: String, annotations: &Annotations) -> ProcessPlan {
        ProcessPlan {
            user,
            command: self.command,
            directory: self.directory,
            expected_root,
            environment: self.environment,
            console: self.console,
            drop_privileges: annotations.drop_privileges.clone(),
            allow_batch: annotations.allow_batch,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
