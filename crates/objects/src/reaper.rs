//! The reaper: reclaims content that was let go, in small steps, after its last reader (I9).
//!
//! A tombstone stands until nothing is left of its content:
//!
//! ```text
//! loop   delete the blobs that the tombstone lists           (nothing names them any more, durably)
//!        one transaction: remove a batch of extents and their references, list their blobs in the tombstone instead;
//!                         with no extent left, remove the tombstone
//! ```
//!
//! A crash after any step leaves a tombstone from which the next run goes on, and two reapers at once do no harm: the transaction
//! insists on the tombstone that it has seen (I10). It also clears away buckets that are gone, and decides deletions of buckets that
//! somebody left undecided.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use ossia_store::{
    BlobId, Item, Partition, Record, Scan, Writes,
    mutants::{self, Mutant},
    successor,
};
use tokio::{
    sync::{Notify, OwnedRwLockWriteGuard, RwLock},
    time::Instant,
};

use crate::{
    Failure,
    background::Background,
    core::{Core, run_plain},
    keys::{self, ContentId, SYSTEM},
    records::{BucketState, Damage, Dropped, Extent, Source, Stored, Tombstone},
};

/// Partitions remembered one by one; past it the reaper looks at all of them.
const DIRTY_MAX: usize = 4_096;
/// Tombstones, or buckets, read at once.
const PAGE: usize = 64;
/// How long the reaper waits for readers that are between ticket and pin.
const TICKETS_PATIENCE: Duration = Duration::from_secs(5);
/// The shortest time between two rounds, and half the time after the first that failed; it doubles so often.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_FAILED: Duration = Duration::from_millis(500);
const PAUSE_DOUBLINGS: u32 = 7;
/// A deletion undecided for so long has been abandoned.
const UNDECIDED_MS: u64 = 30_000;

/// What others tell the reaper.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    work: Mutex<Work>,
    notify: Notify,
    /// Shared by who deletes blobs, taken alone by who needs them all to stay.
    standstill: Arc<RwLock<()>>,
}

#[derive(Debug, Default)]
struct Work {
    dirty: BTreeSet<Partition>,
    dropped: bool,
    all: bool,
}

impl Signals {
    /// A tombstone was written.
    pub(crate) fn wake(&self, partition: Partition) {
        self.tell(|work| {
            if work.dirty.len() < DIRTY_MAX {
                work.dirty.insert(partition);
            } else {
                work.all = true;
            }
        });
    }

    /// A bucket is gone.
    pub(crate) fn wake_dropped(&self) {
        self.tell(|work| work.dropped = true);
    }

