//! A proxy between the operator and the API server that counts writes, and stops the answers after the k-th one: what the
//! operator asked for has happened, and it never learns of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hosttask_tests::bed::TestBed;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::sync::{Mutex, Notify, OnceCell};
use tokio::task::JoinHandle;

/// The namespace and the account of the operator.
const OPERATOR: (&str, &str) = ("hosttask-system", "hosttask-operator");
/// The largest request, in bytes.
const LARGEST: usize = 4 << 20;

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// A kubeconfig for the operator.
    pub(crate) kubeconfig: PathBuf,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    client: kube::Client,
    /// One write at a time, so that no second one slips through behind the k-th.
    turn: Mutex<()>,
    writes: AtomicUsize,
    /// After which write nothing is answered any more; 0 for never.
    last: AtomicUsize,
    silent: AtomicBool,
    struck: Notify,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("writes", &self.writes)
            .finish_non_exhaustive()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Proxy {
    /// Starts a proxy that speaks to the API server with the operator's own rights.
    pub(crate) async fn start(bed: &TestBed, name: &str) -> Self {
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(account(bed).await, &options)
            .await
            .unwrap();
        let shared = Arc::new(Shared {
            client: kube::Client::try_from(config).unwrap(),
            turn: Mutex::new(()),
            writes: AtomicUsize::new(0),
            last: AtomicUsize::new(0),
            silent: AtomicBool::new(false),
            struck: Notify::new(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new()
            .fallback(forward)
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, router).await;
        });
        let kubeconfig = write(bed.cluster.dir(), name, port);
        Self {
            kubeconfig,
            shared,
            server,
        }
    }

    /// Counts from now on. After write `last` nothing is answered any more; 0: everything is.
    pub(crate) fn arm(&self, last: usize) {
        self.shared.silent.store(false, Ordering::SeqCst);
        self.shared.writes.store(0, Ordering::SeqCst);
        self.shared.last.store(last, Ordering::SeqCst);
    }

    /// Waits for the write after which nothing is answered any more.
    pub(crate) async fn struck(&self) {
        self.shared.struck.notified().await;
    }

    /// How many writes there were since [`Self::arm`].
    pub(crate) fn writes(&self) -> usize {
        self.shared.writes.load(Ordering::SeqCst)
    }
}

/// The operator's account, asked for once: every token is written into the same file.
async fn account(bed: &TestBed) -> Kubeconfig {
    static ACCOUNT: OnceCell<Kubeconfig> = OnceCell::const_new();
    let read = || async {
        let (namespace, name) = OPERATOR;
        let path = bed.cluster.service_account_kubeconfig(namespace, name);
        Kubeconfig::read_from(path.await.unwrap()).unwrap()
    };
    ACCOUNT.get_or_init(read).await.clone()
}

fn write(folder: &Path, name: &str, port: u16) -> PathBuf {
    let path = folder.join(format!("{name}.kubeconfig"));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: proxy\n\
         clusters: [{{ name: proxy, cluster: {{ server: \"http://127.0.0.1:{port}\" }} }}]\n\
         users: [{{ name: operator, user: {{}} }}]\n\
         contexts: [{{ name: proxy, context: {{ cluster: proxy, user: operator }} }}]\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Whether a request changes something that counts: no Lease, no Event, no dry run, no question about rights.
fn is_write(request: &Request) -> bool {
    let uri = request.uri();
    let query = uri.query().unwrap_or_default();
    let dry = query.split('&').any(|pair| pair == "dryRun=All");
    let other = ["/leases", "/events", "authorization.k8s.io"];
    matches!(
        *request.method(),
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    ) && !dry
        && !other.iter().any(|part| uri.path().contains(part))
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let counts = is_write(&request);
    let _turn = if counts {
        Some(shared.turn.lock().await)
    } else {
        None
    };
    if shared.silent.load(Ordering::SeqCst) {
        // The operator is about to be killed; the connection ends with it.
        return std::future::pending().await;
    }
    let response = send(&shared.client, request).await;
    if counts && response.status().is_success() {
        let writes = shared.writes.fetch_add(1, Ordering::SeqCst) + 1;
        if writes == shared.last.load(Ordering::SeqCst) {
            shared.silent.store(true, Ordering::SeqCst);
            shared.struck.notify_one();
            return std::future::pending().await;
        }
    }
    response
}

async fn send(client: &kube::Client, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    for name in [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
    ] {
        head.headers.remove(name);
    }
    let Ok(body) = to_bytes(body, LARGEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let mut onward = http::Request::new(kube::client::Body::from(body));
    *onward.method_mut() = head.method;
    *onward.uri_mut() = head.uri;
    *onward.headers_mut() = head.headers;
    match client.send(onward).await {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            let mut response = Response::new(Body::new(body));
            *response.status_mut() = head.status;
            *response.headers_mut() = head.headers;
            response.headers_mut().remove(header::TRANSFER_ENCODING);
            response
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
