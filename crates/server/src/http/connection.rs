//! One connection: hyper's driver, and a watch that ends it when the client is too slow.
//!
//! hyper has one time-out for heads that also counts idle time. Here waiting for a request, reading its head, and a client that
//! does not read its answer each have their own bound, with one timer a connection that moves only when it fires.
//!
//! The socket also puts OSS's own answer in the place of hyper's bare one to a head that it refuses. What hyper writes while no
//! request is under way and all earlier answers have left its buffer can be nothing else. With HTTP/2 each stream has a watch, too,
//! and h2's few answers of its own stay as they are: see [`super::streams`].

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::{
    guests::Guest,
    intake::DrainLimits,
    refusal::{Refusal, Refuses},
    streams::{Frames, Place},
    tls::Socket,
};
use crate::metrics::Meters;

/// Bounds in time for one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Between requests.
    pub(super) idle: Duration,
    /// From the first byte of a head to its end.
    pub(super) head: Duration,
    /// Without any byte of the answer taken by the client, and without any byte of a body that is waited for.
    pub(super) stall: Duration,
    /// From the end of a head to the end of its answer.
    pub(super) request: Duration,
}

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;
/// Of a connection whose streams have their own watches.
const STREAMS: u8 = 3;

/// What the connection is doing and since when; shared by the socket, the requests and the timer.
#[derive(Debug)]
pub(super) struct Watch {
    start: Instant,
    phase: AtomicU8,
    /// When the phase began, in milliseconds since `start`.
    since_ms: AtomicU64,
    /// When a write began to wait for the client, plus one; 0 when none waits.
    blocked_ms: AtomicU64,
    /// When a body began to wait for its next byte, plus one; 0 when none waits.
    starved_ms: AtomicU64,
    /// Whether a request has come whose answer may still be in hyper's buffer.
    unflushed: AtomicBool,
    /// Whether what comes may still be the body of a request that has been answered.
    draining: AtomicBool,
    /// Of HTTP/2, when a head began that has not ended, plus one; 0 when none has.
    head_ms: AtomicU64,
    /// Pieces of a stream's answer that the socket has not taken, and when one was made first or taken last.
    pieces: AtomicUsize,
    moved_ms: AtomicU64,
    /// Whether nobody but the connection can end the stream.
    adrift: AtomicBool,
}

/// Lives as long as the rest of a body is read away.
#[derive(Debug)]
pub(super) struct Draining {
    watch: Arc<Watch>,
}

impl Drop for Draining {
    fn drop(&mut self) {
        self.watch.draining.store(false, Ordering::Relaxed);
    }
}

/// Lives as long as a request and its answer.
#[derive(Debug)]
pub(super) struct Busy {
    watch: Arc<Watch>,
    _place: Option<Place>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.watch.enter(IDLE);
    }
}

impl Watch {
    pub(super) fn new() -> Arc<Watch> {
        Arc::new(Watch {
            start: Instant::now(),
            phase: AtomicU8::new(IDLE),
            since_ms: AtomicU64::new(0),
            blocked_ms: AtomicU64::new(0),
            starved_ms: AtomicU64::new(0),
            unflushed: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            head_ms: AtomicU64::new(0),
            pieces: AtomicUsize::new(0),
            moved_ms: AtomicU64::new(0),
            adrift: AtomicBool::new(false),
        })
    }

    /// A request has come in whole as far as its head goes.
    pub(super) fn busy(self: &Arc<Watch>, place: Option<Place>) -> Busy {
        self.unflushed.store(true, Ordering::Relaxed);
        self.enter(BUSY);
        Busy { watch: Arc::clone(self), _place: place }
    }

