//! How operations travel: one request each, never repeated, and what the answer says about what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ossia_client::{
    AppendObjectRequest, ByteRange, Client, ClientError, CompleteUploadRequest, CopyObjectRequest,
    CreateBucketRequest, Credentials, GetObjectRequest, InitiateUploadRequest, InvalidInput,
    ListObjectsRequest, ListUploadsRequest, Method, ObjectMeta, Outcome as Certainty,
    PutObjectRequest, RawRequest, RetryPolicy, SealObjectRequest, ServiceError, Timeouts,
    UploadPartCopyRequest, UploadPartRequest, UploadTarget,
};
use ossia_model::{
    Answer, Content, Info, Kind, Operation, Refusal, Reply, Step, UploadStep, stable_etag,
};
use ossia_protocol::crc64;

use super::body::attribute;
use super::event::{Outcome, Why};
use crate::kept::{list_versions, read};

/// Longest object that is read.
const READ_BYTES_MAX: usize = 1 << 30;

/// A bucket on a server.
#[derive(Debug, Clone)]
pub struct Target {
    client: Client,
    bucket: String,
    versions: bool,
}

/// An outcome, and whose bytes came with it.
type Told = (Outcome, String);

impl Target {
    /// A bucket at this endpoint, by the key of somebody who may do anything. Nothing is sent yet. Nothing is ever tried again.
    ///
    /// # Errors
    /// [`InvalidInput`] for an endpoint or a key that is none.
    pub fn new(
        endpoint: &str,
        key_id: &str,
        secret: &str,
        bucket: &str,
        timeouts: Timeouts,
    ) -> Result<Self, InvalidInput> {
        let client = Client::builder(endpoint)
            .credentials(Credentials::new(key_id, secret))
            .retry(RetryPolicy::NONE)
            .timeouts(timeouts)
            .build()?;
        Ok(Self { client, bucket: bucket.to_owned(), versions: false })
    }

    /// The same, for a bucket that keeps versions from its making on.
    #[must_use]
    pub fn with_versions(self) -> Self {
        Self { versions: true, ..self }
    }

    /// Whether the bucket keeps versions.
    pub fn keeps_versions(&self) -> bool {
        self.versions
    }

    /// Makes the bucket; one that is there stays.
    ///
    /// # Errors
    /// What the client reports.
    pub async fn create_bucket(&self) -> Result<(), ClientError> {
        self.client.create_bucket(CreateBucketRequest::new(self.bucket.as_str())).await?;
        if self.versions {
            let body =
                "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
            let request = RawRequest::new(Method::PUT, self.bucket.as_str(), "");
            self.client.call(request.flag("versioning").body(body)).await?;
        }
        Ok(())
    }

    /// Does an operation once.
    pub async fn send(&self, operation: &Operation) -> Told {
        let told = match operation {
            Operation::On { key, step } => self.send_step(key, step).await,
            Operation::Copy { source, key, forbid_overwrite, .. } => {
                self.copy(source, key, *forbid_overwrite).await
            }
            Operation::ListVersions { prefix } => self.list_versions(prefix).await,
            Operation::Set(_) | Operation::Round => Ok(impossible("no client sends it".to_owned())),
            Operation::List { prefix } => self.list(prefix).await,
            Operation::CopyPart { .. } => self.copy_part(operation).await,
            Operation::ListUploads { prefix } => self.list_uploads(prefix).await,
        };
        told.unwrap_or_else(|error| (failed(operation, &error), String::new()))
    }

