//! Retention: what keeps objects from being changed or deleted before their time.
//!
//! A bucket's policy (WORM) protects each of its objects for some days after its last change, and an object may have a retention and
//! a hold of its own. All of it is decided inside the transaction that would change the object: the policy stands in the bucket's
//! record of each partition, the object's own in its head, and every such transaction reads both anyway. So there is no moment
//! between a look and a change, and a bucket without a policy pays nothing.
//!
//! A policy is changed in the catalogue first, in one transaction that decides, and then in each partition, only ever forward by a
//! count of changes; only then is it answered, so that what is told holds everywhere. What a crash left half-way is finished at the
//! next start, before anything is served, and by the reaper.

use std::sync::Arc;

use ossia_store::{View, Writes};

use crate::{
    Failure, Objects, ReadObjectError, VersionId,
    core::{Core, Denied, Gate, OperationError, refuse, run},
    edit::find,
    keys::{self, SYSTEM},
    records::{
        BucketRecord, BucketState, Catalogue, Head, Kind, ObjectWorm, Retention, Stored, Worm,
    },
    version::rewrite_head,
    versioning::Names,
    words::{BucketName, ObjectKey, Versioning},
};

pub use crate::records::{DefaultRetention, ObjectRetention, RetentionMode, RetentionPeriod};

/// The longest policy of a bucket, and the longest default of objects, in days: 70 years, OSS's limit.
pub const RETENTION_DAYS_MAX: u32 = 25_550;
/// How long a policy that is not locked protects.
const UNLOCKED_MS: u64 = 24 * 3_600 * 1_000;
const DAY_S: u64 = 86_400;

/// A bucket's policy as callers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketWorm {
    /// Its id.
    pub id: String,
    /// Whether it is locked: from then on it can only be made longer. One that is not locked lapses after 24 hours.
    pub locked: bool,
    /// For how many days after its last change an object is protected.
    pub days: u32,
    /// When it was begun, in seconds since 1970.
    pub created: u64,
}

/// What objects of a bucket may have: retentions of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectWormRules {
    /// What a new object is given.
    pub default: Option<DefaultRetention>,
}

/// Why a bucket's retention was not changed or told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WormError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// There is a policy already.
    #[error("there is a policy")]
    Exists,
    /// There is no policy, or it has another id.
    #[error("no such policy")]
    NotFound,
    /// The policy is locked.
    #[error("the policy is locked")]
    Locked,
    /// The policy is not locked yet.
    #[error("the policy is not locked")]
    NotLocked,
    /// The policy would become shorter.
    #[error("the policy would become shorter")]
    Shorter,
    /// What the bucket is set to excludes it.
    #[error("{0}")]
    Excluded(&'static str),
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// Why an object's retention or hold was not set or told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetentionError {
    /// There is no such object, version or bucket, or it cannot be read.
    #[error(transparent)]
    Object(#[from] ReadObjectError),
    /// Objects of this bucket have no retentions of their own.
    #[error("not enabled for this bucket")]
    NotEnabled,
    /// An appendable object has none.
    #[error("an appendable object has no retention")]
    Appendable,
    /// The time lies in the past.
    #[error("the time is over")]
    Past,
    /// It would be shortened or loosened, by someone who may not.
    #[error("the retention would become shorter")]
    Shorter,
}

impl From<Failure> for RetentionError {
    fn from(failure: Failure) -> Self {
        Self::Object(failure.into())
    }
}

impl OperationError for RetentionError {
    fn no_such_bucket() -> Self {
        Self::Object(ReadObjectError::NoSuchBucket)
    }

    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Object(ReadObjectError::Store(failure)) => Some(failure),
            _ => None,
        }
    }
}

/// What of an object's retention is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionChange {
    /// Its time.
    Retain {
        /// The new retention.
        to: ObjectRetention,
        /// Whether a governance retention may be shortened.
        bypass: bool,
    },
    /// Its hold.
    Hold(bool),
}

/// What happened to an object beside its content, as callers see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lifetime(pub(crate) crate::records::Life);

impl Lifetime {
    /// The object's own retention, over or not.
    pub fn retention(&self) -> Option<ObjectRetention> {
        self.0.retention
    }

    /// Whether it is held.
    pub fn held(&self) -> bool {
        self.0.hold.unwrap_or(false)
    }

    /// When it came into a colder class by itself, in seconds since 1970.
    pub fn transitioned(&self) -> Option<u64> {
        self.0.transition_s
    }
}

impl Worm {
    /// Whether it counts at this time.
    fn is_active(&self, now_ms: u64) -> bool {
        self.locked || now_ms < self.created_ms.saturating_add(UNLOCKED_MS)
    }

