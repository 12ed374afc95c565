//! Folds a run of small extents into one blob, in steps that may stop or run twice at any point (I10).
//!
//! ```text
//! read    the run's extents and their bytes, each against its CRC-64      damage: all stays as it is
//! stage   one blob with all the bytes, durable                            a crash: the sweep deletes it
//! name    a batch of extents a transaction:                               a crash: the sweep adopts it
//!           insists that there is no tombstone, and on every extent that it replaces
//!           removes them, and puts one packed extent that names the blob from its first byte to the last of theirs
//! adopt   the blob
//! ```
//!
//! Each transaction but the first also replaces the extent that the one before has put, so that a blob has one extent and one
//! reference at all times, the longer the further it got. What a crash left out stays as it was and is packed anew some day. No byte
//! that a reader sees changes, nor the head; a reader whose payloads are gone looks its position up again, and finds the blob.
//!
//! Against the reaper: the tombstone stands from the transaction that lets go of content until the one that removes its last
//! extent. A transaction here that runs in between sees the tombstone, one that runs later misses its extents, and neither writes
//! anything. One that ran earlier is in every scan that the reaper makes, because those come after it has seen the tombstone.
//!
//! Folding small blobs into larger ones is the same. Blobs that are let go of are listed in a tombstone of their own, which waits
//! for the readers of the content (I9).

use std::{convert::Infallible, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use ossia_store::{BlobError, BlobId, Partition, PayloadRef, ReadError, Record, View, Writes};

use crate::{
    Failure,
    core::{Core, Verdict, run_plain},
    extents, intake,
    keys::{self, ContentId},
    packer::Pace,
    records::{Damage, Extent, Reference, Source, Stored, Tombstone},
    sealing::{At, Cipher, Sealing, Window, check_extent},
    words::crc64::{self, Crc64},
};

/// Extents read at once.
const PAGE: usize = 512;
/// Bytes and payloads read at once.
const READ_BYTES: u64 = 1 << 20;
const READ_PIECES: usize = 512;
/// Blobs from here on are not folded into larger ones.
const FOLDED_BYTES_MAX: u64 = 1 << 20;
/// Fewer blobs in a row are not folded.
const FOLDED_MIN: usize = 16;
/// How often a batch is tried while the store is busy.
const BUSY_TRIES: u32 = 5;
/// What a human reads in the header of a packed blob.
const HINT: &[u8] = b"(packed)";

/// Which extents are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Those with payloads.
    Payloads,
    /// Those in small blobs.
    Blobs,
}

/// What packing has left of a content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// Everything before this position needs no second look.
    pub(crate) from: u64,
    /// Where the extents ended that were looked at.
    pub(crate) seen: u64,
    /// What was left between the two.
    pub(crate) bytes: u64,
    pub(crate) extents: u64,
    /// Extents in blobs that were seen or made.
    pub(crate) blobs: u64,
    /// Whether the content was let go: nothing else counts then.
    pub(crate) gone: bool,
}

/// An extent to be folded.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    key: Bytes,
    end: u64,
    extent: Extent,
    payload: Option<PayloadRef>,
}

/// How far naming got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Named,
    /// Let go, or no longer as it was seen.
    Changed,
}

/// A durable blob that holds the bytes of `pieces`.
struct Staged {
    id: BlobId,
    pieces: Vec<Piece>,
    /// The CRC-64 of all bytes up to the end of each batch.
    sums: Vec<u64>,
    /// How the blob is encrypted, if the content is.
    sealing: Option<Sealing>,
}

impl Core {
    /// Packs the runs of a content behind `from`, where an extent begins.
    pub(crate) async fn pack_content(
        self: &Arc<Self>,
        partition: Partition,
        content: ContentId,
        from: u64,
        tier: Tier,
    ) -> Result<Left, Failure> {
        let mut left = Left { from, seen: from, ..Left::default() };
        if self.store.get(partition, keys::tombstone(content)).await?.is_some() {
            return Ok(Left { gone: true, ..left });
        }
        // Its extents may yet be taken back, and what they name belongs to the parts. Whoever has seen them looks here later, so
        // that none of these is packed.
        if self.store.get(partition, keys::making(content)).await?.is_some() {
            return Ok(Left { gone: true, ..left });
        }
        let mut pace = Pace::new(&self.packer);
        let mut run: Vec<Piece> = Vec::new();
        let mut run_bytes = 0;
        loop {
            let Some(found) = self.extents_behind(partition, content, left.seen).await? else {
                return Ok(Left { gone: true, ..left });
            };
            if found.is_empty() {
                break;
            }
            for (key, record) in found {
                let piece = Piece::read(key, &record)?;
                left.seen = piece.end;
                let folds = tier.folds(&piece);
                if !folds {
                    left.blobs += u64::from(piece.payload.is_none());
                }
                if !folds || self.is_full(run.len(), run_bytes, &piece) {
                    let all = std::mem::take(&mut run);
                    if !self.pack_run(partition, content, all, tier, &mut left, &mut pace).await? {
                        return Ok(left);
                    }
                    left.from = piece.end - piece.extent.length;
                    run_bytes = 0;
                }
                if folds {
                    run_bytes += piece.extent.length;
                    run.push(piece);
                } else {
                    left.from = piece.end;
                }
            }
            pace.rest().await;
            if self.packer.is_stopping() {
                return Ok(left);
            }
        }
        let (extents, worth) = (run.len(), self.worth(tier, run.len(), run_bytes));
        if !worth && tier == Tier::Payloads {
            (left.bytes, left.extents) = (run_bytes, extents as u64);
            return Ok(left);
        }
        if self.pack_run(partition, content, run, tier, &mut left, &mut pace).await? {
            left.from = left.seen;
        }
        Ok(left)
    }

