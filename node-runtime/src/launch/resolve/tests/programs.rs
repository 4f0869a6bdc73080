//! Which file a name means, and what is no program.

use super::*;

#[test]
fn the_image_comes_before_the_host_and_the_systems_folder_is_the_hosts() {
    let table = [
        (r"C:\app\own.exe", r"C:\hpc\web\app\own.exe"),
        ("/bin/planted.exe", r"C:\hpc\web\bin\planted.exe"),
        (r"\bin\planted", r"C:\hpc\web\bin\planted.exe"),
        (r"C:\hpc\bin\uname", r"C:\hpc\web\bin\uname.exe"),
        (r"C:\hpc\web\bin\uname", r"C:\hpc\web\bin\uname.exe"),
        (r"C:\dir\test.exe", r"C:\dir\test.exe"),
        (r"C:\windows\notepad", r"C:\windows\notepad.exe"),
        (r"\\?\C:\dir\test.exe", r"C:\dir\test.exe"),
        ("chcp", r"C:\Windows\system32\chcp.com"),
        ("notepad", r"C:\Windows\notepad.exe"),
        (r"C:\dir\plain", r"C:\dir\plain"),
    ];
    for (name, program) in table {
        assert_eq!(
            started(arguments(&[name]), "").unwrap().program,
            program,
            "{name}"
        );
    }
}

#[test]
fn a_program_in_the_current_folder_is_taken_only_where_the_folder_is_the_images() {
    let found = |directory, name| started(arguments(&[name]), directory).unwrap().program;
    assert_eq!(found(r"C:\app", "cmd.exe"), r"C:\hpc\web\app\cmd.exe");
    assert_eq!(
        found(r"C:\app", "tool-v1.2"),
        r"C:\hpc\web\app\tool-v1.2.exe"
    );
    assert_eq!(found(r"C:\dir", "cmd.exe"), r"C:\Windows\system32\cmd.exe");
    assert_eq!(found(r"C:\dir", "test"), r"C:\dir\test.exe");
}

#[test]
fn a_search_path_has_only_full_paths() {
    let name = process(arguments(&["test"]), "");
    for path in [
        ".",
        "dir",
        r"\dir",
        "C:dir",
        r"\\host\dir",
        ";;",
        r"C:\dir.",
    ] {
        let error = on_windows(&name, path).unwrap_err();
        let ResolveError::NotFound { tried, .. } = error else {
            panic!("{error}");
        };
        assert!(
            !tried.is_empty() && tried.iter().all(|it| !it.contains("dir")),
            "{tried:?}"
        );
    }
    for path in [r#""C:\dir""#, r"C:\x;c:/dir/;C:\y"] {
        assert!(on_windows(&name, path).is_ok(), "{path}");
    }
    let led = process(arguments(&["uname"]), "");
    assert!(on_windows(&led, r"C:\hpc\bin").is_ok());
}

#[test]
fn what_is_no_program_is_refused_with_the_reason() {
    let refused = |name: &str| started(arguments(&[name]), "").unwrap_err();
    assert!(matches!(
        refused(r"bin\setup.cmd"),
        ResolveError::Batch { .. }
    ));
    assert!(matches!(
        refused(r"%CONTAINER_SANDBOX_MOUNT_POINT%\start.ps1"),
        ResolveError::Script { .. }
    ));
    assert!(matches!(
        refused(r"bin\setup"),
        ResolveError::NotFound { .. }
    ));
    let bad = [
        "setup.cmd.",
        "setup.cmd ",
        r"bin\setup.cmd::$DATA",
        "uname.exe:x",
        "NUL",
        r"C:\con.exe",
        r"\\host\share\x.exe",
        r"\\.\C:\x.exe",
        r"\\?\GLOBALROOT\Device\x.exe",
        r"..\..\..\..\x.exe",
        "C:x.exe",
        "a\"b",
        "a*",
    ];
    for name in bad {
        let error = refused(name);
        assert!(
            matches!(error, ResolveError::Program { .. }),
            "{name}: {error}"
        );
    }
    let ResolveError::NotFound { tried, .. } = refused("nothing") else {
        panic!("something was found");
    };
    assert!(
        tried.contains(&r"C:\hpc\web\nothing.exe".to_owned()),
        "{tried:?}"
    );
    assert!(
        tried.contains(&r"C:\Windows\nothing".to_owned()),
        "{tried:?}"
    );
}

#[test]
fn a_batch_file_that_is_allowed_is_run_by_cmd_with_every_argument_in_quotes() {
    let mut process = process(arguments(&["setup", "a&b"]), "bin");
    process.allow_batch = true;
    let launch = on_windows(&process, "").unwrap();
    assert_eq!(launch.program, r"C:\Windows\System32\cmd.exe");
    let line = r#"cmd.exe /d /e:on /v:off /s /c ""C:\hpc\web\bin\setup.cmd" "a&b"""#;
    assert_eq!(launch.command_line, line);
    process.command = arguments(&["setup", "%PATH%"]);
    let error = on_windows(&process, "").unwrap_err();
    assert!(matches!(
        error,
        ResolveError::BatchArgument { number: 1, .. }
    ));
}
