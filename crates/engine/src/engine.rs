//! The engine as the object layer holds it.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use bytes::Bytes;
use ossia_store::{
    BlobError, BlobId, BlobReader, BlobWriter, Blobs, BoxFuture, FinishedBlob, Health, Index, Page,
    Partition, PayloadRef, ReadError, Record, Rejection, Scan, Settled, StagedBlob, Store,
    StoreError, Token, Transaction,
};
use tokio::sync::Semaphore;

use crate::{
    EngineOptions, OpenError, background,
    blobs::BlobFolder,
    commit::Committer,
    disk::{Disk, Lock, RealDisk},
    journal::record::Place,
    layout, open,
    payloads::{PayloadError, Payloads},
    scan,
    shared::Shared,
    submit::Front,
    tree::value,
};

/// The embedded store. Clones share it; [`Store::shutdown`], or the last clone's end, closes it. The latter blocks while
/// background work comes to its next stop; an async program shuts down first.
///
/// ```no_run
/// use ossia_engine::{EngineOptions, LocalEngine};
/// let engine = LocalEngine::open(EngineOptions::new("./ossia-data"))?;
/// # Ok::<(), ossia_engine::OpenError>(())
/// ```
#[derive(Debug, Clone)]
pub struct LocalEngine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    front: Front,
    payloads: Arc<Payloads>,
    blobs: BlobFolder,
    running: Mutex<Option<Running>>,
}

/// What ends with the store.
#[derive(Debug)]
struct Running {
    commit: JoinHandle<()>,
    background: Vec<JoinHandle<()>>,
    _held: Lock,
}

impl LocalEngine {
    /// Opens the store in `options.data`, recovers what was acknowledged, and makes a new one where none stands.
    ///
    /// Blocks while it replays the journal behind the last checkpoint. The store's futures must be polled within a tokio
    /// runtime that has its timer enabled; this call need not be.
    ///
    /// # Errors
    /// [`OpenError`]: nothing is served, and nothing that a later start needs has been changed.
    pub fn open(options: EngineOptions) -> Result<Self, OpenError> {
        Self::open_on(options, Arc::new(RealDisk))
    }

    /// As [`Self::open`], on a disk of the caller's. For tests that make a disk fail.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(options: EngineOptions, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let opened = open::open(options, Arc::clone(&disk))?;
        let shared = opened.shared;
        let folder = shared.options.data.clone();
        let blobs = BlobFolder::open(Arc::clone(&shared), &folder)?;
        let committer = Committer::new(
            Arc::clone(&shared),
            opened.journal,
            opened.active,
            opened.last,
            opened.since_checkpoint_bytes,
            opened.oldest,
        );
        // The commit thread last: once it runs, ending it takes a close.
        let background = vec![
            start(&shared, "ossia-flush", background::flusher)?,
            start(&shared, "ossia-compact", background::compactor)?,
            start(&shared, "ossia-segments", |shared| shared.spares.run())?,
        ];
        let commit = start(&shared, "ossia-commit", move |shared| {
            let _ends = EndOfQueue(shared);
            committer.run();
        })?;
        // The run before may have been stopped while compaction was behind: admission could then wait for it without end.
        shared.chores.ask(|asked| asked.compact = true);
        let running = Running { commit, background, _held: opened.held };
        let journal = layout::shard(&folder).join("journal");
        let front = Front {
            permits: Arc::new(Semaphore::new(shared.options.queue_bytes_max)),
            reads: Arc::new(Semaphore::new(shared.options.disk_reads_max)),
            flights: Arc::default(),
            shared,
        };
        Ok(Self(Arc::new(Inner {
            front,
            payloads: Arc::new(Payloads::new(disk, journal)),
            blobs,
            running: Mutex::new(Some(running)),
        })))
    }

    /// How many past states of the index are kept for readers, and the bytes of the index that are in memory because of them
    /// and the present one. For tests and metrics.
    pub fn index_memory(&self) -> (usize, u64) {
        self.0.front.shared.index.history()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.front.shared
    }

    fn readable(&self) -> Result<(), ReadError> {
        if self.shared().condition.is_closed() { Err(ReadError::Closed) } else { Ok(()) }
    }
}

/// Starts a thread of the store; its panic poisons the store. Where one cannot be started, those that run are ended.
fn start(
    shared: &Arc<Shared>,
    name: &str,
    run: impl FnOnce(&Shared) + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let of = Arc::clone(shared);
    let told = name.to_owned();
    let work = move || {
        if catch_unwind(AssertUnwindSafe(|| run(&of))).is_err() {
            of.poison(format!("the thread {told} panicked"));
        }
    };
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(|error| {
        shared.chores.ask(|asked| asked.stop = true);
        shared.spares.stop();
        OpenError::Io { path: shared.options.data.clone(), error }
    })
}

/// When the commit thread ends, however it does, what is queued ends unanswered and what comes is refused.
struct EndOfQueue<'a>(&'a Shared);

