//! One enum per question asked; the store's own trouble is the same [`Failure`] in all of them.

use ossia_keys::KeyId;
use ossia_store::{BlobError, ReadError, Rejection, StoreError};
use thiserror::Error;

use crate::{BodyError, VersionId};

/// The store could not do it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// Nothing happened; it may be sent again after a while.
    #[error("busy")]
    Busy,
    /// Nothing happened: no room is left. Reads go on.
    #[error("full: {0}")]
    Full(String),
    /// Nothing happened: writes are refused until the store has been opened anew (I5). Reads go on.
    #[error("poisoned: {0}")]
    Poisoned(String),
    /// A change may or may not have happened, and it cannot be told.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// Stored bytes do not match their checksum, or do not mean anything: never served, always told.
    #[error("damaged data: {0}")]
    Damaged(String),
    /// What is encrypted cannot be read, or nothing can be encrypted: the master key that it takes is not there. Nothing happened.
    /// It is named where something is sealed under it.
    #[error("{}", no_master_key(*.0))]
    NoMasterKey(Option<KeyId>),
    /// The medium could not be used; a change did not happen.
    #[error("input or output failed: {0}")]
    Io(String),
    /// The store has been shut down.
    #[error("closed")]
    Closed,
    /// A mistake in this program; nothing happened.
    #[error("internal error: {0}")]
    Internal(String),
}

fn no_master_key(id: Option<KeyId>) -> String {
    match id {
        Some(id) => format!("it is encrypted under the master key {id}, which is not there"),
        None => "there is no master key".into(),
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(what) => Self::Damaged(what),
            ReadError::Gone => Self::Internal("a payload's record went away".into()),
            ReadError::Io(what) => Self::Io(what),
            ReadError::Closed => Self::Closed,
        }
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Busy => Self::Busy,
            Rejection::Full(what) => Self::Full(what),
            Rejection::Poisoned(what) => Self::Poisoned(what),
            Rejection::Closed => Self::Closed,
            Rejection::Limit(what) => Self::Internal(what.into()),
            Rejection::Panicked => Self::Internal("a transaction body panicked".into()),
            Rejection::Read(error) => error.into(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Rejected(rejection) => rejection.into(),
            StoreError::Unknown(what) => Self::Unknown(what),
        }
    }
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Self {
        match error {
            // A blob that a record names must be there.
            BlobError::NotFound => Self::Damaged("a blob is missing".into()),
            BlobError::OutOfRange => Self::Damaged("a blob is shorter than its record says".into()),
            BlobError::Damaged(what) => Self::Damaged(what),
            BlobError::Full(what) => Self::Full(what),
            BlobError::Poisoned(what) => Self::Poisoned(what),
            BlobError::OwnerTooLong => Self::Internal("a blob's owner is too long".into()),
            BlobError::Io(what) => Self::Io(what),
            BlobError::Closed => Self::Closed,
        }
    }
}

/// Why the object layer could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// What of an existing bucket differs from what a second create asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketSetting {
    /// The storage class.
    StorageClass,
    /// The redundancy type.
    Redundancy,
}

/// Why a bucket was not created.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CreateBucketError {
    /// It exists with another setting, which cannot be changed.
    #[error("the bucket exists with another setting: {0:?}")]
    Conflict(BucketSetting),
    /// As many buckets exist as are allowed.
    #[error("there are {max} buckets already")]
    TooMany {
        /// The limit.
        max: u32,
    },
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// Why a question about a bucket has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BucketError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// Its retention asks for versions to be kept. Only of a change of these.
    #[error("the bucket's retention forbids it")]
    Retained,
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// Why a bucket was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeleteBucketError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// It holds objects, versions or unfinished uploads.
    #[error("the bucket is not empty")]
    NotEmpty,
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// Why nothing was put.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PutError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// An object exists and must not be overwritten.
    #[error("the object exists")]
    AlreadyExists,
    /// The existing object is under retention.
    #[error("the object is immutable")]
    Immutable,
    /// The body is too long.
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

/// Why nothing was appended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppendError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The object is of another type.
    #[error("the object is not appendable")]
    NotAppendable,
    /// The object is sealed.
    #[error("the object is sealed")]
    Sealed,
    /// The object is under retention.
    #[error("the object is immutable")]
    Immutable,
    /// Objects of this bucket may have retentions of their own, and so none is appended to.
    #[error("a bucket of objects with retention takes no appends")]
    BucketRetained,
    /// The object has another length; this was its durable state (I4). An absent object has length 0 and CRC 0.
    #[error("the object has {length} bytes")]
    PositionMismatch {
        /// The object's length: the position to append at.
        length: u64,
        /// The CRC-64 of all of it.
        crc64: u64,
    },
    /// The object would become too long.
    #[error("longer than {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: u64,
    },
    /// The append would create the object, but the headers for that were invalid.
    #[error("the object cannot be created with these attributes")]
    CreationRefused,
    /// The append would create the object in a class that appendable objects cannot have.
    #[error("this storage class cannot be appended to")]
    ClassNotAppendable,
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

/// Why an object was not sealed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// No such object.
    #[error("no such object")]
    NoSuchKey,
    /// The object is of another type.
    #[error("the object is not appendable")]
    NotAppendable,
    /// The object has another length; also when it is sealed already.
    #[error("the object has {length} bytes")]
    PositionMismatch {
        /// The object's length.
        length: u64,
        /// The CRC-64 of all of it.
        crc64: u64,
    },
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// Why an object could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadObjectError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// No such object.
    #[error("no such object")]
    NoSuchKey,
    /// The object has no such version.
    #[error("no such version")]
    NoSuchVersion,
    /// What was asked for is a delete marker.
    #[error("a delete marker")]
    DeleteMarker {
        /// Its version.
        version: VersionId,
        /// The request named it; else it is the current version.
        named: bool,
    },
    /// Its class asks for a restore before it is read.
    #[error("the object is not restored")]
    Frozen,
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}

impl ReadObjectError {
    pub(crate) fn marker(head: &crate::records::Head, named: bool) -> Self {
        Self::DeleteMarker { version: head.version_id, named }
    }
}

/// Why an object was not deleted. One that does not exist is no error.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeleteError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The object is under retention.
    #[error("the object is immutable")]
    Immutable,
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// Why nothing was copied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CopyError {
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
    /// The destination's bucket does not exist.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The source is appendable, and such are not copied here.
    #[error("an appendable object is not copied")]
    SourceAppendable,
    /// The source's class asks for a restore before it is read.
    #[error("the source is not restored")]
    SourceFrozen,
    /// A condition on the source failed: answered 412 with the header's name.
    #[error("the condition {0} failed")]
    PreconditionFailed(&'static str),
    /// A condition on the source says that it has not changed: answered 304.
    #[error("the source is not modified")]
    NotModified,
    /// The source is too long for this kind of copy.
    #[error("longer than {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: u64,
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

/// Why nothing was listed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}
