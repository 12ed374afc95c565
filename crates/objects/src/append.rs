//! Append: what Ossia exists for.
//!
//! The head is looked at before the body is read, so that a wrong position is told while the client still holds its bytes; what was
//! seen there is durable, so it may be told (I4). The transaction then decides again, and alone: of any number of appends at one
//! position one succeeds, because each body reads the head and writes it (I2).
//!
//! An append adds one extent and rewrites the head; it reads neither older extents nor bytes, so its cost does not grow with the
//! object. The CRC-64 of the whole comes from that of the head and that of the body (I8).

use std::sync::Arc;

use bytes::Bytes;
use ossia_store::{
    BlobId, Partition, Payload, View, Writes,
    mutants::{self, Mutant},
};

use crate::{
    AppendError, AppendInput, AppendOutput, Creation, SealError, SealInput, SealOutput, VersionId,
    core::{Core, Gate, Place, Stop, Verdict, refuse},
    intake::{self, Limits, TakenBytes},
    keys::{self, ContentId},
    records::{
        Below, BucketRecord, Content, Extent, Head, HeadSealing, Kind, Life, Retention, Source,
        Stored,
    },
    sealing::{At, Cipher, NewKey, Sealing},
    version::{not_before, put_extent, read_head, rewrite_head},
    versioning::{self, Names, Stamp, read_current},
    words::{ObjectAcl, ObjectKey, StorageClass, crc64},
};

/// What an append wants to do, but for its bytes: everything that its transaction captures.
#[derive(Debug, Clone)]
struct Wish {
    names: Names,
    position: u64,
    length_max: u64,
    creation: Option<Creation>,
    acl: Option<ObjectAcl>,
    /// The class of an object that names none.
    bucket_class: StorageClass,
    /// What the bucket's retention is believed to be; the transaction knows better.
    retention: Retention,
    now_ms: u64,
}

/// The body, taken in.
#[derive(Debug, Clone)]
struct Addition {
    length: u64,
    crc64: u64,
    bytes: Added,
    /// The content id of an object that this append creates.
    content: ContentId,
    stamp: Stamp,
    /// How it is encrypted, if it is.
    sealing: Option<Sealing>,
    /// The data key of an object that this append creates.
    new_key: Option<NewKey>,
}

#[derive(Debug, Clone)]
enum Added {
    Payload(Vec<Bytes>),
    Blob(BlobId),
}

impl Core {
    pub(crate) async fn append(
        self: &Arc<Self>,
        input: AppendInput,
    ) -> Result<AppendOutput, AppendError> {
        let AppendInput { bucket, key, position, mut creation, acl, body } = input;
        if let Some(creation) = &mut creation {
            creation.encrypted |= self.settings.encrypt_all;
        }
        let place = self.place::<AppendError>(&bucket).await?;
        let partition = place.partition(&key);
        let max = self.settings.append_max_bytes;
        let wish = Wish {
            names: Names::of(&key),
            position,
            length_max: max,
            creation,
            acl,
            bucket_class: place.catalogue.storage_class,
            retention: place.catalogue.retention.clone(),
            now_ms: self.now_ms(),
        };
        let there = self.check_early(partition, &wish, body.length).await?;
        let creates = there.is_none();
        let cipher = self.cipher_of(partition, &wish, there).await?;
        let at = At::Position(position);
        let sealer = cipher.as_ref().map(|cipher| cipher.sealer(at)).transpose()?;
        let limits = Limits {
            inline_bytes_max: self.settings.inline_bytes_max,
            length_max: max.saturating_sub(position),
            md5: false,
        };
        let taken = intake::take(&*self.store, partition, &key, body, limits, sealer).await;
        let taken = taken.map_err(|error| error.into_append(max))?;
        let (length, crc64, sealing) = (taken.length, taken.crc64, taken.sealing);
        let new_key = cipher.filter(|_| creates);
        let new_key = new_key.map(|cipher| self.seal_key(partition, &cipher)).transpose()?;
        let addition = move |bytes, stamp: Stamp| Addition {
            length,
            crc64,
            bytes,
            content: ContentId::new(stamp.now_ms),
            stamp,
            sealing,
            new_key,
        };
        match taken.bytes {
            TakenBytes::Inline(pieces) => {
                let addition = addition(Added::Payload(pieces), self.stamp());
                let (output, content) = self.commit_append(&place, &key, wish, addition).await?;
                self.note_small_append(partition, content, output.next_position, length);
                Ok(output)
            }
            TakenBytes::Blob(writer) => {
                let core = Arc::clone(self);
                self.detached(async move {
                    let blob = writer.finish().await.map_err(crate::Failure::from)?;
                    let addition = addition(Added::Blob(blob.id), core.stamp());
                    let told = core.commit_append(&place, &key, wish, addition).await;
                    core.settle_blob(blob.id, &told).await;
                    told.map(|(output, _)| output)
                })
                .await
            }
        }
    }

