//! What `fuzz/` needs to see of the decoders of bytes on disk. Not an interface: it is there with the feature `fuzzing` alone.
//!
//! Checksums keep a fuzzer out of what stands behind them, so every form is tried twice: with the bytes as they are, and with the
//! checksum made right. Whatever a decoder takes must be what its encoder writes.

use std::{path::Path, sync::Arc};

use ossia_store::{BlobId, Token};

use crate::{
    OpenError,
    blobs::format as blob,
    codec::Reader,
    disk::{Access, Disk},
    journal::{
        frame::{BLOCK_BYTES, FrameKind, HEAD_BYTES, Head, Site},
        record::{self, Beside, Change, PLACE_BYTES, Place},
        recover, segment,
    },
    layout,
    tree::{self, guard, value},
    values,
};

const STORE: [u8; 16] = [0xA5; 16];

/// `bytes` cut or filled up to `length`, the last four before `end` made the checksum of those before them.
fn resealed(bytes: &[u8], length: usize, check_at: usize, check: impl Fn(&[u8]) -> u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(length, 0);
    let check = check(&bytes[..check_at]);
    bytes[check_at..check_at + 4].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// A frame's head.
pub fn frame_head(bytes: &[u8], segment: u64, salt: u64, offset: u64) {
    let site = Site { store: STORE, segment, salt, offset };
    let _ = Head::decode(bytes, site);
    let seal = |head: &[u8]| {
        let mut check = crc32c::crc32c(&STORE);
        check = crc32c::crc32c_append(check, &segment.to_le_bytes());
        check = crc32c::crc32c_append(check, &offset.to_le_bytes());
        crc32c::crc32c_append(check, head)
    };
    let bytes = resealed(bytes, HEAD_BYTES, HEAD_BYTES - 4, seal);
    if let Some((head, check)) = Head::decode(&bytes, site) {
        let (again, check_again) = head.encode(site);
        assert_eq!((&again[..], check_again), (&bytes[..], check));
        assert!(head.frame_bytes() >= HEAD_BYTES as u64);
        for other in [Site { salt: !salt, ..site }, Site { offset: !offset, ..site }] {
            assert_eq!(Head::decode(&bytes, other), None, "a head counts at its own place only");
        }
    }
}

/// The records of a group.
pub fn records(bytes: &[u8], count: u32, payload_bytes: u32) {
    let Some(transactions) = record::decode_transactions(bytes, count, payload_bytes) else {
        return;
    };
    assert_eq!(transactions.len(), count as usize);
    let mut again = Vec::new();
    for transaction in &transactions {
        record::encode_transaction(
            &mut again,
            transaction.token,
            transaction.partition,
            &transaction.changes,
        );
        for change in &transaction.changes {
            if let Some((_, Beside::New { at, length, .. })) = change.put {
                let end = at.checked_add(length);
                assert!(end.is_some_and(|end| end <= payload_bytes), "a payload within its frame");
            }
        }
    }
    assert_eq!(again, bytes);
}

/// What the tree holds: values, the checkpoint, names of the engine's own records, `current`.
pub fn tree(bytes: &[u8]) {
    if let Some(record) = value::decode(bytes) {
        let place = record.payload.and_then(Place::of_ref);
        assert_eq!(place.is_some(), record.payload.is_some());
        assert_eq!(value::place(bytes), Some(place));
        let mut again = Vec::new();
        value::encode(&mut again, &record.value, place);
        assert_eq!(again, bytes);
    }
    if let Some((partition, key)) = value::split(bytes) {
        assert_eq!(value::key(partition, key), bytes);
    }
    if let Some((partition, key)) = value::referenced(bytes) {
        let segment =
            bytes.get(2..10).and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
        let again = value::own_key(&value::reference(segment.unwrap_or(0), partition, key));
        assert_eq!(again[1..], bytes[1..]);
    }
    if let Some(number) = value::values_number(bytes) {
        assert_eq!(value::own_key(&value::values_file(number))[1..], bytes[1..]);
    }
    guard::fuzz_current(bytes);
    tree::fuzz_checkpoint(bytes);
    let length = bytes.len().max(4);
    tree::fuzz_checkpoint(&resealed(bytes, length, length - 4, crc32c::crc32c));
    if let Some(place) =
        bytes.get(..PLACE_BYTES).and_then(|bytes| Place::decode(&mut Reader(bytes)))
    {
        let mut again = Vec::new();
        place.encode(&mut again);
        assert_eq!(again, bytes[..PLACE_BYTES]);
        assert_eq!(Place::of_ref(place.to_ref()), Some(place));
    }
}

/// Headers and footers of files, and the file `LAYOUT`.
pub fn files(bytes: &[u8], number: u64) {
    let block = BLOCK_BYTES as usize;
    let _ = segment::decode_header(bytes, STORE, number);
    let _ = values::is_header(bytes, STORE, number);
    let header = resealed(bytes, block, segment::CHECK_AT, crc32c::crc32c);
    if let Ok(salt) = segment::decode_header(&header, STORE, number) {
        assert_eq!(segment::encode_header(STORE, number, salt), header);
    }
    let id = BlobId(STORE);
    let _ = (blob::decode_header(bytes, id), blob::decode_footer(bytes));
    let header = resealed(bytes, blob::HEADER_BYTES, blob::HEADER_CHECK_AT, crc32c::crc32c);
    if let Some(owner) = blob::decode_header(&header, id) {
        assert_eq!(blob::encode_header(id, owner), header);
    }
    let footer = resealed(bytes, blob::FOOTER_BYTES, blob::FOOTER_CHECK_AT, crc32c::crc32c);
    if let Some((length, check)) = blob::decode_footer(&footer) {
        assert_eq!(blob::encode_footer(length, check), footer);
        assert!(blob::file_bytes(length) >= blob::table_at(length));
    }
    layout::fuzz(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let text = format!("{text}\n");
        layout::fuzz(format!("{text}check {:08x}\n", crc32c::crc32c(text.as_bytes())).as_bytes());
        let named = segment::number_of(text.trim_end());
        assert!(named.is_none_or(
            |number| segment::path(Path::new(""), number) == Path::new(text.trim_end())
        ));
    }
}

/// A frame as it was written, or as recovery believes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its number.
    pub number: u64,
    /// Its segment.
    pub segment: u64,
    /// Its offset there.
    pub offset: u64,
    /// Its records; `None` where recovery finds that they do not match their check.
    pub records: Option<Vec<u8>>,
}

