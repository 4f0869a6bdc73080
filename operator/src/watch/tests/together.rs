//! All watches together: what is synced, what a new leader waits for, and the inputs that tasks name.

use super::*;
use crate::desired::TaskKey;
use crate::validate::InputState;

fn start(server: &Arc<Server>) -> (Arc<Index>, Watches, Arc<Mutex<Vec<Key>>>) {
    let index = Arc::new(Index::new(None));
    let keys: Arc<Mutex<Vec<Key>>> = Arc::default();
    let seen = Arc::clone(&keys);
    let changed = server.changed.clone();
    let on_change: OnChange = Arc::new(move |new| {
        seen.lock().unwrap().extend(new);
        changed.send_replace(());
    });
    let watches = Watches::start(server.client(), &index, None, on_change, noon);
    (index, watches, keys)
}

fn key() -> TaskKey {
    TaskKey {
        namespace: "ops".to_owned(),
        name: "agent".to_owned(),
    }
}

fn task(generation: i64, inputs: &Value) -> Value {
    json!({
        "metadata": {"name": "agent", "namespace": "ops", "uid": "t", "generation": generation, "resourceVersion": generation.to_string()},
        "spec": {"inputs": inputs}
    })
}

async fn until(server: &Server, what: &str, condition: impl Fn() -> bool) {
    let mut changed = server.changed.subscribe();
    let wait = async {
        while !condition() {
            // Not every change is announced: look again every second of simulated time, too.
            let _ = tokio::time::timeout(Duration::from_secs(1), changed.changed()).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(1000), wait)
            .await
            .is_ok(),
        "{what}: {:?}",
        server.log()
    );
}

