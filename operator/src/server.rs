//! The two small HTTP servers: health for the kubelet, metrics for Prometheus.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

/// The media type of a scrape.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the servers ask the process.
pub trait Probe: Send + Sync + 'static {
    /// Whether the process works, or why it should be restarted.
    fn alive(&self) -> Result<(), String>;
    /// Whether its view of the cluster is complete, or what is missing.
    fn ready(&self) -> Result<(), String>;
    /// The metrics as text.
    fn metrics(&self) -> String;
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// Nowhere.
    Disabled,
    /// On every address.
    Any(u16),
    /// On one address.
    One(SocketAddr),
}

/// The text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no address to listen on: write :PORT, HOST:PORT, or 0 for none")]
pub struct BindError(String);

impl std::str::FromStr for Bind {
    type Err = BindError;

    fn from_str(text: &str) -> Result<Self, BindError> {
        let wrong = || BindError(text.to_owned());
        if text == "0" {
            return Ok(Self::Disabled);
        }
        match text.strip_prefix(':') {
            Some(port) => port.parse().map(Self::Any).map_err(|_| wrong()),
            None => text.parse().map(Self::One).map_err(|_| wrong()),
        }
    }
}

impl Bind {
    /// Opens the port; none where the server is disabled.
    ///
    /// # Errors
    /// The operating system's, for instance that the port is taken.
    pub async fn open(self) -> io::Result<Option<TcpListener>> {
        match self {
            Self::Disabled => Ok(None),
            Self::One(address) => TcpListener::bind(address).await.map(Some),
            // One socket for both families where the machine has IPv6.
            Self::Any(port) => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
                        .await
                        .map(Some)
                }
                result => result.map(Some),
            },
        }
    }
}

/// Serves `/healthz` and `/readyz` until the process ends.
///
/// # Errors
/// The operating system's, when the port cannot be used any more.
pub async fn serve_health(listener: TcpListener, probe: Arc<dyn Probe>) -> io::Result<()> {
    let alive = Arc::clone(&probe);
    let router = Router::new()
        .route(
            "/healthz",
            get(move || async move { verdict(alive.alive()) }),
        )
        .route(
            "/readyz",
            get(move || async move { verdict(probe.ready()) }),
        );
    axum::serve(listener, router).await
}

/// Serves `/metrics` until the process ends.
///
/// # Errors
/// The operating system's, when the port cannot be used any more.
pub async fn serve_metrics(listener: TcpListener, probe: Arc<dyn Probe>) -> io::Result<()> {
    let scrape = move || async move { ([(header::CONTENT_TYPE, OPEN_METRICS)], probe.metrics()) };
    axum::serve(listener, Router::new().route("/metrics", get(scrape))).await
}

fn verdict(result: Result<(), String>) -> impl IntoResponse {
    match result {
        Ok(()) => (StatusCode::OK, "ok".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[derive(Default)]
    struct Fake {
        synced: AtomicBool,
    }

    impl Probe for Fake {
        fn alive(&self) -> Result<(), String> {
            Ok(())
        }

        fn ready(&self) -> Result<(), String> {
            if self.synced.load(Ordering::SeqCst) {
                Ok(())
            } else {
                Err("waits for Pods".into())
            }
        }

        fn metrics(&self) -> String {
            "# EOF\n".into()
        }
    }

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readiness_follows_the_caches_and_metrics_have_their_media_type() {
        let probe = Arc::new(Fake::default());
        let bind = Bind::One("127.0.0.1:0".parse().unwrap());
        let (health, metrics) = (
            bind.open().await.unwrap().unwrap(),
            bind.open().await.unwrap().unwrap(),
        );
        let (at_health, at_metrics) = (health.local_addr().unwrap(), metrics.local_addr().unwrap());
        tokio::spawn(serve_health(health, Arc::clone(&probe) as Arc<dyn Probe>));
        tokio::spawn(serve_metrics(metrics, Arc::clone(&probe) as Arc<dyn Probe>));

        assert!(
            fetch(at_health, "/healthz")
                .await
                .starts_with("HTTP/1.1 200")
        );
        let unready = fetch(at_health, "/readyz").await;
        assert!(
            unready.starts_with("HTTP/1.1 503") && unready.ends_with("waits for Pods"),
            "{unready}"
        );
        probe.synced.store(true, Ordering::SeqCst);
        assert!(
            fetch(at_health, "/readyz")
                .await
                .starts_with("HTTP/1.1 200")
        );
        let scrape = fetch(at_metrics, "/metrics").await;
        assert!(
            scrape.contains(OPEN_METRICS) && scrape.ends_with("# EOF\n"),
            "{scrape}"
        );
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_an_error_and_zero_disables_the_server() {
        let first = Bind::Any(0).open().await.unwrap().unwrap();
        let port = first.local_addr().unwrap().port();
        assert_eq!(
            Bind::Any(port).open().await.unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        assert!(Bind::Disabled.open().await.unwrap().is_none());
    }

    #[test]
    fn addresses_are_written_as_other_controllers_have_them() {
        assert_eq!(":8081".parse(), Ok(Bind::Any(8081)));
        assert_eq!(
            "127.0.0.1:9".parse(),
            Ok(Bind::One("127.0.0.1:9".parse().unwrap()))
        );
        assert_eq!("0".parse(), Ok(Bind::Disabled));
        assert!("8081".parse::<Bind>().is_err() && ":x".parse::<Bind>().is_err());
    }
}
