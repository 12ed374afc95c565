//! A small closed store with everything in it, and what was acknowledged there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use ossia_engine::{EngineOptions, LocalEngine};
use ossia_objects::{
    AppendInput, Body, BodyError, CopyInput, CreateBucketInput, Creation, Objects, Packing,
    PutInput, SealInput, Settings, SystemClock,
    words::{BucketName, Conditions, Directive, ObjectKey},
};
use ossia_store::{Health, Store as _};

use crate::common::Random;

pub(crate) const BUCKET: &str = "damage";

/// An object as it was acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) bytes: Vec<u8>,
    pub(crate) crc64: u64,
    pub(crate) etag: String,
    pub(crate) appendable: bool,
    pub(crate) sealed: bool,
}

/// A closed store.
pub(crate) struct Made {
    folder: tempfile::TempDir,
    pub(crate) objects: BTreeMap<String, Known>,
    pub(crate) deleted: BTreeSet<String>,
    /// Its files, relative to its folder, and their lengths.
    pub(crate) files: Vec<(PathBuf, u64)>,
    /// Those that had other bytes when it was closed before.
    pub(crate) older: Vec<(PathBuf, Vec<u8>)>,
}

impl Made {
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A new folder, in memory where the system has room for files there: what is tested does not depend on the medium, and its syncs
/// would take most of the time.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) fn options(data: &Path) -> EngineOptions {
    EngineOptions {
        shards: 2,
        segment_bytes: 16 << 10,
        journal_bytes: 1,
        memtable_bytes: 24 << 10,
        checkpoint_bytes: 64 << 10,
        cache_bytes: 1 << 20,
        reserve_bytes: 0,
        idle_flush_ms: 60_000,
        ..EngineOptions::new(data)
    }
}

pub(crate) fn settings(packs: bool) -> Settings {
    Settings {
        inline_bytes_max: 4 << 10,
        reap_interval: Duration::from_millis(50),
        packing: Packing {
            enabled: packs,
            run_bytes: 12 << 10,
            run_appends: 24,
            rest_bytes: 1,
            spacing: Duration::ZERO,
            quiet: Duration::ZERO,
            pause_factor: 0,
            ..Packing::default()
        },
        ..Settings::default()
    }
}

pub(crate) fn bucket() -> BucketName {
    BucketName::new(BUCKET).unwrap()
}

pub(crate) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

struct Once(Option<Bytes>);

impl Stream for Once {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}

fn body(bytes: &[u8]) -> Body {
    let length = Some(bytes.len() as u64);
    let stream = Box::pin(Once(Some(Bytes::copy_from_slice(bytes))));
    Body { stream, length, md5: None, crc64: None }
}

/// Makes changes and keeps what was acknowledged.
pub(crate) struct Writer<'a> {
    pub(crate) objects: &'a Objects,
    pub(crate) known: &'a mut BTreeMap<String, Known>,
    pub(crate) deleted: &'a mut BTreeSet<String>,
}

impl Writer<'_> {
    pub(crate) async fn put(&mut self, name: &str, bytes: Vec<u8>) {
        let input = PutInput {
            bucket: bucket(),
            key: key(name),
            creation: Creation::default(),
            body: body(&bytes),
            forbid_overwrite: false,
        };
        let put = self.objects.put(input).await.unwrap();
        self.deleted.remove(name);
        let (crc64, etag) = (put.crc64, put.etag);
        let known = Known { bytes, crc64, etag, appendable: false, sealed: false };
        self.known.insert(name.into(), known);
    }

    pub(crate) async fn append(&mut self, name: &str, more: &[u8]) {
        let mut bytes = self.known.get(name).map_or(Vec::new(), |known| known.bytes.clone());
        let input = AppendInput {
            bucket: bucket(),
            key: key(name),
            position: bytes.len() as u64,
            creation: Some(Creation::default()),
            acl: None,
            body: body(more),
        };
        let told = self.objects.append(input).await.unwrap();
        bytes.extend_from_slice(more);
        self.deleted.remove(name);
        let (crc64, etag) = (told.crc64, told.etag);
        let known = Known { bytes, crc64, etag, appendable: true, sealed: false };
        self.known.insert(name.into(), known);
    }

    async fn delete(&mut self, name: &str) {
        self.objects.delete(&bucket(), &key(name)).await.unwrap();
        self.known.remove(name);
        self.deleted.insert(name.into());
    }

    async fn copy(&mut self, from: &str, to: &str) {
        let input = CopyInput {
            source_bucket: bucket(),
            source_key: key(from),
            source_version: None,
            bucket: bucket(),
            key: key(to),
            conditions: Conditions::default(),
            metadata_directive: Directive::default(),
            attributes: Default::default(),
            tagging_directive: Directive::default(),
            tags: Vec::new(),
            acl: None,
            storage_class: None,
            encrypt: ossia_objects::Encrypt::No,
            forbid_overwrite: false,
        };
        let told = self.objects.copy(input).await.unwrap();
        let (crc64, etag) = (told.crc64, told.etag);
        let known = Known { crc64, etag, ..self.known[from].clone() };
        self.known.insert(to.into(), known);
    }

    async fn seal(&mut self, name: &str) {
        let known = self.known.get_mut(name).unwrap();
        let position = known.bytes.len() as u64;
        let input = SealInput { bucket: bucket(), key: key(name), position };
        known.etag = self.objects.seal(input).await.unwrap().etag;
        known.sealed = true;
    }
}

