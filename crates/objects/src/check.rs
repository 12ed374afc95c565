//! Verifying what is stored: every record, every extent, every byte. `ossia check` and the scrub of a server walk the same way.
//!
//! - `object`: one object, under a pin as a reader has it, so that it holds for a store that is being written.
//! - `leftovers`: what is there and should not be; only for a store that stands still.
//!
//! Nothing here changes anything, and memory does not grow with what is stored.

mod leftovers;
mod object;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ossia_keys::MasterKeys;
use ossia_store::{BlobId, Item, Partition, Record, Scan, Store, successor};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    Failure,
    keys::{self, SYSTEM},
    readers::Readers,
    records::{BucketRecord, BucketState, Catalogue, Counters, Damage, Dropped, Stored},
    words::{BucketName, ObjectKey},
};

/// Records read at once.
const PAGE: usize = 256;
/// The longest pause at once of something that is to go slowly, so that a stop is heard.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// What an object costs besides its bytes, where bytes are counted against a rate.
const OBJECT_BYTES: u64 = 4 << 10;

/// Something stored that is not as it was written, or not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finding {
    /// The bucket, where it is known.
    pub bucket: Option<String>,
    /// The object's key, where it is known; as text, also where it is none.
    pub key: Option<String>,
    /// The bytes of the object that it concerns: first, and first behind.
    pub range: Option<(u64, u64)>,
    /// The blob that it concerns; its file is `blobs/` or `staging/` with this name.
    pub blob: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.bucket, &self.key) {
            (Some(bucket), Some(key)) => write!(f, "oss://{bucket}/{key}: ")?,
            (Some(bucket), None) => write!(f, "bucket {bucket}: ")?,
            _ => {}
        }
        if let Some((from, to)) = self.range {
            write!(f, "bytes {from} to {to}: ")?;
        }
        if let Some(blob) = &self.blob {
            write!(f, "blob {blob}: ")?;
        }
        write!(f, "{}; {}", self.what, self.advice)
    }
}

/// What to do about an object whose bytes are not what was written.
const LOST: &str =
    "put the object again from its source or from a backup; until then reading it fails";
/// What to do about something that takes room and no more.
const LEFT: &str = "it does no harm but takes room; nothing removes it by itself";
/// What to do about a record that cannot be read.
const RECORD: &str = "restore the store from a backup; other objects are not concerned";

/// How to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOptions {
    /// Reads the bytes, too; without, only records and the ends of blobs.
    pub bytes: bool,
    /// Objects that are looked at at once, 1 to 64.
    pub jobs: usize,
    /// The most bytes read a second; 0 for no bound.
    pub bytes_per_s: u64,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Buckets.
    pub buckets: u64,
    /// Objects, each version and delete marker of one.
    pub objects: u64,
    /// Extents of objects.
    pub extents: u64,
    /// Bytes of objects that were read and matched, or were to be read.
    pub bytes: u64,
    /// Records that name blobs.
    pub references: u64,
    /// Blobs in their files.
    pub blobs: u64,
    /// Pieces of content that were let go and not yet reclaimed.
    pub let_go: u64,
    /// Bytes of these.
    pub let_go_bytes: u64,
    /// Encrypted objects whose bytes were read and matched the store's checksums, but could not be opened: their own checksums were
    /// not looked at.
    pub unopened: u64,
    /// What was found wrong.
    pub findings: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    buckets: AtomicU64,
    pub(crate) objects: AtomicU64,
    extents: AtomicU64,
    pub(crate) bytes: AtomicU64,
    references: AtomicU64,
    blobs: AtomicU64,
    let_go: AtomicU64,
    let_go_bytes: AtomicU64,
    unopened: AtomicU64,
    pub(crate) findings: AtomicU64,
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

type Tell = Box<dyn FnMut(Finding) + Send>;

/// What checks.
pub(crate) struct Checker {
    store: Arc<dyn Store>,
    readers: Arc<Readers>,
    keys: Arc<MasterKeys>,
    bytes: bool,
    /// Nobody else changes the store.
    still: bool,
    pub(crate) counts: Counts,
    pace: Pace,
    tell: Mutex<Tell>,
}

/// A bound on bytes a second.
struct Pace {
    bytes_per_s: u64,
    due: Mutex<Option<Instant>>,
}

impl Pace {
    /// Waits until so many bytes more may be read.
    async fn take(&self, bytes: u64) {
        if self.bytes_per_s == 0 {
            return;
        }
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_s as f64);
        let due = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            // What was not used is not saved up: that would be a burst later.
            let from = due.map_or_else(Instant::now, |due| due.max(Instant::now()));
            *due = Some(from + cost);
            from
        };
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(PAUSE_MAX)).await;
        }
    }
}

/// A bucket as the walk knows it.
#[derive(Debug, Clone)]
pub(crate) struct Walked {
    pub(crate) name: BucketName,
    pub(crate) catalogue: Catalogue,
}

