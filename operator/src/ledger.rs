//! `ledger`: carries out what `plan_node` decided for the ledger object of one node. Nothing is decided here.

use hosttask_crds::label::FIELD_MANAGER;
use hosttask_crds::node::{WindowsHostNode, WindowsHostNodeSpec, WindowsHostNodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::apply::{Error, Write};
use crate::error::Cause;
use crate::index::Index;
use crate::plan::node::{LedgerView, NodeAction};
use crate::report::difference;

/// One write to the ledger of a node whose status is stored as `stored`. The index learns of its result.
pub async fn apply(
    client: &Client,
    index: &Index,
    stored: &WindowsHostNodeStatus,
    action: &NodeAction,
) -> Result<(), Error> {
    let api: Api<WindowsHostNode> = Api::all(client.clone());
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    let (what, name, result) = match action {
        NodeAction::Create { name, node_uid } => {
            let mut object = WindowsHostNode::new(name, WindowsHostNodeSpec {});
            object.metadata.owner_references = Some(vec![owner(name, node_uid)]);
            let params = PostParams {
                field_manager: Some(FIELD_MANAGER.into()),
                ..PostParams::default()
            };
            (
                Write::CreateLedger,
                name,
                api.create(&params, &object).await,
            )
        }
        NodeAction::SetOwner {
            name,
            uid,
            resource_version,
            node_uid,
        } => {
            let owners = [owner(name, node_uid)];
            let patch = json!({ "metadata": {
                "uid": uid, "resourceVersion": resource_version, "ownerReferences": owners,
            } });
            (
                Write::AdoptLedger,
                name,
                api.patch(name, &params, &Patch::Merge(patch)).await,
            )
        }
        NodeAction::WriteStatus {
            name,
            uid,
            resource_version,
            status,
        } => {
            let patch = json!({
                "metadata": { "uid": uid, "resourceVersion": resource_version },
                "status": difference(&encoded(stored), &encoded(status)),
            });
            (
                Write::WriteLedger,
                name,
                api.patch_status(name, &params, &Patch::Merge(patch)).await,
            )
        }
    };
    match result {
        Ok(object) => {
            index.wrote_ledger(name, view(object));
            Ok(())
        }
        Err(source) => {
            let error = Error::Write {
                what,
                name: name.clone(),
                source: Box::new(source),
            };
            if error.cause() == Cause::Stale {
                index.forget_ledger_write(name);
            }
            Err(error)
        }
    }
}

/// The Node owns its ledger, so that Kubernetes collects it with the Node. It does not control it.
fn owner(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        block_owner_deletion: None,
        controller: None,
    }
}

fn encoded(status: &WindowsHostNodeStatus) -> Value {
    // Plain data: encoding it cannot fail.
    serde_json::to_value(status).unwrap_or_default()
}

fn view(object: WindowsHostNode) -> LedgerView {
    LedgerView {
        uid: object.uid().unwrap_or_default(),
        resource_version: object.resource_version().unwrap_or_default(),
        owner_uid: object
            .metadata
            .owner_references
            .into_iter()
            .flatten()
            .find(|o| o.kind == "Node")
            .map(|o| o.uid),
        status: object.status.unwrap_or_default(),
    }
}
