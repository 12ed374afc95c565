//! The journal: every change and every small body, once, in the order of their commits.
//!
//! Owned by the commit thread. One group is one frame, written with one call and made durable with one sync before the next is
//! written; so at any moment at most the last frame may be torn, and every frame proves all those before it.
//! When the queue is empty a *closing* frame proves the last group, too; until it is synced the next group takes its place.
//!
//! Must not know what keys and records mean. A failed write or sync is final: the journal is of no more use (I5).

pub(crate) mod frame;
pub(crate) mod reached;
pub(crate) mod record;
pub(crate) mod recover;
pub(crate) mod segment;

use std::{collections::VecDeque, io, sync::Arc};

use frame::{BLOCK_BYTES, FrameKind, HEAD_BYTES, Head};
use reached::Reached;
use record::{Home, Place};
use segment::{NoSpare, START_SEGMENT_BYTES, Segment, Spares, Yard};

use crate::{OpenError, journal::recover::Walk};

/// Why a group could not be begun.
#[derive(Debug)]
pub(crate) enum JournalError {
    /// There is no room for a further segment; nothing was written, and another try may succeed.
    Full(String),
    /// The journal has failed.
    Failed(String),
}

impl From<NoSpare> for JournalError {
    fn from(why: NoSpare) -> Self {
        match why {
            NoSpare::Full(what) => Self::Full(what),
            NoSpare::Failed(what) => Self::Failed(what),
            NoSpare::Stopped => Self::Failed("the store is closing".into()),
        }
    }
}

/// A group while it grows.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    segment: u64,
    offset: u64,
    /// What still fits behind the head.
    room: u64,
    /// A head's room, then payloads.
    body: Vec<u8>,
    records: Vec<u8>,
    transactions: u32,
}

impl Draft {
    /// Starts over; the buffers stay, unless an unusually large group has blown them up.
    fn reset(&mut self, segment: u64, offset: u64, room: u64) {
        const KEEP_BYTES: usize = 4 << 20;
        self.body.clear();
        self.records.clear();
        self.body.shrink_to(KEEP_BYTES);
        self.records.shrink_to(KEEP_BYTES);
        self.body.resize(HEAD_BYTES, 0);
        (self.segment, self.offset, self.room, self.transactions) = (segment, offset, room, 0);
    }

    /// Bytes of the frame so far, unpadded.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + self.records.len()
    }

    /// Bytes of its payloads so far.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.body.len().saturating_sub(HEAD_BYTES)
    }

    /// How many transactions it holds.
    pub(crate) fn transactions(&self) -> u32 {
        self.transactions
    }

    /// Whether this many more bytes stay within the segment, and within what a head can say.
    pub(crate) fn fits(&self, payload_bytes: usize, record_bytes: usize) -> bool {
        let all = self.bytes().saturating_add(payload_bytes).saturating_add(record_bytes);
        all as u64 <= self.room && u32::try_from(all).is_ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.transactions == 0
    }

    /// Takes a payload in: where it will stand, and where in the frame's payloads that is.
    pub(crate) fn payload(&mut self, pieces: &[bytes::Bytes]) -> (Place, u32) {
        let start = self.body.len();
        let mut check = 0;
        for piece in pieces {
            self.body.extend_from_slice(piece);
            check = crc32c::crc32c_append(check, piece);
        }
        let small = |count: usize| u32::try_from(count).expect("`fits` keeps a frame below 4 GiB");
        let length = small(self.body.len() - start);
        let offset = self.offset + start as u64;
        let place = Place { home: Home::Segment, number: self.segment, offset, length, check };
        (place, small(start - HEAD_BYTES))
    }

    /// Where the records of one more transaction go.
    pub(crate) fn transaction(&mut self) -> &mut Vec<u8> {
        self.transactions += 1;
        &mut self.records
    }
}

/// A frame that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) number: u64,
    pub(crate) check: u32,
    pub(crate) bytes: u64,
}

