//! One connection: hyper's HTTP/1 driver, and a watch that ends it when the client is too slow.
//!
//! hyper has one time-out for heads that also counts idle time. Here waiting for a request, reading its head, and a client that
//! does not read its answer each have their own bound, with one timer a connection that moves only when it fires.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
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
    /// Without any byte of the answer taken by the client.
    pub(super) write_stall: Duration,
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
            until = until.min((blocked - 1).saturating_add(millis(patience.write_stall)));
        } else {
            until = until.min(now.saturating_add(millis(patience.write_stall)));
        }
        (until > now).then(|| self.start + Duration::from_millis(until))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
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
