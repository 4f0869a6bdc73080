//! Connections between processes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use hosttask_node_runtime::sys::{Connection, Listener};

use crate::bench::{Bench, LONG, SHORT, kind, until};

/// An address that nobody serves.
fn address(bench: &Bench) -> String {
    let name = Bench::name();
    if bench.is_windows() {
        format!(r"\\.\pipe\{name}")
    } else {
        bench.path(&name)
    }
}

/// A client and its server.
fn pair(bench: &Bench, listener: &mut dyn Listener, at: &str) -> [Box<dyn Connection>; 2] {
    let client = bench.host.connect(at, LONG).unwrap();
    let server = listener.accept(LONG).unwrap().unwrap();
    let mut ends = [client, server];
    for end in &mut ends {
        end.set_timeout(Some(LONG)).unwrap();
    }
    ends
}

pub(crate) fn what_is_sent_arrives_both_ways(bench: &Bench) {
    let at = address(bench);
    let mut listener = bench.host.listen(&at).unwrap();
    let [mut client, mut server] = pair(bench, listener.as_mut(), &at);
    for text in ["hello", "and again"] {
        let mut buffer = vec![0; text.len()];
        client.write_all(text.as_bytes()).unwrap();
        client.flush().unwrap();
        server.read_exact(&mut buffer).unwrap();
        assert_eq!(buffer, text.as_bytes());
        server.write_all(&buffer).unwrap();
        client.read_exact(&mut buffer).unwrap();
        assert_eq!(buffer, text.as_bytes());
    }
}

pub(crate) fn a_connection_ends_when_the_other_side_closes_it(bench: &Bench) {
    let at = address(bench);
    let mut listener = bench.host.listen(&at).unwrap();
    for server_closes in [true, false] {
        let [client, server] = pair(bench, listener.as_mut(), &at);
        let (mut writer, mut reader) = if server_closes {
            (server, client)
        } else {
            (client, server)
        };
        writer.write_all(b"last words").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "last words");
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
    }
}

pub(crate) fn a_read_ends_with_its_time(bench: &Bench) {
    let at = address(bench);
    let mut listener = bench.host.listen(&at).unwrap();
    let [mut client, mut server] = pair(bench, listener.as_mut(), &at);
    for end in [&mut client, &mut server] {
        end.set_timeout(Some(SHORT)).unwrap();
        let start = Instant::now();
        assert_eq!(kind(end.read(&mut [0; 8])), ErrorKind::TimedOut);
        assert!(start.elapsed() < LONG);
    }
    // It can be used on.
    client.write_all(b"late").unwrap();
    let mut buffer = [0; 4];
    server.set_timeout(Some(LONG)).unwrap();
    server.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"late");
}

pub(crate) fn a_write_can_be_cut_from_another_thread(bench: &Bench) {
    let at = address(bench);
    let mut listener = bench.host.listen(&at).unwrap();
    let [mut client, _server] = pair(bench, listener.as_mut(), &at);
    client.set_timeout(None).unwrap();
    let cancel = client.canceller();
    std::thread::scope(|scope| {
        // Nobody reads, so it ends by the cut alone.
        let writer = scope.spawn(move || {
            let written = client.write_all(&vec![b'x'; 16 << 20]);
            (kind(written), kind(client.write(b"more")))
        });
        std::thread::park_timeout(SHORT);
        assert!(!writer.is_finished());
        cancel();
        cancel();
        let (first, later) = writer.join().unwrap();
        for kind in [first, later] {
            let cut = [ErrorKind::BrokenPipe, ErrorKind::ConnectionAborted];
            assert!(cut.contains(&kind), "{kind}");
        }
    });
}

pub(crate) fn a_second_server_is_refused(bench: &Bench) {
    let at = address(bench);
    let listener = bench.host.listen(&at).unwrap();
    if bench.is_wine() {
        drop(listener);
        return bench.not_run(
            "a second server of one address",
            "Wine lets it share the first one's",
        );
    }
    assert_eq!(kind(bench.host.listen(&at)), ErrorKind::AlreadyExists);
    assert!(
        bench.host.connect(&at, LONG).is_ok(),
        "the first one is gone"
    );
    drop(listener);
    until("it can be served again", || bench.host.listen(&at).is_ok());
}

