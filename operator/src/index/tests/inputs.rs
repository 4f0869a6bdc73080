//! ConfigMaps and Secrets: digests, refusals, and lists that came too early.

use super::*;
use crate::validate::InputState;

fn scope() -> Scope {
    Scope::Inputs(InputKind::ConfigMap, "ops".to_owned())
}

fn config(name: &str, data: &Value) -> Object {
    let value = json!({"metadata": {"name": name, "namespace": "ops"}, "data": data});
    Object::decode(&scope(), &value.to_string()).unwrap()
}

fn naming(names: &[&str]) -> Value {
    let maps: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    json!({"inputs": {"configMaps": maps}})
}

fn list(bench: &Bench, objects: Vec<Object>) -> Vec<Key> {
    bench.index.apply(Change::Listing(scope()), at(0));
    for object in objects {
        bench.index.apply(Change::Seen(object, Source::List), at(0));
    }
    bench.index.apply(Change::Listed(scope()), at(0))
}

fn state(bench: &Bench, name: &str) -> Option<InputState> {
    bench.index.inputs(&key("agent"))?.config_maps.remove(name)
}

#[test]
fn an_input_is_unknown_before_the_list_and_missing_or_present_after_it() {
    let bench = Bench::new();
    bench.see(Kind::Task, &task(UID, 2, &naming(&["a", "b"])), 0);
    assert_eq!(bench.index.inputs(&key("agent")), None);
    let keys = list(
        &bench,
        vec![
            config("a", &json!({"k": "v"})),
            config("unnamed", &json!({})),
        ],
    );
    assert_eq!(keys, [task_key()]);
    assert!(matches!(state(&bench, "a"), Some(InputState::Present(_))));
    assert_eq!(state(&bench, "b"), Some(InputState::Missing));
    assert_eq!(bench.index.counts().inputs, 1, "only what is named is kept");
}

#[test]
fn a_task_without_inputs_waits_for_no_list() {
    assert_eq!(
        Bench::new().index.inputs(&key("agent")),
        Some(InputsView::default())
    );
}

