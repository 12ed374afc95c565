//! What every operation stands on: the store, the clock, finding a bucket, and the one way to change an object.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use ossia_keys::MasterKeys;
use ossia_store::{
    BlobError, BlobId, Decision, NotBrought, Partition, Store, View, Writes, transact,
};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    AppendError, BucketError, Clock, CompleteUploadError, CopyError, DeleteError, Failure,
    InitiateUploadError, ListError, PutError, ReadObjectError, SealError, Settings, UploadError,
    UploadPartCopyError, UploadPartError,
    keys::{self, SYSTEM},
    known::{KnownBuckets, Seen},
    lifecycle,
    multipart::Completions,
    packer::Packer,
    readers::Readers,
    reaper::Signals,
    records::{BucketRecord, BucketState, Catalogue, Damage, Stored},
    rewrap, scrub,
    stat::StatCache,
    words::{BucketName, ObjectKey},
};

/// How often moving or deleting a blob is tried before it is left to the sweep of the next start.
const BLOB_TRIES: usize = 3;
/// The first and the longest pause of a write that waits for its bucket.
const CLOSING_PAUSE: Duration = Duration::from_millis(5);
const CLOSING_PAUSE_MAX: Duration = Duration::from_millis(200);
/// How many blobs may be on their way to their names at once, each with at most half a MiB that is not written yet.
pub(crate) const DETACHED_MAX: usize = 1_024;
/// How long a request waits for room among it before it is told that the store is busy.
const DETACHED_WAIT: Duration = Duration::from_secs(10);

/// Everything that operations share.
pub(crate) struct Core {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keys: Arc<MasterKeys>,
    pub(crate) settings: Settings,
    pub(crate) readers: Arc<Readers>,
    pub(crate) reaper: Arc<Signals>,
    pub(crate) packer: Arc<Packer>,
    pub(crate) scrub: scrub::Told,
    pub(crate) rewraps: rewrap::Told,
    pub(crate) lifecycle: lifecycle::Told,
    pub(crate) stats: StatCache,
    pub(crate) known: KnownBuckets,
    /// Room for work that outlives its request.
    pub(crate) detached: Arc<Semaphore>,
    pub(crate) completions: Completions,
}

/// A bucket that was found, and where it lies.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) name: BucketName,
    pub(crate) catalogue: Catalogue,
}

impl Place {
    pub(crate) fn partition(&self, key: &ObjectKey) -> Partition {
        keys::partition(self.catalogue.id, self.catalogue.partitions, key)
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        keys::partitions(self.catalogue.id, self.catalogue.partitions)
    }
}

/// Which states of its bucket let a change through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Only an open bucket: for what could fill it.
    Open,
    /// One whose deletion is being decided, too: for what can only empty it.
    OpenOrClosing,
}

/// Why a change did not go through.
pub(crate) enum Denied<E> {
    Refused(E),
    /// The bucket's deletion is being decided.
    Closing,
    /// The partition knows no bucket.
    NoBucket,
    Damaged(Damage),
}

/// Ends a body early.
pub(crate) enum Stop<E> {
    Fetch(NotBrought),
    Denied(Denied<E>),
}

/// What a body returns: its writes and its answer.
pub(crate) type Verdict<T, E> = Result<(Writes, T), Stop<E>>;

impl<E> From<NotBrought> for Stop<E> {
    fn from(key: NotBrought) -> Self {
        Self::Fetch(key)
    }
}

impl<E> From<Damage> for Stop<E> {
    fn from(damage: Damage) -> Self {
        Self::Denied(Denied::Damaged(damage))
    }
}

/// Ends a body with an answer that changes nothing.
pub(crate) fn refuse<T, E>(error: E) -> Result<T, Stop<E>> {
    Err(Stop::Denied(Denied::Refused(error)))
}

/// What the errors of all operations on a bucket have in common.
pub(crate) trait OperationError: From<Failure> + Send + Sync + 'static {
    fn no_such_bucket() -> Self;
    fn failure(&self) -> Option<&Failure>;
}

