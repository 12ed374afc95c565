//! The lifecycle worker: does to objects and uploads what the rules of their buckets say.
//!
//! It walks the heads and the uploads of every bucket that has rules, a page at a time and not faster than it is told to, and does
//! what is due in transactions that insist on the very record that was judged: a key that was written to meanwhile is left alone. It
//! keeps no place: a round that stopped begins anew, and what it has done already is not there any more or as it should be, so it
//! may stop or run twice at any point (I10). The rules are read again for each page; one that was taken back acts on no further one.
//!
//! What is protected is not deleted; its class still changes.

mod judge;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ossia_protocol::xml::config::LifecycleConfiguration;
use ossia_store::{Item, Partition, Payload, Scan, View, Writes, successor};

use crate::{
    AbortUploadInput, BucketError, BucketRules, ConfigKind, DeleteError, DeleteIf, DeleteInput,
    Failure, ObjectInfo, Objects, UploadError, VersionId,
    background::Background,
    core::{Core, Gate, Place},
    keys,
    records::{BucketRecord, BucketState, Catalogue, Damage, Head, Stored},
    version::{let_go, read_head},
    words::{BucketName, ObjectKey},
};

use self::judge::{Fates, Subject};

/// Records looked at at once.
const PAGE: usize = 256;
/// Buckets looked at at once.
const BUCKETS: usize = 64;
/// Heads changed in one transaction: each may be some 20 KiB of headers, and all must stay below the MiB of the contract.
const BATCH: usize = 32;
/// The longest wait before the first round.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// How the rules of buckets are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// How often everything is looked at; zero for never. Default 1 h.
    pub every: Duration,
    /// The length of a day of the rules, in whole seconds, at least one. What is due is due at the begin of such a day, in UTC.
    /// Default 86,400 s; shorter ones are for tests.
    pub day: Duration,
    /// The most records looked at a second, 1 or more. Default 5,000.
    pub records_per_s: u32,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(3_600),
            day: Duration::from_secs(86_400),
            records_per_s: 5_000,
        }
    }
}

impl Lifecycle {
    pub(crate) fn clamped(mut self) -> Self {
        self.day = self.day.max(Duration::from_secs(1));
        self.records_per_s = self.records_per_s.max(1);
        self
    }

    fn day_s(&self) -> u64 {
        self.day.as_secs().max(1)
    }
}

/// What the worker has come to since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LifecycleFigures {
    /// Rounds that came to their end.
    pub rounds: u64,
    /// Records that were looked at.
    pub records: u64,
    /// Objects that were deleted.
    pub expired: u64,
    /// Objects whose class was changed.
    pub transitioned: u64,
    /// Older versions, and delete markers that stood alone, that were removed.
    pub trimmed: u64,
    /// Uploads that were given up.
    pub aborted: u64,
    /// Rounds, or buckets within one, that could not be brought to their end.
    pub failures: u64,
}

/// The figures, shared.
#[derive(Debug, Default)]
pub(crate) struct Told {
    rounds: AtomicU64,
    records: AtomicU64,
    expired: AtomicU64,
    transitioned: AtomicU64,
    trimmed: AtomicU64,
    aborted: AtomicU64,
    failures: AtomicU64,
}

impl Told {
    fn figures(&self) -> LifecycleFigures {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LifecycleFigures {
            rounds: of(&self.rounds),
            records: of(&self.records),
            expired: of(&self.expired),
            transitioned: of(&self.transitioned),
            trimmed: of(&self.trimmed),
            aborted: of(&self.aborted),
            failures: of(&self.failures),
        }
    }
}

fn add(count: &AtomicU64, by: usize) {
    count.fetch_add(by as u64, Ordering::Relaxed);
}

/// When an object expires, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiration {
    /// In seconds since 1970.
    pub at: u64,
    /// The id of the rule.
    pub rule: String,
}

impl Objects {
    /// What the lifecycle worker has come to.
    pub fn lifecycle(&self) -> LifecycleFigures {
        self.core.lifecycle.figures()
    }

    /// When an object of a bucket with these rules expires.
    pub fn expiration(&self, rules: &BucketRules, info: &ObjectInfo) -> Option<Expiration> {
        let lifecycle = rules.lifecycle.as_ref()?;
        let day_s = self.core.settings.lifecycle.day_s();
        judge::expiration(lifecycle, &Subject::of_info(info), day_s)
    }
}

