//! Tables of programs, folders and lines, on a host that has just these files.

mod programs;

use std::collections::BTreeSet;

use super::*;
use crate::sys::fake::places_of;
use crate::sys::{Places, User};

/// The root of the container, where there is no bind filter.
const ROOT: &str = r"C:\hpc\web\";

const FILES: &[&str] = &[
    r"C:\Windows\System32\ping.exe",
    r"C:\Windows\System32\cmd.exe",
    r"C:\Windows\System32\chcp.com",
    r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe",
    r"C:\Windows\notepad.exe",
    // A host folder that anybody could write to.
    r"C:\dir\cmd.exe",
    r"C:\dir\test.exe",
    r"C:\dir\test 2.exe",
    r"C:\dir\exe with space.exe",
    r"C:\dir\plain",
    r"C:\bin\planted.exe",
    r"C:\Program.exe",
    r"C:\Program Files\app\x.exe",
    r"C:\app\own.exe",
    // The image.
    r"C:\hpc\web\bin\uname.exe",
    r"C:\hpc\web\bin\planted.exe",
    r"C:\hpc\web\bin\setup.cmd",
    r"C:\hpc\web\start.ps1",
    r"C:\hpc\web\app\own.exe",
    r"C:\hpc\web\app\cmd.exe",
    r"C:\hpc\web\app\tool-v1.2.exe",
];

const FOLDERS: &[&str] = &[
    r"C:\",
    r"C:\Windows",
    r"C:\Windows\System32",
    r"C:\dir",
    r"C:\app",
    r"C:\hpc\web",
    r"C:\hpc\web\bin",
    r"C:\hpc\web\app",
    r"C:\hpc\web\Windows",
];

fn has(all: &[&str], path: &str) -> bool {
    all.iter().any(|it| it.eq_ignore_ascii_case(path))
}

fn process(command: Command, directory: &str) -> ProcessPlan {
    ProcessPlan {
        user: User::Inherit,
        command,
        directory: directory.to_owned(),
        expected_root: r"C:\hpc\".to_owned(),
        environment: BTreeMap::new(),
        console: None,
        drop_privileges: BTreeSet::new(),
        allow_batch: false,
    }
}

fn on_windows(process: &ProcessPlan, path: &str) -> Result<Launch, ResolveError> {
    let environment = BTreeMap::from([("Path".to_owned(), path.to_owned())]);
    let surroundings = Surroundings {
        places: &places_of(Rules::Windows),
        root: ROOT,
        user_environment: &environment,
        is_file: &|path| has(FILES, path),
        is_folder: &|path| has(FOLDERS, path),
    };
    resolve(process, &surroundings)
}

fn arguments(words: &[&str]) -> Command {
    Command::Arguments(words.iter().map(|&it| it.to_owned()).collect())
}

fn started(command: Command, directory: &str) -> Result<Launch, ResolveError> {
    on_windows(&process(command, directory), r"C:\Windows\system32")
}