    /// A page of extents from a position on. `None` once the content has been let go.
    async fn extents_behind(
        &self,
        partition: Partition,
        content: ContentId,
        position: u64,
    ) -> Result<Option<Vec<(Bytes, Record)>>, Failure> {
        let look = || extents::at(&*self.store, partition, content, position, PAGE);
        match look().await {
            // Nothing is pinned here, so the reaper may be in the middle of it: the tombstone stands for as long as it is. Without
            // one there is nothing left, or the gap is real.
            Err(Failure::Damaged(_)) => {
                let tombstone = self.store.get(partition, keys::tombstone(content)).await?;
                if tombstone.is_some() { Ok(None) } else { look().await.map(Some) }
            }
            told => told.map(Some),
        }
    }

    fn is_full(&self, count: usize, bytes: u64, next: &Piece) -> bool {
        let packing = &self.settings.packing;
        let bytes = bytes.saturating_add(next.extent.length);
        count > 0 && (bytes > packing.blob_bytes_max || count >= packing.blob_appends_max)
    }

    /// Whether a blob of its own is worth it.
    fn worth(&self, tier: Tier, count: usize, bytes: u64) -> bool {
        let packing = &self.settings.packing;
        match tier {
            Tier::Payloads => {
                count > 1 && (bytes >= packing.rest_bytes || count as u64 >= packing.run_appends)
            }
            Tier::Blobs => count >= FOLDED_MIN,
        }
    }

    /// Packs one run, if that is worth it. `false` when the content is not what it was: nothing more is to be done then.
    async fn pack_run(
        self: &Arc<Self>,
        partition: Partition,
        content: ContentId,
        run: Vec<Piece>,
        tier: Tier,
        left: &mut Left,
        pace: &mut Pace<'_>,
    ) -> Result<bool, Failure> {
        let bytes = run.iter().map(|piece| piece.extent.length).sum();
        if !self.worth(tier, run.len(), bytes) {
            left.blobs += if tier == Tier::Blobs { run.len() as u64 } else { 0 };
            return Ok(true);
        }
        let count = run.len();
        let Some(staged) = self.stage_run(partition, run, pace).await? else {
            return Ok(false);
        };
        // In a task of its own, which nothing ends in the middle: a transaction under way must not name a blob that the sweep of
        // an object layer opened meanwhile has found unnamed.
        let core = Arc::clone(self);
        let naming = tokio::spawn(async move { core.name_run(partition, content, staged).await });
        let told = naming.await.map_err(|error| Failure::Unknown(error.to_string()))??;
        left.blobs += 1;
        left.gone = told == Told::Changed;
        tracing::debug!(?content, count, bytes, ?told, "packed");
        Ok(told == Told::Named)
    }

