//! What is there and should not be: content that no head names, records that name nothing, data keys and blobs that nobody
//! names.

use std::collections::HashSet;

use bytes::Bytes;
use ossia_store::{BlobId, Partition, successor};

use super::{Checker, Finding, LEFT, PAGE, RECORD, StoreCheck, Walked, add};
use crate::{
    Failure, intake,
    keys::{self, ContentId},
    records::{Extent, Head, Leftover, Part, Reference, Source, Stored, Tombstone, Upload},
};

/// Ids kept in memory at once; with more the partition is walked several times, each time for a part of them.
const NAMES_MAX: u64 = if cfg!(test) { 8 } else { 1 << 20 };
/// Unnamed blobs told one by one; the rest is counted.
const UNNAMED_MAX: usize = 100_000;
/// The tags of records that a bucket's partition may have, in order.
const TAGS: &[u8] = b"bchkmnpstuvxy";

impl Checker {
    /// Looks for what nothing leads to in one partition of a store that stands still.
    pub(super) async fn leftovers(
        &self,
        bucket: &Walked,
        partition: Partition,
    ) -> Result<(), Failure> {
        self.references(bucket, partition).await?;
        self.tombstones(bucket, partition).await?;
        self.contents(bucket, partition).await?;
        self.data_keys(bucket, partition).await?;
        self.strangers(partition, TAGS, Some(bucket)).await
    }

    fn left(&self, bucket: &Walked, blob: Option<BlobId>, what: String, advice: &'static str) {
        let (bucket, blob) = (Some(bucket.name.to_string()), blob.map(|id| id.to_string()));
        self.tell(Finding { bucket, blob, what, advice, ..Finding::default() });
    }

    /// Every record that says who names a blob is right.
    async fn references(&self, bucket: &Walked, partition: Partition) -> Result<(), Failure> {
        let mut next = Some(keys::tagged(keys::REFERENCE, &[]));
        while let Some(start) = next {
            let end = successor(&[keys::REFERENCE]);
            let (page, resume) = self.page(partition, start, end, PAGE).await?;
            for (key, record) in page {
                add(&self.counts.references, 1);
                let id = key.get(1..).and_then(|id| id.try_into().ok()).map(BlobId);
                let Some(id) = id else {
                    self.left(bucket, None, "a reference's key is no blob id".into(), RECORD);
                    continue;
                };
                let told = match Reference::decode(&record.value) {
                    Ok(told) => told,
                    Err(damage) => {
                        self.left(bucket, Some(id), damage.to_string(), RECORD);
                        continue;
                    }
                };
                let mut named = false;
                for key in
                    [keys::extent(told.content, told.end), keys::packed(told.content, told.end)]
                {
                    let record = self.store.get(partition, key).await?;
                    let extent = record.and_then(|record| Extent::decode(&record.value).ok());
                    named |= matches!(
                        extent.map(|extent| extent.source),
                        Some(Source::Blob { id: of, .. }) if of == id
                    );
                }
                if !named {
                    let what = "a record says that an extent names it, and none does".to_owned();
                    self.left(bucket, Some(id), what, LEFT);
                }
            }
            next = resume;
        }
        Ok(())
    }

    async fn tombstones(&self, bucket: &Walked, partition: Partition) -> Result<(), Failure> {
        let mut next = Some(keys::tagged(keys::TOMBSTONE, &[]));
        while let Some(start) = next {
            let end = successor(&[keys::TOMBSTONE]);
            let (page, resume) = self.page(partition, start, end, PAGE).await?;
            for (key, record) in page {
                if keys::tombstone_content(&key).is_none() {
                    self.left(bucket, None, "a tombstone's key is no content id".into(), RECORD);
                }
                match Tombstone::decode(&record.value) {
                    Ok(tombstone) => {
                        add(&self.counts.let_go, 1);
                        add(&self.counts.let_go_bytes, tombstone.length);
                    }
                    Err(damage) => self.left(bucket, None, damage.to_string(), RECORD),
                }
            }
            next = resume;
        }
        Ok(())
    }

    /// Every content has one head, part or upload that makes it, or a tombstone.
    async fn contents(&self, bucket: &Walked, partition: Partition) -> Result<(), Failure> {
        let mut parts = Parts::default();
        while let Some(named) = self.names(bucket, partition, &CONTENTS, &mut parts).await? {
            for tag in [keys::EXTENT, keys::PACKED] {
                self.unnamed_contents(bucket, partition, tag, &|id| named.may_hold(id)).await?;
            }
        }
        Ok(())
    }

