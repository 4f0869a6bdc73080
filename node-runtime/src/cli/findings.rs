//! What the features of a host mean for containers, and what to do about those it lacks. Pure.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::sys::{Features, LimitKind, Means, Places};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) about: &'static str,
    /// What was found.
    pub(super) answer: Answer,
    /// What follows from it.
    pub(super) means: String,
    /// What to do; none where nothing has to be done, or nothing can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Answer {
    /// It is there.
    Yes,
    /// It is not, and containers run without.
    No,
    /// It is not, and no container can run.
    Broken,
}

impl Answer {
    /// The word for a table.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Broken => "BROKEN",
        }
    }
}

/// What the features of a host mean.
pub(super) fn findings(features: &Features, places: &Places) -> Vec<Finding> {
    let view = features.silo && features.bind_filter;
    let why = features.view_refused.as_ref();
    let why = why.map(|why| format!("; here: {why}")).unwrap_or_default();
    let without_view = format!("Windows Server 2022 or newer has it; containers run without{why}");
    let mut findings = vec![
        backend(features),
        either(
            features.nested_jobs,
            "a job in a job",
            "the job of a container lies in that of its pod, and limits of both hold",
            "a container has a job of its own, but pods have none",
            Some("Windows Server 2012 or newer has it"),
        ),
        root(features, places, view),
        either(
            view,
            "a view of the files of its own (silo and bind filter)",
            "every container sees its root at the same place, and only its own",
            "the root of a container is visible to the whole host, each at a place of its own",
            Some(&without_view),
        ),
    ];
    findings.extend(limits(features));
    findings.extend(accounts(features));
    findings.push(either(
        features.pseudo_console,
        "pseudo consoles",
        "`terminal: true` and `exec --tty` work",
        "`terminal: true` is refused",
        Some("Windows Server 2019 or newer has them"),
    ));
    findings.push(either(
        features.suspend,
        "pausing",
        "`pause` and `resume` work",
        "`pause` is refused",
        None,
    ));
    findings
}

fn backend(features: &Features) -> Finding {
    let (answer, means, fix) = match features.backend.as_str() {
        "windows" if features.system.to_lowercase().contains("wine") => (
            Answer::No,
            "Wine: jobs and processes are real, limits are accepted but not enforced, users are all the same",
            Some("use it for tests; run on Windows for work"),
        ),
        "windows" => (Answer::Yes, "containers are job objects", None),
        _ => (
            Answer::No,
            "containers are groups of processes: for tests and demonstrations, not for work",
            Some("run on Windows for HostProcess containers"),
        ),
    };
    Finding {
        about: "Windows",
        answer,
        means: format!("{}; {means}", features.system),
        fix: fix.map(str::to_owned),
    }
}

fn root(features: &Features, places: &Places, view: bool) -> Finding {
    let place = if view {
        places.container_root.clone()
    } else {
        let separator = if places.container_root.ends_with('\\') {
            '\\'
        } else {
            '/'
        };
        format!("{}ID{separator}", places.container_root)
    };
    let best = features.means.first().map(|means| match means {
        Means::BindFilter => "the bind filter",
        Means::BindMount => "a bind mount",
        Means::VolumeMountPoint => "a mount point of a volume",
        Means::Junction => "a junction",
        Means::Symlink => "a symbolic link",
    });
    match best {
        Some(best) => Finding {
            about: "the root of an image",
            answer: Answer::Yes,
            means: format!("it appears at {place} by {best}"),
            fix: None,
        },
        None => Finding {
            about: "the root of an image",
            answer: Answer::No,
            means: "it stays where it is, and mounts are refused".to_owned(),
            fix: Some("run as administrator: links need a privilege".to_owned()),
        },
    }
}

