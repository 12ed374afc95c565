//! Copy: an object's bytes under another key, or new headers for the same one.
//!
//! The source is read and pinned first, the destination written in one transaction of its own. An object onto itself is a change of
//! its head alone, checked again in its transaction.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use ossia_store::Writes;

use crate::{
    Body, BodyError, CopyError, CopyInput, CopyOutput, Encrypt, Failure, OpenObject,
    ReadObjectError, VersionId,
    core::{Core, Gate, Place, refuse},
    intake::{self, IntakeError, Limits, TakenBytes},
    keys,
    read::Download,
    records::{Head, Kind, Life, Stored},
    restore,
    sealing::{At, NewKey, Sealing},
    version::{NewBytes, NewVersion, Written, not_before, read_head, rewrite_head},
    words::{
        ConditionOutcome, Conditions, Directive, ObjectAcl, ObjectKey, ObjectType, StorageClass,
    },
};

/// The bytes of a copy, and how they are encrypted.
struct Copied {
    md5: Option<[u8; 16]>,
    bytes: NewBytes,
    sealing: Option<Sealing>,
    new_key: Option<NewKey>,
}

/// How often a copy onto itself starts over because the object changed in between.
const SELF_COPY_TRIES: usize = 16;

impl Core {
    pub(crate) async fn copy(
        self: &Arc<Self>,
        input: CopyInput<'_>,
    ) -> Result<CopyOutput, CopyError> {
        let mut place = self.place::<CopyError>(&input.bucket).await?;
        // Where versions are kept a copy is a new version, whatever lies there.
        if input.bucket == input.source_bucket
            && input.key == input.source_key
            && place.catalogue.versioning.is_none()
        {
            if !matches!(input.source_version, None | Some(VersionId::Null)) {
                return Err(CopyError::NoSuchSourceVersion);
            }
            if let Some(copied) = self.copy_onto_itself(&place, &input).await? {
                return Ok(copied);
            }
            // It has begun to keep versions.
            place = self.place::<CopyError>(&input.bucket).await?;
        }
        self.check_overwrite::<CopyError>(&place, &input.key, input.forbid_overwrite).await?;
        self.check_protected::<CopyError>(&place, &input.key).await?;
        let source =
            match self.get(&input.source_bucket, &input.source_key, input.source_version).await {
                Ok(source) => source,
                Err(error) => return Err(of_source(error)),
            };
        let info = &source.info;
        evaluate(&input.conditions, &info.etag, info.last_modified)?;
        if info.is_frozen(self.now_ms()) {
            return Err(CopyError::SourceFrozen);
        }
        let allowed = self.settings.copy_appendable && place.catalogue.versioning.is_none();
        if info.kind == ObjectType::Appendable && !allowed {
            return Err(CopyError::SourceAppendable);
        }
        let class = input.storage_class.unwrap_or(place.catalogue.storage_class);
        let same_bucket = input.bucket == input.source_bucket;
        self.check_size(info.length, same_bucket, info.storage_class != class)?;
        self.copy_bytes(place, &input, source, class).await
    }

    /// OSS's limits: by whether bucket and class stay the same.
    fn check_size(
        &self,
        length: u64,
        same_bucket: bool,
        class_changes: bool,
    ) -> Result<(), CopyError> {
        let max = match (class_changes, same_bucket) {
            (true, _) => self.settings.copy_class_change_max_bytes,
            (false, false) => self.settings.copy_max_bytes,
            (false, true) => u64::MAX,
        };
        if length > max { Err(CopyError::TooLarge { max }) } else { Ok(()) }
    }

