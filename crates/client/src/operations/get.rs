//! GetObject and HeadObject.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http::{Method, header};
use http_body::Body as _;
use hyper::body::Incoming;
use ossia_protocol::crc64::Crc64;
use tokio::time::{Instant, Sleep, sleep};

use super::{ObjectMeta, bad_answer};
use crate::client::{Client, Inner};
use crate::error::{ClientError, IntegrityError};
use crate::send::{Answer, Call, Retry, number, text};

/// A part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From this byte to the end.
    From(u64),
    /// From byte `first` to byte `last`, both included; cut at the end of the object.
    Span {
        /// The first byte.
        first: u64,
        /// The last byte.
        last: u64,
    },
    /// So many bytes at the end.
    Last(u64),
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ByteRange::From(first) => write!(f, "bytes={first}-"),
            ByteRange::Span { first, last } => write!(f, "bytes={first}-{last}"),
            ByteRange::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

/// An object to read.
#[derive(Debug, Clone, Default)]
pub struct GetObjectRequest {
    /// The bucket.
    pub bucket: String,
    /// The object.
    pub key: String,
    /// Which part; `None` reads all of it.
    pub range: Option<ByteRange>,
    /// Only if the ETag is this one (else 412 `PreconditionFailed`).
    pub if_match: Option<String>,
    /// Only if the ETag is another than this one (else status 304).
    pub if_none_match: Option<String>,
}

impl GetObjectRequest {
    /// A whole object; see the fields for the rest.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Self {
        GetObjectRequest { bucket: bucket.into(), key: key.into(), ..Default::default() }
    }

    /// Only a part.
    #[must_use]
    pub fn range(mut self, range: ByteRange) -> Self {
        self.range = Some(range);
        self
    }
}

/// An object that is being read.
#[derive(Debug)]
#[non_exhaustive]
pub struct GetObjectOutput {
    /// HTTP status: 200, or 206 for a part.
    pub status: u16,
    /// Request id.
    pub request_id: String,
    /// What is known about the object.
    pub meta: ObjectMeta,
    /// Its bytes.
    pub body: Download,
}

/// What HeadObject answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeadObjectOutput {
    /// HTTP status.
    pub status: u16,
    /// Request id.
    pub request_id: String,
    /// What is known about the object.
    pub meta: ObjectMeta,
}

impl Client {
    /// Reads an object, or a part of it. Tried again until the answer begins; a break after that ends the stream with an error.
    ///
    /// ```no_run
    /// use ossia_client::{ByteRange, Client, GetObjectRequest};
    ///
    /// # async fn example(client: Client) -> Result<(), ossia_client::ClientError> {
    /// let request = GetObjectRequest::new("logs", "app.log").range(ByteRange::From(4096));
    /// let mut answer = client.get_object(request).await?;
    /// while let Some(chunk) = answer.body.next_chunk().await {
    ///     println!("{} bytes", chunk?.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Service`], for example with code `NoSuchKey`, or `InvalidRange` for a part that begins behind the end.
    pub async fn get_object(
        &self,
        request: GetObjectRequest,
    ) -> Result<GetObjectOutput, ClientError> {
        let mut call =
            Call::new(Method::GET, Retry::Repeatable).object(&request.bucket, &request.key)?;
        if let Some(range) = request.range {
            call.header("range", &range.to_string())?;
            // Without it OSS answers a range past the end with the whole object.
            call.header("x-oss-range-behavior", "standard")?;
        }
        call.header_if("if-match", request.if_match.as_deref())?;
        call.header_if("if-none-match", request.if_none_match.as_deref())?;
        let answer = self.inner.execute(call).await?;
        let Answer { status, headers, body, request_id, .. } = answer;
        if request.range.is_some() && status != 206 {
            return Err(bad_answer("a part was asked for and something else came", &request_id));
        }
        let length = match text(&headers, "content-range") {
            Some(range) => range.rsplit('/').next().and_then(|total| total.parse().ok()),
            None => number(&headers, "content-length"),
        };
        let meta = ObjectMeta::read(&headers, length.unwrap_or_default());
        // The service may compress what it sends on the way; the CRC-64 is that of the object.
        let encoded = headers.contains_key(header::CONTENT_ENCODING)
            && !headers.contains_key(header::CONTENT_LENGTH);
        let expected = meta.crc64.filter(|_| status == 200 && !encoded);
        let body = Download::new(Arc::clone(&self.inner), body, expected, request_id.clone());
        Ok(GetObjectOutput { status, request_id, meta, body })
    }

