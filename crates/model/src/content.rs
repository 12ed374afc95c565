//! Bytes: those that a request carries, and those that an object has.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use md5::{Digest as _, Md5};
use ossia_protocol::crc64::{self, Crc64};

/// The bytes of one request. Cheap to clone.
#[derive(Clone)]
pub struct Body(Arc<Inner>);

struct Inner {
    bytes: Bytes,
    crc64: u64,
    /// Computed when it is asked for: it is a hundred times dearer than the CRC-64.
    md5: OnceLock<String>,
}

impl Body {
    /// A request with these bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let crc64 = crc64::checksum(&bytes);
        Self(Arc::new(Inner { bytes, crc64, md5: OnceLock::new() }))
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// How many they are.
    pub fn length(&self) -> u64 {
        self.0.bytes.len() as u64
    }

    fn md5(&self) -> &str {
        self.0.md5.get_or_init(|| hex(&Md5::digest(&self.0.bytes)))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of crc {:016x}", self.length(), self.0.crc64)
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes == other.0.bytes
    }
}

impl Eq for Body {}

/// The bytes of an object: what was put, or what was appended one after the other. Cheap to clone, to extend and to compare.
///
/// Two contents are the same when length and CRC-64 are. That is a digest of 64 bits over bytes that nobody chose for it: two that
/// differ agree by chance once in 2^64.
#[derive(Clone, Default)]
pub struct Content {
    length: u64,
    crc64: u64,
    last: Option<Arc<Piece>>,
}

struct Piece {
    before: Option<Arc<Piece>>,
    start: u64,
    body: Body,
}

impl Drop for Piece {
    /// One after the other: dropping a long log by recursion would use up the stack.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(mut piece) = next.and_then(Arc::into_inner) {
            next = piece.before.take();
        }
    }
}

impl Piece {
    /// Which of its bytes are in a range of the whole.
    fn within(&self, range: &Range<u64>) -> Range<usize> {
        let at = |place: u64| {
            let at = usize::try_from(place.max(self.start) - self.start).unwrap_or(usize::MAX);
            at.min(self.body.bytes().len())
        };
        at(range.start)..at(range.end)
    }
}

impl Content {
    /// No bytes.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The bytes of one request.
    pub fn of(body: &Body) -> Self {
        Self::empty().with(body)
    }

    /// These bytes and then those of the request.
    #[must_use]
    pub fn with(&self, body: &Body) -> Self {
        if body.length() == 0 {
            return self.clone();
        }
        let piece = Piece { before: self.last.clone(), start: self.length, body: body.clone() };
        Self {
            length: self.length + body.length(),
            crc64: crc64::combine(self.crc64, body.0.crc64, body.length()),
            last: Some(Arc::new(piece)),
        }
    }

    /// These bytes and then those.
    #[must_use]
    pub fn and(&self, other: &Content) -> Self {
        other.pieces().iter().fold(self.clone(), |all, piece| all.with(&piece.body))
    }

    /// Some of these bytes. The range may reach past the end.
    #[must_use]
    pub fn slice(&self, range: Range<u64>) -> Self {
        self.pieces().iter().fold(Self::empty(), |all, piece| match piece.within(&range) {
            at if at.is_empty() => all,
            at => all.with(&Body::new(piece.body.bytes().slice(at))),
        })
    }

    /// How many bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The CRC-64 of all of them.
    pub fn crc64(&self) -> u64 {
        self.crc64
    }

    /// The MD5 of all of them, in upper-case hex.
    pub fn md5(&self) -> String {
        match self.pieces().as_slice() {
            [one] => one.body.md5().to_owned(),
            pieces => {
                let mut md5 = Md5::new();
                pieces.iter().for_each(|piece| md5.update(piece.body.bytes()));
                hex(&md5.finalize())
            }
        }
    }

    /// The CRC-64 of a part. The range may reach past the end, but not begin there.
    pub fn crc64_of(&self, range: Range<u64>) -> u64 {
        if range.start == 0 && range.end >= self.length {
            return self.crc64;
        }
        let mut crc = Crc64::new();
        for piece in self.pieces() {
            crc.update(&piece.body.bytes()[piece.within(&range)]);
        }
        crc.value()
    }

    /// The bytes of the last request that added any: by them a person finds out which state this is.
    pub fn last_body(&self) -> Option<&Body> {
        self.last.as_ref().map(|piece| &piece.body)
    }

    fn pieces(&self) -> Vec<&Piece> {
        let mut pieces = Vec::new();
        let mut next = self.last.as_deref();
        while let Some(piece) = next {
            pieces.push(piece);
            next = piece.before.as_deref();
        }
        pieces.reverse();
        pieces
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        (self.length, self.crc64) == (other.length, other.crc64)
    }
}

impl Eq for Content {}

impl Hash for Content {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.length, self.crc64).hash(state);
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of crc {:016x}", self.length, self.crc64)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_its_bytes_however_they_came() {
        let whole: Vec<u8> = (0..1_000_u32).map(|i| (i * 7 % 251) as u8).collect();
        let pieces = [&whole[..1], &[], &whole[1..400], &whole[400..]];
        let content = pieces
            .iter()
            .fold(Content::empty(), |content, piece| content.with(&Body::new(piece.to_vec())));
        assert_eq!(content, Content::of(&Body::new(whole.clone())));
        assert_eq!(content.md5(), hex(&Md5::digest(&whole)));
        for (from, to) in
            [(0, 1), (0, 2), (1, 400), (399, 401), (0, 1_000), (500, 5_000), (999, 1_000)]
        {
            let part = &whole[from..to.min(whole.len())];
            assert_eq!(
                content.crc64_of(from as u64..to as u64),
                crc64::checksum(part),
                "{from}..{to}"
            );
            assert_eq!(
                content.slice(from as u64..to as u64),
                Content::of(&Body::new(part.to_vec()))
            );
        }
        assert_eq!(content.slice(3..500).and(&content.slice(500..900)), content.slice(3..900));
        assert_eq!(Content::empty().md5(), "D41D8CD98F00B204E9800998ECF8427E");
    }

    #[test]
    fn a_very_long_log_can_be_dropped() {
        let body = Body::new(vec![1]);
        let mut content = Content::empty();
        for _ in 0..300_000 {
            content = content.with(&body);
        }
        assert_eq!(content.length(), 300_000);
    }
}
