//! The frame: what one write to the journal is made of.
//!
//! ```text
//! offset in the segment, a multiple of 4,096
//! +--------------+-------------------+------------------+---------------+
//! | head, 64     | payload_bytes     | records_bytes    | zeros to the  |
//! |              | payloads, each    | see `record`     | next multiple |
//! |              | under its own crc |                  | of 4,096      |
//! +--------------+-------------------+------------------+---------------+
//!
//! head
//!  0 magic          4   "OSJF"
//!  4 kind           1   1 group, 2 closing, 3 opening
//!  5 reserved       3   zero
//!  8 salt           8   the segment's
//! 16 number         8   of the frame in the whole journal, from 1, without gaps
//! 24 synced         8   the last frame known to be durable when this one was written
//! 32 previous       4   the check of the frame before, 0 for frame 1
//! 36 transactions   4
//! 40 payload_bytes  4
//! 44 records_bytes  4
//! 48 records_check  4   crc32c of the records
//! 52 reserved       8   zero
//! 60 check          4   crc32c of store, segment number, offset, and head 0..60
//! ```
//!
//! Payloads stand before the records so that their places are known while the group still grows.
//!
//! After a crash a frame is whole, absent, or torn. A torn one is the last: the next is written only after this one is synced.
//! The salt is random for each use of a segment and never told to anyone, so nothing that a user can store passes for a frame;
//! the chain of checks keeps out what lies behind an earlier cut.

use crate::codec::{Reader, round_up};

/// Frames start at multiples of this.
pub(crate) const BLOCK_BYTES: u64 = 4_096;
/// Bytes of a frame's head.
pub(crate) const HEAD_BYTES: usize = 64;
const CHECK_AT: usize = HEAD_BYTES - 4;
const MAGIC: [u8; 4] = *b"OSJF";

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// Transactions.
    Group,
    /// Says that the queue was empty: the frames before it are durable.
    Closing,
    /// The first frame after a recovery; fixes where the journal was cut.
    Opening,
}

/// Where a frame stands; its check covers this, so a frame copied elsewhere is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) store: [u8; 16],
    pub(crate) segment: u64,
    pub(crate) salt: u64,
    pub(crate) offset: u64,
}

/// A frame's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: FrameKind,
    pub(crate) number: u64,
    pub(crate) synced: u64,
    pub(crate) previous: u32,
    pub(crate) transactions: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) records_bytes: u32,
    pub(crate) records_check: u32,
}

impl Head {
    /// A frame without transactions.
    pub(crate) fn bare(kind: FrameKind, number: u64, synced: u64, previous: u32) -> Self {
        Self {
            kind,
            number,
            synced,
            previous,
            transactions: 0,
            payload_bytes: 0,
            records_bytes: 0,
            records_check: 0,
        }
    }

    /// The bytes, and the check that the next frame names.
    pub(crate) fn encode(&self, site: Site) -> ([u8; HEAD_BYTES], u32) {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend(MAGIC);
        bytes.push(match self.kind {
            FrameKind::Group => 1,
            FrameKind::Closing => 2,
            FrameKind::Opening => 3,
        });
        bytes.extend([0; 3]);
        bytes.extend(site.salt.to_le_bytes());
        bytes.extend(self.number.to_le_bytes());
        bytes.extend(self.synced.to_le_bytes());
        bytes.extend(self.previous.to_le_bytes());
        bytes.extend(self.transactions.to_le_bytes());
        bytes.extend(self.payload_bytes.to_le_bytes());
        bytes.extend(self.records_bytes.to_le_bytes());
        bytes.extend(self.records_check.to_le_bytes());
        bytes.extend([0; 8]);
        let check = check(site, &bytes);
        bytes.extend(check.to_le_bytes());
        (bytes.try_into().expect("the fields add up to a head"), check)
    }

