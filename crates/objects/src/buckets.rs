//! A bucket's life: created, found, listed, deleted.
//!
//! The catalogue in the system partition decides; every partition of the bucket holds a copy of what object transactions must know,
//! because one transaction sees one partition. The two are changed one after the other, so each step may be the last one before a
//! crash, and two gateways may be at it at once. What keeps that right:
//!
//! ```text
//! create   catalogue: Creating(id) -> copies: Open -> catalogue: Open
//! delete   catalogue: Closing(e) -> copies: Closing(e) -> all empty?
//!            yes: catalogue: gone, and a record for the reaper, in one transaction
//!            no:  catalogue: Reopening(e) -> copies: Open -> catalogue: Open
//! ```
//!
//! - An id belongs to one creator: who finds a bucket stuck in `Creating` starts over with a fresh id. So copies of an id are
//!   written once, before anyone has heard of it.
//! - Whether an attempt to delete succeeded is decided by one catalogue transaction, for its own epoch only. Whoever finds `Closing`
//!   takes over under the next epoch, after which the older attempt can decide nothing.
//! - A copy goes back to `Open` only for the epoch that closed it, so a straggler cannot open what a later attempt has closed.
//! - What may change at any time, the ACL and whether there are versions, is kept by every step of these. `versioning` tells how the
//!   latter comes to the copies.
//! - When the bucket is gone its copies still say `Closing` until the reaper removes them, and afterwards there is none: whoever
//!   comes with an old idea of the catalogue is refused either way.

mod delete;
mod versioning;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ossia_store::{Item, Partition, Scan, Writes, successor};

use crate::{
    Bucket, BucketError, BucketSetting, CreateBucketError, CreateBucketInput, Failure,
    ListBucketsInput, ListBucketsOutput,
    core::{Core, Denied, Place, refuse, run, run_plain},
    keys::{self, SYSTEM},
    records::{BucketRecord, BucketState, Catalogue, Counters, Damage, Retention, Stored},
    words::{BucketAcl, BucketName},
};

/// How often creating starts over when others keep changing the same name.
const CREATE_TRIES: usize = 64;
/// How long a bucket may be in the making before another creator takes it over.
const CREATING_PATIENCE_MS: u64 = 2_000;
const CREATE_PAUSE: Duration = Duration::from_millis(10);

/// What the catalogue said to a creator.
enum Claim {
    /// The name is his, under this id; the record of an abandoned attempt to clean up after.
    Mine(Catalogue, Option<Catalogue>),
    /// It exists, and now has the settings asked for.
    Exists(Catalogue),
    /// Someone else is at it.
    Wait,
}

impl Core {
    /// In a task of its own: a caller that goes away must not leave a bucket half made.
    pub(crate) async fn create_bucket(
        self: &Arc<Self>,
        input: CreateBucketInput,
    ) -> Result<Bucket, CreateBucketError> {
        let core = Arc::clone(self);
        match tokio::spawn(async move { core.drive_create(input).await }).await {
            Ok(result) => result,
            Err(error) => Err(Failure::Unknown(error.to_string()).into()),
        }
    }

    async fn drive_create(&self, input: CreateBucketInput) -> Result<Bucket, CreateBucketError> {
        for _ in 0..CREATE_TRIES {
            match self.claim(&input).await? {
                Claim::Exists(catalogue) => return Ok(bucket(&input.name, &catalogue)),
                Claim::Mine(mine, abandoned) => {
                    if let Some(abandoned) = abandoned {
                        self.clear_copies(&abandoned).await?;
                    }
                    if let Some(made) = self.finish_creating(&input.name, mine).await? {
                        return Ok(bucket(&input.name, &made));
                    }
                }
                Claim::Wait => tokio::time::sleep(CREATE_PAUSE).await,
            }
        }
        Err(Failure::Busy.into())
    }

