//! Names of uploads, and the keys of their records.
//!
//! Uploads are listed by object key and then by id, and object keys may hold any byte, zero included. So that what follows a key
//! cannot be taken for more of it, the key stands in groups of eight bytes, the last one filled up with zeros, each with a byte
//! behind it: how many bytes of the group count (0 to 8) in the last one, 9 in those before. Keys then sort as their bytes do, none
//! is the beginning of another, and the longest takes 1,152 bytes.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    keys::{self, LEFTOVER, PART, UPLOAD},
    words::ObjectKey,
};

const GROUP: usize = 8;
/// Behind a group that others follow.
const MORE: u8 = 9;
/// The length of an upload's id, in bytes.
const ID_BYTES: usize = 16;

/// Names an upload: 128 random bits, so that nobody guesses one and none comes twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(pub(crate) [u8; ID_BYTES]);

impl UploadId {
    pub(crate) fn random() -> Self {
        let mut id = [0; ID_BYTES];
        getrandom::fill(&mut id).expect(
            "the operating system has a random source, without which no key can be made either",
        );
        Self(id)
    }

    /// Reads the text form: 32 upper-case hexadecimal digits. Anything else names no upload.
    pub fn parse(text: &str) -> Option<Self> {
        let upper = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        if text.len() != 2 * ID_BYTES || !text.bytes().all(upper) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|id| Self(id.to_be_bytes()))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032X}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The key of an upload.
pub(crate) fn upload(key: &ObjectKey, id: UploadId) -> Bytes {
    let mut name = uploads(key);
    name.put_slice(&id.0);
    name.freeze()
}

/// What the keys of all uploads of an object start with.
pub(crate) fn uploads(key: &ObjectKey) -> BytesMut {
    grouped(UPLOAD, key.as_bytes())
}

/// A tag and an object's key in groups, for something to follow.
pub(crate) fn grouped(tag: u8, key: &[u8]) -> BytesMut {
    let mut name = grouped_below(tag, key);
    let tail = key.len() - whole_groups(key.len()) * GROUP;
    name.put_bytes(0, GROUP - tail);
    name.put_u8(tail as u8);
    name
}

/// Where the uploads begin whose object's key is `text`, which need be no key, or sorts behind it.
pub(crate) fn uploads_from(text: &str) -> BytesMut {
    grouped(UPLOAD, text.as_bytes())
}

/// What the keys of all uploads start with whose object's key starts with `prefix`. Where that ends with zeros, shorter keys may
/// start with it too, since zeros fill up their last group; these lie below [`uploads_from`] of it.
pub(crate) fn uploads_below(prefix: &str) -> BytesMut {
    grouped_below(UPLOAD, prefix.as_bytes())
}

fn grouped_below(tag: u8, bytes: &[u8]) -> BytesMut {
    let mut name =
        BytesMut::with_capacity(2 + bytes.len() / GROUP * (GROUP + 1) + GROUP + ID_BYTES);
    name.put_u8(tag);
    let (groups, tail) = bytes.split_at(whole_groups(bytes.len()) * GROUP);
    for group in groups.chunks(GROUP) {
        name.put_slice(group);
        name.put_u8(MORE);
    }
    name.put_slice(tail);
    name
}

/// Groups that others surely follow: the last one, full or not, is told by what comes behind.
fn whole_groups(length: usize) -> usize {
    length.saturating_sub(1) / GROUP
}

/// The object's key and the upload's id, from the key of an upload.
pub(crate) fn parse_upload(name: &[u8]) -> Option<(ObjectKey, UploadId)> {
    let (key, id) = parse_grouped(UPLOAD, name)?;
    Some((key, UploadId(id.try_into().ok()?)))
}

/// The object's key and what follows it, from a key that [`grouped`] has begun.
pub(crate) fn parse_grouped(tag: u8, name: &[u8]) -> Option<(ObjectKey, &[u8])> {
    let mut rest = name.strip_prefix(&[tag])?;
    let mut key = Vec::with_capacity(rest.len());
    loop {
        let (group, behind) = rest.split_at_checked(GROUP)?;
        let (&count, behind) = behind.split_first()?;
        rest = behind;
        if count == MORE {
            key.extend_from_slice(group);
            continue;
        }
        let (used, filled) = group.split_at_checked(count.into())?;
        if filled.iter().any(|&byte| byte != 0) {
            return None;
        }
        key.extend_from_slice(used);
        break;
    }
    Some((ObjectKey::from_bytes(&key).ok()?, rest))
}