#[test]
fn the_digest_is_of_the_content_in_any_order_and_of_nothing_else() {
    let digest = |text: &str| {
        let Object::Input(_, input) = Object::decode(&scope(), text).unwrap() else {
            panic!("not an input")
        };
        super::super::inputs::digest(&input)
    };
    let one = digest(r#"{"metadata":{"name":"a","resourceVersion":"1"},"data":{"x":"1","y":"2"}}"#);
    let same =
        digest(r#"{"metadata":{"name":"a","resourceVersion":"2"},"data":{"y":"2","x":"1"}}"#);
    assert_eq!(one, same);
    let mut all = vec![one];
    for other in [
        r#"{"metadata":{"name":"a"},"data":{"x":"1","y":"3"}}"#,
        r#"{"metadata":{"name":"a"},"data":{"x":"1"}}"#,
        r#"{"metadata":{"name":"a"},"binaryData":{"x":"1","y":"2"}}"#,
        r#"{"metadata":{"name":"a"},"data":{"x":"1"},"binaryData":{"y":"2"}}"#,
        r#"{"metadata":{"name":"a"},"data":null}"#,
    ] {
        let digest = digest(other);
        assert!(!all.contains(&digest), "{other}");
        all.push(digest);
    }
}

#[test]
fn a_change_of_content_wakes_the_tasks_that_name_it_and_only_them() {
    let bench = Bench::new();
    bench.see(Kind::Task, &task(UID, 2, &naming(&["a"])), 0);
    list(&bench, vec![config("a", &json!({"k": "v"}))]);
    let see = |object| {
        bench
            .index
            .apply(Change::Seen(object, Source::Watch), at(1))
    };
    assert_eq!(see(config("a", &json!({"k": "v"}))), []);
    assert_eq!(see(config("a", &json!({"k": "w"}))), [task_key()]);
    assert_eq!(see(config("unnamed", &json!({"k": "w"}))), []);
    let gone = bench
        .index
        .apply(Change::Gone(config("a", &json!({}))), at(2));
    assert_eq!(
        (gone, state(&bench, "a")),
        (vec![task_key()], Some(InputState::Missing))
    );
}

#[test]
fn a_refusal_is_told_with_its_message_until_a_list_succeeds() {
    let bench = Bench::new();
    bench.see(Kind::Task, &task(UID, 2, &naming(&["a"])), 0);
    let denied = || {
        Change::Denied(
            InputKind::ConfigMap,
            "ops".to_owned(),
            "forbidden: bind the role".to_owned(),
        )
    };
    assert_eq!(bench.index.apply(denied(), at(0)), [task_key()]);
    assert_eq!(
        bench.index.apply(denied(), at(30)),
        [],
        "the same refusal is no news"
    );
    assert_eq!(
        state(&bench, "a"),
        Some(InputState::Denied("forbidden: bind the role".to_owned()))
    );
    assert_eq!(list(&bench, vec![config("a", &json!({}))]), [task_key()]);
    assert!(matches!(state(&bench, "a"), Some(InputState::Present(_))));
}

#[test]
fn a_name_that_is_new_is_unknown_until_a_list_that_began_after_it() {
    let bench = Bench::new();
    bench.see(Kind::Task, &task(UID, 2, &naming(&["a"])), 0);
    list(&bench, vec![config("a", &json!({}))]);
    let round = bench.index.wanted_inputs().borrow().clone();
    bench.index.apply(Change::Listing(scope()), at(1));
    bench
        .index
        .apply(Change::Seen(config("b", &json!({})), Source::List), at(1));
    bench.see(Kind::Task, &task(UID, 3, &naming(&["a", "b"])), 1);
    bench.index.apply(Change::Listed(scope()), at(1));
    assert_eq!(
        bench.index.inputs(&key("agent")),
        None,
        "that list dropped b"
    );
    assert_ne!(
        *bench.index.wanted_inputs().borrow(),
        round,
        "the watch is told to list again"
    );
    list(
        &bench,
        vec![config("a", &json!({})), config("b", &json!({}))],
    );
    assert!(matches!(state(&bench, "b"), Some(InputState::Present(_))));
}

#[test]
fn a_task_that_comes_back_before_anybody_noticed_gets_a_new_list() {
    let bench = Bench::new();
    bench.see(Kind::Task, &task(UID, 2, &naming(&["a"])), 0);
    let before = bench.index.wanted_inputs().borrow().clone();
    bench.lose(Kind::Task, &task(UID, 2, &naming(&["a"])), 1);
    assert!(bench.index.wanted_inputs().borrow().is_empty());
    bench.see(Kind::Task, &task(UID, 2, &naming(&["a"])), 2);
    assert_ne!(*bench.index.wanted_inputs().borrow(), before);
}

#[test]
fn an_input_in_doubt_is_unknown_until_a_list_that_began_later_ends_and_that_wakes_its_tasks() {
    let bench = Bench::new();
    bench.see(Kind::Task, &task(UID, 2, &naming(&["a"])), 0);
    list(&bench, vec![config("a", &json!({}))]);
    bench.index.apply(Change::Listing(scope()), at(1));
    bench.index.doubt_inputs();
    assert_eq!(bench.index.inputs(&key("agent")), None);
    let seen = Change::Seen(config("a", &json!({})), Source::List);
    bench.index.apply(seen, at(1));
    bench.index.apply(Change::Listed(scope()), at(1));
    assert_eq!(bench.index.inputs(&key("agent")), None, "begun before");
    assert_eq!(list(&bench, vec![config("a", &json!({}))]), [task_key()]);
    assert!(matches!(state(&bench, "a"), Some(InputState::Present(_))));
    // A refusal may have been lifted since.
    let refusal = || {
        let text = "forbidden".to_owned();
        Change::Denied(InputKind::ConfigMap, "ops".to_owned(), text)
    };
    bench.index.apply(refusal(), at(2));
    bench.index.doubt_inputs();
    assert_eq!(bench.index.inputs(&key("agent")), None);
    assert_eq!(bench.index.apply(refusal(), at(3)), [task_key()]);
}
