//! ETags: how each kind of object gets one, and how a client's is compared.
//!
//! Inside the house an ETag is bare text; the double quotes belong to the wire and are added by [`quoted`].

use std::fmt::Write as _;

/// The ETag of a Normal object: the MD5 of its bytes in upper-case hex.
pub fn from_md5(md5: &[u8; 16]) -> String {
    upper_hex(md5)
}

/// The ETag of an appendable object: its CRC-64 and the Unix second of its last append, both little-endian, in upper-case hex.
/// Never the MD5 of the content, and always ending in zeros, so a client that checks MD5-like ETags is not misled.
///
/// ```
/// let etag = ossia_protocol::etag::appendable(3_231_342_946_509_354_535, 0x5CAC_18A5);
/// assert_eq!(etag, "2776271A4A09D82CA518AC5C00000000");
/// ```
pub fn appendable(crc64: u64, last_modified: i64) -> String {
    let mut bytes = [0; 16];
    let (crc, time) = bytes.split_at_mut(8);
    crc.copy_from_slice(&crc64.to_le_bytes());
    time.copy_from_slice(&last_modified.to_le_bytes());
    upper_hex(&bytes)
}

/// The form of the `ETag` header and element: within double quotes.
pub fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// The bare ETag in what a client or server sent: without surrounding space, a weak mark and quotes.
pub fn bare(value: &str) -> &str {
    let value = value.trim();
    let value = value.strip_prefix("W/").unwrap_or(value);
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

/// Whether two ETags are the same, quoted or not, in any case.
pub fn same(a: &str, b: &str) -> bool {
    bare(a).eq_ignore_ascii_case(bare(b))
}

/// Whether an `If-Match` or `If-None-Match` value names this ETag: `*`, or one of a comma-separated list.
pub fn listed(list: &str, etag: &str) -> bool {
    list.split(',').any(|item| item.trim() == "*" || same(item, etag))
}

fn upper_hex(bytes: &[u8; 16]) -> String {
    bytes.iter().fold(String::with_capacity(32), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02X}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_appendable_form_is_the_one_of_published_answers() {
        assert_eq!(
            appendable(3_231_342_946_509_354_535, 0x5CAC_18A5),
            "2776271A4A09D82CA518AC5C00000000"
        );
        assert_eq!(appendable(0, 0), "0".repeat(32));
        assert_eq!(appendable(u64::MAX, 1), format!("{}0100000000000000", "F".repeat(16)));
    }

    #[test]
    fn md5_etags_are_upper_case_hex() {
        let md5 = [
            0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0x00, 0xb2, 0x04, 0xe9, 0x80, 0x09, 0x98, 0xec, 0xf8,
            0x42, 0x7e,
        ];
        assert_eq!(from_md5(&md5), "D41D8CD98F00B204E9800998ECF8427E");
        assert_eq!(quoted(&from_md5(&md5)), "\"D41D8CD98F00B204E9800998ECF8427E\"");
    }

    #[test]
    fn comparison_ignores_quotes_case_and_weakness() {
        for sent in ["AB12", "\"AB12\"", "\"ab12\"", " ab12 ", "W/\"Ab12\"", "\"x\", \"ab12\"", "*"]
        {
            assert!(listed(sent, "AB12"), "{sent}");
        }
        for sent in ["", "\"\"", "AB1", "\"AB12", "AB12\"", "\"x\",\"y\"", "**"] {
            assert!(!listed(sent, "AB12"), "{sent}");
        }
        assert_eq!(bare("\""), "\"");
    }
}
