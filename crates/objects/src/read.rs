//! Reading: an object's extents as one stream of verified pieces.
//!
//! What was there when the object was opened is what is read: a small body is in memory, extents are pinned, and an append
//! only ever adds behind the length that the head told. Pages of extents and pieces of bytes are bounded. Where a piece had to be
//! waited for, the next one is read ahead; where it was at hand, reading ahead would only take memory.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_core::Stream;
use ossia_store::{
    BlobId, BlobReader, Item, Partition, PayloadRef, ReadError, Record, SCAN_LIMIT_MAX, Scan,
    Store, successor,
};

use crate::{
    Failure, ObjectInfo, ReadObjectError, VersionId,
    core::{Core, Place},
    extents,
    intake::Md5Lane,
    keys::{self, ContentId},
    readers,
    records::{Content, Damage, Extent, Head, HeadSealing, Source, Stored},
    sealing::{Cipher, Sealing, Window, check_extent, sealed_length},
    versioning::Names,
    words::{BucketName, ObjectKey, ObjectType},
};

/// How often a small body is looked for again because it was overwritten in between.
const INLINE_TRIES: usize = 16;
/// How often payloads are looked for again because they were packed in between.
const MOVED_TRIES: usize = 16;
/// Extents read at first and at most in one page.
const PAGE_FIRST: usize = 16;
const PAGE_MAX: usize = SCAN_LIMIT_MAX;

