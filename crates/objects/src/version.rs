//! Writing a new current version under a key. Put and copy end here; what becomes of the one that was there tells `versioning`.

use std::sync::Arc;

use bytes::Bytes;
use ossia_store::{BlobId, BlobWriter, FinishedBlob, Payload, View, Writes};

use crate::{
    VersionId,
    core::{Core, Gate, OperationError, Place, Verdict, refuse},
    keys::{self, ContentId},
    records::{
        Below, Content, Extent, Head, HeadSealing, Kind, Life, Reference, Retention, Source,
        Stored, Tombstone,
    },
    retention,
    sealing::{NewKey, Sealing},
    versioning::{self, Names, read_current},
    words::{Attributes, ObjectAcl, ObjectKey, StorageClass},
};

/// A version to be, but for its bytes.
#[derive(Debug, Clone)]
pub(crate) struct NewVersion {
    pub(crate) kind: Kind,
    pub(crate) length: u64,
    pub(crate) crc64: u64,
    pub(crate) attributes: Attributes,
    pub(crate) acl: ObjectAcl,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) storage_class: StorageClass,
    /// How its bytes are encrypted, if they are.
    pub(crate) sealing: Option<Sealing>,
    /// The data key that comes with it.
    pub(crate) new_key: Option<NewKey>,
    /// What it must replace; else nothing happens.
    pub(crate) over: Option<Box<Head>>,
}

/// Where its bytes come from.
pub(crate) enum NewBytes {
    /// Written with the head.
    Inline(Vec<Bytes>),
    /// A blob that is not durable yet.
    Writer(Box<dyn BlobWriter>),
    /// A second blob with the bytes of this one, made under this owner.
    Duplicate(BlobId, Bytes),
}

/// What one transaction writes.
#[derive(Debug, Clone)]
enum Named {
    Inline(Vec<Bytes>),
    Blob(ContentId, BlobId),
}

/// What the answer needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) etag: String,
    pub(crate) modified_s: u64,
    pub(crate) version_id: Option<VersionId>,
}

/// An error that can say that an object stands in the way.
pub(crate) trait OverwriteError: OperationError {
    fn already_exists() -> Self;
}

/// An error that can say that what is there must stay as it is.
pub(crate) trait ImmutableError: OverwriteError {
    fn immutable() -> Self;
}

macro_rules! immutable_errors {
    ($($name:ident),*) => {$(
        impl ImmutableError for crate::$name {
            fn immutable() -> Self { Self::Immutable }
        }
    )*};
}
immutable_errors!(CompleteUploadError, CopyError, PutError);

impl OverwriteError for crate::PutError {
    fn already_exists() -> Self {
        Self::AlreadyExists
    }
}

impl OverwriteError for crate::InitiateUploadError {
    fn already_exists() -> Self {
        Self::AlreadyExists
    }
}

impl OverwriteError for crate::CompleteUploadError {
    fn already_exists() -> Self {
        Self::AlreadyExists
    }
}

impl OverwriteError for crate::CopyError {
    fn already_exists() -> Self {
        Self::AlreadyExists
    }
}

impl Core {
    /// Makes a new version current.
    pub(crate) async fn write_version<E: ImmutableError>(
        self: &Arc<Self>,
        place: Place,
        key: ObjectKey,
        version: NewVersion,
        bytes: NewBytes,
        forbid_overwrite: bool,
    ) -> Result<Written, E> {
        let (writer, duplicate) = match bytes {
            NewBytes::Inline(pieces) => {
                let named = Named::Inline(pieces);
                return self.name_version(place, key, version, named, forbid_overwrite).await;
            }
            NewBytes::Writer(writer) => (Some(writer), None),
            NewBytes::Duplicate(id, owner) => (None, Some((id, owner))),
        };
        let core = Arc::clone(self);
        self.detached(async move {
            let blob = core.stage(writer, duplicate).await?;
            let named = Named::Blob(ContentId::new(core.now_ms()), blob.id);
            let told = core.name_version(place, key, version, named, forbid_overwrite).await;
            core.settle_blob(blob.id, &told).await;
            told
        })
        .await
    }

    async fn stage(
        &self,
        writer: Option<Box<dyn BlobWriter>>,
        duplicate: Option<(BlobId, Bytes)>,
    ) -> Result<FinishedBlob, crate::Failure> {
        Ok(match (writer, duplicate) {
            (Some(writer), _) => writer.finish().await?,
            (None, Some((id, owner))) => self.store.duplicate(id, owner).await?,
            (None, None) => return Err(crate::Failure::Internal("no bytes to stage".into())),
        })
    }

