//! Restores: an object of an archive class is read only for some days after it was asked for.
//!
//! A class is a label; the bytes lie where they lie. So a restore is two times in the head: when it is ready, and when it is over.
//! Nothing has to happen at either, and a restart changes nothing.

use std::sync::Arc;

use ossia_store::View;

use crate::{
    Failure, ObjectInfo, Objects, ReadObjectError, VersionId,
    core::{Core, Gate, OperationError, refuse},
    edit::find,
    records::{BucketRecord, Head, Restore},
    version::rewrite_head,
    versioning::Names,
    words::{BucketName, ObjectKey, ObjectType, StorageClass},
};

/// The most days of one restore, by class.
const DAYS_MAX_ARCHIVE: u32 = 7;
const DAYS_MAX_COLD: u32 = 365;
const DAY_MS: u64 = 86_400_000;

/// How fast a restore should be: kept by no one here, since all take the same time, but the colder classes answer with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreTier {
    /// As fast as can be.
    Expedited,
    /// The default.
    Standard,
    /// Not for `DeepColdArchive`.
    Bulk,
}

/// Asks for an object to be readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The version; the current one where none is named.
    pub version: Option<VersionId>,
    /// For how many days; `None` for one.
    pub days: Option<u32>,
    /// Job parameters were sent, with this tier or without one.
    pub job: Option<Option<RestoreTier>>,
}

/// A restore was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOutput {
    /// The object was readable already, and is for longer now.
    pub extended: bool,
    /// The tier, of the colder classes.
    pub tier: Option<RestoreTier>,
    /// The object's version, in a bucket that has or had versions.
    pub version_id: Option<VersionId>,
}

/// Why nothing was restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// There is no such object, version or bucket, or it cannot be read.
    #[error(transparent)]
    Object(#[from] ReadObjectError),
    /// Its class is read as it is.
    #[error("the object's class needs no restore")]
    NotArchived,
    /// A restore is under way.
    #[error("a restore is under way")]
    InProgress,
    /// The class takes no job parameters.
    #[error("the object's class takes no job parameters")]
    NoJob,
    /// The class has no such tier.
    #[error("the object's class has no such tier")]
    NoSuchTier,
    /// More days than the class allows, or none.
    #[error("1 to {max} days")]
    Days {
        /// The most.
        max: u32,
    },
}

impl From<Failure> for RestoreError {
    fn from(failure: Failure) -> Self {
        Self::Object(failure.into())
    }
}

impl OperationError for RestoreError {
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

/// How far a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreState {
    /// Under way.
    Ongoing,
    /// Readable until this time, in seconds since 1970.
    Until(u64),
}

impl Restore {
    fn state(self, now_ms: u64) -> Option<RestoreState> {
        if now_ms < self.ready_ms {
            Some(RestoreState::Ongoing)
        } else {
            (now_ms < self.expires_ms).then_some(RestoreState::Until(self.expires_ms / 1_000))
        }
    }
}

/// Whether a class is read only after a restore.
fn is_archive(class: StorageClass) -> bool {
    match class {
        StorageClass::Standard | StorageClass::Ia => false,
        StorageClass::Archive | StorageClass::ColdArchive | StorageClass::DeepColdArchive => true,
    }
}

/// Whether bytes of this class cannot be read at this time.
pub(crate) fn is_frozen(class: StorageClass, restore: Option<Restore>, now_ms: u64) -> bool {
    let state = restore.and_then(|restore| restore.state(now_ms));
    is_archive(class) && !matches!(state, Some(RestoreState::Until(_)))
}

impl ObjectInfo {
    /// How far its restore is; `None` for one that was not restored, or whose restore is over.
    pub fn restore(&self, now_ms: u64) -> Option<RestoreState> {
        let restore = self.lifetime.0.restore.filter(|_| is_archive(self.storage_class));
        restore.and_then(|restore| restore.state(now_ms))
    }

    /// Whether its bytes cannot be read at this time. A link has none of its own.
    pub fn is_frozen(&self, now_ms: u64) -> bool {
        self.kind != ObjectType::Symlink
            && is_frozen(self.storage_class, self.lifetime.0.restore, now_ms)
    }
}

