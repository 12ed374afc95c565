//! Recovery: what of the journal is to be believed after a stop of any kind.
//!
//! The walk follows the chain from the checkpoint. Where it ends there is either nothing more, or a frame that a crash tore, or
//! damage. The three are told apart by one fact: every later frame says what had been synced when it was written, so a frame
//! that any later one covers was once whole, and its lack is damage (I6). Where a segment ends is told by the first frame of the next
//! one; behind that lies at most what an earlier recovery cut.

use std::{io, path::Path, sync::Arc};

use ossia_store::mutants::{self, Mutant};

use super::{
    frame::{BLOCK_BYTES, FrameKind, Head},
    record,
    segment::{self, Opener, Segment, Yard},
};
use crate::OpenError;

/// Bytes read at once while walking.
const WINDOW_BYTES: usize = 256 << 10;
pub(crate) const ADVICE: &str = "nothing has been changed; restore the data folder from a backup, or keep a copy of it \
     before you try anything";

/// Which frame the index stands on, and what it needs of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The frame's segment.
    pub(crate) segment: u64,
    /// The frame's offset in it.
    pub(crate) offset: u64,
    /// The frame's number.
    pub(crate) number: u64,
    /// The frame's check.
    pub(crate) check: u32,
    /// The oldest segment that still holds something.
    pub(crate) oldest: u64,
}

/// A frame that is to be believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located {
    /// Index into [`Walk::segments`].
    pub(crate) at: usize,
    pub(crate) offset: u64,
    pub(crate) head: Head,
    pub(crate) check: u32,
}

/// What the walk found.
#[derive(Debug)]
pub(crate) struct Walk {
    /// All segments, in order of their numbers.
    pub(crate) segments: Vec<Segment>,
    /// The frames behind the checkpoint, in order.
    pub(crate) frames: Vec<Located>,
    /// The first segment that the walk touched: from here on files must be synced before they are served.
    pub(crate) first: usize,
    /// The last segment that holds a frame, and where its frames end; `None` in an empty journal.
    pub(crate) end: Option<(usize, u64)>,
    /// The last frame that is known to have been synced. One behind it may stand in the system's cache alone.
    pub(crate) proven: u64,
    /// Number and check of the last frame; zero in an empty journal.
    pub(crate) number: u64,
    pub(crate) check: u32,
    /// Whether something behind the last frame was not believed.
    cut: bool,
}

/// What stands where the next frame should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    /// Zeros, or the file's end.
    Zeros,
    /// Bytes that are no head of this place.
    NoHead,
    /// A head of this place, but not the next in the chain.
    OtherHead,
    /// The right head over a body that does not match it.
    TornBody,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The journal ends here.
    End,
    /// A crash tore the last write; it was never acknowledged.
    Cut,
    /// Damage: starting could lose what was acknowledged.
    Stop,
}

/// The decision of I6. `proven`: something later says that the frame which should stand here had been synced.
pub(crate) fn judge(stand: Stand, proven: bool) -> Verdict {
    match (stand, proven) {
        (_, true) => Verdict::Stop,
        // One write makes one frame at one place, so no crash leaves a whole head of another frame.
        (Stand::OtherHead, false) => Verdict::Stop,
        (Stand::Zeros, false) => Verdict::End,
        (Stand::NoHead | Stand::TornBody, false) => Verdict::Cut,
    }
}

/// Opens the segments, verifies their headers, and removes what was never finished.
pub(crate) fn segments(yard: &Yard) -> Result<Vec<Segment>, OpenError> {
    let mut numbers = Vec::new();
    let names = match yard.disk.list(&yard.folder) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(&yard.folder, 0, "the journal is missing".into()));
        }
        Err(error) => return Err(OpenError::Io { path: yard.folder.clone(), error }),
    };
    for name in names {
        if name.ends_with(".new") {
            let path = yard.folder.join(&name);
            yard.disk.remove(&path).map_err(OpenError::io(&path))?;
        } else if let Some(number) = segment::number_of(&name) {
            numbers.push(number);
        } else {
            tracing::warn!(name, "a file in the journal folder is none of the journal's");
        }
    }
    numbers.sort_unstable();
    let mut segments = Vec::with_capacity(numbers.len());
    let opener = Opener::new(yard);
    let mut last = None;
    for number in numbers {
        let path = segment::path(&yard.folder, number);
        if let Some(last) = last
            && number != last + 1
        {
            let missing = segment::path(&yard.folder, last + 1);
            return Err(damaged(&missing, 0, "the segment is missing".into()));
        }
        last = Some(number);
        segments.push(open(yard, &opener, &path, number)?);
    }
    Ok(segments)
}

