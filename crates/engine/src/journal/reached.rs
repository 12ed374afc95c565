//! How far a shard's journal is known to reach, in a small file beside it.
//!
//! ```text
//! shard-0/reached
//!  0 magic      8   "OSSIARCH"
//!  8 version    4   1
//! 12 reserved   4   zero
//! 16 store     16   as in LAYOUT
//! 32 segment    8   a segment that was synced,
//! 40 number     8   up to the frame of this number
//! 48 check      4   and of this check
//! 52 check      4   crc32c of 0..52
//! ```
//!
//! The end of a chain says nothing of what stood behind it: a journal that lost its newest segments, or whose last segment was cut
//! short, looks like one that never had more. This file says that it had. What it says is a lower bound and stays true, so it
//! may be old or missing: it is renewed at a start, when a segment is begun, after a second of idleness and at a clean close, and
//! whoever could not write it goes on.

use std::{io, path::PathBuf};

use super::{
    recover::{self, Walk},
    segment::{self, Yard},
};
use crate::{
    OpenError,
    codec::Reader,
    disk::{read_whole, write_whole},
};

const MAGIC: [u8; 8] = *b"OSSIARCH";
const VERSION: u32 = 1;
const CHECKED_BYTES: usize = 52;

/// A frame that was synced, with all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) segment: u64,
    pub(crate) number: u64,
    pub(crate) check: u32,
}

fn path(yard: &Yard) -> PathBuf {
    yard.folder.with_file_name("reached")
}

fn encode(store: [u8; 16], reached: Reached) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CHECKED_BYTES + 4);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(store);
    bytes.extend(reached.segment.to_le_bytes());
    bytes.extend(reached.number.to_le_bytes());
    bytes.extend(reached.check.to_le_bytes());
    let check = crc32c::crc32c(&bytes);
    bytes.extend(check.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], store: [u8; 16]) -> Option<Reached> {
    let (checked, check) = bytes.split_at_checked(CHECKED_BYTES)?;
    let mut rest = Reader(check);
    if rest.u32()? != crc32c::crc32c(checked) || !rest.is_empty() {
        return None;
    }
    let mut reader = Reader(checked);
    if reader.array()? != MAGIC || reader.u32()? != VERSION {
        return None;
    }
    reader.reserved(4)?;
    if reader.array()? != store {
        return None;
    }
    Some(Reached { segment: reader.u64()?, number: reader.u64()?, check: reader.u32()? })
}

/// Writes it, durably.
pub(crate) fn write(yard: &Yard, reached: Reached) -> io::Result<()> {
    write_whole(yard.disk.as_ref(), &path(yard), &encode(yard.store, reached))
}

/// Refuses a journal that does not reach as far as it once did (I6).
pub(crate) fn verify(yard: &Yard, walk: &Walk) -> Result<(), OpenError> {
    let file = path(yard);
    let bytes = match read_whole(yard.disk.as_ref(), &file, 4_096) {
        Ok(bytes) => bytes,
        // A version before this file, or someone who followed the advice below.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Too long to be it.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Vec::new(),
        Err(error) => return Err(OpenError::Io { path: file, error }),
    };
    let Some(reached) = decode(&bytes, yard.store) else {
        return Err(OpenError::Damaged {
            file,
            offset: 0,
            what: "it does not match its checksum, or is not this store's".into(),
            advice: "nothing has been changed; it says how far the journal reaches and holds no data: if no other file of \
                     this folder has been damaged, cut short or removed, remove this one and start again"
                .into(),
        });
    };
    let other = || {
        let at = |frame: &&recover::Located| frame.head.number == reached.number;
        walk.frames.iter().find(at).is_some_and(|frame| frame.check != reached.check)
    };
    if walk.number >= reached.number && !other() {
        return Ok(());
    }
    let (number, last) = (reached.number, walk.number);
    let end = walk.end.and_then(|(at, end)| Some((walk.segments.get(at)?.number, end)));
    let offset = end.filter(|(at, _)| *at == reached.segment).map_or(0, |(_, end)| end);
    Err(OpenError::Damaged {
        file: segment::path(&yard.folder, reached.segment),
        offset,
        what: format!(
            "the journal held frame {number} and ends with frame {last} now, or with others in their place: this segment, or one \
             before it, has been cut short, overwritten or removed"
        ),
        advice: recover::ADVICE.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_every_flipped_bit_is_seen() {
        let reached = Reached { segment: 3, number: 77, check: 0xfeed_f00d };
        let bytes = encode([7; 16], reached);
        assert_eq!(decode(&bytes, [7; 16]), Some(reached));
        assert_eq!(decode(&bytes, [8; 16]), None);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged, [7; 16]), None, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length], [7; 16]), None);
        }
        assert_eq!(decode(&[&bytes[..], &[0]].concat(), [7; 16]), None);
    }
}