/// The journal's growing end.
#[derive(Debug)]
pub(crate) struct Journal {
    store: [u8; 16],
    spares: Arc<Spares>,
    segment: Segment,
    /// Where the next frame goes.
    offset: u64,
    /// The last frame, not counting an unsynced closing one, and its check.
    number: u64,
    check: u32,
    /// An unsynced closing frame stands at `offset`: its check.
    closing: Option<u32>,
    /// The last frame is a synced closing one, or an opening one: there is nothing to close.
    closed: bool,
    /// The segment that the note beside the journal knows of.
    noted: u64,
}

impl Journal {
    /// Continues after a walk in a new segment, whose opening frame makes the walk's verdict final, durably.
    ///
    /// The caller has synced what the walk accepted.
    pub(crate) fn resume(
        yard: &Yard,
        segment_bytes: u64,
        spares_max: usize,
        walk: &Walk,
    ) -> Result<(Self, Arc<Spares>), OpenError> {
        let used = walk.end.map_or(0, |(at, _)| at.saturating_add(1));
        let mut later: VecDeque<Segment> = walk.segments.iter().skip(used).cloned().collect();
        let number = match used.checked_sub(1).and_then(|at| walk.segments.get(at)) {
            Some(last) => last.number.saturating_add(1),
            None => 1,
        };
        let path = segment::path(&yard.folder, number);
        let fresh = match later.pop_front() {
            Some(spare) if recover::is_unused(yard, &spare).map_err(OpenError::io(&path))? => {
                yard.keep_open(&spare).map_err(OpenError::io(&path))?
            }
            // A torn frame lies in it, or it is not there: a new one of this number, under a new salt, has no trace of them.
            _ => yard
                .prepare(number, segment_bytes.min(START_SEGMENT_BYTES))
                .map_err(OpenError::io(&path))?,
        };
        let mut ready = VecDeque::new();
        for spare in later {
            let path = segment::path(&yard.folder, spare.number);
            if recover::is_unused(yard, &spare).map_err(OpenError::io(&path))? {
                ready.push_back(yard.keep_open(&spare).map_err(OpenError::io(&path))?);
            } else {
                let bytes = segment_bytes.min(START_SEGMENT_BYTES);
                ready.push_back(yard.prepare(spare.number, bytes).map_err(OpenError::io(&path))?);
            }
        }
        let spares = Arc::new(Spares::new(yard.clone(), segment_bytes, spares_max, ready));
        let mut journal = Self {
            store: yard.store,
            spares: Arc::clone(&spares),
            segment: fresh,
            offset: BLOCK_BYTES,
            number: walk.number,
            check: walk.check,
            closing: None,
            closed: true,
            noted: number,
        };
        journal.bare(FrameKind::Opening).map_err(OpenError::io(&path))?;
        journal.segment.file.sync().map_err(OpenError::io(&path))?;
        journal.advance_bare();
        journal.note();
        if let Some((at, end)) = walk.end
            && let Some(last) = walk.segments.get(at)
        {
            // Only zeros and what was cut lie behind the end, and the opening frame has settled that. A failure costs room only.
            if last.file.length().is_ok_and(|length| length > end)
                && let Err(error) = last.file.set_length(end)
            {
                tracing::warn!(%error, segment = last.number, "could not shorten a segment");
            }
        }
        Ok((journal, spares))
    }

    /// Begins a group whose first transaction takes this many bytes; moves on to the next segment where it does not fit.
    pub(crate) fn begin(
        &mut self,
        draft: &mut Draft,
        payload_bytes: usize,
        record_bytes: usize,
    ) -> Result<(), JournalError> {
        let frame = frame::frame_bytes(payload_bytes as u64, record_bytes as u64);
        if self.offset > BLOCK_BYTES && self.offset.saturating_add(frame) > self.segment.bytes {
            self.roll()?;
        }
        let left = self.segment.bytes.saturating_sub(self.offset);
        draft.reset(self.segment.number, self.offset, left.max(frame));
        Ok(())
    }

    /// The segment that the next frame goes to, unless it does not fit.
    pub(crate) fn segment(&self) -> u64 {
        self.segment.number
    }