    /// Every data key belongs to an object or an upload, or goes with what was let go.
    async fn data_keys(&self, bucket: &Walked, partition: Partition) -> Result<(), Failure> {
        let mut parts = Parts::default();
        while let Some(named) = self.names(bucket, partition, &DATA_KEYS, &mut parts).await? {
            let mut next = Some(keys::tagged(keys::DATA_KEY, &[]));
            while let Some(start) = next {
                let end = successor(&[keys::DATA_KEY]);
                let (page, resume) = self.page(partition, start, end, PAGE).await?;
                for (key, _) in page {
                    let Some(id) = keys::data_key_id(&key) else {
                        self.left(bucket, None, "a data key's key is no id".into(), RECORD);
                        continue;
                    };
                    if !named.may_hold(id) {
                        let id = u128::from_be_bytes(id.0);
                        let what = format!("no object names the data key {id:032x}");
                        self.left(bucket, None, what, LEFT);
                    }
                }
                next = resume;
            }
        }
        Ok(())
    }

    /// What records of some kinds name, the next part of it; `None` after the last one.
    async fn names(
        &self,
        bucket: &Walked,
        partition: Partition,
        who: &Who,
        parts: &mut Parts,
    ) -> Result<Option<Named>, Failure> {
        while parts.next < parts.count {
            let (mut named, mut seen) = (Named { ids: HashSet::new(), part: *parts }, 0_u64);
            for &tag in who.tags {
                let mut next = Some(keys::tagged(tag, &[]));
                while let Some(start) = next {
                    let (page, resume) =
                        self.page(partition, start, successor(&[tag]), PAGE).await?;
                    for (key, record) in page {
                        let Some(id) = (who.names)(tag, &record.value) else { continue };
                        seen += 1;
                        let full = parts.count == 1 && seen > NAMES_MAX;
                        if !full && named.is_of_part(id) && !named.ids.insert(id) && who.once {
                            let (key, _) = super::object_key(&key);
                            let what = format!("the content of {key:?} is another object's, too");
                            self.left(bucket, None, what, RECORD);
                        }
                    }
                    next = resume;
                }
            }
            if parts.count == 1 && seen > NAMES_MAX {
                // Counted to the end, then taken in parts.
                parts.count = seen.div_ceil(NAMES_MAX).max(2);
                continue;
            }
            parts.next += 1;
            return Ok(Some(named));
        }
        Ok(None)
    }

    async fn unnamed_contents(
        &self,
        bucket: &Walked,
        partition: Partition,
        tag: u8,
        is_named: &(dyn Fn(ContentId) -> bool + Sync),
    ) -> Result<(), Failure> {
        let mut next = Some(keys::tagged(tag, &[]));
        while let Some(start) = next.take() {
            let (page, resume) = self.page(partition, start, successor(&[tag]), 1).await?;
            let Some((key, _)) = page.first() else {
                next = resume;
                continue;
            };
            let Some(content) = keys::extent_content(key) else {
                self.left(bucket, None, "an extent's key is too short".into(), RECORD);
                next = resume;
                continue;
            };
            if !is_named(content)
                && self.store.get(partition, keys::tombstone(content)).await?.is_none()
                && self.store.get(partition, keys::making(content)).await?.is_none()
            {
                let id = u128::from_be_bytes(content.0);
                let what = format!("no object names the content {id:032x}, which has extents");
                self.left(bucket, None, what, LEFT);
            }
            // One look for each content, however many extents it has.
            next = successor(&keys::tagged(tag, &content.0));
        }
        Ok(())
    }

    /// Records of kinds that there are not.
    pub(super) async fn strangers(
        &self,
        partition: Partition,
        tags: &[u8],
        bucket: Option<&Walked>,
    ) -> Result<(), Failure> {
        let mut from = Bytes::new();
        for &tag in tags.iter().chain([&0xff]) {
            let end = (tag != 0xff).then(|| keys::tagged(tag, &[]));
            let (page, _) = self.page(partition, from, end, 8).await?;
            for (key, _) in page {
                let what = format!("a record of no known kind: {}", key.escape_ascii());
                let bucket = bucket.map(|bucket| bucket.name.to_string());
                self.tell(Finding { bucket, what, advice: RECORD, ..Finding::default() });
            }
            from = successor(&[tag]).unwrap_or_default();
        }
        Ok(())
    }
}

/// Records that name something by its id.
struct Who {
    tags: &'static [u8],
    /// What a record names, by its tag and its bytes; one that cannot be read names nothing, and is told of elsewhere.
    names: fn(u8, &Bytes) -> Option<ContentId>,
    /// Nothing may be named twice.
    once: bool,
}

