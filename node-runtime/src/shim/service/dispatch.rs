//! From a call to a method, and back. The messages of both versions of the service are the same on the wire.

use containerd_shim_protos::api::{Empty, ShutdownRequest};
use protobuf::Message;

use super::Shim;
use super::failure::Failure;
use crate::ttrpc::{Call, Service, Status};

/// The service as containerd 1.x and 2.x name it.
const SERVICES: [&str; 2] = ["containerd.task.v2.Task", "containerd.task.v3.Task"];

impl Service for Shim {
    fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, Status> {
        Ok(self.answer(call)?)
    }
}

impl Shim {
    fn answer(&self, call: &Call<'_>) -> Result<Vec<u8>, Failure> {
        if !SERVICES.contains(&call.service) {
            return Err(no_method(call));
        }
        match call.method {
            "Shutdown" => done(call, |it: ShutdownRequest| self.shutdown(&it)),
            _ => Err(no_method(call)),
        }
    }
}

/// Answers a call that has something to say.
fn say<Q: Message, A: Message>(
    call: &Call<'_>,
    work: impl FnOnce(Q) -> Result<A, Failure>,
) -> Result<Vec<u8>, Failure> {
    let request = Q::parse_from_bytes(call.payload).map_err(|source| Failure::Decode {
        method: call.method.to_owned(),
        source,
    })?;
    let answer = work(request)?;
    answer.write_to_bytes().map_err(|source| Failure::Encode {
        method: call.method.to_owned(),
        source,
    })
}

/// Answers a call that is just done.
fn done<Q: Message>(
    call: &Call<'_>,
    work: impl FnOnce(Q) -> Result<(), Failure>,
) -> Result<Vec<u8>, Failure> {
    say(call, |request: Q| work(request).map(|()| Empty::new()))
}

fn no_method(call: &Call<'_>) -> Failure {
    Failure::NoMethod {
        service: call.service.to_owned(),
        method: call.method.to_owned(),
    }
}
