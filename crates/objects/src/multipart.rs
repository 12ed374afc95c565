//! Multipart uploads: parts that come in any order, and the object that is made of them without copying a byte.
//!
//! ```text
//! initiate   m key' id                     the upload, and what the object will be given
//! part n     u id n -> content P           the part; its bytes are one extent of P, with a payload or a blob
//!            one sent again: the new P is written, the old one let go by a tombstone
//! complete   stage, batch by batch:        y C, and m says that C is being made
//!              c C end                     an extent with the bytes of P: the same blob, or the same payload
//!              s blob -> C end             names its extent in C from now on
//!              u id n                      notes the end
//!            swap, one transaction:        h key -> C, what was there let go; m and y are gone, x id says what is left
//! abort      one transaction:              m is gone, x id says what is left
//! clear      batch by batch, the reaper:   u id n, and its P: the extent where C has the bytes, else a tombstone for P;
//!                                          extents of a C that became nothing; at last x id
//! ```
//!
//! Only the swap makes anything visible, and each transaction stays within the contract's bounds however many parts there are.
//! A crash at any point leaves the upload or the object, and records that lead to all the rest (I9, I10):
//!
//! - A part belongs to its upload until the swap. Extents of C are second names for its bytes, and each is noted in its part; who
//!   takes the part's place, or takes the completion back, removes them in the same transaction.
//! - One C at a time: a completion that finds an older one takes it back first.
//! - A part that comes while C is being made marks the upload, and the completion starts over. The swap insists that no mark is
//!   there, so what it makes visible is what the completion has looked at.
//! - While `y C` stands nobody packs C. Afterwards the packer may, and the reaper may reclaim it: they let go of blobs by
//!   tombstones only, and parts are cleared before any tombstone is looked at.
//!
//! Uploads and parts stand in the partition of the object's key, so everything about one upload is decided in one order.

mod clear;
mod complete;
mod error;
mod list;
pub(crate) mod names;
mod parts;
mod words;

use bytes::Bytes;
use ossia_store::{View, Writes};

pub(crate) use self::complete::Completions;
use self::error::NoSuchUpload;
pub use self::{
    error::{
        CompleteUploadError, InitiateUploadError, UploadError, UploadPartCopyError, UploadPartError,
    },
    names::UploadId,
    words::*,
};
use crate::{
    Failure, Objects,
    core::{Core, Gate, OperationError, Place, Stop, refuse},
    keys,
    records::{Leftover, Making, Part, Stored, Upload},
    words::{ObjectKey, etag},
};

impl Objects {
    /// Starts a multipart upload.
    ///
    /// # Errors
    /// [`InitiateUploadError`].
    pub async fn initiate_upload(
        &self,
        input: InitiateUploadInput,
    ) -> Result<UploadId, InitiateUploadError> {
        self.core.initiate_upload(input).await
    }

    /// Stores a part, replacing one of the same number.
    ///
    /// # Errors
    /// [`UploadPartError`]; an earlier part of this number is as it was then, except possibly with [`Failure::Unknown`].
    pub async fn upload_part(&self, input: UploadPartInput) -> Result<PartOutput, UploadPartError> {
        self.core.upload_part(input).await
    }

    /// Makes a part of an object's bytes, as they are when this begins.
    ///
    /// # Errors
    /// [`UploadPartCopyError`], as with [`Objects::upload_part`].
    pub async fn upload_part_copy(
        &self,
        input: UploadPartCopyInput<'_>,
    ) -> Result<UploadPartCopyOutput, UploadPartCopyError> {
        self.core.upload_part_copy(input).await
    }

    /// Makes an object of parts, and ends the upload. Goes on when the caller goes away.
    ///
    /// # Errors
    /// [`CompleteUploadError`]; the upload can be completed again then, except possibly with [`Failure::Unknown`].
    pub async fn complete_upload(
        &self,
        input: CompleteUploadInput,
    ) -> Result<CompleteUploadOutput, CompleteUploadError> {
        self.core.complete_upload(input).await
    }

    /// Gives an upload up, and its parts.
    ///
    /// # Errors
    /// [`UploadError`].
    pub async fn abort_upload(&self, input: AbortUploadInput) -> Result<(), UploadError> {
        self.core.abort_upload(input).await
    }

    /// What is known of an upload.
    ///
    /// # Errors
    /// [`UploadError`].
    pub async fn upload(
        &self,
        bucket: &crate::words::BucketName,
        key: &ObjectKey,
        upload: UploadId,
    ) -> Result<UploadInfo, UploadError> {
        let place = self.core.place::<UploadError>(bucket).await?;
        let record = self.core.find_upload::<UploadError>(&place, key, upload).await?;
        Ok(info(key.clone(), upload, record))
    }

    /// Lists uploads under way.
    ///
    /// # Errors
    /// [`crate::ListError`].
    pub async fn list_uploads(
        &self,
        input: ListUploadsInput,
    ) -> Result<ListUploadsOutput, crate::ListError> {
        self.core.list_uploads(input).await
    }