    /// The head that stands at `site`, with its check; `None` when what stands there is not a frame of this place.
    pub(crate) fn decode(bytes: &[u8], site: Site) -> Option<(Self, u32)> {
        let bytes = bytes.get(..HEAD_BYTES)?;
        let found = Reader(bytes.get(CHECK_AT..)?).u32()?;
        if check(site, bytes.get(..CHECK_AT)?) != found {
            return None;
        }
        let mut reader = Reader(bytes);
        if reader.array()? != MAGIC {
            return None;
        }
        let kind = match reader.u8()? {
            1 => FrameKind::Group,
            2 => FrameKind::Closing,
            3 => FrameKind::Opening,
            _ => return None,
        };
        reader.reserved(3)?;
        if reader.u64()? != site.salt {
            return None;
        }
        let head = Self {
            kind,
            number: reader.u64()?,
            synced: reader.u64()?,
            previous: reader.u32()?,
            transactions: reader.u32()?,
            payload_bytes: reader.u32()?,
            records_bytes: reader.u32()?,
            records_check: reader.u32()?,
        };
        reader.reserved(8)?;
        // A head that names itself or the future as synced was never written.
        (head.number > 0 && head.synced < head.number).then_some((head, found))
    }

    /// Bytes from the frame's start to the next one's.
    pub(crate) fn frame_bytes(&self) -> u64 {
        frame_bytes(u64::from(self.payload_bytes), u64::from(self.records_bytes))
    }

    /// Offset of the records in the frame.
    pub(crate) fn records_at(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.payload_bytes)
    }
}

/// Bytes that a frame with this content takes; both stand below 2^32.
pub(crate) fn frame_bytes(payload_bytes: u64, records_bytes: u64) -> u64 {
    let bytes = (HEAD_BYTES as u64).saturating_add(payload_bytes).saturating_add(records_bytes);
    round_up(bytes, BLOCK_BYTES).unwrap_or(u64::MAX)
}

fn check(site: Site, head: &[u8]) -> u32 {
    let mut check = crc32c::crc32c(&site.store);
    check = crc32c::crc32c_append(check, &site.segment.to_le_bytes());
    check = crc32c::crc32c_append(check, &site.offset.to_le_bytes());
    crc32c::crc32c_append(check, head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SITE: Site = Site { store: [7; 16], segment: 3, salt: 99, offset: 8_192 };

    fn head() -> Head {
        Head {
            kind: FrameKind::Group,
            number: 12,
            synced: 11,
            previous: 5,
            transactions: 2,
            payload_bytes: 100,
            records_bytes: 50,
            records_check: 77,
        }
    }

    #[test]
    fn the_first_bytes_of_a_head_are_as_drawn() {
        let (bytes, check) = head().encode(SITE);
        assert_eq!(&bytes[..8], b"OSJF\x01\0\0\0");
        assert_eq!(bytes[8..16], 99u64.to_le_bytes());
        assert_eq!(bytes[16..24], 12u64.to_le_bytes());
        assert_eq!(bytes[24..32], 11u64.to_le_bytes());
        assert_eq!(bytes[60..], check.to_le_bytes());
    }

    #[test]
    fn a_head_is_none_at_another_place() {
        let (bytes, _) = head().encode(SITE);
        for other in [
            Site { store: [8; 16], ..SITE },
            Site { segment: 4, ..SITE },
            Site { salt: 98, ..SITE },
            Site { offset: 4_096, ..SITE },
        ] {
            assert_eq!(Head::decode(&bytes, other), None, "{other:?}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_head_is_seen() {
        let (bytes, _) = head().encode(SITE);
        for bit in 0..HEAD_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&damaged, SITE), None, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn heads_come_back_as_they_were(number in 1u64.., synced: u64, previous: u32, counts: [u32; 4]) {
            let head = Head {
                kind: FrameKind::Group,
                number,
                synced: synced % number,
                previous,
                transactions: counts[0],
                payload_bytes: counts[1],
                records_bytes: counts[2],
                records_check: counts[3],
            };
            let (bytes, check) = head.encode(SITE);
            prop_assert_eq!(Head::decode(&bytes, SITE), Some((head, check)));
        }

        #[test]
        fn garbage_is_no_head(bytes: Vec<u8>) {
            prop_assert_eq!(Head::decode(&bytes, SITE), None);
        }
    }
}
