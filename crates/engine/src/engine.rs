//! The engine as the object layer holds it.

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
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
    EngineMetrics, EngineOptions, OpenError, background,
    blobs::BlobFolder,
    buffers::Buffers,
    commit::Committer,
    counters::Counters,
    disk::{Disk, Lock, RealDisk},
    evacuate::Evacuator,
    journal::record::Place,
    layout,
    open::{self, OpenedShard},
    payloads::{PayloadError, Payloads},
    scan,
    shared::{Condition, Shared},
    submit::{self, Flights, Front},
    tree::value,
};

/// How often a payload is followed to where it was moved. Twice is rare: it would have to move again within one read.
const FOLLOWS_MAX: usize = 16;

/// The embedded store. Clones share it; [`Store::shutdown`], or the last clone's end, closes it. The latter blocks while
/// background work comes to its next stop; an async program shuts down first.
///
/// ```no_run
/// use ossia_engine::{EngineOptions, LocalEngine};
/// let engine = LocalEngine::open(EngineOptions::new("./ossia-data"))?;
/// # Ok::<(), ossia_engine::OpenError>(())
/// ```
#[derive(Clone)]
pub struct LocalEngine(Arc<Inner>);

impl fmt::Debug for LocalEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shards = self.0.shards.len();
        f.debug_struct("LocalEngine").field("shards", &shards).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Inner {
    /// Partitions are spread over them by number.
    shards: Vec<Shard>,
    condition: Arc<Condition>,
    counters: Arc<Counters>,
    blobs: BlobFolder,
    running: Mutex<Option<Running>>,
}

/// A part of the store that has a journal, an index and a commit thread of its own.
#[derive(Debug)]
struct Shard {
    front: Front,
    payloads: Arc<Payloads>,
}

/// What ends with the store.
#[derive(Debug)]
struct Running {
    shards: Vec<Threads>,
    _held: Lock,
}

#[derive(Debug)]
struct Threads {
    commit: JoinHandle<()>,
    background: Vec<JoinHandle<()>>,
}

