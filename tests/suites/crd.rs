//! The API on a real API server: applied without a warning, every rule with what it accepts and refuses, explained and printed.
//!
//! Longer than 400 lines: the cases, how they are judged and what is printed are one subject: the definitions on a real server.
#![expect(clippy::unwrap_used, reason = "a failed step fails the scenario")]

#[path = "crd/upgrade.rs"]
mod upgrade;

use std::path::PathBuf;

use hosttask_tests::bed::{with, workspace_root};
use hosttask_tests::cluster::{ClusterOptions, LocalCluster};
use hosttask_tests::poll;
use http::{Method, Request};
use kube::client::Body;
use serde::Deserialize;
use serde_json::{Value, json};

const TASKS: &str = "/apis/hosttask.dev/v1alpha1/namespaces/default/windowshosttasks";

/// The cases of one rule; the format is documented in `tests/fixtures/crd/README.md`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    rule: String,
    #[serde(default)]
    accept: Vec<Value>,
    #[serde(default)]
    reject: Vec<Reject>,
    #[serde(default)]
    update: Vec<Update>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reject {
    patch: Value,
    message: String,
    #[serde(default = "unprocessable")]
    status: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    #[serde(default)]
    from: Value,
    to: Value,
    message: Option<String>,
}

fn unprocessable() -> u16 {
    422
}

struct Server {
    cluster: LocalCluster,
    client: kube::Client,
}

impl Server {
    /// An API server with the CRDs applied by kubectl from the client's side, as most people do.
    async fn start() -> Self {
        Self::with_definitions(&["apply", "-k", &crds()]).await
    }

    /// An API server on which kubectl did this to install the definition.
    async fn with_definitions(arguments: &[&str]) -> Self {
        let options = ClusterOptions {
            controllers: false,
            scheduler: false,
            ..ClusterOptions::default()
        };
        let cluster = LocalCluster::start(options).await.unwrap();
        let applied = cluster.kubectl(arguments).await.unwrap();
        assert!(
            applied.is_success() && !applied.stderr.contains("Warning"),
            "{}",
            applied.stderr
        );
        let client = cluster.client();
        let server = Self { cluster, client };
        poll::until(
            "the API to be served",
            std::time::Duration::from_mins(1),
            || async {
                let (status, text, _) = server
                    .send(Method::GET, TASKS, "application/json", &Value::Null)
                    .await;
                if status == 200 { Ok(()) } else { Err(text) }
            },
        )
        .await
        .unwrap();
        server
    }

    /// Status, body and warnings of one request.
    async fn send(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: &Value,
    ) -> (u16, String, Vec<String>) {
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content)
            .body(Body::from(bytes))
            .unwrap();
        let response = self.client.send(request).await.unwrap();
        let status = response.status().as_u16();
        let warnings = response
            .headers()
            .get_all("warning")
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        let body = response.into_body().collect_bytes().await.unwrap();
        (
            status,
            String::from_utf8_lossy(&body).into_owned(),
            warnings,
        )
    }

    async fn create(&self, task: &Value, dry: bool) -> (u16, String, Vec<String>) {
        let dry = if dry { "&dryRun=All" } else { "" };
        self.send(
            Method::POST,
            &format!("{TASKS}?fieldValidation=Strict{dry}"),
            "application/json",
            task,
        )
        .await
    }
}

/// The message of a Status as people read it, or the body where it is none.
fn message(body: &str) -> String {
    let status: Value = serde_json::from_str(body).unwrap_or_default();
    status
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or(body)
        .to_owned()
}

fn crds() -> String {
    workspace_root()
        .join("config/crd")
        .to_string_lossy()
        .into_owned()
}

fn fixtures() -> PathBuf {
    workspace_root().join("tests/fixtures/crd")
}

fn base() -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(fixtures().join("base.yaml")).unwrap()).unwrap()
}

