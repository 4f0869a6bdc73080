//! What is in the frames: which method is called with what, and what it ended with.

use std::time::Duration;

use containerd_shim_protos::ttrpc::proto::{Request, Response, Status as Ended};
use protobuf::{Message as _, MessageField};

use super::status::{Code, Status};

/// A request.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    /// The service.
    pub service: String,
    /// The method.
    pub method: String,
    /// The encoded request of the method.
    pub payload: Vec<u8>,
    /// How long the client waits, in whole nanoseconds; none where it names no time.
    pub timeout: Option<Duration>,
}

/// The payload is left out: it can hold values of environment variables.
impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question")
            .field("service", &self.service)
            .field("method", &self.method)
            .field("payload", &self.payload.len())
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl Question {
    /// As it was received.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no request.
    pub fn decode(bytes: &[u8]) -> Result<Self, Status> {
        let request = Request::parse_from_bytes(bytes).map_err(|error| {
            let message = format!("the request cannot be decoded: {error}");
            Status::new(Code::InvalidArgument, message)
        })?;
        let nanoseconds = u64::try_from(request.timeout_nano).unwrap_or(0);
        Ok(Self {
            service: request.service,
            method: request.method,
            payload: request.payload,
            timeout: (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds)),
        })
    }

    /// As it is sent.
    ///
    /// # Errors
    /// `Internal` where it cannot be encoded.
    pub fn encode(self) -> Result<Vec<u8>, Status> {
        let nanoseconds = self.timeout.map_or(0, |it| it.as_nanos());
        let request = Request {
            service: self.service,
            method: self.method,
            payload: self.payload,
            timeout_nano: i64::try_from(nanoseconds).unwrap_or(i64::MAX),
            ..Request::default()
        };
        encode(&request)
    }
}

/// An answer, as it is sent. It always has a status: older clients insist on one.
///
/// # Errors
/// `Internal` where it cannot be encoded.
pub fn answer(result: Result<Vec<u8>, Status>) -> Result<Vec<u8>, Status> {
    let (status, payload) = match result {
        Ok(payload) => (Ended::default(), payload),
        Err(status) => (status.to_message(), Vec::new()),
    };
    encode(&Response {
        status: MessageField::some(status),
        payload,
        ..Response::default()
    })
}

/// An answer, as it was received; an error where it is none.
///
/// # Errors
/// What the decoder says.
pub fn answered(bytes: &[u8]) -> Result<Result<Vec<u8>, Status>, protobuf::Error> {
    let response = Response::parse_from_bytes(bytes)?;
    let status = response.status.as_ref().and_then(Status::from_message);
    Ok(status.map_or(Ok(response.payload), Err))
}

fn encode(message: &impl protobuf::Message) -> Result<Vec<u8>, Status> {
    let encoded = message.write_to_bytes();
    encoded.map_err(|error| Status::new(Code::Internal, format!("it cannot be encoded: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_same_after_a_way() {
        for timeout in [
            None,
            Some(Duration::from_nanos(1)),
            Some(Duration::from_secs(9)),
        ] {
            let question = Question {
                service: "containerd.task.v3.Task".to_owned(),
                method: "Kill".to_owned(),
                payload: vec![1, 2],
                timeout,
            };
            let bytes = question.clone().encode().unwrap();
            assert_eq!(Question::decode(&bytes).unwrap(), question);
        }
    }

    #[test]
    fn a_time_that_is_over_or_endless_is_none_or_long() {
        let decoded = |timeout_nano| {
            let request = Request {
                timeout_nano,
                ..Request::default()
            };
            let bytes = request.write_to_bytes().unwrap();
            Question::decode(&bytes).unwrap().timeout
        };
        assert_eq!(decoded(-1), None);
        assert_eq!(decoded(i64::MAX).unwrap().as_secs(), 9_223_372_036);
        let endless = Question {
            timeout: Some(Duration::MAX),
            ..Question::decode(b"").unwrap()
        };
        let bytes = endless.encode().unwrap();
        assert!(Question::decode(&bytes).unwrap().timeout.is_some());
    }

    #[test]
    fn an_answer_is_the_same_after_a_way() {
        let failure = Status::new(Code::NotFound, "no such task");
        for result in [Ok(vec![3]), Ok(Vec::new()), Err(failure)] {
            let bytes = answer(result.clone()).unwrap();
            assert_eq!(answered(&bytes).unwrap(), result);
            let sent = Response::parse_from_bytes(&bytes).unwrap();
            assert!(sent.status.is_some());
        }
    }
}
