//! Numbers of nodes and percentages of them.

use std::fmt::Display;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::found::{Found, Rule};
use crate::desired::Amount;

/// A number of nodes from `least`, or a percentage from `least` to 100. None where it is left out, or breaks the rule and is
/// reported.
pub(super) fn amount(
    value: Option<&IntOrString>,
    least: i32,
    rule: &Rule,
    field: &str,
    found: &mut Found,
) -> Option<Amount> {
    let value = value?;
    let amount = read(value, least);
    if amount.is_none() {
        let shown: &dyn Display = match value {
            IntOrString::Int(count) => count,
            IntOrString::String(text) => text,
        };
        found.report(rule, field.to_owned(), Some(shown));
    }
    amount
}

fn read(value: &IntOrString, least: i32) -> Option<Amount> {
    match value {
        IntOrString::Int(count) => (*count >= least).then_some(Amount::Count(*count)),
        IntOrString::String(text) => {
            let digits = text.strip_suffix('%')?;
            let is_plain =
                (1..=3).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
            let percent: i32 = is_plain.then(|| digits.parse().ok())??;
            (least..=100)
                .contains(&percent)
                .then_some(Amount::Percent(percent))
        }
    }
}