impl Core {
    pub(crate) async fn head(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> Result<ObjectInfo, ReadObjectError> {
        let place = self.place::<ReadObjectError>(bucket).await?;
        let found = self.locate(&place, key, version).await?;
        Ok(found.head.info(key.clone(), place.catalogue.versioning.is_some()))
    }

    pub(crate) async fn get(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> Result<OpenObject, ReadObjectError> {
        let place = self.place::<ReadObjectError>(bucket).await?;
        self.open_object(&place, key, version).await
    }

    pub(crate) async fn open_object(
        &self,
        place: &Place,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> Result<OpenObject, ReadObjectError> {
        let partition = place.partition(key);
        for _ in 0..INLINE_TRIES {
            // Before the head is read: from here on the reaper waits for us.
            let ticket = self.readers.ticket();
            let Located { at, record, head } = self.locate(place, key, version).await?;
            let cipher = match head.sealing {
                None => None,
                Some(sealing) => match self.cipher(partition, sealing.key).await? {
                    Some(cipher) => Some(cipher),
                    // It goes with its object.
                    None if self.has_changed(partition, &at, &record).await? => continue,
                    None => {
                        return Err(Failure::from(Damage::new("data key", "it is missing")).into());
                    }
                },
            };
            let held = match head.content {
                Content::Extents(content) => Held::Extents(Arc::new(Extents {
                    store: Arc::clone(&self.store),
                    cipher,
                    partition,
                    content,
                    // Of what was made of appends or of parts some runs may be packed.
                    put_whole: (!matches!(
                        head.object_type(),
                        ObjectType::Appendable | ObjectType::Multipart
                    ))
                    .then_some(head.length),
                    piece_bytes: self.settings.read_piece_bytes,
                    _pin: ticket.pin(content),
                })),
                Content::Inline => match self.inline(partition, &at, &record, &head, cipher).await?
                {
                    Some(bytes) => {
                        Held::Inline { bytes, piece_bytes: self.settings.read_piece_bytes }
                    }
                    None => continue,
                },
            };
            let info = head.info(key.clone(), place.catalogue.versioning.is_some());
            return Ok(OpenObject { info, held });
        }
        Err(Failure::Busy.into())
    }

    /// Finds the record of a version that is an object, the current one where none is named.
    async fn locate(
        &self,
        place: &Place,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> Result<Located, ReadObjectError> {
        let partition = place.partition(key);
        let names = Names::of(key);
        let mut seen = None;
        for _ in 0..MOVED_TRIES {
            let current = self.current(place, partition, &names).await?;
            let Some(id) = version else {
                return match current {
                    None => Err(ReadObjectError::NoSuchKey),
                    Some(current) => current.object(false),
                };
            };
            let Some(current) = current else {
                return Err(ReadObjectError::NoSuchVersion);
            };
            if current.head.version_id == id {
                return current.object(true);
            }
            let order = id.order().or(current.head.below.null);
            let order = order.filter(|_| current.head.below.any);
            if let Some(at) = order.map(|order| names.older(order))
                && let Some(found) = self.located(partition, at).await?
                && found.head.version_id == id
            {
                return found.object(true);
            }
            // It may have become the current one, or have ceased to be it, in between.
            let now = Some((current.head.order, current.head.version_id));
            if seen == now {
                return Err(ReadObjectError::NoSuchVersion);
            }
            seen = now;
        }
        Err(Failure::Busy.into())
    }

    /// The MD5 of a content that nobody takes away meanwhile; `data_key` names the key it is encrypted under.
    pub(crate) async fn md5_of(
        &self,
        partition: Partition,
        content: ContentId,
        data_key: Option<ContentId>,
        length: u64,
    ) -> Result<[u8; 16], Failure> {
        let cipher = match data_key {
            // Gone with its upload since that was read.
            Some(id) => Some(self.cipher(partition, id).await?.ok_or(Failure::Busy)?),
            None => None,
        };
        let piece_bytes = self.settings.read_piece_bytes;
        let extents = Arc::new(Extents {
            store: Arc::clone(&self.store),
            cipher,
            partition,
            content,
            put_whole: None,
            piece_bytes,
            _pin: self.readers.ticket().pin(content),
        });
        let mut cursor = Cursor::new(extents, piece_bytes, 0..length);
        let mut md5 = Md5Lane::new();
        while cursor.position < length {
            let piece = cursor.piece().await?;
            cursor.position += piece.len() as u64;
            md5.add(piece).await?;
        }
        md5.finish().await
    }

    /// The record of the current version, object or marker.
    pub(crate) async fn current(
        &self,
        place: &Place,
        partition: Partition,
        names: &Names,
    ) -> Result<Option<Located>, Failure> {
        let found = self.located(partition, names.head.clone()).await?;
        if found.is_some() || place.catalogue.versioning.is_none() {
            return Ok(found);
        }
        // What is current goes from one place to the other and back at any time: only one look at both tells that it is in neither.
        let both = [names.head.clone(), names.marker()].map(alone);
        let pages = self.store.scans(partition, both.into()).await?;
        for item in pages.into_iter().flat_map(|page| page.items) {
            if let Item::Record(at, record) = item {
                let head = Head::decode(&record.value)?;
                return Ok(Some(Located { at, record, head }));
            }
        }
        Ok(None)
    }

    async fn located(&self, partition: Partition, at: Bytes) -> Result<Option<Located>, Failure> {
        let Some(record) = self.store.get(partition, at.clone()).await? else {
            return Ok(None);
        };
        let head = Head::decode(&record.value)?;
        Ok(Some(Located { at, record, head }))
    }

    /// The bytes of a head's own payload; `None` when the head has been replaced since it was read.
    async fn inline(
        &self,
        partition: Partition,
        head_key: &Bytes,
        record: &Record,
        head: &Head,
        cipher: Option<Cipher>,
    ) -> Result<Option<Bytes>, Failure> {
        if head.length == 0 {
            return Ok(Some(Bytes::new()));
        }
        let payload = record.payload.ok_or_else(|| Damage::new("head", "its body is missing"))?;
        let wanted = vec![(head_key.clone(), payload)];
        let bytes = match self.store.payloads(partition, wanted).await {
            Err(ReadError::Gone) => return Ok(None),
            told => told?.pop().unwrap_or_default(),
        };
        let run = inline_run(head)?;
        if bytes.len() as u64 != run.map_or(head.length, |run| sealed_length(run.length)) {
            return Err(Damage::new("head", "its body has another length").into());
        }
        let (Some(run), Some(cipher)) = (run, cipher) else { return Ok(Some(bytes)) };
        let window = Window::of(run.length, 0, run.length);
        cipher.open(&run, run.at(0), &window, &bytes).map(Some)
    }

    /// Whether the record under a key is another one than this.
    async fn has_changed(
        &self,
        partition: Partition,
        at: &Bytes,
        seen: &Record,
    ) -> Result<bool, Failure> {
        let now = self.store.get(partition, at.clone()).await?;
        Ok(now.is_none_or(|now| now.value != seen.value))
    }
}

/// The run that an encrypted object's own payload is.
pub(crate) fn inline_run(head: &Head) -> Result<Option<Sealing>, Damage> {
    let Some(HeadSealing { key, salt }) = head.sealing else { return Ok(None) };
    let salt = salt.ok_or_else(|| Damage::new("head", "an encrypted body without its salt"))?;
    Ok(Some(Sealing { key, salt, part: None, length: head.length }))
}

/// Of the whole index this key alone.
pub(crate) fn alone(key: Bytes) -> Scan {
    let end = Some([&key[..], &[0]].concat().into());
    Scan { start: key, end, limit: 1, fold: None }
}

/// A version's record, and the key that it stands under.
pub(crate) struct Located {
    pub(crate) at: Bytes,
    pub(crate) record: Record,
    pub(crate) head: Head,
}

impl Located {
    /// Itself, unless it is a marker; `named` by the request.
    fn object(self, named: bool) -> Result<Self, ReadObjectError> {
        match self.head.is_marker() {
            true => Err(ReadObjectError::marker(&self.head, named)),
            false => Ok(self),
        }
    }
}

/// An object whose bytes can be read, as it was when it was opened, whatever happens to it meanwhile.
#[derive(Debug)]
pub struct OpenObject {
    /// What is known of it.
    pub info: ObjectInfo,
    held: Held,
}

/// What keeps the bytes readable.
#[derive(Debug)]
enum Held {
    Inline { bytes: Bytes, piece_bytes: usize },
    Extents(Arc<Extents>),
}

struct Extents {
    store: Arc<dyn Store>,
    /// Of an encrypted object.
    cipher: Option<Cipher>,
    partition: Partition,
    content: ContentId,
    /// The length of content that was not appended to, and so has mostly one extent.
    put_whole: Option<u64>,
    piece_bytes: usize,
    _pin: readers::Pin,
}

impl fmt::Debug for Extents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extents").field("content", &self.content).finish_non_exhaustive()
    }
}

impl OpenObject {
    /// A part of the object's bytes, which keeps them readable by itself. A range past the end is cut there.
    pub fn read(&self, range: Range<u64>) -> Download {
        self.read_in_pieces(range, usize::MAX)
    }

    /// The same in pieces of at most `piece_bytes`, where that is less than [`crate::Settings::read_piece_bytes`]: less memory for
    /// a reader, and more work.
    pub fn read_in_pieces(&self, range: Range<u64>, piece_bytes: usize) -> Download {
        let at_most = piece_bytes.max(1);
        let end = range.end.min(self.info.length);
        let start = range.start.min(end);
        match &self.held {
            Held::Inline { bytes, piece_bytes } => {
                let at =
                    |position| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
                let piece_bytes = at_most.min(*piece_bytes);
                Download(Supply::Inline { rest: bytes.slice(at(start)..at(end)), piece_bytes })
            }
            Held::Extents(extents) => {
                let piece_bytes = at_most.min(extents.piece_bytes);
                let cursor = Cursor::new(Arc::clone(extents), piece_bytes, start..end);
                let steps = Steps { step: Some(cursor.start()), ahead: None, waits: false };
                Download(Supply::Extents(steps))
            }
        }
    }

    /// Its data key, if it is encrypted and has extents.
    pub(crate) fn cipher(&self) -> Option<&Cipher> {
        match &self.held {
            Held::Extents(extents) => extents.cipher.as_ref(),
            Held::Inline { .. } => None,
        }
    }

    /// The one blob that is the whole object, if it lies so, and how it is encrypted.
    pub(crate) async fn whole_blob(&self) -> Result<Option<(BlobId, Option<Sealing>)>, Failure> {
        let Held::Extents(extents) = &self.held else {
            return Ok(None);
        };
        let (found, _) = extents.page(keys::extent(extents.content, 0), 1).await?;
        let Some(Found {
            end, length, source: FoundSource::Blob { id, offset: 0 }, sealing, ..
        }) = found.first()
        else {
            return Ok(None);
        };
        if *end != self.info.length || length != end {
            return Ok(None);
        }
        // A packed blob may hold more than this object.
        let blob = extents.store.open(*id).await?;
        let stored = sealing.map_or(*length, |sealing| sealed_length(sealing.length));
        let whole = blob.length() == stored && sealing.is_none_or(|s| s.length == *length);
        Ok(whole.then_some((*id, *sealing)))
    }
}

/// The bytes of an object, in order. After an error nothing comes any more.
pub struct Download(Supply);

enum Supply {
    /// What is left of a body in memory.
    Inline {
        rest: Bytes,
        piece_bytes: usize,
    },
    Extents(Steps),
}

/// Content that is read piece by piece.
struct Steps {
    /// Reads the next piece; `None` when all has been handed out.
    step: Option<Step>,
    /// A piece that was ready before it was asked for.
    ahead: Option<Result<Bytes, ReadObjectError>>,
    /// The last piece had to be waited for.
    waits: bool,
}

type Told = (Option<Cursor>, Option<Result<Bytes, ReadObjectError>>);
type Step = Pin<Box<dyn Future<Output = Told> + Send>>;

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").finish_non_exhaustive()
    }
}

