//! Worlds to test in, and what is known of their stores.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use ossia_keys::MasterKeys;
use ossia_store::{
    BlobError, BlobId, BlobReader, BlobWriter, Blobs, BoxFuture, FinishedBlob, Health, Hostility,
    Index, Item, MemoryOptions, MemoryStore, Page, Partition, PayloadRef, ReadError, Record,
    Rejection, Scan, Settled, StagedBlob, Store, StoreError, Token, Transaction,
};

use tokio::sync::Notify;

use crate::{
    AppendError, AppendInput, AppendOutput, Body, BodyError, CreateBucketInput, Creation,
    ManualClock, Objects, Packing, PutInput, PutOutput, Settings,
    keys::{self, ContentId, SYSTEM},
    pack::Tier,
    records::{Catalogue, Extent, Head, Part, Source, Stored, Upload},
    words::{BucketName, ObjectKey},
};

/// 2026-01-01, in milliseconds.
pub(super) const NOW_MS: u64 = 1_767_225_600_000;

pub(super) fn name(text: &str) -> BucketName {
    BucketName::new(text).unwrap()
}

pub(super) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

/// The bucket that every world has.
pub(super) fn logs() -> BucketName {
    name("logs")
}

pub(super) fn settings() -> Settings {
    Settings {
        inline_bytes_max: 64,
        read_piece_bytes: 1 << 10,
        reap_batch: 3,
        part_min_bytes: 5,
        part_batch: 3,
        // Nothing in a test waits for it.
        reap_interval: Duration::from_secs(3_600),
        closing_wait: Duration::from_millis(500),
        packing: Packing { enabled: false, ..Packing::default() },
        ..Settings::default()
    }
}

/// Packs whatever can be packed, in small steps, but only when asked.
pub(super) fn packing() -> Packing {
    Packing {
        enabled: false,
        run_bytes_full: 1,
        run_bytes: 1,
        run_appends: 2,
        rest_bytes: 1,
        spacing: Duration::ZERO,
        quiet: Duration::ZERO,
        batch: 3,
        pause_factor: 0,
        ..Packing::default()
    }
}

/// Packs all the time.
pub(super) fn always_packing() -> Settings {
    Settings { packing: Packing { enabled: true, ..packing() }, ..settings() }
}

/// Pieces as a body.
pub(super) struct Pieces(std::vec::IntoIter<Result<Bytes, BodyError>>);

impl Stream for Pieces {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next())
    }
}

pub(super) fn pieces(pieces: Vec<Result<Bytes, BodyError>>, length: Option<u64>) -> Body {
    Body { stream: Box::pin(Pieces(pieces.into_iter())), length, md5: None, crc64: None }
}

/// A body with a length, in pieces of 1,000 bytes.
pub(super) fn body(bytes: &[u8]) -> Body {
    let list = bytes.chunks(1_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    pieces(list, Some(bytes.len() as u64))
}

/// Bytes that differ from place to place.
pub(super) fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(next).collect()
}

/// How a store behaves.
#[derive(Debug, Clone)]
pub(super) struct Mode {
    pub(super) partitions: u16,
    pub(super) hostile: Option<u64>,
}

pub(super) fn plain(partitions: u16) -> Mode {
    Mode { partitions, hostile: None }
}

/// Plain and hostile, one partition and three.
pub(super) fn modes() -> Vec<Mode> {
    let mut modes = vec![plain(1), plain(3)];
    for seed in 1..=4 {
        modes.push(Mode { partitions: if seed % 2 == 0 { 3 } else { 1 }, hostile: Some(seed) });
    }
    modes
}

/// Runs a test in every mode, in a world with one bucket; in some also with packing all the time.
pub(super) async fn in_every_world<F, T>(test: F)
where
    F: Fn(World) -> T,
    T: Future<Output = ()>,
{
    for mode in modes() {
        // Seen only when the test fails.
        println!("{mode:?}");
        test(World::new(mode, settings()).await).await;
    }
    for mode in [plain(1), Mode { partitions: 3, hostile: Some(5) }] {
        println!("{mode:?}, packing all the time");
        test(World::new(mode.clone(), always_packing()).await).await;
        println!("{mode:?}, everything encrypted");
        let encrypt_all = true;
        test(World::new(mode.clone(), Settings { encrypt_all, ..settings() }).await).await;
        println!("{mode:?}, everything encrypted, packing all the time");
        test(World::new(mode, Settings { encrypt_all, ..always_packing() }).await).await;
    }
}

