//! CopyObject.

use http::Method;
use ossia_protocol::uri;
use ossia_protocol::xml;

use super::{ObjectAttributes, bad_answer, version_id};
use crate::client::Client;
use crate::error::ClientError;
use crate::send::{Call, Retry};

/// A copy to make, within the service.
#[derive(Debug, Clone, Default)]
pub struct CopyObjectRequest {
    /// Bucket of the source.
    pub source_bucket: String,
    /// Key of the source.
    pub source_key: String,
    /// Bucket of the copy.
    pub bucket: String,
    /// Key of the copy.
    pub key: String,
    /// What the copy is created with; `None` takes the source's content headers, metadata and tags.
    pub attributes: Option<ObjectAttributes>,
    /// Refuse to replace an object that exists (409 `FileAlreadyExists`).
    pub forbid_overwrite: bool,
}

/// A copy that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyObjectOutput {
    /// HTTP status.
    pub status: u16,
    /// Request id.
    pub request_id: String,
    /// ETag of the copy, without quotes.
    pub etag: String,
    /// Unix seconds.
    pub last_modified: i64,
    /// Version, in a bucket that keeps versions.
    pub version_id: Option<String>,
}

impl Client {
    /// Copies an object on the server. An appendable object cannot be copied, unless the server is set to allow it. Tried
    /// again after a lost answer, unless `forbid_overwrite` is set.
    ///
    /// # Errors
    /// [`ClientError::Service`], for example with code `NoSuchKey`, or `OperationNotSupported` for an appendable source.
    pub async fn copy_object(
        &self,
        request: CopyObjectRequest,
    ) -> Result<CopyObjectOutput, ClientError> {
        let retry = if request.forbid_overwrite { Retry::Once } else { Retry::Repeatable };
        // Only for its names: they are checked before anything is sent.
        Call::new(Method::GET, retry).object(&request.source_bucket, &request.source_key)?;
        let mut call = Call::new(Method::PUT, retry).object(&request.bucket, &request.key)?;
        let source = uri::encode_path(request.source_key.as_bytes());
        call.header("x-oss-copy-source", &format!("/{}/{source}", request.source_bucket))?;
        if let Some(attributes) = &request.attributes {
            call.header("x-oss-metadata-directive", "REPLACE")?;
            if !attributes.tags.is_empty() {
                call.header("x-oss-tagging-directive", "Replace")?;
            }
            attributes.apply(&mut call)?;
        }
        if request.forbid_overwrite {
            call.header("x-oss-forbid-overwrite", "true")?;
        }
        let answer = self.inner.execute(call).await?;
        let (status, request_id) = (answer.status, answer.request_id.clone());
        let version_id = version_id(&answer.headers);
        let body = self.inner.read_aside(answer).await?;
        let copied = xml::CopyObjectOutput::parse(&body)
            .map_err(|_| bad_answer("not a CopyObjectResult", &request_id))?;
        let xml::CopyObjectOutput { etag, last_modified } = copied;
        Ok(CopyObjectOutput { status, request_id, etag, last_modified, version_id })
    }
}