/// What all shards share.
struct Common {
    permits: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    flights: Arc<Flights>,
    buffers: Arc<Buffers>,
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
        let folder = options.data.clone();
        let counters = Arc::new(Counters::default());
        let disk = counters.watch(disk);
        let common = Common {
            permits: Arc::new(Semaphore::new(options.queue_bytes_max)),
            reads: Arc::new(Semaphore::new(options.disk_reads_max)),
            flights: Arc::default(),
            buffers: Arc::default(),
        };
        let open::Opened { held, shards: opened } =
            open::open(options, disk, Arc::clone(&counters))?;
        let first = opened.first().map(|shard| Arc::clone(&shard.shared));
        let Some(first) = first else {
            return Err(OpenError::Setting { name: "shards", reason: "zero" });
        };
        let blobs = BlobFolder::open(Arc::clone(&first), &folder, Arc::clone(&common.buffers))?;
        let (mut shards, mut running) = (Vec::new(), Vec::new());
        for (number, opened) in opened.into_iter().enumerate() {
            match Shard::start(opened, number, &common) {
                Ok((shard, threads)) => {
                    shards.push(shard);
                    running.push(threads);
                }
                Err(error) => {
                    let running = Running { shards: running, _held: held };
                    end(&shards, &common.flights, running);
                    return Err(error);
                }
            }
        }
        let running = Mutex::new(Some(Running { shards: running, _held: held }));
        let condition = Arc::clone(&first.condition);
        Ok(Self(Arc::new(Inner { shards, condition, counters, blobs, running })))
    }

    /// A store without threads, for shards that were only read: it serves reads and takes no writes.
    pub(crate) fn to_be_read(shards: Vec<Arc<Shared>>, folder: &Path) -> Result<Self, OpenError> {
        let none = || OpenError::Setting { name: "shards", reason: "zero" };
        let first = Arc::clone(shards.first().ok_or_else(none)?);
        let options = &first.options;
        let permits = Arc::new(Semaphore::new(options.queue_bytes_max));
        let reads = Arc::new(Semaphore::new(options.disk_reads_max));
        let (flights, buffers) = (Arc::<Flights>::default(), Arc::<Buffers>::default());
        let blobs = BlobFolder::open(Arc::clone(&first), folder, Arc::clone(&buffers))?;
        let shard = |(number, shared): (usize, Arc<Shared>)| {
            let (disk, span) = (Arc::clone(&shared.disk), Arc::clone(&shared.span));
            let folder = layout::shard(folder, number);
            let payloads = Arc::new(Payloads::new(disk, &folder, span, Arc::clone(&buffers)));
            let (permits, reads) = (Arc::clone(&permits), Arc::clone(&reads));
            let front = Front { permits, reads, flights: Arc::clone(&flights), shared };
            Shard { front, payloads }
        };
        let shards = shards.into_iter().enumerate().map(shard).collect();
        let (condition, counters) = (Arc::clone(&first.condition), Arc::clone(&first.counters));
        Ok(Self(Arc::new(Inner { shards, condition, counters, blobs, running: Mutex::default() })))
    }

    /// What the shards share, in their order.
    pub(crate) fn shards(&self) -> impl Iterator<Item = &Arc<Shared>> {
        self.0.shards.iter().map(|shard| &shard.front.shared)
    }

    /// How many past states of the index are kept for readers, and the bytes of the index that are in memory because of them
    /// and the present one. For tests and metrics.
    pub fn index_memory(&self) -> (usize, u64) {
        let of = |shard: &Shard| shard.front.shared.index.history();
        let sum = |(states, bytes), (more, other): (usize, u64)| (states + more, bytes + other);
        self.0.shards.iter().map(of).fold((0, 0), sum)
    }

    /// What the engine has done since it was opened, and how it stands. Looks at the folder, so it blocks for a moment.
    pub fn metrics(&self) -> EngineMetrics {
        let mut metrics = self.0.counters.told();
        for (number, shard) in self.0.shards.iter().enumerate() {
            let shared = &shard.front.shared;
            let pressure = *shared.pressure.borrow();
            let journal = layout::shard(&shared.options.data, number).join("journal");
            // Only a figure: a folder that cannot be read tells of itself elsewhere.
            let segments = shared.disk.list(&journal).map_or(0, |names| names.len());
            metrics.segments += segments as u64;
            metrics.runs = metrics.runs.max(pressure.runs as u64);
            metrics.sealed_memtables = metrics.sealed_memtables.max(pressure.sealed as u64);
            metrics.index_memory_bytes += shared.index.history().1;
            // The permits are one for all.
            let free = shard.front.permits.available_permits();
            metrics.queue_bytes = (shared.options.queue_bytes_max - free) as u64;
        }
        metrics
    }

    fn shard(&self, partition: Partition) -> &Shard {
        let count = self.0.shards.len();
        let number = usize::try_from(partition.0 % count as u64).unwrap_or(0);
        // An open store has a shard, and a rest is below what it is the rest of.
        self.0.shards.get(number).unwrap_or_else(|| unreachable!("no shard {number} of {count}"))
    }

    fn readable(&self) -> Result<(), ReadError> {
        if self.0.condition.is_closed() { Err(ReadError::Closed) } else { Ok(()) }
    }
}

impl Shard {
    fn start(
        opened: OpenedShard,
        number: usize,
        common: &Common,
    ) -> Result<(Self, Threads), OpenError> {
        let OpenedShard { shared, folder, yard, values, journal, active, last, .. } = opened;
        let since = opened.since_checkpoint_bytes;
        let committer = Committer::new(Arc::clone(&shared), journal, active, last, since);
        let (disk, span) = (Arc::clone(&shared.disk), Arc::clone(&shared.span));
        let payloads = Payloads::new(disk, &folder, span, Arc::clone(&common.buffers));
        let payloads = Arc::new(payloads);
        let evacuator = Evacuator::new(Arc::clone(&shared), yard, values, Arc::clone(&payloads));
        let start = |what: &str, run: Box<dyn FnOnce(&Shared) + Send>| {
            start(&shared, &format!("ossia-{what}-{number}"), run)
        };
        // The commit thread last: once it runs, ending it takes a close.
        let background = vec![
            start("flush", Box::new(background::flusher))?,
            start("compact", Box::new(background::compactor))?,
            start("segment", Box::new(|shared| shared.spares.run()))?,
            start("empty", Box::new(move |_| evacuator.run()))?,
        ];
        let run = move |shared: &Shared| {
            let _ends = EndOfQueue(shared);
            committer.run();
        };
        let commit = start("commit", Box::new(run))?;
        // The run before may have been stopped while compaction was behind: admission could then wait for it without end. And
        // segments that it had given up may still stand.
        shared.chores.ask(|asked| (asked.compact, asked.evacuate) = (true, true));
        let front = Front {
            permits: Arc::clone(&common.permits),
            reads: Arc::clone(&common.reads),
            flights: Arc::clone(&common.flights),
            shared,
        };
        Ok((Self { front, payloads }, Threads { commit, background }))
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
        self.condition.close();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((running, first)) = running.zip(self.shards.first()) {
            end(&self.shards, &first.front.flights, running);
        }
    }
}

