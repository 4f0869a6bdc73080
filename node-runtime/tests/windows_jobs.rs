//! What only Windows has: whole exit codes, whitelists of handles, jobs that end with their holder, Ctrl+C for a whole tree.
//!
//! The whole file is for Windows, because nothing in it can be asked of another system; so it is longer than others.
#![cfg(windows)]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hosttask_node_runtime::launch::quote;
use hosttask_node_runtime::limits::{Limits, UiRestriction};
use hosttask_node_runtime::sys::{self, Host, Job, Launch, Notice, Process, Streams, User, pipe};

const PROBE: &str = env!("CARGO_BIN_EXE_probe");
const LONG: Duration = Duration::from_secs(30);

fn name(of: &str) -> String {
    format!("hosttask-test-{of}-{}", std::process::id())
}

fn launch(steps: &[&str]) -> Launch {
    let arguments: Vec<String> = [PROBE]
        .iter()
        .chain(steps)
        .map(|it| (*it).to_owned())
        .collect();
    Launch {
        program: PROBE.to_owned(),
        command_line: quote(&arguments),
        arguments,
        directory: "C:\\".to_owned(),
        environment: std::env::vars()
            .filter(|(name, _)| !name.starts_with('='))
            .collect(),
        console: None,
        suspended: false,
        drop_privileges: BTreeSet::new(),
    }
}

fn start(host: &dyn Host, job: &dyn Job, steps: &[&str]) -> Arc<dyn Process> {
    start_with(host, job, steps, Streams::default())
}

fn start_with(
    host: &dyn Host,
    job: &dyn Job,
    steps: &[&str],
    streams: Streams,
) -> Arc<dyn Process> {
    let identity = host.log_on(&User::Inherit, "test").unwrap();
    job.spawn(&launch(steps), streams, identity.as_ref())
        .unwrap()
}

/// Starts a probe whose output is read.
fn start_and_read(
    host: &dyn Host,
    job: &dyn Job,
    steps: &[&str],
) -> (Arc<dyn Process>, BufReader<pipe::Reader>) {
    let (reader, stdout) = pipe::output().unwrap();
    let streams = Streams {
        stdout: Some(stdout),
        ..Streams::default()
    };
    (
        start_with(host, job, steps, streams),
        BufReader::new(reader),
    )
}

fn line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
fn an_exit_code_keeps_all_of_its_32_bits() {
    let host = sys::native().unwrap();
    let job = host.create_job(&name("codes")).unwrap();
    for code in [
        0_u32,
        1,
        255,
        256,
        259,
        3010,
        0x7fff_ffff,
        0xC000_013A,
        u32::MAX,
    ] {
        let process = start(host.as_ref(), job.as_ref(), &["exit", &code.to_string()]);
        assert_eq!(process.wait(LONG).unwrap(), Some(code));
        assert_eq!(process.wait(Duration::ZERO).unwrap(), Some(code));
    }
    assert!(job.wait_empty(LONG).unwrap());
}

#[test]
fn a_job_reports_its_processes_in_order_and_then_that_it_is_empty() {
    let host = sys::native().unwrap();
    let job = host.create_job(&name("notices")).unwrap();
    let process = start(host.as_ref(), job.as_ref(), &["exit", "7"]);
    let pid = process.id().pid;
    let mut seen = Vec::new();
    while seen.last() != Some(&Notice::Empty) {
        seen.push(job.next_notice(LONG).unwrap().expect("a notice"));
    }
    let of_process: Vec<_> = seen
        .iter()
        .filter(|it| match it {
            Notice::Started { pid: of } | Notice::Ended { pid: of, .. } => *of == pid,
            Notice::Empty | Notice::MemoryLimit { .. } | Notice::ProcessLimit => false,
        })
        .collect();
    assert!(matches!(of_process[0], Notice::Started { .. }), "{seen:?}");
    assert!(matches!(of_process[1], Notice::Ended { .. }), "{seen:?}");
}

#[test]
fn what_is_printed_arrives_whole_and_ends() {
    let host = sys::native().unwrap();
    let job = host.create_job(&name("output")).unwrap();
    let (process, mut output) =
        start_and_read(host.as_ref(), job.as_ref(), &["flood", "3", "print", "x"]);
    let mut all = Vec::new();
    output.read_to_end(&mut all).unwrap();
    assert!(all.len() > 3 << 20, "{}", all.len());
    assert_eq!(process.wait(LONG).unwrap(), Some(0));
}

