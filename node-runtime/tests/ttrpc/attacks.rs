//! Clients that break the rules, on purpose or not: each hurts itself alone.

use std::io::{ErrorKind, Write as _};

use hosttask_node_runtime::ttrpc::Code;
use hosttask_node_runtime::ttrpc::frame::{self, Kind, LONGEST};
use hosttask_node_runtime::ttrpc::message;
use hosttask_node_runtime::ttrpc::server::{CALLS_KEPT, MOST_CALLS_OF_A_CLIENT, MOST_CLIENTS};

use crate::bench::{Bench, request, until};

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const DATA: u8 = 3;

pub(crate) fn a_frame_may_be_empty_or_of_four_mebibytes_and_no_longer(bench: Bench) {
    let mut client = bench.raw();
    // A request of nothing names no service.
    client.send(0, 1, REQUEST, b"");
    assert_eq!(client.refused(1), Code::Unimplemented);
    // Zeros are no request.
    let longest = usize::try_from(LONGEST).unwrap();
    client.send(LONGEST, 3, REQUEST, &vec![0; longest]);
    assert_eq!(client.refused(3), Code::InvalidArgument);
    client.send(LONGEST + 1, 5, REQUEST, &[]);
    assert_eq!(client.refused(5), Code::ResourceExhausted);
    client.0.write_all(&vec![0; longest + 1]).unwrap();
    client.assert_usable(7);
    // Whoever claims this much is told so at once, and never gets to the end of it.
    client.send(u32::MAX, 9, REQUEST, b"some of it");
    assert_eq!(client.refused(9), Code::ResourceExhausted);
    bench.assert_serves();
    drop(client);
    bench.end();
}

pub(crate) fn streams_have_odd_numbers_that_grow(bench: Bench) {
    let mut client = bench.raw();
    let echo = request("Echo", b"x");
    let length = u32::try_from(echo.len()).unwrap();
    for wrong in [0, 2, u32::MAX - 1] {
        client.send(length, wrong, REQUEST, &echo);
        assert_eq!(client.refused(wrong), Code::InvalidArgument);
    }
    client.assert_usable(5);
    for used in [1, 3, 5] {
        client.send(length, used, REQUEST, &echo);
        assert_eq!(client.refused(used), Code::InvalidArgument);
    }
    client.assert_usable(7);
    client.assert_usable(u32::MAX);
    client.send(length, u32::MAX, REQUEST, &echo);
    assert_eq!(client.refused(u32::MAX), Code::InvalidArgument);
    drop(client);
    bench.end();
}

pub(crate) fn frames_that_are_no_request_are_passed_over(bench: Bench) {
    let mut client = bench.raw();
    client.send(3, 1, DATA, b"abc");
    assert_eq!(client.refused(1), Code::InvalidArgument);
    for kind in [0, RESPONSE, 4, 255] {
        client.send(3, 1, kind, b"abc");
    }
    client.assert_usable(1);
    client.send(5, 3, REQUEST, b"\xff\xff\xff\xff\xff");
    assert_eq!(client.refused(3), Code::InvalidArgument);
    client.assert_usable(5);
    drop(client);
    bench.end();
}

pub(crate) fn whoever_stalls_in_a_frame_or_takes_no_answer_is_hung_up_on(bench: Bench) {
    let mut half_header = bench.raw();
    half_header.0.write_all(&[0, 0]).unwrap();
    let mut half_payload = bench.raw();
    half_payload.send(100, 1, REQUEST, b"abc");
    let mut half_skipped = bench.raw();
    half_skipped.send(LONGEST + 1, 1, REQUEST, b"abc");
    let mut greedy = bench.raw();
    // It asks until the server cannot answer, and then cannot read.
    let greedy = std::thread::spawn(move || {
        let echo = request("Echo", &[1; 8192]);
        let mut streams = (1..100_000).step_by(2);
        streams.find_map(|stream| frame::write(&mut greedy.0, Kind::Request, stream, &echo).err())
    });
    bench.assert_serves();
    for client in [&mut half_header, &mut half_payload, &mut half_skipped] {
        client.assert_hung_up();
    }
    let refused = greedy.join().unwrap().expect("the server takes all of it");
    assert_ne!(refused.kind(), ErrorKind::TimedOut, "it is still there");
    bench.assert_serves();
    bench.end();
}

