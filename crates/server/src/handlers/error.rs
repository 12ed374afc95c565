//! What went wrong, on the wire: the one table from the object layer's errors to OSS's, and the form of an error answer.

use http::{HeaderName, HeaderValue, StatusCode};
use ossia_objects::{
    AppendError, BodyError, BucketError, BucketSetting, CompleteUploadError, CopyError,
    CreateBucketError, DeleteBucketError, DeleteError, Failure, InitiateUploadError, ListError,
    PutError, ReadObjectError, SealError, UploadError, UploadPartCopyError, UploadPartError,
    VersionId,
};
use ossia_protocol::{
    conditions::REPLACED,
    error::{ErrorCode, OssError},
    names::{BucketName, ObjectKey},
};

use crate::{
    http::{Reply, RequestId},
    rarely::Rarely,
    service::Call,
};

const X_OSS_EC: HeaderName = HeaderName::from_static("x-oss-ec");
const X_OSS_ERR: HeaderName = HeaderName::from_static("x-oss-err");

/// How long a client should wait before it repeats a request that found the store busy, and one that found it unable.
pub(crate) const RETRY_BUSY_SECONDS: u32 = 1;
const RETRY_UNABLE_SECONDS: u32 = 30;

/// An error as an answer. A HEAD has no body: its XML travels in `x-oss-err`; a 304 has neither.
pub(crate) fn render(error: &OssError, id: RequestId, host: &str, head: bool) -> Reply {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = if status == StatusCode::NOT_MODIFIED {
        Reply::empty(status)
    } else if head {
        let text = error.x_oss_err(id.as_str(), host);
        let mut reply = Reply::empty(status);
        if let Ok(value) = HeaderValue::try_from(text) {
            reply = reply.with(X_OSS_ERR, value);
        }
        reply
    } else {
        Reply::xml(status, error.to_xml(id.as_str(), host))
    };
    if let Some(ec) = error.ec() {
        reply = reply.with(X_OSS_EC, HeaderValue::from_static(ec));
    }
    for (name, value) in error.headers() {
        if let Ok(value) = HeaderValue::try_from(value) {
            reply = reply.with(HeaderName::from_static(name), value);
        }
    }
    reply
}

/// The store's own trouble. It is logged here, since nobody behind this point sees it.
pub(crate) fn failure(failure: &Failure) -> OssError {
    static FULL: Rarely = Rarely::new();
    static POISONED: Rarely = Rarely::new();
    match failure {
        Failure::Busy => OssError::service_unavailable(RETRY_BUSY_SECONDS),
        Failure::Full(what) => {
            if FULL.now() {
                tracing::warn!(%what, "the store is full: writes are refused");
            }
            OssError::service_unavailable(RETRY_UNABLE_SECONDS)
        }
        Failure::Poisoned(what) => {
            if POISONED.now() {
                tracing::error!(%what, "the store is poisoned: writes are refused until a restart");
            }
            OssError::service_unavailable(RETRY_UNABLE_SECONDS)
        }
        // What is encrypted is whole, and nothing would come of asking again.
        Failure::NoMasterKey(Some(id)) => OssError::new(ErrorCode::InvalidObjectState)
            .with_message(format!(
                "The object is encrypted under the master key {id}, which this server does not have."
            )),
        Failure::NoMasterKey(None) => OssError::new(ErrorCode::InvalidEncryptionRequest)
            .with_message("This server has no master key, so that nothing can be encrypted."),
        Failure::Closed => OssError::service_unavailable(RETRY_BUSY_SECONDS),
        Failure::Unknown(what) => {
            tracing::error!(%what, "the outcome of a write is unknown");
            OssError::new(ErrorCode::InternalError)
        }
        Failure::Damaged(what) => {
            tracing::error!(%what, "stored data is damaged");
            OssError::new(ErrorCode::InternalError)
        }
        Failure::Io(what) => {
            tracing::error!(%what, "the store failed");
            OssError::new(ErrorCode::InternalError)
        }
        Failure::Internal(what) => {
            tracing::error!(%what, "internal error");
            OssError::new(ErrorCode::InternalError)
        }
    }
}

