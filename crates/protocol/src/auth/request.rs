//! The borrowed view of a request that signatures are computed over.

use crate::addressing::Target;
use crate::query::Query;
use std::fmt;

/// What a signature covers of a request. `target` and `query` must come from the raw request target, decoded once.
#[derive(Clone, Copy)]
pub struct RequestParts<'a> {
    /// The method, in upper case as on the wire.
    pub method: &'a str,
    /// Bucket and key.
    pub target: &'a Target,
    /// The query, or an empty one.
    pub query: &'a Query,
    /// All headers, `host` included.
    pub headers: &'a dyn Headers,
}

/// Access to header lines, so that this crate need not know any HTTP library. Names must be given in lower case.
///
/// For `http::HeaderMap`:
///
/// ```text
/// struct View<'a>(&'a http::HeaderMap);
///
/// impl Headers for View<'_> {
///     fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
///         for (name, value) in self.0 {
///             visit(name.as_str(), value.as_bytes());
///         }
///     }
///
///     fn first(&self, name: &str) -> Option<&[u8]> {
///         self.0.get(name).map(|value| value.as_bytes())
///     }
/// }
/// ```
///
/// `Sync`, so that a view of a request may be held while a server waits for something.
pub trait Headers: Sync {
    /// Calls `visit` with the lower-case name and the value of every line; lines of one name in the order received.
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8]));

    /// The value of the first line of this (lower-case) name. Worth overriding where a lookup is cheaper than a walk.
    fn first(&self, name: &str) -> Option<&[u8]> {
        let mut found = None;
        self.for_each(&mut |line, value| {
            if found.is_none() && line == name {
                found = Some(value);
            }
        });
        found
    }
}

/// A plain list of header lines.
#[derive(Clone, Default)]
pub struct HeaderList(Vec<(String, Vec<u8>)>);

impl HeaderList {
    /// No headers.
    pub fn new() -> HeaderList {
        HeaderList::default()
    }

    /// Adds a line; the name is lower-cased.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.0.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
    }

    /// All lines in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }
}

/// Shows names only: values may hold signatures and tokens.
impl fmt::Debug for HeaderList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for HeaderList {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> HeaderList {
        let mut list = HeaderList::new();
        for (name, value) in lines {
            list.push(name.as_ref(), value);
        }
        list
    }
}

impl Headers for HeaderList {
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        for (name, value) in self.iter() {
            visit(name, value);
        }
    }
}

/// Headers with a few lines on top: what a client is about to add.
pub(super) struct Overlay<'a> {
    pub(super) base: &'a dyn Headers,
    pub(super) extra: &'a [(&'static str, String)],
}

impl Headers for Overlay<'_> {
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        self.base.for_each(visit);
        for (name, value) in self.extra {
            visit(name, value.as_bytes());
        }
    }
}

impl<'a> RequestParts<'a> {
    /// The first value of a header as text without outer blanks: `None` if absent, empty, or not UTF-8.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        let value = std::str::from_utf8(self.headers.first(name)?.trim_ascii()).ok()?;
        (!value.is_empty()).then_some(value)
    }
}
