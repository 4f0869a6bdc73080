//! A real Windows node: kubelet and containerd for Windows, unpatched, start our shim under Wine.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "windows_node/bench.rs"]
mod bench;

use bench::{node, scenario};

#[test]
fn kubelet_joins_the_cluster_as_the_machine_that_its_registry_describes() {
    scenario(async {
        let bench = node().await;
        let node = bench.read_node().await;
        let info = node.status.unwrap().node_info.unwrap();
        let machine = bench.node.machine();
        assert_eq!(info.operating_system, "windows");
        assert_eq!(info.boot_id, machine.boot.to_string());
        assert_eq!(info.system_uuid, machine.hardware);
        assert_eq!(info.kernel_version, "10.0.20348.2700");
        assert!(info.container_runtime_version.starts_with("containerd://2."));
    });
}