    /// The rest of a body comes, whether or not its request has its answer by then. Said before the answer goes.
    pub(super) fn drains(self: &Arc<Watch>) -> Draining {
        self.draining.store(true, Ordering::Relaxed);
        Draining { watch: Arc::clone(self) }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn enter(&self, phase: u8) {
        self.since_ms.store(self.now_ms(), Ordering::Relaxed);
        self.phase.store(phase, Ordering::Relaxed);
    }

    /// Bytes have come. Says what the connection was doing before.
    fn heard(&self) -> u8 {
        let phase = self.phase.load(Ordering::Relaxed);
        // Taken for a head, a long body that was refused would use up the bytes of everybody's heads.
        if phase == IDLE && !self.draining.load(Ordering::Relaxed) {
            self.enter(HEAD);
        }
        phase
    }

    /// All that hyper had to write is gone.
    fn flushed(&self) {
        if self.phase.load(Ordering::Relaxed) != BUSY && self.unflushed.load(Ordering::Relaxed) {
            self.unflushed.store(false, Ordering::Relaxed);
        }
    }

    /// Whether no answer of ours can be on its way out.
    fn owes_nothing(&self) -> bool {
        self.phase.load(Ordering::Relaxed) != BUSY && !self.unflushed.load(Ordering::Relaxed)
    }

    /// Whether no request has been under way for so long.
    pub(super) fn has_rested(&self, time: Duration) -> bool {
        let since = self.since_ms.load(Ordering::Relaxed).saturating_add(millis(time));
        !matches!(self.phase.load(Ordering::Relaxed), BUSY | STREAMS) && since <= self.now_ms()
    }

    /// Whether no request is under way, nor on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == IDLE && self.head_ms.load(Ordering::Relaxed) == 0
    }

    /// Whether there are streams.
    pub(super) fn streams(&self, any: bool) {
        match (any, self.phase.load(Ordering::Relaxed)) {
            (true, STREAMS) => {}
            (true, _) => self.enter(STREAMS),
            (false, _) => self.enter(IDLE),
        }
    }

    /// A head of HTTP/2 has begun, or ended.
    fn head(&self, began: bool) {
        self.head_ms.store(if began { self.now_ms() + 1 } else { 0 }, Ordering::Relaxed);
    }

