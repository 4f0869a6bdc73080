//! What a process reads: when it is connected to, and what its end is.

use std::time::Duration;

use containerd_shim_protos::api::{CloseIORequest, Status as Phase};
use hosttask_node_runtime::ttrpc::Code;
use serde_json::json;

use crate::bench::{Bench, SOON, everywhere};

#[test]
fn the_input_of_a_terminal_is_not_closed_before_or_after_its_start() {
    let bench = Bench::faked(|it| it.pseudo_console = true);
    let mut config = bench.config("web", "hang");
    config["process"]["terminal"] = json!(true);
    let mut request = bench.request("web", &config);
    request.terminal = true;
    bench.create_with(&request).unwrap();
    let close = CloseIORequest {
        id: bench.id("web"),
        stdin: true,
        ..CloseIORequest::default()
    };
    let refused = Some(Code::FailedPrecondition);
    assert_eq!(bench.code("CloseIO", &close), refused);
    bench.start("web", "").unwrap();
    assert_eq!(bench.code("CloseIO", &close), refused);
    assert_eq!(
        bench.state("web", "").unwrap().status,
        Phase::RUNNING.into()
    );
    bench.kill("web", "", 9).unwrap();
    bench.wait("web", "").unwrap();
    assert_eq!(bench.code("CloseIO", &close), None, "it ended by itself");
}

#[test]
fn an_input_is_connected_to_by_the_start_so_that_its_end_can_be_told_of_a_task_that_is_known() {
    everywhere(|bench| {
        let address = bench.address("in");
        let mut listener = bench.host.listen(&address).unwrap();
        let mut request = bench.request("web", &bench.config("web", "echo exit 3"));
        request.stdin.clone_from(&address);
        bench.create_with(&request).unwrap();
        assert!(listener.accept(Duration::ZERO).unwrap().is_none());
        bench.start("web", "").unwrap();
        let mut sender = listener.accept(SOON).unwrap().unwrap();
        sender.write_all(b"all of it\n").unwrap();
        let close = CloseIORequest {
            id: bench.id("web"),
            stdin: true,
            ..CloseIORequest::default()
        };
        assert_eq!(bench.code("CloseIO", &close), None);
        assert_eq!(bench.wait("web", "").unwrap().exit_status, 3);
        bench.delete("web", "").unwrap();
        bench.is_clean();
    });
}
