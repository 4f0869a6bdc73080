//! A rule that a task must keep, and the problems found so far.

use std::fmt::Display;

use hosttask_crds::Reason;

use super::Problem;

/// The longest value that a problem repeats, in characters.
const SHOWN: usize = 64;

/// Who would refuse what breaks the rule, were it not found here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The API server refuses the pod or the child.
    ApiServer,
    /// The kubelet refuses the pod.
    Kubelet,
    /// containerd fails to create the container.
    Containerd,
    /// hcsshim, which starts the processes for containerd, fails or ignores the field.
    Hcsshim,
    /// Nothing refuses it; Kubernetes documents that it does not work on Windows or for HostProcess containers.
    Documented,
    /// Hosttask itself: the field contradicts another one, or the operator owns it.
    Hosttask,
}

impl Source {
    /// The name for the reference page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiServer => "API server",
            Self::Kubelet => "kubelet",
            Self::Containerd => "containerd",
            Self::Hcsshim => "hcsshim",
            Self::Documented => "Windows",
            Self::Hosttask => "Hosttask",
        }
    }
}

/// Something that every task must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The fields it is about, for the reference page.
    pub field: &'static str,
    /// Who would refuse it otherwise.
    pub source: Source,
    /// What is wrong, and how to mend it. Problems may add details in parentheses.
    pub message: &'static str,
    /// The reason that a breach is reported under.
    pub reason: Reason,
}

/// Declares the rules of one subject as constants, and all of them in order as `RULES`.
macro_rules! rules {
    ($($name:ident: $source:ident, $field:literal, $message:literal;)+) => {
        $(pub(super) const $name: $crate::validate::found::Rule = $crate::validate::found::Rule {
            field: $field,
            source: $crate::validate::found::Source::$source,
            message: $message,
            reason: hosttask_crds::Reason::InvalidSpec,
        };)+
        pub(super) const RULES: &[$crate::validate::found::Rule] = &[$($name),+];
    };
}
pub(super) use rules;

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    problems: Vec<Problem>,
    unreadable: Vec<String>,
}

impl Found {
    /// Reports a breach; the value is none where the field is missing.
    pub(super) fn report(&mut self, rule: &Rule, field: String, value: Option<&dyn Display>) {
        self.push(rule, field, value, rule.message.to_owned());
    }

    /// Reports a breach with a detail, such as the bound that was crossed.
    pub(super) fn report_with(
        &mut self,
        rule: &Rule,
        field: String,
        value: Option<&dyn Display>,
        detail: &str,
    ) {
        self.push(rule, field, value, format!("{} ({detail})", rule.message));
    }

    /// Reports a field that cannot be decoded. Neither it nor what contains it is judged again: that it seems to be
    /// missing would be no news.
    pub(super) fn report_unreadable(
        &mut self,
        rule: &Rule,
        field: String,
        value: Option<&dyn Display>,
        detail: &str,
    ) {
        self.report_with(rule, field.clone(), value, detail);
        self.unreadable.push(field);
    }

    fn push(&mut self, rule: &Rule, field: String, value: Option<&dyn Display>, message: String) {
        if self
            .unreadable
            .iter()
            .any(|unreadable| unreadable.starts_with(&field))
        {
            return;
        }
        let value = value.map(|value| shown(&value.to_string()));
        self.problems.push(Problem {
            reason: rule.reason,
            field,
            value,
            message,
        });
    }

    /// Whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Everything found, in the order of the fields.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// The value on one line and shortened: it goes into a condition's message.
fn shown(value: &str) -> String {
    let escaped = value
        .chars()
        .flat_map(|it| -> Box<dyn Iterator<Item = char>> {
            if it.is_control() {
                Box::new(it.escape_default())
            } else {
                Box::new(std::iter::once(it))
            }
        });
    let mut short: String = escaped.take(SHOWN + 1).collect();
    if short.chars().count() > SHOWN {
        short = short.chars().take(SHOWN - 1).chain(['…']).collect();
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_on_one_short_line() {
        assert_eq!(shown("C:\\a\nb"), "C:\\a\\nb");
        assert_eq!(shown(&"é".repeat(64)).chars().count(), 64);
        let long = shown(&"é".repeat(65));
        assert_eq!((long.chars().count(), long.ends_with("é…")), (64, true));
    }
}