/// JSON merge patch, in which null removes a field.
fn patched(base: &Value, patch: &Value) -> Value {
    let mut task = with(base.clone(), patch);
    remove_nulls(&mut task);
    task
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

async fn judge(server: &Server, cases: &Cases, wrong: &mut Vec<String>) -> usize {
    let (rule, base) = (&cases.rule, base());
    for patch in &cases.accept {
        let (status, text, warnings) = server.create(&patched(&base, patch), true).await;
        if status != 201 || !warnings.is_empty() {
            wrong.push(format!("{rule}: should be accepted without a warning: {patch}\n  {status} {warnings:?} {text}"));
        }
    }
    for case in &cases.reject {
        let (status, text, _) = server.create(&patched(&base, &case.patch), true).await;
        let text = message(&text);
        if status != case.status || !text.contains(&case.message) {
            wrong.push(format!(
                "{rule}: should be refused with {} {:?}: {}\n  {status} {text}",
                case.status, case.message, case.patch
            ));
        }
    }
    for (index, case) in cases.update.iter().enumerate() {
        let name = format!("update-{index}-{}", rule.replace('_', "-"));
        let name = &name[..name.len().min(63)];
        let from = if case.from.is_null() {
            json!({})
        } else {
            case.from.clone()
        };
        let named = with(
            patched(&base, &from),
            &json!({ "metadata": { "name": name } }),
        );
        let (status, text, _) = server.create(&named, false).await;
        if status != 201 {
            wrong.push(format!("{rule}: the object to update was refused: {text}"));
            continue;
        }
        let (status, text, _) = server
            .send(
                Method::PATCH,
                &format!("{TASKS}/{name}"),
                "application/merge-patch+json",
                &case.to,
            )
            .await;
        let text = message(&text);
        let as_said = case.message.as_ref().map_or(status == 200, |message| {
            status == 422 && text.contains(message)
        });
        if !as_said {
            wrong.push(format!(
                "{rule}: update should answer {:?}: {}\n  {status} {text}",
                case.message, case.to
            ));
        }
    }
    cases.accept.len() + cases.reject.len() + cases.update.len()
}

#[tokio::test]
async fn the_api_server_accepts_and_refuses_what_every_rule_says() {
    let server = Server::start().await;
    let mut files: Vec<_> = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let (mut judged, mut wrong) = (0, Vec::new());
    for path in files {
        let file_name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "yaml") || file_name == "base.yaml"
        {
            continue;
        }
        let cases: Cases = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{file_name}: {error}"));
        judged += judge(&server, &cases, &mut wrong).await;
    }
    assert!(
        wrong.is_empty(),
        "{} of {judged} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(judged > 100, "only {judged} cases were found");
    println!("{judged} cases");
}

#[tokio::test]
async fn the_definitions_are_applied_without_a_warning_and_read_well() {
    let server = Server::start().await;
    let again = server
        .cluster
        .kubectl(&["apply", "--server-side", "--force-conflicts", "-k", &crds()])
        .await
        .unwrap();
    assert!(
        again.is_success() && !again.stderr.contains("Warning"),
        "{}",
        again.stderr
    );

    // The API server publishes a new kind's documentation a moment after the kind.
    let explained = poll::until(
        "kubectl explain to know the kind",
        std::time::Duration::from_mins(1),
        || async {
            let output = server
                .cluster
                .kubectl(&["explain", "wht.spec.rollout.maxUnavailable"])
                .await
                .map_err(|error| error.to_string())?;
            if output.is_success() {
                Ok(output)
            } else {
                Err(output.stderr)
            }
        },
    )
    .await
    .unwrap();
    assert!(
        explained.stdout.contains("Default 1"),
        "{}{}",
        explained.stdout,
        explained.stderr
    );
    let tree = server
        .cluster
        .kubectl(&["explain", "wht.spec", "--recursive"])
        .await
        .unwrap();
    for field in [
        "mode",
        "runAs",
        "windowsBuilds",
        "retry",
        "containers",
        "livenessProbe",
    ] {
        assert!(
            tree.stdout.contains(field),
            "{field} is missing in:\n{}",
            tree.stdout
        );
    }
    assert!(!tree.stdout.contains("hostPID"));
}

#[tokio::test]
async fn a_new_task_is_not_settled_and_the_columns_are_there() {
    let server = Server::start().await;
    let (status, text, _) = server.create(&base(), false).await;
    assert_eq!(status, 201, "{text}");
    let stored: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        stored.pointer("/status/observedGeneration"),
        Some(&json!(-1))
    );
    let listed = server
        .cluster
        .kubectl(&["get", "wht", "-o", "wide"])
        .await
        .unwrap();
    let header = listed.stdout.lines().next().unwrap_or_default().to_owned();
    for column in [
        "NAME",
        "MODE",
        "READY",
        "REASON",
        "DESIRED",
        "UPDATED",
        "HEALTHY",
        "FAILED",
        "UNREACHABLE",
        "REVISION",
        "MESSAGE",
        "AGE",
    ] {
        assert!(header.contains(column), "{column} is missing in: {header}");
    }
    let selected = server
        .cluster
        .kubectl(&[
            "get",
            "hostprocess",
            "--field-selector",
            "spec.mode=RunOnce",
            "-o",
            "name",
        ])
        .await
        .unwrap();
    assert!(
        selected.stdout.contains("base"),
        "{}{}",
        selected.stdout,
        selected.stderr
    );
}

