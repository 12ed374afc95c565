//! A request's body on its way in, and what becomes of the part that no handler took.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::{HeaderMap, header};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{Pace, connection::Watch, crowd::Crowd};

/// How the request says where its body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Neither `Content-Length` nor `Transfer-Encoding`, nor an HTTP/2 stream that goes on: no body, which uploads must not leave
    /// unsaid.
    Absent,
    /// `Content-Length`.
    Sized(u64),
    /// `Transfer-Encoding: chunked`, or HTTP/2 without `Content-Length`.
    Chunked,
}

/// Why a body ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    /// The connection ended first.
    #[error("the body is shorter than announced")]
    Truncated,
    /// No byte came for the time allowed.
    #[error("the body stalled")]
    Stalled,
    /// More bytes than the operation takes.
    #[error("the body is too long")]
    TooLong,
    /// The chunked framing makes no sense.
    #[error("the body's framing is broken: {0}")]
    Broken(String),
}

/// Where hyper's body waits while nobody reads it.
#[derive(Debug)]
struct Home {
    incoming: Mutex<Option<Incoming>>,
    /// Whether anyone has asked for a byte; until then no `100 Continue` has been sent.
    polled: AtomicBool,
    /// Whether the body broke off or stalled. What follows on the connection cannot be told from the rest of the body.
    failed: AtomicBool,
}

impl Home {
    fn take(&self) -> Option<Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, incoming: Incoming) {
        *self.incoming.lock().unwrap_or_else(PoisonError::into_inner) = Some(incoming);
    }
}

/// How fast a body must come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tempo {
    /// The longest wait for a byte.
    pub(crate) stall: Duration,
    /// Over so much waiting...
    pub(crate) window: Duration,
    /// ...so many bytes must come.
    pub(crate) window_bytes: u64,
}

/// The body of a request, not yet read. Only the task of its connection, or of its HTTP/2 stream, may read it: its timer is what
/// ends a wait that lasts too long.
#[derive(Debug)]
pub(crate) struct Intake {
    framing: Framing,
    tempo: Tempo,
    watch: Arc<Watch>,
    home: Arc<Home>,
    held: Arc<Held>,
}

/// For how long a pace has held a body back.
#[derive(Debug, Default)]
pub(crate) struct Held {
    paced: AtomicBool,
    micros: AtomicU64,
}

impl Held {
    /// There is a pace.
    pub(crate) fn begin(&self) {
        self.paced.store(true, Ordering::Relaxed);
    }

    /// It has held a piece back since then.
    pub(crate) fn since(&self, start: Instant) {
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// In milliseconds; `None` where there is no pace.
    pub(crate) fn told(&self) -> Option<u64> {
        let paced = self.paced.load(Ordering::Relaxed);
        paced.then(|| self.micros.load(Ordering::Relaxed) / 1_000)
    }
}

impl Intake {
    pub(super) fn new(
        headers: &HeaderMap,
        incoming: Incoming,
        tempo: Tempo,
        watch: &Arc<Watch>,
    ) -> Intake {
        let framing = if headers.contains_key(header::TRANSFER_ENCODING) {
            Framing::Chunked
        } else if headers.contains_key(header::CONTENT_LENGTH) {
            Framing::Sized(incoming.size_hint().exact().unwrap_or(0))
        } else if !incoming.is_end_stream() {
            // Only of HTTP/2.
            Framing::Chunked
        } else {
            Framing::Absent
        };
        let home = Home {
            incoming: Mutex::new(Some(incoming)),
            polled: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        };
        let (watch, home) = (Arc::clone(watch), Arc::new(home));
        Intake { framing, tempo, watch, home, held: Arc::default() }
    }

