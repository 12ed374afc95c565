//! Multipart uploads, operation by operation.

use http::Method;
use ossia_protocol::{uri, xml};

use super::{ObjectAttributes, bad_answer, etag_of, version_id};
use crate::body::Body;
use crate::client::Client;
use crate::error::{ClientError, IntegrityError, InvalidInput};
use crate::send::{Answer, Call, Retry, number};

/// Longest document that is read: a page of 1,000 uploads with keys of 1,023 bytes, each encoded threefold, and as much again.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// Which upload: an id belongs to one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadTarget {
    /// The bucket.
    pub bucket: String,
    /// The key of the object to be.
    pub key: String,
    /// The upload's id.
    pub upload_id: String,
}

impl UploadTarget {
    fn call(&self, method: Method, retry: Retry) -> Result<Call, InvalidInput> {
        let mut call = Call::new(method, retry).object(&self.bucket, &self.key)?;
        call.query.push("uploadId", &self.upload_id);
        Ok(call)
    }
}

/// An upload to start.
#[derive(Debug, Clone, Default)]
pub struct InitiateUploadRequest {
    /// The bucket.
    pub bucket: String,
    /// The key of the object to be.
    pub key: String,
    /// What the object is created with.
    pub attributes: ObjectAttributes,
    /// Parts come one after another; the object then tells the MD5 of all of it.
    pub sequential: bool,
    /// Refuse where an object exists (409 `FileAlreadyExists`).
    pub forbid_overwrite: bool,
}

/// A part to send.
#[derive(Debug, Default)]
pub struct UploadPartRequest {
    /// The upload.
    pub target: UploadTarget,
    /// 1 to 10,000.
    pub number: u16,
    /// Its bytes.
    pub data: Body,
}

/// A part to make of an object's bytes.
#[derive(Debug, Clone, Default)]
pub struct UploadPartCopyRequest {
    /// Bucket of the source.
    pub source_bucket: String,
    /// Key of the source.
    pub source_key: String,
    /// The first byte and the last, included; all without.
    pub range: Option<(u64, u64)>,
    /// Only if the source has this ETag, without quotes.
    pub if_match: Option<String>,
    /// The upload.
    pub target: UploadTarget,
    /// 1 to 10,000.
    pub number: u16,
}

/// A part that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadPartOutput {
    /// HTTP status.
    pub status: u16,
    /// Request id.
    pub request_id: String,
    /// ETag without quotes; the completion names it.
    pub etag: String,
    /// CRC-64 of the part.
    pub crc64: Option<u64>,
}

/// An upload to make an object of.
#[derive(Debug, Clone, Default)]
pub struct CompleteUploadRequest {
    /// The upload.
    pub target: UploadTarget,
    /// Numbers and ETags, ascending; `None` takes every part that is there.
    pub parts: Option<Vec<(u16, String)>>,
    /// Refuse to replace an object that exists (409 `FileAlreadyExists`).
    pub forbid_overwrite: bool,
}

/// An object that was made of parts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompleteUploadOutput {
    /// HTTP status.
    pub status: u16,
    /// Request id.
    pub request_id: String,
    /// ETag without quotes: no MD5 of the bytes.
    pub etag: String,
    /// CRC-64 of the object.
    pub crc64: Option<u64>,
    /// Version, in a bucket that keeps versions.
    pub version_id: Option<String>,
}

/// Which uploads to list.
#[derive(Debug, Clone, Default)]
pub struct ListUploadsRequest {
    /// The bucket.
    pub bucket: String,
    /// Only keys that begin so.
    pub prefix: String,
    /// Only keys behind this one.
    pub key_marker: String,
    /// Of that key, uploads with greater ids as well.
    pub upload_id_marker: String,
    /// Entries of a page, 1 to 1,000; the server's default is 1,000.
    pub max_uploads: Option<u16>,
}

