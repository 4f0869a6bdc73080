//! The account: `spec.runAs`, and what a container may say instead.

use hosttask_crds::task::{Account, RunAs};

use super::found::{Found, rules};
use crate::build::account_name;
use crate::desired::Identity;

rules! {
    RUN_AS_CHOICE: Hosttask, "spec.runAs",
        "must say exactly one of account (System, LocalService, NetworkService, Inherit) and localGroup";
    LOCAL_GROUP: ApiServer, "spec.runAs.localGroup",
        "is no name of a local group; give the bare name, 1 to 104 characters without a domain, control characters and any of \" / \\ : ; | = , + * ? < > @ [ ]";
    ACCOUNT: Hcsshim, "…securityContext.windowsOptions.runAsUserName",
        "is no account that a HostProcess container can run as; use NT AUTHORITY\\SYSTEM, NT AUTHORITY\\LocalService or NT AUTHORITY\\NetworkService, with the domain in capitals, or the bare name of a local group";
    CEILING: Hosttask, "…containers[*].securityContext.windowsOptions.runAsUserName",
        "is another account than spec.runAs; remove it, or set spec.runAs to {account: System}, under which a container may name a lesser account";
    POD_ACCOUNT: Hosttask, "spec.template.spec.securityContext.windowsOptions.runAsUserName",
        "contradicts spec.runAs, where the account of the task is said; remove it";
}

/// What Kubernetes forbids in the name of a Windows user or group.
const FORBIDDEN: &str = "\"/\\:;|=,+*?<>@[]";
/// The longest name of a user or group that the API server accepts.
const LONGEST: usize = 104;
/// Names that a user may mistake for groups: the first three need their domain, the others exist only in images.
const NO_GROUPS: [&str; 5] = [
    "system",
    "localservice",
    "networkservice",
    "containeradministrator",
    "containeruser",
];

/// Decodes `spec.runAs`.
pub(super) fn identity(run_as: &RunAs, found: &mut Found) -> Option<Identity> {
    match (run_as.account, run_as.local_group.as_deref()) {
        (Some(account), None) => Some(Identity::Account(account)),
        (None, Some(group)) if is_group(group) => Some(Identity::LocalGroup(group.to_owned())),
        (None, Some(group)) => {
            found.report(
                &LOCAL_GROUP,
                "spec.runAs.localGroup".to_owned(),
                Some(&group),
            );
            None
        }
        (None, None) | (Some(_), Some(_)) => {
            found.report(&RUN_AS_CHOICE, "spec.runAs".to_owned(), None);
            None
        }
    }
}

/// Judges a `runAsUserName` by itself.
pub(super) fn account(name: &str, field: &str, found: &mut Found) {
    if !is_usable(name) {
        found.report(&ACCOUNT, field.to_owned(), Some(&name));
    }
}

/// Judges the `runAsUserName` of one container beside `spec.runAs`.
///
/// Kubernetes lets a container override the pod. Here `spec.runAs` is the most a container may have, because that field
/// is what reviewers and policies look at: under System a container may name a lesser account, else it can only repeat
/// the task's.
pub(super) fn within(name: &str, run_as: &Identity, field: &str, found: &mut Found) {
    let is_lesser = *run_as == Identity::Account(Account::System);
    // An unusable name is reported as such, once.
    if is_usable(name) && !is_lesser && !is_same(name, run_as) {
        found.report(&CEILING, field.to_owned(), Some(&name));
    }
}

/// Judges the `runAsUserName` of the whole pod: the operator fills it in, the user may only repeat it.
pub(super) fn of_pod(name: &str, run_as: &Identity, field: &str, found: &mut Found) {
    if !is_same(name, run_as) {
        found.report(&POD_ACCOUNT, field.to_owned(), Some(&name));
    }
}

fn is_same(name: &str, run_as: &Identity) -> bool {
    account_name(run_as).is_some_and(|account| canonical(account) == canonical(name))
}

/// Windows compares account names without case, and knows the services with and without a space.
fn canonical(name: &str) -> String {
    let lower = name.to_lowercase();
    match lower.split_once('\\') {
        Some((domain, user)) => format!("{domain}\\{}", user.replace(' ', "")),
        None => lower,
    }
}

fn is_usable(name: &str) -> bool {
    match name.split_once('\\') {
        // hcsshim compares the domain case-sensitively when it chooses the service logon.
        Some((domain, _)) => {
            domain == "NT AUTHORITY"
                && ["system", "localservice", "networkservice"]
                    .iter()
                    .any(|service| canonical(name) == format!("nt authority\\{service}"))
        }
        None => is_group(name),
    }
}

fn is_group(name: &str) -> bool {
    !name.is_empty()
        && name.chars().count() <= LONGEST
        && !name
            .chars()
            .any(|it| it.is_control() || FORBIDDEN.contains(it))
        && !name.chars().all(|it| it == '.' || it == ' ')
        && !NO_GROUPS.contains(&name.to_lowercase().replace(' ', "").as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_usable_exactly_where_the_host_knows_it() {
        let long = "a".repeat(104);
        for name in [
            r"NT AUTHORITY\SYSTEM",
            r"NT AUTHORITY\system",
            r"NT AUTHORITY\Local service",
            r"NT AUTHORITY\NetworkService",
            "Administrators",
            "hpc-localgroup",
            "Performance Log Users",
            &long,
        ] {
            assert!(is_usable(name), "{name}");
        }
        let too_long = "a".repeat(105);
        for name in [
            "",
            r"nt authority\SYSTEM",
            r"NT AUTHORITY\Administrators",
            r"CORP\svc",
            r"\SYSTEM",
            r"NT AUTHORITY\",
            r"NT AUTHORITY\a\b",
            "SYSTEM",
            "Local Service",
            "ContainerAdministrator",
            "user@corp.example",
            "a:b",
            " . ",
            "tab\there",
            &too_long,
        ] {
            assert!(!is_usable(name), "{name}");
        }
    }

    #[test]
    fn run_as_is_the_most_a_container_may_have() {
        let system = Identity::Account(Account::System);
        let service = Identity::Account(Account::LocalService);
        let inherit = Identity::Account(Account::Inherit);
        let group = Identity::LocalGroup("Operators".into());
        let is_refused = |name: &str, run_as: &Identity| {
            let mut found = Found::default();
            within(name, run_as, "f", &mut found);
            !found.is_empty()
        };
        assert!(!is_refused(r"NT AUTHORITY\LocalService", &system));
        assert!(!is_refused("Operators", &system));
        assert!(!is_refused(r"NT AUTHORITY\Local service", &service));
        assert!(!is_refused("operators", &group));
        assert!(is_refused(r"NT AUTHORITY\SYSTEM", &service));
        assert!(is_refused("Administrators", &service));
        assert!(is_refused(r"NT AUTHORITY\SYSTEM", &group));
        assert!(is_refused(r"NT AUTHORITY\SYSTEM", &inherit));
    }
}