    /// For how long a pace has held the body back.
    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// How the body is framed.
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// The announced length; an absent body has length 0, a chunked one none.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::Absent => Some(0),
            Framing::Sized(length) => Some(length),
            Framing::Chunked => None,
        }
    }

    /// The body as a stream of at most `limit` bytes. The first poll sends `100 Continue` to a client that waits for it. A second
    /// call gives an empty stream. `crowd` tells whether it must keep to a rate.
    pub(crate) fn stream(&self, limit: u64, pace: Option<Pace>, crowd: Crowd) -> UploadStream {
        if pace.is_some() {
            self.held.begin();
        }
        UploadStream {
            held: Arc::clone(&self.held),
            held_since: None,
            incoming: self.home.take(),
            home: Arc::clone(&self.home),
            left: limit,
            pace,
            crowd,
            tempo: self.tempo,
            watch: Arc::clone(&self.watch),
            waiting_since: None,
            waited: Duration::ZERO,
            brought: 0,
        }
    }

    /// The whole body of a small request.
    pub(crate) async fn collect(&self, limit: usize, crowd: Crowd) -> Result<Bytes, BodyFault> {
        if self.length().is_some_and(|length| length > limit as u64) {
            return Err(BodyFault::TooLong);
        }
        let mut stream = self.stream(limit as u64, None, crowd);
        let mut whole = BytesMut::new();
        let mut first: Option<Bytes> = None;
        while let Some(chunk) = std::future::poll_fn(|cx| stream.poll_chunk(cx)).await {
            let chunk = chunk?;
            match first.take() {
                None if whole.is_empty() => first = Some(chunk),
                one => {
                    if let Some(one) = one {
                        whole.extend_from_slice(&one);
                    }
                    whole.extend_from_slice(&chunk);
                }
            }
        }
        Ok(first.unwrap_or_else(|| whole.freeze()))
    }

    /// A handle by which the exchange gets back what was left unread.
    pub(super) fn leftover(&self) -> Leftover {
        Leftover { home: Arc::clone(&self.home), watch: Arc::clone(&self.watch) }
    }
}

/// A body being read. Dropped before its end, it gives the rest back, so that it can be drained.
#[derive(Debug)]
pub(crate) struct UploadStream {
    incoming: Option<Incoming>,
    home: Arc<Home>,
    left: u64,
    pace: Option<Pace>,
    held: Arc<Held>,
    held_since: Option<Instant>,
    crowd: Crowd,
    tempo: Tempo,
    watch: Arc<Watch>,
    /// Since when the next chunk has been asked for. Time that the reader takes for itself is not the client's.
    waiting_since: Option<Instant>,
    /// The waiting, and the bytes that it brought, since both were looked at last.
    waited: Duration,
    brought: u64,
}

impl UploadStream {
    /// The next chunk, never empty. After `None` or an error there is nothing more.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyFault>>> {
        if let Some(pace) = &mut self.pace {
            if pace.poll_turn(cx).is_pending() {
                self.held_since.get_or_insert_with(Instant::now);
                return Poll::Pending;
            }
            if let Some(since) = self.held_since.take() {
                self.held.since(since);
            }
        }
        loop {
            let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
            self.home.polled.store(true, Ordering::Relaxed);
            let polled = Pin::new(incoming).poll_frame(cx);
            if polled.is_ready()
                && let Some(since) = self.waiting_since.take()
            {
                self.watch.fed();
                self.waited += since.elapsed();
            }
            match polled {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers carry nothing that OSS knows.
                    let Ok(chunk) = frame.into_data() else { continue };
                    if chunk.is_empty() {
                        continue;
                    }
                    let Some(left) = self.left.checked_sub(chunk.len() as u64) else {
                        return Poll::Ready(Some(Err(BodyFault::TooLong)));
                    };
                    self.left = left;
                    self.brought += chunk.len() as u64;
                    if self.trickles() {
                        self.home.failed.store(true, Ordering::Relaxed);
                        return Poll::Ready(Some(Err(BodyFault::Stalled)));
                    }
                    if let Some(pace) = &mut self.pace {
                        pace.passed(chunk.len());
                    }
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Poll::Ready(Some(Err(error))) => {
                    self.incoming = None;
                    self.home.failed.store(true, Ordering::Relaxed);
                    return Poll::Ready(Some(Err(fault_of(&error))));
                }
                Poll::Ready(None) => {
                    self.incoming = None;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    if !self.has_stalled() {
                        return Poll::Pending;
                    }
                    self.home.failed.store(true, Ordering::Relaxed);
                    return Poll::Ready(Some(Err(BodyFault::Stalled)));
                }
            }
        }
    }

    /// Whether so little comes that it is as good as nothing: who sends a byte now and then would hold his place for ever. As long
    /// as there are places enough he may: a live feed has its quiet hours.
    fn trickles(&mut self) -> bool {
        if self.waited < self.tempo.window {
            return false;
        }
        let enough = self.brought >= self.tempo.window_bytes;
        (self.waited, self.brought) = (Duration::ZERO, 0);
        !enough && self.crowd.is_there()
    }

    /// Whether no byte has come for too long. Nothing is woken for that here, and no timer made for a byte that is on its way: the
    /// connection's timer has everything polled in time.
    fn has_stalled(&mut self) -> bool {
        match self.waiting_since {
            Some(since) => since.elapsed() >= self.tempo.stall,
            None => {
                self.waiting_since = Some(Instant::now());
                self.watch.starves();
                false
            }
        }
    }
}