#[test]
fn a_line_finds_its_program_as_the_table_of_today_says_but_for_the_search_by_growing_prefixes() {
    let ping = r"C:\Windows\System32\ping.exe";
    let table = [
        ("ping", r"C:\", ping),
        ("system32/ping", r"C:\windows", ping),
        (r"system32\ping", r"C:\windows", ping),
        (
            "cmd /c ping 127.0.0.1",
            r"C:\",
            r"C:\Windows\System32\cmd.exe",
        ),
        (r#""ping" 127.0.0.1"#, r"C:\", ping),
        ("test 2", r"C:\dir", r"C:\dir\test.exe"),
        (r#""test 2.exe""#, r"C:\dir", r"C:\dir\test 2.exe"),
        (r"C:\dir\test", r"C:\", r"C:\dir\test.exe"),
    ];
    for (line, directory, program) in table {
        let launch = started(Command::Line(line.to_owned()), directory).unwrap();
        assert!(
            launch.program.eq_ignore_ascii_case(program),
            "{line}: {}",
            launch.program
        );
        assert_eq!(launch.command_line, line);
    }
    let error = started(Command::Line("exe with space.exe".to_owned()), r"C:\dir").unwrap_err();
    assert!(matches!(error, ResolveError::NotFound { .. }));
    assert!(
        error.to_string().ends_with("in quotes if it has spaces"),
        "{error}"
    );
}

#[test]
fn an_unquoted_path_never_means_a_program_with_a_shorter_name() {
    let refused = [
        r"C:\Program Files\app\x.exe",
        r"C:\Program Files\app\x.exe -a",
        r"C:\Program x",
        r"C:/Program Files/app/x.exe",
        r"system32\ping 127.0.0.1",
    ];
    for line in refused {
        let error = started(Command::Line(line.to_owned()), r"C:\Windows").unwrap_err();
        assert!(
            matches!(error, ResolveError::Unquoted { .. }),
            "{line}: {error}"
        );
    }
    let fine = [
        (
            r#""C:\Program Files\app\x.exe" -a"#,
            r"C:\Program Files\app\x.exe",
        ),
        (r"C:\Program.exe -a", r"C:\Program.exe"),
        (
            r"system32\ping.exe 127.0.0.1",
            r"C:\Windows\system32\ping.exe",
        ),
    ];
    for (line, program) in fine {
        let launch = started(Command::Line(line.to_owned()), r"C:\Windows").unwrap();
        assert_eq!(launch.program, program);
    }
    let words = started(arguments(&[r"C:\Program Files\app\x.exe", "a b"]), "").unwrap();
    assert_eq!(words.command_line, r#""C:\Program Files\app\x.exe" "a b""#);
}

/// Every combination of command, arguments and folder in the end-to-end test of Kubernetes, `test/e2e/windows/host_process.go`.
#[test]
fn the_33_combinations_of_the_kubernetes_test_find_their_programs() {
    let (uname, cmd) = (r"C:\hpc\web\bin\uname.exe", r"C:\Windows\System32\cmd.exe");
    let powershell = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe";
    let p = "%CONTAINER_SANDBOX_MOUNT_POINT%";
    let e = "$env:CONTAINER_SANDBOX_MOUNT_POINT";
    let table: [(&str, &str, &str); 33] = [
        ("cmd.exe /c ver", "", cmd),
        (r"System32\cmd.exe /c ver", r"c:\Windows", cmd),
        (r"System32\cmd.exe /c ver", r"c:\Windows\", cmd),
        (r"P\bin\uname.exe -o", "", uname),
        ("P/bin/uname.exe -o", "", uname),
        (r"P\bin/uname.exe -o", "", uname),
        ("bin/uname.exe -o", "", uname),
        ("bin/uname.exe -o", "P", uname),
        (r"bin\uname.exe -o", "P", uname),
        ("uname.exe -o", "P/bin", uname),
        ("uname.exe -o", "P/bin/", uname),
        ("uname.exe -o", r"P\bin\", uname),
        ("powershell cmd.exe /ver", "", powershell),
        (
            "powershell c:/Windows/System32/cmd.exe /c ver",
            "",
            powershell,
        ),
        (
            r"powershell c:\Windows\System32/cmd.exe /c ver",
            "",
            powershell,
        ),
        (r"powershell P\bin\uname.exe -o", "", powershell),
        (r"powershell E\bin\uname.exe -o", "", powershell),
        ("powershell P/bin/uname.exe -o", "", powershell),
        ("powershell E/bin/uname.exe -o", "", powershell),
        ("powershell bin/uname.exe -o", "P", powershell),
        ("powershell bin/uname.exe -o", "E", powershell),
        (r"powershell bin\uname.exe -o", "E", powershell),
        (r"powershell .\uname.exe -o", "P/bin", powershell),
        ("powershell ./uname.exe -o", "P/bin", powershell),
        ("powershell ./uname.exe -o", r"E\bin\", powershell),
        (r"P\bin\uname.exe -o", "", uname),
        (r"bin\uname.exe -o", "P", uname),
        ("uname.exe -o", r"P\bin", uname),
        (r"cmd.exe /c dir P\bin\uname.exe", "", cmd),
        (r"cmd.exe /c dir bin\uname.exe", "P", cmd),
        (
            r"powershell Get-ChildItem -Path E\bin\uname.exe",
            "",
            powershell,
        ),
        (
            r"powershell Get-ChildItem -Path bin\uname.exe",
            "E",
            powershell,
        ),
        (
            "powershell Get-ChildItem -Path uname.exe",
            "E/bin",
            powershell,
        ),
    ];
    for (words, directory, program) in table {
        let put = |word: &str| match word.chars().next() {
            Some('P') => word.replacen('P', p, 1),
            Some('E') => word.replacen('E', e, 1),
            _ => word.to_owned(),
        };
        let words: Vec<_> = words.split(' ').map(put).collect();
        // With no folder, containerd sends the place of the root.
        let folders = match directory {
            "" => vec![String::new(), r"C:\hpc".to_owned()],
            _ => vec![put(directory)],
        };
        for folder in folders {
            let launch = started(Command::Arguments(words.clone()), &folder).unwrap();
            assert!(
                launch.program.eq_ignore_ascii_case(program),
                "{words:?} in {folder}"
            );
            assert!(!launch.command_line.contains("MOUNT_POINT"));
            assert!(has(FOLDERS, &launch.directory), "{}", launch.directory);
        }
    }
}

#[test]
fn a_folder_is_the_images_own_or_one_that_the_host_has() {
    let table = [
        ("", r"C:\hpc\web"),
        (r"C:\", r"C:\hpc\web"),
        ("c:", r"C:\hpc\web"),
        ("/", r"C:\hpc\web"),
        ("bin", r"C:\hpc\web\bin"),
        (r".\new\..\bin\", r"C:\hpc\web\bin"),
        ("new", r"C:\hpc\web\new"),
        ("%CONTAINER_SANDBOX_MOUNT_POINT%/new", r"C:\hpc\web\new"),
        ("$Env:container_sandbox_mount_point", r"C:\hpc\web"),
        (r"C:\hpc", r"C:\hpc\web"),
        (r"c:\HPC\new\", r"C:\hpc\web\new"),
        (r"C:\app", r"C:\hpc\web\app"),
        (r"\bin", r"C:\hpc\web\bin"),
        (r"C:\dir", r"C:\dir"),
        ("c:/windows/system32/", r"C:\windows\system32"),
    ];
    for (text, directory) in table {
        let launch = started(arguments(&["ping"]), text).unwrap();
        assert_eq!(launch.directory, directory, "{text}");
    }
    for text in [r"C:\nowhere", r"C:\Windows\nowhere", r"D:\x"] {
        let error = started(arguments(&["ping"]), text).unwrap_err();
        assert!(
            matches!(error, ResolveError::DirectoryNotFound { .. }),
            "{text}: {error}"
        );
    }
    for text in [
        "..",
        r"bin\..\..",
        r"\\host\x",
        "C:x",
        r"C:\a:b",
        "NUL",
        r"C:\x.",
    ] {
        let error = started(arguments(&["ping"]), text).unwrap_err();
        assert!(
            matches!(error, ResolveError::Directory { .. }),
            "{text}: {error}"
        );
    }
}

#[test]
fn with_a_bind_filter_the_root_is_where_the_config_expects_it() {
    let files = [r"C:\hpc\bin\uname.exe", r"C:\app\own.exe"];
    let surroundings = Surroundings {
        places: &places_of(Rules::Windows),
        root: r"C:\hpc\",
        user_environment: &BTreeMap::new(),
        is_file: &|path| has(&files, path),
        is_folder: &|path| has(&[r"C:\app"], path),
    };
    let found = |name, directory| {
        let launch = resolve(&process(arguments(&[name]), directory), &surroundings).unwrap();
        (launch.program, launch.directory)
    };
    let uname = r"C:\hpc\bin\uname.exe".to_owned();
    assert_eq!(
        found("uname", r"C:\hpc\bin"),
        (uname.clone(), r"C:\hpc\bin".to_owned())
    );
    assert_eq!(found("bin/uname", ""), (uname, r"C:\hpc".to_owned()));
    let own = (r"C:\app\own.exe".to_owned(), r"C:\app".to_owned());
    assert_eq!(found(r".\own.exe", r"C:\app"), own);
}

#[test]
fn a_line_or_a_variable_that_is_too_long_for_windows_is_refused() {
    let long = "x".repeat(40_000);
    let error = started(arguments(&["ping", &long]), "").unwrap_err();
    assert_eq!(error, ResolveError::LineTooLong { length: 40_005 });
    let fits = "x".repeat(LONGEST_LINE - 5);
    assert!(started(arguments(&["ping", &fits]), "").is_ok());
    let mut process = process(arguments(&["ping"]), "");
    process.environment.insert("A".to_owned(), long);
    let name = "A".to_owned();
    assert_eq!(
        on_windows(&process, ""),
        Err(ResolveError::VariableTooLong { name })
    );
}

#[test]
fn a_root_with_a_space_stays_one_word_of_a_line() {
    let surroundings = Surroundings {
        places: &places_of(Rules::Windows),
        root: r"C:\my roots\web\",
        user_environment: &BTreeMap::new(),
        is_file: &|path| path == r"C:\my roots\web\x.exe",
        is_folder: &|_| true,
    };
    let line = r"%CONTAINER_SANDBOX_MOUNT_POINT%\x.exe -a".to_owned();
    let launch = resolve(&process(Command::Line(line), ""), &surroundings).unwrap();
    assert_eq!(launch.command_line, r#""C:\my roots\web\x.exe" -a"#);
    assert_eq!(launch.arguments, [r"C:\my roots\web\x.exe", "-a"]);
}

#[test]
fn linux_has_arguments_as_they_are() {
    let places = Places {
        rules: Rules::Posix,
        windows: String::new(),
        system: "/usr/bin".to_owned(),
        container_root: "/run/hpc/".to_owned(),
        state_root: "/var/lib/hosttask".to_owned(),
        processors: 2,
    };
    let environment = BTreeMap::from([("PATH".to_owned(), "/bin:.".to_owned())]);
    let files = ["/bin/sh", "/usr/bin/env", "/run/c/bin/own", "/run/c/bin/sh"];
    let surroundings = Surroundings {
        places: &places,
        root: "/run/c/",
        user_environment: &environment,
        is_file: &|path| files.contains(&path),
        is_folder: &|path| matches!(path, "/" | "/run/c" | "/tmp"),
    };
    let found = |words: &[&str], directory: &str| {
        let mut process = process(arguments(words), directory);
        process.expected_root = "/run/hpc/".to_owned();
        resolve(&process, &surroundings)
    };
    let launch = found(
        &["sh", "-c", "a \"b\" $env:CONTAINER_SANDBOX_MOUNT_POINT"],
        "/",
    )
    .unwrap();
    assert_eq!(launch.program, "/bin/sh");
    assert_eq!(launch.arguments, ["sh", "-c", "a \"b\" /run/c"]);
    assert_eq!(launch.directory, "/run/c");
    assert_eq!(launch.environment.get("PATH").unwrap(), "/bin:.:/run/c/");
    assert_eq!(
        launch
            .environment
            .get("CONTAINER_SANDBOX_MOUNT_POINT")
            .unwrap(),
        "/run/c/"
    );
    assert_eq!(found(&["env"], "/tmp").unwrap().program, "/usr/bin/env");
    assert_eq!(found(&["bin/own"], "").unwrap().program, "/run/c/bin/own");
    assert_eq!(
        found(&["/run/hpc/bin/own"], "").unwrap().program,
        "/run/c/bin/own"
    );
    assert_eq!(found(&["/bin/sh"], "").unwrap().program, "/run/c/bin/sh");
    assert!(found(&["own"], "bin").is_err());
}
