//! HTTP/2: the streams of one connection, each with a watch of its own.
//!
//! hyper gives each stream to an executor as a future that answers its request and then sends the answer. Here that future runs in
//! a task of its own, beside a timer that drops it when its client is too slow; h2 then resets the stream, and the others go on.
//! What the socket itself tells, such as a connection without streams or one that takes no byte at all, stays with the watch of the
//! connection.
//!
//! What a stream may hold is bounded thus (I7): bodies that come in by [`STREAM_WINDOW`] until a handler takes them, and handlers
//! are bounded by `limits.requests_max`; bodies that go out by what their answer reserved, which it keeps until the socket has
//! taken the last piece. A stream counts as a connection does: of all there are at most `limits.connections_max`, and
//! `limits.connections_per_address` of one address.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use hyper::{rt::Executor, server::conn::http2};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    connection::{Patience, Watch},
    guests::{Guest, StreamStay},
};

/// Streams of one connection at once; the protocol has clients keep more back. Enough for an SDK's pool of workers, and few enough
/// that a connection stays a small thing.
const STREAMS_MAX: u32 = 64;
/// Bytes of a body that may come before a handler has taken them. The protocol's own default.
const STREAM_WINDOW: u32 = (64 << 10) - 1;
/// The same for all streams of a connection: no stream that is not read may keep the bytes of another out.
const CONNECTION_WINDOW: u32 = STREAMS_MAX * STREAM_WINDOW;
/// Bytes of an answer that wait for the socket, beside one piece more.
const SEND_BYTES: usize = 64 << 10;
/// Streams that were reset before they were looked at; then the connection ends.
const UNSEEN_RESETS_MAX: usize = 20;
/// Streams that were reset for what was wrong with them; then the connection ends.
const ERROR_RESETS_MAX: usize = 256;
/// By how many more requests may have been given up than answered; then the connection ends. More than an honest client ever gives
/// up, and soon reached by one that does nothing else.
const ABANDONED_MAX: usize = 1_000;

/// hyper's driver of an HTTP/2 connection, with every bound said.
pub(super) fn builder(tasks: Tasks, head_bytes: usize) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks);
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BYTES)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(UNSEEN_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX)
        .auto_date_header(false);
    builder
}

/// The streams of a connection.
#[derive(Debug)]
pub(super) struct Streams {
    connection: Arc<Watch>,
    /// Room for the streams of all connections.
    room: Arc<Semaphore>,
    guest: Arc<Guest>,
    /// From when a stream begins to when the last of its answer has gone.
    open: Mutex<Vec<Arc<Watch>>>,
    abandoned: AtomicUsize,
}

/// A stream among the others of its connection.
#[derive(Debug)]
pub(super) struct Place {
    streams: Arc<Streams>,
    watch: Arc<Watch>,
    /// Its place among all streams; `None` when there is no room for it, and it is only told so.
    room: Option<(OwnedSemaphorePermit, StreamStay)>,
}

impl Streams {
    pub(super) fn new(
        connection: &Arc<Watch>,
        room: &Arc<Semaphore>,
        guest: &Arc<Guest>,
    ) -> Arc<Streams> {
        Arc::new(Streams {
            connection: Arc::clone(connection),
            room: Arc::clone(room),
            guest: Arc::clone(guest),
            open: Mutex::default(),
            abandoned: AtomicUsize::new(0),
        })
    }

    /// A new one.
    pub(super) fn begin(self: &Arc<Streams>) -> Place {
        let watch = Watch::new();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push(Arc::clone(&watch));
        // Under the lock, as the way back: else one that begins and one that ends could be told in the wrong order.
        self.connection.streams(true);
        drop(open);
        let room = Arc::clone(&self.room).try_acquire_owned().ok();
        let room = room.and_then(|permit| Some((permit, StreamStay::begin(&self.guest)?)));
        Place { streams: Arc::clone(self), watch, room }
    }

    /// Whether an answer whose task has ended is stuck in the connection, where no stream can be reset any more.
    pub(super) fn are_stuck(&self, patience: &Patience) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().any(|watch| watch.is_stuck(patience))
    }

    /// Whether the client begins requests to give them up.
    pub(super) fn are_abused(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed) > ABANDONED_MAX
    }
}

impl Place {
    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Whether there is room for it.
    pub(super) fn is_welcome(&self) -> bool {
        self.room.is_some()
    }

    /// Tells whether it has been answered, when dropped.
    pub(super) fn question(&self) -> Question {
        Question { streams: Arc::clone(&self.streams), answered: false }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|watch| !Arc::ptr_eq(watch, &self.watch));
        if open.is_empty() {
            self.streams.connection.streams(false);
        }
    }
}

/// A request without its answer.
#[derive(Debug)]
pub(super) struct Question {
    streams: Arc<Streams>,
    answered: bool,
}

