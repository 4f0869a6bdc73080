//! What can go wrong in a pass, sorted by what is to be done about it.

use std::time::Duration;

use hosttask_crds::Reason;
use kube::core::Status;
use kube::core::response::StatusCause;

use crate::client::Withheld;
use crate::{apply, observe, report};

/// Why a pass did not do all it wanted.
#[expect(
    clippy::error_impl_error,
    reason = "one Error per step; the module is part of its name"
)]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A live read failed.
    #[error("failed to observe the cluster")]
    Observe(#[source] Box<observe::Error>),
    /// Pods that nobody looks after could not be cleared away.
    #[error("failed to clear away pods of deleted tasks")]
    Strays(#[source] Box<kube::Error>),
    /// A write failed.
    #[error("failed to apply the plan")]
    Apply(#[source] Box<apply::Error>),
    /// The status could not be written.
    #[error("failed to report the status")]
    Report(#[source] Box<report::Error>),
    /// The pass took longer than it may.
    #[error("gave up on the pass after {} s", .0.as_secs())]
    Deadline(Duration),
    /// The pass panicked: a defect of the operator.
    #[error("panicked: {0}")]
    Panic(String),
}

/// Why something failed, as one word for metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// What was read is out of date: another writer was faster.
    Stale,
    /// The API server refuses the object.
    Refused,
    /// An object of that name belongs to somebody else.
    NameConflict,
    /// The API server asks for fewer requests.
    Throttled,
    /// The API server cannot be reached or cannot answer.
    Unavailable,
    /// It took too long.
    TimedOut,
    /// This process is not the leader any more.
    Fenced,
    /// The namespace is being deleted.
    Terminating,
    /// A defect of the operator.
    Panic,
}

impl Cause {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "Stale",
            Self::Refused => "Refused",
            Self::NameConflict => "NameConflict",
            Self::Throttled => "Throttled",
            Self::Unavailable => "Unavailable",
            Self::TimedOut => "TimedOut",
            Self::Fenced => "Fenced",
            Self::Terminating => "Terminating",
            Self::Panic => "Panic",
        }
    }
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Read again and decide again.
    Now,
    /// Try again with back-off, but not before this time.
    Backoff(Duration),
    /// Nothing: somebody else has to act, and the watches will tell.
    OnChange,
}

/// The delay before a refused child is tried again for the first time.
pub const FIRST_REFUSED_RETRY: Duration = Duration::from_secs(5);

impl Cause {
    /// What to do about it.
    pub fn retry(self) -> Retry {
        match self {
            Self::Stale => Retry::Now,
            Self::Refused | Self::NameConflict => Retry::Backoff(FIRST_REFUSED_RETRY),
            Self::Throttled | Self::Unavailable | Self::TimedOut | Self::Panic => {
                Retry::Backoff(Duration::ZERO)
            }
            Self::Fenced | Self::Terminating => Retry::OnChange,
        }
    }
}

impl Error {
    /// What to do about it. A server that asks for time gets it.
    pub fn retry(&self) -> Retry {
        match (self.cause().retry(), self.client_error()) {
            (Retry::Backoff(at_least), Some(kube::Error::Api(status))) => {
                let asked = status
                    .details
                    .as_ref()
                    .map_or(0, |details| details.retry_after_seconds);
                Retry::Backoff(at_least.max(Duration::from_secs(u64::from(asked))))
            }
            (retry, _) => retry,
        }
    }

    fn client_error(&self) -> Option<&kube::Error> {
        match self {
            Self::Observe(error) => Some(error.client_error()),
            Self::Apply(error) => error.client_error(),
            Self::Report(error) => Some(error.client_error()),
            Self::Strays(error) => Some(error),
            Self::Deadline(_) | Self::Panic(_) => None,
        }
    }

    /// Why, as one word.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Observe(error) => cause_of(error.client_error()),
            Self::Apply(error) => error.cause(),
            Self::Report(error) => cause_of(error.client_error()),
            Self::Strays(error) => cause_of(error),
            Self::Deadline(_) => Cause::TimedOut,
            Self::Panic(_) => Cause::Panic,
        }
    }
}

/// Why a request failed, as one word.
pub fn cause_of(error: &kube::Error) -> Cause {
    match withheld(error) {
        Some(Withheld::Fenced) => return Cause::Fenced,
        Some(Withheld::TimedOut) => return Cause::TimedOut,
        None => {}
    }
    let kube::Error::Api(status) = error else {
        return Cause::Unavailable;
    };
    match status.code {
        _ if has_cause(status, "NamespaceTerminating") => Cause::Terminating,
        404 | 409 | 410 => Cause::Stale,
        429 => Cause::Throttled,
        // A patch that names the UID, and the object of that name is another one by now.
        422 if is_about(status, "metadata.uid") => Cause::Stale,
        400 | 403 | 405 | 413 | 415 | 422 => Cause::Refused,
        _ => Cause::Unavailable,
    }
}

/// Why our own client did not send the request, where that is the reason.
pub fn withheld(error: &kube::Error) -> Option<Withheld> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(withheld) = error.downcast_ref::<Withheld>() {
            return Some(*withheld);
        }
        // a boxed error is not the error in the box
        if let Some(kube::Error::Service(inner)) = error.downcast_ref::<kube::Error>() {
            next = Some(inner.as_ref());
        } else {
            next = error.source();
        }
    }
    None
}

fn has_cause(status: &Status, reason: &str) -> bool {
    causes(status).any(|cause| cause.reason == reason)
}