/// Starts the worker, unless it is switched off.
pub(crate) fn start(core: Arc<Core>) -> Background {
    let on = !core.settings.lifecycle.every.is_zero();
    Background::start(on.then(|| run(core)))
}

async fn run(core: Arc<Core>) {
    let every = core.settings.lifecycle.every;
    tokio::time::sleep(every.min(SETTLE_MAX)).await;
    loop {
        let before = core.lifecycle.figures();
        if let Err(failure) = core.lifecycle_round().await {
            add(&core.lifecycle.failures, 1);
            // Others are told of the store's state by their own operations.
            tracing::debug!(%failure, "a round of the lifecycle rules put off");
        }
        let now = core.lifecycle.figures();
        let expired = now.expired - before.expired;
        let transitioned = now.transitioned - before.transitioned;
        let trimmed = now.trimmed - before.trimmed;
        let aborted = now.aborted - before.aborted;
        if expired + transitioned + trimmed + aborted > 0 {
            tracing::info!(
                expired,
                transitioned,
                trimmed,
                aborted,
                "lifecycle rules were followed"
            );
        }
        tokio::time::sleep(every).await;
    }
}

/// The rules of a bucket as they were last read.
struct Rules {
    document: Bytes,
    parsed: LifecycleConfiguration,
}

impl Core {
    /// Looks at everything once.
    pub(crate) async fn lifecycle_round(&self) -> Result<(), Failure> {
        let prefix = keys::tagged(keys::CATALOGUE, &[]);
        let mut next = Some(prefix.clone());
        while let Some(start) = next {
            let (page, resume) = self.catalogue_page(start, &prefix, BUCKETS).await?;
            for (name, catalogue) in page {
                if catalogue.state != BucketState::Open {
                    continue;
                }
                if let Err(failure) = self.follow_rules(&name, catalogue).await {
                    match failure {
                        // Only this bucket: the rest need not wait for it.
                        Failure::Damaged(_) | Failure::Io(_) => {
                            add(&self.lifecycle.failures, 1);
                            tracing::warn!(bucket = %name, %failure, "lifecycle rules not followed");
                        }
                        _ => return Err(failure),
                    }
                }
            }
            next = resume;
        }
        add(&self.lifecycle.rounds, 1);
        Ok(())
    }

