//! `user`: who a process runs as, from the name in the config. Every spelling that Windows would take for another is refused.
//!
//! A name is compared here once and never again: what a policy checked is what runs (CVE-2021-25749, CVE-2026-46680).

use super::problem::Problems;
use crate::sys::{Rules, User};

/// The most characters of a local group's name.
const LONGEST: usize = 256;

/// What a name of a group must not have, by `NetLocalGroupAdd`.
const FORBIDDEN: &[char] = &[
    '"', '/', '\\', '[', ']', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@',
];

/// Reads the name of a user.
///
/// | name | who |
/// | --- | --- |
/// | `NT AUTHORITY\SYSTEM`, `\LocalService`, `\NetworkService`, in any case, the last two also as two words | that service account |
/// | `S-1-5-18`, `-19`, `-20` | the same |
/// | `group`, `.\group`, `BUILTIN\group` | a temporary account in that local group |
///
/// Everything else is refused: it would need a password. On Linux only no name at all is let through.
pub(super) fn parse(rules: Rules, name: &str) -> Result<User, &'static str> {
    if rules == Rules::Posix {
        return match name {
            "" => Ok(User::Inherit),
            _ => Err("this host cannot change the user; leave it out"),
        };
    }
    if name.is_empty() {
        return Err(
            "it is empty; name a service account such as NT AUTHORITY\\LocalService, or a local group, or set the annotation microsoft.com/hostprocess-inherit-user",
        );
    }
    if name.starts_with([' ', '.']) && !name.starts_with(".\\") || name.ends_with([' ', '.']) {
        return Err("it starts or ends with a space or a dot, which Windows would cut; remove it");
    }
    match name.split_once('\\') {
        None => alone(name),
        Some((domain, account)) if is_same(domain, "NT AUTHORITY") => service(account),
        Some((domain, group)) if domain == "." || is_same(domain, "BUILTIN") => group_of(group),
        Some(_) => Err(
            "only NT AUTHORITY, BUILTIN and . can stand before the backslash, as other accounts need a password; in another language of Windows use the English name or the SID, as S-1-5-18",
        ),
    }
}

/// A name without a domain.
fn alone(name: &str) -> Result<User, &'static str> {
    match name.to_ascii_uppercase().as_str() {
        "S-1-5-18" => return Ok(User::System),
        "S-1-5-19" => return Ok(User::LocalService),
        "S-1-5-20" => return Ok(User::NetworkService),
        "CONTAINERADMINISTRATOR" | "CONTAINERUSER" => {
            return Err(
                "this account exists only inside of Windows Server containers; set runAsUserName to NT AUTHORITY\\LocalService, another service account or a local group",
            );
        }
        upper if upper.starts_with("S-1-") => {
            return Err("a SID can only be S-1-5-18, S-1-5-19 or S-1-5-20; write the group's name");
        }
        _ => {}
    }
    if service(name).is_ok() || is_same(name, "LocalSystem") {
        return Err("write NT AUTHORITY\\ before the name of a service account");
    }
    group_of(name)
}

fn service(account: &str) -> Result<User, &'static str> {
    let squeezed = account.to_ascii_lowercase();
    match squeezed.as_str() {
        "system" => Ok(User::System),
        "localservice" | "local service" => Ok(User::LocalService),
        "networkservice" | "network service" => Ok(User::NetworkService),
        _ => Err("of NT AUTHORITY only SYSTEM, LocalService and NetworkService can run a process"),
    }
}

fn group_of(name: &str) -> Result<User, &'static str> {
    let is_bad = |it: char| it.is_control() || FORBIDDEN.contains(&it);
    if name.contains(is_bad) {
        return Err("it has a character that no local group has; correct the name");
    }
    if name.chars().all(|it| matches!(it, '.' | ' ')) || name.starts_with(' ') {
        return Err("it names no local group; correct the name");
    }
    if name.chars().count() > LONGEST {
        return Err("it is too long for a local group; correct the name");
    }
    Ok(User::Group(name.to_owned()))
}

/// ASCII only: a letter that merely looks the same makes another name.
fn is_same(name: &str, expected: &str) -> bool {
    name.eq_ignore_ascii_case(expected)
}

/// Who a process runs as that is started in a running container.
///
/// No name, and the name of the container's own config (containerd repeats it with every exec), are the container's user.
/// Another must be one that can do less.
pub(super) fn for_exec(
    rules: Rules,
    name: &str,
    container: (&str, &User),
    problems: &mut Problems,
) -> Option<User> {
    let (container_name, container_user) = container;
    if name.is_empty() || is_same(name, container_name) {
        return Some(container_user.clone());
    }
    let user = match parse(rules, name) {
        Ok(user) => user,
        Err(rule) => {
            problems.add_value("user.username", name, rule);
            return None;
        }
    };
    if !can_less_or_same(&user, container_user) {
        problems.add_value(
            "user.username",
            name,
            "it may do more than the container's own user, or something else; leave it out or choose one that may do less",
        );
        return None;
    }
    Some(user)
}

