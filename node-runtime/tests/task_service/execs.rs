//! Processes that are added to a task.

use containerd_shim_protos::api::Status as Phase;
use hosttask_node_runtime::ttrpc::Code;
use serde_json::json;

use crate::bench::{Bench, everywhere};

#[test]
fn a_process_is_added_started_waited_for_and_deleted_and_each_step_is_told_once_and_in_order() {
    everywhere(|bench| {
        bench.run("web", "hang");
        bench.exec("web", "probe", "exit 9").unwrap();
        let state = bench.state("web", "probe").unwrap();
        assert_eq!(state.status, Phase::CREATED.into());
        assert_eq!(state.exec_id, "probe");
        let pid = bench.start("web", "probe").unwrap();
        assert_eq!(bench.wait("web", "probe").unwrap().exit_status, 9);
        assert_eq!(
            bench.state("web", "probe").unwrap().status,
            Phase::STOPPED.into()
        );
        let deleted = bench.delete("web", "probe").unwrap();
        assert_eq!((deleted.pid, deleted.exit_status), (pid, 9));
        assert_eq!(
            bench.state("web", "probe").unwrap_err().code,
            Code::NotFound
        );
        bench.kill("web", "", 9).unwrap();
        bench.wait("web", "").unwrap();
        bench.delete("web", "").unwrap();
        assert_eq!(
            bench.told(),
            [
                "/tasks/create web",
                "/tasks/start web",
                "/tasks/exec-added web probe",
                "/tasks/exec-started web probe",
                "/tasks/exit web probe 9",
                "/tasks/exit web web 137",
                "/tasks/delete web 137"
            ]
        );
        bench.is_clean();
    });
}

#[test]
fn a_name_is_free_again_once_its_process_was_deleted_and_each_end_is_its_own() {
    everywhere(|bench| {
        bench.run("web", "hang");
        for code in 1..20 {
            bench.exec("web", "probe", &format!("exit {code}")).unwrap();
            let again = bench.exec("web", "probe", "exit 0").unwrap_err();
            assert_eq!(again.code, Code::AlreadyExists, "{again}");
            bench.start("web", "probe").unwrap();
            assert_eq!(bench.wait("web", "probe").unwrap().exit_status, code);
            assert_eq!(bench.delete("web", "probe").unwrap().exit_status, code);
        }
        bench.kill("web", "", 9).unwrap();
        bench.wait("web", "").unwrap();
        bench.delete("web", "").unwrap();
    });
}

#[test]
fn an_added_process_is_ended_alone_and_ends_with_its_task() {
    everywhere(|bench| {
        bench.run("web", "hang");
        for exec in ["one", "two"] {
            bench.exec("web", exec, "hang").unwrap();
            bench.start("web", exec).unwrap();
        }
        assert_eq!(
            bench.delete("web", "one").unwrap_err().code,
            Code::FailedPrecondition
        );
        bench.kill("web", "one", 9).unwrap();
        assert_eq!(bench.wait("web", "one").unwrap().exit_status, 137);
        assert_eq!(
            bench.kill("web", "one", 9).unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(
            bench.state("web", "two").unwrap().status,
            Phase::RUNNING.into()
        );
        bench.kill("web", "", 9).unwrap();
        assert_eq!(bench.wait("web", "two").unwrap().exit_status, 137);
        bench.wait("web", "").unwrap();
        let told = bench.told();
        assert_eq!(told.last().unwrap(), "/tasks/exit web web 137", "{told:?}");
        bench.delete("web", "").unwrap();
        bench.is_clean();
    });
}

#[test]
fn what_is_no_process_is_refused_and_leaves_nothing() {
    let bench = Bench::fake();
    bench.run("web", "hang");
    let good = bench.exec_request("web", "probe", "exit 0");
    let mut none = good.clone();
    none.spec = None.into();
    let mut other = good.clone();
    other.spec.as_mut().unwrap().type_url = "types.containerd.io/other".to_owned();
    let mut broken = good.clone();
    broken.spec.as_mut().unwrap().value = b"{".to_vec();
    let mut nameless = good.clone();
    nameless.exec_id.clear();
    let mut bad_name = good.clone();
    bad_name.exec_id = "../up".to_owned();
    let mut terminal = good.clone();
    terminal.terminal = true;
    let mut unknown = good.clone();
    unknown.spec.as_mut().unwrap().value =
        json!({ "args": ["x"], "new": 1 }).to_string().into_bytes();
    for request in [none, other, broken, nameless, bad_name, terminal, unknown] {
        assert_eq!(
            bench.code("Exec", &request),
            Some(Code::InvalidArgument),
            "{}",
            request.exec_id
        );
    }
    assert_eq!(
        bench.state("web", "probe").unwrap_err().code,
        Code::NotFound
    );
    assert_eq!(bench.code("Exec", &good), None);
}

#[test]
fn an_added_process_that_cannot_be_started_can_be_deleted() {
    let bench = Bench::fake();
    bench.run("web", "hang");
    let mut request = bench.exec_request("web", "probe", "");
    request.spec.as_mut().unwrap().value = json!({ "args": ["no-such-program"] })
        .to_string()
        .into_bytes();
    assert_eq!(bench.code("Exec", &request), None);
    assert_eq!(
        bench.start("web", "probe").unwrap_err().code,
        Code::InvalidArgument
    );
    bench.delete("web", "probe").unwrap();
    assert_eq!(
        bench.state("web", "").unwrap().status,
        Phase::RUNNING.into()
    );
}
