//! What a script may say, and which rule decides.

use serde_json::json;

use super::builder::pod;
use super::script::{Happening, Script, ScriptError};

#[test]
fn the_first_rule_that_matches_decides() {
    let script = Script::parse(
        "rules:
         - {nodes: [win-0002], behaviour: {exit: {code: 2}}}
         - {task: 'ag*', revision: '*-7f', attempt: '1', image: '*/agent:*', behaviour: {exit: {code: 3}}}
         - {behaviour: {exit: {code: 4}}}",
    )
    .unwrap();
    let agent = pod(json!({}));
    let container = &agent.spec.containers[0];
    let code = |node: &str, pod: &super::pod::PodView| {
        let behaviour = script.behaviour(node, pod, container, false).unwrap();
        behaviour.exit.as_ref().unwrap().code
    };
    assert_eq!((code("win-0002", &agent), code("win-0001", &agent)), (2, 3));
    for label in [
        "hosttask.dev/task",
        "hosttask.dev/revision",
        "hosttask.dev/attempt",
    ] {
        let mut other = agent.clone();
        other.labels.insert(label.to_owned(), "other".to_owned());
        assert_eq!(code("win-0001", &other), 4, "{label}");
    }
}

#[test]
fn a_rule_can_be_for_a_command() {
    let script =
        Script::parse("rules: [{command: 'agent.exe --check*', behaviour: {exit: {code: 5}}}]")
            .unwrap();
    let checks = pod(
        json!({"containers": [{"name": "main", "image": "a:1", "command": ["agent.exe", "--check", "all"]}]}),
    );
    let runs =
        pod(json!({"containers": [{"name": "main", "image": "a:1", "command": ["agent.exe"]}]}));
    let found = |pod: &super::pod::PodView| {
        script
            .behaviour("n", pod, &pod.spec.containers[0], false)
            .is_some()
    };
    assert_eq!((found(&checks), found(&runs)), (true, false));
}

#[test]
fn a_rule_without_a_container_leaves_init_containers_alone() {
    let script = Script::parse(
        "rules: [{behaviour: {neverReady: true}}, {container: main, behaviour: {exit: {code: 9}}}]",
    )
    .unwrap();
    let agent = pod(json!({}));
    let container = &agent.spec.containers[0];
    let behaviour = |init: bool| script.behaviour("n", &agent, container, init).unwrap();
    assert!(behaviour(false).never_ready);
    assert_eq!(behaviour(true).exit.as_ref().unwrap().code, 9);
}

#[test]
fn what_cannot_be_played_is_refused_with_its_place() {
    let refusal = |yaml: &str| Script::parse(yaml).unwrap_err();
    let place = |yaml: &str| match refusal(yaml) {
        ScriptError::Duration { place }
        | ScriptError::Contradiction { place, .. }
        | ScriptError::NoNodes { place } => place,
        other @ ScriptError::Syntax(_) => panic!("{other:?}"),
    };
    assert_eq!(
        place("rules: [{}, {behaviour: {pullSeconds: -1}}]"),
        "rules[1]"
    );
    assert_eq!(
        place("rules: [{behaviour: {pullSeconds: [5, 2]}}]"),
        "rules[0]"
    );
    assert_eq!(
        place("rules: [{behaviour: {exit: {code: 1}, crashLoop: {}}}]"),
        "rules[0]"
    );
    assert_eq!(
        place("rules: [{behaviour: {neverReady: true, ready: {afterSeconds: 1}}}]"),
        "rules[0]"
    );
    assert_eq!(
        place("events: [{afterSeconds: 1, does: Dies}]"),
        "events[0]"
    );
    assert_eq!(
        place("events: [{afterSeconds: -1, does: Joins}]"),
        "events[0]"
    );
    for unreadable in [
        "rules: [{behaviour: {exitt: {}}}]",
        "rules: [{node: [a]}]",
        "events: [{afterSeconds: 1, does: Naps}]",
    ] {
        assert!(
            matches!(refusal(unreadable), ScriptError::Syntax(_)),
            "{unreadable}"
        );
    }
}

#[test]
fn the_script_of_the_documentation_reads_as_it_says() {
    let page = include_str!("../../docs/fleet.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (yaml, _) = rest.split_once("```").unwrap();
    let script = Script::parse(yaml).unwrap();
    let happenings: Vec<Happening> = script.events.iter().map(|event| event.does).collect();
    assert_eq!(
        happenings,
        [
            Happening::Dies,
            Happening::Revives,
            Happening::Reboots,
            Happening::Reimaged,
            Happening::Joins,
            Happening::Leaves
        ]
    );
    assert_eq!(script.rules[0].behaviour.exit.as_ref().unwrap().code, 3010);
}

#[test]
fn every_behaviour_of_the_documentation_exists() {
    let page = include_str!("../../docs/fleet.md");
    let (_, table) = page.split_once("| behaviour |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let known = serde_json::to_value(super::script::Behaviour::default()).unwrap();
    for field in known.as_object().unwrap().keys() {
        assert!(
            table.contains(&format!("`{field}")),
            "{field} is not documented"
        );
    }
}