impl Stream for Download {
    type Item = Result<Bytes, ReadObjectError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.get_mut().0 {
            Supply::Inline { rest, .. } if rest.is_empty() => Poll::Ready(None),
            Supply::Inline { rest, piece_bytes } => {
                Poll::Ready(Some(Ok(rest.split_to(rest.len().min(*piece_bytes)))))
            }
            Supply::Extents(steps) => steps.poll_next(cx),
        }
    }
}

impl Steps {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadObjectError>>> {
        let item = match self.ahead.take() {
            Some(item) => Some(item),
            None => ready!(self.poll_step(cx)),
        };
        // Polled once, a read goes on while the caller sends what it has been given.
        if std::mem::take(&mut self.waits)
            && item.is_some()
            && self.step.is_some()
            && let Poll::Ready(next) = self.poll_step(cx)
        {
            self.ahead = next;
        }
        Poll::Ready(item)
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadObjectError>>> {
        let Some(step) = &mut self.step else {
            return Poll::Ready(None);
        };
        let Poll::Ready((cursor, item)) = step.as_mut().poll(cx) else {
            self.waits = true;
            return Poll::Pending;
        };
        self.step = cursor.map(Cursor::start);
        Poll::Ready(item)
    }
}

/// Where a download is.
struct Cursor {
    piece_bytes: usize,
    extents: Arc<Extents>,
    position: u64,
    end: u64,
    /// Extents to ask for next time.
    page: usize,
    queue: VecDeque<Found>,
    blob: Option<(BlobId, Box<dyn BlobReader>)>,
    moved: usize,
    looked_for_one: bool,
}

/// An extent that was found.
struct Found {
    key: Bytes,
    end: u64,
    length: u64,
    source: FoundSource,
    sealing: Option<Sealing>,
}

enum FoundSource {
    Payload(PayloadRef),
    Blob { id: BlobId, offset: u64 },
}

impl Found {
    fn start(&self) -> u64 {
        self.end - self.length
    }
}

impl Cursor {
    fn new(extents: Arc<Extents>, piece_bytes: usize, range: Range<u64>) -> Self {
        Self {
            extents,
            piece_bytes,
            position: range.start,
            end: range.end,
            page: PAGE_FIRST,
            queue: VecDeque::new(),
            blob: None,
            moved: 0,
            looked_for_one: false,
        }
    }