fn open(yard: &Yard, opener: &Arc<Opener>, path: &Path, number: u64) -> Result<Segment, OpenError> {
    let io = || OpenError::io(path);
    let file = opener.file(number);
    let mut header = vec![0; BLOCK_BYTES as usize];
    let read = file.read_at(&mut header, 0).map_err(io())?;
    header.truncate(read);
    let salt = segment::decode_header(&header, yard.store, number)
        .map_err(|what| damaged(path, 0, what.into()))?;
    let bytes = file.length().map_err(io())?;
    Ok(Segment { number, salt, file, bytes })
}

fn damaged(file: &Path, offset: u64, what: String) -> OpenError {
    OpenError::Damaged { file: file.into(), offset, what, advice: ADVICE.into() }
}

/// How often the end of the journal is looked at before something there is taken for torn.
const LOOKS_MAX: usize = 4;

/// Opens the segments and follows the chain.
///
/// What is cut here is overwritten, and the last group may have been acknowledged although nothing proves it. It could also have been
/// read wrong, so it takes several looks, each at files opened anew, to believe in a cut. The one that reaches farthest is right:
/// nothing looks whole by mistake.
pub(crate) fn believe(yard: &Yard, from: Option<Standing>) -> Result<Walk, OpenError> {
    let mut best = walk(yard, segments(yard)?, from)?;
    for _ in 1..LOOKS_MAX {
        if !best.cut {
            break;
        }
        let again = walk(yard, segments(yard)?, from)?;
        if again.number > best.number {
            tracing::warn!(
                journal = %yard.folder.display(),
                "the end of the journal was read wrong once: the disk or the memory may be failing"
            );
        }
        if again.number >= best.number {
            best = again;
        }
    }
    Ok(best)
}

/// Follows the chain from the checkpoint to the journal's end.
pub(crate) fn walk(
    yard: &Yard,
    segments: Vec<Segment>,
    from: Option<Standing>,
) -> Result<Walk, OpenError> {
    let mut walker = Walker { yard, segments: &segments, window: Window::default() };
    let mut cursor = walker.start(from)?;
    let (first, start) = (cursor.at, cursor);
    let mut frames = Vec::new();
    let mut cut = false;
    let proof = loop {
        let next = walker.first_frame(cursor.at.saturating_add(1))?;
        let stand = walker.follow(&mut cursor, next.map(|head| head.number), &mut frames)?;
        let due = cursor.number.saturating_add(1);
        match (next, stand) {
            (Some(head), None) if head.previous == cursor.check => {
                cursor = Cursor { at: cursor.at.saturating_add(1), offset: BLOCK_BYTES, ..cursor };
            }
            (Some(_), None) => {
                let what = format!("its first frame does not continue frame {}", cursor.number);
                return Err(walker.damaged(cursor.at.saturating_add(1), BLOCK_BYTES, what));
            }
            (Some(_), Some(_)) => {
                let what = format!("frame {due} cannot be read, and a later segment follows it");
                return Err(walker.damaged(cursor.at, cursor.offset, what));
            }
            (None, stand) => {
                let (proof, found_at) = walker.proof(cursor)?;
                let stand = stand.unwrap_or(Stand::Zeros);
                if judge(stand, proof >= due) == Verdict::Stop {
                    let what = format!("frame {due} cannot be read, and it had been synced");
                    // Where the proof stands in the next segment, that one's first frame is what is missing.
                    let here = (cursor.at, cursor.offset);
                    let next = (cursor.at.saturating_add(1), BLOCK_BYTES);
                    let (at, offset) = if found_at > cursor.at { next } else { here };
                    return Err(walker.damaged(at, offset, what));
                }
                cut |=
                    stand != Stand::Zeros || !walker.begins_blank(cursor.at.saturating_add(1))?;
                break proof;
            }
        }
    };
    let proven = frames.iter().map(|frame| frame.head.synced).fold(proof, u64::max);
    cut |= walker.cut_torn_bodies(&mut frames, proven)?;
    if mutants::on(Mutant::WrongCut) && frames.last().is_some_and(|f| f.head.number > proven) {
        frames.pop();
    }
    let end = frames.last().map_or(start, Located::end);
    let empty = frames.is_empty() && from.is_none();
    Ok(Walk {
        frames,
        first,
        proven,
        end: (!empty).then_some((end.at, end.offset)),
        number: end.number,
        check: end.check,
        cut,
        segments,
    })
}