/// A store with an object layer on it.
#[derive(Clone)]
pub(super) struct World {
    pub(super) store: Arc<Watched>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) settings: Settings,
    pub(super) objects: Objects,
    pub(super) hostile: bool,
}

impl World {
    pub(super) async fn new(mode: Mode, settings: Settings) -> Self {
        let store = MemoryStore::new(MemoryOptions {
            partitions_per_bucket: mode.partitions,
            hostility: mode.hostile.map(Hostility::new),
            bytes_max: None,
        });
        let world = Self::on(store, settings, mode.hostile.is_some()).await;
        world.create(&logs()).await;
        world
    }

    pub(super) async fn on(store: MemoryStore, settings: Settings, hostile: bool) -> Self {
        let store = Arc::new(Watched::new(store));
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let objects = open(&store, &clock, &settings).await;
        Self { store, clock, settings, objects, hostile }
    }

    /// The process dies and starts again on the same store.
    pub(super) async fn restart(&mut self) {
        self.objects.close().await;
        self.store.revive();
        self.store.settle_doubtful().await;
        self.objects = open(&self.store, &self.clock, &self.settings).await;
    }

    pub(super) async fn create(&self, bucket: &BucketName) {
        let input = CreateBucketInput {
            name: bucket.clone(),
            acl: None,
            storage_class: None,
            redundancy: None,
        };
        self.objects.create_bucket(input).await.unwrap();
    }

    pub(super) fn put_input(&self, at: &str, bytes: &[u8]) -> PutInput {
        PutInput {
            bucket: logs(),
            key: key(at),
            creation: Creation::default(),
            body: body(bytes),
            forbid_overwrite: false,
        }
    }

    pub(super) async fn put(&self, at: &str, bytes: &[u8]) -> PutOutput {
        self.objects.put(self.put_input(at, bytes)).await.unwrap()
    }

    pub(super) fn append_input(&self, at: &str, position: u64, body: Body) -> AppendInput {
        AppendInput {
            bucket: logs(),
            key: key(at),
            position,
            creation: Some(Creation::default()),
            acl: None,
            body,
        }
    }

    pub(super) async fn append(
        &self,
        at: &str,
        position: u64,
        bytes: &[u8],
    ) -> Result<AppendOutput, AppendError> {
        self.objects.append(self.append_input(at, position, body(bytes))).await
    }

    pub(super) async fn read(&self, at: &str) -> Vec<u8> {
        let object = self.objects.get(&logs(), &key(at)).await.unwrap();
        collect(object.read(0..object.info.length)).await.unwrap()
    }

    /// Reaps until nothing is left to do.
    pub(super) async fn reap(&self) {
        loop {
            match self.objects.core.reap_all().await {
                Ok(false) => return,
                Ok(true) => tokio::task::yield_now().await,
                // A hostile store's blobs refuse to go now and then.
                Err(failure) => assert!(self.hostile, "{failure}"),
            }
        }
    }

    /// The contents of all objects, and where they lie.
    pub(super) async fn contents(&self) -> Vec<(Partition, ContentId)> {
        let mut all = Vec::new();
        for partition in self.partitions().await {
            let versions = |(key, _): &&(Bytes, Record)| keys::VERSIONS.contains(&key[0]);
            for (_, record) in self.keys(partition).await.iter().filter(versions) {
                let content = Head::decode(&record.value).unwrap().content_id();
                all.extend(content.map(|content| (partition, content)));
            }
        }
        all
    }

    /// The extents of an object: their ends, and whether they lie in a blob.
    pub(super) async fn extents(&self, content: ContentId) -> Vec<(u64, bool)> {
        let mut all = Vec::new();
        for partition in self.partitions().await {
            for (key, record) in self.keys(partition).await {
                if keys::extent_content(&key).filter(|_| b"cp".contains(&key[0])) == Some(content) {
                    all.push((keys::extent_end(&key).unwrap(), record.payload.is_none()));
                }
            }
        }
        all.sort_unstable();
        all
    }