    /// Lists the parts of an upload.
    ///
    /// # Errors
    /// [`UploadError`].
    pub async fn list_parts(&self, input: ListPartsInput) -> Result<ListPartsOutput, UploadError> {
        self.core.list_parts(input).await
    }
}

impl Core {
    async fn initiate_upload(
        &self,
        input: InitiateUploadInput,
    ) -> Result<UploadId, InitiateUploadError> {
        let InitiateUploadInput { bucket, key, creation, acl, sequential, forbid_overwrite } =
            input;
        let place = self.place::<InitiateUploadError>(&bucket).await?;
        self.check_overwrite::<InitiateUploadError>(&place, &key, forbid_overwrite).await?;
        let id = UploadId::random();
        let partition = place.partition(&key);
        let new_key = match creation.encrypted || self.settings.encrypt_all {
            true => Some(self.seal_key(partition, &self.new_cipher()?)?),
            false => None,
        };
        let upload = Upload {
            initiated_ms: self.now_ms(),
            attributes: creation.attributes,
            acl,
            tags: creation.tags,
            storage_class: creation.storage_class.unwrap_or(place.catalogue.storage_class),
            sequential,
            last: 0,
            staged: None,
            stale: false,
            key: new_key.as_ref().map(|key| key.id),
        };
        let (name, value) = (names::upload(&key, id), upload.encode());
        let head = keys::head(&key);
        self.change_in(&place, partition, vec![head.clone()], Gate::Open, move |view, bucket| {
            let forbid = forbid_overwrite && bucket.versioning.is_none();
            if forbid && view.get(&head)?.is_some() {
                return refuse(InitiateUploadError::AlreadyExists);
            }
            let mut writes = Writes::none();
            writes.put(name.clone(), value.clone());
            if let Some(key) = &new_key {
                key.write(&mut writes);
            }
            Ok((writes, id))
        })
        .await
    }

    pub(crate) async fn abort_upload(&self, input: AbortUploadInput) -> Result<(), UploadError> {
        let AbortUploadInput { bucket, key, upload: id } = input;
        let place = self.place::<UploadError>(&bucket).await?;
        let partition = place.partition(&key);
        let name = names::upload(&key, id);
        let when_ms = self.now_ms();
        let gate = Gate::OpenOrClosing;
        self.change(&place, partition, vec![name.clone()], gate, move |view| {
            let upload = read_upload::<UploadError>(view, &name)?;
            let mut writes = Writes::none();
            writes.delete(name.clone());
            let left = Leftover { when_ms, content: upload.staged, kept: false, key: upload.key };
            writes.put(names::leftover(id), left.encode());
            Ok((writes, ()))
        })
        .await?;
        self.reaper.wake(partition);
        Ok(())
    }

    /// An upload's record, as it is durable.
    async fn find_upload<E: OperationError + NoSuchUpload>(
        &self,
        place: &Place,
        key: &ObjectKey,
        id: UploadId,
    ) -> Result<Upload, E> {
        let record = self.store.get(place.partition(key), names::upload(key, id)).await;
        let record = record.map_err(Failure::from)?;
        let upload = Upload::decode_option(record.as_ref()).map_err(Failure::from)?;
        upload.ok_or_else(E::no_such_upload)
    }
}

/// An upload's record, as a body sees it.
fn read_upload<E: NoSuchUpload>(view: &dyn View, name: &Bytes) -> Result<Upload, Stop<E>> {
    match Upload::decode_option(view.get(name)?.as_ref())? {
        Some(upload) => Ok(upload),
        None => refuse(E::no_such_upload()),
    }
}

fn info(key: ObjectKey, id: UploadId, upload: Upload) -> UploadInfo {
    UploadInfo {
        key,
        id,
        initiated: upload.initiated_ms / 1_000,
        storage_class: upload.storage_class,
        acl: upload.acl,
        tagged: !upload.tags.is_empty(),
        attributes: upload.attributes,
        encrypted: upload.key.is_some(),
    }
}

fn part_info(number: u16, part: &Part) -> PartInfo {
    PartInfo {
        number,
        last_modified: part.modified_s,
        etag: etag::from_md5(&part.md5),
        crc64: part.crc64,
        length: part.length,
    }
}

/// The record that keeps others from a content that is being made.
fn making(id: UploadId) -> Bytes {
    Making { upload: Bytes::copy_from_slice(&id.0) }.encode()
}

/// The key of a part's only extent.
fn extent_of(part: &Part) -> Bytes {
    keys::extent(part.content, part.length)
}

/// Whether a sequential upload takes this part now: the next one, or the last one again.
fn is_turn(upload: &Upload, number: u16) -> bool {
    !upload.sequential
        || number == upload.last.saturating_add(1)
        || (number == upload.last && number > 0)
}