/// Makes durable what the walk accepted.
///
/// What a stopped process left in the system's cache looks durable to a reader and is not. After a failed sync the system may even
/// take it for written, and the next sync for done; so frames that nothing proves are written once more.
pub(crate) fn make_durable(walk: &Walk, yard: &Yard) -> Result<(), OpenError> {
    let failed = |at: usize| {
        let number = walk.segments.get(at).map_or(0, |segment| segment.number);
        OpenError::io(segment::path(&yard.folder, number))
    };
    for frame in walk.frames.iter().filter(|frame| frame.head.number > walk.proven) {
        if let Some(segment) = walk.segments.get(frame.at) {
            write_again(segment, frame).map_err(failed(frame.at))?;
        }
    }
    if let Some((end, _)) = walk.end {
        let touched = walk.segments.iter().enumerate().take(end.saturating_add(1)).skip(walk.first);
        for (at, segment) in touched {
            segment.file.sync().map_err(failed(at))?;
        }
    }
    yard.disk.sync_folder(&yard.folder).map_err(OpenError::io(&yard.folder))
}

fn write_again(segment: &Segment, frame: &Located) -> io::Result<()> {
    let end = frame.offset.saturating_add(frame.head.frame_bytes());
    let mut offset = frame.offset;
    while offset < end {
        let left = usize::try_from(end - offset).unwrap_or(WINDOW_BYTES);
        let mut bytes = vec![0; left.min(WINDOW_BYTES)];
        let read = segment.file.read_at(&mut bytes, offset)?;
        // The padding may lie behind the file's end.
        let Some(found) = bytes.get(..read).filter(|found| !found.is_empty()) else { break };
        segment.file.write_at(found, offset)?;
        offset = offset.saturating_add(read as u64);
    }
    Ok(())
}

/// A place between two frames, and the frame before it.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    at: usize,
    offset: u64,
    number: u64,
    check: u32,
}

impl Located {
    fn end(&self) -> Cursor {
        let offset = self.offset.saturating_add(self.head.frame_bytes());
        Cursor { at: self.at, offset, number: self.head.number, check: self.check }
    }
}

struct Walker<'a> {
    yard: &'a Yard,
    segments: &'a [Segment],
    window: Window,
}

