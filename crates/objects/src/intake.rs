//! Takes a body in: counts it, sums it, keeps a small one in memory and streams a large one into a blob.
//!
//! No lock and no record is held meanwhile, so a slow client slows nobody. What is held for each body is bounded: the inline
//! limit, one piece on its way to the blob, and two batches for the MD5, which runs off the I/O threads.

use std::{future::poll_fn, mem};

use bytes::{BufMut, Bytes, BytesMut};
use md5::{Digest, Md5};
use ossia_store::{BlobWriter, Partition, Store};
use tokio::task::JoinHandle;

use crate::{
    AppendError, Body, BodyError, Failure, PutError,
    sealing::{Sealer, Sealing, sealed_length},
    words::{ObjectKey, crc64::Crc64},
};

/// Pieces kept one by one; more are copied together, lest each holds a whole receive buffer.
const PIECES_MAX: usize = 16;
/// Hashed where it stands; more goes to a thread for such work.
const MD5_INLINE_BYTES: usize = 64 << 10;
/// Given to such a thread at once.
const MD5_BATCH_BYTES: usize = 512 << 10;
const MD5_BATCH_PIECES: usize = 512;

/// What may stay in memory of a body of which nothing comes for a while.
const RESTING_BYTES_MAX: usize = 16 << 10;

/// First byte of a blob's owner.
const OWNER_FORMAT: u8 = 1;
/// How much of the key stands in a blob's owner, for a human who looks.
const OWNER_HINT_BYTES: usize = 64;

/// What is asked of a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Kept in memory up to so many bytes.
    pub(crate) inline_bytes_max: usize,
    /// Refused past so many.
    pub(crate) length_max: u64,
    /// Whether the MD5 is wanted even if none was announced.
    pub(crate) md5: bool,
}

/// A body that has come in whole and agrees with what was announced.
pub(crate) struct Taken {
    pub(crate) length: u64,
    pub(crate) crc64: u64,
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) bytes: TakenBytes,
    /// How the bytes are encrypted, if they are. Everything else is told of the plain ones.
    pub(crate) sealing: Option<Sealing>,
}

/// Where a body's bytes are.
pub(crate) enum TakenBytes {
    /// In memory; none at all for an empty body.
    Inline(Vec<Bytes>),
    /// In a blob, not durable yet. Dropping it forgets the bytes.
    Blob(Box<dyn BlobWriter>),
}

/// Why a body was not taken.
#[derive(Debug)]
pub(crate) enum IntakeError {
    Body(BodyError),
    TooLarge,
    DigestMismatch,
    CrcMismatch,
    Store(Failure),
}

impl From<Failure> for IntakeError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure)
    }
}

impl IntakeError {
    pub(crate) fn into_put(self, max: u64) -> PutError {
        match self {
            Self::Body(error) => error.into(),
            Self::TooLarge => PutError::TooLarge { max },
            Self::DigestMismatch => PutError::DigestMismatch,
            Self::CrcMismatch => PutError::CrcMismatch,
            Self::Store(failure) => failure.into(),
        }
    }

    pub(crate) fn into_append(self, max: u64) -> AppendError {
        match self {
            Self::Body(error) => error.into(),
            Self::TooLarge => AppendError::TooLarge { max },
            Self::DigestMismatch => AppendError::DigestMismatch,
            Self::CrcMismatch => AppendError::CrcMismatch,
            Self::Store(failure) => failure.into(),
        }
    }
}

/// What [`ossia_store::Blobs::create`] is told: where to look whether the blob is named, and a hint for humans.
pub(crate) fn owner(partition: Partition, key: &ObjectKey) -> Bytes {
    owner_with_hint(partition, key.as_bytes())
}

/// [`owner`] for what no request asked for.
pub(crate) fn owner_with_hint(partition: Partition, hint: &[u8]) -> Bytes {
    let hint = &hint[..hint.len().min(OWNER_HINT_BYTES)];
    let mut owner = BytesMut::with_capacity(9 + hint.len());
    owner.put_u8(OWNER_FORMAT);
    owner.put_u64(partition.0);
    owner.put_slice(hint);
    owner.freeze()
}

