//! Names of versions.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// The length of a made id, in bytes.
const BYTES: usize = 16;
const NULL: &str = "null";

/// Names a version of an object.
///
/// A made one is 64 upper-case hexadecimal digits that mean nothing to others: a number of its own, and the version's order under
/// its key, hidden behind that number, so that the record of a version is found by its id; then as many digits that follow from
/// those, for an id of the service has this length and an official client's suite counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum VersionId {
    /// `null`: the only one that a bucket without versions makes, or one whose versions are suspended. A key has at most one.
    #[default]
    Null,
    /// One of its own, as a bucket with versions makes it for each.
    Made([u8; BYTES]),
}

impl VersionId {
    /// An id that no version has: for text that could be one elsewhere.
    pub const NOT_MADE: Self = Self::Made([0; BYTES]);

    /// The id of the version of this order; `seed` is from [`seed`].
    pub(crate) fn made(order: u64, seed: u64) -> Self {
        Self::Made((u128::from(seed) << 64 | u128::from(order ^ mix(seed))).to_be_bytes())
    }

    /// The order of the version that has this id, if there is one; `null` does not tell.
    pub(crate) fn order(self) -> Option<u64> {
        let Self::Made(bytes) = self else { return None };
        let both = u128::from_be_bytes(bytes);
        Some(both as u64 ^ mix((both >> 64) as u64))
    }

    /// Reads the text form. Anything but `null` and 64 upper-case hexadecimal digits that belong together names no version.
    pub fn parse(text: &str) -> Option<Self> {
        if text == NULL {
            return Some(Self::Null);
        }
        let id = Self::from_record(text.get(..2 * BYTES)?)?;
        (id.to_string() == text).then_some(id)
    }

    /// As records have it: `None` is `null`.
    pub(crate) fn to_record(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Made(id) => Some(format!("{:032X}", u128::from_be_bytes(id))),
        }
    }

    /// Reads 32 upper-case hexadecimal digits.
    pub(crate) fn from_record(text: &str) -> Option<Self> {
        let upper = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        if text.len() != 2 * BYTES || !text.bytes().all(upper) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|id| Self::Made(id.to_be_bytes()))
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str(NULL),
            Self::Made(id) => {
                let id = u128::from_be_bytes(*id);
                let (high, low) = ((id >> 64) as u64, id as u64);
                write!(f, "{id:032X}{:016X}{:016X}", mix(high ^ low), mix(high.wrapping_add(low)))
            }
        }
    }
}

/// A number that no other version of this process has, and hardly one of another; what it hides the order with must not repeat.
pub(crate) fn seed() -> u64 {
    static START: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let start = *START.get_or_init(|| {
        getrandom::u64().expect(
            "the operating system has a random source, without which no key can be made either",
        )
    });
    mix(start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// SplitMix64's: one number for one number, and neighbours far apart. Part of the format.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_order_and_reads_back() {
        for order in [1, 2, 3, u64::MAX] {
            let id = VersionId::made(order, seed());
            assert_eq!(id.order(), Some(order));
            assert_eq!(VersionId::parse(&id.to_string()), Some(id));
            assert_ne!(id, VersionId::made(order, seed()));
        }
        // Part of the format: the record of a version is found by what its id says.
        let first = VersionId::made(1, 0);
        assert_eq!(first.to_record().as_deref(), Some("0000000000000000E220A8397B1DCDAE"));
        assert_eq!(VersionId::from_record("0000000000000000E220A8397B1DCDAE"), Some(first));
        assert_eq!(first.to_string().len(), 64);
        assert_eq!(VersionId::parse("null"), Some(VersionId::Null));
        assert_eq!(VersionId::Null.order(), None);
        for wrong in [
            "",
            "Null",
            "NULL",
            &"ab".repeat(32),
            &"AB".repeat(32),
            &"AB".repeat(16),
            "é",
            &"+B".repeat(32),
        ] {
            assert_eq!(VersionId::parse(wrong), None, "{wrong}");
        }
    }
}
