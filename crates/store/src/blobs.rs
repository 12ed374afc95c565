//! The blob contract: immutable byte strings for bodies too large to stand in the index.

use std::fmt;

use bytes::Bytes;

use crate::{BlobError, BoxFuture};

/// Names a blob. Never used twice, never made from user input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub [u8; 16]);

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A blob that is durable and that nothing names yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinishedBlob {
    /// Its name.
    pub id: BlobId,
    /// Its length in bytes.
    pub length: u64,
}

/// A finished blob that [`Blobs::adopt`] has not been called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedBlob {
    /// Its name.
    pub id: BlobId,
    /// What [`Blobs::create`] was told.
    pub owner: Bytes,
}

/// A blob being written. Dropping it before [`BlobWriter::finish`] abandons the bytes.
pub trait BlobWriter: Send {
    /// Adds bytes at the end; returns when they are accepted, not when they are durable. No bytes: what was gathered in memory is
    /// written out.
    ///
    /// # Errors
    /// [`BlobError::Full`], [`BlobError::Io`], [`BlobError::Poisoned`]; the writer is of no more use then.
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), BlobError>>;

    /// Makes the whole blob durable, still staged.
    ///
    /// # Errors
    /// As [`BlobWriter::write`]; a failed sync poisons the store (I5).
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<FinishedBlob, BlobError>>;
}

/// An open blob: its bytes stay readable until the reader is dropped, whatever is deleted meanwhile.
pub trait BlobReader: Send + Sync {
    /// The blob's length in bytes.
    fn length(&self) -> u64;

    /// `length` bytes from `offset`, verified against their checksums. Ask for at most a few MiB at a time.
    ///
    /// # Errors
    /// [`BlobError::Damaged`], [`BlobError::OutOfRange`], [`BlobError::Io`].
    fn read(&self, offset: u64, length: usize) -> BoxFuture<'_, Result<Bytes, BlobError>>;
}

/// Immutable byte strings.
///
/// The life of a blob: *staged* from [`Blobs::create`] on; durable after [`BlobWriter::finish`]; named by an index write; moved
/// out of staging by [`Blobs::adopt`]; deleted after the record that named it is gone (I9). A crash may come between any two of
/// these: a staged blob is either named by the index, then adopt it, or garbage, then delete it. Only staged blobs are ever swept.
pub trait Blobs: Send + Sync + 'static {
    /// Starts a blob. `owner`, at most 256 bytes, is kept with it and told by [`Blobs::staged`].
    ///
    /// # Errors
    /// [`BlobError::Full`], [`BlobError::Poisoned`], [`BlobError::Closed`], [`BlobError::Io`], [`BlobError::OwnerTooLong`].
    fn create(&self, owner: Bytes) -> BoxFuture<'_, Result<Box<dyn BlobWriter>, BlobError>>;

    /// Opens a finished blob, staged or adopted.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::Damaged`], [`BlobError::Io`].
    fn open(&self, id: BlobId) -> BoxFuture<'_, Result<Box<dyn BlobReader>, BlobError>>;

    /// Moves a blob out of staging, after the index names it. Harmless when it was moved before.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::Io`]; the blob stays readable where it is.
    fn adopt(&self, id: BlobId) -> BoxFuture<'_, Result<(), BlobError>>;

    /// Deletes a blob, staged or adopted, that the index does not name. Harmless when it is gone.
    ///
    /// # Errors
    /// [`BlobError::Io`]; try again later.
    fn delete(&self, id: BlobId) -> BoxFuture<'_, Result<(), BlobError>>;

    /// Makes a second, staged, durable blob with the same bytes, sharing them where the engine can.
    ///
    /// # Errors
    /// As [`Blobs::create`] and [`Blobs::open`].
    fn duplicate(&self, id: BlobId, owner: Bytes)
    -> BoxFuture<'_, Result<FinishedBlob, BlobError>>;

    /// The finished blobs in staging, for the sweep at start. Unfinished ones of an earlier run are removed by the engine itself.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    fn staged(&self) -> BoxFuture<'_, Result<Vec<StagedBlob>, BlobError>>;
}
