//! The Range header of GetObject, in both of OSS's behaviours.
//!
//! By default a range that the object does not wholly contain is ignored and the whole object is answered, but for `-0`; with
//! `x-oss-range-behavior: standard` it is clipped or refused as in HTTP. What is no byte range at all is ignored in both. Of
//! several ranges only the first counts.

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeDecision {
    /// 200 with the whole object.
    Whole,
    /// 206 with bytes `first..=last`; both lie within the object.
    Partial {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte, included.
        last: u64,
    },
    /// 416 `InvalidRange`.
    Unsatisfiable,
}

/// How to treat ranges that reach past the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RangeBehavior {
    /// OSS's own: answer the whole object.
    #[default]
    Lenient,
    /// As in HTTP: clip what overlaps, refuse what does not.
    Standard,
}

impl RangeBehavior {
    /// From the value of `x-oss-range-behavior`. Anything but `standard` is the default behaviour.
    pub fn from_header(value: Option<&[u8]>) -> Self {
        match value {
            Some(value) if value.trim_ascii().eq_ignore_ascii_case(b"standard") => Self::Standard,
            _ => Self::Lenient,
        }
    }
}

/// One byte range as it is written, not yet held against a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Requested {
    /// `first-last`
    Between(u64, u64),
    /// `first-`
    From(u64),
    /// `-count`
    Last(u64),
}

/// Decides what a GET with this Range header answers for an object of `length` bytes.
///
/// ```
/// use ossia_protocol::range::{RangeBehavior, RangeDecision, decide};
///
/// let partial = RangeDecision::Partial { first: 0, last: 499 };
/// assert_eq!(decide(Some(b"bytes=0-499"), RangeBehavior::Lenient, 1000), partial);
/// assert_eq!(decide(Some(b"bytes=500-2000"), RangeBehavior::Lenient, 1000), RangeDecision::Whole);
/// ```
pub fn decide(header: Option<&[u8]>, behavior: RangeBehavior, length: u64) -> RangeDecision {
    let Some(requested) = header.and_then(parse) else {
        return RangeDecision::Whole;
    };
    match contained(requested, length) {
        Some((first, last)) => RangeDecision::Partial { first, last },
        // The last no bytes: the one range that even OSS's own behaviour refuses, as an official client's suite has it.
        None if requested == Requested::Last(0) => RangeDecision::Unsatisfiable,
        None => match behavior {
            RangeBehavior::Lenient => RangeDecision::Whole,
            RangeBehavior::Standard => clipped(requested, length),
        },
    }
}

/// The first and the last byte, included, that `x-oss-copy-source-range` asks for; to the end without a last one. `None` for a
/// header that is no range of this form, which counts as none at all.
///
/// ```
/// use ossia_protocol::range::copy_range;
///
/// assert_eq!(copy_range(b"bytes=0-9"), Some((0, Some(9))));
/// assert_eq!(copy_range(b"bytes=5-"), Some((5, None)));
/// assert_eq!(copy_range(b"bytes=-5"), None);
/// ```
pub fn copy_range(header: &[u8]) -> Option<(u64, Option<u64>)> {
    match parse(header)? {
        Requested::Between(first, last) => Some((first, Some(last))),
        Requested::From(first) => Some((first, None)),
        Requested::Last(_) => None,
    }
}

/// The range where the object contains all of it.
fn contained(requested: Requested, length: u64) -> Option<(u64, u64)> {
    let end = length.checked_sub(1)?;
    match requested {
        Requested::Between(first, last) => (last <= end).then_some((first, last)),
        Requested::From(first) => (first <= end).then_some((first, end)),
        Requested::Last(count) => {
            (1..=length).contains(&count).then(|| (length.saturating_sub(count), end))
        }
    }
}

/// The part of the range that the object contains.
fn clipped(requested: Requested, length: u64) -> RangeDecision {
    let Some(end) = length.checked_sub(1) else {
        return RangeDecision::Unsatisfiable;
    };
    match requested {
        Requested::Last(0) => RangeDecision::Unsatisfiable,
        Requested::Last(count) => {
            RangeDecision::Partial { first: length.saturating_sub(count), last: end }
        }
        Requested::Between(first, _) | Requested::From(first) if first > end => {
            RangeDecision::Unsatisfiable
        }
        Requested::Between(first, last) => RangeDecision::Partial { first, last: last.min(end) },
        Requested::From(first) => RangeDecision::Partial { first, last: end },
    }
}

/// The first range of the header, or `None` where the header is no byte range.
fn parse(header: &[u8]) -> Option<Requested> {
    let header = std::str::from_utf8(header).ok()?.trim();
    let (unit, ranges) = header.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = ranges.split(',').next()?.trim().split_once('-')?;
    match (first, last) {
        ("", "") => None,
        ("", count) => Some(Requested::Last(number(count)?)),
        (first, "") => Some(Requested::From(number(first)?)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Requested::Between(first, last))
        }
    }
}

