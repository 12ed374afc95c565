//! PutObject.

use http::Method;
use ossia_protocol::crc64::checksum;

use super::{ContentMd5, ObjectAttributes, etag_of, version_id};
use crate::body::Body;
use crate::client::Client;
use crate::error::{ClientError, IntegrityError};
use crate::send::{Call, Retry, number};

/// An object to store.
#[derive(Debug, Default)]
pub struct PutObjectRequest {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// Its bytes.
    pub data: Body,
    /// What it is created with.
    pub attributes: ObjectAttributes,
    /// Refuse to replace an object that exists (409 `FileAlreadyExists`).
    pub forbid_overwrite: bool,
    /// Whether an MD5 of the bytes is sent along.
    pub content_md5: ContentMd5,
}

impl PutObjectRequest {
    /// Bytes under a key; see the fields for the rest.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>, data: impl Into<Body>) -> Self {
        PutObjectRequest {
            bucket: bucket.into(),
            key: key.into(),
            data: data.into(),
            ..Default::default()
        }
    }
}

/// An object that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutObjectOutput {
    /// HTTP status.
    pub status: u16,
    /// Request id.
    pub request_id: String,
    /// ETag without quotes.
    pub etag: String,
    /// CRC-64 of the object.
    pub crc64: Option<u64>,
    /// Version, in a bucket that keeps versions.
    pub version_id: Option<String>,
}

impl Client {
    /// Stores an object, replacing one of the same key. The CRC-64 that the service answers is compared with that of the bytes
    /// sent; of a body in memory it also goes out with the request, so that damaged bytes are refused before they are stored.
    ///
    /// Tried again after a lost answer, unless `forbid_overwrite` is set or the body is a stream: storing the same bytes twice
    /// leaves the same object, but what another client stored between the two attempts is replaced.
    ///
    /// # Errors
    /// [`ClientError::Service`] with code `FileAlreadyExists` under `forbid_overwrite`; [`ClientError::Integrity`] if the
    /// service stored other bytes than were sent.
    pub async fn put_object(
        &self,
        request: PutObjectRequest,
    ) -> Result<PutObjectOutput, ClientError> {
        let retry = if request.forbid_overwrite { Retry::Once } else { Retry::Repeatable };
        let mut call = Call::new(Method::PUT, retry).object(&request.bucket, &request.key)?;
        request.attributes.apply(&mut call)?;
        request.content_md5.apply(&mut call, &request.data)?;
        if let Some(bytes) = request.data.as_bytes() {
            call.header("x-oss-hash-crc64ecma", &checksum(bytes).to_string())?;
        }
        if request.forbid_overwrite {
            call.header("x-oss-forbid-overwrite", "true")?;
        }
        call.body = request.data;
        let answer = self.inner.execute(call).await?;
        let ours = answer.sent.crc64;
        let output = PutObjectOutput {
            status: answer.status,
            request_id: answer.request_id.clone(),
            etag: etag_of(&answer.headers),
            crc64: number(&answer.headers, "x-oss-hash-crc64ecma"),
            version_id: version_id(&answer.headers),
        };
        if let Some(theirs) = output.crc64.filter(|theirs| *theirs != ours) {
            let request_id = output.request_id;
            return Err(IntegrityError::Crc64 { ours, theirs, request_id }.into());
        }
        self.inner.read_aside(answer).await?;
        Ok(output)
    }
}