impl Checker {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        readers: Arc<Readers>,
        keys: Arc<MasterKeys>,
        options: &CheckOptions,
        still: bool,
        tell: Tell,
    ) -> Self {
        let pace = Pace { bytes_per_s: options.bytes_per_s, due: Mutex::default() };
        let (bytes, tell) = (options.bytes, Mutex::new(tell));
        Self { store, readers, keys, bytes, still, counts: Counts::default(), pace, tell }
    }

    pub(crate) fn tell(&self, finding: Finding) {
        add(&self.counts.findings, 1);
        let mut tell = self.tell.lock().unwrap_or_else(PoisonError::into_inner);
        tell(finding);
    }

    fn checked(&self) -> Checked {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        Checked {
            buckets: of(&counts.buckets),
            objects: of(&counts.objects),
            extents: of(&counts.extents),
            bytes: of(&counts.bytes),
            references: of(&counts.references),
            blobs: of(&counts.blobs),
            let_go: of(&counts.let_go),
            let_go_bytes: of(&counts.let_go_bytes),
            unopened: of(&counts.unopened),
            findings: of(&counts.findings),
        }
    }

    /// Records of a range, a page of them, and where to go on.
    async fn page(
        &self,
        partition: Partition,
        start: Bytes,
        end: Option<Bytes>,
        limit: usize,
    ) -> Result<(Vec<(Bytes, Record)>, Option<Bytes>), Failure> {
        if end.as_ref().is_some_and(|end| start >= *end) {
            return Ok((Vec::new(), None));
        }
        let page = self.store.scan(partition, Scan { start, end, limit, fold: None }).await?;
        let records = page.items.into_iter().filter_map(|item| match item {
            Item::Record(key, record) => Some((key, record)),
            Item::Prefix(_) => None,
        });
        Ok((records.collect(), page.resume))
    }

    /// A page of the catalogue from a key on: its buckets, where to go on, and how many names it had.
    pub(crate) async fn buckets(
        &self,
        start: Bytes,
    ) -> Result<(Vec<Walked>, Option<Bytes>, u32), Failure> {
        let end = successor(&[keys::CATALOGUE]);
        let (page, resume) = self.page(SYSTEM, start, end, PAGE).await?;
        let names = page.len() as u32;
        let mut buckets = Vec::with_capacity(page.len());
        for (key, record) in page {
            let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            match (BucketName::new(&name), Catalogue::decode(&record.value)) {
                (Ok(name), Ok(catalogue)) => buckets.push(Walked { name, catalogue }),
                (Err(_), _) => self.tell(Finding {
                    bucket: Some(name),
                    what: "the catalogue names a bucket that no bucket can be called".into(),
                    advice: RECORD,
                    ..Finding::default()
                }),
                (_, Err(damage)) => self.tell(Finding {
                    bucket: Some(name),
                    what: damage.to_string(),
                    advice: RECORD,
                    ..Finding::default()
                }),
            }
        }
        Ok((buckets, resume, names))
    }

    /// The bucket's own record in one of its partitions.
    async fn bucket_record(&self, bucket: &Walked, partition: Partition) -> Result<(), Failure> {
        let record = self.store.get(partition, keys::bucket()).await?;
        let what = match BucketRecord::decode_option(record.as_ref()) {
            Ok(Some(_)) => return Ok(()),
            // One that is being made or unmade may lack it.
            Ok(None) if bucket.catalogue.state != BucketState::Open => return Ok(()),
            Ok(None) => "a partition has lost its bucket's record".to_owned(),
            Err(damage) => damage.to_string(),
        };
        self.tell(Finding {
            bucket: Some(bucket.name.to_string()),
            what,
            advice: RECORD,
            ..Finding::default()
        });
        Ok(())
    }

    /// Whether everything that is to be read can be; a walk ends where the store does.
    fn unless_closed(failure: Failure) -> Result<String, Failure> {
        match failure {
            Failure::Damaged(_) | Failure::Io(_) => Ok(failure.to_string()),
            other => Err(other),
        }
    }
}

/// The key of a version's record as an object's key, and as text in any case.
fn object_key(head_key: &[u8]) -> (String, Option<ObjectKey>) {
    if let Some((key, _)) = keys::parse_older(head_key) {
        return (key.as_str().to_owned(), Some(key));
    }
    let name = head_key.get(1..).unwrap_or_default();
    let text = String::from_utf8_lossy(name).into_owned();
    let key = std::str::from_utf8(name).ok().and_then(|name| ObjectKey::new(name).ok());
    (text, key)
}

/// Checks a store that nobody else uses.
pub struct StoreCheck {
    checker: Arc<Checker>,
    jobs: usize,
    /// Partitions that belong to a bucket.
    partitions: BTreeSet<Partition>,
    unnamed: Vec<BlobId>,
    unnamed_more: u64,
}

impl fmt::Debug for StoreCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreCheck")
            .field("checked", &self.checker.checked())
            .finish_non_exhaustive()
    }
}