/// A body that did not arrive. `too_long` is the answer to one that is longer than its operation takes.
pub(crate) fn body(error: &BodyError, too_long: impl FnOnce() -> OssError) -> OssError {
    match error {
        BodyError::Truncated | BodyError::Broken(_) => OssError::new(ErrorCode::IncompleteBody),
        BodyError::Stalled => OssError::new(ErrorCode::RequestTimeout),
        BodyError::TooLong => too_long(),
    }
}

pub(crate) fn create_bucket(error: CreateBucketError, bucket: &BucketName) -> OssError {
    match error {
        CreateBucketError::Conflict(setting) => OssError::new(ErrorCode::BucketAlreadyExists)
            .with_message(match setting {
                BucketSetting::StorageClass => "Cannot modify existing bucket's storage class",
                BucketSetting::Redundancy => {
                    "Bucket already exists can't modify data redundancy type"
                }
            })
            .with_field("BucketName", bucket.as_str()),
        CreateBucketError::TooMany { .. } => OssError::new(ErrorCode::TooManyBuckets),
        CreateBucketError::Store(store) => failure(&store),
    }
}

pub(crate) fn bucket(error: BucketError, bucket: &BucketName) -> OssError {
    match error {
        BucketError::NoSuchBucket => OssError::no_such_bucket(bucket.as_str()),
        BucketError::Retained => OssError::new(ErrorCode::InvalidArgument)
            .with_message("The versioning of a bucket with retention can not be suspended.")
            .with_field("BucketName", bucket.as_str()),
        BucketError::Store(store) => failure(&store),
    }
}

pub(crate) fn delete_bucket(error: DeleteBucketError, bucket: &BucketName) -> OssError {
    match error {
        DeleteBucketError::NoSuchBucket => OssError::no_such_bucket(bucket.as_str()),
        DeleteBucketError::NotEmpty => OssError::bucket_not_empty(bucket.as_str()),
        DeleteBucketError::Store(store) => failure(&store),
    }
}

pub(crate) fn put(
    error: PutError,
    bucket: &BucketName,
    key: &ObjectKey,
    put_bytes_max: u64,
    announced: Option<u64>,
) -> OssError {
    match error {
        PutError::NoSuchBucket => OssError::no_such_bucket(bucket.as_str()),
        PutError::AlreadyExists => OssError::file_already_exists(key.as_str()),
        PutError::Immutable => OssError::new(ErrorCode::FileImmutable),
        PutError::TooLarge { max } => OssError::entity_too_large(max, announced),
        PutError::Body(error) => {
            body(&error, || OssError::entity_too_large(put_bytes_max, announced))
        }
        PutError::DigestMismatch => OssError::content_md5_mismatch(),
        PutError::CrcMismatch => OssError::crc64_mismatch(),
        PutError::Store(store) => failure(&store),
    }
}

/// What an append needs besides the error itself to tell it.
pub(crate) struct AppendContext<'a> {
    pub(crate) bucket: &'a BucketName,
    /// What was wrong with the headers that only the first append uses.
    pub(crate) creation: Option<OssError>,
    /// The class that the object would have had.
    pub(crate) class: &'a str,
    pub(crate) append_bytes_max: u64,
}

