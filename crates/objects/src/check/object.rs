//! One object: its head, its extents without a gap, every byte against every checksum that there is.

use bytes::Bytes;
use md5::{Digest as _, Md5};
use ossia_store::{BlobError, BlobId, Partition, ReadError, Record};

use super::{Checker, Finding, LOST, OBJECT_BYTES, RECORD, Walked, add, object_key};
use crate::{
    Failure, VersionId, extents,
    keys::{self, ContentId},
    read::inline_run,
    records::{Content, Extent, Head, HeadSealing, KeyRecord, Kind, Reference, Source, Stored},
    sealing::{self, Cipher, Window, check_extent, stored_length},
    words::crc64::{self, Crc64},
};

/// How often something that moved is looked for again.
const TRIES: usize = 16;
/// Extents, and bytes, read at once.
const EXTENTS: usize = 512;
const PIECE_BYTES: u64 = 1 << 20;

/// Where others write, damage counts once so many looks have seen it.
const LOOKS: usize = 3;

/// What a look at an object came to.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// There is no such object, or all has been told.
    Told,
    /// It was changed under the look.
    Moved,
    /// It was looked at as a whole.
    Whole,
}

/// What is wrong with an object, as far as it has come.
#[derive(Debug, Default)]
struct Wrong(Vec<Finding>);

/// Where the bytes go that are read: each into all sums.
struct Sums {
    whole: Crc64,
    md5: Option<Md5>,
    position: u64,
    length: u64,
    /// How the object's bytes can be looked at.
    sight: Sight,
}

/// Whether an object's bytes can be looked at.
#[derive(Debug)]
enum Sight {
    Plain,
    /// Encrypted, with the key at hand.
    Open(Cipher),
    /// Encrypted, and its key is not there: the store's own checksums have to do.
    Blind(ContentId),
}

impl Sight {
    fn key(&self) -> Option<ContentId> {
        match self {
            Self::Plain => None,
            Self::Open(cipher) => Some(cipher.id()),
            Self::Blind(key) => Some(*key),
        }
    }
}

impl Sums {
    fn update(&mut self, bytes: &[u8]) {
        // What an append has added since the head was read is not this state's.
        let left = usize::try_from(self.length.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let bytes = bytes.get(..left).unwrap_or(bytes);
        self.whole.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        self.position = self.position.saturating_add(bytes.len() as u64);
    }
}

/// An extent as its record and its key say.
struct Piece {
    key: Bytes,
    record: Record,
    extent: Extent,
    start: u64,
    end: u64,
}

impl Checker {
    /// Checks the object that this head's key names, if it still stands.
    ///
    /// # Errors
    /// Only where the store as a whole can no longer be read.
    pub(crate) async fn object(
        &self,
        bucket: &Walked,
        partition: Partition,
        head_key: Bytes,
    ) -> Result<(), Failure> {
        self.pace.take(OBJECT_BYTES).await;
        for tried in 1..=TRIES {
            let mut wrong = Wrong::default();
            match self.object_once(bucket, partition, &head_key, &mut wrong).await? {
                Look::Told => return Ok(()),
                Look::Moved if tried < TRIES => continue,
                Look::Moved => wrong = Wrong::default(),
                // Where others write, damage must be there each time that one looks.
                Look::Whole if !wrong.0.is_empty() && !self.still && tried < LOOKS => continue,
                Look::Whole => {}
            }
            add(&self.counts.objects, 1);
            let (text, _) = object_key(&head_key);
            for finding in wrong.0 {
                let (bucket, key) = (Some(bucket.name.to_string()), Some(text.clone()));
                self.tell(Finding { bucket, key, ..finding });
            }
            return Ok(());
        }
        Ok(())
    }