impl StoreCheck {
    /// Findings are told as they come. What is encrypted is looked into as far as its master keys are there. The store must stand
    /// still: what is being changed would look like damage.
    pub fn new(
        store: Arc<dyn Store>,
        options: &CheckOptions,
        keys: Arc<MasterKeys>,
        tell: impl FnMut(Finding) + Send + 'static,
    ) -> Self {
        let checker = Checker::new(store, Arc::default(), keys, options, true, Box::new(tell));
        Self {
            checker: Arc::new(checker),
            jobs: options.jobs.clamp(1, 64),
            partitions: BTreeSet::from([SYSTEM, keys::IDENTITIES]),
            unnamed: Vec::new(),
            unnamed_more: 0,
        }
    }

    /// What has been looked at so far.
    pub fn checked(&self) -> Checked {
        self.checker.checked()
    }

    /// Walks the catalogue, every bucket and every object.
    ///
    /// # Errors
    /// [`Failure`] when the store as a whole can no longer be read; damage is a finding.
    pub async fn buckets(&mut self) -> Result<(), Failure> {
        let (mut names, mut greatest, mut ids) = (0_u32, 0, BTreeSet::new());
        let mut next = Some(keys::tagged(keys::CATALOGUE, &[]));
        while let Some(start) = next {
            let (buckets, resume, page_names) = self.checker.buckets(start).await?;
            names = names.saturating_add(page_names);
            for bucket in buckets {
                greatest = greatest.max(bucket.catalogue.id);
                if !ids.insert(bucket.catalogue.id) {
                    self.system("two buckets have the same id".into());
                }
                self.bucket(&bucket).await?;
            }
            next = resume;
        }
        self.dropped().await?;
        let counters = self.checker.store.get(SYSTEM, keys::counters()).await?;
        match <Counters as Stored>::decode_option(counters.as_ref()) {
            Err(damage) => self.system(damage.to_string()),
            Ok(counters) => {
                let counters = counters.unwrap_or_default();
                if counters.buckets != names || counters.last_bucket_id < greatest {
                    self.system(format!(
                        "the counters say {} buckets and a last id of {}, there are {names} and {greatest}",
                        counters.buckets, counters.last_bucket_id
                    ));
                }
            }
        }
        self.checker.strangers(SYSTEM, b"BCDKNS", None).await
    }

    fn system(&self, what: String) {
        self.checker.tell(Finding { what, advice: RECORD, ..Finding::default() });
    }

    async fn dropped(&mut self) -> Result<(), Failure> {
        let mut next = Some(keys::tagged(keys::DROPPED, &[]));
        while let Some(start) = next {
            let end = successor(&[keys::DROPPED]);
            let (page, resume) = self.checker.page(SYSTEM, start, end, PAGE).await?;
            for (key, record) in page {
                let id = key.get(1..).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
                match (id, Dropped::decode(&record.value)) {
                    (Some(id), Ok(dropped)) => {
                        self.partitions.extend(keys::partitions(id, dropped.partitions));
                    }
                    (None, _) => self.system("the key of a gone bucket is no id".into()),
                    (_, Err(damage)) => self.system(damage.to_string()),
                }
            }
            next = resume;
        }
        Ok(())
    }

    async fn bucket(&mut self, bucket: &Walked) -> Result<(), Failure> {
        add(&self.checker.counts.buckets, 1);
        let id = bucket.catalogue.id;
        for partition in keys::partitions(id, bucket.catalogue.partitions) {
            self.partitions.insert(partition);
            if bucket.catalogue.state == BucketState::Creating {
                continue;
            }
            self.checker.bucket_record(bucket, partition).await?;
            self.objects(bucket, partition).await?;
            self.checker.leftovers(bucket, partition).await?;
        }
        Ok(())
    }

    async fn objects(&self, bucket: &Walked, partition: Partition) -> Result<(), Failure> {
        let bucket = Arc::new(bucket.clone());
        let mut running: JoinSet<Result<(), Failure>> = JoinSet::new();
        for tag in keys::VERSIONS {
            let mut next = Some(keys::tagged(tag, &[]));
            while let Some(start) = next {
                let (page, resume) =
                    self.checker.page(partition, start, successor(&[tag]), PAGE).await?;
                for (key, _) in page {
                    if running.len() >= self.jobs
                        && let Some(told) = running.join_next().await
                    {
                        told.map_err(|error| Failure::Internal(error.to_string()))??;
                    }
                    let (checker, bucket) = (Arc::clone(&self.checker), Arc::clone(&bucket));
                    running.spawn(async move { checker.object(&bucket, partition, key).await });
                }
                next = resume;
            }
        }
        while let Some(told) = running.join_next().await {
            told.map_err(|error| Failure::Internal(error.to_string()))??;
        }
        Ok(())
    }
}

impl From<Damage> for String {
    fn from(damage: Damage) -> Self {
        damage.to_string()
    }
}
