//! Parts: sent, or copied from an object.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use ossia_store::{BlobId, Partition, Payload, Writes};

use super::{
    CopyRange, PartOutput, UploadPartCopyError, UploadPartCopyInput, UploadPartCopyOutput,
    UploadPartError, UploadPartInput, error::PartError, names,
};
use crate::{
    Body, Failure, OpenObject,
    copy::Reread,
    core::{Core, Gate, OperationError, Place, refuse},
    intake::{self, IntakeError, Limits, TakenBytes},
    keys::{self, ContentId},
    records::{Extent, Part, Source, Stored, Tombstone, Upload},
    sealing::{At, Sealer, Sealing},
    version::put_extent,
    words::{ConditionOutcome, ObjectKey, ObjectType, etag},
};

/// Which part of which upload.
#[derive(Debug, Clone)]
struct Slot {
    place: Place,
    key: ObjectKey,
    id: super::UploadId,
    number: u16,
}

impl Slot {
    fn partition(&self) -> Partition {
        self.place.partition(&self.key)
    }
}

/// What a part consists of, but for where its bytes are.
#[derive(Debug, Clone, Copy)]
struct Sums {
    length: u64,
    crc64: u64,
    md5: [u8; 16],
}

/// Where a part's bytes are.
#[derive(Debug, Clone)]
enum Bits {
    /// Written with the part; none for an empty one.
    Payload(Vec<Bytes>),
    Blob(BlobId),
}

impl Core {
    pub(super) async fn upload_part(
        self: &Arc<Self>,
        input: UploadPartInput,
    ) -> Result<PartOutput, UploadPartError> {
        let UploadPartInput { bucket, key, upload: id, number, body } = input;
        let place = self.place::<UploadPartError>(&bucket).await?;
        let slot = Slot { place, key, id, number };
        // Before the body is read; the transaction decides again.
        let upload = self.find_upload::<UploadPartError>(&slot.place, &slot.key, id).await?;
        if !super::is_turn(&upload, number) {
            return Err(UploadPartError::NotSequential);
        }
        let max = self.settings.put_max_bytes;
        let limits =
            Limits { inline_bytes_max: self.settings.inline_bytes_max, length_max: max, md5: true };
        let sealer = self.part_sealer(&slot, &upload).await?;
        let taken =
            intake::take(&*self.store, slot.partition(), &slot.key, body, limits, sealer).await;
        let taken = taken.map_err(|error| UploadPartError::of_intake(error, max))?;
        let md5 = taken.md5.ok_or_else(|| Failure::Internal("a part without an MD5".into()))?;
        let sums = Sums { length: taken.length, crc64: taken.crc64, md5 };
        self.store_part(slot, sums, taken.sealing, taken.bytes).await
    }

    /// What encrypts a part of this upload, if its upload asked for it.
    async fn part_sealer(&self, slot: &Slot, upload: &Upload) -> Result<Option<Sealer>, Failure> {
        let Some(key) = upload.key else { return Ok(None) };
        // Gone with its upload since that was read.
        let cipher = self.cipher(slot.partition(), key).await?.ok_or(Failure::Busy)?;
        Ok(Some(cipher.sealer(At::Part(slot.number))?))
    }