    async fn follow_rules(&self, name: &BucketName, catalogue: Catalogue) -> Result<(), Failure> {
        let mut rules = None;
        if !self.read_lifecycle(name, &mut rules).await? {
            return Ok(());
        }
        let place = Place { name: name.clone(), catalogue };
        for partition in place.partitions() {
            let versioned = place.catalogue.versioning.is_some();
            if !self.follow_for_objects(&place, partition, &mut rules).await?
                || (versioned && !self.follow_for_versions(&place, partition, &mut rules).await?)
                || !self.follow_for_uploads(&place, partition, &mut rules).await?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads the rules again, where they have changed. Whether there are any.
    async fn read_lifecycle(
        &self,
        name: &BucketName,
        rules: &mut Option<Rules>,
    ) -> Result<bool, Failure> {
        let kept = match self.configuration(Some(name), ConfigKind::Lifecycle).await {
            Ok(kept) => kept,
            Err(crate::ConfigError::Store(failure)) => return Err(failure),
            // The bucket has gone.
            Err(_) => Vec::new(),
        };
        let Some((_, document)) = kept.into_iter().next() else {
            *rules = None;
            return Ok(false);
        };
        if rules.as_ref().is_some_and(|rules| rules.document == document) {
            return Ok(true);
        }
        let parsed = LifecycleConfiguration::parse(&document, true, String::new);
        let parsed = parsed.map_err(|error| {
            Failure::Damaged(format!("a bucket's lifecycle rules cannot be read: {error}"))
        })?;
        *rules = Some(Rules { document, parsed });
        Ok(true)
    }

    /// Not faster than it should be.
    async fn pause_after(&self, records: usize) {
        add(&self.lifecycle.records, records);
        let rate = f64::from(self.settings.lifecycle.records_per_s);
        tokio::time::sleep(Duration::from_secs_f64(records as f64 / rate)).await;
    }

    /// `false` when the rules have gone meanwhile.
    async fn follow_for_objects(
        &self,
        place: &Place,
        partition: Partition,
        rules: &mut Option<Rules>,
    ) -> Result<bool, Failure> {
        let mut next = Some(keys::tagged(keys::HEAD, &[]));
        while let Some(start) = next {
            if !self.read_lifecycle(&place.name, rules).await? {
                return Ok(false);
            }
            let Some(rules) = rules.as_ref() else { return Ok(false) };
            let scan = Scan { start, end: successor(&[keys::HEAD]), limit: PAGE, fold: None };
            let page = self.store.scan(partition, scan).await?;
            let looked_at = page.items.len();
            let now_s = self.now_ms() / 1_000;
            let day_s = self.settings.lifecycle.day_s();
            let mut doomed = Vec::new();
            for item in page.items {
                let Item::Record(key, record) = item else { continue };
                let head = Head::decode(&record.value)?;
                let name = ObjectKey::from_bytes(key.get(1..).unwrap_or_default());
                let name = name.map_err(|_| Damage::new("head", "its key is no object's"))?;
                let subject = Subject::of_head(&name, &head);
                let fates = judge::fates(&rules.parsed, &subject, now_s, day_s);
                if fates.expires && place.catalogue.versioning.is_some() {
                    // A marker comes on top; what was judged must still be current.
                    let only = DeleteIf::CurrentIs {
                        version: head.version_id,
                        last_modified: head.modified_s,
                    };
                    if self.remove_one(place, name, None, only).await? {
                        add(&self.lifecycle.expired, 1);
                    }
                } else if fates != Fates::default() {
                    doomed.push(Doomed { key, seen: head, fates });
                }
            }
            for batch in doomed.chunks(BATCH) {
                self.carry_out(place, partition, batch.to_vec()).await?;
            }
            next = page.resume;
            self.pause_after(looked_at).await;
        }
        Ok(true)
    }

    /// Older versions, and delete markers that are current. `false` when the rules have gone meanwhile.
    async fn follow_for_versions(
        &self,
        place: &Place,
        partition: Partition,
        rules: &mut Option<Rules>,
    ) -> Result<bool, Failure> {
        for tag in [keys::OLDER, keys::MARKER] {
            let mut next = Some(keys::tagged(tag, &[]));
            while let Some(start) = next {
                if !self.read_lifecycle(&place.name, rules).await? {
                    return Ok(false);
                }
                let Some(rules) = rules.as_ref() else { return Ok(false) };
                let scan = Scan { start, end: successor(&[tag]), limit: PAGE, fold: None };
                let page = self.store.scan(partition, scan).await?;
                let looked_at = page.items.len();
                let now_s = self.now_ms() / 1_000;
                let day_s = self.settings.lifecycle.day_s();
                let mut doomed = Vec::new();
                for item in page.items {
                    let Item::Record(key, record) = item else { continue };
                    let head = Head::decode(&record.value)?;
                    let name = match tag {
                        keys::OLDER => keys::parse_older(&key).map(|(name, _)| name),
                        _ => ObjectKey::from_bytes(key.get(1..).unwrap_or_default()).ok(),
                    };
                    let name =
                        name.ok_or_else(|| Damage::new("head", "its key is no version's"))?;
                    let subject = Subject::of_head(&name, &head);
                    let (fates, only) = match tag {
                        keys::OLDER => (
                            judge::fates_of_older(&rules.parsed, &subject, &head, now_s, day_s),
                            DeleteIf::Noncurrent,
                        ),
                        _ => (
                            judge::fates_of_marker(&rules.parsed, &subject, now_s, day_s),
                            DeleteIf::LoneMarker,
                        ),
                    };
                    if fates.expires {
                        let version = Some(head.version_id);
                        if self.remove_one(place, name, version, only).await? {
                            add(&self.lifecycle.trimmed, 1);
                            continue;
                        }
                    }
                    if fates.class.is_some() {
                        doomed.push(Doomed {
                            key,
                            seen: head,
                            fates: Fates { expires: false, ..fates },
                        });
                    }
                }
                for batch in doomed.chunks(BATCH) {
                    self.carry_out(place, partition, batch.to_vec()).await?;
                }
                next = page.resume;
                self.pause_after(looked_at).await;
            }
        }
        Ok(true)
    }

    /// Removes what is still as it was judged. Whether it was there.
    async fn remove_one(
        &self,
        place: &Place,
        key: ObjectKey,
        version: Option<VersionId>,
        only: DeleteIf,
    ) -> Result<bool, Failure> {
        let input = DeleteInput { bucket: place.name.clone(), key, version, only };
        match self.delete(input).await {
            Ok(told) => Ok(told.existed),
            Err(DeleteError::Immutable | DeleteError::NoSuchBucket) => Ok(false),
            Err(DeleteError::Store(failure)) => Err(failure),
        }
    }

    async fn carry_out(
        &self,
        place: &Place,
        partition: Partition,
        batch: Vec<Doomed>,
    ) -> Result<(), Failure> {
        let hints = batch.iter().map(|doomed| doomed.key.clone()).collect();
        let now_ms = self.now_ms();
        let done = self.change_in::<_, BucketError, _>(place, partition, hints, Gate::Open, {
            move |view: &dyn View, bucket: &BucketRecord| {
                let mut writes = Writes::none();
                let mut done = Done::default();
                for doomed in &batch {
                    // Judged was what was seen, and nothing else.
                    let Some(head) = read_head(view, &doomed.key)?.filter(|h| *h == doomed.seen)
                    else {
                        continue;
                    };
                    // Versions began to be kept meanwhile: the next round does it otherwise.
                    let expires = doomed.fates.expires && bucket.versioning.is_none();
                    if expires && !bucket.retention.protects(&head, now_ms) {
                        writes.delete(doomed.key.clone());
                        done.let_go |= let_go(&mut writes, &head, now_ms);
                        done.expired += 1;
                    } else if let Some(class) = doomed.fates.class {
                        let mut new = head;
                        new.storage_class = class;
                        new.life.restore = None;
                        new.life.transition_s = Some(now_ms / 1_000);
                        let key = doomed.key.clone();
                        writes.put_with(key.clone(), new.encode(), Payload::Of(key));
                        done.transitioned += 1;
                    }
                }
                Ok((writes, done))
            }
        });
        let done = match done.await {
            Ok(done) => done,
            Err(BucketError::NoSuchBucket | BucketError::Retained) => return Ok(()),
            Err(BucketError::Store(failure)) => return Err(failure),
        };
        add(&self.lifecycle.expired, done.expired);
        add(&self.lifecycle.transitioned, done.transitioned);
        if done.let_go {
            self.reaper.wake(partition);
        }
        Ok(())
    }

    /// `false` when the rules have gone meanwhile.
    async fn follow_for_uploads(
        &self,
        place: &Place,
        partition: Partition,
        rules: &mut Option<Rules>,
    ) -> Result<bool, Failure> {
        let mut next = Some(keys::tagged(keys::UPLOAD, &[]));
        while let Some(start) = next {
            if !self.read_lifecycle(&place.name, rules).await? {
                return Ok(false);
            }
            let Some(rules) = rules.as_ref() else { return Ok(false) };
            if !judge::gives_uploads_up(&rules.parsed) {
                return Ok(true);
            }
            let (page, resume) = self.uploads_page(partition, start, PAGE).await?;
            let looked_at = page.len();
            let now_s = self.now_ms() / 1_000;
            let day_s = self.settings.lifecycle.day_s();
            for (key, upload, initiated_s) in page {
                if !judge::upload_is_over(&rules.parsed, key.as_str(), initiated_s, now_s, day_s) {
                    continue;
                }
                let input = AbortUploadInput { bucket: place.name.clone(), key, upload };
                match self.abort_upload(input).await {
                    Ok(()) => add(&self.lifecycle.aborted, 1),
                    // Completed or aborted meanwhile.
                    Err(UploadError::NoSuchUpload | UploadError::NoSuchBucket) => {}
                    Err(UploadError::Store(failure)) => return Err(failure),
                }
            }
            next = resume;
            self.pause_after(looked_at).await;
        }
        Ok(true)
    }
}

/// A head for which something is due.
#[derive(Debug, Clone)]
struct Doomed {
    key: Bytes,
    seen: Head,
    fates: Fates,
}

/// What one transaction did.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    expired: usize,
    transitioned: usize,
    let_go: bool,
}