pub(crate) fn append(error: AppendError, context: AppendContext<'_>) -> OssError {
    match error {
        AppendError::NoSuchBucket => OssError::no_such_bucket(context.bucket.as_str()),
        AppendError::NotAppendable => OssError::object_not_appendable(),
        AppendError::Sealed => OssError::append_sealed(),
        AppendError::Immutable => OssError::new(ErrorCode::FileImmutable),
        AppendError::BucketRetained => OssError::new(ErrorCode::OperationNotSupported)
            .with_field("Detail", "objects of the bucket have retentions of their own"),
        AppendError::PositionMismatch { length, crc64 } => {
            OssError::position_not_equal_to_length(length, Some(crc64))
        }
        AppendError::TooLarge { max } => OssError::inline_data_too_large(max, None),
        AppendError::CreationRefused => {
            context.creation.unwrap_or_else(|| OssError::new(ErrorCode::InvalidArgument))
        }
        AppendError::ClassNotAppendable => OssError::append_storage_class(context.class),
        AppendError::Body(error) => {
            body(&error, || OssError::inline_data_too_large(context.append_bytes_max, None))
        }
        AppendError::DigestMismatch => OssError::content_md5_mismatch(),
        AppendError::CrcMismatch => OssError::crc64_mismatch(),
        AppendError::Store(store) => failure(&store),
    }
}

pub(crate) fn seal(error: SealError, bucket: &BucketName, key: &ObjectKey) -> OssError {
    match error {
        SealError::NoSuchBucket => OssError::no_such_bucket(bucket.as_str()),
        SealError::NoSuchKey => OssError::no_such_key(key.as_str()),
        SealError::NotAppendable => OssError::object_not_appendable(),
        SealError::PositionMismatch { length, crc64 } => {
            OssError::position_not_equal_to_length(length, Some(crc64))
        }
        SealError::Store(store) => failure(&store),
    }
}

pub(crate) fn read(error: ReadObjectError, bucket: &BucketName, key: &ObjectKey) -> OssError {
    match error {
        ReadObjectError::NoSuchBucket => OssError::no_such_bucket(bucket.as_str()),
        ReadObjectError::NoSuchKey => OssError::no_such_key(key.as_str()),
        ReadObjectError::NoSuchVersion => {
            OssError::new(ErrorCode::NoSuchVersion).with_field("Key", key.as_str())
        }
        ReadObjectError::DeleteMarker { version, .. } => marker(version, key),
        ReadObjectError::Frozen => OssError::new(ErrorCode::InvalidObjectState),
        ReadObjectError::Store(store) => failure(&store),
    }
}

/// A delete marker: an object that is not there.
fn marker(version: VersionId, key: &ObjectKey) -> OssError {
    marked(OssError::no_such_key(key.as_str()), version)
}

fn marked(error: OssError, version: VersionId) -> OssError {
    error
        .with_header("x-oss-delete-marker", "true")
        .with_header("x-oss-version-id", version.to_string())
}

/// As [`read`], with the version that the request named.
pub(crate) fn read_version(
    call: &Call<'_>,
    error: ReadObjectError,
    bucket: &BucketName,
    key: &ObjectKey,
) -> OssError {
    match error {
        ReadObjectError::NoSuchVersion => {
            let id = call.query.get_bytes("versionId").unwrap_or_default();
            OssError::no_such_version(key.as_str(), &String::from_utf8_lossy(id))
        }
        ReadObjectError::DeleteMarker { version, named: true } => {
            marked(OssError::delete_marker_named(call.request.method.as_str()), version)
        }
        other => read(other, bucket, key),
    }
}

/// What is wrong with the target of a link that is read through.
pub(crate) fn link_target(error: ReadObjectError, bucket: &BucketName) -> OssError {
    match error {
        ReadObjectError::NoSuchBucket => OssError::no_such_bucket(bucket.as_str()),
        ReadObjectError::NoSuchKey
        | ReadObjectError::NoSuchVersion
        | ReadObjectError::DeleteMarker { .. } => OssError::new(ErrorCode::SymlinkTargetNotExist),
        ReadObjectError::Frozen => OssError::new(ErrorCode::InvalidObjectState),
        ReadObjectError::Store(store) => failure(&store),
    }
}

pub(crate) fn delete(error: DeleteError, bucket: &BucketName) -> OssError {
    match error {
        DeleteError::NoSuchBucket => OssError::no_such_bucket(bucket.as_str()),
        DeleteError::Immutable => OssError::new(ErrorCode::FileImmutable),
        DeleteError::Store(store) => failure(&store),
    }
}