    /// From now on no blob that was named is deleted, until this is dropped.
    pub(crate) async fn stand_still(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.standstill).write_owned().await
    }

    fn tell(&self, change: impl FnOnce(&mut Work)) {
        change(&mut self.work.lock().unwrap_or_else(PoisonError::into_inner));
        self.notify.notify_one();
    }

    fn take(&self) -> Work {
        std::mem::take(&mut self.work.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Starts the reaper.
pub(crate) fn start(core: Arc<Core>) -> Background {
    Background::start(Some(run(core)))
}

async fn run(core: Arc<Core>) {
    let mut full_at = Instant::now();
    let mut failed = 0;
    loop {
        tokio::select! {
            () = core.reaper.notify.notified() => {}
            freed = core.readers.freed() => core.reaper.tell(|work| {
                work.dirty.extend(freed);
                work.dropped = true;
            }),
            () = tokio::time::sleep_until(full_at) => core.reaper.tell(|work| work.all = true),
        }
        let work = core.reaper.take();
        if work.all {
            full_at = Instant::now() + core.settings.reap_interval;
        }
        let pause = match core.reap(work).await {
            Ok(_) => {
                failed = 0;
                PAUSE
            }
            Err(failure) => {
                // Others are told of the store's state by their own operations.
                tracing::debug!(%failure, "reaping put off");
                core.reaper.tell(|work| work.all = true);
                failed = (failed + 1).min(PAUSE_DOUBLINGS);
                PAUSE_FAILED * (1 << failed)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

impl Core {
    /// One round. Whether readers are in the way of something.
    async fn reap(&self, work: Work) -> Result<bool, Failure> {
        if work.all {
            return self.reap_all().await;
        }
        let mut held = false;
        for partition in work.dirty {
            held |= self.reap_partition(partition).await?;
        }
        if work.dropped {
            held |= self.reap_dropped().await?;
        }
        Ok(held)
    }

    /// Looks at everything: all buckets, those that are gone, and those somebody left half deleted.
    pub(crate) async fn reap_all(&self) -> Result<bool, Failure> {
        let mut held = false;
        let prefix = keys::tagged(keys::CATALOGUE, &[]);
        let mut next = Some(prefix.clone());
        while let Some(start) = next {
            let (page, resume) = self.catalogue_page(start, &prefix, PAGE).await?;
            for (name, catalogue) in page {
                let undecided = self.now_ms().saturating_sub(catalogue.since_ms) > UNDECIDED_MS;
                let open = catalogue.state == BucketState::Open;
                if catalogue.spreading
                    || (!open && undecided)
                    || (open && catalogue.retention.seq > 0)
                {
                    self.resume_bucket(&name, &catalogue).await?;
                }
                for partition in keys::partitions(catalogue.id, catalogue.partitions) {
                    held |= self.reap_partition(partition).await?;
                }
            }
            next = resume;
        }
        Ok(held | self.reap_dropped().await?)
    }

    /// Clears buckets that are gone.
    async fn reap_dropped(&self) -> Result<bool, Failure> {
        let mut any_held = false;
        let mut next = Some(keys::tagged(keys::DROPPED, &[]));
        while let Some(start) = next {
            let (page, resume) = self.page(SYSTEM, start, keys::DROPPED, PAGE).await?;
            for (key, record) in page {
                let id = key.get(1..).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
                let id = id.ok_or_else(|| Damage::new("dropped bucket", "its key is no id"))?;
                let dropped = Dropped::decode(&record.value)?;
                let mut held = false;
                for partition in keys::partitions(id, dropped.partitions) {
                    held |= self.reap_partition(partition).await?;
                    held |= self.has_any(partition, keys::TOMBSTONE).await?;
                    held |= self.has_any(partition, keys::LEFTOVER).await?;
                }
                if !held {
                    self.forget_dropped(id, dropped.partitions).await?;
                }
                any_held |= held;
            }
            next = resume;
        }
        Ok(any_held)
    }

    /// Reclaims what nobody reads any more in a partition. Whether somebody reads the rest.
    pub(crate) async fn reap_partition(&self, partition: Partition) -> Result<bool, Failure> {
        self.clear_uploads(partition).await?;
        let mut held = false;
        let mut failed = None;
        let mut next = Some(keys::tagged(keys::TOMBSTONE, &[]));
        while let Some(start) = next {
            let (page, resume) = self.page(partition, start, keys::TOMBSTONE, PAGE).await?;
            next = resume;
            if page.is_empty() {
                continue;
            }
            // Blobs of what was completed and then let go are still named by its parts as long as these stand.
            self.clear_uploads(partition).await?;
            // Everyone who comes from here on finds heads that name none of these.
            let horizon = self.readers.horizon();
            let passed = self.readers.passed(horizon);
            let eager = mutants::on(Mutant::EagerReaper);
            if !eager && tokio::time::timeout(TICKETS_PATIENCE, passed).await.is_err() {
                self.reaper.wake(partition);
                return Ok(true);
            }
            for (key, record) in page {
                let content = keys::tombstone_content(&key)
                    .ok_or_else(|| Damage::new("tombstone", "its key is no content id"))?;
                // One that is damaged is told of below.
                let readers_of = Tombstone::decode(&record.value).ok().and_then(|t| t.readers_of);
                let readers_of = readers_of.unwrap_or(content);
                if !eager && self.readers.is_pinned(readers_of, partition) {
                    held = true;
                    continue;
                }
                if let Err(failure) = self.reap_content(partition, content).await {
                    match failure {
                        // Only this content: the rest need not wait for it.
                        Failure::Damaged(_) | Failure::Io(_) => {
                            tracing::warn!(%failure, "content that was let go is kept for now");
                            failed = Some(failure);
                        }
                        _ => return Err(failure),
                    }
                }
            }
        }
        failed.map_or(Ok(held), Err)
    }

    async fn reap_content(&self, partition: Partition, content: ContentId) -> Result<(), Failure> {
        // Where the last step stopped: what it removed lies before, and an engine may step over each of those for long.
        let mut from = keys::extents(content);
        while !self.reap_step(partition, content, &mut from).await? {}
        Ok(())
    }

    /// One step on one tombstone. `true` when there is nothing left to do.
    async fn reap_step(
        &self,
        partition: Partition,
        content: ContentId,
        from: &mut Bytes,
    ) -> Result<bool, Failure> {
        let key = keys::tombstone(content);
        let Some(record) = self.store.get(partition, key.clone()).await? else {
            return Ok(true);
        };
        let seen = record.value;
        let mut tombstone = Tombstone::decode(&seen)?;
        if !tombstone.blobs.is_empty() {
            let _pass = self.reaper.standstill.read().await;
            for blob in std::mem::take(&mut tombstone.blobs) {
                self.store.delete(blob).await?;
            }
        }
        let (first, packed) = (keys::extents(content), keys::packed_extents(content));
        let mut doomed = self.extents_of(partition, &first, from.clone()).await?;
        match doomed.last() {
            Some((last, _)) => *from = [&last[..], &[0]].concat().into(),
            None => doomed = self.extents_of(partition, &packed, packed.clone()).await?,
        }
        if doomed.is_empty() && *from != first {
            // What another reaper was to remove may still be there.
            doomed = self.extents_of(partition, &first, first.clone()).await?;
        }
        tombstone.blobs = doomed.iter().filter_map(|(_, blob)| *blob).collect();
        let value = (!doomed.is_empty()).then(|| tombstone.encode());
        let last = value.is_none();
        // Extents that a store has at hand tell it how much room their payloads give back.
        let hints = doomed.iter().map(|(extent, _)| extent).chain([&key]).cloned().collect();
        let done = run_plain(&*self.store, partition, hints, move |view| {
            let mut writes = Writes::none();
            let stands = view.get(&key)?;
            if stands.is_none_or(|record| record.value != seen) {
                // Another reaper is ahead, and may yet fail: the next look tells what it has left.
                return Ok((writes, false));
            }
            for (extent, blob) in &doomed {
                writes.delete(extent.clone());
                if let Some(blob) = blob {
                    writes.delete(keys::reference(*blob));
                }
            }
            match &value {
                Some(value) => writes.put(key.clone(), value.clone()),
                None => {
                    writes.delete(key.clone());
                    if let Some(data_key) = tombstone.key {
                        writes.delete(keys::data_key(data_key));
                    }
                }
            }
            Ok((writes, true))
        })
        .await?;
        tokio::task::yield_now().await;
        Ok(last && done)
    }

    /// A batch of extents under a prefix, from a key on, with the blobs that they name.
    async fn extents_of(
        &self,
        partition: Partition,
        prefix: &[u8],
        from: Bytes,
    ) -> Result<Vec<(Bytes, Option<BlobId>)>, Failure> {
        let mut next = Some(from);
        while let Some(start) = next {
            let limit = self.settings.reap_batch;
            let scan = Scan { start, end: successor(prefix), limit, fold: None };
            let page = self.store.scan(partition, scan).await?;
            let mut found = Vec::with_capacity(page.items.len());
            for item in page.items {
                if let Item::Record(key, record) = item {
                    let blob = match Extent::decode(&record.value)?.source {
                        Source::Blob { id, .. } => Some(id),
                        Source::Payload => None,
                    };
                    found.push((key, blob));
                }
            }
            if !found.is_empty() {
                return Ok(found);
            }
            next = page.resume;
        }
        Ok(Vec::new())
    }

    /// Records of one kind, and where to go on.
    async fn page(
        &self,
        partition: Partition,
        start: Bytes,
        tag: u8,
        limit: usize,
    ) -> Result<(Vec<(Bytes, Record)>, Option<Bytes>), Failure> {
        let scan = Scan { start, end: successor(&[tag]), limit, fold: None };
        let page = self.store.scan(partition, scan).await?;
        let records = page.items.into_iter().filter_map(|item| match item {
            Item::Record(key, record) => Some((key, record)),
            Item::Prefix(_) => None,
        });
        Ok((records.collect(), page.resume))
    }
}