    async fn copy_bytes(
        self: &Arc<Self>,
        place: Place,
        input: &CopyInput<'_>,
        source: OpenObject,
        class: StorageClass,
    ) -> Result<CopyOutput, CopyError> {
        let partition = place.partition(&input.key);
        let info = &source.info;
        let whole_blob = match info.kind {
            // It becomes Normal, whose ETag is the MD5: the bytes have to be read.
            ObjectType::Appendable => None,
            _ => source.whole_blob().await?,
        };
        // A link has nothing to encrypt.
        let asked = input.encrypt != Encrypt::No || self.settings.encrypt_all;
        let encrypt = asked && info.kind != ObjectType::Symlink;
        let Copied { md5, bytes, sealing, new_key } = match whole_blob {
            Some((blob, sealing)) if sealing.is_some() == encrypt => {
                let bytes = NewBytes::Duplicate(blob, intake::owner(partition, &input.key));
                let mut copied = Copied { md5: info.md5, bytes, sealing: None, new_key: None };
                if let Some((sealing, cipher)) = sealing.zip(source.cipher()) {
                    // The bytes are the same, and so is what they were encrypted with.
                    let key = self.seal_key(partition, &self.same_cipher(cipher))?;
                    copied.sealing = Some(Sealing { key: key.id, ..sealing });
                    copied.new_key = Some(key);
                }
                copied
            }
            _ => self.take_copy(&place, &input.key, &source, encrypt).await?,
        };
        let etag = || info.etag.clone();
        let kind = match (info.kind, md5) {
            (ObjectType::Multipart, md5) => Kind::Multipart { etag: etag(), md5 },
            (ObjectType::Symlink, _) => {
                let lost = || Failure::Internal("a link without a target".into());
                let target = info.link_target.clone().ok_or_else(lost)?;
                Kind::Symlink { etag: etag(), target }
            }
            (ObjectType::Normal | ObjectType::Appendable, Some(md5)) => Kind::Normal { md5 },
            (ObjectType::Normal | ObjectType::Appendable, None) => {
                return Err(Failure::Internal("a copy without an MD5".into()).into());
            }
        };
        let version = NewVersion {
            kind,
            length: info.length,
            crc64: info.crc64,
            attributes: match input.metadata_directive {
                Directive::Copy => info.attributes.clone(),
                Directive::Replace => input.attributes.clone(),
            },
            acl: input.acl.unwrap_or(ObjectAcl::Default),
            tags: match input.tagging_directive {
                Directive::Copy => info.tags.clone(),
                Directive::Replace => input.tags.clone(),
            },
            storage_class: class,
            sealing,
            new_key,
            over: None,
        };
        let key = input.key.clone();
        let forbid = input.forbid_overwrite;
        let written = self.write_version::<CopyError>(place, key, version, bytes, forbid).await?;
        Ok(CopyOutput {
            etag: written.etag,
            crc64: info.crc64,
            length: info.length,
            last_modified: written.modified_s,
            version_id: written.version_id,
            source_version_id: info.version_id,
            encrypted: sealing.is_some(),
        })
    }

    /// Reads the source through, as if it were uploaded.
    async fn take_copy(
        &self,
        place: &Place,
        key: &ObjectKey,
        source: &OpenObject,
        encrypt: bool,
    ) -> Result<Copied, CopyError> {
        let info = &source.info;
        let failed = Arc::new(Mutex::new(None));
        let stream = Reread { download: source.read(0..info.length), failed: Arc::clone(&failed) };
        let body = Body {
            stream: Box::pin(stream),
            length: Some(info.length),
            md5: None,
            // What is copied is what was acknowledged.
            crc64: Some(info.crc64),
        };
        let limits = Limits {
            inline_bytes_max: self.settings.inline_bytes_max,
            length_max: u64::MAX,
            md5: info.kind == ObjectType::Appendable,
        };
        let partition = place.partition(key);
        let cipher = match encrypt {
            true => Some(self.new_cipher()?),
            false => None,
        };
        let sealer = cipher.as_ref().map(|cipher| cipher.sealer(At::Position(0))).transpose()?;
        match intake::take(&*self.store, partition, key, body, limits, sealer).await {
            Ok(taken) => {
                let bytes = match taken.bytes {
                    TakenBytes::Inline(pieces) => NewBytes::Inline(pieces),
                    TakenBytes::Blob(writer) => NewBytes::Writer(writer),
                };
                Ok(Copied {
                    md5: taken.md5.or(info.md5),
                    bytes,
                    sealing: taken.sealing,
                    new_key: cipher.map(|cipher| self.seal_key(partition, &cipher)).transpose()?,
                })
            }
            Err(IntakeError::Store(failure)) => Err(failure.into()),
            Err(error) => {
                let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
                let damaged = || Failure::Damaged(format!("the source does not add up: {error:?}"));
                Err(failed.map_or_else(|| damaged().into(), of_source))
            }
        }
    }

    /// Changes the head and nothing else, unless the bytes are to be encrypted. The headers are always the request's. `None` where
    /// the bucket keeps versions meanwhile.
    async fn copy_onto_itself(
        self: &Arc<Self>,
        place: &Place,
        input: &CopyInput<'_>,
    ) -> Result<Option<CopyOutput>, CopyError> {
        let partition = place.partition(&input.key);
        let head_key = keys::head(&input.key);
        for _ in 0..SELF_COPY_TRIES {
            let record = self.store.get(partition, head_key.clone()).await;
            let record = record.map_err(Failure::from)?.ok_or(CopyError::NoSuchSourceKey)?;
            let seen = Head::decode(&record.value).map_err(Failure::from)?;
            evaluate(&input.conditions, &seen.etag(), seen.modified_s)?;
            if input.forbid_overwrite {
                return Err(CopyError::AlreadyExists);
            }
            if restore::is_frozen(seen.storage_class, seen.life.restore, self.now_ms()) {
                return Err(CopyError::SourceFrozen);
            }
            let class = input.storage_class.unwrap_or(seen.storage_class);
            if let Kind::Appendable { sealed_s, .. } = seen.kind
                && (!self.settings.copy_appendable
                    || (sealed_s.is_none() && !class.takes_appends()))
            {
                return Err(CopyError::SourceAppendable);
            }
            self.check_size(seen.length, true, seen.storage_class != class)?;
            let (length, crc64) = (seen.length, seen.crc64);
            if input.encrypt == Encrypt::Named
                && seen.sealing.is_none()
                && matches!(seen.kind, Kind::Normal { .. } | Kind::Multipart { .. })
            {
                return self.encrypt_in_place(place, input, seen, class).await.map(Some);
            }
            let encrypted = seen.sealing.is_some();
            let new = self.edited(input, seen.clone(), class);
            if let Some(written) = self.replace_head(place, &input.key, seen, new).await? {
                return Ok(Some(CopyOutput {
                    etag: written.etag,
                    crc64,
                    length,
                    last_modified: written.modified_s,
                    source_version_id: None,
                    version_id: written.version_id,
                    encrypted,
                }));
            }
            let now = self.place::<CopyError>(&input.bucket).await?;
            if now.catalogue.versioning.is_some() {
                return Ok(None);
            }
        }
        Err(Failure::Busy.into())
    }

