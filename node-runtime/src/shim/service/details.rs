//! The processes of a container, with what the clients of each system know to print of one.

use std::collections::BTreeMap;

use containerd_shim_protos::api::ProcessInfo as Listed;
use containerd_shim_protos::shim::oci::ProcessDetails as OfRunc;
use protobuf::CodedOutputStream;
use protobuf::well_known_types::any::Any;

use super::events::{any, stamp};
use super::failure::Failure;
use crate::container::Container;
use crate::sys::{ProcessInfo, Rules};

/// The type of the details on Windows.
const OF_RUNHCS: &str = "containerd.runhcs.v1.ProcessDetails";

/// The processes of a container, in order of their numbers.
pub(super) fn of(container: &Container, rules: Rules) -> Result<Vec<Listed>, Failure> {
    let execs = execs(container)?;
    let processes = container.processes()?.into_iter();
    let listed = processes.map(|process| {
        let exec = execs.get(&process.pid).map(String::as_str);
        let info = match rules {
            Rules::Windows => Some(of_runhcs(&process, exec.unwrap_or_default())),
            Rules::Posix => exec.map(of_runc),
        };
        Ok(Listed {
            pid: process.pid,
            info: info
                .transpose()
                .map_err(|source| Failure::Encode {
                    what: "the details of a process".to_owned(),
                    source,
                })?
                .into(),
            ..Listed::default()
        })
    });
    listed.collect()
}

/// The names of the added processes, by their numbers.
fn execs(container: &Container) -> Result<BTreeMap<u32, String>, Failure> {
    let names = container.status(None)?.execs;
    let started = names.iter().filter_map(|name| {
        // One that was deleted just now has no process.
        let status = container.status(Some(name)).ok()?;
        Some((status.process?.pid, name.to_string()))
    });
    Ok(started.collect())
}

fn of_runc(exec: &str) -> protobuf::Result<Any> {
    any(&OfRunc {
        exec_id: exec.to_owned(),
        ..OfRunc::default()
    })
}

/// No crate has this message, so it is written field by field. The unit of its times is 100 ns.
pub(super) fn of_runhcs(process: &ProcessInfo, exec: &str) -> protobuf::Result<Any> {
    let mut value = Vec::new();
    let mut output = CodedOutputStream::vec(&mut value);
    output.write_string(1, &process.name)?;
    output.write_message(2, &stamp(process.created))?;
    output.write_uint64(3, process.kernel_nanoseconds / 100)?;
    output.write_uint64(4, process.commit_bytes)?;
    output.write_uint64(5, process.private_working_set_bytes)?;
    output.write_uint64(6, process.shared_working_set_bytes)?;
    output.write_uint32(7, process.pid)?;
    output.write_uint64(8, process.user_nanoseconds / 100)?;
    output.write_string(9, exec)?;
    output.flush()?;
    drop(output);
    Ok(Any {
        type_url: OF_RUNHCS.to_owned(),
        value,
        ..Any::default()
    })
}
