//! What an upgrade of the definitions does to tasks that are stored already: nothing.

use hosttask_operator::desired::TaskKey;
use hosttask_operator::revision;
use hosttask_operator::validate::{InputsView, TaskInput, validate};

use super::*;

/// A task with lists whose items have keys with a default, the only defaults inside what is hashed.
fn stored(mode: &str) -> Value {
    let mut task = json!({
        "apiVersion": "hosttask.dev/v1alpha1",
        "kind": "WindowsHostTask",
        "metadata": {"name": "stored", "namespace": "default"},
        "spec": {
            "mode": mode,
            "runAs": {"account": "System"},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {
                    "imagePullSecrets": [{"name": "registry"}],
                    "containers": [{
                        "name": "agent",
                        "image": "registry.example.com/agent:1",
                        "ports": [{"containerPort": 9182, "name": "http"}],
                        "resources": {"limits": {"cpu": 1, "memory": "200Mi"}},
                        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
                    }],
                },
            },
            "rollout": {"maxUnavailable": "10%"},
            "health": {"minHealthy": 5},
        },
    });
    if mode == "RunOnce" {
        let spec = task.get_mut("spec").and_then(Value::as_object_mut).unwrap();
        spec.insert("job".into(), json!({"exitCodes": {"success": [0, 7]}}));
    }
    task
}

impl Server {
    async fn get(&self, name: &str) -> Value {
        let path = format!("{TASKS}/{name}");
        let (status, text, _) = self
            .send(Method::GET, &path, "application/json", &Value::Null)
            .await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Changes a task, so that the API server writes all of it anew.
    async fn merge(&self, name: &str, patch: &Value) {
        let address = format!("{TASKS}/{name}?fieldValidation=Strict");
        let (status, text, _) = self
            .send(
                Method::PATCH,
                &address,
                "application/merge-patch+json",
                patch,
            )
            .await;
        assert_eq!(status, 200, "{text}");
    }
}

/// The revision that the operator would give a task.
fn revision_of(task: &Value) -> String {
    let key = TaskKey {
        namespace: "default".into(),
        name: "stored".into(),
    };
    let input = TaskInput {
        key: &key,
        uid: "u",
        generation: 1,
        spec: &task["spec"],
    };
    let desired = validate(&input, &InputsView::default()).unwrap();
    revision::name("stored", &desired.content.raw, 0)
}

#[tokio::test]
async fn a_task_stored_under_the_first_definition_keeps_its_revision() {
    let first = fixtures().join("first_definition.json");
    let server =
        Server::with_definitions(&["apply", "--server-side", "-f", &first.to_string_lossy()]).await;
    // The names that the first release gave: printf of the canonical content and four zero bytes, SHA-256, base32.
    let expected = [
        ("Daemon", "stored-xq2crla6cj"),
        ("RunOnce", "stored-sqvxglj7rf"),
    ];
    for (mode, name) in expected {
        let mut task = stored(mode);
        task["metadata"]["name"] = json!(mode.to_lowercase());
        let (status, text, _) = server.create(&task, false).await;
        assert_eq!(status, 201, "{text}");
        let found = server.get(&mode.to_lowercase()).await;
        assert_eq!(revision_of(&found), name, "{}", found["spec"]);
    }

    let applied = server
        .cluster
        .kubectl(&["apply", "--server-side", "--force-conflicts", "-k", &crds()])
        .await
        .unwrap();
    assert!(applied.is_success(), "{}", applied.stderr);
    let waves = json!({"spec": {"rollout": {"waves": [
        {"name": "canary", "nodeSelector": {"matchLabels": {"ring": "canary"}}, "soakSeconds": 60},
    ]}}});
    poll::until(
        "the present definition to be in force",
        std::time::Duration::from_mins(1),
        || async {
            let (status, text, _) = server.create(&patched(&base(), &waves), true).await;
            if status == 201 { Ok(()) } else { Err(text) }
        },
    )
    .await
    .unwrap();

    for (mode, name) in expected {
        let task = mode.to_lowercase();
        assert_eq!(
            revision_of(&server.get(&task).await),
            name,
            "as it was stored"
        );
        server
            .merge(&task, &json!({"metadata": {"annotations": {"a": "b"}}}))
            .await;
        assert_eq!(revision_of(&server.get(&task).await), name, "written anew");
        server.merge(&task, &waves).await;
        let steered = server.get(&task).await;
        assert!(steered.pointer("/spec/rollout/waves/0").is_some());
        assert_eq!(revision_of(&steered), name, "with waves");
    }
}
