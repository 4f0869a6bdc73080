//! The way to the API server: one client whose requests are fenced, rate-limited, retried by our rules, and counted.
//!
//! ```text
//!   fence (writes only) ─▶ token bucket ─▶ send ─┬─▶ answer
//!                 ▲                              │ connection error, 429, 503, and the request is repeatable
//!                 └──────────────────────────────┘
//! ```
//!
//! The fence stands here, and not only where writes are decided, so that a write which waited for its token or for a
//! retry is not sent after the leadership was lost.

pub mod bucket;
pub mod retry;
pub mod route;

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use kube::client::{Body, ClientBuilder};
use kube::config::{InferConfigError, KubeconfigError};
use kube::{Client, Config};
use tokio::time::Instant;
use tower::{BoxError, Service};

use self::bucket::Bucket;
use self::retry::Ended;
use self::route::Route;
use crate::leader::fence::Fence;

/// How long a request other than a watch may take in all, with its waiting and its retries.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the server may take to begin answering a watch.
const WATCH_START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Who the requests come from, as the audit log shows it.
pub const USER_AGENT: &str = concat!("hosttask-operator/", env!("CARGO_PKG_VERSION"));

/// Why no client could be made.
#[expect(
    clippy::error_impl_error,
    reason = "one Error per step; the module is part of its name"
)]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is neither a usable kubeconfig nor a service account.
    #[error("failed to find a cluster: set KUBECONFIG or run in a pod with a service account")]
    Infer(#[source] Box<InferConfigError>),
    /// The kubeconfig is not usable.
    #[error("failed to read the kubeconfig")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    /// The configuration does not make a client, for instance because of its certificates.
    #[error("failed to set up the client")]
    Build(#[source] Box<kube::Error>),
}

/// Why this process did not send a request, or gave up on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// It is a write and this process is not the leader (any more).
    #[error("not sent: this process is not the leader")]
    Fenced,
    /// It took longer than [`REQUEST_TIMEOUT`].
    #[error("gave up on the request after {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut,
}

/// What the client tells about its requests, for metrics.
pub trait Meter: Send + Sync + 'static {
    /// A request was answered with `code`, or with none where the connection broke.
    fn answered(&self, route: &Route, method: &str, code: Option<u16>);
    /// A write succeeded.
    fn wrote(&self, route: &Route);
}

/// How many requests per second, and how many at once. Watches and the election do not count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Requests per second on average; zero: no limit.
    pub per_second: f64,
    /// How many may be sent at once after a pause.
    pub burst: u32,
}

/// Finds the cluster as kubectl does (`KUBECONFIG`, `~/.kube/config`) or the one this pod runs in.
pub async fn infer() -> Result<Config, Error> {
    Config::infer().await.map_err(|e| Error::Infer(Box::new(e)))
}

/// Makes the client that the whole operator uses.
pub fn connect(
    mut config: Config,
    limits: Limits,
    fence: Arc<Fence>,
    meter: Arc<dyn Meter>,
) -> Result<Client, Error> {
    // kube's own policy repeats every kind of request, creates included, up to 15 times and for up to hours
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config
        .headers
        .push((header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
    let namespace = config.default_namespace.clone();
    let inner = ClientBuilder::try_from(config)
        .map_err(|e| Error::Build(Box::new(e)))?
        .build();
    Ok(polite(inner, namespace, limits, fence, meter))
}

/// Puts our rules around a client.
pub fn polite(
    inner: Client,
    namespace: String,
    limits: Limits,
    fence: Arc<Fence>,
    meter: Arc<dyn Meter>,
) -> Client {
    let bucket = Mutex::new(Bucket::new(limits.per_second, limits.burst));
    let expiry = *inner.valid_until();
    Client::new(
        Polite {
            inner,
            rules: Arc::new(Rules {
                bucket,
                fence,
                meter,
            }),
        },
        namespace,
    )
    .with_valid_until(expiry)
}

struct Rules {
    bucket: Mutex<Bucket>,
    fence: Arc<Fence>,
    meter: Arc<dyn Meter>,
}

struct Polite {
    inner: Client,
    rules: Arc<Rules>,
}

impl Service<Request<Body>> for Polite {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (inner, rules) = (self.inner.clone(), Arc::clone(&self.rules));
        Box::pin(async move {
            let route = Route::of(request.method(), request.uri());
            let limit = if route.verb == "watch" {
                WATCH_START_TIMEOUT
            } else {
                REQUEST_TIMEOUT
            };
            match tokio::time::timeout(limit, rules.send(inner, request, &route)).await {
                Ok(result) => result,
                Err(_) => Err(Withheld::TimedOut.into()),
            }
        })
    }
}

impl Rules {
    async fn send(
        &self,
        inner: Client,
        request: Request<Body>,
        route: &Route,
    ) -> Result<Response<Body>, BoxError> {
        let repeatable =
            route.verb != "watch" && retry::is_repeatable(request.method(), request.headers());
        let method = request.method().as_str().to_owned();
        let mut next = request;
        let mut tries = 0;
        loop {
            let spare = if repeatable { copy(&next) } else { None };
            self.wait_for_token(route).await;
            if route.is_write()
                && !route.is_election()
                && !self.fence.allows(Instant::now().into_std())
            {
                return Err(Withheld::Fenced.into());
            }
            tries += 1;
            let result = inner.send(next).await;
            self.count(route, &method, result.as_ref().ok().map(Response::status));
            let ended = match &result {
                Ok(response) => Ended::Answered(response.status(), retry_after(response)),
                Err(_) => Ended::Broken,
            };
            match (spare, retry::next_try(tries, ended)) {
                (Some(spare), Some(delay)) => {
                    tokio::time::sleep(delay).await;
                    next = spare;
                }
                _ => return result.map_err(Into::into),
            }
        }
    }

    async fn wait_for_token(&self, route: &Route) {
        if route.verb == "watch" || route.is_election() {
            return;
        }
        let wait = {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.reserve(Instant::now().into_std())
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn count(&self, route: &Route, method: &str, status: Option<StatusCode>) {
        self.meter
            .answered(route, method, status.map(|s| s.as_u16()));
        if route.is_write() && status.is_some_and(|s| s.is_success()) {
            self.meter.wrote(route);
        }
    }
}

/// The seconds a server asks to wait. The form with a date is not used by the API server.
fn retry_after(response: &Response<Body>) -> Option<u64> {
    response
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// A second copy of a request, where its body is in memory.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

#[cfg(test)]
mod tests;
