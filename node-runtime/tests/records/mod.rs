//! A record for tests that ask nothing of it but its name and how far the container is.

use std::collections::BTreeMap;

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::record::{Phase, Record};

pub(crate) fn record(id: &Id, phase: Phase) -> Record {
    Record {
        id: id.clone(),
        bundle: String::new(),
        created: jiff::Timestamp::UNIX_EPOCH,
        boot_id: "17".to_owned(),
        job: format!("hosttask-{id}"),
        phase,
        keeper: None,
        address: None,
        init: None,
        exit: None,
        undo: Vec::new(),
        annotations: BTreeMap::new(),
    }
}