impl Walker<'_> {
    fn damaged(&self, at: usize, offset: u64, what: String) -> OpenError {
        let number = self.segments.get(at).map_or(0, |segment| segment.number);
        damaged(&segment::path(&self.yard.folder, number), offset, what)
    }

    fn failed(&self, at: usize) -> impl FnOnce(io::Error) -> OpenError + use<> {
        let number = self.segments.get(at).map_or(0, |segment| segment.number);
        OpenError::io(segment::path(&self.yard.folder, number))
    }

    /// The place behind the frame that the index stands on, which must be there.
    fn start(&mut self, from: Option<Standing>) -> Result<Cursor, OpenError> {
        let lowest = self.segments.first().map(|segment| segment.number);
        let Some(from) = from else {
            return match lowest {
                Some(1) => Ok(Cursor { at: 0, offset: BLOCK_BYTES, number: 0, check: 0 }),
                _ => {
                    let path = segment::path(&self.yard.folder, 1);
                    Err(damaged(&path, 0, "the journal's first segment is missing".into()))
                }
            };
        };
        if lowest.is_none_or(|lowest| lowest > from.oldest) {
            let path = segment::path(&self.yard.folder, from.oldest);
            return Err(damaged(&path, 0, "the journal's oldest segment is missing".into()));
        }
        let beyond = format!(
            "the index stands on frame {}, which the journal does not hold: the two are not of one moment",
            from.number
        );
        let at = self.segments.iter().position(|segment| segment.number == from.segment);
        let Some(at) = at else {
            return Err(damaged(&segment::path(&self.yard.folder, from.segment), 0, beyond));
        };
        match self.head(at, from.offset)? {
            Some((head, check)) if head.number == from.number && check == from.check => {
                Ok(Located { at, offset: from.offset, head, check }.end())
            }
            _ => Err(self.damaged(at, from.offset, beyond)),
        }
    }

    fn head(&mut self, at: usize, offset: u64) -> Result<Option<(Head, u32)>, OpenError> {
        let failed = self.failed(at);
        let Some(segment) = self.segments.get(at) else { return Ok(None) };
        let block = self.window.block(segment, offset).map_err(failed)?;
        Ok(Head::decode(block, segment.site(self.yard.store, offset)))
    }

    /// The head of a segment's first frame.
    fn first_frame(&mut self, at: usize) -> Result<Option<Head>, OpenError> {
        Ok(self.head(at, BLOCK_BYTES)?.map(|(head, _)| head))
    }

    /// Whether nothing stands where a segment's first frame would.
    fn begins_blank(&mut self, at: usize) -> Result<bool, OpenError> {
        let failed = self.failed(at);
        let Some(segment) = self.segments.get(at) else { return Ok(true) };
        let block = self.window.block(segment, BLOCK_BYTES).map_err(failed)?;
        Ok(block.iter().all(|&byte| byte == 0))
    }

    /// Collects frames of one segment until frame `limit` is due, which stands in the next (then `None`), or until none follows.
    fn follow(
        &mut self,
        cursor: &mut Cursor,
        limit: Option<u64>,
        frames: &mut Vec<Located>,
    ) -> Result<Option<Stand>, OpenError> {
        loop {
            let due = cursor.number.saturating_add(1);
            if limit == Some(due) {
                return Ok(None);
            }
            let (at, offset) = (cursor.at, cursor.offset);
            match self.head(at, offset)? {
                Some((head, check)) if head.number == due && head.previous == cursor.check => {
                    let frame = Located { at, offset, head, check };
                    *cursor = frame.end();
                    frames.push(frame);
                }
                Some(_) => return Ok(Some(Stand::OtherHead)),
                None => {
                    let failed = self.failed(at);
                    let Some(segment) = self.segments.get(at) else {
                        return Ok(Some(Stand::Zeros));
                    };
                    let block = self.window.block(segment, offset).map_err(failed)?;
                    let zeros = block.iter().all(|&byte| byte == 0);
                    return Ok(Some(if zeros { Stand::Zeros } else { Stand::NoHead }));
                }
            }
        }
    }

    /// The highest frame that anything behind the cursor says to have been synced, and in which segment that stands.
    fn proof(&mut self, cursor: Cursor) -> Result<(u64, usize), OpenError> {
        let mut proven = (0, cursor.at);
        for at in cursor.at..self.segments.len() {
            let start = if at == cursor.at { cursor.offset } else { BLOCK_BYTES };
            let failed = self.failed(at);
            let Some(segment) = self.segments.get(at) else { break };
            let length = segment.file.length().map_err(failed)?;
            let mut offset = start;
            while offset < length {
                if let Some((head, _)) = self.head(at, offset)? {
                    proven = proven.max((head.synced, at));
                }
                offset = offset.saturating_add(BLOCK_BYTES);
            }
        }
        Ok(proven)
    }

    /// Drops the last frames from the first on that nothing proves and whose body is not whole; whether there were any.
    fn cut_torn_bodies(
        &mut self,
        frames: &mut Vec<Located>,
        proven: u64,
    ) -> Result<bool, OpenError> {
        let count = frames.len();
        let mut keep = count;
        for (index, frame) in frames.iter().enumerate().rev() {
            if frame.head.number <= proven {
                break;
            }
            if !body_is_whole(self.segments, frame).map_err(self.failed(frame.at))? {
                // The bodies looked at stand behind everything proven, so the verdict is always to cut.
                debug_assert_eq!(judge(Stand::TornBody, false), Verdict::Cut);
                keep = index;
            }
        }
        frames.truncate(keep);
        Ok(keep < count)
    }
}