#[tokio::test]
async fn the_samples_are_accepted_without_a_warning() {
    let server = Server::start().await;
    let samples = workspace_root().join("config/samples");
    let applied = server
        .cluster
        .kubectl(&["apply", "-k", &samples.to_string_lossy()])
        .await
        .unwrap();
    assert!(
        applied.is_success() && !applied.stderr.contains("Warning"),
        "{}",
        applied.stderr
    );
    let tasks = applied.stdout.lines().filter(|line| {
        line.starts_with("windowshosttask.hosttask.dev/") && line.ends_with("created")
    });
    assert_eq!(tasks.count(), 8, "{}", applied.stdout);
}

#[tokio::test]
async fn the_tasks_of_the_node_runtime_are_accepted_without_a_warning() {
    let server = Server::start().await;
    let runtime = workspace_root().join("config/runtime");
    // The namespace comes with the first.
    for folder in [
        runtime.clone(),
        runtime.join("doctor"),
        runtime.join("uninstall"),
    ] {
        let applied = server
            .cluster
            .kubectl(&["apply", "-k", &folder.to_string_lossy()])
            .await
            .unwrap();
        assert!(
            applied.is_success() && !applied.stderr.contains("Warning"),
            "{}: {}",
            folder.display(),
            applied.stderr
        );
        assert!(
            applied.stdout.contains("windowshosttask.hosttask.dev/"),
            "{}",
            applied.stdout
        );
    }
}

#[tokio::test]
async fn two_writers_of_one_task_share_its_lists_by_key() {
    let server = Server::start().await;
    let part = |env: &str| {
        patched(
            &base(),
            &json!({ "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "registry.example.com/main:1", "env": [{ "name": env, "value": "1" }] }] } } } }),
        )
    };
    for (manager, env) in [("one", "FIRST"), ("two", "SECOND")] {
        let path = format!("{TASKS}/base?fieldManager={manager}");
        let (status, text, _) = server
            .send(
                Method::PATCH,
                &path,
                "application/apply-patch+yaml",
                &part(env),
            )
            .await;
        assert!(status == 200 || status == 201, "{status} {text}");
    }
    let (_, text, _) = server
        .send(
            Method::GET,
            &format!("{TASKS}/base"),
            "application/json",
            &Value::Null,
        )
        .await;
    let task: Value = serde_json::from_str(&text).unwrap();
    let env = task
        .pointer("/spec/template/spec/containers/0/env")
        .and_then(Value::as_array)
        .unwrap();
    assert_eq!(env.len(), 2, "{env:?}");
}