    pub(super) async fn upload_part_copy(
        self: &Arc<Self>,
        input: UploadPartCopyInput<'_>,
    ) -> Result<UploadPartCopyOutput, UploadPartCopyError> {
        let place = self.place::<UploadPartCopyError>(&input.bucket).await?;
        let slot = Slot { place, key: input.key, id: input.upload, number: input.number };
        let upload = self.find_upload::<UploadPartCopyError>(&slot.place, &slot.key, slot.id);
        let upload = upload.await?;
        if !super::is_turn(&upload, slot.number) {
            return Err(UploadPartCopyError::NotSequential);
        }
        let (bucket, key) = (&input.source_bucket, &input.source_key);
        let source = self.get(bucket, key, input.source_version).await;
        let source = source.map_err(UploadPartCopyError::of_source)?;
        let info = &source.info;
        let modified = i64::try_from(info.last_modified).unwrap_or(i64::MAX);
        match input.conditions.evaluate(&info.etag, modified) {
            ConditionOutcome::Proceed => {}
            ConditionOutcome::NotModified => return Err(UploadPartCopyError::NotModified),
            ConditionOutcome::PreconditionFailed(name) => {
                return Err(UploadPartCopyError::PreconditionFailed(name));
            }
        }
        if info.is_frozen(self.now_ms()) {
            return Err(UploadPartCopyError::SourceFrozen);
        }
        let range = range_of(input.range, info.length)?;
        let max = self.settings.put_max_bytes;
        if range.end - range.start > max {
            return Err(UploadPartCopyError::TooLarge { max });
        }
        let told = match input.range {
            CopyRange::Whole => None,
            CopyRange::Bytes { .. } => Some((range.start, range.end.saturating_sub(1))),
        };
        let sealer = self.part_sealer(&slot, &upload).await?;
        let part = self.copy_part(slot, &source, range, sealer).await?;
        Ok(UploadPartCopyOutput {
            part,
            range: told,
            source_length: info.length,
            source_version_id: info.version_id,
        })
    }

    async fn copy_part(
        self: &Arc<Self>,
        slot: Slot,
        source: &OpenObject,
        range: Range<u64>,
        sealer: Option<Sealer>,
    ) -> Result<PartOutput, UploadPartCopyError> {
        let info = &source.info;
        let whole = range == (0..info.length);
        if whole
            && info.kind == ObjectType::Normal
            && let Some(md5) = info.md5
            // Encrypted, each has a key of its own.
            && sealer.is_none()
            && let Some((blob, None)) = source.whole_blob().await?
        {
            let sums = Sums { length: info.length, crc64: info.crc64, md5 };
            let owner = intake::owner(slot.partition(), &slot.key);
            let core = Arc::clone(self);
            return self
                .detached(async move {
                    let copy = core.store.duplicate(blob, owner).await.map_err(Failure::from)?;
                    core.name_blob_part(slot, sums, None, copy.id).await
                })
                .await;
        }
        let failed = Arc::new(Mutex::new(None));
        let length = range.end - range.start;
        let stream = Reread { download: source.read(range), failed: Arc::clone(&failed) };
        let body = Body {
            stream: Box::pin(stream),
            length: Some(length),
            md5: None,
            // What is copied is what was acknowledged.
            crc64: whole.then_some(info.crc64),
        };
        let limits = Limits {
            inline_bytes_max: self.settings.inline_bytes_max,
            length_max: length,
            md5: true,
        };
        match intake::take(&*self.store, slot.partition(), &slot.key, body, limits, sealer).await {
            Ok(taken) => {
                let missing = || Failure::Internal("a part without an MD5".into());
                let md5 = taken.md5.ok_or_else(missing)?;
                let sums = Sums { length: taken.length, crc64: taken.crc64, md5 };
                self.store_part(slot, sums, taken.sealing, taken.bytes).await
            }
            Err(IntakeError::Store(failure)) => Err(failure.into()),
            Err(error) => {
                let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
                let damaged = || Failure::Damaged(format!("the source does not add up: {error:?}"));
                Err(failed.map_or_else(|| damaged().into(), UploadPartCopyError::of_source))
            }
        }
    }

    async fn store_part<E: OperationError + PartError>(
        self: &Arc<Self>,
        slot: Slot,
        sums: Sums,
        sealing: Option<Sealing>,
        bytes: TakenBytes,
    ) -> Result<PartOutput, E> {
        match bytes {
            TakenBytes::Inline(pieces) => {
                self.name_part(&slot, sums, sealing, Bits::Payload(pieces)).await
            }
            TakenBytes::Blob(writer) => {
                let core = Arc::clone(self);
                self.detached(async move {
                    let blob = writer.finish().await.map_err(Failure::from)?;
                    core.name_blob_part(slot, sums, sealing, blob.id).await
                })
                .await
            }
        }
    }