/// Whether a user can do nothing that the other cannot. Where that is not certain, it is false.
fn can_less_or_same(user: &User, other: &User) -> bool {
    match (user, other) {
        (User::Group(name), User::Group(other)) => name.to_lowercase() == other.to_lowercase(),
        (User::Inherit, User::System) => false,
        // Whoever runs the runtime is an administrator; whether it is the system is not known here.
        (_, User::System) | (User::LocalService | User::NetworkService, User::Inherit) => true,
        _ => user == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(name: &str) -> Result<User, &'static str> {
        parse(Rules::Windows, name)
    }

    #[test]
    fn a_service_account_has_many_good_spellings() {
        let table = [
            (r"NT AUTHORITY\SYSTEM", User::System),
            (r"nt authority\system", User::System),
            (r"Nt Authority\Local service", User::LocalService),
            (r"NT AUTHORITY\LOCALSERVICE", User::LocalService),
            (r"NT AUTHORITY\Network Service", User::NetworkService),
            (r"NT AUTHORITY\networkservice", User::NetworkService),
            ("S-1-5-18", User::System),
            ("s-1-5-19", User::LocalService),
            ("S-1-5-20", User::NetworkService),
        ];
        for (name, user) in table {
            assert_eq!(windows(name), Ok(user), "{name}");
        }
    }

    #[test]
    fn a_local_group_can_be_written_three_ways() {
        for name in [
            "hpc-localgroup",
            r".\hpc-localgroup",
            r"builtin\hpc-localgroup",
        ] {
            let group = User::Group("hpc-localgroup".to_owned());
            assert_eq!(windows(name), Ok(group), "{name}");
        }
        let group = |name: &str| Ok(User::Group(name.to_owned()));
        assert_eq!(
            windows("Remote Desktop Users"),
            group("Remote Desktop Users")
        );
        assert_eq!(windows("Administratoren"), group("Administratoren"));
    }

    #[test]
    fn what_windows_would_take_for_something_else_is_refused() {
        let long = "g".repeat(LONGEST + 1);
        let bad = [
            "",
            " ",
            ".",
            r".\",
            r".\ x",
            r".\.",
            "SYSTEM",
            "system ",
            "SYSTEM.",
            " SYSTEM",
            "LocalSystem",
            "Network Service",
            r".\SYSTEM ",
            r"NT AUTHORITY\SYSTEM ",
            r"NT AUTHORITY\SYSTEM.",
            r" NT AUTHORITY\SYSTEM",
            r"NT AUTHORITY \SYSTEM",
            r"NT AUTHORITY\\SYSTEM",
            r"NT  AUTHORITY\SYSTEM",
            r"NTAUTHORITY\SYSTEM",
            r"NT AUTHORITY/SYSTEM",
            r"NT AUTHORITY\ANONYMOUS LOGON",
            r"NT AUTHORITY\",
            r"NT-AUTORITÄT\SYSTEM",
            // The E and the S of another alphabet.
            r"NT AUTHORITY\SYSTΕM",
            r"NT AUTHORITY\ЅYSTEM",
            r"NT SERVICE\TrustedInstaller",
            r"HOST\Administrator",
            "user@example.com",
            "ContainerUser",
            "containeradministrator",
            "S-1-5-32-544",
            "S-1-5-18-1",
            "a\0b",
            "a\nb",
            "a/b",
            long.as_str(),
        ];
        for name in bad {
            assert!(windows(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn an_exec_can_never_do_more_than_its_container() {
        let group = |name: &str| User::Group(name.to_owned());
        let all = [
            User::Inherit,
            User::System,
            User::LocalService,
            User::NetworkService,
            group("a"),
        ];
        let less = |other: &User| -> Vec<User> {
            let users = all.iter().filter(|user| can_less_or_same(user, other));
            users.cloned().collect()
        };
        let [inherit, system, local, network, a] = all.clone();
        assert_eq!(
            less(&inherit),
            [inherit.clone(), local.clone(), network.clone()]
        );
        assert_eq!(
            less(&system),
            [system.clone(), local.clone(), network.clone(), a.clone()]
        );
        assert_eq!(less(&local), [local]);
        assert_eq!(less(&network), [network]);
        assert_eq!(less(&a), std::slice::from_ref(&a));
        assert_eq!(less(&group("A")), [a]);
        assert_eq!(less(&group("b")), []);
    }

    #[test]
    fn the_containers_own_spelling_is_the_containers_user() {
        let mut problems = Problems::default();
        let container = (r"NT AUTHORITY\SYSTEM", &User::Inherit);
        let mut user = |name| for_exec(Rules::Windows, name, container, &mut problems);
        assert_eq!(user(""), Some(User::Inherit));
        assert_eq!(user(r"nt authority\system"), Some(User::Inherit));
        assert_eq!(user(r"NT AUTHORITY\LocalService"), Some(User::LocalService));
        assert_eq!(user("S-1-5-18"), None);
        assert_eq!(user("Administrators"), None);
        assert_eq!(problems.list().len(), 2);
    }

    #[test]
    fn linux_runs_everything_as_itself() {
        assert_eq!(parse(Rules::Posix, ""), Ok(User::Inherit));
        assert!(parse(Rules::Posix, "root").is_err());
    }
}