macro_rules! operation_errors {
    ($($name:ident),*) => {$(
        impl OperationError for $name {
            fn no_such_bucket() -> Self { Self::NoSuchBucket }
            fn failure(&self) -> Option<&Failure> {
                match self { Self::Store(failure) => Some(failure), _ => None }
            }
        }
    )*};
}
operation_errors!(
    AppendError,
    BucketError,
    CompleteUploadError,
    CopyError,
    DeleteError,
    InitiateUploadError,
    ListError,
    PutError,
    ReadObjectError,
    SealError,
    UploadError,
    UploadPartCopyError,
    UploadPartError
);

impl Core {
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// The catalogue's record of a bucket in whatever state.
    pub(crate) async fn catalogue(&self, name: &BucketName) -> Result<Option<Catalogue>, Failure> {
        let record = self.store.get(SYSTEM, keys::catalogue(name)).await?;
        Ok(Catalogue::decode_option(record.as_ref())?)
    }

    /// Finds a bucket. One whose deletion is being decided is still there.
    pub(crate) async fn place<E: OperationError>(&self, name: &BucketName) -> Result<Place, E> {
        let catalogue = match self.known.get(name) {
            Seen::Known(catalogue) => catalogue,
            Seen::AskStore(begun) => {
                let found = self.catalogue(name).await?;
                let found = found.filter(|found| found.state != BucketState::Creating);
                let found = found.ok_or_else(E::no_such_bucket)?;
                self.known.learn(name, &found, begun);
                found
            }
        };
        Ok(Place { name: name.clone(), catalogue })
    }