impl Drop for EndOfQueue<'_> {
    fn drop(&mut self) {
        self.0.queue.close();
        self.0.queue.drain(&mut VecDeque::new());
    }
}

impl Inner {
    /// Ends the threads and gives the folder back. Blocks; safe to call twice.
    fn close(&self) {
        let shared = &self.front.shared;
        shared.condition.close();
        shared.queue.close();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else { return };
        // The commit thread first: it may still need a segment.
        let mut clean = running.commit.join().is_ok();
        shared.chores.ask(|asked| asked.stop = true);
        shared.spares.stop();
        for thread in running.background {
            clean &= thread.join().is_ok();
        }
        if !clean {
            tracing::error!("a thread of the store ended badly");
        }
        // No file may be touched once the folder is given back: see `Flights`.
        self.front.flights.close();
        shared.index.trim(u64::MAX);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Index for LocalEngine {
    fn partitions_per_bucket(&self) -> u16 {
        1
    }

    fn submit(&self, transaction: Transaction) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.0.front.submit(transaction))
    }

    fn settle(&self, _: Partition, token: Token) -> BoxFuture<'_, Result<Settled, StoreError>> {
        Box::pin(async move {
            // Whether the last group reached the medium is only known once the store has been opened anew.
            self.shared().condition.check()?;
            self.shared().tokens.settle(token)
        })
    }

    fn get(
        &self,
        partition: Partition,
        key: Bytes,
    ) -> BoxFuture<'_, Result<Option<Record>, ReadError>> {
        Box::pin(async move {
            self.readable()?;
            let snapshot = Arc::new(self.shared().snapshots.open());
            let mut records = self.0.front.read(&snapshot, partition, &[key]).await?;
            Ok(records.pop().flatten())
        })
    }

    fn scan(&self, partition: Partition, scan: Scan) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            self.readable()?;
            let snapshot = self.shared().snapshots.open();
            self.0
                .front
                .at_disk(move |shared| scan::page(&shared.index, partition.0, &scan, snapshot.seq))
                .await
        })
    }

    fn payloads(
        &self,
        partition: Partition,
        wanted: Vec<(Bytes, PayloadRef)>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ReadError>> {
        Box::pin(async move {
            self.readable()?;
            let places: Option<Vec<Place>> =
                wanted.iter().map(|(_, payload)| Place::of_ref(*payload)).collect();
            let places = places.ok_or(ReadError::Gone)?;
            let payloads = Arc::clone(&self.0.payloads);
            let read = move |shared: &Shared| match payloads.read(&places) {
                Err(PayloadError::NoFile(missing)) => {
                    let lost = wanted.iter().zip(&places).filter(|(_, at)| at.number == missing);
                    for ((key, payload), _) in lost {
                        stands(shared, &value::key(partition.0, key), *payload)?;
                    }
                    Err(ReadError::Damaged(format!("journal segment {missing:016x} is missing")))
                }
                Err(PayloadError::Read(error)) => Err(error),
                Ok(told) => Ok(told),
            };
            self.0.front.at_disk(read).await
        })
    }
}

/// Refuses when the record does not have this payload any more, whose bytes may be gone with it.
fn stands(shared: &Shared, key: &[u8], payload: PayloadRef) -> Result<(), ReadError> {
    let snapshot = shared.snapshots.open();
    match shared.index.get(key, snapshot.seq)?.map(|found| value::decode(&found)) {
        Some(None) => Err(ReadError::Damaged("a record of the index is not of its form".into())),
        Some(Some(record)) if record.payload == Some(payload) => Ok(()),
        Some(Some(_)) | None => Err(ReadError::Gone),
    }
}

impl Blobs for LocalEngine {
    fn create(&self, owner: Bytes) -> BoxFuture<'_, Result<Box<dyn BlobWriter>, BlobError>> {
        Box::pin(self.0.blobs.create(owner))
    }

    fn open(&self, id: BlobId) -> BoxFuture<'_, Result<Box<dyn BlobReader>, BlobError>> {
        Box::pin(self.0.blobs.open_blob(id))
    }

    fn adopt(&self, id: BlobId) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(self.0.blobs.adopt(id))
    }

    fn delete(&self, id: BlobId) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(self.0.blobs.delete(id))
    }

    fn duplicate(
        &self,
        id: BlobId,
        owner: Bytes,
    ) -> BoxFuture<'_, Result<FinishedBlob, BlobError>> {
        Box::pin(self.0.blobs.duplicate(id, owner))
    }

    fn staged(&self) -> BoxFuture<'_, Result<Vec<StagedBlob>, BlobError>> {
        Box::pin(self.0.blobs.staged())
    }
}

