//! What a handler answers: a status, headers, and a body that is empty, whole, or a stream of known length.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;

use super::{
    admission::Reserved,
    connection::{Busy, Watch},
};

/// Why a download stopped before its end. The connection is cut, so that no client takes the part for the whole.
#[derive(Debug, Error)]
#[error("download cut: {0}")]
pub(crate) struct Cut(pub(crate) String);

/// The bytes of a download as they come.
pub(crate) type DownloadStream = Pin<Box<dyn Stream<Item = Result<Bytes, Cut>> + Send>>;

/// An answer before the headers that every answer carries.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Content,
    /// For a body that is there already.
    reserved: Option<Reserved>,
    end: Option<End>,
}

/// Told how many bytes of a body have gone to the connection, and whether these are all, when nothing more goes.
struct End(Box<dyn FnOnce(u64, bool) + Send>);

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("End")
    }
}

enum Content {
    Empty,
    Whole(Bytes),
    Stream { stream: DownloadStream, length: u64 },
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Content::Empty => f.write_str("Empty"),
            Content::Whole(bytes) => write!(f, "Whole({})", bytes.len()),
            Content::Stream { length, .. } => write!(f, "Stream({length})"),
        }
    }
}

/// Room for what an answer usually carries, so that the map is not built twice.
fn headers() -> HeaderMap {
    HeaderMap::with_capacity(12)
}

impl Reply {
    /// An answer without a body.
    pub(crate) fn empty(status: StatusCode) -> Reply {
        Reply { status, headers: headers(), body: Content::Empty, reserved: None, end: None }
    }

    /// 200 without a body.
    pub(crate) fn ok() -> Reply {
        Reply::empty(StatusCode::OK)
    }

    /// A body that is there already.
    pub(crate) fn whole(status: StatusCode, body: impl Into<Bytes>) -> Reply {
        let body = Content::Whole(body.into());
        Reply { status, headers: headers(), body, reserved: None, end: None }
    }

    /// An XML document.
    pub(crate) fn xml(status: StatusCode, document: impl Into<Bytes>) -> Reply {
        Reply::whole(status, document)
            .with(http::header::CONTENT_TYPE, HeaderValue::from_static("application/xml"))
    }

    /// A body of exactly `length` bytes that comes as a stream.
    pub(crate) fn stream(status: StatusCode, stream: DownloadStream, length: u64) -> Reply {
        let body = Content::Stream { stream, length };
        Reply { status, headers: headers(), body, reserved: None, end: None }
    }