    async fn claim(&self, input: &CreateBucketInput) -> Result<Claim, CreateBucketError> {
        let now_ms = self.now_ms();
        let key = keys::catalogue(&input.name);
        let hints = vec![key.clone(), keys::counters()];
        let named = input.name.clone();
        let (input, buckets_max) = (input.clone(), self.settings.buckets_max);
        let partitions = self.store.partitions_per_bucket().max(1);
        let claimed = run(&*self.store, SYSTEM, hints, move |view| {
            let mut writes = Writes::none();
            let old = Catalogue::decode_option(view.get(&key)?.as_ref())?;
            match &old {
                Some(old) if old.state == BucketState::Open => {
                    if let Some(setting) = conflict(&input, old) {
                        return refuse(CreateBucketError::Conflict(setting));
                    }
                    let mut new = old.clone();
                    new.acl = input.acl.unwrap_or(old.acl);
                    if new != *old {
                        writes.put(key.clone(), new.encode());
                    }
                    return Ok((writes, Claim::Exists(new)));
                }
                Some(old) if old.state != BucketState::Creating => {
                    return Ok((writes, Claim::Wait));
                }
                Some(old) if now_ms.saturating_sub(old.since_ms) < CREATING_PATIENCE_MS => {
                    return Ok((writes, Claim::Wait));
                }
                Some(_) | None => {}
            }
            let mut counters =
                Counters::decode_option(view.get(&keys::counters())?.as_ref())?.unwrap_or_default();
            if old.is_none() {
                if counters.buckets >= buckets_max {
                    return refuse(CreateBucketError::TooMany { max: buckets_max });
                }
                counters.buckets = counters.buckets.saturating_add(1);
            }
            counters.last_bucket_id = counters.last_bucket_id.saturating_add(1);
            if counters.last_bucket_id > keys::BUCKET_ID_MAX {
                return Err(Damage::new("counters", "bucket ids are used up").into());
            }
            let mine = Catalogue {
                id: counters.last_bucket_id,
                state: BucketState::Creating,
                epoch: 0,
                since_ms: now_ms,
                partitions,
                acl: input.acl.unwrap_or_default(),
                storage_class: input.storage_class.unwrap_or_default(),
                redundancy: input.redundancy.unwrap_or_default(),
                versioning: None,
                versioning_epoch: 0,
                spreading: false,
                created_ms: now_ms,
                retention: Retention::default(),
            };
            writes.put(keys::counters(), counters.encode());
            writes.put(key.clone(), mine.encode());
            Ok((writes, Claim::Mine(mine, old)))
        });
        told(self.known.change(&named, claimed).await?)
    }

    /// Writes the copies of a bucket that is in the making and opens it; `None` when someone has taken it over.
    async fn finish_creating(
        &self,
        name: &BucketName,
        mine: Catalogue,
    ) -> Result<Option<Catalogue>, Failure> {
        let copy = BucketRecord {
            state: BucketState::Open,
            epoch: mine.epoch,
            versioning: mine.versioning,
            versioning_epoch: mine.versioning_epoch,
            retention: mine.retention.clone(),
        };
        for partition in keys::partitions(mine.id, mine.partitions) {
            let value = copy.encode();
            run_plain(&*self.store, partition, vec![keys::bucket()], move |view| {
                let mut writes = Writes::none();
                if view.get(&keys::bucket())?.is_none() {
                    writes.put(keys::bucket(), value.clone());
                }
                Ok((writes, ()))
            })
            .await?;
        }
        let mut open = mine.clone();
        open.state = BucketState::Open;
        if self.replace_catalogue(name, &mine, Some(open.clone())).await? {
            return Ok(Some(open));
        }
        self.clear_copies(&mine).await?;
        Ok(None)
    }

    /// Removes what a creator left in the partitions of an id that never was open.
    pub(crate) async fn clear_copies(&self, catalogue: &Catalogue) -> Result<(), Failure> {
        for partition in keys::partitions(catalogue.id, catalogue.partitions) {
            self.clear_copy(partition).await?;
        }
        Ok(())
    }

    pub(crate) async fn clear_copy(&self, partition: Partition) -> Result<(), Failure> {
        run_plain(&*self.store, partition, vec![keys::bucket()], |view| {
            let mut writes = Writes::none();
            if view.get(&keys::bucket())?.is_some() {
                writes.delete(keys::bucket());
            }
            Ok((writes, ()))
        })
        .await
    }

    /// Replaces a catalogue record if it still says what is expected but for what may change at any time and is kept.
    /// `None` removes it and counts one bucket less; a bucket that was open leaves a record for the reaper then.
    async fn replace_catalogue(
        &self,
        name: &BucketName,
        expected: &Catalogue,
        new: Option<Catalogue>,
    ) -> Result<bool, Failure> {
        let key = keys::catalogue(name);
        let expected = expected.clone();
        let mut hints = vec![key.clone()];
        if new.is_none() {
            hints.extend(crate::config::keys_of(expected.id));
        }
        let replaced = run_plain(&*self.store, SYSTEM, hints, move |view| {
            let old = Catalogue::decode_option(view.get(&key)?.as_ref())?;
            let Some(old) = old.filter(|old| *old == with_settings_of(&expected, old)) else {
                return Ok((Writes::none(), false));
            };
            let mut writes = Writes::none();
            match &new {
                Some(new) => {
                    writes.put(key.clone(), with_settings_of(new, &old).encode());
                }
                None => {
                    let counters = Counters::decode_option(view.get(&keys::counters())?.as_ref())?;
                    let mut counters = counters.unwrap_or_default();
                    counters.buckets = counters.buckets.saturating_sub(1);
                    writes.put(keys::counters(), counters.encode());
                    writes.delete(key.clone());
                    crate::config::drop_all(view, old.id, &mut writes)?;
                    if old.state != BucketState::Creating {
                        let dropped = crate::records::Dropped { partitions: old.partitions };
                        writes.put(keys::dropped(old.id), dropped.encode());
                    }
                }
            }
            Ok((writes, true))
        });
        self.known.change(name, replaced).await
    }

    pub(crate) async fn bucket(&self, name: &BucketName) -> Result<Bucket, BucketError> {
        let place: Place = self.place::<BucketError>(name).await?;
        Ok(bucket(name, &place.catalogue))
    }

