//! Kill: numbers of signals, and whom they reach.

use containerd_shim_protos::api::{Empty, KillRequest};
use hosttask_node_runtime::ttrpc::Code;

use crate::bench::{Bench, everywhere};

#[test]
fn a_kill_after_the_grace_period_ends_what_ignored_the_first_signal() {
    everywhere(|bench| {
        bench.run("web", "ignore READY hang");
        bench.kill("web", "", 15).unwrap();
        assert_eq!(bench.state("web", "").unwrap().exit_status, 255);
        bench.kill("web", "", 15).unwrap();
        bench.kill("web", "", 9).unwrap();
        assert_eq!(bench.wait("web", "").unwrap().exit_status, 137);
        assert_eq!(bench.kill("web", "", 9).unwrap_err().code, Code::NotFound);
        bench.delete("web", "").unwrap();
        bench.is_clean();
    });
}

#[test]
fn a_program_that_listens_ends_by_itself_with_its_own_code() {
    everywhere(|bench| {
        bench.run("web", "on-interrupt 5 READY hang");
        bench.kill("web", "", 15).unwrap();
        assert_eq!(bench.wait("web", "").unwrap().exit_status, 5);
        bench.delete("web", "").unwrap();
    });
}

#[test]
fn all_says_the_same_of_a_task_and_makes_no_sense_for_one_process() {
    let bench = Bench::fake();
    bench.run("web", "hang");
    bench.exec("web", "probe", "hang").unwrap();
    bench.start("web", "probe").unwrap();
    let mut request = KillRequest {
        id: bench.id("web"),
        exec_id: "probe".to_owned(),
        signal: 9,
        all: true,
        ..KillRequest::default()
    };
    assert_eq!(bench.code("Kill", &request), Some(Code::InvalidArgument));
    request.exec_id.clear();
    bench.ask::<Empty>("Kill", &request).unwrap();
    assert_eq!(bench.wait("web", "").unwrap().exit_status, 137);
    assert_eq!(bench.wait("web", "probe").unwrap().exit_status, 137);
}

#[test]
fn a_number_that_is_no_request_to_end_is_refused_with_those_that_are() {
    let bench = Bench::fake();
    bench.run("web", "hang");
    for number in [4, 10, 12, 17, 28, u32::MAX] {
        let refused = bench.kill("web", "", number).unwrap_err();
        assert_eq!(refused.code, Code::FailedPrecondition);
        assert!(refused.message.contains("15 (SIGTERM)"), "{refused}");
    }
    assert_eq!(
        bench.kill("web", "other", 9).unwrap_err().code,
        Code::NotFound
    );
}