    /// The same with one more header; a value of that name is replaced.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Reply {
        self.headers.insert(name, value);
        self
    }

    /// The same with the memory that was set aside for its body, as far as that needs it, until the client has taken it.
    pub(crate) fn holding(mut self, mut reserved: Reserved) -> Reply {
        reserved.shrink_to(self.whole_body().len());
        self.reserved = Some(reserved);
        self
    }

    /// The same with something to do when the answer has gone: it is told how many bytes of the body have, and whether all.
    pub(crate) fn on_end(mut self, end: impl FnOnce(u64, bool) + Send + 'static) -> Reply {
        self.end = Some(End(Box::new(end)));
        self
    }

    /// The length of the body in bytes.
    pub(crate) fn length(&self) -> u64 {
        match &self.body {
            Content::Empty => 0,
            Content::Whole(bytes) => bytes.len() as u64,
            Content::Stream { length, .. } => *length,
        }
    }

    /// The body if it is there already.
    pub(super) fn whole_body(&self) -> &[u8] {
        match &self.body {
            Content::Whole(bytes) => bytes,
            Content::Empty | Content::Stream { .. } => &[],
        }
    }

    /// Does what hyper does for HTTP/1.1 alone: no body where there must be none, and its length where there may be one.
    pub(super) fn spell_out(&mut self, method: &Method) {
        let none = matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if !none && (self.length() > 0 || method != Method::HEAD) {
            let length = self.length();
            self.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
        }
        if none || method == Method::HEAD {
            self.body = Content::Empty;
        }
    }

    /// The response for hyper's HTTP/2, which takes it apart: in pieces that tell `watch` how they go, and of which the last keeps
    /// `busy` and what was set aside for the body.
    pub(super) fn into_pieces(self, busy: Busy, watch: &Arc<Watch>) -> http::Response<Outgoing> {
        let mut response = self.into_response(busy);
        let body = response.body_mut();
        let keep =
            Keep { watch: Arc::clone(watch), rest: Mutex::default(), _busy: body.busy.take() };
        body.pieces = Some(Pieces { chunk: Bytes::new(), keep: Arc::new(keep) });
        response
    }

    /// The response for hyper. `busy` tells the connection when the body has gone.
    pub(super) fn into_response(self, busy: Busy) -> http::Response<Outgoing> {
        let Reply { status, headers, body, reserved, end } = self;
        let body = match body {
            Content::Empty => Inner::Empty,
            Content::Whole(bytes) if bytes.is_empty() => Inner::Empty,
            Content::Whole(bytes) => match reserved {
                Some(reserved) => Inner::Held { bytes, _reserved: reserved },
                None => Inner::Whole(bytes),
            },
            Content::Stream { stream, length } => Inner::Stream { stream, left: length },
        };
        let mut response = http::Response::new(Outgoing {
            inner: body,
            sent: 0,
            end,
            busy: Some(busy),
            pieces: None,
        });
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// The body of a response as hyper polls it.
pub(super) struct Outgoing {
    inner: Inner,
    /// Bytes that hyper has taken.
    sent: u64,
    end: Option<End>,
    /// Dropped with the body: from then on the connection waits for its next request.
    busy: Option<Busy>,
    /// Of HTTP/2.
    pieces: Option<Pieces>,
}

/// What cuts a body into pieces.
struct Pieces {
    /// Taken from the body, and not yet cut.
    chunk: Bytes,
    keep: Arc<Keep>,
}

/// What lives until the socket has taken the last piece.
struct Keep {
    watch: Arc<Watch>,
    /// What is left of the body when hyper has taken it all: the memory that was set aside for it.
    rest: Mutex<Option<Inner>>,
    _busy: Option<Busy>,
}

/// A piece on its way to the socket.
struct Piece {
    bytes: Bytes,
    keep: Arc<Keep>,
}

impl Piece {
    fn new(bytes: Bytes, keep: &Arc<Keep>) -> Piece {
        keep.watch.piece_made();
        Piece { bytes, keep: Arc::clone(keep) }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.keep.watch.piece_gone();
    }
}

enum Inner {
    Empty,
    Whole(Bytes),
    Held { bytes: Bytes, _reserved: Reserved },
    Stream { stream: DownloadStream, left: u64 },
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(End(end)) = self.end.take() {
            end(self.sent, self.is_end_stream());
        }
        if let Some(pieces) = &self.pieces {
            let rest = std::mem::replace(&mut self.inner, Inner::Empty);
            *pieces.keep.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}

impl Outgoing {
    /// The next piece, as long as hyper takes at once.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        loop {
            if let Some(pieces) = &mut self.pieces
                && !pieces.chunk.is_empty()
            {
                let length = pieces.chunk.len().min(HELD_PIECE_BYTES);
                let piece = Piece::new(pieces.chunk.split_to(length), &pieces.keep);
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))));
            }
            let frame = match ready!(self.poll_inner(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            if let (Ok(chunk), Some(pieces)) = (frame.into_data(), &mut self.pieces) {
                pieces.chunk = chunk;
            }
        }
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.inner {
            Inner::Empty => Poll::Ready(None),
            Inner::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.inner = Inner::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Inner::Held { bytes, .. } if bytes.is_empty() => Poll::Ready(None),
            Inner::Held { bytes, .. } => {
                let piece = bytes.split_to(bytes.len().min(HELD_PIECE_BYTES));
                // Copied: a piece that waits for the client must not keep the whole when its room has been given back.
                Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(&piece)))))
            }
            Inner::Stream { stream, left } => match stream.as_mut().poll_next(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Ok(chunk))) => {
                    let Some(rest) = left.checked_sub(chunk.len() as u64) else {
                        return Poll::Ready(Some(Err(Cut("longer than announced".into()))));
                    };
                    *left = rest;
                    Poll::Ready(Some(Ok(Frame::data(chunk))))
                }
                Poll::Ready(Some(Err(cut))) => Poll::Ready(Some(Err(cut))),
                Poll::Ready(None) if *left > 0 => {
                    Poll::Ready(Some(Err(Cut("shorter than announced".into()))))
                }
                Poll::Ready(None) => Poll::Ready(None),
            },
        }
    }
}

/// How much of a body that memory is set aside for goes to hyper at once, which takes little more before it has sent that.
const HELD_PIECE_BYTES: usize = 16 << 10;

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let polled = match self.pieces {
            Some(_) => self.poll_piece(cx),
            None => self.poll_inner(cx),
        };
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        if self.pieces.as_ref().is_some_and(|pieces| !pieces.chunk.is_empty()) {
            return false;
        }
        match &self.inner {
            Inner::Empty => true,
            Inner::Whole(_) => false,
            Inner::Held { bytes, .. } => bytes.is_empty(),
            Inner::Stream { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.inner {
            Inner::Empty => 0,
            Inner::Whole(bytes) | Inner::Held { bytes, .. } => bytes.len() as u64,
            Inner::Stream { left, .. } => *left,
        })
    }
}