impl Stream for UploadStream {
    type Item = Result<Bytes, BodyFault>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyFault>>> {
        self.poll_chunk(cx)
    }
}

impl Drop for UploadStream {
    fn drop(&mut self) {
        if self.waiting_since.is_some() {
            self.watch.fed();
        }
        if let Some(incoming) = self.incoming.take() {
            self.home.put(incoming);
        }
    }
}

/// hyper tells a broken body only through the source of its error.
fn fault_of(error: &hyper::Error) -> BodyFault {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return match io.kind() {
                std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => {
                    BodyFault::Broken(io.to_string())
                }
                _ => BodyFault::Truncated,
            };
        }
        source = inner.source();
    }
    BodyFault::Truncated
}

/// How the connection goes on after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The body has been read or is being drained: the connection is kept.
    Keep,
    /// The answer says that the connection closes.
    Close,
    /// So it does, and the body did not come as it was announced: its client has given it up, or is no good.
    Broken,
}

/// The bounds within which a refused body is drained.
#[derive(Debug, Clone, Copy)]
pub(super) struct DrainLimits {
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

/// What a handler left of a body.
#[derive(Debug)]
pub(super) struct Leftover {
    home: Arc<Home>,
    watch: Arc<Watch>,
}

impl Leftover {
    /// Reads away what is left without making the answer wait for it.
    ///
    /// `waits_for_continue`: the client asked for `100 Continue`; if nobody read the body it may never be sent. `bodiless`: the
    /// method has no body in OSS, and some clients announce one that they do not send.
    pub(super) async fn settle(
        self,
        waits_for_continue: bool,
        bodiless: bool,
        limits: DrainLimits,
    ) -> After {
        let failed = self.home.failed.load(Ordering::Relaxed);
        let Some(mut incoming) = self.home.take() else {
            return if failed { After::Broken } else { After::Keep };
        };
        if incoming.is_end_stream() {
            return After::Keep;
        }
        let unsent = waits_for_continue && !self.home.polled.load(Ordering::Relaxed);
        if !unsent {
            match drain_what_is_here(&mut incoming).await {
                Here::All => return After::Keep,
                Here::Broken => return After::Broken,
                Here::Part => {}
            }
        }
        let long = incoming.size_hint().exact().is_some_and(|left| left > limits.bytes);
        let draining = self.watch.drains();
        tokio::spawn(async move {
            drain(incoming, limits).await;
            drop(draining);
        });
        if failed {
            After::Broken
        } else if unsent || bodiless || long {
            After::Close
        } else {
            After::Keep
        }
    }
}

enum Here {
    All,
    Part,
    Broken,
}

/// Takes the bytes that have arrived already. hyper fetches a chunk only after it has been asked for, so a few turns are needed.
async fn drain_what_is_here(incoming: &mut Incoming) -> Here {
    for _ in 0..4 {
        let here = std::future::poll_fn(|cx| {
            for _ in 0..64 {
                match Pin::new(&mut *incoming).poll_frame(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Here::Broken),
                    Poll::Ready(None) => return Poll::Ready(Here::All),
                    Poll::Pending => return Poll::Ready(Here::Part),
                }
            }
            Poll::Ready(Here::Part)
        })
        .await;
        if !matches!(here, Here::Part) {
            return here;
        }
        tokio::task::yield_now().await;
    }
    Here::Part
}

/// Reads and drops. When the bounds are reached, dropping the body makes hyper close the connection.
async fn drain(mut incoming: Incoming, limits: DrainLimits) {
    let mut left = limits.bytes;
    let _ = tokio::time::timeout(limits.time, async {
        while let Some(Ok(frame)) =
            std::future::poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await
        {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    })
    .await;
}