    /// Refuses before the body is read what would be refused after it. What is there, if the append extends something.
    async fn check_early(
        &self,
        partition: Partition,
        wish: &Wish,
        announced: Option<u64>,
    ) -> Result<Option<Head>, AppendError> {
        let record = self.store.get(partition, wish.names.head.clone()).await;
        let record = record.map_err(crate::Failure::from)?;
        let head = Head::decode_option(record.as_ref()).map_err(crate::Failure::from)?;
        check(head.as_ref(), wish, &wish.retention, announced.unwrap_or(0))?;
        Ok(head)
    }

    /// What the bytes are encrypted with: the key of what is there, or a new one where the append asks for encryption and creates.
    async fn cipher_of(
        &self,
        partition: Partition,
        wish: &Wish,
        there: Option<Head>,
    ) -> Result<Option<Cipher>, AppendError> {
        let Some(head) = there else {
            let asked = wish.creation.as_ref().is_some_and(|creation| creation.encrypted);
            return Ok(if asked { Some(self.new_cipher()?) } else { None });
        };
        let Some(sealing) = head.sealing else { return Ok(None) };
        // Gone with its object since the head was read.
        let cipher = self.cipher(partition, sealing.key).await?.ok_or(crate::Failure::Busy)?;
        Ok(Some(cipher))
    }

    async fn commit_append(
        &self,
        place: &Place,
        key: &ObjectKey,
        wish: Wish,
        addition: Addition,
    ) -> Result<(AppendOutput, ContentId), AppendError> {
        let hints = wish.names.hints(place.catalogue.versioning);
        self.change_in(place, place.partition(key), hints, Gate::Open, move |view, bucket| {
            let current = read_current(view, &wish.names, bucket)?;
            let head = versioning::object(current.as_ref());
            let moved;
            let wish = if mutants::on(Mutant::PositionOnlyEarly) {
                let position = head.map_or(wish.position, |head| head.length);
                moved = Wish { position, ..wish.clone() };
                &moved
            } else {
                &wish
            };
            match check(head, wish, &bucket.retention, addition.length) {
                Ok(Fit::Creates(creation)) => {
                    create((view, bucket), wish, &addition, creation, current.as_ref())
                }
                Ok(Fit::Extends(head, etag_s)) => extend(bucket, wish, &addition, head, etag_s),
                Err(error) => refuse(error),
            }
        })
        .await
    }

    pub(crate) async fn seal(&self, input: SealInput) -> Result<SealOutput, SealError> {
        let SealInput { bucket, key, position } = input;
        let place = self.place::<SealError>(&bucket).await?;
        let head_key = keys::head(&key);
        let hints = vec![head_key.clone()];
        let now_ms = self.now_ms();
        self.change(&place, place.partition(&key), hints, Gate::Open, move |view| {
            let Some(mut head) = read_head(view, &head_key)? else {
                return refuse(SealError::NoSuchKey);
            };
            let Kind::Appendable { etag_s, sealed_s, fence } = head.kind else {
                return refuse(SealError::NotAppendable);
            };
            if position != head.length {
                let (length, crc64) = (head.length, head.crc64);
                return refuse(SealError::PositionMismatch { length, crc64 });
            }
            // The first time stays.
            let sealed_at = sealed_s.unwrap_or_else(|| not_before(Some(&head), now_ms));
            let output =
                SealOutput { sealed_at, etag: head.etag(), length: head.length, crc64: head.crc64 };
            if sealed_s.is_some() {
                return Ok((Writes::none(), output));
            }
            head.kind = Kind::Appendable { etag_s, sealed_s: Some(sealed_at), fence };
            rewrite_head(&head_key, &head, output)
        })
        .await
    }
}

/// How an append fits what is there.
#[derive(Debug)]
enum Fit<'a> {
    Creates(&'a Creation),
    /// The head, and the time in its ETag.
    Extends(&'a Head, u64),
}

/// The decision, in OSS's order: type, seal, retention, position, size. Fence and receipt belong between retention and position.
fn check<'a>(
    head: Option<&'a Head>,
    wish: &'a Wish,
    retention: &Retention,
    adds: u64,
) -> Result<Fit<'a>, AppendError> {
    if retention.objects.is_some() {
        return Err(AppendError::BucketRetained);
    }
    let fit = match head {
        None if wish.position != 0 => {
            return Err(AppendError::PositionMismatch { length: 0, crc64: 0 });
        }
        None => {
            let creation = wish.creation.as_ref().ok_or(AppendError::CreationRefused)?;
            if !creation.storage_class.unwrap_or(wish.bucket_class).takes_appends() {
                return Err(AppendError::ClassNotAppendable);
            }
            Fit::Creates(creation)
        }
        Some(head) => {
            let Kind::Appendable { etag_s, sealed_s, .. } = head.kind else {
                return Err(AppendError::NotAppendable);
            };
            if sealed_s.is_some() {
                return Err(AppendError::Sealed);
            }
            if retention.protects(head, wish.now_ms) {
                return Err(AppendError::Immutable);
            }
            if wish.position != head.length {
                let (length, crc64) = (head.length, head.crc64);
                return Err(AppendError::PositionMismatch { length, crc64 });
            }
            Fit::Extends(head, etag_s)
        }
    };
    match wish.position.checked_add(adds) {
        Some(length) if length <= wish.length_max => Ok(fit),
        _ => Err(AppendError::TooLarge { max: wish.length_max }),
    }
}

