//! Percent-encoding as the protocol uses it.
//!
//! Owns decoding of what arrives in a request target and the one encoding that signatures are computed over. It knows
//! nothing of queries or paths beyond the slash.
//!
//! Invariants:
//! - decoding happens once, on bytes, and never fails: `%` that is not followed by two hex digits stays as it is, as clients
//!   that forget to encode a percent sign expect;
//! - encoding keeps exactly `A-Z a-z 0-9 - _ . ~` (and `/` in a path) and writes upper-case hex, so `* ' ( ) !` are encoded
//!   in canonical forms even where a client leaves them bare on the wire;
//! - `decode(encode(x)) == x` for all bytes.
//!
//! ```
//! use ossia_protocol::uri;
//!
//! assert_eq!(uri::encode_path("log/a b+.txt".as_bytes()), "log/a%20b%2B.txt");
//! assert_eq!(&*uri::decode(b"log%2Fa%20b+.txt"), b"log/a b+.txt");
//! ```

use std::borrow::Cow;

const UPPER_HEX: &[u8; 16] = b"0123456789ABCDEF";
const LOWER_HEX: &[u8; 16] = b"0123456789abcdef";

/// Decodes `%xx` once. Borrows when there is nothing to decode; a malformed `%` is kept literally, and `+` is a plus.
pub fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'%') {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    decode_into(&mut out, raw, false);
    Cow::Owned(out)
}

/// Appends the decoded form of `raw` to `out`; with `plus_is_space`, `+` becomes a space first, as in queries and forms.
pub(crate) fn decode_into(out: &mut Vec<u8>, raw: &[u8], plus_is_space: bool) {
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' if plus_is_space => out.push(b' '),
            b'%' => match tail {
                [high, low, after @ ..] => match (hex_value(*high), hex_value(*low)) {
                    (Some(high), Some(low)) => {
                        out.push(high << 4 | low);
                        rest = after;
                    }
                    _ => out.push(byte),
                },
                _ => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
}

/// Encodes every byte except `A-Z a-z 0-9 - _ . ~`.
pub fn encode(bytes: &[u8]) -> String {
    encoded(bytes, false)
}

/// Encodes every byte except `A-Z a-z 0-9 - _ . ~ /`.
pub fn encode_path(bytes: &[u8]) -> String {
    encoded(bytes, true)
}

fn encoded(bytes: &[u8], keep_slash: bool) -> String {
    let mut out = Vec::with_capacity(bytes.len() + 8);
    encode_into(&mut out, bytes, keep_slash);
    String::from_utf8(out).expect("percent-encoding writes ASCII only")
}

/// Appends the encoded form of `bytes` to `out`, keeping `/` if asked.
pub(crate) fn encode_into(out: &mut Vec<u8>, bytes: &[u8], keep_slash: bool) {
    for &byte in bytes {
        if is_unreserved(byte) || (keep_slash && byte == b'/') {
            out.push(byte);
        } else {
            let [high, low] = hex_pair(byte, UPPER_HEX);
            out.extend_from_slice(&[b'%', high, low]);
        }
    }
}

/// Lower-case hex, as V4 signatures and digests are written.
pub(crate) fn lower_hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|&byte| hex_pair(byte, LOWER_HEX)).map(char::from).collect()
}

/// Two hex digits of one byte in the alphabet given.
fn hex_pair(byte: u8, alphabet: &[u8; 16]) -> [u8; 2] {
    [alphabet[usize::from(byte >> 4)], alphabet[usize::from(byte & 0x0f)]]
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_forms_encode_as_the_clients_sign_them() {
        assert_eq!(encode(b"/bucket/dir/k 1"), "%2Fbucket%2Fdir%2Fk%201");
        assert_eq!(encode_path("目录/~*!'()".as_bytes()), "%E7%9B%AE%E5%BD%95/~%2A%21%27%28%29");
        assert_eq!(encode(&[0x00, 0x7f, 0xff]), "%00%7F%FF");
    }

    #[test]
    fn a_malformed_escape_is_kept_literally() {
        for (raw, decoded) in [
            ("%", "%"),
            ("%2", "%2"),
            ("%zz", "%zz"),
            ("100%", "100%"),
            ("%2%41", "%2A"),
            ("%%41", "%A"),
        ] {
            assert_eq!(&*decode(raw.as_bytes()), decoded.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn decoding_happens_once_and_takes_either_case() {
        assert_eq!(&*decode(b"%252F%2f%2F+"), b"%2F//+");
        assert!(matches!(decode(b"plain/+~"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn every_byte_string_survives_encoding(bytes: Vec<u8>) {
            for encoded in [encode(&bytes), encode_path(&bytes)] {
                prop_assert_eq!(&*decode(encoded.as_bytes()), &bytes[..]);
            }
        }

        #[test]
        fn decoding_garbage_never_grows_it(bytes: Vec<u8>) {
            prop_assert!(decode(&bytes).len() <= bytes.len());
        }
    }
}