    /// Packs everything, whether or not it is ripe.
    pub(super) async fn pack(&self, tier: Tier) {
        for (partition, content) in self.contents().await {
            let told = self.objects.core.pack_content(partition, content, 0, tier).await;
            told.unwrap();
        }
    }

    /// Every key of a partition.
    pub(super) async fn keys(&self, partition: Partition) -> Vec<(Bytes, Record)> {
        let mut all = Vec::new();
        let mut next = Some(Bytes::from_static(b"\0"));
        while let Some(start) = next {
            let scan = Scan { start, end: None, limit: 1_000, fold: None };
            let page = self.store.inner.scan(partition, scan).await.unwrap();
            for item in page.items {
                if let Item::Record(key, record) = item {
                    all.push((key, record));
                }
            }
            next = page.resume;
        }
        all
    }

    /// Every partition that any bucket of this world has had.
    pub(super) async fn partitions(&self) -> Vec<Partition> {
        let mut all = Vec::new();
        for id in 1..=64 {
            all.extend(keys::partitions(id, 4));
        }
        all
    }

    pub(super) async fn catalogue(&self) -> Vec<Catalogue> {
        let system = self.keys(SYSTEM).await;
        let entries = system.iter().filter(|(key, _)| key[0] == keys::CATALOGUE);
        entries.map(|(_, record)| Catalogue::decode(&record.value).unwrap()).collect()
    }

    /// At every moment, the one after a death included: what the index names is there (I9).
    pub(super) async fn assert_named_blobs_exist(&self) {
        let there = self.store.blobs.lock().unwrap().clone();
        for partition in self.partitions().await {
            for (key, record) in self.keys(partition).await {
                if b"cp".contains(&key[0])
                    && let Source::Blob { id, .. } = Extent::decode(&record.value).unwrap().source
                {
                    assert!(there.contains(&id), "{id} is named, but gone");
                }
            }
        }
    }

    /// After a restart and a round of the reaper there is nothing in the store that nobody needs, and all that somebody needs:
    /// every extent belongs to a head, every blob to an extent, every partition with keys to a bucket.
    pub(super) async fn assert_tidy(&mut self) {
        // Nothing is on its way while this looks.
        self.settings.packing.enabled = false;
        // In a hostile store a blob may refuse to move; the next start tries again.
        for _ in 0..if self.hostile { 4 } else { 1 } {
            self.restart().await;
        }
        self.reap().await;
        let mut named = BTreeSet::new();
        let live: BTreeSet<Partition> = self
            .catalogue()
            .await
            .iter()
            .flat_map(|bucket| keys::partitions(bucket.id, bucket.partitions))
            .collect();
        for partition in self.partitions().await {
            let keys = self.keys(partition).await;
            assert_eq!(keys.is_empty(), !live.contains(&partition), "{partition:?}: {keys:?}");
            named.extend(assert_partition_tidy(&keys));
        }
        assert_eq!(self.store.inner.staged().await.unwrap(), vec![], "staged blobs");
        assert_eq!(*self.store.blobs.lock().unwrap(), named, "blobs that nothing names, or lost");
    }
}

