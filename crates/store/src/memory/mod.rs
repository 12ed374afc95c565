//! The in-memory reference of both contracts.
//!
//! Owns: what the contracts mean, in the plainest code that keeps them, and the store behind an emulator that leaves nothing
//! behind. Nothing is written to a medium, so *durable* and *visible* are the same moment here: the one at which a transaction's
//! writes enter the map, under the lock of its partition.
//!
//! Must not know: objects, OSS's words, files.
//!
//! - `records` holds one partition: lookups, pages, and the rules by which writes enter.
//! - `blobs` holds the byte strings and their life.
//! - `meter` bounds the stored bytes (I7).
//! - `hostility` decides what a hostile store does next, `hostile` does it.
//!
//! Invariants: no lock is held across an await; a body runs under no lock but its own partition's, and its panic stays its own;
//! everything under a lock is bounded by the limits of one transaction or one page.

mod blobs;
mod hostile;
mod hostility;
mod meter;
mod records;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use crate::{
    BoxFuture, Health, Index, Page, Partition, PayloadRef, ReadError, Record, Rejection, Scan,
    Settled, Store, StoreError, Token, Transaction, Writes,
};

use self::{
    blobs::BlobTable,
    hostile::Chaos,
    meter::Meter,
    records::{Entry, Ground, Reading, Records, run},
};

pub use self::hostility::Hostility;

/// Partitions share this many locks; two of them contend only by chance.
const SHARD_COUNT: usize = 64;

/// How a [`MemoryStore`] behaves.
#[derive(Debug, Clone)]
pub struct MemoryOptions {
    /// What [`Index::partitions_per_bucket`] tells, at least 1. Default 1.
    pub partitions_per_bucket: u16,
    /// Whether, and how, the store does the worst that the contracts permit. Default: not at all.
    pub hostility: Option<Hostility>,
    /// The most bytes of keys, records, payloads and blobs that are kept; what the maps need for themselves comes on top. Past it
    /// writes answer [`Rejection::Full`] and [`crate::BlobError::Full`], while transactions that remove a key and bring no new
    /// payload may use another 8 MiB, so that a full store can be emptied. Default: no bound but the machine's memory.
    pub bytes_max: Option<u64>,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { partitions_per_bucket: 1, hostility: None, bytes_max: None }
    }
}

/// What answers a body that asks for a key which it has been given.
const ASKED_FOR_NOTHING: &str = "the body asked again for a key that it had been given";
/// What answers a call of `settle` that nothing calls for.
const NOTHING_TO_SETTLE: &str = "no transaction of this token has an unknown outcome";

/// The in-memory reference of [`Index`] and [`crate::Blobs`]. Clones share one store; what it keeps ends with the last of them.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use ossia_store::{Blobs, MemoryOptions, MemoryStore};
/// let store = MemoryStore::new(MemoryOptions::default());
/// let mut writer = store.create("upload 1".into()).await.unwrap();
/// writer.write("hello".into()).await.unwrap();
/// let blob = writer.finish().await.unwrap();
/// assert_eq!(store.open(blob.id).await.unwrap().read(1, 3).await.unwrap(), "ell");
/// # });
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    inner: Arc<Inner>,
}

struct Inner {
    options: MemoryOptions,
    closed: AtomicBool,
    shards: Vec<Mutex<Shard>>,
    blobs: BlobTable,
    meter: Arc<Meter>,
    next_payload: AtomicU64,
    chaos: Option<Chaos>,
}

/// The partitions that have keys; one without costs nothing.
type Shard = HashMap<Partition, Records>;

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new(options: MemoryOptions) -> Self {
        let meter = Arc::new(Meter::new(options.bytes_max));
        Self {
            inner: Arc::new(Inner {
                closed: AtomicBool::new(false),
                shards: (0..SHARD_COUNT).map(|_| Mutex::default()).collect(),
                blobs: BlobTable::default(),
                next_payload: AtomicU64::new(1),
                meter,
                chaos: options.hostility.clone().map(Chaos::new),
                options,
            }),
        }
    }

    async fn before_read(&self, partition: Partition) -> Result<(), ReadError> {
        match &self.inner.chaos {
            Some(chaos) => chaos.before_read(&self.inner, partition).await,
            None => Ok(()),
        }
    }
}