    fn start(self) -> Step {
        Box::pin(self.step())
    }

    async fn step(mut self) -> Told {
        if self.position >= self.end {
            return (None, None);
        }
        match self.piece().await {
            Ok(bytes) => {
                self.position += bytes.len() as u64;
                let more = self.position < self.end;
                (more.then_some(self), Some(Ok(bytes)))
            }
            Err(failure) => (None, Some(Err(failure.into()))),
        }
    }

    /// The next bytes, never none.
    async fn piece(&mut self) -> Result<Bytes, Failure> {
        let extents = &Arc::clone(&self.extents);
        loop {
            if self.queue.is_empty() {
                self.fill(extents).await?;
            }
            match self.queue.front().map(|found| &found.source) {
                Some(&FoundSource::Blob { id, offset }) => {
                    return self.blob_piece(extents, id, offset).await;
                }
                _ => {
                    if let Some(bytes) = self.payload_piece(extents).await? {
                        return Ok(bytes);
                    }
                }
            }
        }
    }

    /// Reads a page of extents, the first of which holds the position.
    async fn fill(&mut self, extents: &Extents) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.looked_for_one, true)
            && let Some(length) = extents.put_whole
            && let Some(one) = extents.one(length).await?
        {
            self.queue.push_back(one);
            return Ok(());
        }
        let found = extents.at(self.position, self.page).await?;
        self.page = (self.page * 2).min(PAGE_MAX);
        let mut expected = None;
        for found in found {
            let right = match expected {
                None => found.start() <= self.position,
                Some(expected) => found.start() == expected,
            };
            if !right {
                return Err(Damage::new("extent", "there is a gap before it").into());
            }
            let end = found.end;
            self.queue.push_back(found);
            if end >= self.end {
                break;
            }
            expected = Some(end);
        }
        if self.queue.is_empty() {
            return Err(Damage::new("extent", "the last ones are missing").into());
        }
        Ok(())
    }

    async fn blob_piece(
        &mut self,
        extents: &Extents,
        id: BlobId,
        offset: u64,
    ) -> Result<Bytes, Failure> {
        let (start, end, sealing) = match self.queue.front() {
            Some(found) => (found.start(), found.end.min(self.end), found.sealing),
            None => return Err(Failure::Internal("no extent at hand".into())),
        };
        let in_blob = offset + (self.position - start);
        // Pieces end at multiples of their length in the blob: a store verifies whole blocks, and none is then read twice.
        let piece_bytes = self.piece_bytes as u64;
        let (length, run) = match sealing {
            None => ((end - self.position).min(piece_bytes - in_blob % piece_bytes), None),
            Some(sealing) => {
                let from = self.position - start;
                let to = Window::reach(from, end - start, self.piece_bytes);
                (to - from, Some((sealing, Window::of(sealing.length, from, to))))
            }
        };
        if self.blob.as_ref().is_none_or(|(open, _)| *open != id) {
            self.blob = Some((id, extents.store.open(id).await?));
        }
        let Some((_, reader)) = &self.blob else {
            return Err(Failure::Internal("no blob at hand".into()));
        };
        let wanted = usize::try_from(length).unwrap_or(self.piece_bytes);
        let (from, stored) =
            run.map_or((in_blob, wanted), |(_, window)| (window.offset, window.length));
        let mut bytes = reader.read(from, stored).await?;
        if bytes.len() != stored {
            return Err(Failure::Damaged("a blob gave fewer bytes than it has".into()));
        }
        if let Some((sealing, window)) = run {
            bytes = extents.key()?.open(&sealing, sealing.at(start), &window, &bytes)?;
        }
        if self.position + length == end {
            self.queue.pop_front();
        }
        Ok(bytes)
    }

    /// The payloads at the front of the queue as one piece; `None` when they have moved and the page must be read again.
    async fn payload_piece(&mut self, extents: &Extents) -> Result<Option<Bytes>, Failure> {
        let mut wanted = Vec::new();
        let mut sum = 0;
        for found in &self.queue {
            let FoundSource::Payload(payload) = found.source else {
                break;
            };
            if sum > 0 && sum + found.length > self.piece_bytes as u64 {
                break;
            }
            sum += found.length;
            wanted.push((found.key.clone(), payload));
        }
        let count = wanted.len();
        let payloads = match extents.store.payloads(extents.partition, wanted).await {
            Err(ReadError::Gone) if self.moved < MOVED_TRIES => {
                self.moved += 1;
                self.queue.clear();
                return Ok(None);
            }
            Err(ReadError::Gone) => {
                return Err(Failure::Damaged("payloads of pinned content are gone".into()));
            }
            told => told?,
        };
        self.moved = 0;
        if payloads.len() != count {
            return Err(Failure::Internal("other payloads than asked for".into()));
        }
        let mut joined = BytesMut::with_capacity(if count > 1 { sum as usize } else { 0 });
        let mut only = Bytes::new();
        let mut position = self.position;
        for payload in payloads {
            let Some(found) = self.queue.pop_front() else { break };
            let start = found.start();
            let (from, to) = (position - start, found.end.min(self.end) - start);
            let stored = found.sealing.map_or(found.length, |run| sealed_length(run.length));
            if payload.len() as u64 != stored {
                return Err(Damage::new("extent", "its payload has another length").into());
            }
            let part = match found.sealing {
                None => payload.slice(from as usize..to as usize),
                Some(run) => {
                    let window = Window::of(run.length, from, to);
                    let first = window.offset as usize;
                    let stored = payload.slice(first..first + window.length);
                    extents.key()?.open(&run, run.at(start), &window, &stored)?
                }
            };
            position = found.end;
            match count {
                1 => only = part,
                _ => joined.put_slice(&part),
            }
        }
        Ok(Some(if count == 1 { only } else { joined.freeze() }))
    }
}