impl Store for LocalEngine {
    fn health(&self) -> Health {
        self.shared().condition.health()
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            // New calls are refused from now on, whether or not the thread below gets its turn at once.
            self.shared().condition.close();
            let inner = Arc::clone(&self.0);
            let closed = tokio::task::spawn_blocking(move || inner.close()).await;
            let poisoned = self.shared().condition.poisoned();
            match (closed, poisoned) {
                (Ok(()), None) => Ok(()),
                (Ok(()), Some(what)) => Err(Rejection::Poisoned(what.into()).into()),
                (Err(error), _) => Err(StoreError::Unknown(error.to_string())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        shared::Pressure,
        tree::{RUNS_STOP, SEALED_STOP},
    };
    use ossia_store::{Decision, Writes, transact};
    use std::time::Duration;

    fn engine(admission_wait_ms: u64) -> (tempfile::TempDir, LocalEngine) {
        let folder = tempfile::tempdir().unwrap();
        let options = EngineOptions {
            segment_bytes: 64 << 10,
            reserve_bytes: 0,
            admission_wait_ms,
            ..EngineOptions::new(folder.path())
        };
        let engine = LocalEngine::open(options).unwrap();
        (folder, engine)
    }

    async fn put(engine: &LocalEngine) -> Result<(), StoreError> {
        let done = transact(engine, Partition(1), Vec::new(), |_| {
            let mut writes = Writes::none();
            writes.put(Bytes::from_static(b"k"), "v");
            Ok(Decision::<(), ()>::Commit(writes, ()))
        });
        done.await.map(|_| ())
    }

    #[tokio::test]
    async fn admission_stops_at_16_runs_and_at_3_sealed_memtables_until_there_are_fewer() {
        let behind =
            [Pressure { runs: RUNS_STOP, sealed: 0 }, Pressure { runs: 0, sealed: SEALED_STOP }];
        for pressure in behind {
            let (_folder, engine) = engine(60_000);
            engine.shared().pressure.send_replace(pressure);
            let waiting = {
                let engine = engine.clone();
                tokio::spawn(async move { put(&engine).await })
            };
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(!waiting.is_finished(), "{pressure:?}");
            assert_eq!(engine.get(Partition(1), Bytes::from_static(b"k")).await, Ok(None));
            engine.shared().pressure.send_replace(Pressure { runs: 7, sealed: 2 });
            assert_eq!(waiting.await.unwrap(), Ok(()));
        }
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_that_the_store_is_busy() {
        let (_folder, engine) = engine(20);
        let busy = Err(StoreError::Rejected(Rejection::Busy));
        engine.shared().pressure.send_replace(Pressure { runs: RUNS_STOP, sealed: 0 });
        assert_eq!(put(&engine).await, busy);
        engine.shared().pressure.send_replace(Pressure::default());
        let all = u32::try_from(engine.shared().options.queue_bytes_max).unwrap();
        let held = Arc::clone(&engine.0.front.permits).acquire_many_owned(all).await.unwrap();
        assert_eq!(put(&engine).await, busy);
        drop(held);
        assert_eq!(put(&engine).await, Ok(()));
    }

    #[tokio::test]
    async fn a_store_that_was_stopped_while_compaction_was_behind_takes_writes_again() {
        let (folder, engine) = engine(20_000);
        put(&engine).await.unwrap();
        let options = engine.shared().options.clone();
        engine.shutdown().await.unwrap();
        drop(engine);
        let opened = open::open(options.clone(), Arc::new(RealDisk)).unwrap();
        let index = &opened.shared.index;
        for _ in 0..RUNS_STOP {
            let (active, seq) = (index.active(), index.next_seq());
            let change = crate::tree::Insert::Put(b"v", None);
            crate::tree::insert(&active, &mut Vec::new(), 1, b"k", &change, seq);
            index.rotate(&active, opened.last.unwrap(), opened.oldest).unwrap();
            index.flush(index.seq_bound()).unwrap();
        }
        assert!(index.runs() >= RUNS_STOP);
        drop(opened);
        let engine = LocalEngine::open(options).unwrap();
        assert_eq!(put(&engine).await, Ok(()));
        drop((engine, folder));
    }

    #[tokio::test]
    async fn admission_slows_from_8_runs_on() {
        let (_folder, engine) = engine(60_000);
        engine.shared().pressure.send_replace(Pressure { runs: 15, sealed: 0 });
        let began = std::time::Instant::now();
        put(&engine).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(8));
    }

    #[tokio::test]
    async fn who_waits_for_a_store_that_is_poisoned_learns_it_at_once() {
        let (_folder, engine) = engine(600_000);
        engine.shared().pressure.send_replace(Pressure { runs: RUNS_STOP, sealed: 0 });
        let waiting = {
            let engine = engine.clone();
            tokio::spawn(async move { put(&engine).await })
        };
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        engine.shared().poison("on purpose".into());
        let told = waiting.await.unwrap();
        assert!(matches!(told, Err(StoreError::Rejected(Rejection::Poisoned(_)))), "{told:?}");
    }
}