/// A condition on a copy's source, which goes by its plain name in the answer: one SDK shows it, and its suite asks for that.
fn source_condition(header: &'static str) -> OssError {
    if header == REPLACED {
        // Of what is there now nothing has been decided; when asked again it is.
        return OssError::service_unavailable(RETRY_BUSY_SECONDS);
    }
    OssError::precondition_failed(match header {
        "x-oss-copy-source-if-match" => "If-Match",
        "x-oss-copy-source-if-unmodified-since" => "If-Unmodified-Since",
        other => other,
    })
}

pub(crate) fn copy(
    error: CopyError,
    source: (&BucketName, &ObjectKey),
    destination: (&BucketName, &ObjectKey),
) -> OssError {
    match error {
        CopyError::NoSuchSourceBucket => OssError::no_such_bucket(source.0.as_str()),
        CopyError::NoSuchSourceKey => OssError::no_such_key(source.1.as_str()),
        CopyError::NoSuchSourceVersion => {
            OssError::new(ErrorCode::NoSuchVersion).with_field("Key", source.1.as_str())
        }
        CopyError::SourceDeleteMarker { version, .. } => marker(version, source.1),
        CopyError::NoSuchBucket => OssError::no_such_bucket(destination.0.as_str()),
        CopyError::SourceAppendable => OssError::copy_of_appendable(),
        CopyError::SourceFrozen => OssError::new(ErrorCode::InvalidObjectState),
        CopyError::PreconditionFailed(header) => source_condition(header),
        CopyError::NotModified => OssError::new(ErrorCode::NotModified),
        CopyError::TooLarge { max } => OssError::entity_too_large(max, None)
            .with_message("Source object Length exceeds the maximum allowed size."),
        CopyError::AlreadyExists => OssError::file_already_exists(destination.1.as_str()),
        CopyError::Immutable => OssError::new(ErrorCode::FileImmutable),
        CopyError::Store(store) => failure(&store),
    }
}

pub(crate) fn initiate_upload(
    error: InitiateUploadError,
    bucket: &BucketName,
    key: &ObjectKey,
) -> OssError {
    match error {
        InitiateUploadError::NoSuchBucket => OssError::no_such_bucket(bucket.as_str()),
        InitiateUploadError::AlreadyExists => OssError::file_already_exists(key.as_str()),
        InitiateUploadError::Store(store) => failure(&store),
    }
}

pub(crate) fn upload_part(
    error: UploadPartError,
    bucket: &BucketName,
    upload: &str,
    part_bytes_max: u64,
    announced: Option<u64>,
) -> OssError {
    match error {
        UploadPartError::NoSuchBucket => OssError::no_such_bucket(bucket.as_str()),
        UploadPartError::NoSuchUpload => OssError::no_such_upload(upload).with_ec("0042-00000104"),
        UploadPartError::NotSequential => OssError::new(ErrorCode::PartNotSequential),
        UploadPartError::TooLarge { max } => OssError::entity_too_large(max, announced),
        UploadPartError::Body(error) => {
            body(&error, || OssError::entity_too_large(part_bytes_max, announced))
        }
        UploadPartError::DigestMismatch => OssError::content_md5_mismatch(),
        UploadPartError::CrcMismatch => OssError::crc64_mismatch(),
        UploadPartError::Store(store) => failure(&store),
    }
}