    async fn name_blob_part<E: OperationError + PartError>(
        self: &Arc<Self>,
        slot: Slot,
        sums: Sums,
        sealing: Option<Sealing>,
        blob: BlobId,
    ) -> Result<PartOutput, E> {
        let told = self.name_part(&slot, sums, sealing, Bits::Blob(blob)).await;
        self.settle_blob(blob, &told).await;
        told
    }

    async fn name_part<E: OperationError + PartError>(
        self: &Arc<Self>,
        slot: &Slot,
        sums: Sums,
        sealing: Option<Sealing>,
        bits: Bits,
    ) -> Result<PartOutput, E> {
        let partition = slot.partition();
        let upload_key = names::upload(&slot.key, slot.id);
        let part_key = names::part(slot.id, slot.number);
        let hints = vec![upload_key.clone(), part_key.clone()];
        let number = slot.number;
        let now_ms = self.now_ms();
        let Sums { length, crc64, md5 } = sums;
        let content = ContentId::new(now_ms);
        let modified_s = now_ms / 1_000;
        let part = Part { content, length, md5, crc64, modified_s, staged_end: None };
        let body = move |view: &dyn ossia_store::View| {
            let upload = super::read_upload::<E>(view, &upload_key)?;
            if !super::is_turn(&upload, number) {
                return refuse(E::not_sequential());
            }
            let old = Part::decode_option(view.get(&part_key)?.as_ref())?;
            let mut writes = Writes::none();
            let mut marked = upload.clone();
            marked.stale = upload.staged.is_some();
            marked.last = if upload.sequential { number } else { 0 };
            if marked != upload {
                writes.put(upload_key.clone(), marked.encode());
            }
            if length > 0 {
                let (source, payload) = match &bits {
                    Bits::Payload(pieces) => (Source::Payload, Payload::New(pieces.clone())),
                    Bits::Blob(id) => (Source::Blob { id: *id, offset: 0 }, Payload::None),
                };
                let extent = Extent { length, crc64, source, sealing };
                put_extent(&mut writes, content, length, extent, payload);
            }
            writes.put(part_key.clone(), part.encode());
            let let_go = old.is_some_and(|old| {
                if let (Some(end), Some(staged)) = (old.staged_end, upload.staged) {
                    writes.delete(keys::extent(staged, end));
                }
                let_go(&mut writes, &old, now_ms)
            });
            Ok((writes, let_go))
        };
        if self.change(&slot.place, partition, hints, Gate::Open, body).await? {
            self.reaper.wake(partition);
        }
        let etag = etag::from_md5(&md5);
        let encrypted = sealing.is_some();
        Ok(PartOutput { etag, md5, crc64, length, last_modified: modified_s, encrypted })
    }
}

/// Lets go of a part's bytes, if it has any. Its staged extent is no concern of the content that this reclaims.
pub(super) fn let_go(writes: &mut Writes, part: &Part, now_ms: u64) -> bool {
    if part.length == 0 {
        return false;
    }
    let (length, blobs) = (part.length, Vec::new());
    // The key is the upload's.
    let tombstone = Tombstone { when_ms: now_ms, length, blobs, readers_of: None, key: None };
    writes.put(keys::tombstone(part.content), tombstone.encode());
    true
}

fn range_of(range: CopyRange, length: u64) -> Result<Range<u64>, UploadPartCopyError> {
    let CopyRange::Bytes { first, last } = range else {
        return Ok(0..length);
    };
    let end = match last {
        Some(last) => last.checked_add(1),
        None => Some(length),
    };
    match end {
        Some(end) if first < end && end <= length => Ok(first..end),
        _ => Err(UploadPartCopyError::OutOfRange { length }),
    }
}
