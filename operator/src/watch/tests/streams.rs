//! Watches: breaks, silence, expiry, and what was missed meanwhile.

use super::*;

#[tokio::test(start_paused = true)]
async fn changes_arrive_and_the_next_watch_goes_on_from_the_last_one() {
    let server = Server::scripted(vec![
        page(10, "", &[pod(1, 1)]),
        Reply::Events(
            vec![
                event("ADDED", &pod(2, 11)),
                event("MODIFIED", &pod(2, 12)),
                event("DELETED", &pod(1, 13)),
            ],
            Then::Close,
        ),
    ]);
    let mut bench = Bench::pods(&server);
    bench.until_requests(3).await;
    assert_eq!(bench.count(), 1);
    assert!(
        server.requests()[2].contains("resourceVersion=13"),
        "{:?}",
        server.requests()
    );
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_moves_the_version_on() {
    let server = Server::scripted(vec![
        page(10, "", &[pod(1, 1)]),
        Reply::Events(vec![bookmark(500)], Then::Close),
    ]);
    let mut bench = Bench::pods(&server);
    bench.until_requests(3).await;
    assert!(server.requests()[2].contains("resourceVersion=500"));
    assert_eq!((bench.count(), bench.of_kind("Pod").errors), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_is_left_after_two_minutes_and_the_next_one_shows_the_change() {
    let server = Server::scripted(vec![
        page(10, "", &[pod(1, 1)]),
        Reply::Events(vec![bookmark(20)], Then::Hang),
        Reply::Events(vec![event("ADDED", &pod(2, 21))], Then::Hang),
    ]);
    let mut bench = Bench::pods(&server);
    bench.until_requests(2).await;
    assert!(bench.of_kind("Pod").age < Some(Duration::from_secs(1)));
    bench.until("the change", |bench| bench.count() == 2).await;
    let (when, request) = server.log()[2].clone();
    assert!(
        when >= Duration::from_mins(2) && when < Duration::from_secs(122),
        "{when:?}"
    );
    assert!(
        request.contains("watch=1") && request.contains("resourceVersion=20"),
        "{request}"
    );
    assert_eq!(bench.of_kind("Pod").errors, 1);
}

#[tokio::test(start_paused = true)]
async fn an_expired_version_in_the_stream_leads_to_one_list_and_the_index_is_never_empty() {
    let server = Server::scripted(vec![
        page(10, "", &[pod(1, 1), pod(2, 1)]),
        Reply::Events(vec![bookmark(20), expired()], Then::Hang),
        page(900, "", &[pod(2, 1), pod(3, 700)]),
    ]);
    let mut bench = Bench::pods(&server);
    bench.until_requests(4).await;
    let requests = server.requests();
    assert!(
        !requests[2].contains("watch=1") && requests[3].contains("resourceVersion=900"),
        "{requests:?}"
    );
    assert!(
        server.log()[3].0 < Duration::from_secs(1),
        "the first expiry is no reason to wait"
    );
    assert_eq!(bench.count(), 2, "what was deleted meanwhile is gone");
    assert_eq!(*bench.fewest.lock().unwrap(), Some(2));
    assert_eq!(bench.of_kind("Pod").errors, 0);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_refused_again_and_again_is_asked_with_back_off() {
    let server = Server::new(|path, _| {
        if path.contains("watch=1") {
            Reply::Refuse(410, "too old")
        } else {
            page(10, "", &[pod(1, 1)])
        }
    });
    let mut bench = Bench::pods(&server);
    bench
        .until("two minutes", |bench| {
            bench
                .server
                .log()
                .last()
                .is_some_and(|(time, _)| time.as_secs() > 120)
        })
        .await;
    let log = server.log();
    assert!(
        log[3].0 < Duration::from_secs(1),
        "one list at once: {log:?}"
    );
    assert!(log.len() < 30, "{log:?}");
    assert_eq!(bench.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_cut_off_is_read_again_by_the_next_watch() {
    let line = event("ADDED", &pod(2, 11)).to_string();
    for then in [Then::Close, Then::Break] {
        let server = Server::scripted(vec![
            page(10, "", &[pod(1, 1)]),
            Reply::Text(
                format!("{}\n{}", bookmark(10), &line[..line.len() / 2]),
                then,
            ),
            Reply::Events(vec![event("ADDED", &pod(2, 11))], Then::Hang),
        ]);
        let mut bench = Bench::pods(&server);
        bench.until("the pod", |bench| bench.count() == 2).await;
        assert!(server.requests()[2].contains("resourceVersion=10"));
        // A server may end a watch anywhere; only a broken connection is an error.
        let errors = u64::from(matches!(then, Then::Break));
        assert_eq!(bench.of_kind("Pod").errors, errors);
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_no_event_leads_to_another_watch_and_then_to_a_list() {
    let garbage = || {
        Reply::Text(
            "{\"type\":\"ADDED\",\"object\":{]}\n".to_owned(),
            Then::Hang,
        )
    };
    let server = Server::scripted(vec![
        page(10, "", &[pod(1, 1)]),
        garbage(),
        garbage(),
        page(30, "", &[pod(1, 1), pod(2, 11)]),
    ]);
    let mut bench = Bench::pods(&server);
    bench.until_requests(5).await;
    let lists: Vec<bool> = server
        .requests()
        .iter()
        .map(|path| !path.contains("watch=1"))
        .collect();
    assert_eq!(lists, [true, false, false, true, false]);
    assert_eq!((bench.count(), bench.of_kind("Pod").errors), (2, 2));
    assert!(
        server.log()[3].0 >= Duration::from_secs(2),
        "{:?}",
        server.log()
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_no_expiry_keeps_the_version_and_waits() {
    let server = Server::scripted(vec![
        page(10, "", &[pod(1, 1)]),
        Reply::Events(
            vec![
                bookmark(15),
                event(
                    "ERROR",
                    &json!({"kind": "Status", "code": 500, "message": "etcd leader changed"}),
                ),
            ],
            Then::Hang,
        ),
        Reply::Refuse(429, "too many requests"),
        Reply::Refuse(403, "forbidden"),
    ]);
    let mut bench = Bench::pods(&server);
    bench.until_requests(5).await;
    let log = server.log();
    for (_, request) in &log[2..5] {
        assert!(request.contains("resourceVersion=15"), "{log:?}");
    }
    assert!(log[4].0 >= Duration::from_secs(3), "{log:?}");
    assert_eq!(bench.count(), 1, "a refusal deletes nothing");
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_are_not_repeated_without_a_pause() {
    let server = Server::new(|path, _| {
        if path.contains("watch=1") {
            Reply::Events(Vec::new(), Then::Close)
        } else {
            page(10, "", &[pod(1, 1)])
        }
    });
    let mut bench = Bench::pods(&server);
    bench
        .until("a minute", |bench| {
            bench
                .server
                .log()
                .last()
                .is_some_and(|(time, _)| time.as_secs() > 60)
        })
        .await;
    assert!(server.log().len() < 20, "{:?}", server.log());
}

#[tokio::test(start_paused = true)]
async fn a_wish_for_a_list_ends_a_silent_watch_and_a_long_wait() {
    let server = Server::scripted(vec![
        page(10, "", &[pod(1, 1)]),
        Reply::Events(Vec::new(), Then::Hang),
        page(20, "", &[pod(1, 1), pod(2, 15)]),
    ]);
    let mut bench = Bench::pods(&server);
    bench.until_requests(2).await;
    bench.resync.send_modify(|wish| *wish += 1);
    bench.until("the pod", |bench| bench.count() == 2).await;
    assert!(server.log()[2].0 < Duration::from_secs(1));
}
