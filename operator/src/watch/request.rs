//! One list or one watch stream: bytes from the API server become pages and events, object by object.

use std::time::Duration;

use futures::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};
use kube::Client;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::index::wire::nullable;

/// How long one page of a list may take to arrive.
const PAGE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a watch may be silent. The API server sends a bookmark every 60 to 75 s, later under load.
const IDLE_LIMIT: Duration = Duration::from_mins(2);
/// The largest page or event that is read; objects are limited to 1.5 MiB each by the API server.
const SIZE_LIMIT: u64 = 1 << 30;

/// Why a list or watch ended.
#[expect(
    clippy::error_impl_error,
    reason = "every step has one, named by its module"
)]
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The API server refused, or could not be reached.
    #[error("the request failed")]
    Request(#[source] kube::Error),
    /// The stream broke.
    #[error("the stream broke")]
    Broken(#[source] std::io::Error),
    /// What arrived is no list and no event.
    #[error("the answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// The list names no resource version to watch from.
    #[error("the list has no resource version")]
    Unversioned,
    /// Nothing arrived for too long.
    #[error("nothing arrived for {} s", .0.as_secs())]
    Silent(Duration),
    /// The API server ended the stream with an error.
    #[error("the API server ended the watch with code {code}: {message}")]
    Ended {
        /// The HTTP code.
        code: u16,
        /// Its message.
        message: String,
    },
}

impl Error {
    /// The HTTP code of a refusal.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Request(kube::Error::Api(status)) if status.reason == "Expired" => Some(410),
            Self::Request(kube::Error::Api(status)) => Some(status.code),
            Self::Ended { code, .. } => Some(*code),
            Self::Request(_)
            | Self::Broken(_)
            | Self::Unreadable(_)
            | Self::Unversioned
            | Self::Silent(_) => None,
        }
    }

    /// The message of a refusal.
    pub(super) fn message(&self) -> String {
        if let Self::Request(kube::Error::Api(status)) = self {
            return status.message.clone();
        }
        self.to_string()
    }
}

/// A page of a list. The objects are left as text, so that one that does not decode costs only itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Page<'a> {
    #[serde(deserialize_with = "nullable")]
    metadata: PageMeta,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PageMeta {
    #[serde(deserialize_with = "nullable")]
    pub(super) resource_version: String,
    #[serde(deserialize_with = "nullable", rename = "continue")]
    pub(super) token: String,
}

/// Reads one page and hands every object of it over.
pub(super) async fn page(
    client: &Client,
    path: &str,
    mut object: impl FnMut(&str),
) -> Result<PageMeta, Error> {
    let read = async {
        let stream = open(client, path).await?;
        let mut bytes = Vec::new();
        stream
            .take(SIZE_LIMIT)
            .read_to_end(&mut bytes)
            .await
            .map_err(Error::Broken)?;
        Ok(bytes)
    };
    let bytes = tokio::time::timeout(PAGE_TIMEOUT, read)
        .await
        .unwrap_or(Err(Error::Silent(PAGE_TIMEOUT)))?;
    let page: Page<'_> = serde_json::from_slice(&bytes).map_err(Error::Unreadable)?;
    for item in page.items.unwrap_or_default() {
        object(item.get());
    }
    Ok(page.metadata)
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum EventType {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

#[derive(Debug, Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: EventType,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// The resource version of any object, and the code and message of a Status.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(deserialize_with = "nullable")]
    metadata: PageMeta,
    #[serde(deserialize_with = "nullable")]
    code: u16,
    #[serde(deserialize_with = "nullable")]
    reason: String,
    #[serde(deserialize_with = "nullable")]
    message: String,
}

/// An open watch stream.
#[derive(Debug)]
pub(super) struct Stream<R> {
    reader: R,
    line: Vec<u8>,
}

/// Opens a watch stream.
pub(super) async fn watch(
    client: &Client,
    path: &str,
) -> Result<Stream<impl AsyncBufRead + Unpin + use<>>, Error> {
    let opened = tokio::time::timeout(PAGE_TIMEOUT, open(client, path)).await;
    let reader = opened.unwrap_or(Err(Error::Silent(PAGE_TIMEOUT)))?;
    Ok(Stream {
        reader,
        line: Vec::new(),
    })
}

impl<R: AsyncBufRead + Unpin> Stream<R> {
    /// The next event: what it says, its object and the resource version to go on from. None when the stream ended, which a
    /// server does whenever it likes; the rest of an event that was cut off is sent again by the next watch.
    ///
    /// # Errors
    /// Silence, a broken stream, a line that is no event, or an error of the server.
    pub(super) async fn next(&mut self) -> Result<Option<(EventType, &str, String)>, Error> {
        loop {
            self.line.clear();
            let mut limited = (&mut self.reader).take(SIZE_LIMIT);
            let read = limited.read_until(b'\n', &mut self.line);
            let read = tokio::time::timeout(IDLE_LIMIT, read).await;
            read.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
                .map_err(|error| {
                    if error.kind() == std::io::ErrorKind::TimedOut {
                        Error::Silent(IDLE_LIMIT)
                    } else {
                        Error::Broken(error)
                    }
                })?;
            if self.line.last() != Some(&b'\n') {
                return Ok(None);
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        let event: Event<'_> = serde_json::from_slice(&self.line).map_err(Error::Unreadable)?;
        let text = event.object.get();
        let head: Status = serde_json::from_str(text).unwrap_or_default();
        if event.kind == EventType::Error {
            return Err(Error::Ended {
                code: head.code,
                message: head.message,
            });
        }
        Ok(Some((event.kind, text, head.metadata.resource_version)))
    }
}

async fn open(client: &Client, path: &str) -> Result<impl AsyncBufRead + Unpin + use<>, Error> {
    let request = http::Request::get(path)
        // Newer API servers compress each event of a watch on its own, which clients cannot decode.
        .header(http::header::ACCEPT_ENCODING, "identity")
        .header(http::header::ACCEPT, "application/json")
        .body(Vec::new())
        .map_err(|error| Error::Request(kube::Error::HttpError(error)))?;
    client
        .request_stream(request)
        .await
        .map(Box::pin)
        .map_err(Error::Request)
}
