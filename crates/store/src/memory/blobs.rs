//! The byte strings and their life.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::{Inner, MemoryStore, meter::Meter};
use crate::{
    BlobError, BlobId, BlobReader, BlobWriter, Blobs, BoxFuture, FinishedBlob, StagedBlob,
};

/// What the contract allows.
const OWNER_BYTES_MAX: usize = 256;

/// Blobs are kept in pieces of this size, so that none is ever moved as a whole.
const CHUNK_BYTES: usize = 256 << 10;

/// The finished blobs of a store.
#[derive(Debug, Default)]
pub(super) struct BlobTable {
    entries: Mutex<BTreeMap<BlobId, Entry>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    /// Told by `staged`; `None` once adopted.
    staged_for: Option<Bytes>,
    content: Arc<Content>,
}

/// Bytes that live as long as a table entry, a writer or a reader holds them. A duplicate shares them.
#[derive(Debug)]
struct Content {
    /// Every chunk but the last has [`CHUNK_BYTES`].
    chunks: Vec<Bytes>,
    length: u64,
    meter: Arc<Meter>,
}

impl Drop for Content {
    fn drop(&mut self) {
        self.meter.give(self.length);
    }
}

impl BlobTable {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<BlobId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn content(&self, id: BlobId) -> Result<Arc<Content>, BlobError> {
        let entries = self.lock();
        entries.get(&id).map(|entry| Arc::clone(&entry.content)).ok_or(BlobError::NotFound)
    }

    fn add(&self, owner: Bytes, content: Arc<Content>) -> FinishedBlob {
        // The store ends with the process, so a count names a blob once and for all.
        let id = BlobId(u128::from(self.next.fetch_add(1, Ordering::Relaxed)).to_be_bytes());
        let length = content.length;
        self.lock().insert(id, Entry { staged_for: Some(owner), content });
        FinishedBlob { id, length }
    }
}

impl Inner {
    async fn before_blob(&self) -> Result<(), BlobError> {
        match &self.chaos {
            Some(chaos) => chaos.before_blob().await,
            None => Ok(()),
        }
    }

    async fn before_blob_move(&self) -> Result<(), BlobError> {
        match &self.chaos {
            Some(chaos) => chaos.before_blob_move().await,
            None => Ok(()),
        }
    }

    fn blobs_usable(&self) -> Result<(), BlobError> {
        if self.is_closed() { Err(BlobError::Closed) } else { Ok(()) }
    }
}

/// Copies the owner, which may be a small slice of a large buffer.
fn checked_owner(owner: &Bytes) -> Result<Bytes, BlobError> {
    if owner.len() > OWNER_BYTES_MAX {
        return Err(BlobError::OwnerTooLong);
    }
    Ok(Bytes::copy_from_slice(owner))
}

struct Writer {
    store: Arc<Inner>,
    owner: Bytes,
    content: Content,
    last: Vec<u8>,
}

impl Writer {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), BlobError> {
        self.store.blobs_usable()?;
        self.store.meter.take(bytes.len() as u64).map_err(BlobError::Full)?;
        // Counted at once: the content gives back what it counts, also when it is abandoned.
        self.content.length += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.last.len()));
            self.last.extend_from_slice(now);
            bytes = later;
            if self.last.len() == CHUNK_BYTES {
                self.content.chunks.push(std::mem::take(&mut self.last).into());
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<FinishedBlob, BlobError> {
        let Self { store, owner, mut content, mut last } = self;
        store.blobs_usable()?;
        if !last.is_empty() {
            last.shrink_to_fit();
            content.chunks.push(last.into());
        }
        Ok(store.blobs.add(owner, Arc::new(content)))
    }
}

impl BlobWriter for Writer {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            self.store.before_blob().await?;
            Writer::write(self, &bytes)
        })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<FinishedBlob, BlobError>> {
        Box::pin(async move {
            self.store.before_blob().await?;
            Writer::finish(*self)
        })
    }
}