#[test]
fn a_process_in_an_inner_job_is_in_both_and_ends_with_the_outer_one() {
    let host = sys::native().unwrap();
    let pod = host.create_job(&name("pod")).unwrap();
    let inner = pod.nest(&name("inner")).unwrap();
    let process = start(host.as_ref(), inner.as_ref(), &["hang"]);
    let pids = |job: &dyn Job| -> Vec<u32> {
        let processes = job.processes().unwrap();
        processes.iter().map(|it| it.pid).collect()
    };
    assert!(pids(pod.as_ref()).contains(&process.id().pid));
    assert!(pids(inner.as_ref()).contains(&process.id().pid));
    pod.terminate(5).unwrap();
    assert_eq!(process.wait(LONG).unwrap(), Some(5));
    assert!(inner.wait_empty(LONG).unwrap());
}

#[test]
fn a_job_inside_another_refuses_limits_of_the_user_interface_by_their_name() {
    let host = sys::native().unwrap();
    let limits = Limits {
        ui: BTreeSet::from([UiRestriction::ReadClipboard]),
        ..Limits::default()
    };
    let outer = host.create_job(&name("ui-outer")).unwrap();
    let inner = outer.nest(&name("ui-inner")).unwrap();
    let error = inner.set_limits(&limits).unwrap_err();
    assert!(error.to_string().contains("`ui`"), "{error}");
}

#[test]
fn everything_ends_with_the_last_handle_of_a_job() {
    let host = sys::native().unwrap();
    let job = host.create_job(&name("close")).unwrap();
    let again = host.open_job(&name("close")).unwrap();
    let (process, mut output) = start_and_read(
        host.as_ref(),
        job.as_ref(),
        &["tree", "4", "print", "ready", "hang"],
    );
    assert_eq!(line(&mut output), "ready");
    drop(job);
    assert_eq!(process.wait(Duration::from_millis(200)).unwrap(), None);
    drop(again);
    assert!(process.wait(LONG).unwrap().is_some());
    // The end of the output means that no descendant has it any more.
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
}

#[test]
fn a_second_job_of_a_name_is_refused_while_the_first_lives() {
    let host = sys::native().unwrap();
    let job = host.create_job(&name("twice")).unwrap();
    let second = host.create_job(&name("twice")).unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::AlreadyExists);
    drop(job);
    let gone = host.open_job(&name("twice")).unwrap_err();
    assert_eq!(gone.kind(), std::io::ErrorKind::NotFound);
    host.create_job(&name("twice")).unwrap();
}

#[test]
fn ctrl_c_reaches_every_process_of_a_tree() {
    let host = sys::native().unwrap();
    let job = host.create_job(&name("interrupt")).unwrap();
    let steps = [
        "on-interrupt",
        "3",
        "leave",
        "on-interrupt",
        "4",
        "print",
        "child",
        "hang",
        ";",
        "print",
        "first",
        "hang",
    ];
    let (process, mut output) = start_and_read(host.as_ref(), job.as_ref(), &steps);
    let mut ready: Vec<String> = vec![line(&mut output), line(&mut output)];
    ready.sort();
    assert_eq!(ready, ["child", "first"]);
    let started = Instant::now();
    let deaf = job.interrupt().unwrap();
    eprintln!("asked in {:?}", started.elapsed());
    assert_eq!(deaf, Vec::<u32>::new());
    assert_eq!(process.wait(LONG).unwrap(), Some(3));
    assert!(job.wait_empty(LONG).unwrap());
}

#[test]
fn a_process_that_is_asked_alone_leaves_the_others_running() {
    let host = sys::native().unwrap();
    let job = host.create_job(&name("alone")).unwrap();
    let steps = ["on-interrupt", "9", "print", "ready", "hang"];
    let (one, mut output) = start_and_read(host.as_ref(), job.as_ref(), &steps);
    let (other, mut other_output) = start_and_read(host.as_ref(), job.as_ref(), &steps);
    assert_eq!(line(&mut output), "ready");
    assert_eq!(line(&mut other_output), "ready");
    assert!(one.interrupt().unwrap());
    assert_eq!(one.wait(LONG).unwrap(), Some(9));
    assert_eq!(other.wait(Duration::from_millis(300)).unwrap(), None);
    assert!(!one.interrupt().unwrap());
}