    /// Asks what is known about an object, without reading it.
    ///
    /// # Errors
    /// [`ClientError::Service`], for example with code `NoSuchKey`.
    pub async fn head_object(
        &self,
        bucket: &str,
        key: &str,
    ) -> Result<HeadObjectOutput, ClientError> {
        let call = Call::new(Method::HEAD, Retry::Repeatable).object(bucket, key)?;
        let answer = self.inner.execute(call).await?;
        let length = number(&answer.headers, "content-length")
            .ok_or_else(|| bad_answer("no content length", &answer.request_id))?;
        Ok(HeadObjectOutput {
            status: answer.status,
            meta: ObjectMeta::read(&answer.headers, length),
            request_id: answer.request_id,
        })
    }
}

/// The bytes of an object as they arrive.
///
/// It ends early only with an error: with [`ClientError::Transport`] if the connection breaks, [`ClientError::Timeout`] if
/// nothing arrives, [`ClientError::Integrity`] if a whole object's bytes do not give its CRC-64. Use it as a stream or with
/// [`Download::next_chunk`] and [`Download::collect`].
pub struct Download {
    inner: Arc<Inner>,
    body: Incoming,
    /// CRC-64 that the bytes must give; only of whole objects.
    expected: Option<u64>,
    crc: Crc64,
    request_id: String,
    silence: Pin<Box<Sleep>>,
    over: bool,
}

impl Download {
    fn new(inner: Arc<Inner>, body: Incoming, expected: Option<u64>, request_id: String) -> Self {
        let silence = Box::pin(sleep(inner.timeouts.idle));
        Download { inner, body, expected, crc: Crc64::new(), request_id, silence, over: false }
    }

    /// The next bytes; `None` at the end.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes, ClientError>> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// All remaining bytes.
    ///
    /// # Errors
    /// Those of the stream, and [`ClientError::BadAnswer`] if there are more than `bytes_max`.
    pub async fn collect(mut self, bytes_max: usize) -> Result<Bytes, ClientError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next_chunk().await {
            let chunk = chunk?;
            if all.len() + chunk.len() > bytes_max {
                return Err(bad_answer(
                    "the object is longer than the caller takes",
                    &self.request_id,
                ));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(Bytes::from(all))
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        while !self.over {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.silence.as_mut().reset(Instant::now() + self.inner.timeouts.idle);
                    let Ok(chunk) = frame.into_data() else { continue };
                    self.crc.update(&chunk);
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Poll::Ready(Some(Err(error))) => return self.fail(self.inner.cut_short(error)),
                Poll::Ready(None) => return self.finish(),
                Poll::Pending if self.silence.as_mut().poll(cx).is_ready() => {
                    return self.fail(self.inner.silent());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(None)
    }

    fn finish(&mut self) -> Poll<Option<Result<Bytes, ClientError>>> {
        self.over = true;
        let ours = self.crc.value();
        match self.expected {
            Some(theirs) if theirs != ours => {
                let request_id = self.request_id.clone();
                self.fail(IntegrityError::Crc64 { ours, theirs, request_id }.into())
            }
            _ => Poll::Ready(None),
        }
    }

    fn fail(&mut self, error: ClientError) -> Poll<Option<Result<Bytes, ClientError>>> {
        self.over = true;
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for Download {
    type Item = Result<Bytes, ClientError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_chunk(cx)
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}
