//! Who reads the log of a shim, who looks in, and what becomes of lines that nobody reads.

use std::io::{BufRead as _, BufReader, Read as _};
use std::time::Instant;

use super::*;
use crate::sys::fake::FakeHost;

fn bench() -> (Arc<dyn Host>, Lines) {
    let host: Arc<dyn Host> = Arc::new(FakeHost::new());
    let listener = host.listen("log").unwrap();
    let lines = Lines::start(Arc::clone(&host), "shim", Target::Pipe(listener)).unwrap();
    (host, lines)
}

fn reader(host: &dyn Host) -> BufReader<Box<dyn Connection>> {
    let mut connection = host.connect("log", LONG).unwrap();
    connection.set_timeout(Some(LONG)).unwrap();
    BufReader::new(connection)
}

fn next(reader: &mut BufReader<Box<dyn Connection>>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let message = line["msg"].as_str().unwrap();
    message.strip_prefix("shim: ").unwrap().to_owned()
}

#[test]
fn lines_wait_for_a_reader_and_for_the_one_after_it() {
    let (host, lines) = bench();
    lines.say(Level::Info, "one");
    let mut first = reader(host.as_ref());
    assert_eq!(next(&mut first), "one");
    drop(first);
    lines.say(Level::Info, "two");
    lines.say(Level::Info, "three");
    let mut second = reader(host.as_ref());
    assert_eq!(next(&mut second), "two");
    assert_eq!(next(&mut second), "three");
}

#[test]
fn readers_come_and_go_while_nothing_is_said() {
    let (host, lines) = bench();
    for _ in 0..3 {
        drop(reader(host.as_ref()));
    }
    let mut last = reader(host.as_ref());
    lines.say(Level::Info, "one");
    assert_eq!(next(&mut last), "one");
}

#[test]
fn a_new_reader_takes_the_place_of_one_that_never_left() {
    let (host, lines) = bench();
    let mut first = reader(host.as_ref());
    lines.say(Level::Info, "one");
    assert_eq!(next(&mut first), "one");
    let mut second = reader(host.as_ref());
    let moment = Some(Duration::from_millis(20));
    second.get_mut().set_timeout(moment).unwrap();
    // Lines go to the first until the second was taken.
    let mut line = String::new();
    while second.read_line(&mut line).is_err() {
        lines.say(Level::Info, "two");
    }
    assert!(line.contains("two"), "{line}");
}

#[test]
fn a_reader_that_looks_in_gives_the_place_back() {
    let (host, lines) = bench();
    let mut first = reader(host.as_ref());
    lines.say(Level::Info, "one");
    assert_eq!(next(&mut first), "one");
    let mut visitor = reader(host.as_ref());
    let moment = Some(Duration::from_millis(20));
    visitor.get_mut().set_timeout(moment).unwrap();
    while visitor.read_line(&mut String::new()).is_err() {
        lines.say(Level::Info, "two");
    }
    drop(visitor);
    lines.say(Level::Info, "three");
    // What was said meanwhile went to either.
    while next(&mut first) != "three" {}
}

#[test]
fn however_many_look_in_the_one_that_stays_is_kept() {
    let (host, _) = bench();
    let mut listener = host.listen("others").unwrap();
    let mut readers = Readers::default();
    let mut connect = || {
        let client = host.connect("others", LONG).unwrap();
        (client, listener.accept(LONG).unwrap().unwrap())
    };
    // Of a containerd that ended, of the one that follows, and of those who look in.
    let (ended, server) = connect();
    readers.add(server);
    drop(ended);
    let (mut stays, server) = connect();
    readers.add(server);
    for _ in 0..3 * MOST_READERS {
        let (visitor, server) = connect();
        readers.add(server);
        drop(visitor);
    }
    assert!(readers.0.len() <= MOST_READERS);
    assert!(readers.write(b"line\n"));
    let mut line = [0; 5];
    stays.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"line\n");
    drop(stays);
    assert!(!readers.write(b"line\n"));
}

#[test]
fn of_too_many_readers_that_stay_the_oldest_goes() {
    let (host, _) = bench();
    let mut listener = host.listen("others").unwrap();
    let mut readers = Readers::default();
    let clients: Vec<_> = (0..=MOST_READERS)
        .map(|_| {
            let client = host.connect("others", LONG).unwrap();
            readers.add(listener.accept(LONG).unwrap().unwrap());
            client
        })
        .collect();
    assert_eq!(readers.0.len(), MOST_READERS);
    let mut gone = clients.into_iter().next().unwrap();
    gone.set_timeout(Some(LONG)).unwrap();
    assert_eq!(gone.read(&mut [0]).unwrap(), 0);
}

#[test]
fn where_nobody_reads_the_oldest_are_dropped_and_counted_and_nobody_waits() {
    let (host, lines) = bench();
    for number in 0..MOST_LINES + 10 {
        lines.say(Level::Info, &number.to_string());
    }
    let mut reader = reader(host.as_ref());
    let (mut numbers, mut dropped) = (Vec::new(), 0);
    while numbers.last() != Some(&(MOST_LINES + 9)) {
        let said = next(&mut reader);
        match said.split_once(' ') {
            Some((count, rest)) => {
                assert!(rest.contains("dropped"), "{said}");
                dropped += count.parse::<usize>().unwrap();
            }
            None => numbers.push(said.parse().unwrap()),
        }
    }
    assert!(numbers.is_sorted());
    // One may have been in the hands of the thread.
    assert!((9..=11).contains(&dropped), "{dropped}");
    assert_eq!(numbers.len() + dropped, MOST_LINES + 10);
}

#[test]
fn what_was_said_is_read_before_the_end() {
    let (host, lines) = bench();
    let mut reader = reader(host.as_ref());
    lines.say(Level::Error, "the last");
    lines.finish(LONG);
    assert_eq!(next(&mut reader), "the last");
    let began = Instant::now();
    lines.finish(LONG);
    assert!(began.elapsed() < LONG);
}

#[test]
fn a_message_is_cut_between_characters() {
    let (host, lines) = bench();
    lines.say(Level::Info, &"ä".repeat(LONGEST));
    assert_eq!(next(&mut reader(host.as_ref())), "ä".repeat(LONGEST / 2));
}