    fn told(&self) -> BucketWorm {
        BucketWorm {
            id: self.id.clone(),
            locked: self.locked,
            days: self.days,
            created: self.created_ms / 1_000,
        }
    }
}

impl Retention {
    /// The policy that counts at this time.
    pub(crate) fn worm_at(&self, now_ms: u64) -> Option<&Worm> {
        self.worm.as_ref().filter(|worm| worm.is_active(now_ms))
    }

    /// Whether a version must stay as it is.
    pub(crate) fn protects(&self, head: &Head, now_ms: u64) -> bool {
        self.keeps(head, now_ms, false)
    }

    /// The same of one who may go past retentions of the mode GOVERNANCE, if he says so. No other protection gives way.
    pub(crate) fn keeps(&self, head: &Head, now_ms: u64, bypass: bool) -> bool {
        let life = &head.life;
        if head.is_marker() {
            return false;
        }
        let policy = self.worm_at(now_ms).is_some_and(|worm| {
            let days = u64::from(worm.days).saturating_mul(DAY_S);
            now_ms / 1_000 < head.modified_s.saturating_add(days)
        });
        policy
            || life.hold == Some(true)
            || life.retention.is_some_and(|own| {
                let passed = bypass && own.mode == RetentionMode::Governance;
                now_ms / 1_000 < own.until && !passed
            })
    }

    /// What a new object is given.
    pub(crate) fn of_new(&self, modified_s: u64) -> Option<ObjectRetention> {
        let default = self.objects?.default?;
        let days = match default.period {
            RetentionPeriod::Days(days) => u64::from(days),
            RetentionPeriod::Years(years) => u64::from(years).saturating_mul(365),
        };
        let until = modified_s.saturating_add(days.saturating_mul(DAY_S));
        Some(ObjectRetention { mode: default.mode, until })
    }
}

impl Objects {
    /// A bucket's policy.
    ///
    /// # Errors
    /// [`WormError::NotFound`] where there is none, or none any more.
    pub async fn bucket_worm(&self, bucket: &BucketName) -> Result<BucketWorm, WormError> {
        self.core.bucket_worm(bucket).await
    }

    /// Begins a policy of so many days, 1 to [`RETENTION_DAYS_MAX`]. It protects at once, and lapses after 24 hours if it is not
    /// locked. Its id is the answer.
    ///
    /// # Errors
    /// [`WormError`].
    pub async fn initiate_worm(&self, bucket: &BucketName, days: u32) -> Result<String, WormError> {
        self.core.initiate_worm(bucket, days).await
    }

    /// Removes a policy that is not locked.
    ///
    /// # Errors
    /// [`WormError`].
    pub async fn abort_worm(&self, bucket: &BucketName) -> Result<(), WormError> {
        self.core.abort_worm(bucket).await
    }

    /// Locks a policy, for ever. One that is locked stays so.
    ///
    /// # Errors
    /// [`WormError`].
    pub async fn lock_worm(&self, bucket: &BucketName, id: &str) -> Result<(), WormError> {
        self.core.lock_worm(bucket, id).await
    }

    /// Makes a locked policy longer.
    ///
    /// # Errors
    /// [`WormError`].
    pub async fn extend_worm(
        &self,
        bucket: &BucketName,
        id: &str,
        days: u32,
    ) -> Result<(), WormError> {
        self.core.extend_worm(bucket, id, days).await
    }

    /// Whether objects of a bucket have retentions of their own.
    ///
    /// # Errors
    /// [`WormError::NotFound`] where they do not.
    pub async fn object_worm(&self, bucket: &BucketName) -> Result<ObjectWormRules, WormError> {
        self.core.object_worm(bucket).await
    }

    /// Lets objects of a bucket have retentions of their own, for ever. It must have versions, and takes no appends from then on.
    ///
    /// # Errors
    /// [`WormError`].
    pub async fn set_object_worm(
        &self,
        bucket: &BucketName,
        rules: ObjectWormRules,
    ) -> Result<(), WormError> {
        self.core.set_object_worm(bucket, rules).await
    }

    /// Sets an object's retention or its hold. The object's version is the answer, in a bucket that has or had versions.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub async fn change_object_retention(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        change: RetentionChange,
    ) -> Result<Option<VersionId>, RetentionError> {
        self.core.change_object_retention(bucket, key, version, change).await
    }
}

/// Whether what is current must not be replaced. Where each write makes a version nothing is; where the new one is `null` it
/// replaces one that is.
pub(crate) fn forbids_over(bucket: &BucketRecord, old: Option<&Head>, now_ms: u64) -> bool {
    let replaces = |old: &Head| match bucket.versioning {
        None => true,
        Some(Versioning::Suspended) => old.version_id == VersionId::Null,
        Some(Versioning::Enabled) => false,
    };
    old.is_some_and(|old| replaces(old) && bucket.retention.protects(old, now_ms))
}

