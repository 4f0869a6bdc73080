//! Services, asked of the service control manager: only Windows has one.
#![cfg(windows)]

use std::io::ErrorKind;
use std::time::Duration;

use hosttask_node_runtime::sys::{native, services};

const SOON: Duration = Duration::from_mins(1);

#[test]
fn a_service_that_does_not_exist_is_not_found() {
    let services = services::native().unwrap();
    let error = services
        .command_line("hosttask-no-such-service")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = services
        .start("hosttask-no-such-service", SOON)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn the_line_of_a_service_names_its_program() {
    let services = services::native().unwrap();
    let line = services.command_line("RpcSs").unwrap().to_lowercase();
    assert!(line.contains("system32") && line.contains(".exe"), "{line}");
}

#[test]
fn a_service_is_stopped_and_started_and_the_same_again_is_no_error() {
    if !native().unwrap().features().system.contains("wine") {
        println!("not run: a service of a host that others use is left alone");
        return;
    }
    let services = services::native().unwrap();
    let name = "Spooler";
    for _ in 0..2 {
        services.start(name, SOON).unwrap();
        services.start(name, SOON).unwrap();
        assert_eq!(services.dependents(name).unwrap(), Vec::<String>::new());
        services.stop(name, SOON).unwrap();
        services.stop(name, SOON).unwrap();
    }
}