pub(crate) fn upload_part_copy(
    error: UploadPartCopyError,
    source: (&BucketName, &ObjectKey),
    bucket: &BucketName,
    upload: &str,
    range: &str,
) -> OssError {
    match error {
        UploadPartCopyError::NoSuchBucket => OssError::no_such_bucket(bucket.as_str()),
        UploadPartCopyError::NoSuchUpload => {
            OssError::no_such_upload(upload).with_ec("0042-00000311")
        }
        UploadPartCopyError::NotSequential => OssError::new(ErrorCode::PartNotSequential),
        UploadPartCopyError::NoSuchSourceBucket => OssError::no_such_bucket(source.0.as_str()),
        UploadPartCopyError::NoSuchSourceKey => OssError::no_such_key(source.1.as_str()),
        UploadPartCopyError::NoSuchSourceVersion => {
            OssError::new(ErrorCode::NoSuchVersion).with_field("Key", source.1.as_str())
        }
        UploadPartCopyError::SourceFrozen => OssError::new(ErrorCode::InvalidObjectState),
        UploadPartCopyError::SourceDeleteMarker { version, named: false } => {
            marker(version, source.1)
        }
        UploadPartCopyError::SourceDeleteMarker { version, named: true } => {
            let message = "The source of a part copy cannot be a delete marker.";
            OssError::invalid_argument("x-oss-copy-source", version.to_string(), message)
        }
        UploadPartCopyError::PreconditionFailed(header) => source_condition(header),
        UploadPartCopyError::NotModified => OssError::new(ErrorCode::NotModified),
        UploadPartCopyError::OutOfRange { length } => OssError::invalid_range(range, length),
        UploadPartCopyError::TooLarge { max } => OssError::entity_too_large(max, None),
        UploadPartCopyError::Store(store) => failure(&store),
    }
}

pub(crate) fn complete_upload(
    error: CompleteUploadError,
    bucket: &BucketName,
    key: &ObjectKey,
    upload: &str,
) -> OssError {
    match error {
        CompleteUploadError::NoSuchBucket => OssError::no_such_bucket(bucket.as_str()),
        CompleteUploadError::NoSuchUpload => OssError::no_such_upload(upload),
        CompleteUploadError::NoParts => {
            OssError::malformed_xml("an upload is completed with one part at least")
                .with_ec("0042-00000205")
        }
        CompleteUploadError::OutOfOrder => OssError::new(ErrorCode::InvalidPartOrder),
        CompleteUploadError::InvalidPart { number, etag } => OssError::new(ErrorCode::InvalidPart)
            .with_field("ETag", etag)
            .with_field("PartNumber", number.to_string())
            .with_field("UploadId", upload),
        CompleteUploadError::PartTooSmall { number, etag, length, min } => {
            OssError::new(ErrorCode::EntityTooSmall)
                .with_ec("0042-00000213")
                .with_field("MinSizeAllowed", min.to_string())
                .with_field("ProposedSize", length.to_string())
                .with_field("PartNumber", number.to_string())
                .with_field("ETag", etag)
        }
        CompleteUploadError::AlreadyExists => OssError::file_already_exists(key.as_str()),
        CompleteUploadError::Immutable => OssError::new(ErrorCode::FileImmutable),
        CompleteUploadError::Store(store) => failure(&store),
    }
}

pub(crate) fn upload(error: UploadError, bucket: &BucketName, upload: &str) -> OssError {
    match error {
        UploadError::NoSuchBucket => OssError::no_such_bucket(bucket.as_str()),
        UploadError::NoSuchUpload => OssError::no_such_upload(upload),
        UploadError::Store(store) => failure(&store),
    }
}

pub(crate) fn list(error: ListError, bucket: &BucketName) -> OssError {
    match error {
        ListError::NoSuchBucket => OssError::no_such_bucket(bucket.as_str()),
        ListError::Store(store) => failure(&store),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_cannot_do_now_is_503_with_a_time_and_what_went_wrong_is_500() {
        let what = || "x".to_owned();
        for (trouble, status) in [
            (Failure::Busy, 503),
            (Failure::Full(what()), 503),
            (Failure::Poisoned(what()), 503),
            (Failure::Closed, 503),
            (Failure::Unknown(what()), 500),
            (Failure::Damaged(what()), 500),
            (Failure::Io(what()), 500),
            (Failure::Internal(what()), 500),
        ] {
            let error = failure(&trouble);
            assert_eq!(error.status(), status, "{trouble:?}");
            let retry = error.headers().iter().any(|(name, _)| *name == "retry-after");
            assert_eq!(retry, status == 503, "{trouble:?}");
        }
    }
}
