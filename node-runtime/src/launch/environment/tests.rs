//! Tables of variables.

use std::collections::BTreeSet;

use super::super::{Command, Surroundings};
use super::*;
use crate::sys::User;
use crate::sys::fake::places_of;

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    entries.iter().map(owned).collect()
}

fn of(user: &[(&str, &str)], config: &[(&str, &str)]) -> BTreeMap<String, String> {
    let process = ProcessPlan {
        user: User::Inherit,
        command: Command::Line(String::new()),
        directory: String::new(),
        expected_root: r"C:\hpc\".to_owned(),
        environment: map(config),
        console: None,
        drop_privileges: BTreeSet::new(),
        allow_batch: false,
    };
    let surroundings = Surroundings {
        places: &places_of(Rules::Windows),
        root: r"C:\hpc\web\",
        user_environment: &map(user),
        is_file: &|_| false,
        is_folder: &|_| false,
    };
    resolve(&process, &View::new(&surroundings, &process.expected_root)).unwrap()
}

#[test]
fn a_value_of_the_config_is_set_over_the_users_whatever_the_case_of_its_name() {
    let user = [
        ("Temp", r"C:\t"),
        ("SystemRoot", r"C:\WINDOWS"),
        ("=C:", r"C:\x"),
    ];
    let all = of(&user, &[("TEMP", ""), ("ä", "1"), ("Ä", "2")]);
    let expected = [
        ("=C:", r"C:\x"),
        ("CONTAINER_SANDBOX_MOUNT_POINT", r"C:\hpc\web\"),
        (
            "PATH",
            r"C:\Windows\System32;C:\Windows;C:\hpc\web\;C:\Windows\System32\WindowsPowerShell\v1.0\;C:\Windows\System32\Wbem",
        ),
        ("SystemRoot", r"C:\WINDOWS"),
        ("TEMP", ""),
        ("ä", "1"),
    ];
    assert_eq!(all, map(&expected));
}

#[test]
fn path_gets_what_it_lacks_and_nothing_twice() {
    let end = r"C:\hpc\web\;C:\Windows\System32\WindowsPowerShell\v1.0\;C:\Windows\System32\Wbem";
    let table = [
        (r"C:\Windows\system32;C:\Windows", format!(r"C:\Windows\system32;C:\Windows;{end}")),
        (r"C:\a;", format!(r"C:\a;{end}")),
        ("", end.to_owned()),
        (end, end.to_owned()),
        (r"C:\hpc;C:\hpc\bin", format!(r"C:\hpc\web\;C:\hpc\web\bin;{}", end.split_once(';').unwrap().1)),
        (
            r"%CONTAINER_SANDBOX_MOUNT_POINT%\bin;c:\windows\system32\wbem\",
            r"C:\hpc\web\bin;c:\windows\system32\wbem\;C:\hpc\web\;C:\Windows\System32\WindowsPowerShell\v1.0\".to_owned(),
        ),
        ("ATH=;TAP", format!("ATH=;TAP;{end}")),
    ];
    for (given, expected) in table {
        let all = of(&[("PATH", r"C:\never")], &[("Path", given)]);
        assert_eq!(all.get("Path"), Some(&expected), "{given}");
        assert!(!all.contains_key("PATH"));
    }
}

#[test]
fn the_mount_point_is_replaced_in_both_spellings_and_cannot_be_changed() {
    let config = [
        (
            "A",
            r"%CONTAINER_SANDBOX_MOUNT_POINT%\a;$env:CONTAINER_SANDBOX_MOUNT_POINT/b",
        ),
        (
            "B",
            "%container_sandbox_mount_point%%CONTAINER_SANDBOX_MOUNT_POINT%",
        ),
        (
            "C",
            "$env:CONTAINER_SANDBOX_MOUNT_POINT_OLD $env:CONTAINER_SANDBOX_MOUNT_POINT.",
        ),
        ("D", "100% of %PATH% for $5 and ä%"),
        ("container_sandbox_mount_point", "mine"),
    ];
    let all = of(&[], &config);
    let value = |name: &str| all.get(name).unwrap().as_str();
    assert_eq!(value("A"), r"C:\hpc\web\a;C:\hpc\web/b");
    assert_eq!(value("B"), r"C:\hpc\webC:\hpc\web");
    assert_eq!(
        value("C"),
        r"$env:CONTAINER_SANDBOX_MOUNT_POINT_OLD C:\hpc\web."
    );
    assert_eq!(value("D"), "100% of %PATH% for $5 and ä%");
    assert_eq!(value("CONTAINER_SANDBOX_MOUNT_POINT"), r"C:\hpc\web\");
    assert!(!all.contains_key("container_sandbox_mount_point"));
    assert_eq!(value("SYSTEMROOT"), r"C:\Windows");
}

#[test]
fn entries_of_a_config_are_read_strictly() {
    let mut problems = Problems::default();
    let entries = [
        "A=1", "a=2", "B=", "C==x", "D", "=C:=C:\\", "=", "E=\0", "\0=x",
    ];
    let entries = entries.map(str::to_owned).to_vec();
    let read = read(entries, "env", Rules::Windows, &mut problems);
    assert_eq!(read, map(&[("a", "2"), ("B", ""), ("C", "=x")]));
    let paths: Vec<_> = problems.list().iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["env[4]", "env[5]", "env[6]", "env[7]", "env[8]"]);
    let both = super::read(
        vec!["A=1".to_owned(), "a=2".to_owned()],
        "env",
        Rules::Posix,
        &mut problems,
    );
    assert_eq!(both, map(&[("A", "1"), ("a", "2")]));
}

#[test]
fn a_variable_may_have_as_many_characters_as_windows_takes_and_no_more() {
    let mut problems = Problems::default();
    let fits = format!("A={}", "ä".repeat(32_764));
    let over = format!("{fits}x");
    let read = read(vec![fits, over], "env", Rules::Windows, &mut problems);
    assert_eq!(read.len(), 1);
    assert_eq!(problems.list().len(), 1);
}
