//! Placement against a plain restatement of Kubernetes' rules for labels and taints.

use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use proptest::prelude::*;

fn taint(key: &str, value: &str, effect: &str) -> Taint {
    Taint {
        key: key.into(),
        value: value.into(),
        effect: effect.into(),
    }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn without_a_placement_every_windows_node_and_no_other_is_selected() {
    let placement = compile(None);
    assert!(placement.selects(&labels(&[(OS, "windows")])));
    assert!(!placement.selects(&labels(&[(OS, "linux")])));
    assert!(!placement.selects(&labels(&[])));
    assert!(placement.include_unschedulable);
}

#[test]
fn builds_and_selectors_must_all_hold() {
    let placement = compile(Some(&hosttask_crds::task::Placement {
        windows_builds: vec!["10.0.20348".into(), "10.0.26100".into()],
        node_selector: Some(LabelSelector {
            match_labels: Some(labels(&[("pool", "a")])),
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "gpu".into(),
                operator: "DoesNotExist".into(),
                values: None,
            }]),
        }),
        ..Default::default()
    }));
    let node = labels(&[
        (OS, "windows"),
        (WINDOWS_BUILD, "10.0.26100"),
        ("pool", "a"),
    ]);
    assert!(placement.selects(&node));
    for (key, value) in [
        (WINDOWS_BUILD, "10.0.17763"),
        ("pool", "b"),
        ("gpu", ""),
        (OS, "linux"),
    ] {
        let mut other = node.clone();
        other.insert(key.into(), value.into());
        assert!(!placement.selects(&other), "{key}={value}");
    }
}

#[test]
fn windows_pools_are_tolerated_and_foreign_pools_are_not() {
    let placement = compile(None);
    for key in ["os", "node.kubernetes.io/os"] {
        for value in ["Windows", "windows", "win1809"] {
            assert!(
                placement.tolerates(&[taint(key, value, "NoSchedule")]),
                "{key}={value}"
            );
        }
    }
    assert!(!placement.tolerates(&[taint("sku", "gpu", "NoSchedule")]));
    assert!(!placement.tolerates(&[taint("sku", "gpu", "NoExecute")]));
    assert!(placement.tolerates(&[taint("sku", "gpu", "PreferNoSchedule")]));
}

#[test]
fn all_and_none_mean_what_they_say() {
    let with = |tolerate| {
        compile(Some(&hosttask_crds::task::Placement {
            tolerate: Some(tolerate),
            ..Default::default()
        }))
    };
    assert!(with(Tolerate::All).tolerates(&[taint("sku", "gpu", "NoExecute")]));
    assert!(!with(Tolerate::None).tolerates(&[taint("os", "windows", "NoSchedule")]));
}

#[test]
fn a_node_in_trouble_still_belongs_to_the_task() {
    let placement = compile(Some(&hosttask_crds::task::Placement {
        tolerate: Some(Tolerate::None),
        include_unschedulable: Some(false),
        ..Default::default()
    }));
    for (key, _) in NODE_STATE {
        for effect in ["NoSchedule", "NoExecute"] {
            assert!(
                placement.tolerates(&[taint(key, "", effect)]),
                "{key}:{effect}"
            );
        }
    }
    assert!(placement.tolerates(&[taint(UNSCHEDULABLE, "", "NoSchedule")]));
}

/// Kubernetes' documentation of tolerations, sentence by sentence.
fn matches_as_documented(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let keys_are_the_same = text(&toleration.key) == taint.key;
    let effects_are_the_same = text(&toleration.effect) == taint.effect;
    // "An empty effect matches all effects with the key."
    let effect_matches = effects_are_the_same || text(&toleration.effect).is_empty();
    let operator = toleration
        .operator
        .clone()
        .unwrap_or_else(|| "Equal".into());
    // "An empty key with operator Exists matches all keys, values and effects."
    if text(&toleration.key).is_empty() {
        return effect_matches && (operator == "Exists" || text(&toleration.value) == taint.value);
    }
    let value_matches = operator == "Exists" || text(&toleration.value) == taint.value;
    keys_are_the_same && effect_matches && value_matches
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(words).prop_map(str::to_owned)
}

fn any_toleration() -> impl Strategy<Value = Toleration> {
    let operator = proptest::option::of(word(&["Exists", "Equal"]));
    let key = proptest::option::of(word(&["os", "sku", ""]));
    let value = proptest::option::of(word(&["windows", "gpu", ""]));
    let effect = proptest::option::of(word(&["NoSchedule", "NoExecute", "PreferNoSchedule", ""]));
    (operator, key, value, effect).prop_map(|(operator, key, value, effect)| Toleration {
        operator,
        key,
        value,
        effect,
        toleration_seconds: None,
    })
}

fn any_taint() -> impl Strategy<Value = Taint> {
    (
        word(&["os", "sku", "team", "node.kubernetes.io/not-ready"]),
        word(&["windows", "gpu", ""]),
        word(&["NoSchedule", "NoExecute", "PreferNoSchedule"]),
    )
        .prop_map(|(key, value, effect)| Taint { key, value, effect })
}