impl Client {
    /// Starts an upload and tells its id. Not tried again after a lost answer: there would be two.
    ///
    /// # Errors
    /// [`ClientError::Service`], for example with code `NoSuchBucket`.
    pub async fn initiate_upload(
        &self,
        request: InitiateUploadRequest,
    ) -> Result<String, ClientError> {
        let mut call =
            Call::new(Method::POST, Retry::Once).object(&request.bucket, &request.key)?;
        call.query.push_flag("uploads");
        if request.sequential {
            call.query.push_flag("sequential");
        }
        call.query.push("encoding-type", "url");
        request.attributes.apply(&mut call)?;
        if request.forbid_overwrite {
            call.header("x-oss-forbid-overwrite", "true")?;
        }
        let answer = self.inner.execute(call).await?;
        let read = xml::InitiateMultipartUploadOutput::parse;
        let told = self.document(answer, "not an InitiateMultipartUploadResult", read).await?;
        Ok(told.upload_id)
    }

    /// Stores a part in place of one of the same number. The CRC-64 that the service answers is compared with that of the bytes
    /// sent. Tried again after a lost answer, unless the body is a stream.
    ///
    /// # Errors
    /// [`ClientError::Service`] with code `NoSuchUpload` if the upload is over; [`ClientError::Integrity`] if the service stored
    /// other bytes than were sent.
    pub async fn upload_part(
        &self,
        request: UploadPartRequest,
    ) -> Result<UploadPartOutput, ClientError> {
        let mut call = request.target.call(Method::PUT, Retry::Repeatable)?;
        call.query.push("partNumber", &request.number.to_string());
        call.body = request.data;
        let answer = self.inner.execute(call).await?;
        let ours = answer.sent.crc64;
        let output = stored(&answer);
        if let Some(theirs) = output.crc64.filter(|theirs| *theirs != ours) {
            let request_id = output.request_id;
            return Err(IntegrityError::Crc64 { ours, theirs, request_id }.into());
        }
        self.inner.read_aside(answer).await?;
        Ok(output)
    }

    /// Makes a part of an object's bytes, on the server. Tried again after a lost answer.
    ///
    /// # Errors
    /// [`ClientError::Service`] with code `NoSuchUpload`, or of the source `NoSuchKey`, `PreconditionFailed`, `InvalidRange`.
    pub async fn upload_part_copy(
        &self,
        request: UploadPartCopyRequest,
    ) -> Result<UploadPartOutput, ClientError> {
        let (source_bucket, source_key) = (&request.source_bucket, &request.source_key);
        // Only for its names: they are checked before anything is sent.
        Call::new(Method::GET, Retry::Repeatable).object(source_bucket, source_key)?;
        let mut call = request.target.call(Method::PUT, Retry::Repeatable)?;
        call.query.push("partNumber", &request.number.to_string());
        let source = uri::encode_path(source_key.as_bytes());
        call.header("x-oss-copy-source", &format!("/{source_bucket}/{source}"))?;
        if let Some((first, last)) = request.range {
            call.header("x-oss-copy-source-range", &format!("bytes={first}-{last}"))?;
        }
        let if_match = request.if_match.map(|etag| format!("\"{etag}\""));
        call.header_if("x-oss-copy-source-if-match", if_match.as_deref())?;
        let answer = self.inner.execute(call).await?;
        let output = stored(&answer);
        self.inner.read_aside(answer).await?;
        Ok(output)
    }

