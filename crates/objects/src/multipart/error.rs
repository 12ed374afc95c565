//! Why an upload did not go on, one enum per question.

use thiserror::Error;

use crate::{BodyError, Failure, ReadObjectError, VersionId, intake::IntakeError};

/// Why no upload was started.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InitiateUploadError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// An object exists and must not be overwritten.
    #[error("the object exists")]
    AlreadyExists,
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// Why a part was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UploadPartError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The upload is unknown, completed, aborted, or of another key.
    #[error("no such upload")]
    NoSuchUpload,
    /// The upload takes parts one after another, and this is not its turn.
    #[error("the part is out of turn")]
    NotSequential,
    /// The part is too long.
    #[error("longer than {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: u64,
    },
    /// The body did not arrive as announced.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The body has another MD5 than announced.
    #[error("the MD5 does not match")]
    DigestMismatch,
    /// The body has another CRC-64 than announced.
    #[error("the CRC-64 does not match")]
    CrcMismatch,
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}

impl UploadPartError {
    pub(super) fn of_intake(error: IntakeError, max: u64) -> Self {
        match error {
            IntakeError::Body(error) => error.into(),
            IntakeError::TooLarge => Self::TooLarge { max },
            IntakeError::DigestMismatch => Self::DigestMismatch,
            IntakeError::CrcMismatch => Self::CrcMismatch,
            IntakeError::Store(failure) => failure.into(),
        }
    }
}

/// Why nothing was copied into a part.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UploadPartCopyError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The upload is unknown, completed, aborted, or of another key.
    #[error("no such upload")]
    NoSuchUpload,
    /// The upload takes parts one after another, and this is not its turn.
    #[error("the part is out of turn")]
    NotSequential,
    /// The source's bucket does not exist.
    #[error("no such source bucket")]
    NoSuchSourceBucket,
    /// The source does not exist.
    #[error("no such source object")]
    NoSuchSourceKey,
    /// The source has no such version.
    #[error("no such source version")]
    NoSuchSourceVersion,
    /// The source is a delete marker.
    #[error("the source is a delete marker")]
    SourceDeleteMarker {
        /// Its version.
        version: VersionId,
        /// The request named it; else it is the current version.
        named: bool,
    },
    /// A condition on the source failed: answered 412 with the header's name.
    #[error("the condition {0} failed")]
    PreconditionFailed(&'static str),
    /// A condition on the source says that it has not changed: answered 304.
    #[error("the source is not modified")]
    NotModified,
    /// The source's class asks for a restore before it is read.
    #[error("the source is not restored")]
    SourceFrozen,
    /// The range does not lie within the source.
    #[error("the source has {length} bytes")]
    OutOfRange {
        /// The source's length in bytes.
        length: u64,
    },
    /// What is to be copied is too long for a part.
    #[error("longer than {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: u64,
    },
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}

impl UploadPartCopyError {
    pub(super) fn of_source(error: ReadObjectError) -> Self {
        match error {
            ReadObjectError::NoSuchBucket => Self::NoSuchSourceBucket,
            ReadObjectError::NoSuchKey => Self::NoSuchSourceKey,
            ReadObjectError::Frozen => Self::SourceFrozen,
            ReadObjectError::NoSuchVersion => Self::NoSuchSourceVersion,
            ReadObjectError::DeleteMarker { version, named } => {
                Self::SourceDeleteMarker { version, named }
            }
            ReadObjectError::Store(failure) => failure.into(),
        }
    }
}

/// Why an upload was not completed. It stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CompleteUploadError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The upload is unknown, completed, aborted, or of another key.
    #[error("no such upload")]
    NoSuchUpload,
    /// It has no part, or none was chosen.
    #[error("an object is made of one part at least")]
    NoParts,
    /// The chosen parts do not ascend, or one is named twice.
    #[error("the parts are not in ascending order")]
    OutOfOrder,
    /// A chosen part does not exist, or has another ETag.
    #[error("part {number} is not there, or not so")]
    InvalidPart {
        /// The part's number, as it was sent.
        number: u64,
        /// The ETag, as it was sent.
        etag: String,
    },
    /// A chosen part that is not the last one is too short.
    #[error("part {number} has {length} bytes, less than {min}")]
    PartTooSmall {
        /// The part's number.
        number: u16,
        /// Its ETag, without quotes.
        etag: String,
        /// Its length in bytes.
        length: u64,
        /// The least that it may have.
        min: u64,
    },
    /// An object exists and must not be overwritten.
    #[error("the object exists")]
    AlreadyExists,
    /// The existing object is under retention.
    #[error("the object is immutable")]
    Immutable,
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// Why a question about an upload has no answer, or why it was not aborted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UploadError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The upload is unknown, completed, aborted, or of another key.
    #[error("no such upload")]
    NoSuchUpload,
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// An error that can say that there is no such upload.
pub(super) trait NoSuchUpload {
    fn no_such_upload() -> Self;
}

macro_rules! no_such_upload {
    ($($name:ident),*) => {$(
        impl NoSuchUpload for $name {
            fn no_such_upload() -> Self { Self::NoSuchUpload }
        }
    )*};
}
no_such_upload!(UploadPartError, UploadPartCopyError, CompleteUploadError, UploadError);

/// An error of what makes a part.
pub(super) trait PartError: NoSuchUpload {
    fn not_sequential() -> Self;
}

impl PartError for UploadPartError {
    fn not_sequential() -> Self {
        Self::NotSequential
    }
}

impl PartError for UploadPartCopyError {
    fn not_sequential() -> Self {
        Self::NotSequential
    }
}
