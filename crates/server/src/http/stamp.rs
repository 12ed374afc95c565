//! Request ids and the date text: small things that every answer carries.

use std::{
    cell::RefCell,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use http::HeaderValue;
use ossia_protocol::time;

/// 24 upper-case hex digits, the Unix time in the first eight as the cloud has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId([u8; 24]);

impl RequestId {
    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a request id is made of hex digits only")
    }

    /// The id as a header value.
    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).expect("hex digits are valid in a header")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Gives out ids that do not repeat: a counter from a random start, mixed by a bijection, so that no id costs a system call.
#[derive(Debug)]
pub(crate) struct RequestIds {
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> RequestIds {
        let mut start = [0u8; 8];
        // Without randomness ids start at the same place after each restart; the time in front still tells them apart.
        let _ = getrandom::fill(&mut start);
        RequestIds { next: AtomicU64::new(u64::from_le_bytes(start)) }
    }

    /// A new id for a request that came at `unix_seconds`.
    pub(crate) fn next(&self, unix_seconds: u64) -> RequestId {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let tail = mix(self.next.fetch_add(1, Ordering::Relaxed));
        let mut id = [b'0'; 24];
        for (i, digit) in id.iter_mut().enumerate() {
            let nibble = if i < 8 {
                (unix_seconds >> (28 - 4 * i)) & 0xF
            } else {
                (tail >> (60 - 4 * (i - 8))) & 0xF
            };
            *digit = DIGITS[usize::try_from(nibble).unwrap_or(0)];
        }
        RequestId(id)
    }
}

/// The finaliser of splitmix64: a bijection of 64-bit numbers.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

/// The `date` header of this second. Each thread keeps the last one, so the text is made once a second.
pub(crate) fn date_header(unix_seconds: u64) -> HeaderValue {
    thread_local! {
        static LAST: RefCell<Option<(u64, HeaderValue)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        if let Some((second, value)) = last
            && *second == unix_seconds
        {
            return value.clone();
        }
        let text = time::http_date(i64::try_from(unix_seconds).unwrap_or(i64::MAX));
        let value = HeaderValue::try_from(text).expect("an HTTP date is printable ASCII");
        *last = Some((unix_seconds, value.clone()));
        value
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn request_ids_are_24_upper_case_hex_digits_that_begin_with_the_time() {
        let ids = RequestIds::new();
        let id = ids.next(0x5C3D_9778).to_string();
        assert_eq!(id.len(), 24);
        assert!(id.starts_with("5C3D9778"), "{id}");
        assert!(id.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)), "{id}");
    }

    #[test]
    fn request_ids_of_one_second_differ() {
        let ids = RequestIds::new();
        let seen: HashSet<String> = (0..10_000).map(|_| ids.next(7).to_string()).collect();
        assert_eq!(seen.len(), 10_000);
    }

    #[test]
    fn the_date_follows_the_clock_and_is_kept_within_a_second() {
        assert_eq!(date_header(1_768_465_845), "Thu, 15 Jan 2026 08:30:45 GMT");
        assert_eq!(date_header(1_768_465_845), "Thu, 15 Jan 2026 08:30:45 GMT");
        assert_eq!(date_header(1_768_465_846), "Thu, 15 Jan 2026 08:30:46 GMT");
    }
}