    /// Makes a blob of a run's bytes. `None` when the content has been let go meanwhile, or everything is to stop.
    async fn stage_run(
        &self,
        partition: Partition,
        pieces: Vec<Piece>,
        pace: &mut Pace<'_>,
    ) -> Result<Option<Staged>, Failure> {
        let first = pieces.first().map(|piece| (piece.start(), piece.extent.sealing));
        let Some((start, sealing)) = first else { return Ok(None) };
        let cipher = match sealing {
            None => None,
            // It goes with its content.
            Some(sealing) => match self.cipher(partition, sealing.key).await? {
                Some(cipher) => Some(cipher),
                None => return Ok(None),
            },
        };
        let key = cipher.as_ref().map(Cipher::id);
        for piece in &pieces {
            check_extent(&piece.extent, key)?;
        }
        // A run of its own: what was encrypted before is opened, and closed again under another salt.
        let mut sealer =
            cipher.as_ref().map(|cipher| cipher.sealer(At::Position(start))).transpose()?;
        let owner = intake::owner_with_hint(partition, HINT);
        let mut writer = self.store.create(owner).await?;
        let mut sum = Crc64::new();
        let mut sums = Vec::with_capacity(pieces.len().div_ceil(self.settings.packing.batch));
        let mut done = 0;
        while let Some(rest) = pieces.get(done..).filter(|rest| !rest.is_empty()) {
            let group = rest.get(..group_length(rest)).unwrap_or(rest);
            let Some(mut read) = self.read_group(partition, group).await? else {
                return Ok(None);
            };
            if let Some(cipher) = &cipher {
                for (piece, bytes) in group.iter().zip(&mut read) {
                    *bytes = cipher.open_extent(&piece.extent, piece.start(), bytes)?;
                }
            }
            let bytes = read.iter().map(Bytes::len).sum();
            let mut joined = BytesMut::with_capacity(if read.len() > 1 { bytes } else { 0 });
            for (piece, bytes) in group.iter().zip(&read) {
                let Extent { length, crc64, .. } = piece.extent;
                if bytes.len() as u64 != length || crc64::checksum(bytes) != crc64 {
                    return Err(Damage::new("extent", "its bytes do not match it").into());
                }
                sum.update(bytes);
                done += 1;
                if done % self.settings.packing.batch == 0 || done == pieces.len() {
                    sums.push(sum.value());
                }
                if read.len() > 1 {
                    joined.put_slice(bytes);
                }
            }
            let only = read.into_iter().next().filter(|_| joined.is_empty());
            let bytes = only.unwrap_or_else(|| joined.freeze());
            let bytes = match &mut sealer {
                Some(sealer) => sealer.push(&bytes)?,
                None => bytes,
            };
            if !bytes.is_empty() {
                writer.write(bytes).await?;
            }
            pace.rest().await;
            if self.packer.is_stopping() {
                return Ok(None);
            }
        }
        let sealing = match sealer {
            None => None,
            Some(sealer) => {
                let (sealing, last) = sealer.finish()?;
                writer.write(last).await?;
                Some(sealing)
            }
        };
        let blob = writer.finish().await?;
        Ok(Some(Staged { id: blob.id, pieces, sums, sealing }))
    }

    /// The bytes of extents of one kind, in their order. `None` when one is gone.
    async fn read_group(
        &self,
        partition: Partition,
        group: &[Piece],
    ) -> Result<Option<Vec<Bytes>>, Failure> {
        if let [Piece { extent, .. }] = group
            && let Extent { length, source: Source::Blob { id, offset }, sealing, .. } = *extent
        {
            let reader = match self.store.open(id).await {
                Err(BlobError::NotFound) => return Ok(None),
                told => told?,
            };
            let length = match sealing {
                Some(sealing) => Window::of(sealing.length, 0, length).length,
                None => usize::try_from(length).map_err(|_| too_long())?,
            };
            return Ok(Some(vec![reader.read(offset, length).await?]));
        }
        let wanted =
            group.iter().filter_map(|piece| Some((piece.key.clone(), piece.payload?))).collect();
        match self.store.payloads(partition, wanted).await {
            Err(ReadError::Gone) => Ok(None),
            told => {
                let read = told?;
                let right = read.len() == group.len();
                right
                    .then_some(Some(read))
                    .ok_or_else(|| Failure::Internal("other payloads than were asked for".into()))
            }
        }
    }

    /// Puts a blob in the place of its pieces, batch by batch, and settles what becomes of it.
    async fn name_run(
        &self,
        partition: Partition,
        content: ContentId,
        staged: Staged,
    ) -> Result<Told, Failure> {
        let Staged { id, pieces, sums, sealing } = staged;
        let mut pace = Pace::new(&self.packer);
        let mut whole: Option<(u64, Extent)> = None;
        let mut told = Ok(Told::Named);
        for (batch, &crc64) in pieces.chunks(self.settings.packing.batch).zip(&sums) {
            let Some(end) = batch.last().map(|piece| piece.end) else { break };
            let length = batch.iter().map(|piece| piece.extent.length).sum::<u64>()
                + whole.map_or(0, |(_, extent)| extent.length);
            let source = Source::Blob { id, offset: 0 };
            let before = whole.map(|(end, extent)| Piece {
                key: keys::packed(content, end),
                end,
                extent,
                payload: None,
            });
            let swap = Swap {
                content,
                pieces: before.into_iter().chain(batch.iter().cloned()).collect(),
                blob: id,
                end,
                extent: Extent { length, crc64, source, sealing },
                retired: ContentId::new(self.now_ms()),
                now_ms: self.now_ms(),
            };
            let retires = swap.retires();
            match self.swap(partition, swap).await {
                Ok(Told::Named) => {
                    whole = Some((end, Extent { length, crc64, source, sealing }));
                }
                other => {
                    told = other;
                    break;
                }
            }
            if retires {
                self.reaper.wake(partition);
            }
            if self.packer.is_hurried() {
                break;
            }
            pace.rest().await;
        }
        match (&told, whole) {
            (_, Some(_)) => self.adopt(id).await,
            // It may yet be named: the next start finds out.
            (Err(Failure::Unknown(_)), None) => {}
            (_, None) => self.discard(id).await,
        }
        told
    }