fn is_about(status: &Status, field: &str) -> bool {
    causes(status).any(|cause| cause.field == field)
}

fn causes(status: &Status) -> impl Iterator<Item = &StatusCause> {
    status.details.iter().flat_map(|details| &details.causes)
}

/// The most characters of an API server's words that go into a condition.
const MAX_MESSAGE: usize = 1_024;

/// What a refusal means for the task: the reason to report, and the API server's words with the task's field paths.
///
/// A DaemonSet and a Job both carry the task's template under `spec.template`, where the task has it too, so those
/// paths stay; anything else is a field the operator made, and is named as the child's.
pub fn refusal(child: &str, status: &Status) -> (Reason, String) {
    let causes: Vec<String> = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .filter(|cause| !cause.field.is_empty())
        .map(|cause| {
            let whose = if cause.field.starts_with("spec.template") {
                ""
            } else {
                "of the child: "
            };
            format!("{whose}{}: {}", cause.field, cause.message)
        })
        .collect();
    let words = if causes.is_empty() {
        status.message.clone()
    } else {
        causes.join("; ")
    };
    let denied = status.message.contains("violates PodSecurity");
    let reason = if denied {
        Reason::PodSecurityDenied
    } else {
        Reason::ChildRejected
    };
    let message = format!("The API server refused {child}: {words}");
    (reason, message.chars().take(MAX_MESSAGE).collect())
}

/// An error with its causes as one line. Causes that an error repeats in its own text are left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // a boxed source shows itself as the box
        let client = error
            .downcast_ref::<Box<kube::Error>>()
            .map(AsRef::as_ref)
            .or_else(|| error.downcast_ref());
        if let Some(kube::Error::Api(status)) = client {
            // its own text is the whole status, in the notation of a debugger
            return format!(
                "{line}: the API server answered {}: {}",
                status.code, status.message
            );
        }
        let text = error.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::response::StatusDetails;

    fn status(code: u16, message: &str, causes: &[(&str, &str, &str)]) -> Status {
        let causes = causes
            .iter()
            .map(|(field, message, reason)| StatusCause {
                field: (*field).into(),
                message: (*message).into(),
                reason: (*reason).into(),
            })
            .collect();
        let none = String::new;
        let details = StatusDetails {
            name: none(),
            group: none(),
            kind: none(),
            uid: none(),
            causes,
            retry_after_seconds: 0,
        };
        Status::failure(message, "")
            .with_code(code)
            .with_details(details)
    }

    #[test]
    fn every_status_code_has_one_answer() {
        let cause = |code| cause_of(&kube::Error::Api(status(code, "", &[]).boxed()));
        let table = [
            (400, Cause::Refused),
            (401, Cause::Unavailable),
            (403, Cause::Refused),
            (404, Cause::Stale),
            (409, Cause::Stale),
            (413, Cause::Refused),
            (422, Cause::Refused),
            (429, Cause::Throttled),
            (500, Cause::Unavailable),
            (503, Cause::Unavailable),
            (504, Cause::Unavailable),
        ];
        for (code, expected) in table {
            assert_eq!(cause(code), expected, "{code}");
        }
        let terminating = status(
            403,
            "",
            &[("metadata.namespace", "", "NamespaceTerminating")],
        );
        assert_eq!(
            cause_of(&kube::Error::Api(terminating.boxed())).retry(),
            Retry::OnChange
        );
        let another = [("metadata.uid", "field is immutable", "FieldValueInvalid")];
        assert_eq!(
            cause_of(&kube::Error::Api(status(422, "", &another).boxed())),
            Cause::Stale
        );
        assert_eq!(
            cause_of(&kube::Error::Service("reset".into())),
            Cause::Unavailable
        );
        assert_eq!(
            cause_of(&kube::Error::Service(Withheld::Fenced.into())),
            Cause::Fenced
        );
        assert_eq!(
            cause_of(&kube::Error::Service(Box::new(kube::Error::Service(
                Withheld::Fenced.into()
            )))),
            Cause::Fenced
        );
    }

    #[test]
    fn a_refusal_is_told_with_the_field_paths_of_the_task() {
        let refused = status(
            422,
            "DaemonSet.apps is invalid",
            &[
                (
                    "spec.template.spec.containers[0].image",
                    "Required value",
                    "FieldValueRequired",
                ),
                ("spec.selector", "field is immutable", "FieldValueInvalid"),
            ],
        );
        let (reason, message) = refusal("the DaemonSet exporter", &refused);
        assert_eq!(reason, Reason::ChildRejected);
        assert_eq!(
            message,
            "The API server refused the DaemonSet exporter: spec.template.spec.containers[0].image: Required value; \
             of the child: spec.selector: field is immutable"
        );
        let denied = status(
            403,
            "pods \"x\" is forbidden: violates PodSecurity \"baseline:latest\": hostProcess",
            &[],
        );
        assert_eq!(refusal("the pod", &denied).0, Reason::PodSecurityDenied);
        let long = status(403, &"x".repeat(5_000), &[]);
        assert_eq!(refusal("the pod", &long).1.chars().count(), MAX_MESSAGE);
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        let error = Error::Apply(Box::new(apply::Error::Write {
            what: apply::Write::CreateJob,
            name: "a".into(),
            source: Box::new(kube::Error::Api(status(500, "etcd is away", &[]).boxed())),
        }));
        let line = chain(&error);
        assert_eq!(
            line,
            "failed to apply the plan: failed to create Job a: the API server answered 500: etcd is away"
        );
    }
}