/// Checks one partition and tells the blobs that it names.
fn assert_partition_tidy(keys: &[(Bytes, Record)]) -> BTreeSet<BlobId> {
    let mut lengths: BTreeMap<ContentId, u64> = BTreeMap::new();
    let mut ends: BTreeMap<ContentId, u64> = BTreeMap::new();
    let (mut blobs, mut references) = (BTreeSet::new(), BTreeSet::new());
    let (mut data_keys, mut keyed) = (BTreeSet::new(), BTreeSet::new());
    // Second names for what parts hold.
    let making: BTreeSet<_> = keys
        .iter()
        .filter(|(key, _)| key[0] == b'y')
        .map(|(key, _)| ContentId::from_slice(&key[1..]).unwrap())
        .collect();
    let uploads = keys.iter().filter(|(key, _)| key[0] == keys::UPLOAD).count();
    assert!(making.len() <= uploads, "content in the making without an upload");
    // Extents in the order of their ends, whatever their tag.
    let mut keys: Vec<_> = keys.iter().collect();
    keys.sort_by_key(|(key, _)| {
        let is_extent = b"cp".contains(&key[0]);
        (is_extent, is_extent.then(|| key[1..].to_vec()))
    });
    for (key, record) in keys {
        match key[0] {
            b'b' => {}
            keys::HEAD | keys::OLDER | keys::MARKER => {
                let head = Head::decode(&record.value).unwrap();
                if let Some(sealing) = head.sealing {
                    assert!(keyed.insert(sealing.key), "a shared data key");
                }
                if let Some(content) = head.content_id() {
                    assert!(lengths.insert(content, head.length).is_none(), "shared content");
                }
            }
            b'c' | b'p' => {
                let extent = Extent::decode(&record.value).unwrap();
                let content = ContentId::from_slice(&key[1..17]).unwrap();
                if making.contains(&content) {
                    continue;
                }
                let end = keys::extent_end(key).unwrap();
                let before = ends.insert(content, end).unwrap_or(0);
                assert_eq!(end - extent.length, before, "a gap");
                assert_eq!(record.payload.is_some(), extent.source == Source::Payload);
                if let Source::Blob { id, .. } = extent.source {
                    assert!(blobs.insert(id), "named twice");
                }
            }
            b's' => {
                references.insert(BlobId(key[1..].try_into().unwrap()));
            }
            keys::UPLOAD => keyed.extend(Upload::decode(&record.value).unwrap().key),
            keys::DATA_KEY => {
                data_keys.insert(keys::data_key_id(key).unwrap());
            }
            b'y' => {}
            keys::PART => {
                assert!(uploads > 0, "a part without an upload");
                let part = Part::decode(&record.value).unwrap();
                assert!(lengths.insert(part.content, part.length).is_none(), "shared content");
                assert!(part.staged_end.is_none() || !making.is_empty(), "staged nowhere");
            }
            _ => panic!("left over: {key:?}"),
        }
    }
    lengths.retain(|_, length| *length > 0);
    assert_eq!(lengths, ends, "heads and extents");
    assert_eq!(blobs, references, "blobs and references");
    assert_eq!(data_keys, keyed, "data keys, and who has one");
    blobs
}

pub(super) async fn open(
    store: &Arc<Watched>,
    clock: &Arc<ManualClock>,
    settings: &Settings,
) -> Objects {
    let (store, clock) = (Arc::clone(store), Arc::clone(clock));
    let keys = Arc::clone(master_keys());
    Objects::open_with(store, clock, settings.clone(), keys).await.unwrap()
}

/// The same ones for every start.
pub(super) fn master_keys() -> &'static Arc<MasterKeys> {
    static KEYS: OnceLock<Arc<MasterKeys>> = OnceLock::new();
    KEYS.get_or_init(|| Arc::new(MasterKeys::ephemeral().unwrap()))
}

