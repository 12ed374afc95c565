//! The query of a request target, as received.
//!
//! Owns splitting and decoding; knows nothing of which parameters exist. The pairs stay in the order of the wire, decoded
//! once, as bytes: signatures are computed over them, so nothing is normalised or dropped.
//!
//! Rules: split at `&`, skip empty pieces, split at the first `=`, then `+` is a space and `%xx` a byte. Whether `=` was
//! there is remembered (`append` and `append=` mean the same, but one client signs them apart). Of a repeated name the
//! first value counts. Names are case-sensitive.
//!
//! Bytes that are not UTF-8 are kept for the signature. [`Query::get`] cannot return them, so a server refuses a request
//! whose [`Query::is_utf8`] is false once its signature is verified, before any handler mistakes "unreadable" for "absent".
//!
//! ```
//! use ossia_protocol::query::Query;
//!
//! let query = Query::parse(b"append&position=12&prefix=a+b%2F").unwrap();
//! assert!(query.has("append"));
//! assert_eq!(query.get("append"), Some(""));
//! assert_eq!(query.get("position"), Some("12"));
//! assert_eq!(query.get("prefix"), Some("a b/"));
//! assert_eq!(query.get("marker"), None);
//! ```

use crate::uri;
use std::fmt;

/// The most parameters a query or form body may have; no client sends more than some thirty.
pub const MAX_PARAMETERS: usize = 512;

/// The longest query or form body in bytes: a session policy of 2,048 characters, encoded twice over, fits many times.
pub const MAX_QUERY_BYTES: usize = 256 * 1024;

/// A query beyond the bounds of this parser. Nothing else is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// More than [`MAX_PARAMETERS`] pairs.
    #[error("the query has more than {MAX_PARAMETERS} parameters")]
    TooManyParameters,
    /// More than [`MAX_QUERY_BYTES`] bytes.
    #[error("the query is longer than {MAX_QUERY_BYTES} bytes")]
    TooLong,
}

/// Decoded parameters in wire order. All text lives in one buffer, so parsing allocates twice whatever the count.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Every name and value, end to end.
    text: Vec<u8>,
    spans: Vec<Span>,
    not_utf8: bool,
}

/// Where a pair lies in `Query::text`: the name from `start`, the value from `middle` to `end`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    middle: u32,
    end: u32,
    has_equals: bool,
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// The decoded name.
    pub name: &'a [u8],
    /// The decoded value; empty when there was none.
    pub value: &'a [u8],
    /// Whether the wire form had `=`.
    pub has_equals: bool,
}

impl<'a> Parameter<'a> {
    /// The name, if it is UTF-8.
    pub fn name_str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.name).ok()
    }

    /// The value, if it is UTF-8.
    pub fn value_str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.value).ok()
    }
}

impl Query {
    /// No parameters.
    pub fn new() -> Query {
        Query::default()
    }

    /// Parses what follows `?` in a request target, or a form body of type `application/x-www-form-urlencoded`.
    pub fn parse(raw: &[u8]) -> Result<Query, QueryError> {
        if raw.len() > MAX_QUERY_BYTES {
            return Err(QueryError::TooLong);
        }
        let mut query = Query { text: Vec::with_capacity(raw.len()), ..Query::default() };
        for piece in raw.split(|&byte| byte == b'&').filter(|piece| !piece.is_empty()) {
            if query.spans.len() == MAX_PARAMETERS {
                return Err(QueryError::TooManyParameters);
            }
            let (name, value) = match piece.iter().position(|&byte| byte == b'=') {
                Some(equals) => (&piece[..equals], Some(&piece[equals + 1..])),
                None => (piece, None),
            };
            let start = query.text.len();
            uri::decode_into(&mut query.text, name, true);
            let middle = query.text.len();
            uri::decode_into(&mut query.text, value.unwrap_or_default(), true);
            query.note(start, middle, value.is_some());
        }
        Ok(query)
    }

    /// Appends `name=value`, both not yet encoded. For building a request.
    pub fn push(&mut self, name: &str, value: &str) {
        self.append(name.as_bytes(), value.as_bytes(), true);
    }

    /// Appends a bare name such as `append`. For building a request.
    pub fn push_flag(&mut self, name: &str) {
        self.append(name.as_bytes(), b"", false);
    }

    /// Appends all parameters of another query, as when query and form body count as one.
    pub fn extend(&mut self, other: &Query) {
        for one in other.iter() {
            self.append(one.name, one.value, one.has_equals);
        }
    }

    fn append(&mut self, name: &[u8], value: &[u8], has_equals: bool) {
        let start = self.text.len();
        self.text.extend_from_slice(name);
        let middle = self.text.len();
        self.text.extend_from_slice(value);
        self.note(start, middle, has_equals);
    }

    /// Records the pair whose bytes were just written at the end of the buffer.
    fn note(&mut self, start: usize, middle: usize, has_equals: bool) {
        let at = |offset: usize| u32::try_from(offset).expect("a query is shorter than 4 GiB");
        let span =
            Span { start: at(start), middle: at(middle), end: at(self.text.len()), has_equals };
        let Parameter { name, value, .. } = self.parameter(&span);
        // Each piece on its own: two halves of one character in a name and a value are not UTF-8.
        self.not_utf8 |= std::str::from_utf8(name).is_err() || std::str::from_utf8(value).is_err();
        self.spans.push(span);
    }