#[test]
fn a_suspended_job_stands_still_until_it_is_resumed() {
    let host = sys::native().unwrap();
    let job = host.create_job(&name("suspend")).unwrap();
    let (process, mut output) = start_and_read(
        host.as_ref(),
        job.as_ref(),
        &["print", "ready", "sleep", "1", "exit", "2"],
    );
    assert_eq!(line(&mut output), "ready");
    // It may have ended in between; then there is nothing to see.
    job.suspend().unwrap();
    job.suspend().unwrap();
    if process.wait(Duration::from_millis(300)).unwrap().is_none() {
        job.resume().unwrap();
    }
    assert_eq!(process.wait(LONG).unwrap(), Some(2));
}

#[test]
fn a_process_that_is_born_suspended_waits_for_its_permission() {
    let host = sys::native().unwrap();
    let job = host.create_job(&name("born")).unwrap();
    let identity = host.log_on(&User::Inherit, "test").unwrap();
    let mut launch = launch(&["exit", "6"]);
    launch.suspended = true;
    let process = job
        .spawn(&launch, Streams::default(), identity.as_ref())
        .unwrap();
    assert_eq!(process.wait(Duration::from_millis(200)).unwrap(), None);
    assert_eq!(job.processes().unwrap().len(), 1);
    process.resume().unwrap();
    process.resume().unwrap();
    assert_eq!(process.wait(LONG).unwrap(), Some(6));
}

#[test]
fn what_cannot_be_run_is_told_apart_and_leaves_nothing() {
    let host = sys::native().unwrap();
    let job = host.create_job(&name("errors")).unwrap();
    let identity = host.log_on(&User::Inherit, "test").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.exe");
    std::fs::write(&text, "no program").unwrap();
    let batch = folder.path().join("x.BAT . ");
    let kind = |program: &str| {
        let mut launch = launch(&[]);
        program.clone_into(&mut launch.program);
        let (_reader, stdout) = pipe::output().unwrap();
        let streams = Streams {
            stdout: Some(stdout),
            ..Streams::default()
        };
        job.spawn(&launch, streams, identity.as_ref())
            .unwrap_err()
            .kind()
    };
    assert_eq!(kind("C:\\nowhere\\x.exe"), std::io::ErrorKind::NotFound);
    assert_eq!(
        kind(text.to_str().unwrap()),
        std::io::ErrorKind::InvalidInput
    );
    assert_eq!(
        kind(batch.to_str().unwrap()),
        std::io::ErrorKind::InvalidInput
    );
    assert!(job.wait_empty(Duration::ZERO).unwrap());
    assert_eq!(job.usage().unwrap().active_processes, 0);
}

#[test]
fn a_recorded_process_is_found_again_by_number_and_start_and_never_another() {
    let host = sys::native().unwrap();
    let job = host.create_job(&name("find")).unwrap();
    let process = start(host.as_ref(), job.as_ref(), &["hang"]);
    let id = process.id();
    let found = host.open_process(id).unwrap().expect("it runs");
    let mut other = id;
    other.started += 1;
    assert!(host.open_process(other).unwrap().is_none());
    job.terminate(1).unwrap();
    assert_eq!(found.wait(LONG).unwrap(), Some(1));
    assert!(host.open_process(id).unwrap().is_none());
}

#[test]
fn no_handle_is_left_after_many_starts() {
    let host = sys::native().unwrap();
    host.features();
    let before = sys::live_handles();
    for round in 0..20 {
        let job = host.create_job(&name(&format!("leak-{round}"))).unwrap();
        let (process, mut output) =
            start_and_read(host.as_ref(), job.as_ref(), &["print", "x", "exit", "1"]);
        assert_eq!(line(&mut output), "x");
        assert_eq!(process.wait(LONG).unwrap(), Some(1));
        job.processes().unwrap();
        job.usage().unwrap();
    }
    assert!(
        sys::live_handles() <= before + 8,
        "{before} {}",
        sys::live_handles()
    );
}

#[test]
fn features_are_what_was_tried_out() {
    let host = sys::native().unwrap();
    let features = host.features();
    eprintln!(
        "{features:#?}\n{:#?}\nboot {}",
        host.places(),
        host.boot_id().unwrap()
    );
    assert_eq!(features, host.features());
    assert_eq!(features.backend, "windows");
    assert_eq!(
        host.boot_id().unwrap(),
        sys::native().unwrap().boot_id().unwrap()
    );
    let identity = host.log_on(&User::Inherit, "test").unwrap();
    eprintln!(
        "{} {:?}",
        identity.account(),
        identity.environment().unwrap().keys().collect::<Vec<_>>()
    );
}