    /// One look.
    async fn object_once(
        &self,
        bucket: &Walked,
        partition: Partition,
        head_key: &Bytes,
        wrong: &mut Wrong,
    ) -> Result<Look, Failure> {
        let told = |what: String| {
            let (text, _) = object_key(head_key);
            let (bucket, key) = (Some(bucket.name.to_string()), Some(text));
            self.tell(Finding { bucket, key, what, advice: RECORD, ..Finding::default() });
        };
        // Before the head is read: from here on the reaper waits for us.
        let ticket = self.readers.ticket();
        let record = match self.store.get(partition, head_key.clone()).await {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Look::Told),
            Err(error) => {
                told(Self::unless_closed(error.into())?);
                return Ok(Look::Told);
            }
        };
        let head = match Head::decode(&record.value) {
            Ok(head) => head,
            Err(damage) => {
                add(&self.counts.objects, 1);
                told(damage.to_string());
                return Ok(Look::Told);
            }
        };
        let catalogue = &bucket.catalogue;
        match object_key(head_key).1 {
            None => wrong.record("its key is none that an object may have"),
            Some(key) if keys::partition(catalogue.id, catalogue.partitions, &key) != partition => {
                wrong.record("it lies in a partition that is not its own");
            }
            Some(_) if self.still => {
                self.place_of_version(partition, head_key, &head, wrong).await?;
            }
            Some(_) => {}
        }
        let md5 = matches!(head.kind, Kind::Normal { .. }).then(Md5::new);
        let (whole, length) = (Crc64::new(), head.length);
        let sight = match self.sight(partition, head_key, &record, &head, wrong).await? {
            Some(sight) => sight,
            None => return Ok(Look::Moved),
        };
        let blind = matches!(sight, Sight::Blind(_));
        let mut sums = Sums { whole, md5, position: 0, length, sight };
        match head.content {
            Content::Inline => {
                drop(ticket);
                if !self.inline(partition, head_key, &record, &head, &mut sums, wrong).await? {
                    return Ok(Look::Moved);
                }
            }
            Content::Extents(content) => {
                let _pin = ticket.pin(content);
                if self.is_let_go(partition, head_key, content).await? {
                    let what = "its content has been let go, and it still stands";
                    wrong.lost(Some((0, head.length)), None, what.into());
                }
                self.content(partition, content, &head, &mut sums, wrong).await?;
            }
        }
        if blind {
            add(&self.counts.unopened, 1);
        } else if self.bytes && wrong.0.is_empty() {
            self.compare(&head, sums, wrong);
        }
        Ok(Look::Whole)
    }

    /// How the object's bytes can be looked at; `None` when it has been changed meanwhile.
    async fn sight(
        &self,
        partition: Partition,
        head_key: &Bytes,
        seen: &Record,
        head: &Head,
        wrong: &mut Wrong,
    ) -> Result<Option<Sight>, Failure> {
        let Some(HeadSealing { key, .. }) = head.sealing else { return Ok(Some(Sight::Plain)) };
        let record = match self.store.get(partition, keys::data_key(key)).await {
            Ok(Some(record)) => record,
            Ok(None) => {
                let now = self.store.get(partition, head_key.clone()).await?;
                if now.is_none_or(|now| now.value != seen.value) {
                    return Ok(None);
                }
                wrong.lost(Some((0, head.length)), None, "its data key is missing".into());
                return Ok(Some(Sight::Blind(key)));
            }
            Err(error) => {
                wrong.lost(Some((0, head.length)), None, Self::unless_closed(error.into())?);
                return Ok(Some(Sight::Blind(key)));
            }
        };
        let opened = KeyRecord::decode(&record.value)
            .map_err(Failure::from)
            .and_then(|record| sealing::open_key(&self.keys, partition, key, &record));
        Ok(Some(match opened {
            Ok(cipher) => Sight::Open(cipher),
            Err(Failure::NoMasterKey(_)) => Sight::Blind(key),
            Err(failure) => {
                wrong.lost(Some((0, head.length)), None, Self::unless_closed(failure)?);
                Sight::Blind(key)
            }
        }))
    }