impl Core {
    /// Changes a bucket's retention by a pure function of what it is.
    async fn change_retention<T: Clone + Send + 'static>(
        self: &Arc<Self>,
        name: &BucketName,
        edit: impl Fn(&Catalogue) -> Result<(Retention, T), WormError> + Send + Sync + 'static,
    ) -> Result<T, WormError> {
        let (core, name) = (Arc::clone(self), name.clone());
        // In a task of its own: a caller that goes away must not leave it half done.
        match tokio::spawn(async move { core.drive_retention(&name, edit).await }).await {
            Ok(result) => result,
            Err(error) => Err(Failure::Unknown(error.to_string()).into()),
        }
    }

    async fn drive_retention<T: Clone + Send + 'static>(
        &self,
        name: &BucketName,
        edit: impl Fn(&Catalogue) -> Result<(Retention, T), WormError> + Send + Sync + 'static,
    ) -> Result<T, WormError> {
        let key = keys::catalogue(name);
        let changed = run(&*self.store, SYSTEM, vec![key.clone()], move |view| {
            let found = Catalogue::decode_option(view.get(&key)?.as_ref())?;
            let Some(found) = found.filter(|found| found.state != BucketState::Creating) else {
                return refuse(WormError::NoSuchBucket);
            };
            if found.state != BucketState::Open {
                return refuse(Failure::Busy.into());
            }
            let (mut retention, answer) = match edit(&found) {
                Ok(edited) => edited,
                Err(error) => return refuse(error),
            };
            let mut writes = Writes::none();
            retention.seq = found.retention.seq;
            if retention == found.retention {
                return Ok((writes, (found, answer)));
            }
            retention.seq = retention.seq.saturating_add(1);
            let new = Catalogue { retention, ..found };
            writes.put(key.clone(), new.encode());
            Ok((writes, (new, answer)))
        });
        let changed = self.known.change(name, changed).await?;
        let (catalogue, answer) = changed.map_err(|denied| match denied {
            Denied::Refused(error) => error,
            Denied::Damaged(damage) => Failure::from(damage).into(),
            Denied::Closing | Denied::NoBucket => {
                Failure::Internal("a bucket's gate where there is none".into()).into()
            }
        })?;
        self.settle_retention(&catalogue).await?;
        Ok(answer)
    }

    /// Brings every partition to what the catalogue says.
    pub(crate) async fn settle_retention(&self, catalogue: &Catalogue) -> Result<(), Failure> {
        let seq = catalogue.retention.seq;
        if seq == 0 {
            return Ok(());
        }
        for partition in keys::partitions(catalogue.id, catalogue.partitions) {
            let copy = self.store.get(partition, keys::bucket()).await?;
            let copy = BucketRecord::decode_option(copy.as_ref())?;
            if copy.is_none_or(|copy| copy.retention.seq >= seq) {
                continue;
            }
            let retention = catalogue.retention.clone();
            self.change_copy(partition, move |copy| {
                (copy.retention.seq < seq)
                    .then(|| BucketRecord { retention: retention.clone(), ..copy.clone() })
            })
            .await?;
        }
        Ok(())
    }

    /// A bucket's retention; when this is told it holds in every partition.
    async fn retention(&self, name: &BucketName) -> Result<Retention, WormError> {
        let found = self.catalogue(name).await?;
        let found = found.filter(|found| found.state != BucketState::Creating);
        let found = found.ok_or(WormError::NoSuchBucket)?;
        self.settle_retention(&found).await?;
        Ok(found.retention)
    }

    pub(crate) async fn bucket_worm(&self, name: &BucketName) -> Result<BucketWorm, WormError> {
        let retention = self.retention(name).await?;
        retention.worm_at(self.now_ms()).map(Worm::told).ok_or(WormError::NotFound)
    }

    pub(crate) async fn initiate_worm(
        self: &Arc<Self>,
        name: &BucketName,
        days: u32,
    ) -> Result<String, WormError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Failure::Internal(format!("no random bytes: {error}")))?;
        let id: String = random.iter().map(|byte| format!("{byte:02X}")).collect();
        let now_ms = self.now_ms();
        self.change_retention(name, move |found| {
            if found.retention.worm_at(now_ms).is_some() {
                return Err(WormError::Exists);
            }
            if found.retention.objects.is_some() {
                return Err(WormError::Excluded("objects of the bucket have their own retention"));
            }
            if is_suspended(found) {
                return Err(WormError::Excluded("the versioning of the bucket is suspended"));
            }
            let worm = Worm { id: id.clone(), locked: false, days, created_ms: now_ms };
            Ok((Retention { worm: Some(worm), ..found.retention.clone() }, id.clone()))
        })
        .await
    }

    /// Changes the policy that counts now.
    async fn change_worm(
        self: &Arc<Self>,
        name: &BucketName,
        id: Option<&str>,
        change: impl Fn(Worm) -> Result<Option<Worm>, WormError> + Send + Sync + 'static,
    ) -> Result<(), WormError> {
        let now_ms = self.now_ms();
        let id = id.map(str::to_owned);
        self.change_retention(name, move |found| {
            let worm = found.retention.worm_at(now_ms);
            let worm = worm.filter(|worm| id.as_ref().is_none_or(|id| *id == worm.id));
            let worm = change(worm.cloned().ok_or(WormError::NotFound)?)?;
            Ok((Retention { worm, ..found.retention.clone() }, ()))
        })
        .await
    }

    pub(crate) async fn abort_worm(self: &Arc<Self>, name: &BucketName) -> Result<(), WormError> {
        self.change_worm(name, None, |worm| match worm.locked {
            true => Err(WormError::Locked),
            false => Ok(None),
        })
        .await
    }

    pub(crate) async fn lock_worm(
        self: &Arc<Self>,
        name: &BucketName,
        id: &str,
    ) -> Result<(), WormError> {
        self.change_worm(name, Some(id), |worm| Ok(Some(Worm { locked: true, ..worm }))).await
    }

    pub(crate) async fn extend_worm(
        self: &Arc<Self>,
        name: &BucketName,
        id: &str,
        days: u32,
    ) -> Result<(), WormError> {
        self.change_worm(name, Some(id), move |worm| {
            if !worm.locked {
                return Err(WormError::NotLocked);
            }
            // As long as it is: a repeated request.
            if days < worm.days {
                return Err(WormError::Shorter);
            }
            Ok(Some(Worm { days, ..worm }))
        })
        .await
    }

    pub(crate) async fn object_worm(
        &self,
        name: &BucketName,
    ) -> Result<ObjectWormRules, WormError> {
        let rules = self.retention(name).await?.objects.ok_or(WormError::NotFound)?;
        Ok(ObjectWormRules { default: rules.default })
    }

    pub(crate) async fn set_object_worm(
        self: &Arc<Self>,
        name: &BucketName,
        rules: ObjectWormRules,
    ) -> Result<(), WormError> {
        let now_ms = self.now_ms();
        self.change_retention(name, move |found| {
            if found.retention.worm_at(now_ms).is_some() {
                return Err(WormError::Excluded("the bucket has a retention policy"));
            }
            if !is_versioned(found) {
                return Err(WormError::Excluded("the bucket has no versions"));
            }
            let objects = Some(ObjectWorm { default: rules.default });
            Ok((Retention { objects, worm: None, ..found.retention.clone() }, ()))
        })
        .await
    }

    pub(crate) async fn change_object_retention(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        change: RetentionChange,
    ) -> Result<Option<VersionId>, RetentionError> {
        let place = self.place::<RetentionError>(bucket).await?;
        let names = Names::of(key);
        let hints = names.hints(place.catalogue.versioning);
        let now_s = self.now_ms() / 1_000;
        let body = move |view: &dyn View, bucket: &BucketRecord| {
            let (at, mut head) = find(view, &names, bucket, version)?;
            if bucket.retention.objects.is_none() {
                return refuse(RetentionError::NotEnabled);
            }
            if let Err(error) = apply(&mut head, change, now_s) {
                return refuse(error);
            }
            rewrite_head(&at, &head, bucket.versioning.map(|_| head.version_id))
        };
        self.change_in(&place, place.partition(key), hints, Gate::Open, body).await
    }
}

/// Sets what is asked for, if that may be.
fn apply(head: &mut Head, change: RetentionChange, now_s: u64) -> Result<(), RetentionError> {
    match change {
        RetentionChange::Hold(held) => head.life.hold = Some(held),
        RetentionChange::Retain { to, bypass } => {
            if matches!(head.kind, Kind::Appendable { .. }) {
                return Err(RetentionError::Appendable);
            }
            if to.until <= now_s {
                return Err(RetentionError::Past);
            }
            if let Some(old) = head.life.retention.filter(|old| now_s < old.until) {
                let loosens = to.until < old.until
                    || (old.mode == RetentionMode::Compliance && to.mode != old.mode);
                let may = old.mode == RetentionMode::Governance && bypass;
                if loosens && !may {
                    return Err(RetentionError::Shorter);
                }
            }
            head.life.retention = Some(to);
        }
    }
    Ok(())
}

/// Whether the bucket makes versions.
fn is_versioned(found: &Catalogue) -> bool {
    found.versioning == Some(Versioning::Enabled)
}

/// Whether it made versions once and does no more.
fn is_suspended(found: &Catalogue) -> bool {
    found.versioning == Some(Versioning::Suspended)
}