    async fn swap(&self, partition: Partition, swap: Swap) -> Result<Told, Failure> {
        let mut hints = vec![keys::tombstone(swap.content)];
        hints.extend(swap.pieces.iter().map(|piece| piece.key.clone()));
        let swap = Arc::new(swap);
        let mut tried = 0;
        loop {
            let swap = Arc::clone(&swap);
            let told =
                run_plain(&*self.store, partition, hints.clone(), move |view| swap.run(view));
            match told.await {
                // To give up would leave the rest of the blob unused.
                Err(Failure::Busy) if tried < BUSY_TRIES => {
                    tried += 1;
                    tokio::time::sleep(self.settings.packing.spacing / 8 * (1 << tried)).await;
                }
                told => return told,
            }
        }
    }
}

/// One transaction: these pieces for one extent.
struct Swap {
    content: ContentId,
    pieces: Vec<Piece>,
    blob: BlobId,
    end: u64,
    extent: Extent,
    /// Where the blobs are listed that this lets go of; a content id that no head has.
    retired: ContentId,
    now_ms: u64,
}

impl Swap {
    /// Blobs that are named no more after this.
    fn retired_blobs(&self) -> impl Iterator<Item = BlobId> {
        self.pieces.iter().filter_map(|piece| match piece.extent.source {
            Source::Blob { id, .. } if id != self.blob => Some(id),
            _ => None,
        })
    }

    fn retires(&self) -> bool {
        self.retired_blobs().next().is_some()
    }

    fn run(&self, view: &dyn View) -> Verdict<Told, Infallible> {
        if view.get(&keys::tombstone(self.content))?.is_some() {
            return Ok((Writes::none(), Told::Changed));
        }
        for piece in &self.pieces {
            let stands = match view.get(&piece.key)? {
                // A payload's place may have moved since.
                Some(record) => {
                    Extent::decode(&record.value)? == piece.extent
                        && record.payload.is_some() == piece.payload.is_some()
                }
                None => false,
            };
            if !stands {
                return Ok((Writes::none(), Told::Changed));
            }
        }
        // The first may be a packed extent, whose key is behind those of all others.
        let keys = self.pieces.iter().skip(1).chain(self.pieces.first());
        let mut writes = Writes::deleting(keys.map(|piece| piece.key.clone()));
        let reference = Reference { content: self.content, end: self.end };
        writes.put(keys::reference(self.blob), reference.encode());
        writes.put(keys::packed(self.content, self.end), self.extent.encode());
        let retired: Vec<BlobId> = self.retired_blobs().collect();
        if !retired.is_empty() {
            for id in &retired {
                writes.delete(keys::reference(*id));
            }
            let tombstone = Tombstone {
                when_ms: self.now_ms,
                length: 0,
                blobs: retired,
                readers_of: Some(self.content),
                key: None,
            };
            writes.put(keys::tombstone(self.retired), tombstone.encode());
        }
        Ok((writes, Told::Named))
    }
}

impl Tier {
    fn folds(self, piece: &Piece) -> bool {
        match (self, piece.extent.source) {
            (Self::Payloads, Source::Payload) => true,
            (Self::Blobs, Source::Blob { .. }) => piece.extent.length < FOLDED_BYTES_MAX,
            _ => false,
        }
    }
}

impl Piece {
    fn start(&self) -> u64 {
        self.end.saturating_sub(self.extent.length)
    }

    fn read(key: Bytes, record: &Record) -> Result<Self, Damage> {
        let extent = Extent::decode(&record.value)?;
        let end = keys::extent_end(&key).filter(|&end| end >= extent.length);
        let end = end.ok_or_else(|| Damage::new("extent", "its key does not fit its length"))?;
        let has_payload = record.payload.is_some();
        if has_payload != (extent.source == Source::Payload) {
            return Err(Damage::new("extent", "its payload is not where it should be"));
        }
        Ok(Self { key, end, extent, payload: record.payload })
    }
}

/// How many of these, one kind first, are read at once: at least one.
fn group_length(pieces: &[Piece]) -> usize {
    let mut bytes = 0;
    let fits = |piece: &&Piece| {
        bytes += piece.extent.length;
        piece.payload.is_some() && bytes <= READ_BYTES
    };
    pieces.iter().take(READ_PIECES).take_while(fits).count().max(1)
}

fn too_long() -> Failure {
    Failure::Internal("a small extent is a long one".into())
}