/// Length of a frame's head.
pub const FRAME_HEAD_BYTES: usize = HEAD_BYTES;

/// Writes a journal as the engine does, one frame a group, each after the sync of the one before; `roll(n)` begins a new segment
/// before frame `n`. Each group is its frame's payload.
///
/// # Panics
/// When the disk fails.
pub fn write_journal(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    groups: &[&[u8]],
    segment_bytes: u64,
    roll: impl Fn(u64) -> bool,
) -> Vec<Frame> {
    let mut written = Vec::new();
    let (mut segment_number, mut offset, mut previous) = (0, u64::MAX, 0);
    let mut file = None;
    for (number, group) in (1_u64..).zip(groups) {
        let mut records = Vec::new();
        let check = crc32c::crc32c(group);
        let beside = match group.len() {
            0 => Beside::Nothing,
            length => Beside::New { at: 0, length: length as u32, check },
        };
        let change = Change { own: false, key: b"key", put: Some((b"value", beside)) };
        record::encode_transaction(&mut records, Token([number as u8; 16]), 7, &[change]);
        let frame_bytes =
            crate::journal::frame::frame_bytes(group.len() as u64, records.len() as u64);
        if file.is_none() || roll(number) || offset + frame_bytes > segment_bytes {
            segment_number += 1;
            let path = segment::path(folder, segment_number);
            let made = disk.open(&path, Access::Create).expect("the disk works");
            let header = segment::encode_header(STORE, segment_number, salt(segment_number));
            made.write_at(&header, 0).expect("the disk works");
            made.set_length(segment_bytes.max(BLOCK_BYTES + frame_bytes)).expect("the disk works");
            (file, offset) = (Some(made), BLOCK_BYTES);
        }
        let head = Head {
            transactions: 1,
            payload_bytes: group.len() as u32,
            records_bytes: records.len() as u32,
            records_check: crc32c::crc32c(&records),
            ..Head::bare(FrameKind::Group, number, number - 1, previous)
        };
        let site =
            Site { store: STORE, segment: segment_number, salt: salt(segment_number), offset };
        let (bytes, check) = head.encode(site);
        let frame = [&bytes[..], group, &records].concat();
        if let Some(file) = &file {
            file.write_at(&frame, offset).expect("the disk works");
        }
        written.push(Frame { number, segment: segment_number, offset, records: Some(records) });
        previous = check;
        offset += frame_bytes;
    }
    written
}

fn salt(segment: u64) -> u64 {
    segment.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// What a start believes of the journal.
///
/// # Errors
/// Why it stops.
pub fn recover_journal(disk: &Arc<dyn Disk>, folder: &Path) -> Result<Vec<Frame>, OpenError> {
    let yard = segment::Yard { disk: Arc::clone(disk), folder: folder.into(), store: STORE };
    let walk = recover::walk(&yard, recover::segments(&yard)?, None)?;
    let mut frames = Vec::new();
    for frame in &walk.frames {
        let records =
            recover::read_records(&walk.segments, frame).map_err(OpenError::io(folder))?.ok();
        let segment = walk.segments.get(frame.at).map_or(0, |segment| segment.number);
        frames.push(Frame { number: frame.head.number, segment, offset: frame.offset, records });
    }
    Ok(frames)
}