    /// One more piece of the answer waits for the client.
    pub(super) fn piece_made(&self) {
        if self.pieces.fetch_add(1, Ordering::Relaxed) == 0 {
            self.moved_ms.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    /// One has gone.
    pub(super) fn piece_gone(&self) {
        self.moved_ms.store(self.now_ms(), Ordering::Relaxed);
        self.pieces.fetch_sub(1, Ordering::Relaxed);
    }

    /// The stream's task has ended.
    pub(super) fn set_adrift(&self) {
        self.adrift.store(true, Ordering::Relaxed);
    }

    /// Until when the client must have taken a piece; `None` when none waits.
    fn stuck_at(&self, patience: &Patience) -> Option<u64> {
        let moved = self.moved_ms.load(Ordering::Relaxed);
        (self.pieces.load(Ordering::Relaxed) > 0)
            .then(|| moved.saturating_add(millis(patience.stall)))
    }

    /// Whether the stream's answer is stuck, and its task has ended.
    pub(super) fn is_stuck(&self, patience: &Patience) -> bool {
        self.adrift.load(Ordering::Relaxed)
            && self.stuck_at(patience).is_some_and(|at| at <= self.now_ms())
    }

    fn blocked(&self, blocked: bool) {
        if !blocked {
            self.blocked_ms.store(0, Ordering::Relaxed);
        } else if self.blocked_ms.load(Ordering::Relaxed) == 0 {
            self.blocked_ms.store(self.now_ms() + 1, Ordering::Relaxed);
        }
    }

    /// A body waits for its next byte. The timer will have the connection polled when the wait has lasted too long, and the body
    /// with it, which then sees so by itself.
    pub(super) fn starves(&self) {
        if self.starved_ms.load(Ordering::Relaxed) == 0 {
            self.starved_ms.store(self.now_ms() + 1, Ordering::Relaxed);
        }
    }

    /// It waits no longer.
    pub(super) fn fed(&self) {
        self.starved_ms.store(0, Ordering::Relaxed);
    }

    /// `None` when the client has used up its time, else when to look again.
    pub(super) fn look(&self, patience: &Patience) -> Option<Instant> {
        let now = self.now_ms();
        let since = self.since_ms.load(Ordering::Relaxed);
        let mut until = match self.phase.load(Ordering::Relaxed) {
            IDLE => since.saturating_add(millis(patience.idle)),
            HEAD => since.saturating_add(millis(patience.head)),
            STREAMS => u64::MAX,
            _ => since.saturating_add(millis(patience.request)),
        };
        // What begins after this look must be seen in its own time.
        let soon = patience.idle.min(patience.head).min(patience.request);
        until = until.min(now.saturating_add(millis(soon)));
        let blocked = self.blocked_ms.load(Ordering::Relaxed);
        if blocked > 0 {
            until = until.min((blocked - 1).saturating_add(millis(patience.stall)));
        } else {
            until = until.min(now.saturating_add(millis(patience.stall)));
        }
        if let Some(at) = self.stuck_at(patience) {
            until = until.min(at);
        }
        let head = self.head_ms.load(Ordering::Relaxed);
        if head > 0 {
            until = until.min((head - 1).saturating_add(millis(patience.head)));
        }
        // Rounded up, so that the body finds its time to be over.
        let starved = self.starved_ms.load(Ordering::Relaxed);
        let hungry_until = starved.saturating_add(millis(patience.stall));
        if starved > 0 && hungry_until > now {
            until = until.min(hungry_until);
        }
        (until > now).then(|| self.start + Duration::from_millis(until))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Wakes a connection's task, and tells it that there is something beside the connection to look at.
///
/// The timer and the server's end have something to say once in a long while; polling both whenever a byte comes in costs more
/// than taking that byte.
#[derive(Debug)]
pub(super) struct Bell {
    rung: AtomicBool,
    task: Waker,
}

impl Bell {
    /// A bell for this task, which has rung: what has not been polled yet wakes nobody.
    pub(super) fn new(task: &Waker) -> Arc<Bell> {
        Arc::new(Bell { rung: AtomicBool::new(true), task: task.clone() })
    }

    /// Whether it is this task's bell.
    pub(super) fn belongs_to(&self, task: &Waker) -> bool {
        self.task.will_wake(task)
    }

    /// Whether it has rung since it was asked last.
    pub(super) fn has_rung(&self) -> bool {
        // Read first: it has hardly ever, and reading leaves the line shared.
        self.rung.load(Ordering::Acquire) && self.rung.swap(false, Ordering::AcqRel)
    }

    /// Has everything looked at the next time.
    pub(super) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
        self.task.wake_by_ref();
    }
}

/// Bytes of heads that have begun and not ended, over all connections. The first piece of each is not counted: most heads have no
/// other, and the buffer that it lies in is there anyway.
#[derive(Debug)]
pub(super) struct Heads {
    bytes: AtomicU64,
    max: u64,
}

impl Heads {
    pub(super) fn new(max: u64) -> Arc<Heads> {
        Arc::new(Heads { bytes: AtomicU64::new(0), max })
    }
}

/// What the sockets of one server share.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) meters: Arc<Meters>,
    pub(super) heads: Arc<Heads>,
    pub(super) refuses: Arc<dyn Refuses>,
    pub(super) drain: DrainLimits,
}

/// A socket that tells its watch what it sees.
pub(super) struct Watched {
    socket: Socket,
    watch: Arc<Watch>,
    common: Common,
    guest: Arc<Guest>,
    /// Of the head that is coming in.
    head_bytes: u64,
    /// Of HTTP/2.
    frames: Option<Frames>,
    refused: Option<Box<Refused>>,
}

/// An answer in the place of hyper's, and what the client sends meanwhile.
struct Refused {
    answer: Vec<u8>,
    gone: usize,
    half_closed: bool,
    drained: u64,
    until: Pin<Box<Sleep>>,
}

impl Watched {
    pub(super) fn new(
        socket: Socket,
        watch: Arc<Watch>,
        common: Common,
        guest: Arc<Guest>,
    ) -> Watched {
        let frames = socket.is_http2().then(Frames::new);
        Watched { socket, watch, common, guest, head_bytes: 0, frames, refused: None }
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        self.watch.blocked(polled.is_pending());
        if let Poll::Ready(Ok(count)) = polled {
            self.common.meters.sent(*count);
        }
    }

    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.common.meters.received(bytes.len());
        let Some(frames) = &mut self.frames else {
            return match self.watch.heard() {
                HEAD => self.more_of_head(bytes.len()),
                _ => {
                    self.forget_head();
                    Ok(())
                }
            };
        };
        let was = frames.in_head();
        let ended = frames.pass(bytes);
        match (was && !ended, frames.in_head()) {
            (true, _) => return self.more_of_head(bytes.len()),
            (false, begun) if begun || was => {
                self.watch.head(begun);
                self.forget_head();
            }
            _ => {}
        }
        Ok(())
    }

    fn more_of_head(&mut self, count: usize) -> io::Result<()> {
        let count = count as u64;
        self.head_bytes += count;
        let heads = &self.common.heads;
        let all = heads.bytes.fetch_add(count, Ordering::Relaxed) + count;
        if !self.guest.head_came(count) || all > heads.max {
            return Err(io::Error::other("limits.heads_bytes are in use"));
        }
        Ok(())
    }

    fn forget_head(&mut self) {
        if self.head_bytes > 0 {
            self.common.heads.bytes.fetch_sub(self.head_bytes, Ordering::Relaxed);
            self.guest.head_gone(self.head_bytes);
            self.head_bytes = 0;
        }
    }

    /// Whether what hyper writes is its own answer to a head, which ours takes the place of.
    fn is_replaced(&mut self, written: &[u8]) -> bool {
        if self.refused.is_some() {
            return true;
        }
        // After `HTTP/1.1 `.
        if self.frames.is_some() || !self.watch.owes_nothing() || written.get(9) != Some(&b'4') {
            return false;
        }
        let answer = self.common.refuses.refuse(Refusal::of_bare(written));
        let until = Box::pin(tokio::time::sleep(self.common.drain.time));
        let refused = Refused { answer, gone: 0, half_closed: false, drained: 0, until };
        self.refused = Some(Box::new(refused));
        true
    }

    fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(refused) = &mut self.refused
            && refused.gone < refused.answer.len()
        {
            let polled = Pin::new(&mut self.socket).poll_write(cx, &refused.answer[refused.gone..]);
            if let Poll::Ready(Ok(count)) = &polled {
                refused.gone += *count;
            }
            self.wrote(&polled);
            if ready!(polled)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads away what the client still sends, within bounds: closed before that, the answer would be lost with the connection.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(refused) = &mut self.refused else { return Poll::Ready(Ok(())) };
        if !refused.half_closed {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            refused.half_closed = true;
        }
        let mut scratch = [0; 4096];
        for _ in 0..16 {
            if refused.drained > self.common.drain.bytes
                || refused.until.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
            match buffer.filled().len() {
                0 => return Poll::Ready(Ok(())),
                count => refused.drained += count as u64,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.forget_head();
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.read(&buf.filled()[before..])?;
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_replaced(buf) {
            return self.poll_refused(cx).map_ok(|()| buf.len());
        }
        let polled = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_replaced(bufs.first().map_or(&[], |first| first)) {
            let all = bufs.iter().map(|buf| buf.len()).sum();
            return self.poll_refused(cx).map_ok(|()| all);
        }
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch.flushed();
        let polled = Pin::new(&mut self.socket).poll_flush(cx);
        if self.socket.is_secure() {
            // What was written may still be here, encrypted.
            self.watch.blocked(polled.is_pending());
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.refused.is_some() {
            return self.poll_linger(cx);
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