    async fn send_step(&self, key: &str, step: &Step) -> Result<Told, ClientError> {
        let (bucket, key) = (self.bucket.as_str(), key);
        let reply = match step {
            Step::Append { position, body } => {
                let request = AppendObjectRequest::new(bucket, key, body.bytes().clone());
                let told = self.client.append_object(request.position(*position)).await?;
                let (Some(crc64), Some(etag)) =
                    (told.crc64, stable_etag(Kind::Appendable, &told.etag))
                else {
                    return Ok(impossible(format!("an append answered {told:?}")));
                };
                let next_position = told.next_position;
                about(told.version_id, Reply::Appended { next_position, crc64, etag })
            }
            Step::Put { content, forbid_overwrite } => {
                let mut request = PutObjectRequest::new(bucket, key, sent(content));
                request.forbid_overwrite = *forbid_overwrite;
                let told = self.client.put_object(request).await?;
                let (Some(crc64), Some(etag)) = (told.crc64, stable_etag(Kind::Normal, &told.etag))
                else {
                    return Ok(impossible(format!("a put answered {told:?}")));
                };
                about(told.version_id, Reply::Stored { etag, crc64 })
            }
            Step::Seal { position } => {
                let (bucket, key) = (bucket.to_owned(), key.to_owned());
                let request = SealObjectRequest { bucket, key, position: *position };
                self.client.seal_object(request).await?;
                Reply::Sealed
            }
            Step::Delete => {
                let told = self.client.delete_object(bucket, key).await?;
                if told.delete_marker != told.version_id.is_some() {
                    return Ok(impossible(format!("a delete answered {told:?}")));
                }
                about(told.version_id, Reply::Deleted)
            }
            Step::Get { range } => return self.get(key, range.as_ref()).await,
            Step::Head => {
                let told = self.client.head_object(bucket, key).await?;
                match info(&told.meta) {
                    Ok(info) => about(told.meta.version_id, Reply::Found(info)),
                    Err(text) => return Ok(impossible(text)),
                }
            }
            Step::Upload(step) => return self.send_upload_step(key, step).await,
            Step::Of { version, step } => return self.send_of(key, version, step).await,
            Step::Versions => {
                let listed = list_versions(&self.client, bucket, key).await?;
                return Ok(match listed {
                    Ok(mut listed) => {
                        let all = listed.remove(key).unwrap_or_default();
                        answered(Answer::One(Reply::Versions(all)))
                    }
                    Err(strange) => impossible(strange),
                });
            }
            _ => {
                return Ok(impossible("no client sends half an operation".to_owned()));
            }
        };
        Ok(answered(Answer::One(reply)))
    }

    async fn get(&self, key: &str, range: Option<&Range<u64>>) -> Result<Told, ClientError> {
        let mut request = GetObjectRequest::new(self.bucket.as_str(), key);
        if let Some(range) = range {
            let (first, last) = (range.start, range.end.saturating_sub(1));
            request = request.range(ByteRange::Span { first, last });
        }
        let told = self.client.get_object(request).await?;
        let bytes = told.body.collect(READ_BYTES_MAX).await?;
        let (length, crc64) = (bytes.len() as u64, crc64::checksum(&bytes));
        Ok(match info(&told.meta) {
            Ok(info) => {
                let reply = about(told.meta.version_id, Reply::Read { info, crc64, length });
                (Outcome::Answered(Answer::One(reply)), attribute(&bytes))
            }
            Err(text) => impossible(text),
        })
    }

    async fn copy(&self, source: &str, key: &str, forbid: bool) -> Result<Told, ClientError> {
        let request = CopyObjectRequest {
            source_bucket: self.bucket.clone(),
            source_key: source.to_owned(),
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            forbid_overwrite: forbid,
            ..CopyObjectRequest::default()
        };
        let told = self.client.copy_object(request).await?;
        // What is copied is told by the ETag: what was made of parts has one of its own form.
        let etag = [Kind::Normal, Kind::Multipart].map(|kind| stable_etag(kind, &told.etag));
        Ok(match etag.into_iter().flatten().next() {
            Some(etag) => answered(Answer::Copied { etag, version: told.version_id }),
            None => impossible(format!("a copy answered {told:?}")),
        })
    }

    fn upload(&self, key: &str, upload: &str) -> UploadTarget {
        let (bucket, key, upload_id) = (self.bucket.clone(), key.to_owned(), upload.to_owned());
        UploadTarget { bucket, key, upload_id }
    }

    async fn send_upload_step(&self, key: &str, step: &UploadStep) -> Result<Told, ClientError> {
        let reply = match step {
            UploadStep::Initiate { sequential, forbid_overwrite, .. } => {
                let request = InitiateUploadRequest {
                    bucket: self.bucket.clone(),
                    key: key.to_owned(),
                    sequential: *sequential,
                    forbid_overwrite: *forbid_overwrite,
                    ..InitiateUploadRequest::default()
                };
                Reply::Initiated { upload: self.client.initiate_upload(request).await? }
            }
            UploadStep::Part { upload, number, content } => {
                let (target, data) = (self.upload(key, upload), sent(content).into());
                let request = UploadPartRequest { target, number: *number, data };
                let told = self.client.upload_part(request).await?;
                let (Some(crc64), Some(etag)) = (told.crc64, stable_etag(Kind::Normal, &told.etag))
                else {
                    return Ok(impossible(format!("a part answered {told:?}")));
                };
                Reply::PartStored { etag, crc64 }
            }
            UploadStep::Parts { upload } => {
                // Few enough for one page: several would be seen at several moments.
                let told = self.client.list_parts(&self.upload(key, upload), 0, 1_000).await?;
                let parts = told.parts.into_iter();
                Reply::Parts(parts.map(|it| (it.number, (it.etag, it.crc64, it.size))).collect())
            }
            UploadStep::Complete { upload, parts, forbid_overwrite, .. } => {
                let request = CompleteUploadRequest {
                    target: self.upload(key, upload),
                    parts: parts.clone(),
                    forbid_overwrite: *forbid_overwrite,
                };
                let told = self.client.complete_upload(request).await?;
                let (Some(crc64), Some(etag)) =
                    (told.crc64, stable_etag(Kind::Multipart, &told.etag))
                else {
                    return Ok(impossible(format!("a completion answered {told:?}")));
                };
                about(told.version_id, Reply::Completed { etag, crc64 })
            }
            UploadStep::Abort { upload } => {
                self.client.abort_upload(&self.upload(key, upload)).await?;
                Reply::Aborted
            }
            UploadStep::Find { .. } => {
                return Ok(impossible("no client sends half an operation".to_owned()));
            }
        };
        Ok(answered(Answer::One(reply)))
    }

