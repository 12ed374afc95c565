//! Reading: an object's extents as one stream of verified pieces.
//!
//! What was there when the object was opened is what is read: a small body is in memory, extents are pinned, and an append
//! only ever adds behind the length that the head told. Pages of extents and pieces of bytes are bounded; one piece is read ahead.

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
    BlobId, BlobReader, Item, Partition, PayloadRef, ReadError, Record, Scan, Store, successor,
};

use crate::{
    Failure, ObjectInfo, ReadObjectError,
    core::{Core, Place},
    keys::{self, ContentId},
    readers,
    records::{Content, Damage, Extent, Head, Source, Stored},
    words::{BucketName, ObjectKey},
};

/// How often a small body is looked for again because it was overwritten in between.
const INLINE_TRIES: usize = 16;
/// How often payloads are looked for again because they were packed in between.
const MOVED_TRIES: usize = 16;
/// Extents read at first and at most in one page.
const PAGE_FIRST: usize = 16;
const PAGE_MAX: usize = 512;

impl Core {
    pub(crate) async fn head(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> Result<ObjectInfo, ReadObjectError> {
        let place = self.place::<ReadObjectError>(bucket).await?;
        let record = self.store.get(place.partition(key), keys::head(key)).await;
        let record = record.map_err(Failure::from)?.ok_or(ReadObjectError::NoSuchKey)?;
        let head = Head::decode(&record.value).map_err(Failure::from)?;
        Ok(head.info(key.clone()))
    }

    pub(crate) async fn get(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> Result<OpenObject, ReadObjectError> {
        let place = self.place::<ReadObjectError>(bucket).await?;
        self.open_object(&place, key).await
    }

    pub(crate) async fn open_object(
        &self,
        place: &Place,
        key: &ObjectKey,
    ) -> Result<OpenObject, ReadObjectError> {
        let partition = place.partition(key);
        let head_key = keys::head(key);
        for _ in 0..INLINE_TRIES {
            // Before the head is read: from here on the reaper waits for us.
            let ticket = self.readers.ticket();
            let record = self.store.get(partition, head_key.clone()).await;
            let record = record.map_err(Failure::from)?.ok_or(ReadObjectError::NoSuchKey)?;
            let head = Head::decode(&record.value).map_err(Failure::from)?;
            let held = match head.content {
                Content::Extents(content) => Held::Extents(Extents {
                    store: Arc::clone(&self.store),
                    partition,
                    content,
                    piece_bytes: self.settings.read_piece_bytes,
                    _pin: ticket.pin(content),
                }),
                Content::Inline => match self.inline(partition, &head_key, &record, &head).await? {
                    Some(bytes) => {
                        Held::Inline { bytes, piece_bytes: self.settings.read_piece_bytes }
                    }
                    None => continue,
                },
            };
            return Ok(OpenObject { info: head.info(key.clone()), held: Arc::new(held) });
        }
        Err(Failure::Busy.into())
    }

    /// The bytes of a head's own payload; `None` when the head has been replaced since it was read.
    async fn inline(
        &self,
        partition: Partition,
        head_key: &Bytes,
        record: &Record,
        head: &Head,
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
        if bytes.len() as u64 != head.length {
            return Err(Damage::new("head", "its body has another length").into());
        }
        Ok(Some(bytes))
    }
}

/// An object whose bytes can be read, as it was when it was opened, whatever happens to it meanwhile.
#[derive(Debug)]
pub struct OpenObject {
    /// What is known of it.
    pub info: ObjectInfo,
    held: Arc<Held>,
}

/// What keeps the bytes readable.
#[derive(Debug)]
enum Held {
    Inline { bytes: Bytes, piece_bytes: usize },
    Extents(Extents),
}

struct Extents {
    store: Arc<dyn Store>,
    partition: Partition,
    content: ContentId,
    piece_bytes: usize,
    _pin: readers::Pin,
}

impl fmt::Debug for Extents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extents").field("content", &self.content).finish_non_exhaustive()
    }
}

impl OpenObject {
    /// A part of the object's bytes. A range past the end is cut there.
    pub fn read(&self, range: Range<u64>) -> Download {
        let end = range.end.min(self.info.length);
        let start = range.start.min(end);
        let cursor = Cursor {
            held: Arc::clone(&self.held),
            position: start,
            end,
            page: PAGE_FIRST,
            queue: VecDeque::new(),
            blob: None,
            moved: 0,
        };
        Download { step: Some(cursor.start()), ahead: None }
    }