/// The key of a part.
pub(crate) fn part(id: UploadId, number: u16) -> Bytes {
    let mut name = BytesMut::with_capacity(1 + ID_BYTES + 2);
    name.put_u8(PART);
    name.put_slice(&id.0);
    name.put_u16(number);
    name.freeze()
}

/// What the keys of all parts of an upload start with.
pub(crate) fn parts(id: UploadId) -> Bytes {
    keys::tagged(PART, &id.0)
}

/// A part's number, from its key.
pub(crate) fn part_number(name: &[u8]) -> Option<u16> {
    let number = name.get(1 + ID_BYTES..)?;
    Some(u16::from_be_bytes(number.try_into().ok()?))
}

/// The key of an upload that is over.
pub(crate) fn leftover(id: UploadId) -> Bytes {
    keys::tagged(LEFTOVER, &id.0)
}

/// The upload that such a key names.
pub(crate) fn leftover_id(name: &[u8]) -> Option<UploadId> {
    Some(UploadId(name.get(1..)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use ossia_store::successor;

    fn key(text: &str) -> ObjectKey {
        ObjectKey::new(text).unwrap()
    }

    #[test]
    fn ids_are_upper_case_hex_and_nothing_else_is_one() {
        let id = UploadId([0xAB; 16]);
        assert_eq!(id.to_string(), "AB".repeat(16));
        assert_eq!(UploadId::parse(&id.to_string()), Some(id));
        for wrong in
            ["", "AB", &"ab".repeat(16), &"AB".repeat(17), &"+B".repeat(16), &"é".repeat(16)]
        {
            assert_eq!(UploadId::parse(wrong), None, "{wrong}");
        }
        assert_ne!(UploadId::random(), UploadId::random());
    }

    #[test]
    fn the_longest_key_fits_the_contract() {
        let name = upload(&key(&"\0".repeat(1_023)), UploadId([0xFF; 16]));
        assert!(name.len() <= ossia_store::KEY_BYTES_MAX, "{}", name.len());
    }

    proptest! {
        #[test]
        fn uploads_sort_by_key_and_then_by_id(
            // Few letters, so that one often begins the other.
            a in "[\u{0}\u{1}ab]{1,20}", b in "[\u{0}\u{1}ab]{1,20}",
            near in proptest::option::of((0..21usize, "\u{0}{0,9}")), x: [u8; 16], y: [u8; 16],
        ) {
            let b = match near {
                Some((cut, zeros)) if cut + zeros.len() > 0 => format!("{}{zeros}", &a[..cut.min(a.len())]),
                _ => b,
            };
            let (first, second) = ((key(&a), UploadId(x)), (key(&b), UploadId(y)));
            let name = |of: &(ObjectKey, UploadId)| upload(&of.0, of.1);
            prop_assert_eq!(name(&first).cmp(&name(&second)), first.cmp(&second));
            prop_assert_eq!(parse_upload(&name(&first)), Some(first.clone()));
            let (from, end) = (uploads_from(&b).freeze(), successor(&uploads_below(&b)).unwrap());
            prop_assert_eq!(name(&first) >= from, a >= b, "{:?} from {:?}", a, b);
            prop_assert_eq!(
                name(&first) >= from && name(&first) < end,
                a.starts_with(&b),
                "{:?} below {:?}", a, b
            );
            prop_assert_eq!(name(&first).starts_with(&uploads(&second.0)), a == b);
        }

        #[test]
        fn no_bytes_make_the_reader_of_keys_panic(bytes in proptest::collection::vec(0u8..11, 0..60)) {
            let _ = parse_upload(&bytes);
            let _ = part_number(&bytes);
            let _ = leftover_id(&bytes);
        }
    }
}