#[tokio::test(start_paused = true)]
async fn every_kind_is_listed_before_synced_and_again_before_a_resync_ends() {
    let server = Server::new(|path, _| {
        if path.contains("watch=1") {
            Reply::Events(Vec::new(), Then::Hang)
        } else {
            page(10, "", &[])
        }
    });
    let (index, watches, _) = start(&server);
    assert!(!index.synced());
    watches.synced().await;
    assert!(index.synced());
    let lists = || {
        server
            .requests()
            .iter()
            .filter(|path| !path.contains("watch=1"))
            .count()
    };
    assert_eq!(lists(), Kind::ALL.len());
    watches.resync().await;
    assert_eq!(lists(), 2 * Kind::ALL.len());
    for path in server.requests() {
        let narrowed = path.contains("labelSelector=")
            || path.contains("hosttask.dev")
            || path.contains("namespaces");
        assert!(narrowed, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resync_waits_for_a_list_that_began_after_it() {
    // The first list of pods stalls; the wish comes while it is under way.
    let server = Server::new(|path, _| match path {
        _ if path.contains("watch=1") => Reply::Events(Vec::new(), Then::Hang),
        _ if path.starts_with("/api/v1/pods") => Reply::Text("{".to_owned(), Then::Hang),
        _ => page(10, "", &[]),
    });
    let (_, watches, _) = start(&server);
    let resync = watches.resync();
    assert!(
        tokio::time::timeout(Duration::from_secs(30), resync)
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn inputs_are_watched_only_while_a_task_names_one_and_a_refusal_is_retried() {
    let allowed = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let named = watch::Sender::new(1_u8);
    let (role, naming) = (Arc::clone(&allowed), named.subscribe());
    let server = Server::new(move |path, _| {
        let round = *naming.borrow();
        let watching = path.contains("watch=1");
        if path.starts_with("/apis/hosttask.dev/v1alpha1/windowshosttasks") {
            let inputs = match round {
                1 => json!({"secrets": [{"name": "token"}]}),
                _ => json!(null),
            };
            let seen = event("MODIFIED", &task(i64::from(round), &inputs));
            return if watching {
                Reply::Events(vec![seen], Then::Hang)
            } else {
                page(10, "", &[task(i64::from(round), &inputs)])
            };
        }
        match path.starts_with("/api/v1/namespaces/ops/secrets") {
            true if !role.load(std::sync::atomic::Ordering::Relaxed) => {
                Reply::Refuse(403, "secrets is forbidden")
            }
            true if !watching => page(
                5,
                "",
                &[
                    json!({"metadata": {"name": "token", "namespace": "ops"}, "data": {"k": "dg=="}}),
                ],
            ),
            _ if watching => Reply::Events(Vec::new(), Then::Hang),
            _ => page(10, "", &[]),
        }
    });
    let (index, watches, keys) = start(&server);
    let state = || {
        index
            .inputs(&key())
            .and_then(|mut view| view.secrets.remove("token"))
    };
    until(&server, "the refusal", || {
        matches!(state(), Some(InputState::Denied(_)))
    })
    .await;
    assert_eq!(
        state(),
        Some(InputState::Denied("secrets is forbidden".to_owned()))
    );
    allowed.store(true, std::sync::atomic::Ordering::Relaxed);
    keys.lock().unwrap().clear();
    let begun = Instant::now();
    until(&server, "the secret", || {
        matches!(state(), Some(InputState::Present(_)))
    })
    .await;
    assert!(
        begun.elapsed() <= Duration::from_secs(32),
        "{:?}",
        begun.elapsed()
    );
    assert!(keys.lock().unwrap().contains(&Key::Task(key())));
    named.send_replace(2);
    watches.resync().await;
    until(&server, "the end of the watch", || {
        watches
            .health()
            .snapshot()
            .iter()
            .all(|health| health.kind != "Secret" || health.age.is_none())
    })
    .await;
    assert_eq!(index.counts().inputs, 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_resync_no_input_is_known_that_was_not_listed_again() {
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let out_of_order = Arc::clone(&broken);
    let server = Server::new(move |path, _| {
        let watching = path.contains("watch=1");
        let config = json!({"metadata": {"name": "settings", "namespace": "ops"}});
        let inputs = json!({"configMaps": [{"name": "settings"}]});
        match path {
            _ if watching => Reply::Events(Vec::new(), Then::Hang),
            _ if path.contains("/windowshosttasks") => page(10, "", &[task(1, &inputs)]),
            _ if !path.contains("/configmaps") => page(10, "", &[]),
            _ if out_of_order.load(std::sync::atomic::Ordering::Relaxed) => {
                Reply::Refuse(500, "etcd is slow")
            }
            _ => page(10, "", &[config]),
        }
    });
    let (index, watches, _) = start(&server);
    until(&server, "the input", || index.inputs(&key()).is_some()).await;
    broken.store(true, std::sync::atomic::Ordering::Relaxed);
    watches.resync().await;
    assert_eq!(index.inputs(&key()), None);
    broken.store(false, std::sync::atomic::Ordering::Relaxed);
    until(&server, "the input again", || {
        index.inputs(&key()).is_some()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_panics_is_started_again() {
    let server = Server::new(|path, _| {
        if path.contains("watch=1") {
            Reply::Events(Vec::new(), Then::Hang)
        } else {
            page(10, "", &[pod(1, 1)])
        }
    });
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let sink: Sink = Arc::new(move |_, _| {
        assert!(
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0,
            "the first call fails"
        );
    });
    let health = Arc::new(Health::default());
    let common = Common {
        client: server.client(),
        namespace: None,
        sink,
        clock: noon,
        health,
    };
    let resync = watch::Sender::new(0);
    let (_task, mut listed) = common.spawn(Scope::Kind(Kind::Pod), resync.subscribe());
    let met = tokio::time::timeout(Duration::from_mins(1), listed.wait_for(Option::is_some)).await;
    assert!(met.is_ok_and(|met| met.is_ok()));
    assert!(calls.load(std::sync::atomic::Ordering::Relaxed) >= 4);
}