pub(super) async fn collect<E>(stream: impl Stream<Item = Result<Bytes, E>>) -> Result<Vec<u8>, E> {
    let mut stream = Box::pin(stream);
    let mut all = Vec::new();
    while let Some(piece) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
        let piece = piece?;
        assert!(!piece.is_empty(), "an empty piece");
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// A store that counts what is asked of it and can die at any point.
pub(super) struct Watched {
    pub(super) inner: MemoryStore,
    pub(super) counts: Counts,
    /// Where scans began.
    pub(super) started: Mutex<Vec<Bytes>>,
    /// Blobs that are finished and not deleted.
    pub(super) blobs: Arc<Mutex<BTreeSet<BlobId>>>,
    /// Holds the next read of this key up, after it has been read.
    pub(super) stall: Mutex<Option<Stall>>,
    /// Holds the next blob up that is finished, when it is durable.
    pub(super) stall_blob: Arc<Mutex<Option<Stall>>>,
    /// Transactions happen, but nobody is ever told.
    pub(super) mute: AtomicBool,
    /// Transactions of which it is not known whether they have happened.
    doubtful: Mutex<Vec<(Partition, Token)>>,
    steps: Arc<Death>,
}

/// A read that is held up.
#[derive(Clone)]
pub(super) struct Stall {
    pub(super) key: Bytes,
    pub(super) reached: Arc<Notify>,
    pub(super) go_on: Arc<Notify>,
}

impl Watched {
    fn stall_for(&self, key: &Bytes) -> Option<Stall> {
        self.stall.lock().unwrap().take_if(|stall| stall.key == *key)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) submits: AtomicU64,
    pub(super) gets: AtomicU64,
    pub(super) scans: AtomicU64,
    pub(super) payloads: AtomicU64,
}

impl Counts {
    pub(super) fn all(&self) -> [u64; 4] {
        [&self.submits, &self.gets, &self.scans, &self.payloads]
            .map(|count| count.load(Ordering::SeqCst))
    }
}

/// When a store dies: at which of its changes, and whether that one still happens.
#[derive(Debug, Default)]
struct Death {
    done: AtomicU64,
    at: AtomicU64,
    after: AtomicU64,
}

enum Fate {
    Live,
    /// It happens, but nobody is told.
    Last,
    Dead,
}

impl Death {
    fn step(&self) -> Fate {
        let step = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        match self.at.load(Ordering::SeqCst) {
            0 => Fate::Live,
            at if step < at => Fate::Live,
            at if step == at && self.after.load(Ordering::SeqCst) == 1 => Fate::Last,
            _ => Fate::Dead,
        }
    }

    fn dead(&self) -> bool {
        let at = self.at.load(Ordering::SeqCst);
        at != 0 && self.done.load(Ordering::SeqCst) >= at
    }
}

impl Watched {
    pub(super) fn new(inner: MemoryStore) -> Self {
        Self {
            inner,
            counts: Counts::default(),
            started: Mutex::default(),
            blobs: Arc::default(),
            stall: Mutex::default(),
            stall_blob: Arc::default(),
            mute: AtomicBool::new(false),
            doubtful: Mutex::default(),
            steps: Arc::default(),
        }
    }

    /// Dies at the `at`-th change from now on, before it happens or just after.
    pub(super) fn die_at(&self, at: u64, after: bool) {
        self.steps.done.store(0, Ordering::SeqCst);
        self.steps.after.store(after.into(), Ordering::SeqCst);
        self.steps.at.store(at, Ordering::SeqCst);
    }

    /// Whether it came to that.
    pub(super) fn died(&self) -> bool {
        self.steps.dead()
    }

    pub(super) fn revive(&self) {
        self.steps.at.store(0, Ordering::SeqCst);
    }

    /// As a start does: from here on everything has happened or never will.
    async fn settle_doubtful(&self) {
        let doubtful = std::mem::take(&mut *self.doubtful.lock().unwrap());
        for (partition, token) in doubtful {
            // One that was refused before it began has nothing to settle.
            while let Err(StoreError::Unknown(_)) = self.inner.settle(partition, token).await {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn hand_on(&self, transaction: Transaction) -> Result<(), StoreError> {
        let one = (transaction.partition, transaction.token);
        // Before it is handed on: whoever waits for it may stop waiting.
        self.doubtful.lock().unwrap().push(one);
        let told = self.inner.submit(transaction).await;
        if !matches!(told, Err(StoreError::Unknown(_))) {
            self.forget(one);
        }
        told
    }

    fn forget(&self, one: (Partition, Token)) {
        self.doubtful.lock().unwrap().retain(|other| *other != one);
    }
}

fn unknown() -> StoreError {
    StoreError::Unknown("dead".into())
}

fn blob_io() -> BlobError {
    BlobError::Io("dead".into())
}

impl Index for Watched {
    fn partitions_per_bucket(&self) -> u16 {
        self.inner.partitions_per_bucket()
    }

    fn submit(&self, transaction: Transaction) -> BoxFuture<'_, Result<(), StoreError>> {
        self.counts.submits.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            match self.steps.step() {
                Fate::Live if self.mute.load(Ordering::SeqCst) => {
                    self.hand_on(transaction).await.and(Err(unknown()))
                }
                Fate::Live => self.hand_on(transaction).await,
                Fate::Last => self.hand_on(transaction).await.and(Err(unknown())),
                Fate::Dead => Err(unknown()),
            }
        })
    }

    fn settle(
        &self,
        partition: Partition,
        token: Token,
    ) -> BoxFuture<'_, Result<Settled, StoreError>> {
        Box::pin(async move {
            match self.steps.dead() || self.mute.load(Ordering::SeqCst) {
                true => Err(Rejection::Closed.into()),
                false => {
                    let settled = self.inner.settle(partition, token).await;
                    if settled.is_ok() {
                        self.forget((partition, token));
                    }
                    settled
                }
            }
        })
    }

    fn get(
        &self,
        partition: Partition,
        key: Bytes,
    ) -> BoxFuture<'_, Result<Option<Record>, ReadError>> {
        self.counts.gets.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            match self.steps.dead() {
                true => Err(ReadError::Closed),
                false => {
                    let stall = self.stall_for(&key);
                    let record = self.inner.get(partition, key).await;
                    if let Some(stall) = stall {
                        stall.reached.notify_one();
                        stall.go_on.notified().await;
                    }
                    record
                }
            }
        })
    }

    fn scans(
        &self,
        partition: Partition,
        scans: Vec<Scan>,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>> {
        for scan in &scans {
            self.counts.scans.fetch_add(1, Ordering::SeqCst);
            self.started.lock().unwrap().push(scan.start.clone());
        }
        Box::pin(async move {
            match self.steps.dead() {
                true => Err(ReadError::Closed),
                false => self.inner.scans(partition, scans).await,
            }
        })
    }

    fn payloads(
        &self,
        partition: Partition,
        wanted: Vec<(Bytes, PayloadRef)>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ReadError>> {
        self.counts.payloads.fetch_add(1, Ordering::SeqCst);
        self.inner.payloads(partition, wanted)
    }
}

struct WatchedWriter {
    inner: Box<dyn BlobWriter>,
    blobs: Arc<Mutex<BTreeSet<BlobId>>>,
    stall: Arc<Mutex<Option<Stall>>>,
    steps: Arc<Death>,
}

impl BlobWriter for WatchedWriter {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        self.inner.write(bytes)
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<FinishedBlob, BlobError>> {
        Box::pin(async move {
            let fate = self.steps.step();
            if matches!(fate, Fate::Dead) {
                return Err(blob_io());
            }
            let blob = self.inner.finish().await?;
            self.blobs.lock().unwrap().insert(blob.id);
            let stall = self.stall.lock().unwrap().take();
            if let Some(stall) = stall {
                stall.reached.notify_one();
                stall.go_on.notified().await;
            }
            if matches!(fate, Fate::Last) { Err(blob_io()) } else { Ok(blob) }
        })
    }
}

impl Blobs for Watched {
    fn create(&self, owner: Bytes) -> BoxFuture<'_, Result<Box<dyn BlobWriter>, BlobError>> {
        Box::pin(async move {
            if self.steps.dead() {
                return Err(blob_io());
            }
            let inner = self.inner.create(owner).await?;
            let (blobs, steps) = (Arc::clone(&self.blobs), Arc::clone(&self.steps));
            let stall = Arc::clone(&self.stall_blob);
            Ok(Box::new(WatchedWriter { inner, blobs, stall, steps }) as Box<dyn BlobWriter>)
        })
    }

    fn open(&self, id: BlobId) -> BoxFuture<'_, Result<Box<dyn BlobReader>, BlobError>> {
        self.inner.open(id)
    }

    fn adopt(&self, id: BlobId) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            match self.steps.step() {
                Fate::Live => self.inner.adopt(id).await,
                Fate::Last => self.inner.adopt(id).await.and(Err(blob_io())),
                Fate::Dead => Err(blob_io()),
            }
        })
    }

    fn delete(&self, id: BlobId) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            let fate = self.steps.step();
            if matches!(fate, Fate::Dead) {
                return Err(blob_io());
            }
            self.inner.delete(id).await?;
            self.blobs.lock().unwrap().remove(&id);
            if matches!(fate, Fate::Last) { Err(blob_io()) } else { Ok(()) }
        })
    }

    fn duplicate(
        &self,
        id: BlobId,
        owner: Bytes,
    ) -> BoxFuture<'_, Result<FinishedBlob, BlobError>> {
        Box::pin(async move {
            let fate = self.steps.step();
            if matches!(fate, Fate::Dead) {
                return Err(blob_io());
            }
            let blob = self.inner.duplicate(id, owner).await?;
            self.blobs.lock().unwrap().insert(blob.id);
            if matches!(fate, Fate::Last) { Err(blob_io()) } else { Ok(blob) }
        })
    }

    fn staged(&self) -> BoxFuture<'_, Result<Vec<StagedBlob>, BlobError>> {
        self.inner.staged()
    }
}

impl Store for Watched {
    fn health(&self) -> Health {
        self.inner.health()
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.shutdown()
    }
}