impl Objects {
    /// Asks for an object of an archive class to be readable.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub async fn restore(&self, input: RestoreInput) -> Result<RestoreOutput, RestoreError> {
        self.core.restore(input).await
    }

    /// Ends a restore before its time. The object's version is the answer, in a bucket that has or had versions.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub async fn freeze(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> Result<Option<VersionId>, RestoreError> {
        self.core.freeze(bucket, key, version).await
    }
}

impl Core {
    pub(crate) async fn restore(
        self: &Arc<Self>,
        input: RestoreInput,
    ) -> Result<RestoreOutput, RestoreError> {
        let RestoreInput { bucket, key, version, days, job } = input;
        let place = self.place::<RestoreError>(&bucket).await?;
        let names = Names::of(&key);
        let now_ms = self.now_ms();
        let delay = u64::try_from(self.settings.restore_delay.as_millis()).unwrap_or(u64::MAX);
        let hints = names.hints(place.catalogue.versioning);
        let body = move |view: &dyn View, bucket: &BucketRecord| {
            let (at, mut head) = find(view, &names, bucket, version)?;
            let tier = match check(&head, days, job) {
                Ok(tier) => tier,
                Err(error) => return refuse(error),
            };
            let period = u64::from(days.unwrap_or(1)).saturating_mul(DAY_MS);
            let seen = head.life.restore;
            let (ready_ms, extended) = match seen.and_then(|seen| seen.state(now_ms)) {
                Some(RestoreState::Ongoing) => return refuse(RestoreError::InProgress),
                Some(RestoreState::Until(_)) => (now_ms, true),
                None => (now_ms.saturating_add(delay), false),
            };
            let asked_ms = ready_ms.saturating_add(period);
            let expires_ms = match seen.filter(|_| extended) {
                Some(seen) => seen.expires_ms.max(asked_ms),
                None => asked_ms,
            };
            head.life.restore = Some(Restore { ready_ms, expires_ms });
            let version_id = bucket.versioning.map(|_| head.version_id);
            rewrite_head(&at, &head, RestoreOutput { extended, tier, version_id })
        };
        self.change_in(&place, place.partition(&key), hints, Gate::Open, body).await
    }

    /// Ends a restore before its time.
    pub(crate) async fn freeze(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> Result<Option<VersionId>, RestoreError> {
        let place = self.place::<RestoreError>(bucket).await?;
        let names = Names::of(key);
        let now_ms = self.now_ms();
        let hints = names.hints(place.catalogue.versioning);
        let body = move |view: &dyn View, bucket: &BucketRecord| {
            let (at, mut head) = find(view, &names, bucket, version)?;
            if !is_archive(head.storage_class) || head.object_type() == ObjectType::Symlink {
                return refuse(RestoreError::NotArchived);
            }
            let state = head.life.restore.and_then(|restore| restore.state(now_ms));
            if state == Some(RestoreState::Ongoing) {
                return refuse(RestoreError::InProgress);
            }
            head.life.restore = None;
            rewrite_head(&at, &head, bucket.versioning.map(|_| head.version_id))
        };
        self.change_in(&place, place.partition(key), hints, Gate::Open, body).await
    }
}

/// Whether the class can be restored so; the tier that its answer names.
fn check(
    head: &Head,
    days: Option<u32>,
    job: Option<Option<RestoreTier>>,
) -> Result<Option<RestoreTier>, RestoreError> {
    if head.object_type() == ObjectType::Symlink {
        return Err(RestoreError::NotArchived);
    }
    let (max, tier) = match head.storage_class {
        StorageClass::Standard | StorageClass::Ia => return Err(RestoreError::NotArchived),
        StorageClass::Archive if job.is_some() => return Err(RestoreError::NoJob),
        StorageClass::Archive => (DAYS_MAX_ARCHIVE, None),
        StorageClass::ColdArchive | StorageClass::DeepColdArchive => {
            let tier = job.flatten().unwrap_or(RestoreTier::Standard);
            if tier == RestoreTier::Bulk && head.storage_class == StorageClass::DeepColdArchive {
                return Err(RestoreError::NoSuchTier);
            }
            (DAYS_MAX_COLD, Some(tier))
        }
    };
    match days {
        Some(days) if days == 0 || days > max => Err(RestoreError::Days { max }),
        _ => Ok(tier),
    }
}