pub(crate) fn nobody_serves_what_was_never_served_or_is_closed(bench: &Bench) {
    let at = address(bench);
    let start = Instant::now();
    assert_eq!(kind(bench.host.connect(&at, LONG)), ErrorKind::NotFound);
    assert!(
        start.elapsed() < LONG,
        "it waited for a server that is not there"
    );
    drop(bench.host.listen(&at).unwrap());
    assert_eq!(kind(bench.host.connect(&at, SHORT)), ErrorKind::NotFound);
}

pub(crate) fn waiting_for_a_client_ends_with_its_time(bench: &Bench) {
    let at = address(bench);
    let mut listener = bench.host.listen(&at).unwrap();
    assert!(listener.accept(Duration::ZERO).unwrap().is_none());
    assert!(listener.accept(SHORT).unwrap().is_none());
    let [mut client, mut server] = pair(bench, listener.as_mut(), &at);
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
}

pub(crate) fn what_a_client_sent_is_read_although_it_was_gone_before_it_was_accepted(
    bench: &Bench,
) {
    let at = address(bench);
    let mut listener = bench.host.listen(&at).unwrap();
    for text in ["first", "second"] {
        let mut client = bench.host.connect(&at, LONG).unwrap();
        client.write_all(text.as_bytes()).unwrap();
        drop(client);
        let mut server = listener.accept(LONG).unwrap().unwrap();
        server.set_timeout(Some(LONG)).unwrap();
        let mut read = String::new();
        server.read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
    }
}

pub(crate) fn a_client_does_not_wait_longer_than_it_wants_to(bench: &Bench) {
    let at = address(bench);
    let mut listener = bench.host.listen(&at).unwrap();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let start = Instant::now();
        match bench.host.connect(&at, SHORT) {
            Ok(client) => clients.push(client),
            // A server that answers nobody is busy.
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        }
        assert!(start.elapsed() < LONG);
    }
    assert!(!clients.is_empty());
    for client in &mut clients {
        client.set_timeout(Some(LONG)).unwrap();
        let mut server = listener.accept(LONG).unwrap().unwrap();
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
}

pub(crate) fn many_clients_are_served_one_after_the_other(bench: &Bench) {
    let at = address(bench);
    let mut listener = bench.host.listen(&at).unwrap();
    std::thread::scope(|scope| {
        for number in 0..8_u8 {
            let at = &at;
            scope.spawn(move || {
                let mut client = bench.host.connect(at, LONG).unwrap();
                client.set_timeout(Some(LONG)).unwrap();
                client.write_all(&[number]).unwrap();
                let mut answer = [0];
                client.read_exact(&mut answer).unwrap();
                assert_eq!(answer, [number + 100]);
            });
        }
        for _ in 0..8 {
            let mut server = listener.accept(LONG).unwrap().unwrap();
            server.set_timeout(Some(LONG)).unwrap();
            let mut question = [0];
            server.read_exact(&mut question).unwrap();
            server.write_all(&[question[0] + 100]).unwrap();
            // The client closes when it has read, so nothing is lost.
            assert_eq!(server.read(&mut question).unwrap(), 0);
        }
    });
}

pub(crate) fn both_directions_are_used_at_once(bench: &Bench) {
    const SIZE: usize = 1024 * 1024;
    let at = address(bench);
    let mut listener = bench.host.listen(&at).unwrap();
    let ends = pair(bench, listener.as_mut(), &at);
    std::thread::scope(|scope| {
        for (number, end) in (1_u8..).zip(ends) {
            let (mut incoming, mut outgoing) = end.split().unwrap();
            incoming.set_timeout(Some(LONG)).unwrap();
            outgoing.set_timeout(Some(LONG)).unwrap();
            // Neither side reads before both have written more than a pipe holds.
            let writer =
                scope.spawn(move || outgoing.write_all(&vec![number; SIZE]).map(|()| outgoing));
            scope.spawn(move || {
                let mut buffer = vec![0; SIZE];
                incoming.read_exact(&mut buffer).unwrap();
                assert_eq!(buffer, vec![3 - number; SIZE]);
                drop(writer.join().unwrap().unwrap());
            });
        }
    });
}