    /// Replaces an object by itself, encrypted. Whoever changes it meanwhile wins, and this is to be sent again.
    async fn encrypt_in_place(
        self: &Arc<Self>,
        place: &Place,
        input: &CopyInput<'_>,
        seen: Head,
        class: StorageClass,
    ) -> Result<CopyOutput, CopyError> {
        self.check_protected::<CopyError>(place, &input.key).await?;
        let source = self.get(&input.bucket, &input.key, None).await.map_err(of_source)?;
        let copied = self.take_copy(place, &input.key, &source, true).await?;
        let new = self.edited(input, seen.clone(), class);
        let version = NewVersion {
            kind: new.kind,
            length: new.length,
            crc64: new.crc64,
            attributes: new.attributes,
            acl: new.acl,
            tags: new.tags,
            storage_class: new.storage_class,
            sealing: copied.sealing,
            new_key: copied.new_key,
            over: Some(Box::new(seen)),
        };
        let (place, key) = (place.clone(), input.key.clone());
        let written = self.write_version::<CopyError>(place, key, version, copied.bytes, false);
        let written = written.await?;
        Ok(CopyOutput {
            etag: written.etag,
            crc64: new.crc64,
            length: new.length,
            last_modified: written.modified_s,
            version_id: written.version_id,
            source_version_id: None,
            encrypted: true,
        })
    }

    fn edited(&self, input: &CopyInput<'_>, seen: Head, class: StorageClass) -> Head {
        let life = match class == seen.storage_class {
            true => seen.life,
            false => Life { restore: None, transition_s: None, ..seen.life },
        };
        Head {
            life,
            attributes: input.attributes.clone(),
            acl: input.acl.unwrap_or(seen.acl),
            tags: match input.tagging_directive {
                Directive::Copy => seen.tags.clone(),
                Directive::Replace => input.tags.clone(),
            },
            storage_class: class,
            modified_s: not_before(Some(&seen), self.now_ms()),
            ..seen
        }
    }

    /// Replaces a head if it is still the one that was seen.
    async fn replace_head(
        &self,
        place: &Place,
        key: &ObjectKey,
        seen: Head,
        new: Head,
    ) -> Result<Option<Written>, CopyError> {
        let partition = place.partition(key);
        let head_key = keys::head(key);
        let hints = vec![head_key.clone()];
        let now_ms = self.now_ms();
        self.change_in(place, partition, hints, Gate::Open, move |view, bucket| {
            let same = read_head(view, &head_key)?.as_ref() == Some(&seen);
            if !same || bucket.versioning.is_some() {
                return Ok((Writes::none(), None));
            }
            if bucket.retention.protects(&seen, now_ms) {
                return refuse(CopyError::Immutable);
            }
            let written =
                Written { etag: new.etag(), modified_s: new.modified_s, version_id: None };
            rewrite_head(&head_key, &new, Some(written))
        })
        .await
    }
}

fn evaluate(conditions: &Conditions<'_>, etag: &str, last_modified: u64) -> Result<(), CopyError> {
    match conditions.evaluate(etag, i64::try_from(last_modified).unwrap_or(i64::MAX)) {
        ConditionOutcome::Proceed => Ok(()),
        ConditionOutcome::NotModified => Err(CopyError::NotModified),
        ConditionOutcome::PreconditionFailed(name) => Err(CopyError::PreconditionFailed(name)),
    }
}

fn of_source(error: ReadObjectError) -> CopyError {
    match error {
        ReadObjectError::NoSuchBucket => CopyError::NoSuchSourceBucket,
        ReadObjectError::NoSuchKey => CopyError::NoSuchSourceKey,
        ReadObjectError::NoSuchVersion => CopyError::NoSuchSourceVersion,
        ReadObjectError::DeleteMarker { version, named } => {
            CopyError::SourceDeleteMarker { version, named }
        }
        ReadObjectError::Frozen => CopyError::SourceFrozen,
        ReadObjectError::Store(failure) => failure.into(),
    }
}

/// A download as an upload; keeps the download's error for the answer.
pub(crate) struct Reread {
    pub(crate) download: Download,
    pub(crate) failed: Arc<Mutex<Option<ReadObjectError>>>,
}

impl Stream for Reread {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(Pin::new(&mut self.download).poll_next(cx));
        Poll::Ready(item.map(|piece| {
            piece.map_err(|error| {
                let broken = BodyError::Broken(error.to_string());
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                broken
            })
        }))
    }
}