fn limits(features: &Features) -> Vec<Finding> {
    let all = [
        LimitKind::JobMemory,
        LimitKind::ProcessMemory,
        LimitKind::CpuCap,
        LimitKind::CpuWeight,
        LimitKind::Affinity,
        LimitKind::ActiveProcesses,
        LimitKind::Priority,
        LimitKind::UserInterface,
        LimitKind::NetworkRate,
        LimitKind::IoRate,
    ];
    let lacks: BTreeSet<LimitKind> = all
        .into_iter()
        .filter(|kind| !features.limits.contains(kind))
        .collect();
    let names = |kinds: &BTreeSet<LimitKind>| {
        let names: Vec<&str> = kinds.iter().map(|kind| name(*kind)).collect();
        names.join(", ")
    };
    vec![
        Finding {
            about: "limits",
            answer: if lacks.is_empty() {
                Answer::Yes
            } else {
                Answer::No
            },
            means: format!("the system accepts: {}", names(&features.limits)),
            fix: (!lacks.is_empty()).then(|| {
                format!(
                    "a config that asks for one of these is refused: {}",
                    names(&lacks)
                )
            }),
        },
        either(
            features.limit_notices,
            "news of limits that were reached",
            "a container that was refused memory is reported as such",
            "a container that was refused memory just fails",
            None,
        ),
        either(
            features.job_memory_usage && features.job_io_usage,
            "memory and I/O of the whole job",
            "`stats` has all its fields",
            "`stats` leaves out what the system does not count",
            None,
        ),
    ]
}

fn accounts(features: &Features) -> Vec<Finding> {
    vec![
        either(
            features.service_accounts,
            "service accounts",
            r"`NT AUTHORITY\SYSTEM`, `LocalService` and `NetworkService` can be the user",
            "only whoever runs this can be the user (`microsoft.com/hostprocess-inherit-user`)",
            Some("run as LocalSystem, for example as a service"),
        ),
        either(
            features.group_accounts,
            "temporary accounts in a local group",
            "a local group can be the user",
            "a local group as the user is refused",
            Some("run as administrator"),
        ),
    ]
}

fn either(is: bool, about: &'static str, yes: &str, no: &str, fix: Option<&str>) -> Finding {
    Finding {
        about,
        answer: if is { Answer::Yes } else { Answer::No },
        means: if is { yes } else { no }.to_owned(),
        fix: fix.filter(|_| !is).map(str::to_owned),
    }
}

/// The name of a limit, for people.
fn name(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::JobMemory => "memory of the container",
        LimitKind::ProcessMemory => "memory of a process",
        LimitKind::CpuCap => "processor cap",
        LimitKind::CpuWeight => "processor weight",
        LimitKind::Affinity => "affinity",
        LimitKind::ActiveProcesses => "number of processes",
        LimitKind::Priority => "priority",
        LimitKind::UserInterface => "desktop",
        LimitKind::NetworkRate => "network rate",
        LimitKind::IoRate => "I/O rate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Rules;
    use crate::sys::fake::places_of;

    #[test]
    fn a_host_that_can_do_nothing_is_told_what_to_do_and_what_is_refused() {
        let findings = findings(&Features::default(), &places_of(Rules::Windows));
        let root = findings
            .iter()
            .find(|it| it.about == "the root of an image");
        assert!(root.unwrap().fix.is_some());
        let limits = findings.iter().find(|it| it.about == "limits").unwrap();
        assert!(limits.fix.as_ref().unwrap().contains("I/O rate"));
        assert!(findings.iter().all(|it| it.answer == Answer::No));
    }

    #[test]
    fn the_place_of_the_root_depends_on_whether_the_container_has_a_view_of_its_own() {
        let mut features = Features {
            means: vec![Means::Junction],
            ..Features::default()
        };
        let place = |features: &Features| {
            let findings = findings(features, &places_of(Rules::Windows));
            let found = findings
                .iter()
                .find(|it| it.about == "the root of an image");
            found.unwrap().means.clone()
        };
        assert_eq!(place(&features), r"it appears at C:\hpc\ID\ by a junction");
        features.view_refused = Some("access denied".to_owned());
        let fixes: Vec<String> = findings(&features, &places_of(Rules::Windows))
            .into_iter()
            .filter_map(|it| it.fix)
            .collect();
        assert!(fixes.iter().any(|fix| fix.ends_with("here: access denied")));
        features.silo = true;
        features.bind_filter = true;
        features.means = vec![Means::BindFilter];
        assert_eq!(
            place(&features),
            r"it appears at C:\hpc\ by the bind filter"
        );
    }

    #[test]
    fn wine_is_not_taken_for_windows() {
        let features = Features {
            backend: "windows".to_owned(),
            system: "Windows 10.0.19043 (Wine 8.0)".to_owned(),
            ..Features::default()
        };
        assert_eq!(backend(&features).answer, Answer::No);
    }
}
