//! The object layer's front door.

use std::{fmt, sync::Arc};

use ossia_keys::MasterKeys;
use ossia_store::{Health, Store};
use tokio::sync::{OwnedRwLockWriteGuard, Semaphore};

use crate::{
    AppendError, AppendInput, AppendOutput, Bucket, BucketError, BucketRules, BucketStat,
    BucketUsage, Clock, ConfigEntries, ConfigError, ConfigKind, CopyError, CopyInput, CopyOutput,
    CreateBucketError, CreateBucketInput, DeleteBucketError, DeleteError, DeleteIf, DeleteInput,
    DeleteOutput, EditOutput, Failure, KeyFigures, ListBucketsInput, ListBucketsOutput, ListError,
    ListInput, ListOutput, ListVersionsInput, ListVersionsOutput, ObjectInfo, OpenError,
    OpenObject, PutError, PutInput, PutOutput, PutSymlinkInput, PutSymlinkOutput, ReadObjectError,
    ScrubFigures, SealError, SealInput, SealOutput, Settings, VersionId,
    background::Background,
    core::{Core, DETACHED_MAX},
    known::KnownBuckets,
    lifecycle,
    multipart::Completions,
    packer::{Packer, PackerTask},
    reaper, rewrap, scrub,
    stat::StatCache,
    words::{BucketAcl, BucketName, ObjectAcl, ObjectKey, Versioning},
};

/// Keeps blobs from being deleted while it lives.
#[derive(Debug)]
pub struct KeptBlobs {
    _pass: OwnedRwLockWriteGuard<()>,
}

/// Buckets and objects on a store. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Objects {
    pub(crate) core: Arc<Core>,
    /// Ends with the last clone.
    reaper: Arc<Background>,
    packer: Arc<PackerTask>,
    scrub: Arc<Background>,
    lifecycle: Arc<Background>,
    rewrap: Arc<Background>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