/// A store that is open.
pub(crate) struct Open {
    pub(crate) engine: LocalEngine,
    pub(crate) objects: Objects,
}

impl Open {
    async fn new(data: &Path, packs: bool) -> Self {
        let engine = LocalEngine::open(options(data)).unwrap();
        let store = Arc::new(engine.clone());
        let objects = Objects::open(store, Arc::new(SystemClock), settings(packs)).await.unwrap();
        Self { engine, objects }
    }

    pub(crate) async fn close(self) {
        self.objects.close().await;
        self.engine.shutdown().await.unwrap();
    }
}

/// Makes one.
pub(crate) fn make(random: &mut Random) -> Made {
    make_with(random, 150_000)
}

/// One with less in it, to be kept.
pub(crate) fn make_small(random: &mut Random) -> Made {
    make_with(random, 9_000)
}

fn make_with(random: &mut Random, large: usize) -> Made {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    let folder = folder();
    let (mut known, mut deleted) = (BTreeMap::new(), BTreeSet::new());
    runtime.block_on(fill(folder.path(), random, &mut known, &mut deleted, large));
    let old = files(folder.path());
    let old: Vec<_> = old
        .into_iter()
        .map(|(name, _)| {
            let bytes = std::fs::read(folder.path().join(&name)).unwrap();
            (name, bytes)
        })
        .collect();
    runtime.block_on(go_on(folder.path(), random, &mut known, &mut deleted));
    let files = files(folder.path());
    let differs = |(name, bytes): &(PathBuf, Vec<u8>)| {
        std::fs::read(folder.path().join(name)).is_ok_and(|now| now != *bytes)
    };
    let older = old.into_iter().filter(differs).collect();
    let made = Made { folder, objects: known, deleted, files, older };
    has_everything(&made);
    made
}

async fn fill(
    data: &Path,
    random: &mut Random,
    known: &mut BTreeMap<String, Known>,
    deleted: &mut BTreeSet<String>,
    large: usize,
) {
    let open = Open::new(data, true).await;
    let input =
        CreateBucketInput { name: bucket(), acl: None, storage_class: None, redundancy: None };
    open.objects.create_bucket(input).await.unwrap();
    let mut writer = Writer { objects: &open.objects, known, deleted };
    writer.put("large/whole", random.bytes(large)).await;
    writer.append("large/log", &random.bytes(large / 2)).await;
    for round in 0..200 {
        for log in 0..4 {
            let count = 1 + random.below(600) as usize;
            writer.append(&format!("logs/{log}"), &random.bytes(count)).await;
        }
        let count = 1 + random.below(1_500) as usize;
        writer.put(&format!("small/{:02}", round % 16), random.bytes(count)).await;
        if round % 7 == 3 {
            writer.delete(&format!("small/{:02}", (round * 5) % 16)).await;
        }
        if round % 50 == 20 {
            writer.delete(&format!("logs/{}", round / 50 % 4)).await;
        }
        let metrics = open.engine.metrics();
        if round > 40 && metrics.segments_recycled > 8 && metrics.value_files > 1 {
            break;
        }
    }
    open.close().await;
}

async fn go_on(
    data: &Path,
    random: &mut Random,
    known: &mut BTreeMap<String, Known>,
    deleted: &mut BTreeSet<String>,
) {
    let open = Open::new(data, false).await;
    let mut writer = Writer { objects: &open.objects, known, deleted };
    writer.append("large/log", &random.bytes(300)).await;
    writer.copy("large/whole", "large/copy").await;
    writer.put("staged", random.bytes(5_000)).await;
    for log in 0..4 {
        for _ in 0..3 {
            let count = 1 + random.below(900) as usize;
            writer.append(&format!("logs/{log}"), &random.bytes(count)).await;
        }
    }
    writer.delete("small/05").await;
    writer.copy("small/06", "small/copy").await;
    writer.put("small/empty", Vec::new()).await;
    writer.seal("logs/3").await;
    for last in 0..6 {
        let count = 1 + random.below(900) as usize;
        writer.put(&format!("last/{last}"), random.bytes(count)).await;
    }
    assert_eq!(open.engine.health(), Health::Open);
    open.close().await;
}

/// All files of a folder, relative to it, with their lengths.
pub(crate) fn files(data: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(data).unwrap().to_owned();
                files.push((name, entry.metadata().unwrap().len()));
            }
        }
    }
    files.sort();
    files
}

/// That nothing is missing which damage should be tried on.
fn has_everything(made: &Made) {
    let count = |part: &str| {
        made.files.iter().filter(|(name, _)| name.to_str().unwrap().contains(part)).count()
    };
    let counts = ["journal/", "index/tables/", "index/v", "copies/", "values/", "blobs/"];
    let counts: Vec<_> = counts.iter().map(|part| (*part, count(part))).collect();
    let bytes: u64 = made.files.iter().map(|(_, bytes)| bytes).sum();
    println!(
        "{} objects, {} files, {bytes} bytes: {counts:?}",
        made.objects.len(),
        made.files.len()
    );
    for (part, count) in counts {
        assert!(count > 0, "{part}: {:?}", made.files);
    }
}