#[test]
fn a_protected_folder_lets_in_administrators_and_the_system_alone_and_a_root_in_it_every_user() {
    let host = sys::native().unwrap();
    let folder = tempfile::tempdir().unwrap();
    host.storage().protect(folder.path()).unwrap();
    std::fs::write(folder.path().join("record"), "x").unwrap();
    let roots = [("readable", false), ("writable", true)].map(|(name, writable)| {
        let root = folder.path().join(name);
        std::fs::create_dir(&root).unwrap();
        host.storage().share(&root, writable).unwrap();
        root
    });
    host.storage().protect(folder.path()).unwrap();
    let access = sys::access_of(folder.path()).unwrap();
    if host.features().system.starts_with("wine") {
        eprintln!(
            "not run: the rights of a folder (Wine keeps the mode of a Unix file, and tells {access})"
        );
        return;
    }
    let ours = "D:PAI(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)";
    assert_eq!(access, ours);
    for (root, rights) in roots.iter().zip(["0x1200a9", "0x1301bf"]) {
        let access = sys::access_of(root).unwrap();
        assert_eq!(access, format!("{ours}(A;OICI;{rights};;;AU)"));
    }
}

#[test]
fn an_address_that_is_served_is_refused_to_a_second_server() {
    let host = sys::native().unwrap();
    let address = format!(r"\\.\pipe\ProtectedPrefix\Administrators\{}", name("twice"));
    let listener = host.listen(&address).unwrap();
    let second = host.listen(&address).unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::AlreadyExists);
    drop(listener);
    host.listen(&address).unwrap();
}

#[test]
fn an_answer_arrives_although_its_server_has_closed_the_connection() {
    use std::io::Write as _;

    let host = sys::native().unwrap();
    let address = format!(r"\\.\pipe\{}", name("answer"));
    let mut listener = host.listen(&address).unwrap();
    let mut client = host.connect(&address, LONG).unwrap();
    let mut server = listener.accept(LONG).unwrap().unwrap();
    server.write_all(b"the whole answer").unwrap();
    drop(server);
    drop(listener);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "the whole answer");
}

#[test]
fn a_privilege_that_is_dropped_is_gone_and_an_unknown_one_is_refused() {
    let host = sys::native().unwrap();
    let job = host.create_job(&name("privileges")).unwrap();
    let identity = host.log_on(&User::Inherit, "test").unwrap();
    let mut launch = launch(&["exit", "3"]);
    launch.drop_privileges = ["SeDebugPrivilege".to_owned()].into();
    let process = job
        .spawn(&launch, Streams::default(), identity.as_ref())
        .unwrap();
    assert_eq!(process.wait(LONG).unwrap(), Some(3));
    launch.drop_privileges = ["SeNoSuchPrivilege".to_owned()].into();
    let refused = job
        .spawn(&launch, Streams::default(), identity.as_ref())
        .unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn what_is_started_in_an_inner_job_ends_with_the_outer_one_although_the_inner_one_is_held() {
    let host = sys::native().unwrap();
    let outer = host.create_job(&name("outer")).unwrap();
    let inner = outer.nest(&name("held")).unwrap();
    let process = start(host.as_ref(), inner.as_ref(), &["hang"]);
    drop(outer);
    assert!(process.wait(LONG).unwrap().is_some());
}

#[test]
fn accounts_of_the_system_and_temporary_ones_can_run_programs_and_are_swept() {
    let host = sys::native().unwrap();
    let job = host.create_job(&name("accounts")).unwrap();
    for user in [
        User::System,
        User::LocalService,
        User::NetworkService,
        User::Group("Administrators".to_owned()),
    ] {
        let identity = host.log_on(&user, "accounts-test").unwrap();
        assert!(identity.account().contains('\\'), "{}", identity.account());
        assert!(!identity.environment().unwrap().is_empty());
        let process = job.spawn(
            &launch(&["exit", "8"]),
            Streams::default(),
            identity.as_ref(),
        );
        assert_eq!(process.unwrap().wait(LONG).unwrap(), Some(8), "{user:?}");
    }
    let swept = host
        .sweep_identities(&|owner| owner != "accounts-test")
        .unwrap();
    assert_eq!(
        swept,
        Vec::<String>::new(),
        "each was removed with its last reference"
    );
}
