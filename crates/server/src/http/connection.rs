//! One connection: hyper's HTTP/1 driver, and a watch that ends it when the client is too slow.
//!
//! hyper has one time-out for heads that also counts idle time. Here waiting for a request, reading its head, and a client that
//! does not read its answer each have their own bound, with one timer a connection that moves only when it fires.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
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
}

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

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
}

/// Lives as long as a request and its answer.
#[derive(Debug)]
pub(super) struct Busy {
    watch: Arc<Watch>,
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
        })
    }

    /// A request has come in whole as far as its head goes.
    pub(super) fn busy(self: &Arc<Watch>) -> Busy {
        self.enter(BUSY);
        Busy { watch: Arc::clone(self) }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn enter(&self, phase: u8) {
        self.since_ms.store(self.now_ms(), Ordering::Relaxed);
        self.phase.store(phase, Ordering::Relaxed);
    }

    fn heard(&self) {
        if self.phase.load(Ordering::Relaxed) == IDLE {
            self.enter(HEAD);
        }
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
            _ => now.saturating_add(millis(patience.idle.min(patience.head))),
        };
        let blocked = self.blocked_ms.load(Ordering::Relaxed);
        if blocked > 0 {
            until = until.min((blocked - 1).saturating_add(millis(patience.stall)));
        } else {
            until = until.min(now.saturating_add(millis(patience.stall)));
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

/// A socket that tells its watch what it sees.
#[derive(Debug)]
pub(super) struct Watched {
    socket: TcpStream,
    watch: Arc<Watch>,
    meters: Arc<Meters>,
}

impl Watched {
    pub(super) fn new(socket: TcpStream, watch: Arc<Watch>, meters: Arc<Meters>) -> Watched {
        Watched { socket, watch, meters }
    }
}

impl Watched {
    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        self.watch.blocked(polled.is_pending());
        if let Poll::Ready(Ok(count)) = polled {
            self.meters.sent(*count);
        }
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
        let count = buf.filled().len() - before;
        if count > 0 {
            self.meters.received(count);
            self.watch.heard();
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
        let polled = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