pub(crate) fn a_read_that_waits_holds_no_write_up_and_has_a_time_of_its_own(bench: &Bench) {
    let at = address(bench);
    let mut listener = bench.host.listen(&at).unwrap();
    let [client, mut server] = pair(bench, listener.as_mut(), &at);
    let (mut incoming, mut outgoing) = client.split().unwrap();
    outgoing.set_timeout(Some(LONG)).unwrap();
    incoming.set_timeout(Some(SHORT)).unwrap();
    assert_eq!(kind(incoming.read(&mut [0])), ErrorKind::TimedOut);
    incoming.set_timeout(None).unwrap();
    let reader = std::thread::spawn(move || {
        let mut answer = [0; 6];
        incoming
            .read_exact(&mut answer)
            .map(|()| (answer, incoming))
    });
    outgoing.write_all(b"question").unwrap();
    let mut question = [0; 8];
    server.read_exact(&mut question).unwrap();
    assert!(!reader.is_finished());
    server.write_all(b"answer").unwrap();
    let (answer, incoming) = reader.join().unwrap().unwrap();
    assert_eq!(&answer, b"answer");
    drop((incoming, outgoing));
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
}

pub(crate) fn each_direction_is_cut_from_another_thread(bench: &Bench) {
    let at = address(bench);
    let mut listener = bench.host.listen(&at).unwrap();
    let [client, server] = pair(bench, listener.as_mut(), &at);
    let (mut incoming, mut outgoing) = client.split().unwrap();
    let (cut_incoming, cut_outgoing) = (incoming.canceller(), outgoing.canceller());
    let reader = std::thread::spawn(move || {
        incoming.set_timeout(None).unwrap();
        // Cut off is an end or an error, now and later.
        [(); 2].map(|()| incoming.read(&mut [0]).unwrap_or(0))
    });
    let writer = std::thread::spawn(move || {
        outgoing.set_timeout(None).unwrap();
        while outgoing.write(&[0; 4096]).is_ok() {}
        outgoing.write(&[0]).unwrap_err();
    });
    std::thread::park_timeout(SHORT);
    assert!(!reader.is_finished() && !writer.is_finished());
    cut_incoming();
    assert_eq!(reader.join().unwrap(), [0, 0]);
    assert!(!writer.is_finished());
    cut_outgoing();
    writer.join().unwrap();
    drop(server);
}

pub(crate) fn accepting_is_cut_from_another_thread(bench: &Bench) {
    let at = address(bench);
    let mut listener = bench.host.listen(&at).unwrap();
    let cut = listener.canceller();
    let accepting = std::thread::spawn(move || {
        let first = listener.accept(LONG).map(drop);
        (first, listener.accept(LONG).map(drop), listener)
    });
    std::thread::park_timeout(SHORT);
    assert!(!accepting.is_finished());
    let start = Instant::now();
    cut();
    let (first, second, listener) = accepting.join().unwrap();
    assert!(start.elapsed() < LONG);
    first.unwrap_err();
    second.unwrap_err();
    drop(listener);
    // It is gone as any other.
    assert_eq!(kind(bench.host.connect(&at, SHORT)), ErrorKind::NotFound);
    cut();
}

pub(crate) fn an_accepted_client_outlives_its_listener(bench: &Bench) {
    let at = address(bench);
    let mut listener = bench.host.listen(&at).unwrap();
    let [mut client, mut server] = pair(bench, listener.as_mut(), &at);
    listener.canceller()();
    drop(listener);
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
    let (_incoming, mut outgoing) = server.split().unwrap();
    outgoing.write_all(b"y").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

pub(crate) fn sockets_are_named_as_containerd_names_them(bench: &Bench) {
    let backend = bench.host.features().backend;
    if backend != "linux" {
        return bench.not_run("unix:// addresses", "only Linux has them");
    }
    let path = bench.path("socket");
    let mut listener = bench.host.listen(&format!("unix://{path}")).unwrap();
    for at in [path.clone(), format!("unix://{path}")] {
        pair(bench, listener.as_mut(), &at);
    }
    assert_eq!(kind(bench.host.listen(&path)), ErrorKind::AlreadyExists);
}
