//! A blob's file.
//!
//! ```text
//! blobs/3f/3f...  (32 hex digits), or staging/3f... until it is adopted; staging/3f....part until it is finished
//! +---------------+------------------+-------------------------------+------------+
//! | header, 4,096 | data, contiguous | crc32c of each 64 KiB of data | footer, 32 |
//! +---------------+------------------+-------------------------------+------------+
//!
//! header                                       footer
//!    0 magic        8   "OSSIABLB"              0 magic    8   "OSSIAEND"
//!    8 version      4   1                       8 length   8   of the data
//!   12 reserved     4   zero                   16 reserved 8   zero
//!   16 id          16   as in the name         24 table    4   crc32c of the table
//!   32 owner_bytes  2   at most 256            28 check    4   crc32c of footer 0..28
//!   34 owner            owner_bytes, then zeros
//! 4092 check        4   crc32c of header 0..4092
//! ```
//!
//! A file without `.part` was synced as a whole before it got its name: whatever does not read is damage, not a crash.

use ossia_store::BlobId;

use crate::codec::Reader;

pub(crate) const HEADER_BYTES: usize = 4_096;
pub(crate) const BLOCK_BYTES: usize = 64 << 10;
pub(crate) const FOOTER_BYTES: usize = 32;
pub(crate) const OWNER_BYTES_MAX: usize = 256;
/// Bytes of the table for each block.
pub(crate) const CHECK_BYTES: usize = 4;

const MAGIC: [u8; 8] = *b"OSSIABLB";
const END_MAGIC: [u8; 8] = *b"OSSIAEND";
const VERSION: u32 = 1;
pub(crate) const HEADER_CHECK_AT: usize = HEADER_BYTES - 4;
pub(crate) const FOOTER_CHECK_AT: usize = FOOTER_BYTES - 4;

/// Blocks that this much data makes.
pub(crate) fn blocks(length: u64) -> u64 {
    length.div_ceil(BLOCK_BYTES as u64)
}

/// Where the table stands.
pub(crate) fn table_at(length: u64) -> u64 {
    (HEADER_BYTES as u64).saturating_add(length)
}

/// The whole file's length.
pub(crate) fn file_bytes(length: u64) -> u64 {
    table_at(length)
        .saturating_add(blocks(length).saturating_mul(CHECK_BYTES as u64))
        .saturating_add(FOOTER_BYTES as u64)
}

/// `owner` is at most [`OWNER_BYTES_MAX`] long.
pub(crate) fn encode_header(id: BlobId, owner: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(id.0);
    let owner_bytes = u16::try_from(owner.len()).expect("the owner's length was checked");
    bytes.extend(owner_bytes.to_le_bytes());
    bytes.extend(owner);
    bytes.resize(HEADER_CHECK_AT, 0);
    let check = crc32c::crc32c(&bytes);
    bytes.extend(check.to_le_bytes());
    bytes
}

/// The owner in a header; `None` when it is damaged or another blob's.
pub(crate) fn decode_header(bytes: &[u8], id: BlobId) -> Option<&[u8]> {
    let bytes = bytes.get(..HEADER_BYTES)?;
    let check = Reader(bytes.get(HEADER_CHECK_AT..)?).u32()?;
    let checked = bytes.get(..HEADER_CHECK_AT)?;
    if crc32c::crc32c(checked) != check {
        return None;
    }
    let mut reader = Reader(checked);
    if reader.array()? != MAGIC || reader.u32()? != VERSION {
        return None;
    }
    reader.reserved(4)?;
    if reader.array()? != id.0 {
        return None;
    }
    let owner_bytes = usize::from(reader.u16()?);
    if owner_bytes > OWNER_BYTES_MAX {
        return None;
    }
    let owner = reader.take(owner_bytes)?;
    reader.reserved(reader.0.len())?;
    Some(owner)
}

pub(crate) fn encode_footer(length: u64, table_check: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FOOTER_BYTES);
    bytes.extend(END_MAGIC);
    bytes.extend(length.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(table_check.to_le_bytes());
    let check = crc32c::crc32c(&bytes);
    bytes.extend(check.to_le_bytes());
    bytes
}

/// The length and the table's check in a footer; `None` when it is damaged.
pub(crate) fn decode_footer(bytes: &[u8]) -> Option<(u64, u32)> {
    let bytes = bytes.get(..FOOTER_BYTES)?;
    let check = Reader(bytes.get(FOOTER_CHECK_AT..)?).u32()?;
    if crc32c::crc32c(bytes.get(..FOOTER_CHECK_AT)?) != check {
        return None;
    }
    let mut reader = Reader(bytes);
    if reader.array()? != END_MAGIC {
        return None;
    }
    let length = reader.u64()?;
    reader.reserved(8)?;
    Some((length, reader.u32()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: BlobId = BlobId([9; 16]);

    #[test]
    fn every_changed_byte_of_a_header_is_seen() {
        let header = encode_header(ID, b"owner");
        assert_eq!(decode_header(&header, ID), Some(&b"owner"[..]));
        assert_eq!(decode_header(&header, BlobId([8; 16])), None);
        for at in 0..header.len() {
            let mut damaged = header.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode_header(&damaged, ID), None, "byte {at}");
        }
    }

    #[test]
    fn every_changed_byte_of_a_footer_is_seen() {
        let footer = encode_footer(70_000, 5);
        assert_eq!(decode_footer(&footer), Some((70_000, 5)));
        for at in 0..footer.len() {
            let mut damaged = footer.clone();
            damaged[at] ^= 1;
            assert_eq!(decode_footer(&damaged), None, "byte {at}");
        }
    }

    #[test]
    fn the_parts_of_a_file_add_up() {
        assert_eq!((blocks(0), file_bytes(0)), (0, 4_096 + 32));
        assert_eq!((blocks(65_536), file_bytes(65_536)), (1, 4_096 + 65_536 + 4 + 32));
        assert_eq!(blocks(65_537), 2);
        assert_eq!(
            file_bytes(u64::MAX),
            u64::MAX,
            "a length that cannot be is too long for any file"
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            prop_assert_eq!(decode_header(&bytes, ID), None);
            prop_assert_eq!(decode_footer(&bytes), None);
        }
    }
}
