//! Operations that this crate has no words for.

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::client::Client;
use crate::error::{ClientError, InvalidInput};
use crate::send::{Call, Retry, text};

/// A request as it goes out, but for its signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawRequest {
    /// The method.
    pub method: Method,
    /// The bucket.
    pub bucket: String,
    /// The object; empty for the bucket itself.
    pub key: String,
    /// The query; what has no value is a flag.
    pub query: Vec<(String, Option<String>)>,
    /// Header lines besides those that every request has.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The longest answer that is read, in bytes.
    pub answer_bytes_max: usize,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawOutput {
    /// HTTP status.
    pub status: u16,
    /// Request id.
    pub request_id: String,
    /// The header lines.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl RawRequest {
    /// A request on a bucket, or on an object of it where `key` is not empty. Up to 1 MiB of its answer is read.
    pub fn new(method: Method, bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            method,
            bucket: bucket.into(),
            key: key.into(),
            answer_bytes_max: 1 << 20,
            ..Self::default()
        }
    }

    /// Adds a flag to the query.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        self.query.push((name.to_owned(), None));
        self
    }

    /// Adds a name and its value to the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), Some(value.into())));
        self
    }

    /// Adds a header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

impl RawOutput {
    /// A header line as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }
}

impl Client {
    /// Sends a request as it is, signed. It is repeated only where it surely was not done.
    ///
    /// # Errors
    /// [`ClientError::Service`] for whatever is refused, and [`ClientError::InvalidInput`] for names and header lines that are none.
    pub async fn call(&self, request: RawRequest) -> Result<RawOutput, ClientError> {
        let RawRequest { method, bucket, key, query, headers, body, answer_bytes_max } = request;
        let call = Call::new(method, Retry::Once);
        let call: Result<Call, InvalidInput> =
            if key.is_empty() { call.bucket(&bucket) } else { call.object(&bucket, &key) };
        let mut call = call?;
        for (name, value) in &query {
            match value {
                Some(value) => call.query.push(name, value),
                None => call.query.push_flag(name),
            };
        }
        for (name, value) in &headers {
            call.header(name, value)?;
        }
        call.body = body.into();
        let answer = self.inner.execute(call).await?;
        let (status, request_id, headers) = (answer.status, answer.request_id, answer.headers);
        let body = self.inner.read_bounded(answer.body, answer_bytes_max).await?;
        Ok(RawOutput { status, request_id, headers, body: body.into() })
    }
}