/// The partition that a blob's owner names.
pub(crate) fn owner_partition(owner: &[u8]) -> Option<Partition> {
    let (&format, rest) = owner.split_first()?;
    let partition = rest.get(..8)?.try_into().ok()?;
    (format == OWNER_FORMAT).then(|| Partition(u64::from_be_bytes(partition)))
}

/// Takes a body in; through the sealer, if there is one.
pub(crate) async fn take(
    store: &dyn Store,
    partition: Partition,
    key: &ObjectKey,
    mut body: Body,
    limits: Limits,
    mut sealer: Option<Sealer>,
) -> Result<Taken, IntakeError> {
    if body.length.is_some_and(|length| length > limits.length_max) {
        return Err(IntakeError::TooLarge);
    }
    let announced = body.length.unwrap_or(u64::MAX);
    let mut length = 0_u64;
    let mut crc = Crc64::new();
    let mut md5 = (limits.md5 || body.md5.is_some()).then(Md5Lane::new);
    let inline_bytes_max = match sealer {
        Some(_) => usize::try_from(sealed_length(limits.inline_bytes_max as u64)),
        None => Ok(limits.inline_bytes_max),
    };
    let mut sink = Sink::new(inline_bytes_max.unwrap_or(usize::MAX));
    while let Some(piece) = poll_fn(|cx| body.stream.as_mut().poll_next(cx)).await {
        let piece = piece.map_err(IntakeError::Body)?;
        if piece.is_empty() {
            sink.rest(store, || owner(partition, key)).await?;
            if let Some(md5) = &mut md5 {
                md5.rest().await?;
            }
            continue;
        }
        length = length.saturating_add(piece.len() as u64);
        if length > announced {
            return Err(IntakeError::Body(BodyError::TooLong));
        }
        if length > limits.length_max {
            return Err(IntakeError::TooLarge);
        }
        crc.update(&piece);
        if let Some(md5) = &mut md5 {
            md5.add(piece.clone()).await?;
        }
        let piece = match &mut sealer {
            Some(sealer) => sealer.push(&piece)?,
            None => piece,
        };
        if !piece.is_empty() {
            sink.add(store, || owner(partition, key), piece).await?;
        }
    }
    if body.length.is_some_and(|announced| length < announced) {
        return Err(IntakeError::Body(BodyError::Truncated));
    }
    let md5 = match md5 {
        Some(md5) => Some(md5.finish().await?),
        None => None,
    };
    if body.md5.is_some() && body.md5 != md5 {
        return Err(IntakeError::DigestMismatch);
    }
    let crc64 = crc.value();
    if body.crc64.is_some_and(|announced| announced != crc64) {
        return Err(IntakeError::CrcMismatch);
    }
    let sealing = match sealer {
        None => None,
        Some(sealer) => {
            let (sealing, last) = sealer.finish()?;
            if !last.is_empty() {
                sink.add(store, || owner(partition, key), last).await?;
            }
            Some(sealing)
        }
    };
    Ok(Taken { length, crc64, md5, bytes: sink.into_bytes(), sealing })
}

/// Where the pieces go.
struct Sink {
    inline_bytes_max: usize,
    held_bytes: usize,
    pieces: Vec<Bytes>,
    /// Once there were too many pieces, all of them.
    joined: BytesMut,
    blob: Option<Box<dyn BlobWriter>>,
}

impl Sink {
    fn new(inline_bytes_max: usize) -> Self {
        Self {
            inline_bytes_max,
            held_bytes: 0,
            pieces: Vec::new(),
            joined: BytesMut::new(),
            blob: None,
        }
    }

    async fn add(
        &mut self,
        store: &dyn Store,
        owner: impl FnOnce() -> Bytes,
        piece: Bytes,
    ) -> Result<(), Failure> {
        if let Some(blob) = &mut self.blob {
            return Ok(blob.write(piece).await?);
        }
        self.held_bytes += piece.len();
        if self.held_bytes <= self.inline_bytes_max {
            self.hold(piece);
            return Ok(());
        }
        self.blob_of_all(store, owner).await?.write(piece).await?;
        Ok(())
    }

