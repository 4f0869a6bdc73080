//! What a call ends with where it fails: a code of gRPC, and words.

use containerd_shim_protos::ttrpc::proto;
use protobuf::Enum as _;

/// The longest message that is sent, in bytes: whoever shows it should not have to.
const LONGEST: usize = 16 * 1024;

/// A failure of a call, as the other side is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code:?})")]
pub struct Status {
    /// What kind of failure it is.
    pub code: Code,
    /// What failed, for people.
    pub message: String,
}

impl Status {
    /// A failure.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > LONGEST {
            message.truncate(message.floor_char_boundary(LONGEST));
        }
        Self { code, message }
    }

    /// As it is sent.
    pub(super) fn to_message(&self) -> proto::Status {
        proto::Status {
            code: self.code.to_message().into(),
            message: self.message.clone(),
            ..proto::Status::default()
        }
    }

    /// As it was received; none where it says that all went well.
    pub(super) fn from_message(status: &proto::Status) -> Option<Self> {
        let code = match proto::Code::from_i32(status.code.value()) {
            Some(proto::Code::OK) => return None,
            Some(code) => Code::from_message(code),
            None => Code::Unknown,
        };
        Some(Self::new(code, status.message.clone()))
    }
}

/// A code of gRPC, all but `OK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// The caller gave up.
    Cancelled,
    /// Nothing better is known.
    Unknown,
    /// The request is wrong in any state.
    InvalidArgument,
    /// The time of the call was over first.
    DeadlineExceeded,
    /// There is no such thing.
    NotFound,
    /// There is one already.
    AlreadyExists,
    /// The caller may not.
    PermissionDenied,
    /// Too much of something is used already.
    ResourceExhausted,
    /// The state does not allow it.
    FailedPrecondition,
    /// Something else came first.
    Aborted,
    /// A number is beyond what there is.
    OutOfRange,
    /// There is no such service or method, or it cannot be done here.
    Unimplemented,
    /// A mistake of ours, or a failure of the system.
    Internal,
    /// It may work later.
    Unavailable,
    /// Data is lost.
    DataLoss,
    /// It is not known who the caller is.
    Unauthenticated,
}

/// Both ways between our codes and those of the messages, from one table.
macro_rules! codes {
    ($($code:ident $message:ident)*) => {
        impl Code {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            fn to_message(self) -> proto::Code {
                match self {
                    $(Self::$code => proto::Code::$message,)*
                }
            }

            /// `OK` is no failure, so whoever sends it as one is not understood.
            fn from_message(code: proto::Code) -> Self {
                match code {
                    proto::Code::OK => Self::Unknown,
                    $(proto::Code::$message => Self::$code,)*
                }
            }
        }
    };
}

codes! {
    Cancelled CANCELLED
    Unknown UNKNOWN
    InvalidArgument INVALID_ARGUMENT
    DeadlineExceeded DEADLINE_EXCEEDED
    NotFound NOT_FOUND
    AlreadyExists ALREADY_EXISTS
    PermissionDenied PERMISSION_DENIED
    ResourceExhausted RESOURCE_EXHAUSTED
    FailedPrecondition FAILED_PRECONDITION
    Aborted ABORTED
    OutOfRange OUT_OF_RANGE
    Unimplemented UNIMPLEMENTED
    Internal INTERNAL
    Unavailable UNAVAILABLE
    DataLoss DATA_LOSS
    Unauthenticated UNAUTHENTICATED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_the_same_after_a_way_through_a_message() {
        for &code in Code::ALL {
            let status = Status::new(code, "what failed");
            assert_eq!(
                Status::from_message(&status.to_message()),
                Some(status),
                "{code:?}"
            );
        }
        assert_eq!(Status::from_message(&proto::Status::default()), None);
    }

    #[test]
    fn a_code_that_is_not_known_is_a_failure_too() {
        let strange = proto::Status {
            code: protobuf::EnumOrUnknown::from_i32(99),
            ..proto::Status::default()
        };
        let status = Status::from_message(&strange).unwrap();
        assert_eq!(status.code, Code::Unknown);
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let status = Status::new(Code::Internal, "ä".repeat(LONGEST));
        assert_eq!(status.message, "ä".repeat(LONGEST / 2));
    }
}
