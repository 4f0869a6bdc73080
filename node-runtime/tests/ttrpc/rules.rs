//! What clients that keep to the rules can rely on.

use std::io::{ErrorKind, Read as _};
use std::thread;
use std::time::Duration;

use hosttask_node_runtime::ttrpc::{Client, Code, Error};

use crate::bench::{Bench, LONG, SERVICE, code, kind, until};

pub(crate) fn answers_come_as_they_are_ready(bench: Bench) {
    let client = bench.client();
    thread::scope(|scope| {
        let waiting: Vec<_> = [(); 10]
            .map(|()| scope.spawn(|| client.call(SERVICE, "Block", b"", LONG)))
            .into();
        until("ten wait", || bench.methods.blocked() == 10);
        for number in 0..50_u8 {
            let answer = client.call(SERVICE, "Echo", &[number], LONG).unwrap();
            assert_eq!(answer, [number]);
        }
        assert!(waiting.iter().all(|it| !it.is_finished()));
        bench.methods.release();
        for it in waiting {
            it.join().unwrap().unwrap();
        }
    });
    drop(client);
    bench.end();
}

pub(crate) fn every_failure_arrives_with_its_code_and_words(bench: Bench) {
    let client = bench.client();
    for (number, &wanted) in (0_u8..).zip(Code::ALL) {
        let error = client.call(SERVICE, "Fail", &[number], LONG).unwrap_err();
        let text = error.to_string();
        assert_eq!(code::<()>(Err(error)), wanted);
        assert!(text.contains("was asked for"), "{text}");
    }
    let unknown = client.call("nobody", "Echo", b"", LONG);
    assert_eq!(code(unknown), Code::Unimplemented);
    let unknown = client.call(SERVICE, "Nothing", b"", LONG);
    assert_eq!(code(unknown), Code::Unimplemented);
    drop(client);
    bench.end();
}

pub(crate) fn a_mistake_of_the_service_is_the_failure_of_one_call(bench: Bench) {
    let client = bench.client();
    let panicked = client.call(SERVICE, "Panic", b"", LONG);
    assert_eq!(code(panicked), Code::Internal);
    assert_eq!(client.call(SERVICE, "Echo", b"x", LONG).unwrap(), b"x");
    drop(client);
    bench.end();
}

pub(crate) fn a_call_that_is_given_up_leaves_the_connection_usable(bench: Bench) {
    let client = bench.client();
    let late = client.call(SERVICE, "Late", b"", Duration::from_millis(50));
    assert_eq!(kind(late), ErrorKind::TimedOut);
    // Its time went with it, so the service knows that nobody waits.
    until("the service knows", || {
        bench.methods.most_blocked() == 1 && bench.methods.blocked() == 0
    });
    bench.methods.release();
    assert_eq!(client.call(SERVICE, "Echo", b"x", LONG).unwrap(), b"x");
    drop(client);
    bench.end();
}

pub(crate) fn an_answer_that_is_too_long_is_a_failure(bench: Bench) {
    let client = bench.client();
    let long = client.call(SERVICE, "Long", b"", LONG);
    assert_eq!(code(long), Code::ResourceExhausted);
    let long = client.call(SERVICE, "Echo", &vec![0; 5 << 20], LONG);
    assert_eq!(kind(long), ErrorKind::InvalidInput);
    let nearly = vec![7; (4 << 20) - 100];
    assert_eq!(client.call(SERVICE, "Echo", &nearly, LONG).unwrap(), nearly);
    drop(client);
    bench.end();
}

pub(crate) fn whoever_waits_for_a_server_that_dies_is_told(bench: Bench) {
    let other = format!("{}-other", bench.address);
    let mut listener = bench.host.listen(&other).unwrap();
    let client = Client::connect(&bench.host, &other, LONG).unwrap();
    let mut server = listener.accept(LONG).unwrap().unwrap();
    server.set_timeout(Some(LONG)).unwrap();
    thread::scope(|scope| {
        let waiting = [(); 2].map(|()| scope.spawn(|| client.call(SERVICE, "Echo", b"", LONG)));
        // It was asked, and dies without an answer.
        assert_eq!(server.read(&mut [0]).unwrap(), 1);
        drop(server);
        for it in waiting {
            assert_gone(it.join().unwrap());
        }
    });
    assert_gone(client.call(SERVICE, "Echo", b"", LONG));
    bench.end();
}

/// That a call failed as the server is gone: while it was asked, or before.
fn assert_gone(result: Result<Vec<u8>, Error>) {
    let gone = kind(result);
    let told = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    assert!(told.contains(&gone), "{gone:?}");
}

pub(crate) fn a_call_that_ends_the_server_is_answered(bench: Bench) {
    let idle = bench.client();
    idle.call(SERVICE, "Echo", b"", LONG).unwrap();
    let address = bench.address.clone();
    let host = std::sync::Arc::clone(&bench.host);
    bench.end();
    // Those who stay are hung up on.
    until("the idle client is hung up on", || {
        idle.call(SERVICE, "Echo", b"", LONG).is_err()
    });
    let error = host
        .connect(&address, Duration::from_millis(50))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
