//! The rules of the client against a stand-in for the API server.

use super::*;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, Patch, PatchParams, PostParams};
use std::collections::VecDeque;

/// A status code and the seconds of a `Retry-After`; code 0: the connection breaks.
type Scripted = (u16, Option<u64>);

/// Answers with the given status codes one after the other (0: the connection breaks) and writes down what it got.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Scripted>>>,
    got: Arc<Mutex<Vec<String>>>,
}

impl Service<Request<Body>> for Script {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.got
            .lock()
            .unwrap()
            .push(format!("{} {}", request.method(), request.uri().path()));
        let (code, retry_after) = self
            .answers
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or((200, None));
        Box::pin(async move {
            if code == 0 {
                return Err("connection reset".into());
            }
            let mut response = Response::new(Body::from(br#"{"metadata":{"name":"x"}}"#.to_vec()));
            *response.status_mut() = StatusCode::from_u16(code)?;
            if let Some(seconds) = retry_after {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, seconds.into());
            }
            Ok(response)
        })
    }
}

#[derive(Default)]
struct Counts(Mutex<Vec<String>>);

impl Meter for Counts {
    fn answered(&self, route: &Route, _: &str, code: Option<u16>) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{} {}", route.verb, code.unwrap_or(0)));
    }

    fn wrote(&self, route: &Route) {
        self.0
            .lock()
            .unwrap()
            .push(format!("wrote {}", route.resource));
    }
}

struct Bench {
    script: Script,
    counts: Arc<Counts>,
    fence: Arc<Fence>,
    client: Client,
}

fn bench(answers: &[Scripted], limits: Limits) -> Bench {
    let script = Script::default();
    script.answers.lock().unwrap().extend(answers);
    let (counts, fence) = (Arc::new(Counts::default()), Arc::new(Fence::open()));
    let inner = Client::new(script.clone(), "default");
    let client = polite(
        inner,
        "default".into(),
        limits,
        Arc::clone(&fence),
        Arc::clone(&counts) as Arc<dyn Meter>,
    );
    Bench {
        script,
        counts,
        fence,
        client,
    }
}

const FREE: Limits = Limits {
    per_second: 0.0,
    burst: 1,
};

impl Bench {
    fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    fn requests(&self) -> usize {
        self.script.got.lock().unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_answer_is_lost_is_sent_exactly_once() {
    for answer in [0, 429, 503, 504] {
        let bench = bench(&[(answer, None)], FREE);
        assert!(
            bench
                .pods()
                .create(&PostParams::default(), &Pod::default())
                .await
                .is_err(),
            "{answer}"
        );
        assert_eq!(bench.requests(), 1, "after {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_and_an_apply_survive_a_broken_connection_and_a_busy_server() {
    let bench = bench(&[(0, None), (503, None), (429, Some(3)), (200, None)], FREE);
    let started = Instant::now();
    bench
        .pods()
        .get("x")
        .await
        .expect("the fourth try succeeds");
    assert_eq!(bench.requests(), 4);
    assert_eq!(started.elapsed(), Duration::from_millis(250 + 500 + 3_000));
    bench.script.answers.lock().unwrap().push_back((503, None));
    let maps: Api<ConfigMap> = Api::default_namespaced(bench.client.clone());
    maps.patch(
        "x",
        &PatchParams::apply("me"),
        &Patch::Apply(ConfigMap::default()),
    )
    .await
    .expect("the second try succeeds");
    let counts = bench.counts.0.lock().unwrap().clone();
    assert_eq!(
        counts,
        [
            "get 0",
            "get 503",
            "get 429",
            "get 200",
            "patch 503",
            "patch 200",
            "wrote configmaps"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn no_write_is_sent_once_the_fence_is_closed_not_even_one_that_waited() {
    let bench = bench(&[(503, None)], FREE);
    let maps: Api<ConfigMap> = Api::default_namespaced(bench.client.clone());
    let fence = Arc::clone(&bench.fence);
    let (params, empty) = (PatchParams::apply("me"), Patch::Apply(ConfigMap::default()));
    let (result, ()) = tokio::join!(maps.patch("x", &params, &empty), async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        fence.close();
    });
    assert!(crate::error::withheld(&result.unwrap_err()) == Some(Withheld::Fenced));
    assert_eq!(bench.requests(), 1, "the retry was not sent");
    bench.pods().get("x").await.expect("reads are free");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_is_given_up_and_a_flood_is_slowed_to_the_rate() {
    let slow = tower::service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, BoxError>>()
    });
    let counts = Arc::new(Counts::default());
    let client = polite(
        Client::new(slow, "default"),
        "default".into(),
        FREE,
        Arc::new(Fence::open()),
        counts,
    );
    let started = Instant::now();
    let error = Api::<Pod>::default_namespaced(client)
        .get("x")
        .await
        .unwrap_err();
    assert_eq!(crate::error::withheld(&error), Some(Withheld::TimedOut));
    assert_eq!(started.elapsed(), REQUEST_TIMEOUT);

    let bench = bench(
        &[],
        Limits {
            per_second: 50.0,
            burst: 100,
        },
    );
    let started = Instant::now();
    for _ in 0..150 {
        bench.pods().get("x").await.expect("answered");
    }
    assert_eq!(started.elapsed().as_millis(), 1_000);
}