    /// The one blob that is the whole object, if it lies so.
    pub(crate) async fn whole_blob(&self) -> Result<Option<BlobId>, Failure> {
        let Held::Extents(extents) = &*self.held else {
            return Ok(None);
        };
        let (found, _) = extents.page(keys::extent(extents.content, 0), 1).await?;
        let Some(Found { end, length, source: FoundSource::Blob { id, offset: 0 }, .. }) =
            found.first()
        else {
            return Ok(None);
        };
        if *end != self.info.length || length != end {
            return Ok(None);
        }
        // A packed blob may hold more than this object.
        let blob = extents.store.open(*id).await?;
        Ok((blob.length() == *length).then_some(*id))
    }
}

/// The bytes of an object, in order. After an error nothing comes any more.
pub struct Download {
    /// Reads the next piece; `None` when all has been handed out.
    step: Option<Step>,
    /// A piece that was ready before it was asked for.
    ahead: Option<Result<Bytes, ReadObjectError>>,
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
        let this = self.get_mut();
        let item = match this.ahead.take() {
            Some(item) => Some(item),
            None => ready!(this.poll_step(cx)),
        };
        // Polled once, a read goes on while the caller sends what it has been given.
        if item.is_some()
            && this.step.is_some()
            && let Poll::Ready(next) = this.poll_step(cx)
        {
            this.ahead = next;
        }
        Poll::Ready(item)
    }
}

impl Download {
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadObjectError>>> {
        let Some(step) = &mut self.step else {
            return Poll::Ready(None);
        };
        let (cursor, item) = ready!(step.as_mut().poll(cx));
        self.step = cursor.map(Cursor::start);
        Poll::Ready(item)
    }
}

/// Where a download is.
struct Cursor {
    held: Arc<Held>,
    position: u64,
    end: u64,
    /// Extents to ask for next time.
    page: usize,
    queue: VecDeque<Found>,
    blob: Option<(BlobId, Box<dyn BlobReader>)>,
    moved: usize,
}

/// An extent that was found.
struct Found {
    key: Bytes,
    end: u64,
    length: u64,
    source: FoundSource,
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
        let held = Arc::clone(&self.held);
        let extents = match &*held {
            Held::Inline { bytes, piece_bytes } => {
                let end = self.end.min(self.position + *piece_bytes as u64);
                let range = usize::try_from(self.position).ok().zip(usize::try_from(end).ok());
                let (start, end) =
                    range.filter(|(_, end)| *end <= bytes.len()).ok_or_else(|| {
                        Failure::Internal("a range past the end of a body in memory".into())
                    })?;
                return Ok(bytes.slice(start..end));
            }
            Held::Extents(extents) => extents,
        };
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
        let start = keys::extent(extents.content, self.position + 1);
        let (found, _) = extents.page(start, self.page).await?;
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
        let (start, end) = match self.queue.front() {
            Some(found) => (found.start(), found.end.min(self.end)),
            None => return Err(Failure::Internal("no extent at hand".into())),
        };
        let length = (end - self.position).min(extents.piece_bytes as u64);
        if self.blob.as_ref().is_none_or(|(open, _)| *open != id) {
            self.blob = Some((id, extents.store.open(id).await?));
        }
        let Some((_, reader)) = &self.blob else {
            return Err(Failure::Internal("no blob at hand".into()));
        };
        let wanted = usize::try_from(length).unwrap_or(extents.piece_bytes);
        let bytes = reader.read(offset + (self.position - start), wanted).await?;
        if bytes.len() != wanted {
            return Err(Failure::Damaged("a blob gave fewer bytes than it has".into()));
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
            if sum > 0 && sum + found.length > extents.piece_bytes as u64 {
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
            if payload.len() as u64 != found.length {
                return Err(Damage::new("extent", "its payload has another length").into());
            }
            let from = (position - found.start()) as usize;
            let to = (found.end.min(self.end) - found.start()) as usize;
            let part = payload.slice(from..to);
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
                    found.push(Found::new(key, &record)?);
                }
            }
            match page.resume {
                Some(resume) if found.is_empty() => next = resume,
                resume => return Ok((found, resume)),
            }
        }
    }
}

impl Found {
    fn new(key: Bytes, record: &Record) -> Result<Self, Damage> {
        let extent = Extent::decode(&record.value)?;
        let end = keys::extent_end(&key).filter(|&end| end >= extent.length);
        let end = end.ok_or_else(|| Damage::new("extent", "its key does not fit its length"))?;
        let source = match extent.source {
            Source::Blob { id, offset } => FoundSource::Blob { id, offset },
            Source::Payload => {
                let missing = || Damage::new("extent", "its payload is missing");
                FoundSource::Payload(record.payload.ok_or_else(missing)?)
            }
        };
        Ok(Self { key, end, length: extent.length, source })
    }
}