    async fn copy_part(&self, operation: &Operation) -> Result<Told, ClientError> {
        let Operation::CopyPart { source, range, if_match, key, upload, number } = operation else {
            return Ok(impossible("no copy of a part".to_owned()));
        };
        let request = UploadPartCopyRequest {
            source_bucket: self.bucket.clone(),
            source_key: source.clone(),
            range: range.as_ref().map(|range| (range.start, range.end.saturating_sub(1))),
            if_match: if_match.clone(),
            target: self.upload(key, upload),
            number: *number,
        };
        let told = self.client.upload_part_copy(request).await?;
        Ok(match (told.crc64, stable_etag(Kind::Normal, &told.etag)) {
            (Some(crc64), Some(etag)) => answered(Answer::CopiedPart { etag, crc64 }),
            _ => impossible(format!("a part's copy answered {told:?}")),
        })
    }

    async fn list_uploads(&self, prefix: &str) -> Result<Told, ClientError> {
        let mut request = ListUploadsRequest {
            bucket: self.bucket.clone(),
            prefix: prefix.to_owned(),
            max_uploads: Some(5),
            ..ListUploadsRequest::default()
        };
        let mut listed = BTreeSet::new();
        loop {
            let page = self.client.list_uploads(&request).await?;
            for upload in page.uploads {
                let entry = (upload.key, upload.upload_id);
                if let Some((key, id)) = listed.replace(entry) {
                    return Ok(impossible(format!("a listing names {id} of {key} twice")));
                }
            }
            if !page.is_truncated {
                return Ok(answered(Answer::Uploads(listed)));
            }
            request.key_marker = page.next_key_marker;
            request.upload_id_marker = page.next_upload_id_marker;
        }
    }

    async fn list_versions(&self, prefix: &str) -> Result<Told, ClientError> {
        let listed = list_versions(&self.client, &self.bucket, prefix).await?;
        Ok(listed.map_or_else(impossible, |listed| answered(Answer::Versions(listed))))
    }

    /// A step on a version that is named.
    async fn send_of(&self, key: &str, version: &str, step: &Step) -> Result<Told, ClientError> {
        let request = |method| {
            let request = RawRequest::new(method, self.bucket.as_str(), key);
            request.query("versionId", version)
        };
        let reply = match step {
            Step::Delete => {
                let told = self.client.call(request(Method::DELETE)).await?;
                let marker = told.header("x-oss-delete-marker") == Some("true");
                (told, Reply::Removed { marker })
            }
            Step::Get { range: None } => {
                let mut request = request(Method::GET);
                request.answer_bytes_max = READ_BYTES_MAX;
                let told = self.client.call(request).await?;
                let reply = read(&told);
                (told, reply)
            }
            _ => return Ok(impossible("no client sends it".to_owned())),
        };
        let (told, reply) = reply;
        let named = told.header("x-oss-version-id").map(str::to_owned);
        Ok((Outcome::Answered(Answer::One(about(named, reply))), attribute(&told.body)))
    }

    async fn list(&self, prefix: &str) -> Result<Told, ClientError> {
        let mut request = ListObjectsRequest::new(self.bucket.as_str());
        request.prefix = prefix.to_owned();
        // Several pages, each one a request, so that where they meet is looked at as well.
        request.max_keys = Some(5);
        let mut pages = self.client.list_objects_pages(request);
        let mut listed = BTreeMap::new();
        while let Some(page) = pages.next_page().await? {
            for object in page.objects {
                let kind = kind(&object.object_type);
                let entry = kind
                    .and_then(|kind| Some((kind, object.size, stable_etag(kind, &object.etag)?)));
                let Some(entry) = entry else {
                    return Ok(impossible(format!("a listing names {object:?}")));
                };
                if listed.insert(object.key.clone(), entry).is_some() {
                    return Ok(impossible(format!("a listing names {} twice", object.key)));
                }
            }
        }
        Ok(answered(Answer::Listed(listed)))
    }
}