    /// Keeps as little as it can in memory: with many slow clients that is what counts.
    async fn rest(
        &mut self,
        store: &dyn Store,
        owner: impl FnOnce() -> Bytes,
    ) -> Result<(), Failure> {
        if self.blob.is_none() && self.held_bytes <= RESTING_BYTES_MAX {
            return Ok(());
        }
        // An empty piece has the blob write what it gathered.
        self.blob_of_all(store, owner).await?.write(Bytes::new()).await?;
        Ok(())
    }

    /// The blob that this becomes, with all that was held.
    async fn blob_of_all(
        &mut self,
        store: &dyn Store,
        owner: impl FnOnce() -> Bytes,
    ) -> Result<&mut Box<dyn BlobWriter>, Failure> {
        let blob = match self.blob.take() {
            Some(blob) => blob,
            None => {
                let mut blob = store.create(owner()).await?;
                for held in self.held() {
                    blob.write(held).await?;
                }
                blob
            }
        };
        Ok(self.blob.insert(blob))
    }

    fn hold(&mut self, piece: Bytes) {
        if self.joined.is_empty() && self.pieces.len() < PIECES_MAX {
            self.pieces.push(piece);
            return;
        }
        for held in mem::take(&mut self.pieces) {
            self.joined.put_slice(&held);
        }
        self.joined.put_slice(&piece);
    }

    fn held(&mut self) -> Vec<Bytes> {
        let mut pieces = mem::take(&mut self.pieces);
        if !self.joined.is_empty() {
            pieces.push(mem::take(&mut self.joined).freeze());
        }
        pieces
    }

    fn into_bytes(mut self) -> TakenBytes {
        match self.blob.take() {
            Some(blob) => TakenBytes::Blob(blob),
            None => TakenBytes::Inline(self.held()),
        }
    }
}

/// A running MD5 that leaves the I/O threads alone once there is much to hash.
pub(crate) struct Md5Lane {
    /// Absent while a job has it.
    state: Option<Md5>,
    job: Option<JoinHandle<Md5>>,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
}

impl Md5Lane {
    pub(crate) fn new() -> Self {
        Self { state: Some(Md5::new()), job: None, waiting: Vec::new(), waiting_bytes: 0 }
    }

    pub(crate) async fn add(&mut self, piece: Bytes) -> Result<(), Failure> {
        self.waiting_bytes += piece.len();
        self.waiting.push(piece);
        if self.waiting_bytes >= MD5_BATCH_BYTES || self.waiting.len() >= MD5_BATCH_PIECES {
            self.hash().await?;
        }
        Ok(())
    }

    async fn hash(&mut self) -> Result<(), Failure> {
        // One job at a time, so a client faster than the hash waits here.
        let mut state = self.state().await?;
        let batch = mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.job = Some(tokio::task::spawn_blocking(move || {
            batch.iter().for_each(|piece| state.update(piece));
            state
        }));
        Ok(())
    }

    /// Keeps as little as it can in memory.
    async fn rest(&mut self) -> Result<(), Failure> {
        if self.waiting_bytes > RESTING_BYTES_MAX { self.hash().await } else { Ok(()) }
    }

    async fn state(&mut self) -> Result<Md5, Failure> {
        match self.job.take() {
            Some(job) => job.await.map_err(|error| Failure::Internal(error.to_string())),
            None => Ok(self.state.take().unwrap_or_default()),
        }
    }

    pub(crate) async fn finish(mut self) -> Result<[u8; 16], Failure> {
        let mut state = self.state().await?;
        let rest = mem::take(&mut self.waiting);
        if self.waiting_bytes <= MD5_INLINE_BYTES {
            rest.iter().for_each(|piece| state.update(piece));
            return Ok(state.finalize().into());
        }
        let job = tokio::task::spawn_blocking(move || {
            rest.iter().for_each(|piece| state.update(piece));
            state.finalize().into()
        });
        job.await.map_err(|error| Failure::Internal(error.to_string()))
    }
}