impl Question {
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let abandoned = &self.streams.abandoned;
        if !self.answered {
            abandoned.fetch_add(1, Ordering::Relaxed);
        } else {
            let less = |count: usize| count.checked_sub(1);
            let _ = abandoned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }
}

/// Runs streams in tasks that end with their connection.
#[derive(Debug, Clone)]
pub(super) struct Tasks {
    /// Not kept alive here: every stream has one of these, and they would keep themselves alive.
    tasks: Weak<Mutex<JoinSet<()>>>,
    /// Of the stream that begins.
    next: Arc<Mutex<Option<Arc<Watch>>>>,
    patience: Patience,
}

impl Tasks {
    pub(super) fn new(tasks: &Arc<Mutex<JoinSet<()>>>, patience: Patience) -> Tasks {
        Tasks { tasks: Arc::downgrade(tasks), next: Arc::default(), patience }
    }

    /// The stream that hyper hands over next has this watch: it does so as soon as its service has been called.
    pub(super) fn expect(&self, watch: &Arc<Watch>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(watch));
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let watch = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Nothing else is ever handed over, as no answer of ours upgrades a connection.
        let (Some(tasks), Some(watch)) = (self.tasks.upgrade(), watch) else { return };
        let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(guarded(stream, watch, self.patience));
    }
}

/// Runs a stream, as long as its client is not too slow.
async fn guarded(stream: impl Future<Output = ()>, watch: Arc<Watch>, patience: Patience) {
    let _adrift = Adrift(Arc::clone(&watch));
    let mut stream = pin!(stream);
    let mut timer = pin!(sleep_until(watch.look(&patience).unwrap_or_else(Instant::now)));
    loop {
        tokio::select! {
            // First, so that a body that waits for too long finds out when the timer has fired.
            biased;
            () = &mut stream => return,
            () = &mut timer => match watch.look(&patience) {
                Some(next) => timer.as_mut().reset(next),
                None => {
                    tracing::debug!("stream timed out");
                    return;
                }
            },
        }
    }
}

/// Says that a stream has no task any more.
struct Adrift(Arc<Watch>);

impl Drop for Adrift {
    fn drop(&mut self) {
        self.0.set_adrift();
    }
}

/// Tells where the heads of requests begin and end in the frames that come, which h2 keeps to itself.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes that are no frame's header: of the connection's preface, then of payloads.
    skip: usize,
    header: [u8; 9],
    have: usize,
    in_head: bool,
    /// Whether the head ends with the payload that is skipped.
    ends: bool,
}

/// "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
const PREFACE_BYTES: usize = 24;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

impl Frames {
    pub(super) fn new() -> Frames {
        Frames { skip: PREFACE_BYTES, header: [0; 9], have: 0, in_head: false, ends: false }
    }

    /// Whether a head has begun and not ended.
    pub(super) fn in_head(&self) -> bool {
        self.in_head
    }

    /// Bytes have come; says whether a head has ended in them.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> bool {
        let mut ended = false;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let count = self.skip.min(bytes.len());
                self.skip -= count;
                bytes = &bytes[count..];
            } else {
                let count = (self.header.len() - self.have).min(bytes.len());
                self.header[self.have..self.have + count].copy_from_slice(&bytes[..count]);
                self.have += count;
                bytes = &bytes[count..];
                if self.have < self.header.len() {
                    break;
                }
                self.have = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                if matches!(kind, HEADERS | CONTINUATION) {
                    self.in_head = true;
                    self.ends = flags & END_HEADERS != 0;
                }
            }
            if self.skip == 0 && self.ends {
                (self.in_head, self.ends, ended) = (false, false, true);
            }
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.resize(9 + payload, 0);
        frame
    }

    #[test]
    fn heads_are_told_from_other_frames_however_they_are_cut() {
        let mut wire = vec![0; PREFACE_BYTES];
        wire.extend(
            [frame(4, 0, 6), frame(HEADERS, END_HEADERS, 70_000), frame(0, 1, 300)].concat(),
        );
        wire.extend([frame(HEADERS, 0, 10), frame(CONTINUATION, END_HEADERS, 0)].concat());
        let (one, rest) = (PREFACE_BYTES + 15, frame(0, 1, 300).len() + 9 + 10 + 9);
        for step in [1, 2, 8, 9, 10, 1000, wire.len()] {
            let mut frames = Frames::new();
            let (mut ends, mut within) = (0, 0);
            for piece in wire.chunks(step) {
                ends += usize::from(frames.pass(piece));
                within += usize::from(frames.in_head());
            }
            assert!(!frames.in_head());
            match step {
                1 => assert_eq!((ends, within), (2, 70_000 + 10 + 9)),
                _ if step == wire.len() => assert_eq!((ends, within), (1, 0)),
                _ => assert!(ends >= 1, "{step}"),
            }
        }
        let mut frames = Frames::new();
        assert!(!frames.pass(&wire[..one + 9]) && frames.in_head(), "its header alone");
        assert!(frames.pass(&wire[one + 9..wire.len() - rest]) && !frames.in_head());
    }
}