pub(crate) fn ten_thousand_calls_at_once_are_bounded(bench: Bench) {
    const CALLS: usize = 10_000;
    let mut flood = bench.raw().0.split().unwrap();
    flood.0.set_timeout(Some(crate::bench::LONG)).unwrap();
    let refused = std::thread::spawn(move || {
        for _ in 0..CALLS - MOST_CALLS_OF_A_CLIENT {
            let header = frame::read_header(&mut flood.0).unwrap().unwrap();
            let payload = frame::read_payload(&mut flood.0, header.length).unwrap();
            let status = message::answered(&payload).unwrap().unwrap_err();
            assert_eq!(status.code, Code::ResourceExhausted, "{status}");
        }
        flood.0
    });
    let block = request("Block", b"");
    for stream in (1_u32..).step_by(2).take(CALLS) {
        frame::write(&mut flood.1, Kind::Request, stream, &block).unwrap();
    }
    let incoming = refused.join().unwrap();
    until("as many as may are under way", || {
        bench.methods.blocked() == MOST_CALLS_OF_A_CLIENT
    });
    bench.assert_serves();
    assert_eq!(bench.methods.most_blocked(), MOST_CALLS_OF_A_CLIENT);
    // Whoever leaves is not answered: nothing stays behind.
    drop((incoming, flood.1));
    until("the calls end with their client", || {
        bench.methods.blocked() == 0
    });
    bench.end();
}

pub(crate) fn calls_that_wait_and_were_given_up_leave_room_for_others(bench: Bench) {
    const WAITS: usize = MOST_CALLS_OF_A_CLIENT - CALLS_KEPT;
    let mut client = bench.raw();
    // Whoever gives one up cannot say so: it takes its place until what it waits for has happened.
    let mut streams = (1_u32..).step_by(2);
    for stream in streams.by_ref().take(WAITS) {
        client.ask(stream, "Wait", b"");
    }
    until("they wait", || bench.methods.blocked() == WAITS);
    for _ in 0..CALLS_KEPT {
        let one_more = streams.next().unwrap();
        client.ask(one_more, "Wait", b"");
        assert_eq!(client.refused(one_more), Code::ResourceExhausted);
        client.assert_usable(streams.next().unwrap());
    }
    drop(client);
    until("they end with their client", || {
        bench.methods.blocked() == 0
    });
    bench.end();
}

pub(crate) fn memory_for_requests_is_bounded(bench: Bench) {
    let mut client = bench.raw();
    let payload = vec![1; (4 << 20) - 100];
    for stream in [1, 3, 5, 7] {
        client.ask(stream, "Block", &payload);
    }
    until("four calls are under way", || bench.methods.blocked() == 4);
    client.ask(9, "Block", &payload);
    assert_eq!(client.refused(9), Code::ResourceExhausted);
    // A small one has room, and so has another client.
    client.ask(11, "Echo", b"x");
    assert_eq!(client.answer(), (11, Ok(b"x".to_vec())));
    bench.assert_serves();
    bench.methods.release();
    for _ in 0..4 {
        client.answer().1.unwrap();
    }
    client.ask(13, "Echo", &payload);
    assert_eq!(client.answer(), (13, Ok(payload)));
    drop(client);
    bench.end();
}

pub(crate) fn one_client_too_many_is_hung_up_on_and_leaves_room_for_none(bench: Bench) {
    let mut clients: Vec<_> = (0..MOST_CLIENTS).map(|_| bench.raw()).collect();
    for client in &mut clients {
        client.assert_usable(1);
    }
    bench.raw().assert_hung_up();
    clients.pop();
    // Its place is free once the server has seen it leave.
    until("there is room again", || {
        let client = bench.client();
        let answer = client.call(crate::bench::SERVICE, "Echo", b"", crate::bench::LONG);
        answer.is_ok()
    });
    for client in &mut clients {
        client.assert_usable(3);
    }
    drop(clients);
    until("all have left", || {
        let client = bench.client();
        let answer = client.call(crate::bench::SERVICE, "Echo", b"", crate::bench::LONG);
        answer.is_ok()
    });
    bench.end();
}