const CONTENTS: Who = Who {
    tags: &[keys::HEAD, keys::OLDER, keys::PART],
    names: |tag, record| match tag {
        keys::PART => Some(Part::decode(record).ok()?.content),
        _ => Head::decode(record).ok()?.content_id(),
    },
    once: true,
};

const DATA_KEYS: Who = Who {
    tags: &[keys::HEAD, keys::OLDER, keys::UPLOAD, keys::LEFTOVER, keys::TOMBSTONE],
    names: |tag, record| match tag {
        keys::UPLOAD => Upload::decode(record).ok()?.key,
        keys::LEFTOVER => Leftover::decode(record).ok()?.key,
        keys::TOMBSTONE => Tombstone::decode(record).ok()?.key,
        _ => Some(Head::decode(record).ok()?.sealing?.key),
    },
    once: false,
};

/// Ids are taken in so many parts, and this one comes next.
#[derive(Clone, Copy)]
struct Parts {
    next: u64,
    count: u64,
}

impl Default for Parts {
    fn default() -> Self {
        Self { next: 0, count: 1 }
    }
}

/// What is named, of one part of all ids.
struct Named {
    ids: HashSet<ContentId>,
    part: Parts,
}

impl Named {
    fn is_of_part(&self, id: ContentId) -> bool {
        let [.., a, b, c, d, e, f, g, h] = id.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) % self.part.count == self.part.next
    }

    /// Whether it is named, or is of another part.
    fn may_hold(&self, id: ContentId) -> bool {
        !self.is_of_part(id) || self.ids.contains(&id)
    }
}

impl StoreCheck {
    /// Records in a partition that the store has, which may be no bucket's; to be asked after [`StoreCheck::buckets`].
    pub fn partition(&self, partition: Partition) {
        if !self.partitions.contains(&partition) {
            let what =
                format!("there are records in partition {:x}, which is no bucket's", partition.0);
            self.checker.tell(Finding { what, advice: LEFT, ..Finding::default() });
        }
    }

    /// That an adopted blob is named, from what its header says of its owner. To be followed by [`StoreCheck::unnamed`].
    ///
    /// # Errors
    /// [`Failure`] when the store can no longer be read.
    pub async fn blob(&mut self, id: BlobId, owner: Option<&[u8]>) -> Result<(), Failure> {
        add(&self.checker.counts.blobs, 1);
        let Some(partition) = owner.and_then(intake::owner_partition) else {
            // Whoever names it finds the damage, too; this is for one that nobody names.
            let blob = Some(id.to_string());
            let what = "its header cannot be read".to_owned();
            self.checker.tell(Finding { blob, what, advice: super::LOST, ..Finding::default() });
            return Ok(());
        };
        if self.checker.store.get(partition, keys::reference(id)).await?.is_some() {
            return Ok(());
        }
        if self.unnamed.len() < UNNAMED_MAX {
            self.unnamed.push(id);
        } else {
            self.unnamed_more += 1;
        }
        Ok(())
    }

    /// Tells of blobs that nothing names; those that a tombstone lists are about to go.
    ///
    /// # Errors
    /// [`Failure`] when the store can no longer be read.
    pub async fn unnamed(&mut self) -> Result<(), Failure> {
        let mut unnamed: HashSet<BlobId> = self.unnamed.drain(..).collect();
        if unnamed.is_empty() {
            return Ok(());
        }
        for &partition in &self.partitions {
            let mut next = Some(keys::tagged(keys::TOMBSTONE, &[]));
            while let Some(start) = next {
                let end = successor(&[keys::TOMBSTONE]);
                let (page, resume) = self.checker.page(partition, start, end, PAGE).await?;
                for (_, record) in page {
                    // One that cannot be read has been told of.
                    for id in Tombstone::decode(&record.value).map_or(Vec::new(), |t| t.blobs) {
                        unnamed.remove(&id);
                    }
                }
                next = resume;
            }
        }
        let mut unnamed: Vec<BlobId> = unnamed.into_iter().collect();
        unnamed.sort_unstable();
        for id in unnamed {
            let blob = Some(id.to_string());
            let what = "nothing names it".to_owned();
            self.checker.tell(Finding { blob, what, advice: LEFT, ..Finding::default() });
        }
        if self.unnamed_more > 0 {
            let what = format!("{} more blobs may be named by nothing", self.unnamed_more);
            self.checker.tell(Finding { what, advice: LEFT, ..Finding::default() });
        }
        Ok(())
    }
}