    async fn name_version<E: ImmutableError>(
        &self,
        place: Place,
        key: ObjectKey,
        version: NewVersion,
        named: Named,
        forbid_overwrite: bool,
    ) -> Result<Written, E> {
        let partition = place.partition(&key);
        let names = Names::of(&key);
        let hints = names.hints(place.catalogue.versioning);
        let stamp = self.stamp();
        let (written, let_go) = self
            .change_in(&place, partition, hints, Gate::Open, move |view, bucket| {
                let old = read_current(view, &names, bucket)?;
                if forbid_overwrite && bucket.versioning.is_none() && old.is_some() {
                    return refuse(E::already_exists());
                }
                if let Some(over) = &version.over
                    && (old.as_ref() != Some(&**over) || bucket.versioning.is_some())
                {
                    return refuse(crate::Failure::Busy.into());
                }
                if retention::forbids_over(bucket, old.as_ref(), stamp.now_ms) {
                    return refuse(E::immutable());
                }
                let content = match named {
                    Named::Inline(_) => Content::Inline,
                    Named::Blob(content, _) => Content::Extents(content),
                };
                let retention = &bucket.retention;
                let mut head = new_head(&version, content, old.as_ref(), retention, stamp.now_ms);
                let mut writes = Writes::none();
                let mut payload = Payload::None;
                if let Some(key) = &version.new_key {
                    key.write(&mut writes);
                }
                match &named {
                    Named::Inline(pieces) => payload = Payload::New(pieces.clone()),
                    Named::Blob(content, blob) => {
                        let source = Source::Blob { id: *blob, offset: 0 };
                        let (length, crc64) = (head.length, head.crc64);
                        let sealing = version.sealing;
                        let extent = Extent { length, crc64, source, sealing };
                        put_extent(&mut writes, *content, head.length, extent, Payload::None);
                    }
                }
                let at = (view, &mut writes);
                let let_go =
                    versioning::add(at, &names, bucket, old.as_ref(), &mut head, payload, stamp)?;
                let written = Written {
                    etag: head.etag(),
                    modified_s: head.modified_s,
                    version_id: bucket.versioning.map(|_| head.version_id),
                };
                Ok((writes, (written, let_go)))
            })
            .await?;
        if let_go {
            self.reaper.wake(partition);
        }
        Ok(written)
    }

    /// Refuses early what the transaction would refuse, before a body is read.
    pub(crate) async fn check_overwrite<E: OverwriteError>(
        &self,
        place: &Place,
        key: &ObjectKey,
        forbid_overwrite: bool,
    ) -> Result<(), E> {
        // Where versions are kept nothing is overwritten.
        if !forbid_overwrite || place.catalogue.versioning.is_some() {
            return Ok(());
        }
        let there = self.store.get(place.partition(key), keys::head(key)).await;
        match there.map_err(crate::Failure::from)? {
            Some(_) => Err(E::already_exists()),
            None => Ok(()),
        }
    }

    /// The same of what must stay as it is. Costs nothing in a bucket that never had a retention.
    pub(crate) async fn check_protected<E: ImmutableError>(
        &self,
        place: &Place,
        key: &ObjectKey,
    ) -> Result<(), E> {
        let retention = &place.catalogue.retention;
        // Where versions are kept nothing is overwritten.
        if retention.seq == 0 || place.catalogue.versioning.is_some() {
            return Ok(());
        }
        let there = self.store.get(place.partition(key), keys::head(key)).await;
        let there = there.map_err(crate::Failure::from)?;
        match Head::decode_option(there.as_ref()).map_err(crate::Failure::from)? {
            Some(head) if retention.protects(&head, self.now_ms()) => Err(E::immutable()),
            _ => Ok(()),
        }
    }
}

/// The head of a new version over an old one, but for its order and its id.
pub(crate) fn new_head(
    version: &NewVersion,
    content: Content,
    old: Option<&Head>,
    retention: &Retention,
    now_ms: u64,
) -> Head {
    let modified_s = not_before(old, now_ms);
    Head {
        kind: version.kind.clone(),
        length: version.length,
        crc64: version.crc64,
        content,
        modified_s,
        attributes: version.attributes.clone(),
        acl: version.acl,
        tags: version.tags.clone(),
        storage_class: version.storage_class,
        order: 1,
        version_id: VersionId::Null,
        below: Below::default(),
        noncurrent_s: None,
        life: Life { retention: retention.of_new(modified_s), ..Life::default() },
        sealing: version.sealing.map(|sealing| HeadSealing {
            key: sealing.key,
            salt: (content == Content::Inline).then_some(sealing.salt),
        }),
    }
}

/// Last-Modified of a change: now, but under one key it never goes back, whatever the clock does.
pub(crate) fn not_before(old: Option<&Head>, now_ms: u64) -> u64 {
    (now_ms / 1_000).max(old.map_or(0, |old| old.modified_s))
}

/// Writes an extent, and the reference that goes with one in a blob.
pub(crate) fn put_extent(
    writes: &mut Writes,
    content: ContentId,
    end: u64,
    extent: Extent,
    payload: Payload,
) {
    if let Source::Blob { id, .. } = extent.source {
        writes.put(keys::reference(id), Reference { content, end }.encode());
    }
    writes.put_with(keys::extent(content, end), extent.encode(), payload);
}

/// Lets go of a head's content: one tombstone, whatever its size (I9). An inline body goes with its record. The data key goes with
/// either.
pub(crate) fn let_go(writes: &mut Writes, old: &Head, now_ms: u64) -> bool {
    let key = old.sealing.map(|sealing| sealing.key);
    let Some(content) = old.content_id() else {
        if let Some(key) = key {
            writes.delete(keys::data_key(key));
        }
        return false;
    };
    let (length, blobs) = (old.length, Vec::new());
    let tombstone = Tombstone { when_ms: now_ms, length, blobs, readers_of: None, key };
    writes.put(keys::tombstone(content), tombstone.encode());
    true
}

/// The head under a key, as a body sees it.
pub(crate) fn read_head<E>(
    view: &dyn View,
    key: &Bytes,
) -> Result<Option<Head>, crate::core::Stop<E>> {
    Ok(Head::decode_option(view.get(key)?.as_ref())?)
}

/// The writes of a change that keeps the bytes of an object where they are.
pub(crate) fn rewrite_head<T, E>(key: &Bytes, head: &Head, answer: T) -> Verdict<T, E> {
    let mut writes = Writes::none();
    // Keeps an inline body; there is none to keep where the bytes are extents.
    writes.put_with(key.clone(), head.encode(), Payload::Of(key.clone()));
    Ok((writes, answer))
}
