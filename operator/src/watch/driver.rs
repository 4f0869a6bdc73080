//! The loop of one watch: list, watch, and back to whichever the trouble asks for.
//!
//! ```text
//!            ┌──────────── 410, unreadable twice, resync ─────────────┐
//!            ▼                                                         │
//!   list, page by page ──resource version──▶ watch ──end, silence──▶ watch from the last version
//! ```

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::{Backoff, jitter};
use super::health::Health;
use super::request::{self, Error, EventType};
use super::source;
use crate::index::{Change, Object, Scope, Source};

/// Where changes go.
pub(super) type Sink = Arc<dyn Fn(Change, Timestamp) + Send + Sync>;
/// The local clock.
pub type Clock = fn() -> Timestamp;

/// The shortest and the longest time a watch asks for. Load balancers and the kube client cut streams off silently at 290 s and
/// more; the spread keeps all watches from coming back at once.
const WATCH_SECONDS: [u64; 2] = [150, 200];
/// A watch that ends sooner than this, without having said anything, is a failure.
const TOO_SHORT: Duration = Duration::from_secs(1);
/// How long a refusal of inputs holds before we ask again. A RoleBinding can be made at any time.
const DENIED_RETRY: Duration = Duration::from_secs(30);

/// One watch.
#[derive(Clone)]
pub(super) struct Driver {
    pub(super) client: Client,
    pub(super) scope: Scope,
    pub(super) namespace: Option<String>,
    pub(super) sink: Sink,
    pub(super) clock: Clock,
    pub(super) health: Arc<Health>,
    /// Counts the wishes for a new list.
    pub(super) resync: watch::Receiver<u64>,
    /// The last wish that a list has met; none before the first list.
    pub(super) listed: watch::Sender<Option<u64>>,
}

/// How a watch went on.
enum Next {
    /// Watch from the version that was reached.
    Watch(Duration),
    /// List again.
    List(Duration),
}

impl Driver {
    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut unreadable = 0;
        let mut version = String::new();
        self.health.heard(&self.scope);
        loop {
            let step = if version.is_empty() {
                self.list().await.map(|listed| version = listed)
            } else {
                self.watch(&mut version, &mut backoff).await
            };
            let next = match step {
                Ok(()) => Next::Watch(Duration::ZERO),
                Err(error) => self.after(&error, &mut backoff, &mut unreadable),
            };
            let wait = match next {
                Next::Watch(wait) => wait,
                Next::List(wait) => {
                    version.clear();
                    wait
                }
            };
            if self.resync.has_changed().unwrap_or(false) {
                version.clear();
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                wish = self.resync.changed() => {
                    // Without anybody who could wish there is nothing to wake up for.
                    if wish.is_err() {
                        tokio::time::sleep(wait).await;
                    } else {
                        version.clear();
                        self.resync.mark_changed();
                    }
                }
            }
        }
    }

    /// What to do about an error.
    fn after(&self, error: &Error, backoff: &mut Backoff, unreadable: &mut u32) -> Next {
        if error.code() == Some(410) {
            tracing::info!(kind = %self.scope, "Listed again because the resource version expired");
            return Next::List(backoff.expired());
        }
        self.health.failed(&self.scope);
        tracing::warn!(kind = %self.scope, error = error as &dyn std::error::Error, "Watch failed");
        if let (Scope::Inputs(kind, namespace), Some(403)) = (&self.scope, error.code()) {
            self.report(Change::Denied(*kind, namespace.clone(), error.message()));
            return Next::List(DENIED_RETRY);
        }
        match error {
            // The next watch sends what this one did not.
            Error::Silent(_) => Next::Watch(Duration::ZERO),
            Error::Unreadable(_) => {
                *unreadable += 1;
                // Perhaps the server can list what it cannot send as an event.
                if unreadable.is_multiple_of(2) {
                    Next::List(backoff.next())
                } else {
                    Next::Watch(backoff.next())
                }
            }
            Error::Request(_) | Error::Broken(_) | Error::Unversioned | Error::Ended { .. } => {
                Next::Watch(backoff.next())
            }
        }
    }

    /// Lists everything and returns the version to watch from.
    async fn list(&mut self) -> Result<String, Error> {
        let wish = *self.resync.borrow_and_update();
        self.health.listing(&self.scope);
        self.report(Change::Listing(self.scope.clone()));
        let mut token = String::new();
        loop {
            let path = source::page(&self.scope, self.namespace.as_deref(), &token);
            let page =
                request::page(&self.client, &path, |text| self.see(text, Source::List)).await?;
            self.health.heard(&self.scope);
            token = page.token;
            if token.is_empty() {
                if page.resource_version.is_empty() {
                    return Err(Error::Unversioned);
                }
                self.report(Change::Listed(self.scope.clone()));
                self.listed.send_replace(Some(wish));
                return Ok(page.resource_version);
            }
        }
    }

    /// Watches until the stream ends; `version` follows what was seen.
    async fn watch(&mut self, version: &mut String, backoff: &mut Backoff) -> Result<(), Error> {
        let [least, most] = WATCH_SECONDS;
        let seconds = least + jitter(Duration::from_secs(most - least)).as_secs();
        let path = source::watch(&self.scope, self.namespace.as_deref(), version, seconds);
        let begun = Instant::now();
        let mut quiet = true;
        let mut stream = request::watch(&self.client, &path).await?;
        loop {
            let event = tokio::select! {
                event = stream.next() => event?,
                Ok(()) = self.resync.changed() => {
                    self.resync.mark_changed();
                    return Ok(());
                }
            };
            let Some((kind, text, reached)) = event else {
                break;
            };
            quiet = false;
            backoff.reset();
            self.health.heard(&self.scope);
            match kind {
                EventType::Added | EventType::Modified => self.see(text, Source::Watch),
                EventType::Deleted => {
                    if let Some(object) = self.decode(text) {
                        self.report(Change::Gone(object));
                    }
                }
                EventType::Bookmark | EventType::Error => {}
            }
            if !reached.is_empty() {
                *version = reached;
            }
        }
        if quiet && begun.elapsed() < TOO_SHORT {
            let empty = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(Error::Broken(empty));
        }
        backoff.reset();
        Ok(())
    }

    fn see(&self, text: &str, from: Source) {
        if let Some(object) = self.decode(text) {
            self.report(Change::Seen(object, from));
        }
    }

    fn decode(&self, text: &str) -> Option<Object> {
        match Object::decode(&self.scope, text) {
            Ok(object) => Some(object),
            Err(error) => {
                self.health.undecodable(&self.scope);
                tracing::error!(kind = %self.scope, %error, "Left out an object that cannot be decoded");
                None
            }
        }
    }

    fn report(&self, change: Change) {
        (self.sink)(change, (self.clock)());
    }
}