    /// In a task of its own: what is remembered of the bucket must not be older than a change that its caller did not wait for.
    pub(crate) async fn set_bucket_acl(
        self: &Arc<Self>,
        name: &BucketName,
        acl: BucketAcl,
    ) -> Result<(), BucketError> {
        let (core, name) = (Arc::clone(self), name.clone());
        match tokio::spawn(async move { core.change_acl(&name, acl).await }).await {
            Ok(result) => result,
            Err(error) => Err(Failure::Unknown(error.to_string()).into()),
        }
    }

    async fn change_acl(&self, name: &BucketName, acl: BucketAcl) -> Result<(), BucketError> {
        let key = keys::catalogue(name);
        let changed = run(&*self.store, SYSTEM, vec![key.clone()], move |view| {
            let old = Catalogue::decode_option(view.get(&key)?.as_ref())?;
            let Some(old) = old.filter(|old| old.state != BucketState::Creating) else {
                return refuse(BucketError::NoSuchBucket);
            };
            let mut writes = Writes::none();
            if old.acl != acl {
                writes.put(key.clone(), Catalogue { acl, ..old }.encode());
            }
            Ok((writes, ()))
        });
        told(self.known.change(name, changed).await?)
    }

    pub(crate) async fn list_buckets(
        &self,
        input: ListBucketsInput,
    ) -> Result<ListBucketsOutput, Failure> {
        let limit = input.limit.clamp(1, 1_000);
        let prefix = keys::tagged(keys::CATALOGUE, input.prefix.as_bytes());
        let start = match &input.marker {
            // The first key above the marker.
            Some(marker) => {
                let after = [&[keys::CATALOGUE], marker.as_bytes(), &[0]].concat();
                prefix.clone().max(after.into())
            }
            None => prefix.clone(),
        };
        let mut output = ListBucketsOutput::default();
        let mut next = Some(start);
        while let Some(start) = next {
            let (page, resume) = self.catalogue_page(start, &prefix, limit + 1).await?;
            for (name, catalogue) in page {
                if catalogue.state == BucketState::Creating {
                    continue;
                }
                if output.buckets.len() == limit {
                    output.truncated = true;
                    output.next_marker =
                        output.buckets.last().map(|last| last.name.as_str().to_owned());
                    return Ok(output);
                }
                output.buckets.push(bucket(&name, &catalogue));
            }
            next = resume;
        }
        Ok(output)
    }

    /// Catalogue records in order of name, and where to go on.
    pub(crate) async fn catalogue_page(
        &self,
        start: Bytes,
        prefix: &Bytes,
        limit: usize,
    ) -> Result<(Vec<(BucketName, Catalogue)>, Option<Bytes>), Failure> {
        let scan = Scan { start, end: successor(prefix), limit, fold: None };
        let page = self.store.scan(SYSTEM, scan).await?;
        let mut found = Vec::with_capacity(page.items.len());
        for item in page.items {
            if let Item::Record(key, record) = item {
                let name = std::str::from_utf8(key.get(1..).unwrap_or_default()).ok();
                let name = name.and_then(|name| BucketName::new(name).ok());
                let name = name.ok_or_else(|| Damage::new("catalogue", "its key is no name"))?;
                found.push((name, Catalogue::decode(&record.value)?));
            }
        }
        Ok((found, page.resume))
    }
}

fn bucket(name: &BucketName, catalogue: &Catalogue) -> Bucket {
    Bucket {
        name: name.clone(),
        acl: catalogue.acl,
        storage_class: catalogue.storage_class,
        redundancy: catalogue.redundancy,
        versioning: catalogue.versioning,
        created: catalogue.created_ms / 1_000,
    }
}

/// Which setting of an existing bucket is not the one asked for.
fn conflict(input: &CreateBucketInput, old: &Catalogue) -> Option<BucketSetting> {
    if input.storage_class.is_some_and(|class| class != old.storage_class) {
        return Some(BucketSetting::StorageClass);
    }
    if input.redundancy.is_some_and(|redundancy| redundancy != old.redundancy) {
        return Some(BucketSetting::Redundancy);
    }
    None
}

/// The same with what may change at any time as the other one has it.
fn with_settings_of(catalogue: &Catalogue, other: &Catalogue) -> Catalogue {
    Catalogue {
        acl: other.acl,
        versioning: other.versioning,
        versioning_epoch: other.versioning_epoch,
        spreading: other.spreading,
        ..catalogue.clone()
    }
}

/// The answer of a transaction on the catalogue, which stands behind no bucket's gate.
fn told<T, E: From<Failure>>(answer: Result<T, Denied<E>>) -> Result<T, E> {
    answer.map_err(|denied| match denied {
        Denied::Refused(error) => error,
        Denied::Damaged(damage) => Failure::from(damage).into(),
        Denied::Closing | Denied::NoBucket => {
            Failure::Internal("a bucket's gate where there is none".into()).into()
        }
    })
}