    fn roll(&mut self) -> Result<(), JournalError> {
        // A closing frame left behind unsynced would have the number of the next segment's first frame, and could stand in for
        // it if that were damaged.
        self.sync_closing().map_err(|error| {
            JournalError::Failed(format!("syncing the journal's closing frame failed: {error}"))
        })?;
        let next = self.segment.number + 1;
        self.spares.ask(next);
        self.segment = self.spares.take(next)?;
        self.offset = BLOCK_BYTES;
        Ok(())
    }

    /// Writes the group with one call. Not durable before [`Self::sync`].
    pub(crate) fn write(&mut self, draft: &mut Draft) -> io::Result<Written> {
        assert_eq!(
            (draft.segment, draft.offset),
            (self.segment.number, self.offset),
            "a draft is written where it was begun"
        );
        let payload_bytes = draft.body.len() - HEAD_BYTES;
        let small = |count: usize| u32::try_from(count).expect("`fits` keeps a frame below 4 GiB");
        let head = Head {
            kind: FrameKind::Group,
            number: self.number + 1,
            synced: self.number,
            previous: self.check,
            transactions: draft.transactions,
            payload_bytes: small(payload_bytes),
            records_bytes: small(draft.records.len()),
            records_check: crc32c::crc32c(&draft.records),
        };
        let (bytes, check) = head.encode(self.segment.site(self.store, self.offset));
        draft.body.append(&mut draft.records);
        draft.body[..HEAD_BYTES].copy_from_slice(&bytes);
        let frame_bytes = head.frame_bytes();
        draft.body.resize(usize::try_from(frame_bytes).expect("a frame is in memory"), 0);
        self.segment.file.write_at(&draft.body, self.offset)?;
        let written = Written {
            segment: self.segment.number,
            offset: self.offset,
            number: head.number,
            check,
            bytes: frame_bytes,
        };
        (self.number, self.check) = (head.number, check);
        self.offset += frame_bytes;
        (self.closing, self.closed) = (None, false);
        Ok(written)
    }

    /// Makes what was written durable, and has the segment after a new one made ready.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.segment.file.sync()?;
        self.spares.ask(self.segment.number + 1);
        if self.noted != self.segment.number {
            self.noted = self.segment.number;
            self.spares.note_soon(self.reached());
        }
        Ok(())
    }

    /// Writes a closing frame, not durable yet, unless one stands already.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        if !self.closed && self.closing.is_none() {
            self.closing = Some(self.bare(FrameKind::Closing)?);
        }
        Ok(())
    }

    /// Makes the closing frame durable, and so the proof that the last group was.
    pub(crate) fn sync_closing(&mut self) -> io::Result<()> {
        if let Some(check) = self.closing {
            self.segment.file.sync()?;
            self.check = check;
            self.advance_bare();
            self.spares.note_soon(self.reached());
        }
        Ok(())
    }

    /// How far it reaches; what stands there has been synced.
    fn reached(&self) -> Reached {
        Reached { segment: self.segment.number, number: self.number, check: self.check }
    }

    /// Notes beside the journal how far it reaches; everything has been synced.
    pub(crate) fn note(&self) {
        self.spares.note(self.reached());
    }

    /// Whether a closing frame waits for its sync.
    pub(crate) fn has_unsynced_closing(&self) -> bool {
        self.closing.is_some()
    }

    fn bare(&mut self, kind: FrameKind) -> io::Result<u32> {
        let head = Head::bare(kind, self.number + 1, self.number, self.check);
        let (bytes, check) = head.encode(self.segment.site(self.store, self.offset));
        let mut block = bytes.to_vec();
        block.resize(BLOCK_BYTES as usize, 0);
        self.segment.file.write_at(&block, self.offset)?;
        if kind == FrameKind::Opening {
            self.check = check;
        }
        Ok(check)
    }

    fn advance_bare(&mut self) {
        self.number += 1;
        self.offset += BLOCK_BYTES;
        (self.closing, self.closed) = (None, true);
    }
}