impl Extents {
    /// The extent that is all of the content, if one is: it is keyed by its end, so it takes no search.
    async fn one(&self, length: u64) -> Result<Option<Found>, Failure> {
        let key = keys::extent(self.content, length);
        let Some(record) = self.store.get(self.partition, key.clone()).await? else {
            return Ok(None);
        };
        Ok(Some(self.found(key, &record)?).filter(|found| found.length == length))
    }

    /// Extents from the one on that holds a position.
    async fn at(&self, position: u64, limit: usize) -> Result<Vec<Found>, Failure> {
        if self.put_whole.is_some() {
            // Nothing here is packed as yet, so one look will do.
            let (found, _) = self.page(keys::extent(self.content, position + 1), limit).await?;
            if found.first().is_some_and(|first| first.start() <= position) {
                return Ok(found);
            }
        }
        let found = extents::at(&*self.store, self.partition, self.content, position, limit);
        let found = found.await?.into_iter();
        Ok(found.map(|(key, record)| self.found(key, &record)).collect::<Result<_, _>>()?)
    }

    /// Extents from a key on, at least one unless there is none, and where to go on.
    async fn page(
        &self,
        start: Bytes,
        limit: usize,
    ) -> Result<(Vec<Found>, Option<Bytes>), Failure> {
        let end = successor(&keys::extents(self.content));
        let mut next = start;
        loop {
            let scan = Scan { start: next, end: end.clone(), limit, fold: None };
            let page = self.store.scan(self.partition, scan).await?;
            let mut found = Vec::with_capacity(page.items.len());
            for item in page.items {
                if let Item::Record(key, record) = item {
                    found.push(self.found(key, &record)?);
                }
            }
            match page.resume {
                Some(resume) if found.is_empty() => next = resume,
                resume => return Ok((found, resume)),
            }
        }
    }
}

impl Extents {
    fn key(&self) -> Result<&Cipher, Failure> {
        self.cipher.as_ref().ok_or_else(|| Failure::Internal("no data key at hand".into()))
    }

    fn found(&self, key: Bytes, record: &Record) -> Result<Found, Damage> {
        let extent = Extent::decode(&record.value)?;
        check_extent(&extent, self.cipher.as_ref().map(Cipher::id))?;
        let end = keys::extent_end(&key).filter(|&end| end >= extent.length);
        let end = end.ok_or_else(|| Damage::new("extent", "its key does not fit its length"))?;
        let source = match extent.source {
            Source::Blob { id, offset } => FoundSource::Blob { id, offset },
            Source::Payload => {
                let missing = || Damage::new("extent", "its payload is missing");
                FoundSource::Payload(record.payload.ok_or_else(missing)?)
            }
        };
        let Extent { length, sealing, .. } = extent;
        Ok(Found { key, end, length, source, sealing })
    }
}
