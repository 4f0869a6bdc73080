//! Lists: every page, once, and no spinning.

use super::*;

#[tokio::test(start_paused = true)]
async fn every_object_of_every_page_arrives() {
    for total in [0, 1, 500, 501, 1001] {
        let server = Server::new(move |path, _| {
            if path.contains("watch=1") {
                return Reply::Events(Vec::new(), Then::Hang);
            }
            let begin: usize = path
                .split_once("continue=at")
                .map_or(0, |(_, at)| at.parse().unwrap());
            let end = (begin + source::PAGE).min(total);
            let token = if end < total {
                format!("at{end}")
            } else {
                String::new()
            };
            page(
                77,
                &token,
                &(begin..end)
                    .map(|number| pod(number, 5))
                    .collect::<Vec<_>>(),
            )
        });
        let mut bench = Bench::pods(&server);
        bench
            .until("the watch", |bench| {
                bench
                    .server
                    .requests()
                    .iter()
                    .any(|path| path.contains("watch=1"))
            })
            .await;
        assert_eq!(bench.count(), total);
        let requests = server.requests();
        assert_eq!(requests.len(), total.div_ceil(source::PAGE).max(1) + 1);
        for list in &requests[..requests.len() - 1] {
            assert!(
                list.contains("limit=500") && !list.contains("resourceVersion"),
                "{list}"
            );
        }
        let watch = requests.last().unwrap();
        assert!(
            watch.contains("resourceVersion=77") && watch.contains("allowWatchBookmarks=true"),
            "{watch}"
        );
        let seconds = watch
            .split_once("timeoutSeconds=")
            .unwrap()
            .1
            .split('&')
            .next()
            .unwrap();
        assert!(
            (150..=200).contains(&seconds.parse::<u64>().unwrap()),
            "{watch}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_next_page_expired_begins_again_and_loses_nothing() {
    let server = Server::scripted(vec![
        page(1, "more", &[pod(1, 1)]),
        Reply::Refuse(410, "the continue token expired"),
        page(2, "more", &[pod(1, 1)]),
        page(2, "", &[pod(2, 1)]),
    ]);
    let mut bench = Bench::pods(&server);
    bench.until_requests(5).await;
    assert_eq!(bench.count(), 2);
    assert!(
        !server.requests()[2].contains("continue"),
        "{:?}",
        server.requests()
    );
    assert_eq!(bench.of_kind("Pod").lists, 2);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_decode_costs_only_itself() {
    let mut hostile = pod(2, 1);
    hostile["status"] = json!({"containerStatuses": [{"restartCount": 1e300}]});
    let mut later = pod(9, 8);
    later["metadata"]["labels"] = json!(7);
    let server = Server::scripted(vec![
        page(5, "", &[pod(1, 1), hostile, json!(null), pod(3, 1)]),
        Reply::Events(
            vec![event("ADDED", &later), event("ADDED", &pod(4, 9))],
            Then::Close,
        ),
    ]);
    let mut bench = Bench::pods(&server);
    bench.until_requests(3).await;
    assert_eq!((bench.count(), bench.of_kind("Pod").undecodable), (3, 3));
    assert_eq!(
        server
            .requests()
            .iter()
            .filter(|path| !path.contains("watch=1"))
            .count(),
        1
    );
    assert!(server.requests()[2].contains("resourceVersion=9"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_list_is_retried_with_back_off_and_believed_by_nobody() {
    let server = Server::new(|path, number| match number {
        _ if path.contains("watch=1") => Reply::Events(Vec::new(), Then::Hang),
        0 => Reply::Text(
            "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"meta".to_owned(),
            Then::Close,
        ),
        1 => Reply::Text(String::new(), Then::Break),
        2 => Reply::Page(json!({"items": null})),
        3 => Reply::Unreachable,
        _ => page(3, "", &[pod(1, 1)]),
    });
    let mut bench = Bench::pods(&server);
    bench.until_requests(6).await;
    assert_eq!((bench.count(), bench.of_kind("Pod").errors), (1, 4));
    let times: Vec<Duration> = server.log().into_iter().map(|(time, _)| time).collect();
    for (before, after) in times.iter().zip(&times[1..5]) {
        assert!(
            after.saturating_sub(*before) >= Duration::from_secs(1),
            "{times:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_for_ten_minutes_is_asked_few_times_and_found_again() {
    let server = Server::new(|path, _| {
        if path.contains("watch=1") {
            return Reply::Events(Vec::new(), Then::Hang);
        }
        Reply::Unreachable
    });
    let mut bench = Bench::pods(&server);
    bench
        .until("ten minutes", |bench| {
            bench
                .server
                .log()
                .last()
                .is_some_and(|(time, _)| time.as_secs() > 600)
        })
        .await;
    let count = server.log().len();
    assert!((10..40).contains(&count), "{count}");
    let times = server.log();
    let longest = times
        .windows(2)
        .map(|pair| pair[1].0.saturating_sub(pair[0].0))
        .max()
        .unwrap();
    assert!(longest <= Duration::from_secs(61), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_stalls_is_given_up() {
    let server = Server::new(|path, number| match number {
        _ if path.contains("watch=1") => Reply::Events(Vec::new(), Then::Hang),
        0 => Reply::Text("{\"metadata\":".to_owned(), Then::Hang),
        _ => page(3, "", &[pod(1, 1)]),
    });
    let mut bench = Bench::pods(&server);
    bench.until("the pod", |bench| bench.count() == 1).await;
    assert!(
        server.log()[1].0 <= Duration::from_secs(62),
        "{:?}",
        server.log()
    );
}
