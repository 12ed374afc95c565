//! How the object layer lies in the index.
//!
//! ```text
//! partition 0, the system:
//!   N                              counters: next bucket id, number of buckets
//!   B name                         catalogue: one bucket
//!   C bucket id (8) kind (1)       a configuration of a bucket; under id 0 of the account
//!   D bucket id (8)                a bucket that is gone but for what the reaper has to clear
//!   K                              master keys that something was sealed under
//!   S                              where the scrub is
//!
//! partition 1, identities: `ossia-ram`'s, nothing here reads it
//!
//! partition  bucket id << 16 | i,  i below the bucket's partition count; a key's i is its CRC-64 modulo that count:
//!   b                              the bucket's record, read by every transaction here
//!   h key                          head: the current version, if it is an object
//!   n key                          the current version, if it is a delete marker; never both
//!   v key' order (8, inverted)     an older version, the newest one first; only under a current one
//!   c content id (16) end (8)      extent: the bytes that end at `end`
//!   p content id (16) end (8)      packed extent: the same, in the place of many small ones
//!   s blob id (16)                 which content names this blob
//!   t content id (16)              tombstone: content that was let go
//!   k data key id (16)             a data key, sealed: of one object, or of an upload under way
//!   m key' upload id (16)          an upload under way; key' is the key in the form of `multipart::names`
//!   u upload id (16) number (2)    a part of an upload
//!   x upload id (16)               an upload that is over, but for its parts
//!   y content id (16)              content that is being made of parts
//! ```
//!
//! Extents are keyed by their *end*, big-endian: the one that holds position `p` is the first key above `p`, one seek away. Why
//! packed ones have a tag of their own stands in `extents`. A key with a delete marker on top has no `h` record, so that a listing
//! never has to step over it; in a bucket that never had versions nobody looks for an `n`. `versioning` tells the rest.
//!
//! The partition of a key must never change while its bucket lives: the rule is part of the format.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use bytes::{BufMut, Bytes, BytesMut};
use ossia_store::{BlobId, Partition};

use crate::{
    multipart::names,
    words::{BucketName, ObjectKey, crc64},
};

/// Where the catalogue is. Bucket ids start at 1, so no bucket's partition is this one.
pub(crate) const SYSTEM: Partition = Partition(0);

/// Where users, roles and policies are: another room's, which stands on the same store (`ossia-ram`).
pub(crate) const IDENTITIES: Partition = Partition(1);

/// Bits of a partition's number that count within a bucket.
const PARTITION_BITS: u32 = 16;
/// The greatest bucket id.
pub(crate) const BUCKET_ID_MAX: u64 = (1 << (64 - PARTITION_BITS)) - 1;

/// First byte of a catalogue key.
pub(crate) const CATALOGUE: u8 = b'B';
/// First byte of a configuration's key.
pub(crate) const CONFIG: u8 = b'C';
/// First byte of a gone bucket's key.
pub(crate) const DROPPED: u8 = b'D';
/// First byte of a head's key.
pub(crate) const HEAD: u8 = b'h';
/// First byte of the key of a delete marker that is current.
pub(crate) const MARKER: u8 = b'n';
/// First byte of an older version's key.
pub(crate) const OLDER: u8 = b'v';
/// First bytes of the keys of versions, delete markers among them.
pub(crate) const VERSIONS: [u8; 3] = [HEAD, OLDER, MARKER];
/// First byte of a tombstone's key.
pub(crate) const TOMBSTONE: u8 = b't';
/// First bytes of keys that keep a bucket from being deleted: heads, older versions, delete markers, uploads.
pub(crate) const HOLDING: [u8; 4] = [HEAD, OLDER, MARKER, UPLOAD];
/// First byte of an upload's key.
pub(crate) const UPLOAD: u8 = b'm';
/// First byte of a part's key.
pub(crate) const PART: u8 = b'u';
/// First byte of the key of an upload that is over.
pub(crate) const LEFTOVER: u8 = b'x';
const MAKING: u8 = b'y';
/// First byte of a data key's key.
pub(crate) const DATA_KEY: u8 = b'k';