    /// That a version stands where its order and its kind say, and an older one under a current one that knows of it. Only for a
    /// store that stands still: elsewhere they move.
    async fn place_of_version(
        &self,
        partition: Partition,
        at: &Bytes,
        head: &Head,
        wrong: &mut Wrong,
    ) -> Result<(), Failure> {
        let right = match at.first() {
            Some(&keys::MARKER) => head.is_marker(),
            Some(&keys::HEAD) => !head.is_marker(),
            _ => true,
        };
        if !right {
            wrong.record("it is a delete marker where an object belongs, or the other way round");
        }
        let older = keys::parse_older(at);
        let name = match &older {
            Some((key, _)) => keys::head(key),
            None => keys::tagged(keys::HEAD, at.get(1..).unwrap_or_default()),
        };
        let object = self.store.get(partition, name.clone()).await?;
        let marker = self.store.get(partition, keys::marker(&name)).await?;
        if object.is_some() && marker.is_some() {
            wrong.record("an object and a delete marker are current at once");
        }
        // What cannot be read is told where it stands.
        let current = object.or(marker).map(|record| Head::decode(&record.value));
        match (older, current) {
            (Some(_), None) => wrong.record("it is an older version, and none is current"),
            (Some((_, order)), Some(Ok(current))) => {
                let null = head.version_id == VersionId::Null;
                if order != head.order || order >= current.order || !current.below.any {
                    wrong.record("its order does not fit its place");
                }
                if null != (current.below.null == Some(order)) {
                    wrong.record("the current version is wrong about which one is null");
                }
            }
            (None, Some(Ok(current))) => {
                if let Some(order) = current.below.null
                    && self.store.get(partition, keys::older(&name, order)).await?.is_none()
                {
                    wrong.record("the version that it says is null is missing");
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn compare(&self, head: &Head, sums: Sums, wrong: &mut Wrong) {
        let all = Some((0, head.length));
        if sums.whole.value() != head.crc64 {
            wrong.lost(all, None, "the bytes do not have the object's CRC-64".into());
        }
        if let (Kind::Normal { md5 }, Some(told)) = (&head.kind, sums.md5)
            && told.finalize()[..] != md5[..]
        {
            wrong.lost(
                all,
                None,
                "the bytes do not have the object's MD5, which is its ETag".into(),
            );
        }
    }

    /// A small body. `false` when the head has been replaced meanwhile.
    async fn inline(
        &self,
        partition: Partition,
        head_key: &Bytes,
        record: &Record,
        head: &Head,
        sums: &mut Sums,
        wrong: &mut Wrong,
    ) -> Result<bool, Failure> {
        let all = Some((0, head.length));
        let payload = match record.payload {
            None if head.length == 0 => return Ok(true),
            None => {
                wrong.lost(all, None, "its body is missing".into());
                return Ok(true);
            }
            Some(payload) => payload,
        };
        let run = match inline_run(head) {
            Ok(run) => run,
            Err(damage) => {
                wrong.lost(all, None, damage.to_string());
                return Ok(true);
            }
        };
        let stored = run.map_or(head.length, |run| sealing::sealed_length(run.length));
        if u64::from(payload.length) != stored {
            wrong.lost(all, None, "its body has another length".into());
            return Ok(true);
        }
        if !self.bytes {
            return Ok(true);
        }
        self.pace.take(head.length).await;
        match self.store.payloads(partition, vec![(head_key.clone(), payload)]).await {
            Ok(read) => {
                let bytes = read.into_iter().next().unwrap_or_default();
                add(&self.counts.bytes, bytes.len() as u64);
                match (&sums.sight, run) {
                    (Sight::Open(cipher), Some(run)) => {
                        let window = Window::of(run.length, 0, run.length);
                        match cipher.open(&run, run.at(0), &window, &bytes) {
                            Ok(plain) => sums.update(&plain),
                            Err(failure) => wrong.lost(all, None, failure.to_string()),
                        }
                    }
                    (Sight::Plain, _) => sums.update(&bytes),
                    _ => {}
                }
                Ok(true)
            }
            Err(ReadError::Gone) if !self.still => Ok(false),
            Err(ReadError::Gone) => {
                wrong.lost(all, None, "its body is not where its record says".into());
                Ok(true)
            }
            Err(error) => {
                wrong.lost(all, None, Self::unless_closed(error.into())?);
                Ok(true)
            }
        }
    }

    /// Whether a head's content has a tombstone, and the head still names it.
    async fn is_let_go(
        &self,
        partition: Partition,
        head_key: &Bytes,
        content: ContentId,
    ) -> Result<bool, Failure> {
        if self.store.get(partition, keys::tombstone(content)).await?.is_none() {
            return Ok(false);
        }
        let now = self.store.get(partition, head_key.clone()).await?;
        let now = now.and_then(|record| Head::decode(&record.value).ok());
        Ok(now.and_then(|head| head.content_id()) == Some(content))
    }

    /// All extents of a content, up to where its head says that it ends.
    async fn content(
        &self,
        partition: Partition,
        content: ContentId,
        head: &Head,
        sums: &mut Sums,
        wrong: &mut Wrong,
    ) -> Result<(), Failure> {
        let (mut position, mut combined, mut moved) = (0, 0, 0);
        let end = head.length;
        while position < end {
            let found = extents::at(&*self.store, partition, content, position, EXTENTS).await;
            let page = match found {
                Ok(page) => page,
                Err(failure) => {
                    let what = Self::unless_closed(failure)?;
                    wrong.lost(
                        Some((position, end)),
                        None,
                        format!("no extent can be read here: {what}"),
                    );
                    return Ok(());
                }
            };
            if page.is_empty() {
                wrong.lost(Some((position, end)), None, "the last extents are missing".into());
                return Ok(());
            }
            let mut pieces = Vec::with_capacity(page.len());
            for (key, record) in page {
                let piece = match Piece::of(key, record) {
                    Ok(piece) => piece,
                    Err(what) => {
                        wrong.lost(Some((position, end)), None, what);
                        return Ok(());
                    }
                };
                if piece.start >= end {
                    break;
                }
                if let Err(damage) = check_extent(&piece.extent, sums.sight.key()) {
                    wrong.lost(piece.range(), None, damage.to_string());
                    return Ok(());
                }
                if piece.start != position && pieces.is_empty() && position == 0 {
                    wrong.lost(
                        Some((0, piece.start)),
                        None,
                        "the first extent begins later".into(),
                    );
                    return Ok(());
                }
                if self.still && piece.end > end {
                    wrong.lost(
                        Some((end, piece.end)),
                        None,
                        "an extent reaches past its end".into(),
                    );
                }
                pieces.push(piece);
            }
            let (to, again) = self.pieces(partition, content, &pieces, sums, wrong).await?;
            for piece in pieces.iter().filter(|piece| piece.end <= to) {
                combined = crc64::combine(combined, piece.extent.crc64, piece.extent.length);
            }
            add(&self.counts.extents, pieces.iter().filter(|piece| piece.end <= to).count() as u64);
            moved = if again && to == position { moved + 1 } else { 0 };
            if moved > TRIES {
                wrong.lost(
                    Some((position, end)),
                    None,
                    "payloads are not where their records say".into(),
                );
                return Ok(());
            }
            position = to;
        }
        // Where an extent was packed with what was appended since, the combination is another object's length.
        if position == end && combined != head.crc64 {
            let what = "the checksums of its extents do not add up to the object's CRC-64";
            wrong.lost(Some((0, end)), None, what.into());
        }
        if self.still {
            self.twice(partition, content, end, wrong).await?;
        }
        Ok(())
    }

    /// That no byte has two extents, and none lies behind the end.
    async fn twice(
        &self,
        partition: Partition,
        content: ContentId,
        length: u64,
        wrong: &mut Wrong,
    ) -> Result<(), Failure> {
        let mut sum = 0_u64;
        for prefix in [keys::extents(content), keys::packed_extents(content)] {
            let end = ossia_store::successor(&prefix);
            let mut next = Some(prefix);
            while let Some(start) = next {
                let (page, resume) = self.page(partition, start, end.clone(), EXTENTS).await?;
                for (_, record) in page {
                    let extent = Extent::decode(&record.value);
                    sum = sum.saturating_add(extent.map_or(0, |extent| extent.length));
                }
                next = resume;
            }
        }
        if sum != length && wrong.0.is_empty() {
            let what =
                format!("its extents hold {sum} bytes and it has {length}: some stand twice");
            wrong.lost(Some((0, length)), None, what);
        }
        Ok(())
    }

    /// Reads these extents. How far it came, and whether what comes next has moved and is to be looked up again.
    async fn pieces(
        &self,
        partition: Partition,
        content: ContentId,
        pieces: &[Piece],
        sums: &mut Sums,
        wrong: &mut Wrong,
    ) -> Result<(u64, bool), Failure> {
        let mut to = pieces.first().map_or(0, |piece| piece.start);
        let mut rest = pieces;
        while let Some(first) = rest.first() {
            let count = match first.extent.source {
                Source::Blob { id, offset } => {
                    self.reference(partition, content, first, id, wrong).await?;
                    self.blob_piece(first, id, offset, sums, wrong).await?;
                    1
                }
                Source::Payload => {
                    let count = batch(rest);
                    let (batch, _) = rest.split_at(count);
                    if !self.payload_pieces(partition, batch, sums, wrong).await? {
                        return Ok((to, true));
                    }
                    count
                }
            };
            let (done, others) = rest.split_at(count);
            to = done.last().map_or(to, |piece| piece.end);
            rest = others;
        }
        Ok((to, false))
    }

    /// `false` when they have moved.
    async fn payload_pieces(
        &self,
        partition: Partition,
        batch: &[Piece],
        sums: &mut Sums,
        wrong: &mut Wrong,
    ) -> Result<bool, Failure> {
        let mut wanted = Vec::with_capacity(batch.len());
        for piece in batch {
            match piece.record.payload {
                Some(payload) if u64::from(payload.length) == stored_length(&piece.extent) => {
                    wanted.push((piece.key.clone(), payload));
                }
                Some(_) => wrong.lost(piece.range(), None, "its payload has another length".into()),
                None => wrong.lost(piece.range(), None, "its payload is missing".into()),
            }
        }
        if !self.bytes || wanted.len() < batch.len() {
            return Ok(true);
        }
        self.pace.take(batch.iter().map(|piece| piece.extent.length).sum()).await;
        match self.store.payloads(partition, wanted.clone()).await {
            Ok(read) => {
                for (piece, bytes) in batch.iter().zip(read) {
                    self.payload(piece, &bytes, sums, wrong);
                }
                return Ok(true);
            }
            Err(ReadError::Gone) => return Ok(false),
            Err(error) if batch.len() == 1 => {
                let what = Self::unless_closed(error.into())?;
                if let Some(piece) = batch.first() {
                    wrong.lost(piece.range(), None, what);
                }
                return Ok(true);
            }
            Err(error) => {
                Self::unless_closed(error.into())?;
            }
        }
        // One of them is damaged: which, and what of the others?
        for (piece, wanted) in batch.iter().zip(wanted) {
            match self.store.payloads(partition, vec![wanted]).await {
                Ok(read) => {
                    let bytes = read.into_iter().next().unwrap_or_default();
                    self.payload(piece, &bytes, sums, wrong);
                }
                Err(ReadError::Gone) => return Ok(false),
                Err(error) => {
                    wrong.lost(piece.range(), None, Self::unless_closed(error.into())?);
                }
            }
        }
        Ok(true)
    }

    fn payload(&self, piece: &Piece, bytes: &Bytes, sums: &mut Sums, wrong: &mut Wrong) {
        add(&self.counts.bytes, bytes.len() as u64);
        let opened;
        let bytes = match &sums.sight {
            Sight::Plain => bytes,
            Sight::Blind(_) => return,
            Sight::Open(cipher) => match cipher.open_extent(&piece.extent, piece.start, bytes) {
                Ok(plain) => {
                    opened = plain;
                    &opened
                }
                Err(failure) => {
                    return wrong.lost(piece.range(), None, failure.to_string());
                }
            },
        };
        if crc64::checksum(bytes) != piece.extent.crc64 {
            wrong.lost(piece.range(), None, "the bytes do not have their extent's CRC-64".into());
        }
        sums.update(bytes);
    }

    /// That the record which says who names a blob says this extent.
    async fn reference(
        &self,
        partition: Partition,
        content: ContentId,
        piece: &Piece,
        id: BlobId,
        wrong: &mut Wrong,
    ) -> Result<(), Failure> {
        let record = self.store.get(partition, keys::reference(id)).await?;
        let what = match Reference::decode_option(record.as_ref()) {
            Ok(Some(told)) if told == (Reference { content, end: piece.end }) => return Ok(()),
            Ok(Some(_)) => "another extent names the same blob".to_owned(),
            Ok(None) => "no record says who names it: a start would not know it".to_owned(),
            Err(damage) => damage.to_string(),
        };
        if !self.still {
            // It may have been packed between the looks.
            let now = self.store.get(partition, piece.key.clone()).await?;
            if now.is_none_or(|now| now.value != piece.record.value) {
                return Ok(());
            }
        }
        wrong.lost(piece.range(), Some(id), what);
        Ok(())
    }

    async fn blob_piece(
        &self,
        piece: &Piece,
        id: BlobId,
        offset: u64,
        sums: &mut Sums,
        wrong: &mut Wrong,
    ) -> Result<(), Failure> {
        let reader = match self.store.open(id).await {
            Ok(reader) => reader,
            Err(BlobError::NotFound) => {
                wrong.lost(piece.range(), Some(id), "its file is missing".into());
                return Ok(());
            }
            Err(error) => {
                wrong.lost(piece.range(), Some(id), Self::unless_closed(error.into())?);
                return Ok(());
            }
        };
        if offset.saturating_add(stored_length(&piece.extent)) > reader.length() {
            let what = format!("it has {} bytes, too few", reader.length());
            wrong.lost(piece.range(), Some(id), what);
            return Ok(());
        }
        if !self.bytes {
            return Ok(());
        }
        let mut sum = Crc64::new();
        let (mut done, mut whole) = (0, true);
        while done < piece.extent.length {
            let left = piece.extent.length - done;
            let (count, run) = match piece.extent.sealing {
                None => (left.min(PIECE_BYTES), None),
                Some(run) => {
                    let to = Window::reach(done, piece.extent.length, PIECE_BYTES as usize);
                    (to - done, Some((run, Window::of(run.length, done, to))))
                }
            };
            let plain = (offset + done, usize::try_from(count).unwrap_or(usize::MAX));
            let (from, length) = run.map_or(plain, |(_, window)| (window.offset, window.length));
            self.pace.take(count).await;
            add(&self.counts.bytes, count);
            let read = reader.read(from, length).await.map_err(Failure::from);
            let read = read.and_then(|bytes| match (&sums.sight, run) {
                (Sight::Open(cipher), Some((run, window))) => {
                    cipher.open(&run, run.at(piece.start), &window, &bytes)
                }
                _ => Ok(bytes),
            });
            match read {
                Ok(_) if matches!(sums.sight, Sight::Blind(_)) => whole = false,
                Ok(bytes) => {
                    sum.update(&bytes);
                    sums.update(&bytes);
                }
                Err(error) => {
                    let (from, to) = (piece.start + done, piece.start + done + count);
                    let what = Self::unless_closed(error)?;
                    wrong.lost(Some((from, to)), Some(id), what);
                    whole = false;
                }
            }
            done += count;
        }
        if whole && sum.value() != piece.extent.crc64 {
            wrong.lost(
                piece.range(),
                Some(id),
                "the bytes do not have their extent's CRC-64".into(),
            );
        }
        Ok(())
    }
}

impl Piece {
    fn of(key: Bytes, record: Record) -> Result<Self, String> {
        let extent = Extent::decode(&record.value).map_err(|damage| damage.to_string())?;
        let end = keys::extent_end(&key).filter(|&end| end >= extent.length);
        let end = end.ok_or("an extent's key does not fit its length")?;
        Ok(Self { start: end - extent.length, key, record, extent, end })
    }

    fn range(&self) -> Option<(u64, u64)> {
        Some((self.start, self.end))
    }
}

impl Wrong {
    fn lost(&mut self, range: Option<(u64, u64)>, blob: Option<BlobId>, what: String) {
        let blob = blob.map(|id| id.to_string());
        self.0.push(Finding { range, blob, what, advice: LOST, ..Finding::default() });
    }

    fn record(&mut self, what: &str) {
        self.0.push(Finding { what: what.into(), advice: RECORD, ..Finding::default() });
    }
}

/// How many of these, all payloads, are read at once: at least one.
fn batch(pieces: &[Piece]) -> usize {
    let mut bytes = 0;
    let fits = |piece: &&Piece| {
        bytes += piece.extent.length;
        piece.extent.source == Source::Payload && bytes <= PIECE_BYTES
    };
    pieces.iter().take_while(fits).count().max(1)
}