fn any_requirement() -> impl Strategy<Value = Requirement> {
    let operator = proptest::sample::select(&[
        Operator::In,
        Operator::NotIn,
        Operator::Exists,
        Operator::DoesNotExist,
    ]);
    (
        word(&["a", "b"]),
        operator,
        proptest::collection::vec(word(&["x", "y"]), 1..3),
    )
        .prop_map(|(key, operator, values)| Requirement {
            key,
            operator,
            values,
        })
}

/// Waves as a spec can have them, and the last that takes the rest.
fn any_waves() -> impl Strategy<Value = Vec<Wave>> {
    let wave = proptest::collection::vec(any_requirement(), 1..4);
    proptest::collection::vec(wave, 0..4).prop_map(|all| {
        let named = all.into_iter().enumerate().map(|(at, requirements)| Wave {
            name: format!("wave-{at}"),
            requirements,
            ..Wave::rest()
        });
        named.chain([Wave::rest()]).collect()
    })
}

fn wave(requirements: Vec<Requirement>) -> Wave {
    Wave {
        requirements,
        ..Wave::rest()
    }
}

#[test]
fn a_node_is_in_the_first_wave_that_it_fits() {
    let ring = |value: &str| wave(vec![within("ring", vec![value.to_owned()])]);
    let waves = [ring("0"), ring("1"), ring("0"), Wave::rest()];
    let of = |value: &str| wave_of(&waves, &labels(&[("ring", value)]));
    assert_eq!([of("0"), of("1"), of("2")], [0, 1, 3]);
    assert_eq!(wave_of(&waves, &labels(&[])), 3);
}

#[test]
fn a_later_wave_leaves_out_what_an_earlier_one_takes() {
    let waves = [
        wave(vec![
            within("ring", vec!["0".into()]),
            within("zone", vec!["a".into()]),
        ]),
        Wave::rest(),
    ];
    let placement = compile(None);
    let text = |position| {
        let all = scope(&placement, &waves, position);
        all.iter()
            .map(|all| {
                let one = |it: &Requirement| {
                    format!(
                        "{} {} {}",
                        it.key,
                        it.operator.as_str(),
                        it.values.join(",")
                    )
                };
                all.iter().map(one).collect::<Vec<_>>().join(" and ")
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        text(0),
        ["kubernetes.io/os In windows and ring In 0 and zone In a"]
    );
    assert_eq!(
        text(1),
        [
            "kubernetes.io/os In windows and ring NotIn 0",
            "kubernetes.io/os In windows and zone NotIn a"
        ]
    );
}

proptest! {
    #[test]
    fn each_selected_node_is_in_the_scope_of_its_own_wave_and_of_no_other(
        waves in any_waves(),
        requirements in proptest::collection::vec(any_requirement(), 0..3),
        labels in proptest::collection::btree_map(word(&["a", "b", "c"]), word(&["x", "y", "z"]), 0..3),
    ) {
        let placement = Placement { requirements, ..Placement::default() };
        let is_in = |position| {
            let alternatives = scope(&placement, &waves, position);
            // Kubernetes' rule of nodeSelectorTerms: one of them, and all that is in it.
            alternatives.iter().any(|all| all.iter().all(|it| it.is_met_by(&labels)))
        };
        let found: Vec<usize> = (0..waves.len()).filter(|position| is_in(*position)).collect();
        let expected = placement.selects(&labels).then(|| wave_of(&waves, &labels));
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_number_of_alternatives_is_known_before_they_are_written(waves in any_waves()) {
        let written = |position| scope(&Placement::default(), &waves, position).len();
        let last = waves.len() - 1;
        prop_assert_eq!(written(last), alternatives(&waves));
        prop_assert!((0..last).all(|position| written(position) <= written(last)));
    }

    #[test]
    fn tolerations_work_as_kubernetes_documents_them(
        tolerations in proptest::collection::vec(any_toleration(), 0..4),
        taints in proptest::collection::vec(any_taint(), 0..4),
    ) {
        let expected = taints.iter().all(|taint| {
            taint.effect == "PreferNoSchedule"
                || taint.key == "node.kubernetes.io/not-ready"
                || tolerations.iter().any(|toleration| matches_as_documented(toleration, taint))
        });
        let placement = Placement { tolerations, ..Placement::default() };
        prop_assert_eq!(placement.tolerates(&taints), expected);
    }

    #[test]
    fn label_requirements_work_as_kubernetes_documents_them(
        requirements in proptest::collection::vec(any_requirement(), 0..4),
        labels in proptest::collection::btree_map(word(&["a", "b", "c"]), word(&["x", "y", "z"]), 0..3),
    ) {
        let expected = requirements.iter().all(|it| match (it.operator, labels.get(&it.key)) {
            (Operator::In, Some(value)) => it.values.contains(value),
            (Operator::NotIn, Some(value)) => !it.values.contains(value),
            (Operator::In | Operator::Exists, None) | (Operator::DoesNotExist, Some(_)) => false,
            (Operator::Exists, Some(_)) | (Operator::NotIn | Operator::DoesNotExist, None) => true,
        });
        let placement = Placement { requirements, ..Placement::default() };
        prop_assert_eq!(placement.selects(&labels), expected);
    }
}