type Appended = (AppendOutput, ContentId);

/// A new object where there is none, or on top of a delete marker.
fn create(
    (view, bucket): (&dyn View, &BucketRecord),
    wish: &Wish,
    addition: &Addition,
    creation: &Creation,
    current: Option<&Head>,
) -> Verdict<Appended, AppendError> {
    let modified_s = not_before(current, addition.stamp.now_ms);
    let mut head = Head {
        kind: Kind::Appendable { etag_s: modified_s, sealed_s: None, fence: 0 },
        length: addition.length,
        crc64: addition.crc64,
        content: Content::Extents(addition.content),
        modified_s,
        attributes: creation.attributes.clone(),
        acl: wish.acl.unwrap_or(creation.acl),
        tags: creation.tags.clone(),
        storage_class: creation.storage_class.unwrap_or(wish.bucket_class),
        order: 1,
        version_id: VersionId::Null,
        below: Below::default(),
        noncurrent_s: None,
        life: Life::default(),
        sealing: addition.sealing.map(|sealing| HeadSealing { key: sealing.key, salt: None }),
    };
    let mut writes = Writes::none();
    match &addition.new_key {
        Some(key) => key.write(&mut writes),
        // What it was encrypted for is gone, or was never to be encrypted: sent again, it fits.
        None if creation.encrypted || addition.sealing.is_some() => {
            return refuse(crate::Failure::Busy.into());
        }
        None => {}
    }
    add_extent(&mut writes, addition.content, head.length, addition);
    let at = (view, &mut writes);
    let (names, stamp) = (&wish.names, addition.stamp);
    versioning::add(at, names, bucket, current, &mut head, Payload::None, stamp)?;
    Ok((writes, (output(bucket, &head, true), addition.content)))
}

/// The same version goes on, whatever its bucket does with versions.
fn extend(
    bucket: &BucketRecord,
    wish: &Wish,
    addition: &Addition,
    old: &Head,
    etag_s: u64,
) -> Verdict<Appended, AppendError> {
    let Content::Extents(content) = old.content else {
        let damage = crate::records::Damage::new("head", "an appendable without extents");
        return Err(Stop::from(damage));
    };
    let mut head = old.clone();
    head.acl = wish.acl.unwrap_or(old.acl);
    let mut writes = Writes::none();
    if addition.length > 0 {
        if old.sealing.map(|sealing| sealing.key) != addition.sealing.map(|sealing| sealing.key) {
            // Made in the place of what the bytes were encrypted for, or not.
            return refuse(crate::Failure::Busy.into());
        }
        head.length += addition.length;
        // I8
        head.crc64 = crc64::combine(old.crc64, addition.crc64, addition.length);
        head.modified_s = not_before(Some(old), addition.stamp.now_ms);
        if let Kind::Appendable { etag_s: time, .. } = &mut head.kind {
            *time = head.modified_s.max(etag_s);
        }
        add_extent(&mut writes, content, head.length, addition);
    }
    // An append of nothing changes nothing, but the ACL that came with it takes effect.
    if head != *old {
        writes.put(wish.names.head.clone(), head.encode());
    }
    Ok((writes, (output(bucket, &head, false), content)))
}

fn add_extent(writes: &mut Writes, content: ContentId, end: u64, addition: &Addition) {
    let (source, payload) = match &addition.bytes {
        Added::Payload(pieces) if addition.length > 0 => {
            (Source::Payload, Payload::New(pieces.clone()))
        }
        Added::Payload(_) => return,
        Added::Blob(id) => (Source::Blob { id: *id, offset: 0 }, Payload::None),
    };
    let Addition { length, crc64, sealing, .. } = *addition;
    let extent = Extent { length, crc64, source, sealing };
    put_extent(writes, content, end, extent, payload);
}

fn output(bucket: &BucketRecord, head: &Head, created: bool) -> AppendOutput {
    AppendOutput {
        next_position: head.length,
        crc64: head.crc64,
        etag: head.etag(),
        last_modified: head.modified_s,
        created,
        version_id: bucket.versioning.map(|_| head.version_id),
        encrypted: head.sealing.is_some(),
    }
}