struct Reader {
    store: Arc<Inner>,
    content: Arc<Content>,
}

impl Reader {
    fn read(&self, offset: u64, length: usize) -> Result<Bytes, BlobError> {
        let end = offset.checked_add(length as u64).ok_or(BlobError::OutOfRange)?;
        if end > self.content.length {
            return Err(BlobError::OutOfRange);
        }
        if length == 0 {
            return Ok(Bytes::new());
        }
        let mut place = offset as usize;
        let end = end as usize;
        let mut pieces = Vec::new();
        while place < end {
            let chunk = &self.content.chunks[place / CHUNK_BYTES];
            let from = place % CHUNK_BYTES;
            let to = chunk.len().min(from + (end - place));
            pieces.push(chunk.slice(from..to));
            place += to - from;
        }
        if pieces.len() == 1 { Ok(pieces.remove(0)) } else { Ok(pieces.concat().into()) }
    }
}

impl BlobReader for Reader {
    fn length(&self) -> u64 {
        self.content.length
    }

    fn read(&self, offset: u64, length: usize) -> BoxFuture<'_, Result<Bytes, BlobError>> {
        Box::pin(async move {
            self.store.before_blob().await?;
            Reader::read(self, offset, length)
        })
    }
}

impl Blobs for MemoryStore {
    fn create(&self, owner: Bytes) -> BoxFuture<'_, Result<Box<dyn BlobWriter>, BlobError>> {
        Box::pin(async move {
            self.inner.before_blob().await?;
            self.inner.blobs_usable()?;
            let owner = checked_owner(&owner)?;
            let meter = Arc::clone(&self.inner.meter);
            let content = Content { chunks: Vec::new(), length: 0, meter };
            let store = Arc::clone(&self.inner);
            Ok(Box::new(Writer { store, owner, content, last: Vec::new() }) as Box<dyn BlobWriter>)
        })
    }

    fn open(&self, id: BlobId) -> BoxFuture<'_, Result<Box<dyn BlobReader>, BlobError>> {
        Box::pin(async move {
            self.inner.before_blob().await?;
            self.inner.blobs_usable()?;
            let content = self.inner.blobs.content(id)?;
            Ok(Box::new(Reader { store: Arc::clone(&self.inner), content }) as Box<dyn BlobReader>)
        })
    }

    fn adopt(&self, id: BlobId) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            self.inner.before_blob_move().await?;
            self.inner.blobs_usable()?;
            let mut entries = self.inner.blobs.lock();
            entries.get_mut(&id).ok_or(BlobError::NotFound)?.staged_for = None;
            Ok(())
        })
    }

    fn delete(&self, id: BlobId) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            self.inner.before_blob_move().await?;
            self.inner.blobs_usable()?;
            // Freed after the lock is given back, for a large blob has many chunks.
            let removed = self.inner.blobs.lock().remove(&id);
            drop(removed);
            Ok(())
        })
    }

    fn duplicate(
        &self,
        id: BlobId,
        owner: Bytes,
    ) -> BoxFuture<'_, Result<FinishedBlob, BlobError>> {
        Box::pin(async move {
            self.inner.before_blob().await?;
            self.inner.blobs_usable()?;
            let owner = checked_owner(&owner)?;
            Ok(self.inner.blobs.add(owner, self.inner.blobs.content(id)?))
        })
    }

    fn staged(&self) -> BoxFuture<'_, Result<Vec<StagedBlob>, BlobError>> {
        Box::pin(async move {
            self.inner.before_blob().await?;
            self.inner.blobs_usable()?;
            let entries = self.inner.blobs.lock();
            let staged = entries.iter().filter_map(|(id, entry)| {
                let owner = entry.staged_for.clone()?;
                Some(StagedBlob { id: *id, owner })
            });
            Ok(staged.collect())
        })
    }
}
