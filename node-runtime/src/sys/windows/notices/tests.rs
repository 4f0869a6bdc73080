//! Which notices are told, and which processes are held for how long.

use super::*;

#[test]
fn a_slow_reader_loses_the_oldest_but_no_kind_of_limit() {
    let notices = Notices::default();
    notices.push(Notice::ProcessLimit);
    let ended = |pid| Notice::Ended {
        pid,
        abnormal: false,
    };
    for pid in 0..3000 {
        notices.push(ended(pid));
    }
    assert_eq!(notices.lock().waiting.len(), MOST);
    assert_eq!(notices.next(Duration::ZERO), Some(Notice::ProcessLimit));
    let oldest = 3000 - u32::try_from(MOST).unwrap() + 1;
    assert_eq!(notices.next(Duration::ZERO), Some(ended(oldest)));
}

#[test]
fn a_flood_of_limits_does_not_drown_the_other_limit() {
    let notices = Notices::default();
    notices.push(Notice::ProcessLimit);
    for pid in 0..3000 {
        notices.push(Notice::MemoryLimit { pid: Some(pid) });
    }
    assert_eq!(notices.lock().waiting.len(), MOST);
    assert_eq!(notices.next(Duration::ZERO), Some(Notice::ProcessLimit));
}

#[test]
fn nothing_is_said_of_a_host_until_its_number_is_given_again() {
    let notices = Notices::default();
    let pid = std::process::id();
    let ended = Notice::Ended {
        pid,
        abnormal: false,
    };
    notices.lock().note_host(pid, None);
    assert_eq!(notices.hosts_ended(), 0);
    notices.push(ended);
    assert_eq!(notices.hosts_ended(), 1);
    notices.push(ended);
    assert_eq!(notices.next(Duration::ZERO), Some(ended));
    assert_eq!(notices.next(Duration::ZERO), None);
}

#[test]
fn a_host_that_ends_while_it_is_asked_about_is_not_one_that_runs() {
    let notices = Notices::default();
    let pid = std::process::id();
    for ends in [false, true] {
        notices.push(Notice::Started { pid });
        let process = notices.lock().unknown.get(&pid).cloned().unwrap();
        if ends {
            notices.push(Notice::Ended {
                pid,
                abnormal: false,
            });
        }
        assert!(!notices.lock().is_told(pid, &process, true));
        let state = notices.lock();
        assert!(state.unknown.is_empty());
        assert_eq!(state.hosts.is_empty(), ends);
    }
}

#[test]
fn a_host_that_ended_is_counted_as_such_although_its_end_was_never_told() {
    let notices = Notices::default();
    let mut child = std::process::Command::new("cmd")
        .args(["/c", "exit"])
        .spawn()
        .unwrap();
    child.wait().unwrap();
    let pid = child.id();
    let ended = Handle::from(std::os::windows::io::OwnedHandle::from(child));
    notices.lock().note_host(pid, Some(&ended));
    assert_eq!(notices.hosts_ended(), 1);
    assert!(notices.lock().hosts.is_empty());
    let own = super::super::process::own_process().unwrap().pid;
    let runs = hold(own).unwrap();
    notices.lock().note_host(own, Some(&runs));
    assert_eq!(notices.hosts_ended(), 1, "the other one runs");
    assert!(notices.is_host(own, &runs));
    notices.lock().hosts.insert(own, Some(1));
    assert!(
        !notices.is_host(own, &runs),
        "it has the number of one that ended"
    );
    assert_eq!(notices.hosts_ended(), 2);
    notices.push(Notice::Ended {
        pid,
        abnormal: false,
    });
    assert_eq!(notices.next(Duration::ZERO), None);
    assert!(!notices.lock().ended.contains(&pid));
}

#[test]
fn what_ended_is_let_go_of_when_somebody_asks_how_many_hosts_there_were() {
    let notices = Notices::default();
    let mut child = std::process::Command::new("conhost").spawn().unwrap();
    let pid = child.id();
    child.kill().unwrap();
    child.wait().unwrap();
    let ended = Handle::from(std::os::windows::io::OwnedHandle::from(child));
    notices.lock().unknown.insert(pid, Arc::new(ended));
    assert_eq!(notices.hosts_ended(), 1);
    assert!(notices.lock().unknown.is_empty());
}

#[test]
fn nobody_hears_of_a_launcher_whether_its_start_is_told_before_or_after_we_know_it() {
    let (launcher, program) = (u32::MAX - 3, u32::MAX - 7);
    let process = hold(std::process::id()).unwrap();
    let ended = |pid| Notice::Ended {
        pid,
        abnormal: false,
    };
    for told_first in [false, true] {
        let notices = Notices::default();
        let started = Notice::Started { pid: program };
        let launch = notices.launch();
        if told_first {
            notices.push(Notice::Started { pid: launcher });
        }
        assert_eq!(notices.next(Duration::ZERO), None);
        notices.is_launcher(launcher, &process);
        if !told_first {
            notices.push(Notice::Started { pid: launcher });
        }
        notices.push(started);
        drop(launch);
        notices.push(ended(launcher));
        assert_eq!(notices.hosts_ended(), 1);
        let heard = || notices.next(Duration::ZERO);
        assert_eq!(heard(), Some(started), "{told_first}");
        assert_eq!(heard(), None);
        notices.push(ended(program));
        notices.push(Notice::Empty);
        assert_eq!(
            (heard(), heard()),
            (Some(ended(program)), Some(Notice::Empty))
        );
    }
}

#[test]
fn a_job_that_had_a_launcher_alone_was_never_anything_but_empty() {
    let notices = Notices::default();
    let launch = notices.launch();
    notices.is_launcher(4, &hold(std::process::id()).unwrap());
    notices.push(Notice::Started { pid: 4 });
    drop(launch);
    notices.push(Notice::Empty);
    assert_eq!(notices.next(Duration::ZERO), None);
    notices.push(Notice::Empty);
    assert_eq!(notices.next(Duration::ZERO), Some(Notice::Empty));
}

#[test]
fn a_reader_waits_no_longer_than_it_was_told() {
    assert_eq!(Notices::default().next(Duration::from_millis(1)), None);
}