impl Objects {
    /// Opens the object layer without master keys: settles what an earlier run left in staging, resumes bucket deletions, starts
    /// the reaper and the packer.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<Self, OpenError> {
        Self::open_with(store, clock, settings, Arc::new(MasterKeys::none())).await
    }

    /// The same with master keys: objects can be encrypted, and those that are can be read, as far as their keys are there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_with(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        settings: Settings,
        keys: Arc<MasterKeys>,
    ) -> Result<Self, OpenError> {
        let settings = settings.clamped();
        let packer = Arc::new(Packer::new(settings.packing.clone()));
        let core = Core {
            store,
            clock,
            keys,
            known: KnownBuckets::new(settings.buckets_known_max),
            detached: Arc::new(Semaphore::new(DETACHED_MAX)),
            settings,
            readers: Arc::default(),
            reaper: Arc::default(),
            packer,
            scrub: scrub::Told::default(),
            rewraps: rewrap::Told::default(),
            lifecycle: lifecycle::Told::default(),
            stats: StatCache::default(),
            completions: Completions::default(),
        };
        let core = Arc::new(core);
        core.sweep().await?;
        if let Err(failure) = core.note_master_key().await {
            // A store that takes no writes is read all the same.
            tracing::warn!(%failure, "the master key could not be noted");
        }
        let reaper = Arc::new(reaper::start(Arc::clone(&core)));
        let packer = Arc::new(PackerTask::start(Arc::clone(&core)));
        let scrub = Arc::new(scrub::start(Arc::clone(&core)));
        let lifecycle = Arc::new(lifecycle::start(Arc::clone(&core)));
        let rewrap = Arc::new(rewrap::start(Arc::clone(&core)));
        Ok(Self { core, reaper, packer, scrub, lifecycle, rewrap })
    }

    /// Stops background work, in bounded time. The store stays open.
    pub async fn close(&self) {
        self.rewrap.stop().await;
        self.lifecycle.stop().await;
        self.scrub.stop().await;
        self.packer.stop().await;
        self.reaper.stop().await;
    }

    /// What the store is able to do at this moment.
    pub fn health(&self) -> Health {
        self.core.store.health()
    }

    /// What the scrub has come to.
    pub fn scrub(&self) -> ScrubFigures {
        self.core.scrub.figures()
    }

    /// What has become of data keys after a rotation of the master key.
    pub fn keys(&self) -> KeyFigures {
        self.core.rewraps.figures()
    }

    /// Keeps every blob that a record names, or has named until now, until what this returns is dropped: for a backup. Deleting goes
    /// on and gives no room back meanwhile.
    pub async fn keep_blobs(&self) -> KeptBlobs {
        KeptBlobs { _pass: self.core.reaper.stand_still().await }
    }

    /// Counts what each bucket holds.
    ///
    /// # Errors
    /// As [`crate::usage()`].
    pub async fn usage(&self, each: impl FnMut(BucketUsage)) -> Result<(), Failure> {
        crate::usage(&self.core.store, each).await
    }

    /// Creates a bucket. Idempotent: an existing one with the same settings is answered as created, its ACL changed if one is given.
    ///
    /// # Errors
    /// [`CreateBucketError`].
    pub async fn create_bucket(
        &self,
        input: CreateBucketInput,
    ) -> Result<Bucket, CreateBucketError> {
        self.core.create_bucket(input).await
    }

    /// A bucket.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn bucket(&self, name: &BucketName) -> Result<Bucket, BucketError> {
        self.core.bucket(name).await
    }

    /// Changes a bucket's ACL.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn set_bucket_acl(
        &self,
        name: &BucketName,
        acl: BucketAcl,
    ) -> Result<(), BucketError> {
        self.core.set_bucket_acl(name, acl).await
    }

    /// Has a bucket keep versions, or no longer make new ones. What it has it keeps either way; it never goes back to having had
    /// none. Counts for writes that begin after it was answered.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn set_bucket_versioning(
        &self,
        name: &BucketName,
        versioning: Versioning,
    ) -> Result<(), BucketError> {
        self.core.set_bucket_versioning(name, versioning).await
    }

    /// Deletes an empty bucket: one without objects, versions, delete markers and uploads.
    ///
    /// # Errors
    /// [`DeleteBucketError`].
    pub async fn delete_bucket(&self, name: &BucketName) -> Result<(), DeleteBucketError> {
        self.core.delete_bucket(name).await
    }

    /// The documents of a bucket's configuration; of the account's where no bucket is named.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub async fn configuration(
        &self,
        bucket: Option<&BucketName>,
        kind: ConfigKind,
    ) -> Result<ConfigEntries, ConfigError> {
        self.core.configuration(bucket, kind).await
    }

    /// Changes the documents of a bucket's configuration; of the account's where no bucket is named. `edit` is a pure function of
    /// what is there and may run more than once.
    ///
    /// # Errors
    /// [`ConfigError`], that of `edit` among them.
    pub async fn configure(
        &self,
        bucket: Option<&BucketName>,
        kind: ConfigKind,
        edit: impl Fn(ConfigEntries) -> Result<ConfigEntries, ConfigError> + Send + Sync + 'static,
    ) -> Result<(), ConfigError> {
        self.core.configure(bucket, kind, edit).await
    }

    /// What requests to a bucket are decided by. A bucket that is not there has only the account's.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn rules(&self, bucket: &BucketName) -> Result<Arc<BucketRules>, Failure> {
        self.core.rules(bucket).await
    }

    /// Lists buckets by name.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn list_buckets(
        &self,
        input: ListBucketsInput,
    ) -> Result<ListBucketsOutput, Failure> {
        self.core.list_buckets(input).await
    }

    /// Counts what a bucket holds. Exact for small buckets; for large ones the last count is kept for a while.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn bucket_stat(&self, name: &BucketName) -> Result<BucketStat, BucketError> {
        self.core.bucket_stat(name).await
    }

    /// Puts an object.
    ///
    /// # Errors
    /// [`PutError`]; nothing is stored then, except possibly with [`Failure::Unknown`].
    pub async fn put(&self, input: PutInput) -> Result<PutOutput, PutError> {
        self.core.put(input).await
    }

    /// Appends to an object, or creates it. Checks what it can before it polls the body, and everything again in the transaction.
    ///
    /// # Errors
    /// [`AppendError`]; nothing is stored then, except possibly with [`Failure::Unknown`].
    pub async fn append(&self, input: AppendInput) -> Result<AppendOutput, AppendError> {
        self.core.append(input).await
    }

    /// Seals an appendable object: it can no longer be appended to.
    ///
    /// # Errors
    /// [`SealError`].
    pub async fn seal(&self, input: SealInput) -> Result<SealOutput, SealError> {
        self.core.seal(input).await
    }

    /// What is known of an object.
    ///
    /// # Errors
    /// [`ReadObjectError`].
    pub async fn head(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> Result<ObjectInfo, ReadObjectError> {
        self.core.head(bucket, key, None).await
    }

    /// What is known of a version; of the current one where none is named.
    ///
    /// # Errors
    /// [`ReadObjectError`].
    pub async fn head_version(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> Result<ObjectInfo, ReadObjectError> {
        self.core.head(bucket, key, version).await
    }

    /// Opens an object for reading. One of an archive class must have been restored.
    ///
    /// # Errors
    /// [`ReadObjectError`].
    pub async fn get(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> Result<OpenObject, ReadObjectError> {
        self.get_version(bucket, key, None).await
    }

    /// Opens a version for reading; the current one where none is named.
    ///
    /// # Errors
    /// [`ReadObjectError`].
    pub async fn get_version(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> Result<OpenObject, ReadObjectError> {
        let open = self.core.get(bucket, key, version).await?;
        if open.info.is_frozen(self.core.now_ms()) {
            return Err(ReadObjectError::Frozen);
        }
        Ok(open)
    }

    /// Changes the ACL of an object, or of a version of one, and nothing else of it.
    ///
    /// # Errors
    /// [`ReadObjectError`].
    pub async fn set_acl(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        acl: ObjectAcl,
    ) -> Result<EditOutput, ReadObjectError> {
        self.core.set_acl(bucket, key, version, acl).await
    }

    /// Replaces the tags of an object, or of a version of one, and nothing else of it.
    ///
    /// # Errors
    /// [`ReadObjectError`].
    pub async fn set_tags(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        tags: Vec<(String, String)>,
    ) -> Result<EditOutput, ReadObjectError> {
        self.core.set_tags(bucket, key, version, tags).await
    }

    /// Puts a symbolic link, replacing what is there.
    ///
    /// # Errors
    /// [`PutError`]; nothing is stored then, except possibly with [`Failure::Unknown`].
    pub async fn put_symlink(&self, input: PutSymlinkInput) -> Result<PutSymlinkOutput, PutError> {
        self.core.put_symlink(input).await
    }

    /// The rules of a bucket if they are in memory, as those of a bucket in use are. Asks no store, whoever asks.
    pub fn rules_at_hand(&self, bucket: &BucketName) -> Option<Arc<BucketRules>> {
        self.core.rules_at_hand(bucket)
    }

    /// Deletes an object; one that does not exist, too. Where versions are kept it stays beneath a delete marker.
    ///
    /// # Errors
    /// [`DeleteError`].
    pub async fn delete(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> Result<DeleteOutput, DeleteError> {
        let (bucket, key) = (bucket.clone(), key.clone());
        self.delete_with(DeleteInput { bucket, key, version: None, only: DeleteIf::Any }).await
    }

    /// Deletes an object, or removes a version of one for ever; what does not exist, too.
    ///
    /// # Errors
    /// [`DeleteError`].
    pub async fn delete_with(&self, input: DeleteInput) -> Result<DeleteOutput, DeleteError> {
        self.core.delete(input).await
    }

    /// As [`Objects::delete_with`], of one who may go past retentions of the mode GOVERNANCE where `bypass` says so.
    ///
    /// # Errors
    /// [`DeleteError`].
    pub async fn delete_governed(
        &self,
        input: DeleteInput,
        bypass: bool,
    ) -> Result<DeleteOutput, DeleteError> {
        self.core.delete_governed(input, bypass).await
    }

    /// Deletes many objects, and removes the versions that are named with their keys; the answers are in the order of the keys.
    ///
    /// # Errors
    /// [`BucketError`] when nothing could be tried.
    pub async fn delete_many(
        &self,
        bucket: &BucketName,
        named: Vec<(ObjectKey, Option<VersionId>)>,
    ) -> Result<Vec<Result<DeleteOutput, DeleteError>>, BucketError> {
        self.core.delete_many(bucket, named, false).await
    }

    /// As [`Objects::delete_many`], of one who may go past retentions of the mode GOVERNANCE where `bypass` says so.
    ///
    /// # Errors
    /// [`BucketError`] when nothing could be tried.
    pub async fn delete_many_governed(
        &self,
        bucket: &BucketName,
        named: Vec<(ObjectKey, Option<VersionId>)>,
        bypass: bool,
    ) -> Result<Vec<Result<DeleteOutput, DeleteError>>, BucketError> {
        self.core.delete_many(bucket, named, bypass).await
    }

    /// Copies an object.
    ///
    /// # Errors
    /// [`CopyError`].
    pub async fn copy(&self, input: CopyInput<'_>) -> Result<CopyOutput, CopyError> {
        self.core.copy(input).await
    }

    /// Lists a page of objects.
    ///
    /// # Errors
    /// [`ListError`].
    pub async fn list(&self, input: ListInput) -> Result<ListOutput, ListError> {
        self.core.list(input).await
    }

    /// Lists a page of versions, delete markers among them. In a bucket that never had versions each object is its only one.
    ///
    /// # Errors
    /// [`ListError`].
    pub async fn list_versions(
        &self,
        input: ListVersionsInput,
    ) -> Result<ListVersionsOutput, ListError> {
        self.core.list_versions(input).await
    }
}