/// The frames of a segment, which is the first of these.
pub(crate) struct Contents {
    pub(crate) segments: Vec<Segment>,
    pub(crate) frames: Vec<Located>,
}

/// All frames of a segment that another one follows; `None` where they cannot all be read.
pub(crate) fn contents(yard: &Yard, number: u64) -> Result<Option<Contents>, OpenError> {
    let opener = Opener::new(yard);
    let mut segments = Vec::with_capacity(2);
    for number in [number, number.saturating_add(1)] {
        let path = segment::path(&yard.folder, number);
        match open(yard, &opener, &path, number) {
            Ok(segment) => segments.push(segment),
            Err(OpenError::Damaged { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let mut walker = Walker { yard, segments: &segments, window: Window::default() };
    let (Some(first), Some(next)) = (walker.first_frame(0)?, walker.first_frame(1)?) else {
        return Ok(None);
    };
    let before = first.number.saturating_sub(1);
    let mut cursor = Cursor { at: 0, offset: BLOCK_BYTES, number: before, check: first.previous };
    let mut frames = Vec::new();
    let end = walker.follow(&mut cursor, Some(next.number), &mut frames)?;
    let whole = end.is_none() && cursor.check == next.previous;
    Ok(whole.then_some(Contents { segments, frames }))
}

/// Reads a frame's records; what is wrong with them when they do not match their check.
pub(crate) fn read_records(
    segments: &[Segment],
    frame: &Located,
) -> io::Result<Result<Vec<u8>, &'static str>> {
    let Some(segment) = segments.get(frame.at) else { return Ok(Err("the segment is missing")) };
    let offset = frame.offset.saturating_add(frame.head.records_at());
    let Some(bytes) = read_exact(segment, offset, frame.head.records_bytes)? else {
        return Ok(Err("the file ends within the records"));
    };
    if crc32c::crc32c(&bytes) != frame.head.records_check {
        return Ok(Err("the records do not match their checksum"));
    }
    Ok(Ok(bytes))
}

fn read_exact(segment: &Segment, offset: u64, count: u32) -> io::Result<Option<Vec<u8>>> {
    // A head is checked, but its lengths are not trusted with memory beyond what the file holds.
    if offset.saturating_add(count.into()) > segment.file.length()? {
        return Ok(None);
    }
    let Ok(count) = usize::try_from(count) else { return Ok(None) };
    let mut bytes = vec![0; count];
    let read = segment.file.read_at(&mut bytes, offset)?;
    Ok((read == count).then_some(bytes))
}

fn body_is_whole(segments: &[Segment], frame: &Located) -> io::Result<bool> {
    if mutants::on(Mutant::TornGroupServed) {
        return Ok(true);
    }
    if frame.head.kind != FrameKind::Group {
        return Ok(frame.head.payload_bytes == 0 && frame.head.records_bytes == 0);
    }
    let Ok(records) = read_records(segments, frame)? else { return Ok(false) };
    let Some(segment) = segments.get(frame.at) else { return Ok(false) };
    let payloads_at = frame.offset.saturating_add(super::frame::HEAD_BYTES as u64);
    let Some(payloads) = read_exact(segment, payloads_at, frame.head.payload_bytes)? else {
        return Ok(false);
    };
    let (count, bytes) = (frame.head.transactions, frame.head.payload_bytes);
    let Some(transactions) = record::decode_transactions(&records, count, bytes) else {
        return Ok(false);
    };
    let mut changes = transactions.iter().flat_map(|transaction| &transaction.changes);
    Ok(changes.all(|change| match change.put {
        Some((_, record::Beside::New { at, length, check })) => {
            let range = at as usize..(at as usize).saturating_add(length as usize);
            payloads.get(range).is_some_and(|bytes| crc32c::crc32c(bytes) == check)
        }
        _ => true,
    }))
}

/// Whether no frame stands anywhere in a segment, whatever else lies in it.
pub(crate) fn is_unused(yard: &Yard, segment: &Segment) -> io::Result<bool> {
    let mut window = Window::default();
    let length = segment.file.length()?;
    let mut offset = BLOCK_BYTES;
    while offset < length {
        let block = window.block(segment, offset)?;
        if Head::decode(block, segment.site(yard.store, offset)).is_some() {
            return Ok(false);
        }
        offset = offset.saturating_add(BLOCK_BYTES);
    }
    Ok(true)
}

/// Whether a segment holds nothing but zeros behind its header.
pub(crate) fn is_blank(segment: &Segment) -> io::Result<bool> {
    let mut window = vec![0; WINDOW_BYTES];
    let mut offset = BLOCK_BYTES;
    loop {
        let read = segment.file.read_at(&mut window, offset)?;
        if read == 0 {
            return Ok(true);
        }
        if window.get(..read).is_none_or(|bytes| bytes.iter().any(|&byte| byte != 0)) {
            return Ok(false);
        }
        offset = offset.saturating_add(read as u64);
    }
}

/// A piece of one segment, kept while the walk moves through it.
#[derive(Default)]
struct Window {
    segment: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The block at `offset`; shorter, down to nothing, at the end of the file.
    fn block(&mut self, segment: &Segment, offset: u64) -> io::Result<&[u8]> {
        let inside = |window: &Self| {
            let at = usize::try_from(offset.checked_sub(window.start)?).ok()?;
            let end = at.checked_add(BLOCK_BYTES as usize)?;
            (window.segment == segment.number && end <= window.bytes.len()).then_some(at..end)
        };
        if inside(self).is_none() {
            self.bytes.resize(WINDOW_BYTES, 0);
            // A failed read leaves nothing that could be taken for this segment's.
            self.segment = 0;
            let read = segment.file.read_at(&mut self.bytes, offset)?;
            self.bytes.truncate(read);
            (self.segment, self.start) = (segment.number, offset);
        }
        let range = inside(self).unwrap_or(0..self.bytes.len().min(BLOCK_BYTES as usize));
        Ok(self.bytes.get(range).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_follows_its_table() {
        use Stand::{NoHead, OtherHead, TornBody, Zeros};
        use Verdict::{Cut, End, Stop};
        let table = [
            (Zeros, false, End),
            (Zeros, true, Stop),
            (NoHead, false, Cut),
            (NoHead, true, Stop),
            (OtherHead, false, Stop),
            (OtherHead, true, Stop),
            (TornBody, false, Cut),
            (TornBody, true, Stop),
        ];
        for (stand, proven, verdict) in table {
            assert_eq!(judge(stand, proven), verdict, "{stand:?}, proven: {proven}");
        }
    }

    #[test]
    fn a_frame_of_another_chain_stops_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let disk = std::sync::Arc::new(crate::disk::RealDisk);
        let yard = Yard { disk, folder: folder.path().into(), store: [1; 16] };
        let segment = yard.prepare(1, 64 << 10).unwrap();
        let put = |number: u64, previous| {
            let offset = BLOCK_BYTES * number;
            let head = Head::bare(FrameKind::Closing, number, number - 1, previous);
            let (bytes, check) = head.encode(segment.site(yard.store, offset));
            segment.file.write_at(&bytes, offset).unwrap();
            check
        };
        let first = put(1, 0);
        let second = put(2, first);
        let walk = walk(&yard, segments(&yard).unwrap(), None).unwrap();
        assert_eq!((walk.number, walk.check, walk.frames.len()), (2, second, 2));
        // A frame of the right number, place and salt, but written after another frame 1.
        put(2, first ^ 1);
        let told = super::walk(&yard, segments(&yard).unwrap(), None).unwrap_err();
        assert!(matches!(told, OpenError::Damaged { offset: 8_192, .. }), "{told}");
    }
}