fn end(shards: &[Shard], flights: &Flights, running: Running) {
    let mut clean = true;
    for shard in shards {
        shard.front.shared.condition.close();
        shard.front.shared.queue.close();
    }
    let Running { shards: threads, _held } = running;
    // The commit threads first: they may still need a segment.
    let mut background = Vec::new();
    for of in threads {
        clean &= of.commit.join().is_ok();
        background.extend(of.background);
    }
    for shard in shards {
        shard.front.shared.chores.ask(|asked| asked.stop = true);
        shard.front.shared.spares.stop();
    }
    for thread in background {
        clean &= thread.join().is_ok();
    }
    if !clean {
        tracing::error!("a thread of the store ended badly");
    }
    // No file may be touched once the folder is given back: see `Flights`.
    flights.close();
    for shard in shards {
        shard.front.shared.index.trim(u64::MAX);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Index for LocalEngine {
    fn partitions_per_bucket(&self) -> u16 {
        u16::try_from(self.0.shards.len()).unwrap_or(u16::MAX)
    }

    fn submit(&self, transaction: Transaction) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let told = self.shard(transaction.partition).front.submit(transaction).await;
            match &told {
                Err(StoreError::Rejected(Rejection::Busy)) => self.0.counters.refused_busy.add(1),
                Err(StoreError::Rejected(Rejection::Full(_))) => {
                    self.0.counters.refused_full.add(1);
                }
                _ => {}
            }
            told
        })
    }

    fn settle(
        &self,
        partition: Partition,
        token: Token,
    ) -> BoxFuture<'_, Result<Settled, StoreError>> {
        Box::pin(async move {
            // Whether the last group reached the medium is only known once the store has been opened anew.
            self.0.condition.check()?;
            self.shard(partition).front.shared.tokens.settle(token)
        })
    }

    fn get(
        &self,
        partition: Partition,
        key: Bytes,
    ) -> BoxFuture<'_, Result<Option<Record>, ReadError>> {
        Box::pin(async move {
            self.readable()?;
            let front = &self.shard(partition).front;
            let snapshot = front.shared.snapshots.open_for_one();
            if let Some(record) = submit::known(&snapshot, &value::key(partition.0, &key))? {
                return Ok(record);
            }
            let mut records = front.read(&Arc::new(snapshot), partition, &[key]).await?;
            Ok(records.pop().flatten())
        })
    }

    fn scans(
        &self,
        partition: Partition,
        scans: Vec<Scan>,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>> {
        Box::pin(async move {
            self.readable()?;
            let front = &self.shard(partition).front;
            let snapshot = front.shared.snapshots.open();
            let pages = move |shared: &Shared| {
                let page = |scan| scan::page(&shared.index, partition.0, scan, snapshot.seq);
                scans.iter().map(page).collect()
            };
            front.at_disk(pages).await
        })
    }

    fn payloads(
        &self,
        partition: Partition,
        wanted: Vec<(Bytes, PayloadRef)>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ReadError>> {
        Box::pin(async move {
            self.readable()?;
            let shard = self.shard(partition);
            let places = wanted.iter().map(|(_, payload)| Place::of_ref(*payload));
            let places = places.collect::<Option<Vec<_>>>().ok_or(ReadError::Gone)?;
            {
                // No file may be touched once the folder is given back: see `Flights`.
                let _flight = shard.front.flights.start().ok_or(ReadError::Closed)?;
                if let Some(told) = shard.payloads.read_now(&places) {
                    return Ok(told);
                }
            }
            let payloads = Arc::clone(&shard.payloads);
            let read =
                move |shared: &Shared| read_payloads(shared, &payloads, partition, &wanted, places);
            shard.front.at_disk(read).await
        })
    }
}

/// The payloads of records, which may have been moved since the records were read.
fn read_payloads(
    shared: &Shared,
    payloads: &Payloads,
    partition: Partition,
    wanted: &[(Bytes, PayloadRef)],
    mut places: Vec<Place>,
) -> Result<Vec<Bytes>, ReadError> {
    for _ in 0..FOLLOWS_MAX {
        let missing = match payloads.read(&places) {
            Ok(told) => return Ok(told),
            Err(PayloadError::Read(error)) => return Err(error),
            Err(PayloadError::GivenUp) => None,
            Err(PayloadError::NotNow) => {
                return Err(ReadError::Io("a read that may wait did not".into()));
            }
            Err(PayloadError::NoFile(home, number)) => Some((home, number)),
        };
        for ((key, _), place) in wanted.iter().zip(&mut places) {
            let lost = missing == Some((place.home, place.number));
            if lost || payloads.is_given_up(place) {
                let now = follow(shared, &value::key(partition.0, key), place)?;
                if lost && now == *place {
                    let name = payloads.path(place.home, place.number);
                    return Err(ReadError::Damaged(format!("{} is missing", name.display())));
                }
                *place = now;
            }
        }
    }
    Err(ReadError::Gone)
}

/// Where a payload stands now, if the record under its key still has it: what has been moved keeps its length and its checksum.
fn follow(shared: &Shared, key: &[u8], was: &Place) -> Result<Place, ReadError> {
    let snapshot = shared.snapshots.open();
    let Some(found) = shared.index.get(key, snapshot.seq)? else { return Err(ReadError::Gone) };
    let damaged = || ReadError::Damaged("a record of the index is not of its form".into());
    let now = value::place(&found).ok_or_else(damaged)?;
    now.filter(|now| (now.length, now.check) == (was.length, was.check)).ok_or(ReadError::Gone)
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
        self.0.condition.health()
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            // New calls are refused from now on, whether or not the thread below gets its turn at once.
            self.0.condition.close();
            let inner = Arc::clone(&self.0);
            let closed = tokio::task::spawn_blocking(move || inner.close()).await;
            let poisoned = self.0.condition.poisoned();
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
        let behind = [
            Pressure { runs: RUNS_STOP, ..Pressure::default() },
            Pressure { sealed: SEALED_STOP, ..Pressure::default() },
        ];
        for pressure in behind {
            let (_folder, engine) = engine(60_000);
            engine.0.shards[0].front.shared.pressure.send_replace(pressure);
            let waiting = {
                let engine = engine.clone();
                tokio::spawn(async move { put(&engine).await })
            };
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(!waiting.is_finished(), "{pressure:?}");
            assert_eq!(engine.get(Partition(1), Bytes::from_static(b"k")).await, Ok(None));
            engine.0.shards[0].front.shared.pressure.send_replace(Pressure {
                runs: 7,
                sealed: 2,
                journal_full: false,
            });
            assert_eq!(waiting.await.unwrap(), Ok(()));
        }
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_that_the_store_is_busy() {
        let (_folder, engine) = engine(20);
        let busy = Err(StoreError::Rejected(Rejection::Busy));
        engine.0.shards[0]
            .front
            .shared
            .pressure
            .send_replace(Pressure { runs: RUNS_STOP, ..Pressure::default() });
        assert_eq!(put(&engine).await, busy);
        engine.0.shards[0].front.shared.pressure.send_replace(Pressure::default());
        let all = u32::try_from(engine.0.shards[0].front.shared.options.queue_bytes_max).unwrap();
        let held =
            Arc::clone(&engine.0.shards[0].front.permits).acquire_many_owned(all).await.unwrap();
        assert_eq!(put(&engine).await, busy);
        drop(held);
        assert_eq!(put(&engine).await, Ok(()));
    }

    #[tokio::test]
    async fn a_store_that_was_stopped_while_compaction_was_behind_takes_writes_again() {
        let (folder, engine) = engine(20_000);
        put(&engine).await.unwrap();
        let options = engine.0.shards[0].front.shared.options.clone();
        engine.shutdown().await.unwrap();
        drop(engine);
        let opened = open::open(options.clone(), Arc::new(RealDisk), Arc::default()).unwrap();
        let index = &opened.shards[0].shared.index;
        for _ in 0..RUNS_STOP {
            let (active, seq) = (index.active(), index.next_seq());
            let change = crate::tree::Insert::Put(b"v", None);
            crate::tree::insert(&active, &mut Vec::new(), 1, b"k", &change, seq);
            index.rotate(&active, opened.shards[0].last.unwrap(), 1).unwrap();
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
        engine.0.shards[0]
            .front
            .shared
            .pressure
            .send_replace(Pressure { runs: 15, ..Pressure::default() });
        let began = std::time::Instant::now();
        put(&engine).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(8));
    }

    #[tokio::test]
    async fn who_waits_for_a_store_that_is_poisoned_learns_it_at_once() {
        let (_folder, engine) = engine(600_000);
        engine.0.shards[0]
            .front
            .shared
            .pressure
            .send_replace(Pressure { runs: RUNS_STOP, ..Pressure::default() });
        let waiting = {
            let engine = engine.clone();
            tokio::spawn(async move { put(&engine).await })
        };
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        engine.0.shards[0].front.shared.poison("on purpose".into());
        let told = waiting.await.unwrap();
        assert!(matches!(told, Err(StoreError::Rejected(Rejection::Poisoned(_)))), "{told:?}");
    }
}
