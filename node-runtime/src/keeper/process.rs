//! A process like the container's own, with other arguments.

use serde_json::{Map, Value, json};

use super::protocol::Process;

/// The OCI `process` object for a process that is to be like `base`; one that came whole is itself.
pub(super) fn like(base: &Value, process: &Process) -> Value {
    let (args, cwd, user, env, terminal) = match process {
        Process::Whole(document) => return document.clone(),
        Process::Like {
            args,
            cwd,
            user,
            env,
            terminal,
        } => (args, cwd, user, env, terminal),
    };
    let mut document = base.as_object().cloned().unwrap_or_else(Map::new);
    // The line would win over the arguments.
    document.remove("commandLine");
    document.insert("args".to_owned(), json!(args));
    document.insert("terminal".to_owned(), json!(terminal));
    if !terminal {
        document.remove("consoleSize");
    }
    if let Some(cwd) = cwd {
        document.insert("cwd".to_owned(), json!(cwd));
    }
    if let Some(user) = user {
        document.insert("user".to_owned(), json!({ "username": user }));
    }
    if !env.is_empty() {
        let own = document.get("env").and_then(Value::as_array).cloned();
        let more = env
            .iter()
            .map(|(name, value)| json!(format!("{name}={value}")));
        // The last one of a name counts.
        let all: Vec<Value> = own.unwrap_or_default().into_iter().chain(more).collect();
        document.insert("env".to_owned(), Value::Array(all));
    }
    Value::Object(document)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_not_given_is_the_containers_and_its_line_never_wins() {
        let base = json!({
            "commandLine": "serve /all", "cwd": "C:\\app", "terminal": true, "consoleSize": {"width": 80, "height": 25},
            "env": ["A=1"], "user": {"username": "NT AUTHORITY\\SYSTEM"},
        });
        let process = Process::Like {
            args: vec!["whoami".to_owned()],
            cwd: None,
            user: None,
            env: BTreeMap::from([("A".to_owned(), "2".to_owned())]),
            terminal: false,
        };
        let expected = json!({
            "args": ["whoami"], "cwd": "C:\\app", "terminal": false, "env": ["A=1", "A=2"],
            "user": {"username": "NT AUTHORITY\\SYSTEM"},
        });
        assert_eq!(like(&base, &process), expected);
    }

    #[test]
    fn what_is_given_is_taken() {
        let process = Process::Like {
            args: vec!["x".to_owned()],
            cwd: Some("C:\\tmp".to_owned()),
            user: Some("builders".to_owned()),
            env: BTreeMap::new(),
            terminal: true,
        };
        let expected = json!({
            "args": ["x"], "cwd": "C:\\tmp", "terminal": true, "user": {"username": "builders"},
        });
        assert_eq!(like(&Value::Null, &process), expected);
    }
}
