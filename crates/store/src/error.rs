//! What can go wrong, as values: every failed write says whether it may have happened.

use thiserror::Error;

/// Why a write certainly did not happen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// Admission turned the write away; it may be sent again after a while.
    #[error("the store is busy")]
    Busy,
    /// No room is left on the medium.
    #[error("the store is full: {0}")]
    Full(String),
    /// The store refuses writes until it is opened anew (I5).
    #[error("the store is poisoned: {0}")]
    Poisoned(String),
    /// The store has been shut down.
    #[error("the store is closed")]
    Closed,
    /// The body's writes break a limit of the contract: a programming error of the caller.
    #[error("the transaction breaks a limit: {0}")]
    Limit(&'static str),
    /// The body panicked; only this transaction is lost.
    #[error("the transaction body panicked")]
    Panicked,
    /// A read that the transaction needed failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why a write failed, and whether it may have happened all the same.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// It did not happen and never will.
    #[error("rejected: {0}")]
    Rejected(#[from] Rejection),
    /// It may have happened; [`crate::Index::settle`] tells.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The stored bytes do not match their checksum: never served, always told.
    #[error("damaged data: {0}")]
    Damaged(String),
    /// The record that the payload belonged to no longer stands.
    #[error("the payload's record is gone")]
    Gone,
    /// The store could not read its medium.
    #[error("read failed: {0}")]
    Io(String),
    /// The store has been shut down.
    #[error("the store is closed")]
    Closed,
}

/// Why a blob could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BlobError {
    /// No blob has this id.
    #[error("no such blob")]
    NotFound,
    /// The stored bytes do not match their checksum.
    #[error("damaged blob: {0}")]
    Damaged(String),
    /// No room is left on the medium.
    #[error("the store is full: {0}")]
    Full(String),
    /// The store refuses writes until it is opened anew (I5).
    #[error("the store is poisoned: {0}")]
    Poisoned(String),
    /// The range reaches past the blob's end.
    #[error("range past the end of the blob")]
    OutOfRange,
    /// The owner is longer than the contract allows.
    #[error("the blob's owner is too long")]
    OwnerTooLong,
    /// The store could not use its medium.
    #[error("blob input or output failed: {0}")]
    Io(String),
    /// The store has been shut down.
    #[error("the store is closed")]
    Closed,
}