/// A decimal number; one beyond 64 bits is beyond every object and counts as the largest.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// The value of `Content-Range` on a 206.
pub fn content_range(first: u64, last: u64, length: u64) -> String {
    format!("bytes {first}-{last}/{length}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::RangeDecision::{Partial, Unsatisfiable, Whole};
    use super::*;

    #[test]
    fn every_row_of_the_range_table_holds() {
        let part = |first, last| Partial { first, last };
        for (header, length, lenient, standard) in [
            ("bytes=0-499", 1000, part(0, 499), part(0, 499)),
            ("bytes=500-", 1000, part(500, 999), part(500, 999)),
            ("bytes=-500", 1000, part(500, 999), part(500, 999)),
            ("bytes=0-999", 1000, part(0, 999), part(0, 999)),
            ("bytes=999-999", 1000, part(999, 999), part(999, 999)),
            ("bytes=999-", 1000, part(999, 999), part(999, 999)),
            ("bytes=-1000", 1000, part(0, 999), part(0, 999)),
            ("bytes=-1", 1000, part(999, 999), part(999, 999)),
            ("bytes=0-1000", 1000, Whole, part(0, 999)),
            ("bytes=500-2000", 1000, Whole, part(500, 999)),
            ("bytes=1000-", 1000, Whole, Unsatisfiable),
            ("bytes=1000-2000", 1000, Whole, Unsatisfiable),
            ("bytes=1000-1000", 1000, Whole, Unsatisfiable),
            ("bytes=-2000", 1000, Whole, part(0, 999)),
            ("bytes=-1001", 1000, Whole, part(0, 999)),
            ("bytes=-0", 1000, Unsatisfiable, Unsatisfiable),
            ("bytes=5-2", 1000, Whole, Whole),
            ("byte=0-499", 1000, Whole, Whole),
            ("bytes 0-499", 1000, Whole, Whole),
            ("bytes=", 1000, Whole, Whole),
            ("bytes=-", 1000, Whole, Whole),
            ("bytes=a-b", 1000, Whole, Whole),
            ("bytes=+1-5", 1000, Whole, Whole),
            ("bytes=1-5-7", 1000, Whole, Whole),
            ("bytes=--5", 1000, Whole, Whole),
            ("bytes=0x1-5", 1000, Whole, Whole),
            ("0-499", 1000, Whole, Whole),
            ("", 1000, Whole, Whole),
            ("bytes=0-1,5-9", 1000, part(0, 1), part(0, 1)),
            ("bytes=0-1, 5-9", 1000, part(0, 1), part(0, 1)),
            ("bytes=,5-9", 1000, Whole, Whole),
            ("bytes=2000-,5-9", 1000, Whole, Unsatisfiable),
            ("Bytes=0-1", 1000, part(0, 1), part(0, 1)),
            (" bytes= 0-1 ", 1000, part(0, 1), part(0, 1)),
            ("bytes=0-99999999999999999999", 1000, Whole, part(0, 999)),
            ("bytes=99999999999999999999-", 1000, Whole, Unsatisfiable),
            ("bytes=-99999999999999999999", 1000, Whole, part(0, 999)),
            ("bytes=0-0", 0, Whole, Unsatisfiable),
            ("bytes=0-", 0, Whole, Unsatisfiable),
            ("bytes=-5", 0, Whole, Unsatisfiable),
            ("bytes=-0", 0, Unsatisfiable, Unsatisfiable),
            ("nonsense", 0, Whole, Whole),
            ("bytes=0-0", 1, part(0, 0), part(0, 0)),
            ("bytes=-1", 1, part(0, 0), part(0, 0)),
            ("bytes=0-", u64::MAX, part(0, u64::MAX - 1), part(0, u64::MAX - 1)),
        ] {
            let header_bytes = Some(header.as_bytes());
            assert_eq!(decide(header_bytes, RangeBehavior::Lenient, length), lenient, "{header}");
            assert_eq!(decide(header_bytes, RangeBehavior::Standard, length), standard, "{header}");
        }
        assert_eq!(decide(None, RangeBehavior::Standard, 0), Whole);
        assert_eq!(decide(Some(b"bytes=\xff"), RangeBehavior::Standard, 5), Whole);
    }

    #[test]
    fn only_the_word_standard_switches_the_behaviour() {
        assert_eq!(RangeBehavior::from_header(Some(b"standard")), RangeBehavior::Standard);
        assert_eq!(RangeBehavior::from_header(Some(b"Standard ")), RangeBehavior::Standard);
        for value in [None, Some(&b""[..]), Some(b"strict")] {
            assert_eq!(RangeBehavior::from_header(value), RangeBehavior::Lenient);
        }
    }

    #[test]
    fn content_range_names_first_last_and_length() {
        assert_eq!(content_range(0, 0, 1), "bytes 0-0/1");
    }

    proptest! {
        #[test]
        fn a_partial_answer_always_lies_within_the_object(
            header in prop_oneof![
                "bytes=[0-9]{0,3}-[0-9]{0,3}(,[0-9]{0,2}-[0-9]{0,2})?",
                "\\PC{0,24}",
            ],
            length in 0u64..300,
        ) {
            for behavior in [RangeBehavior::Lenient, RangeBehavior::Standard] {
                match decide(Some(header.as_bytes()), behavior, length) {
                    Partial { first, last } => prop_assert!(first <= last && last < length),
                    Unsatisfiable => prop_assert!(
                        behavior == RangeBehavior::Standard
                            || parse(header.as_bytes()) == Some(Requested::Last(0))
                    ),
                    Whole => {}
                }
            }
        }
    }
}