    /// Makes an object of parts, in place of what is there. Not tried again after a lost answer: if the upload is over then, this
    /// has happened or somebody has given the upload up.
    ///
    /// # Errors
    /// [`ClientError::Service`] with code `NoSuchUpload`, `InvalidPart`, `InvalidPartOrder`, `EntityTooSmall` (a part that is not
    /// the last has less than 100 KiB) or `FileAlreadyExists`.
    pub async fn complete_upload(
        &self,
        request: CompleteUploadRequest,
    ) -> Result<CompleteUploadOutput, ClientError> {
        let mut call = request.target.call(Method::POST, Retry::Once)?;
        call.query.push("encoding-type", "url");
        match request.parts {
            None => call.header("x-oss-complete-all", "yes")?,
            Some(parts) => {
                let parts = parts.into_iter().map(|(number, etag)| (number.into(), etag));
                let document = xml::CompleteMultipartUploadInput { parts: parts.collect() };
                call.body = Body::from(document.to_xml());
                call.header("content-type", "application/xml")?;
            }
        }
        if request.forbid_overwrite {
            call.header("x-oss-forbid-overwrite", "true")?;
        }
        let answer = self.inner.execute(call).await?;
        let output = CompleteUploadOutput {
            status: answer.status,
            request_id: answer.request_id.clone(),
            etag: etag_of(&answer.headers),
            crc64: number(&answer.headers, "x-oss-hash-crc64ecma"),
            version_id: version_id(&answer.headers),
        };
        self.inner.read_aside(answer).await?;
        Ok(output)
    }

    /// Gives an upload up, and its parts. Not tried again after a lost answer: the second attempt would find no upload.
    ///
    /// # Errors
    /// [`ClientError::Service`] with code `NoSuchUpload` if it is over.
    pub async fn abort_upload(&self, target: &UploadTarget) -> Result<(), ClientError> {
        let answer = self.inner.execute(target.call(Method::DELETE, Retry::Once)?).await?;
        self.inner.read_aside(answer).await.map(drop)
    }

    /// Lists a page of an upload's parts: those with greater numbers than `after`, at most `max` (1 to 1,000).
    ///
    /// # Errors
    /// [`ClientError::Service`] with code `NoSuchUpload` if it is over.
    pub async fn list_parts(
        &self,
        target: &UploadTarget,
        after: u16,
        max: u16,
    ) -> Result<xml::ListPartsOutput, ClientError> {
        let mut call = target.call(Method::GET, Retry::Repeatable)?;
        call.query.push("encoding-type", "url");
        call.query.push("part-number-marker", &after.to_string());
        call.query.push("max-parts", &max.to_string());
        let answer = self.inner.execute(call).await?;
        self.document(answer, "not a ListPartsResult", xml::ListPartsOutput::parse).await
    }

    /// Lists a page of a bucket's uploads.
    ///
    /// # Errors
    /// [`ClientError::Service`], for example with code `NoSuchBucket`.
    pub async fn list_uploads(
        &self,
        request: &ListUploadsRequest,
    ) -> Result<xml::ListMultipartUploadsOutput, ClientError> {
        let mut call = Call::new(Method::GET, Retry::Repeatable).bucket(&request.bucket)?;
        call.query.push_flag("uploads");
        call.query.push("encoding-type", "url");
        let max = request.max_uploads.map(|max| max.to_string()).unwrap_or_default();
        for (name, value) in [
            ("prefix", &request.prefix),
            ("key-marker", &request.key_marker),
            ("upload-id-marker", &request.upload_id_marker),
            ("max-uploads", &max),
        ] {
            if !value.is_empty() {
                call.query.push(name, value);
            }
        }
        let answer = self.inner.execute(call).await?;
        let read = xml::ListMultipartUploadsOutput::parse;
        self.document(answer, "not a ListMultipartUploadsResult", read).await
    }

    async fn document<T>(
        &self,
        answer: Answer,
        what: &'static str,
        read: impl Fn(&[u8]) -> Result<T, xml::XmlError>,
    ) -> Result<T, ClientError> {
        let request_id = answer.request_id;
        let body = self.inner.read_bounded(answer.body, DOCUMENT_BYTES_MAX).await?;
        read(&body).map_err(|_| bad_answer(what, &request_id))
    }
}

fn stored(answer: &Answer) -> UploadPartOutput {
    UploadPartOutput {
        status: answer.status,
        request_id: answer.request_id.clone(),
        etag: etag_of(&answer.headers),
        crc64: number(&answer.headers, "x-oss-hash-crc64ecma"),
    }
}