    fn parameter(&self, span: &Span) -> Parameter<'_> {
        let (start, middle, end) = (span.start as usize, span.middle as usize, span.end as usize);
        Parameter {
            name: &self.text[start..middle],
            value: &self.text[middle..end],
            has_equals: span.has_equals,
        }
    }

    /// All parameters in wire order, repeated ones too.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Parameter<'_>> + Clone {
        self.spans.iter().map(|span| self.parameter(span))
    }

    /// The first parameter of this name.
    pub fn first(&self, name: &str) -> Option<Parameter<'_>> {
        self.iter().find(|parameter| parameter.name == name.as_bytes())
    }

    /// Whether a parameter of this name is there, with a value or without.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// The first value of this name: `Some("")` when it has none, `None` when the name is absent or the value is not UTF-8
    /// (see [`Query::is_utf8`]).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.first(name)?.value_str()
    }

    /// The first value of this name as bytes.
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.first(name).map(|parameter| parameter.value)
    }

    /// Whether every name and value is UTF-8.
    pub fn is_utf8(&self) -> bool {
        !self.not_utf8
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// How many parameters there are, repeated ones counted each.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The query as a client puts it on the wire, without `?`.
    pub fn to_wire(&self) -> String {
        let mut out = Vec::with_capacity(self.text.len() + self.spans.len() * 2);
        for (index, parameter) in self.iter().enumerate() {
            if index > 0 {
                out.push(b'&');
            }
            uri::encode_into(&mut out, parameter.name, false);
            if parameter.has_equals {
                out.push(b'=');
                uri::encode_into(&mut out, parameter.value, false);
            }
        }
        String::from_utf8(out).expect("percent-encoding writes ASCII only")
    }
}

/// Shows names only: values may hold signatures and tokens, which must not reach a log.
impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|one| String::from_utf8_lossy(one.name).into_owned()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(raw: &str) -> Vec<(String, String, bool)> {
        let query = Query::parse(raw.as_bytes()).unwrap();
        let owned = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        query.iter().map(|one| (owned(one.name), owned(one.value), one.has_equals)).collect()
    }

    #[test]
    fn pieces_are_split_once_and_decoded_once() {
        let own = |name: &str, value: &str, equals| (name.to_string(), value.to_string(), equals);
        assert_eq!(pairs(""), []);
        assert_eq!(pairs("&&"), []);
        assert_eq!(pairs("append"), [own("append", "", false)]);
        assert_eq!(pairs("append="), [own("append", "", true)]);
        assert_eq!(pairs("a=b=c&=x&"), [own("a", "b=c", true), own("", "x", true)]);
        assert_eq!(pairs("p=a+b%2B%2526%zz"), [own("p", "a b+%26%zz", true)]);
        assert_eq!(pairs("%2Bp=1&a%3Db"), [own("+p", "1", true), own("a=b", "", false)]);
    }

    #[test]
    fn the_first_of_repeated_values_counts() {
        let query = Query::parse(b"k=1&k=2&K=3").unwrap();
        assert_eq!(query.get("k"), Some("1"));
        assert_eq!(query.get("K"), Some("3"));
        assert_eq!(query.len(), 3);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_kept_and_flagged() {
        let query = Query::parse(b"prefix=%FF&append").unwrap();
        assert!(!query.is_utf8());
        assert!(query.has("prefix"));
        assert_eq!(query.get("prefix"), None);
        assert_eq!(query.get_bytes("prefix"), Some(&b"\xff"[..]));
        assert_eq!(query.get("append"), Some(""));
        assert!(!Query::parse(b"a%E4=%B8%AD").unwrap().is_utf8());
        assert!(Query::parse(b"a=%E4%B8%AD").unwrap().is_utf8());
    }

    #[test]
    fn a_query_beyond_the_bounds_is_refused() {
        assert_eq!(
            Query::parse("a&".repeat(MAX_PARAMETERS).as_bytes()).unwrap().len(),
            MAX_PARAMETERS
        );
        assert_eq!(
            Query::parse("a&".repeat(MAX_PARAMETERS + 1).as_bytes()),
            Err(QueryError::TooManyParameters)
        );
        assert_eq!(Query::parse(&vec![b'a'; MAX_QUERY_BYTES + 1]), Err(QueryError::TooLong));
    }

    #[test]
    fn debug_output_shows_no_values() {
        let query = Query::parse(b"Signature=secret&x").unwrap();
        assert_eq!(format!("{query:?}"), r#"["Signature", "x"]"#);
    }

    proptest! {
        #[test]
        fn what_was_built_is_parsed_back(built in proptest::collection::vec((".{1,8}", ".{0,8}", any::<bool>()), 0..8)) {
            let mut query = Query::new();
            for (name, value, flag) in &built {
                if *flag { query.push_flag(name) } else { query.push(name, value) }
            }
            prop_assert_eq!(&Query::parse(query.to_wire().as_bytes()).unwrap(), &query);
            prop_assert!(query.is_utf8());
        }

        #[test]
        fn garbage_never_panics(raw: Vec<u8>) {
            let query = Query::parse(&raw).unwrap();
            prop_assert!(query.iter().map(|one| one.name.len() + one.value.len()).sum::<usize>() <= raw.len());
        }
    }
}
