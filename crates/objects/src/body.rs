//! A request's body and how it is taken in.

use std::{fmt, pin::Pin};

use bytes::Bytes;
use futures_core::Stream;
use thiserror::Error;

/// Pieces of an upload. Polled only while the object layer has room for the next piece. An empty piece asks it to keep as little
/// as it can of what came before in memory: nothing more comes for a while.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// An upload and what was announced about it.
pub struct Body {
    /// The bytes; ends after `length` of them when that is known.
    pub stream: ByteStream,
    /// The announced length in bytes; `None` for a chunked body.
    pub length: Option<u64>,
    /// The announced MD5, verified.
    pub md5: Option<[u8; 16]>,
    /// The announced CRC-64 of this body, verified.
    pub crc64: Option<u64>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Why a body did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BodyError {
    /// It ended before the announced length.
    #[error("the body is shorter than announced")]
    Truncated,
    /// Nothing came for too long.
    #[error("the body stalled")]
    Stalled,
    /// It goes on past the announced length.
    #[error("the body is longer than announced")]
    TooLong,
    /// The connection or its framing broke.
    #[error("the body broke off: {0}")]
    Broken(String),
}
