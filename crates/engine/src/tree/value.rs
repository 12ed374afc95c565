//! Keys and values as the tree has them.
//!
//! ```text
//! key      0x01  partition, 8, big-endian so that it sorts   key
//! value    0x00  record
//!          0x01  place, 25                                   record
//!
//! key      0x00  name: the engine's own records
//!          0x00  "checkpoint"
//!          0x00  "r"  segment, 8, big-endian   partition, 8, big-endian   key
//!                a record of another segment that names a payload of this segment; value: one byte, 1
//!          0x00  "v"  number, 8, big-endian
//!                a file of the value log; value: one byte, 1
//! ```

use bytes::Bytes;
use ossia_store::Record;

use crate::{codec::Reader, journal::record::Place};

const OWN: u8 = 0;
const USERS: u8 = 1;
/// Bytes before a key.
pub(crate) const PREFIX_BYTES: usize = 1 + 8;

/// The key of one of the engine's own records.
pub(crate) fn own_key(name: &[u8]) -> Vec<u8> {
    [&[OWN], name].concat()
}

/// The name of the note that a record names a payload which stands in an older segment than its own.
pub(crate) fn reference(segment: u64, partition: u64, key: &[u8]) -> Vec<u8> {
    [b"r", &segment.to_be_bytes()[..], &partition.to_be_bytes(), key].concat()
}

/// The names of all such notes of a segment: the first, and the first behind them.
pub(crate) fn references(segment: u64) -> (Vec<u8>, Vec<u8>) {
    let from = [b"r", &segment.to_be_bytes()[..]].concat();
    let to = match segment.checked_add(1) {
        Some(next) => [b"r", &next.to_be_bytes()[..]].concat(),
        None => b"s".to_vec(),
    };
    (from, to)
}

/// The partition and the key that such a note is about, from its whole key.
pub(crate) fn referenced(own_key: &[u8]) -> Option<(u64, &[u8])> {
    let mut reader = Reader(own_key.get(1..)?);
    if reader.u8()? != b'r' {
        return None;
    }
    reader.u64()?;
    let partition = u64::from_be_bytes(reader.array()?);
    (!reader.is_empty()).then_some((partition, reader.0))
}

/// The name of the record of a value-log file.
pub(crate) fn values_file(number: u64) -> Vec<u8> {
    [b"v", &number.to_be_bytes()[..]].concat()
}

/// The file that such a record is about, from its whole key.
pub(crate) fn values_number(own_key: &[u8]) -> Option<u64> {
    let mut reader = Reader(own_key.get(1..)?);
    if reader.u8()? != b'v' {
        return None;
    }
    let number = u64::from_be_bytes(reader.array()?);
    reader.is_empty().then_some(number)
}

/// The partition and the key of a whole key, unless it is one of the engine's own.
pub(crate) fn split(key: &[u8]) -> Option<(u64, &[u8])> {
    let mut reader = Reader(key);
    if reader.u8()? != USERS {
        return None;
    }
    let partition = u64::from_be_bytes(reader.array()?);
    Some((partition, reader.0))
}

/// Where the keys of all partitions begin, and the first key behind them.
pub(crate) fn users() -> (Vec<u8>, Vec<u8>) {
    (vec![USERS], vec![USERS + 1])
}

/// Where a partition's keys begin.
pub(crate) fn prefix(partition: u64) -> [u8; PREFIX_BYTES] {
    let mut prefix = [USERS; PREFIX_BYTES];
    prefix[1..].copy_from_slice(&partition.to_be_bytes());
    prefix
}

/// A key of a partition.
pub(crate) fn key(partition: u64, key: &[u8]) -> Vec<u8> {
    [&prefix(partition), key].concat()
}

/// The first key behind a partition.
pub(crate) fn behind(partition: u64) -> Vec<u8> {
    match partition.checked_add(1) {
        Some(next) => prefix(next).to_vec(),
        None => vec![USERS + 1],
    }
}

/// Writes a value over `into`.
pub(crate) fn encode(into: &mut Vec<u8>, record: &[u8], payload: Option<Place>) {
    into.clear();
    match payload {
        None => into.push(0),
        Some(place) => {
            into.push(1);
            place.encode(into);
        }
    }
    into.extend_from_slice(record);
}

/// The place of a value's payload, if it has one; the outer `None` for what is no value.
pub(crate) fn place(value: &[u8]) -> Option<Option<Place>> {
    let mut reader = Reader(value);
    match reader.u8()? {
        0 => Some(None),
        1 => Place::decode(&mut reader).map(Some),
        _ => None,
    }
}

/// A value's record, copied so that it does not hold a whole block in memory.
pub(crate) fn decode(value: &[u8]) -> Option<Record> {
    let mut reader = Reader(value);
    let payload = match reader.u8()? {
        0 => None,
        1 => Some(Place::decode(&mut reader)?.to_ref()),
        _ => return None,
    };
    (!reader.is_empty()).then(|| Record { value: Bytes::copy_from_slice(reader.0), payload })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::Home;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_come_back(record in proptest::collection::vec(any::<u8>(), 1..50), length: u32) {
            let place = Place { home: Home::Segment, number: 1, offset: 2, length, check: 3 };
            let place = (length > 0).then_some(place);
            let mut bytes = Vec::new();
            encode(&mut bytes, &record, place);
            let told = decode(&bytes).unwrap();
            prop_assert_eq!(&told.value[..], &record[..]);
            prop_assert_eq!(told.payload.and_then(Place::of_ref), place);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn names_of_own_records_tell_what_they_are_about() {
        let note = own_key(&reference(7, 3, b"key"));
        assert_eq!(referenced(&note), Some((3, &b"key"[..])));
        let (from, to) = references(7);
        assert!(own_key(&from) < note && note < own_key(&to));
        assert!(own_key(&reference(u64::MAX, u64::MAX, b"z")) < own_key(&references(u64::MAX).1));
        assert_eq!(values_number(&own_key(&values_file(9))), Some(9));
        assert_eq!(values_number(&note), None);
        assert_eq!(split(&key(5, b"k")), Some((5, &b"k"[..])));
        assert_eq!(split(&note), None);
    }

    #[test]
    fn partitions_stand_side_by_side() {
        assert!(key(1, b"\xff\xff") < behind(1));
        assert!(behind(1) <= key(2, b""));
        assert!(key(u64::MAX, b"\xff\xff") < behind(u64::MAX));
        assert!(own_key(b"checkpoint") < prefix(0).to_vec());
    }
}