/// A reply, with the version where one is told.
fn about(version: Option<String>, reply: Reply) -> Reply {
    match version {
        Some(version) => Reply::of(&version, reply),
        None => reply,
    }
}

/// What is sent has one body: that of its client.
fn sent(content: &Content) -> bytes::Bytes {
    content.last_body().map(|body| body.bytes().clone()).unwrap_or_default()
}

fn answered(answer: Answer) -> Told {
    (Outcome::Answered(answer), String::new())
}

fn impossible(text: String) -> Told {
    (Outcome::Impossible(text), String::new())
}

fn kind(text: &str) -> Option<Kind> {
    match text {
        "Normal" => Some(Kind::Normal),
        "Appendable" => Some(Kind::Appendable),
        "Multipart" => Some(Kind::Multipart),
        _ => None,
    }
}

/// What headers say of an object, if they agree with one another.
fn info(meta: &ObjectMeta) -> Result<Info, String> {
    let parts = || {
        let kind = kind(&meta.object_type)?;
        let next = (kind == Kind::Appendable).then_some(meta.length);
        if meta.next_append_position != next {
            return None;
        }
        let etag = stable_etag(kind, &meta.etag)?;
        let sealed = meta.sealed_time.is_some();
        Some(Info { kind, length: meta.length, crc64: meta.crc64?, etag, sealed })
    };
    parts().ok_or_else(|| format!("headers that contradict themselves: {meta:?}"))
}

/// What a failure says about what happened.
fn failed(operation: &Operation, error: &ClientError) -> Outcome {
    let refused = |refusal| Outcome::Answered(Answer::One(Reply::Refused(refusal)));
    match error {
        ClientError::PositionNotEqualToLength { next_position, crc64: Some(crc64), .. } => {
            refused(Refusal::WrongPosition { length: *next_position, crc64: *crc64 })
        }
        ClientError::ObjectNotAppendable { .. } => refused(Refusal::NotAppendable),
        ClientError::Service(service) => match refusal(operation, service) {
            Some(refusal) => refused(refusal),
            None => trouble(service),
        },
        ClientError::Transport { .. } | ClientError::Timeout { .. } => {
            let why = Why { status: None, text: error.to_string() };
            match error.outcome() {
                Certainty::Rejected => Outcome::NotDone(why),
                Certainty::Unknown => Outcome::Unknown(why),
            }
        }
        _ => Outcome::Impossible(error.to_string()),
    }
}

/// The refusals that reveal state.
fn refusal(operation: &Operation, service: &ServiceError) -> Option<Refusal> {
    match (service.status, service.code.as_str(), operation) {
        (404, "NoSuchKey", _) => Some(Refusal::NoSuchKey),
        (404, "NoSuchVersion", _) => Some(Refusal::NoSuchVersion),
        (405, "MethodNotAllowed", Operation::On { step: Step::Of { version, .. }, .. }) => {
            Some(Refusal::Marker { id: version.clone(), named: true })
        }
        (409, "FileAlreadyExists", _) => Some(Refusal::AlreadyExists),
        (400, "AppendSealedObjectNotAllowed", Operation::On { .. }) => Some(Refusal::Sealed),
        (400, "OperationNotSupported", Operation::Copy { .. }) => Some(Refusal::SourceAppendable),
        (416, "InvalidRange", Operation::On { .. } | Operation::CopyPart { .. }) => {
            Some(Refusal::InvalidRange)
        }
        (412, "PreconditionFailed", Operation::CopyPart { .. }) => Some(Refusal::SourceChanged),
        (404, "NoSuchUpload", _) => Some(Refusal::NoSuchUpload),
        (400, "PartNotSequential", _) => Some(Refusal::NotSequential),
        (400, code, Operation::On { step: Step::Upload(UploadStep::Complete { .. }), .. }) => {
            match code {
                "InvalidPart" => Some(Refusal::InvalidPart),
                "InvalidPartOrder" => Some(Refusal::OutOfOrder),
                "EntityTooSmall" => Some(Refusal::PartTooSmall),
                "MalformedXML" => Some(Refusal::NoParts),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Answers that reveal nothing. 503 is given only for what was not done (`handlers/error.rs` of the server), and so are the answers
/// to a body that did not come and to a client that asks too much; any other trouble of the server's own leaves open what happened.
/// Nothing that is sent here deserves another refusal.
fn trouble(service: &ServiceError) -> Outcome {
    let why = Why { status: Some(service.status), text: service.to_string() };
    match service.status {
        503 | 408 | 429 => Outcome::NotDone(why),
        _ if service.code == "RequestTimeout" => Outcome::NotDone(why),
        500.. => Outcome::Unknown(why),
        _ => Outcome::Impossible(service.to_string()),
    }
}
