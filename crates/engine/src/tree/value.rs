//! Keys and values as the tree has them.
//!
//! ```text
//! key      0x01  partition, 8, big-endian so that it sorts   key
//! value    0x00  record
//!          0x01  place, 25                                   record
//!
//! key      0x00  name: the engine's own records
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
    fn partitions_stand_side_by_side() {
        assert!(key(1, b"\xff\xff") < behind(1));
        assert!(behind(1) <= key(2, b""));
        assert!(key(u64::MAX, b"\xff\xff") < behind(u64::MAX));
        assert!(own_key(b"checkpoint") < prefix(0).to_vec());
    }
}