/// First byte of an extent's key.
pub(crate) const EXTENT: u8 = b'c';
/// First byte of a packed extent's key.
pub(crate) const PACKED: u8 = b'p';
/// First byte of a reference's key.
pub(crate) const REFERENCE: u8 = b's';

/// Names content. Never used twice: 48 bits of milliseconds, so that what is written together lies together, and 80 bits that count
/// on from a random start of this process, since every append takes one and most need none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ContentId(pub(crate) [u8; 16]);

impl ContentId {
    pub(crate) fn new(now_ms: u64) -> Self {
        static START: OnceLock<u128> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let start = *START.get_or_init(|| {
            let mut random = [0; 16];
            getrandom::fill(&mut random).expect(
                "the operating system has a random source, without which no key can be made either",
            );
            u128::from_be_bytes(random)
        });
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut id = start.wrapping_add(u128::from(count)).to_be_bytes();
        // The low 80 bits stay.
        id[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
        Self(id)
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// The counters' key.
pub(crate) fn counters() -> Bytes {
    Bytes::from_static(b"N")
}

/// The key of the record that names master keys.
pub(crate) fn master_keys() -> Bytes {
    Bytes::from_static(b"K")
}

/// The key of a data key.
pub(crate) fn data_key(id: ContentId) -> Bytes {
    tagged(DATA_KEY, &id.0)
}

/// The data key that a key names.
pub(crate) fn data_key_id(key: &[u8]) -> Option<ContentId> {
    ContentId::from_slice(key.get(1..)?)
}

/// The key of the scrub's place.
pub(crate) fn scrub() -> Bytes {
    Bytes::from_static(b"S")
}

/// A bucket's catalogue key.
pub(crate) fn catalogue(name: &BucketName) -> Bytes {
    tagged(CATALOGUE, name.as_str().as_bytes())
}

/// The key of a configuration.
pub(crate) fn config(bucket_id: u64, kind: u8) -> Bytes {
    let mut key = BytesMut::with_capacity(10);
    key.put_u8(CONFIG);
    key.put_u64(bucket_id);
    key.put_u8(kind);
    key.freeze()
}

/// The key of a bucket that is gone.
pub(crate) fn dropped(id: u64) -> Bytes {
    tagged(DROPPED, &id.to_be_bytes())
}

/// The key of the bucket's record in each of its partitions.
pub(crate) fn bucket() -> Bytes {
    Bytes::from_static(b"b")
}

/// A head's key.
pub(crate) fn head(key: &ObjectKey) -> Bytes {
    tagged(HEAD, key.as_bytes())
}

/// The key of an older version of the object that this head's key names.
pub(crate) fn older(head_key: &[u8], order: u64) -> Bytes {
    let mut key = olders(head_key);
    // Inverted: the newest one comes first.
    key.put_u64(!order);
    key.freeze()
}

/// What the keys of all older versions of the object start with that this head's key names.
pub(crate) fn olders(head_key: &[u8]) -> BytesMut {
    names::grouped(OLDER, head_key.get(1..).unwrap_or_default())
}

/// The object's key and the order, from an older version's key.
pub(crate) fn parse_older(name: &[u8]) -> Option<(ObjectKey, u64)> {
    let (key, order) = names::parse_grouped(OLDER, name)?;
    Some((key, !u64::from_be_bytes(order.try_into().ok()?)))
}

/// The key of a delete marker that is current, from the key of the head that would stand in its place.
pub(crate) fn marker(head_key: &[u8]) -> Bytes {
    tagged(MARKER, head_key.get(1..).unwrap_or_default())
}

/// An extent's key.
pub(crate) fn extent(content: ContentId, end: u64) -> Bytes {
    let mut key = BytesMut::with_capacity(25);
    key.put_u8(EXTENT);
    key.put_slice(&content.0);
    key.put_u64(end);
    key.freeze()
}

/// A packed extent's key.
pub(crate) fn packed(content: ContentId, end: u64) -> Bytes {
    let mut key = BytesMut::with_capacity(25);
    key.put_u8(PACKED);
    key.put_slice(&content.0);
    key.put_u64(end);
    key.freeze()
}

/// What the keys of all of a content's packed extents start with.
pub(crate) fn packed_extents(content: ContentId) -> Bytes {
    tagged(PACKED, &content.0)
}

/// What the keys of all of a content's other extents start with.
pub(crate) fn extents(content: ContentId) -> Bytes {
    tagged(EXTENT, &content.0)
}

/// Where an extent ends, from its key.
pub(crate) fn extent_end(key: &[u8]) -> Option<u64> {
    let end = key.get(17..)?;
    Some(u64::from_be_bytes(end.try_into().ok()?))
}

/// The content that an extent's key names.
pub(crate) fn extent_content(key: &[u8]) -> Option<ContentId> {
    ContentId::from_slice(key.get(1..17)?)
}

/// The key that tells which content names a blob.
pub(crate) fn reference(blob: BlobId) -> Bytes {
    tagged(REFERENCE, &blob.0)
}

/// A tombstone's key.
pub(crate) fn tombstone(content: ContentId) -> Bytes {
    tagged(TOMBSTONE, &content.0)
}

/// The key that stands while content is being made of parts.
pub(crate) fn making(content: ContentId) -> Bytes {
    tagged(MAKING, &content.0)
}

/// The content that a tombstone's key names.
pub(crate) fn tombstone_content(key: &[u8]) -> Option<ContentId> {
    ContentId::from_slice(key.get(1..)?)
}

/// A key of one byte and what follows it.
pub(crate) fn tagged(tag: u8, rest: &[u8]) -> Bytes {
    let mut key = BytesMut::with_capacity(1 + rest.len());
    key.put_u8(tag);
    key.put_slice(rest);
    key.freeze()
}

/// The partitions of a bucket.
pub(crate) fn partitions(bucket_id: u64, count: u16) -> impl Iterator<Item = Partition> {
    (0..count).map(move |i| Partition(bucket_id << PARTITION_BITS | u64::from(i)))
}

/// The partition of a key.
pub(crate) fn partition(bucket_id: u64, count: u16, key: &ObjectKey) -> Partition {
    let i = match count {
        0 | 1 => 0,
        _ => crc64::checksum(key.as_bytes()) % u64::from(count),
    };
    Partition(bucket_id << PARTITION_BITS | i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extent_that_holds_a_position_is_the_first_key_above_it() {
        let content = ContentId::new(1_700_000_000_000);
        let ends = [5_u64, 11, 300, u64::from(u32::MAX), 5 << 30];
        let keys: Vec<Bytes> = ends.iter().map(|&end| extent(content, end)).collect();
        assert!(keys.is_sorted());
        for position in [0_u64, 4, 5, 10, 299, 300, 1 << 33] {
            let found = keys.iter().find(|key| **key >= extent(content, position + 1));
            let end = ends.iter().find(|&&end| end > position);
            assert_eq!(found.and_then(|key| extent_end(key)), end.copied());
        }
    }

    #[test]
    fn content_made_later_sorts_later_and_no_two_are_the_same() {
        assert!(ContentId::new(1).0 < ContentId::new(2).0);
        assert_ne!(ContentId::new(7), ContentId::new(7));
    }

    #[test]
    fn partitions_of_a_bucket_are_its_own_and_a_key_stays_in_one() {
        let all: Vec<Partition> = partitions(3, 4).collect();
        assert_eq!(all[0], Partition(3 << 16));
        assert!(all.iter().all(|p| *p != SYSTEM && *p != IDENTITIES));
        let key = ObjectKey::new("logs/app.log").unwrap();
        assert!(all.contains(&partition(3, 4, &key)));
        // Part of the format: these must never move.
        assert_eq!(partition(3, 4, &key).0 & 0xffff, crc64::checksum(b"logs/app.log") % 4);
        assert_eq!(partition(9, 1, &key), Partition(9 << 16));
    }

    #[test]
    fn keys_of_the_longest_names_fit_the_contract() {
        let key = ObjectKey::new(&"k".repeat(1023)).unwrap();
        assert!(head(&key).len() <= ossia_store::KEY_BYTES_MAX);
        assert!(older(&head(&key), 1).len() <= ossia_store::KEY_BYTES_MAX);
        assert_eq!(parse_older(&older(&head(&key), 7)), Some((key, 7)));
        assert_eq!(extent_end(b"c"), None);
        assert_eq!(tombstone_content(b"tshort"), None);
    }
}
