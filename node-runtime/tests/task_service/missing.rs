//! What a request or a config names and is not there. Only a task or a process that is missing is "not found" to containerd,
//! which takes that for the word that it is gone.

use hosttask_node_runtime::ttrpc::Code;
use serde_json::json;

use crate::bench::Bench;

#[test]
fn what_a_task_names_and_is_not_there_is_an_error_in_its_request_and_not_a_missing_task() {
    let bench = Bench::fake();
    let mut config = bench.config("web", "hang");
    config["process"]["cwd"] = json!(bench.text("no-such-folder"));
    let mut request = bench.request("web", &config);
    bench.create_with(&request).unwrap();
    let missing = bench.start("web", "").unwrap_err();
    assert_eq!(missing.code, Code::InvalidArgument, "{missing}");
    assert!(missing.message.contains("no-such-folder"), "{missing}");
    bench.delete("web", "").unwrap();
    let nobody = bench.address("nobody");
    request.stdout.clone_from(&nobody);
    let missing = bench.create_with(&request).unwrap_err();
    assert_eq!(missing.code, Code::InvalidArgument, "{missing}");
    bench.run("web", "hang");
    let mut added = bench.exec_request("web", "probe", "exit 0");
    added.stdout = nobody;
    let missing = bench.code("Exec", &added);
    assert_eq!(missing, Some(Code::InvalidArgument));
}