    /// As [`Self::change_in`], for bodies that need not know their bucket.
    pub(crate) async fn change<T, E, F>(
        &self,
        place: &Place,
        partition: Partition,
        hints: Vec<Bytes>,
        gate: Gate,
        body: F,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: OperationError,
        F: Fn(&dyn View) -> Verdict<T, E> + Send + Sync + 'static,
    {
        self.change_in(place, partition, hints, gate, move |view, _| body(view)).await
    }

    /// Changes a bucket's partition. The body runs behind the bucket's own record, so that a bucket is never written into once its
    /// deletion has been decided; while that is being decided the change waits, for a bounded time.
    pub(crate) async fn change_in<T, E, F>(
        &self,
        place: &Place,
        partition: Partition,
        mut hints: Vec<Bytes>,
        gate: Gate,
        body: F,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: OperationError,
        F: Fn(&dyn View, &BucketRecord) -> Verdict<T, E> + Send + Sync + 'static,
    {
        hints.insert(0, keys::bucket());
        let body = Arc::new(body);
        let deadline = Instant::now() + self.settings.closing_wait;
        let mut pause = CLOSING_PAUSE;
        loop {
            let body = Arc::clone(&body);
            let answer = run(&*self.store, partition, hints.clone(), move |view| {
                let bucket = pass_gate(view, gate)?;
                body(view, &bucket)
            });
            match answer.await? {
                Ok(value) => return Ok(value),
                Err(Denied::Refused(error)) => return Err(error),
                Err(Denied::Damaged(damage)) => return Err(Failure::from(damage).into()),
                Err(Denied::NoBucket) => return Err(self.gone(place).await),
                Err(Denied::Closing) => {}
            }
            match self.catalogue(&place.name).await? {
                Some(now) if now.id == place.catalogue.id => {}
                _ => return Err(E::no_such_bucket()),
            }
            if Instant::now() >= deadline {
                return Err(Failure::Busy.into());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(CLOSING_PAUSE_MAX);
        }
    }

    /// The bucket's record is missing in a partition: the bucket has been deleted since it was found, or the store is damaged.
    async fn gone<E: OperationError>(&self, place: &Place) -> E {
        match self.catalogue(&place.name).await {
            Err(failure) => failure.into(),
            Ok(Some(now)) if now.id == place.catalogue.id => {
                Failure::Damaged("a partition has lost its bucket's record".into()).into()
            }
            Ok(_) => E::no_such_bucket(),
        }
    }

    /// Runs what makes a blob durable and names it, in a task of its own: a caller that goes away in the middle must not leave a
    /// blob behind that only the next start would look after.
    pub(crate) async fn detached<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: OperationError,
    {
        // Or who sends a body and goes, again and again, would leave more and more of them (I7).
        let room = Arc::clone(&self.detached).acquire_owned();
        let Ok(room) = tokio::time::timeout(DETACHED_WAIT, room).await else {
            // Nothing has been done yet, and a blob that is not finished goes with its writer.
            return Err(Failure::Busy.into());
        };
        let work = async move {
            let told = work.await;
            drop(room);
            told
        };
        match tokio::spawn(work).await {
            Ok(result) => result,
            Err(error) => Err(Failure::Unknown(error.to_string()).into()),
        }
    }

    /// After the transaction that should name a blob: adopts it if it does, deletes it if it certainly does not. If that cannot be
    /// told the blob stays in staging, where the next start finds out.
    pub(crate) async fn settle_blob<T, E: OperationError>(&self, id: BlobId, told: &Result<T, E>) {
        match told {
            Ok(_) => self.adopt(id).await,
            Err(error) if matches!(error.failure(), Some(Failure::Unknown(_))) => {}
            Err(_) => self.discard(id).await,
        }
    }

    /// Moves a blob that the index names out of staging.
    pub(crate) async fn adopt(&self, id: BlobId) {
        for tried in 1..=BLOB_TRIES {
            match self.store.adopt(id).await {
                Ok(()) => return,
                // Its object was deleted and reaped meanwhile.
                Err(BlobError::NotFound) => return,
                // Harmless: it is readable where it is, and the next start adopts it.
                Err(error) if tried == BLOB_TRIES => {
                    tracing::warn!(blob = %id, %error, "blob left in staging");
                }
                Err(_) => {}
            }
        }
    }

    /// Deletes a blob that no record names.
    pub(crate) async fn discard(&self, id: BlobId) {
        for tried in 1..=BLOB_TRIES {
            match self.store.delete(id).await {
                Ok(()) => return,
                Err(error) if tried == BLOB_TRIES => {
                    tracing::warn!(blob = %id, %error, "unnamed blob left in staging");
                }
                Err(_) => {}
            }
        }
    }
}

/// Reads the bucket's record and lets the body on, or not.
fn pass_gate<E>(view: &dyn View, gate: Gate) -> Result<BucketRecord, Stop<E>> {
    let record = view.get(&keys::bucket())?;
    let Some(bucket) = BucketRecord::decode_option(record.as_ref())? else {
        return Err(Stop::Denied(Denied::NoBucket));
    };
    match (bucket.state, gate) {
        (BucketState::Open, _) | (_, Gate::OpenOrClosing) => Ok(bucket),
        (_, Gate::Open) => Err(Stop::Denied(Denied::Closing)),
    }
}

/// [`transact`] for bodies that end early with `?`.
pub(crate) async fn run<T, E, F>(
    store: &dyn Store,
    partition: Partition,
    hints: Vec<Bytes>,
    body: F,
) -> Result<Result<T, Denied<E>>, Failure>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Fn(&dyn View) -> Verdict<T, E> + Send + Sync + 'static,
{
    let told = transact::<T, Denied<E>, _>(store, partition, hints, move |view| match body(view) {
        Ok((writes, value)) => Ok(Decision::Commit(writes, value)),
        Err(Stop::Denied(denied)) => Ok(Decision::Refuse(denied)),
        Err(Stop::Fetch(key)) => Err(key),
    });
    Ok(told.await?)
}

/// [`run`] where the body has nothing to refuse but damage: for the system's own records and background work.
pub(crate) async fn run_plain<T, F>(
    store: &dyn Store,
    partition: Partition,
    hints: Vec<Bytes>,
    body: F,
) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Fn(&dyn View) -> Verdict<T, std::convert::Infallible> + Send + Sync + 'static,
{
    match run(store, partition, hints, body).await? {
        Ok(value) => Ok(value),
        Err(Denied::Refused(never)) => match never {},
        Err(Denied::Damaged(damage)) => Err(damage.into()),
        Err(Denied::Closing | Denied::NoBucket) => {
            Err(Failure::Internal("a bucket's gate where there is none".into()))
        }
    }
}