impl Inner {
    fn shard(&self, partition: Partition) -> MutexGuard<'_, Shard> {
        // Fibonacci hashing: partition numbers may be small and dense, or hashes.
        let slot = partition.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SHARD_COUNT.ilog2());
        // Bodies run inside `catch_unwind`, so a lock is never poisoned by what a caller brings.
        self.shards[slot as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn readable(&self) -> Result<(), ReadError> {
        if self.is_closed() { Err(ReadError::Closed) } else { Ok(()) }
    }

    fn submit(&self, transaction: &Transaction) -> Result<(), Rejection> {
        let mut shard = self.shard(transaction.partition);
        if self.is_closed() {
            return Err(Rejection::Closed);
        }
        let view = Reading::new(shard.get(&transaction.partition));
        let Ok(writes) = run(&*transaction.body, &view)? else {
            return Err(Rejection::Limit(ASKED_FOR_NOTHING));
        };
        let read = view.into_read();
        self.commit(&mut shard, transaction.partition, writes, &read)
    }

    /// Enters what a body's run wrote, given that what the run read is what stands.
    fn commit(
        &self,
        shard: &mut Shard,
        partition: Partition,
        writes: Writes,
        read: &HashSet<Bytes>,
    ) -> Result<(), Rejection> {
        let ground = Ground { meter: &self.meter, next_payload: &self.next_payload };
        let records = shard.entry(partition).or_default();
        let planned = records.plan(writes, read, &ground).map(|plan| records.apply(plan));
        if records.is_empty() {
            shard.remove(&partition);
        }
        planned
    }

    fn entry<'a>(&self, shard: &'a Shard, partition: Partition, key: &[u8]) -> Option<&'a Entry> {
        shard.get(&partition)?.get(key)
    }

    fn get(&self, partition: Partition, key: &[u8]) -> Result<Option<Record>, ReadError> {
        self.readable()?;
        let shard = self.shard(partition);
        let record = self.entry(&shard, partition, key).map(Entry::record);
        Ok(match &self.chaos {
            Some(chaos) => record.map(|record| chaos.relocated(record)),
            None => record,
        })
    }

    fn scans(&self, partition: Partition, scans: Vec<Scan>) -> Result<Vec<Page>, ReadError> {
        self.readable()?;
        let shard = self.shard(partition);
        let records = shard.get(&partition);
        let page = |scan| match (records, &self.chaos) {
            (None, _) => Page::default(),
            (Some(records), Some(chaos)) => chaos.page(scan, |scan| records.page(scan)),
            (Some(records), None) => records.page(&scan),
        };
        Ok(scans.into_iter().map(page).collect())
    }

    fn payloads(
        &self,
        partition: Partition,
        wanted: &[(Bytes, PayloadRef)],
    ) -> Result<Vec<Bytes>, ReadError> {
        self.readable()?;
        let shard = self.shard(partition);
        let records = shard.get(&partition);
        let read = |(key, payload): &(Bytes, PayloadRef)| {
            records.ok_or(ReadError::Gone)?.payload(key, payload)
        };
        wanted.iter().map(read).collect()
    }
}

impl Index for MemoryStore {
    fn partitions_per_bucket(&self) -> u16 {
        self.inner.options.partitions_per_bucket.max(1)
    }

    fn submit(&self, transaction: Transaction) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            match &self.inner.chaos {
                Some(_) => hostile::submit(&self.inner, transaction).await,
                None => Ok(self.inner.submit(&transaction)?),
            }
        })
    }

    fn settle(
        &self,
        partition: Partition,
        token: Token,
    ) -> BoxFuture<'_, Result<Settled, StoreError>> {
        Box::pin(async move {
            match &self.inner.chaos {
                Some(chaos) => chaos.settle(&self.inner, partition, token).await,
                None if self.inner.is_closed() => Err(Rejection::Closed.into()),
                // Every outcome is told at once, so none is open.
                None => Err(Rejection::Limit(NOTHING_TO_SETTLE).into()),
            }
        })
    }

    fn get(
        &self,
        partition: Partition,
        key: Bytes,
    ) -> BoxFuture<'_, Result<Option<Record>, ReadError>> {
        Box::pin(async move {
            self.before_read(partition).await?;
            self.inner.get(partition, &key)
        })
    }

    fn scans(
        &self,
        partition: Partition,
        scans: Vec<Scan>,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>> {
        Box::pin(async move {
            self.before_read(partition).await?;
            self.inner.scans(partition, scans)
        })
    }

    fn payloads(
        &self,
        partition: Partition,
        wanted: Vec<(Bytes, PayloadRef)>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ReadError>> {
        Box::pin(async move {
            self.before_read(partition).await?;
            self.inner.payloads(partition, &wanted)
        })
    }
}

impl Store for MemoryStore {
    fn health(&self) -> Health {
        if self.inner.is_closed() {
            return Health::Closed;
        }
        self.inner.meter.full().map_or(Health::Open, Health::Full)
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.inner.closed.store(true, Ordering::Release);
            // A transaction looks at `closed` under its lock: past these locks none is under way.
            for shard in &self.inner.shards {
                drop(shard.lock().unwrap_or_else(PoisonError::into_inner));
            }
            Ok(())
        })
    }
}
