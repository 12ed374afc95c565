//! What operators see: counters of requests and connections, and the figures of the store behind them, as Prometheus's text.
//!
//! They are told on a listener of their own, which asks nobody for a signature; so it is off unless it is asked for. It takes few
//! connections, answers one request on each, and gives each a bounded time (I7).
//!
//! Counting must cost nothing that can be measured: each thread adds to memory of its own, and a reader adds the threads up.

use std::{
    cell::Cell,
    convert::Infallible,
    fmt::{self, Write as _},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ossia_objects::{Health, Objects};
use ossia_protocol::operation::Operation;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

use crate::{
    audit::Audit,
    http::{Admission, Refusals, Requests},
};

/// Threads beyond this many share.
const SLOTS: usize = 16;
/// 2xx to 5xx.
const CLASSES: usize = 4;
const OPERATIONS: usize = Operation::ALL.len();
/// Connections of the listener at once.
const CONNECTIONS_MAX: usize = 4;
/// From a connection's first byte to the last one of its answer.
const CONNECTION_TIME: Duration = Duration::from_secs(3);
const BUFFER_BYTES: usize = 16 << 10;
const PATH: &str = "/metrics";

/// A figure of what stands behind the server, told when somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// Its name as Prometheus wants it: letters, digits and `_`, with the unit at its end.
    pub name: &'static str,
    /// What it says, in one line.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: FigureKind,
    /// The value now.
    pub value: u64,
}

/// How a [`Figure`] moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureKind {
    /// It only grows, from zero at the start of the process.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl fmt::Display for FigureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FigureKind::Counter => "counter",
            FigureKind::Gauge => "gauge",
        })
    }
}

/// Asks the store for its figures. May block for a moment; called off the executor.
pub type Figures = Arc<dyn Fn() -> Vec<Figure> + Send + Sync>;

/// The counters of one server.
#[derive(Default)]
pub(crate) struct Meters {
    slots: [Slot; SLOTS],
    accepted: AtomicU64,
    closed: AtomicU64,
    /// What never became a request.
    pub(crate) refusals: Refusals,
}

/// One thread's share, on cache lines that no other thread writes to.
#[repr(align(128))]
struct Slot {
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    /// By operation and class of status; the last row is for requests that name no operation.
    answers: [[AtomicU64; CLASSES]; OPERATIONS + 1],
}

impl Default for Slot {
    fn default() -> Slot {
        let row = || std::array::from_fn(|_| AtomicU64::new(0));
        Slot {
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            answers: std::array::from_fn(|_| row()),
        }
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").field("connections", &self.connections()).finish_non_exhaustive()
    }
}

/// This thread's slot, in any server's meters.
fn own_slot() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    const NONE: usize = usize::MAX;
    thread_local! {
        static OWN: Cell<usize> = const { Cell::new(NONE) };
    }
    OWN.with(|own| {
        if own.get() == NONE {
            own.set(NEXT.fetch_add(1, Ordering::Relaxed) % SLOTS);
        }
        own.get()
    })
}

impl Meters {
    fn slot(&self) -> &Slot {
        let [first, ..] = &self.slots;
        self.slots.get(own_slot()).unwrap_or(first)
    }

    /// An answer is on its way.
    pub(crate) fn answered(&self, operation: Option<Operation>, status: StatusCode) {
        let row = operation.map_or(OPERATIONS, |operation| operation as usize);
        let class = usize::from(status.as_u16() / 100).saturating_sub(2);
        if let Some(count) = self.slot().answers.get(row).and_then(|row| row.get(class)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// So much came in on a connection.
    pub(crate) fn received(&self, bytes: usize) {
        self.slot().received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So much went out.
    pub(crate) fn sent(&self, bytes: usize) {
        self.slot().sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A connection is there for as long as what this returns.
    pub(crate) fn connected(self: &Arc<Meters>) -> Connected {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }

    fn connections(&self) -> u64 {
        let closed = self.closed.load(Ordering::Relaxed);
        self.accepted.load(Ordering::Relaxed).saturating_sub(closed)
    }

    fn sum(&self, of: impl Fn(&Slot) -> &AtomicU64) -> u64 {
        self.slots.iter().map(|slot| of(slot).load(Ordering::Relaxed)).sum()
    }
}

/// A client's connection, counted.
#[derive(Debug)]
pub(crate) struct Connected(Arc<Meters>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// All that there is to tell.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) meters: Arc<Meters>,
    pub(crate) objects: Objects,
    pub(crate) uploads: Admission,
    pub(crate) downloads: Admission,
    pub(crate) requests: Arc<Requests>,
    pub(crate) audit: Audit,
    /// As the limit of open files has left it.
    pub(crate) connections_max: u64,
    pub(crate) figures: Option<Figures>,
}

impl Sources {
    /// The text. Blocks for a moment.
    fn text(&self) -> String {
        let mut text = String::with_capacity(8 << 10);
        let meters = &self.meters;
        head(&mut text, "ossia_requests_total", "answered requests", FigureKind::Counter);
        for row in 0..=OPERATIONS {
            // Where there is no such operation the row is that of requests without one, as health checks are.
            let name = Operation::ALL.get(row).map_or("none", |operation| operation.name());
            for class in 0..CLASSES {
                let count = meters.sum(|slot| &slot.answers[row][class]);
                if count > 0 {
                    let class = class + 2;
                    let labels = format!("operation=\"{name}\",status=\"{class}xx\"");
                    let _ = writeln!(text, "ossia_requests_total{{{labels}}} {count}");
                }
            }
        }
        for figure in self
            .own()
            .into_iter()
            .chain(self.scrub())
            .chain(self.lifecycle())
            .chain(self.figures.iter().flat_map(|ask| ask()))
        {
            head(&mut text, figure.name, figure.help, figure.kind);
            let _ = writeln!(text, "{} {}", figure.name, figure.value);
        }
        self.health(&mut text);
        text
    }

    fn own(&self) -> [Figure; 14] {
        let meters = &self.meters;
        let counter = |name, help, value| Figure { name, help, kind: FigureKind::Counter, value };
        let gauge = |name, help, value| Figure { name, help, kind: FigureKind::Gauge, value };
        [
            counter(
                "ossia_received_bytes_total",
                "bytes that came from clients, heads and bodies",
                meters.sum(|slot| &slot.received_bytes),
            ),
            counter(
                "ossia_sent_bytes_total",
                "bytes that went to clients, heads and bodies",
                meters.sum(|slot| &slot.sent_bytes),
            ),
            counter(
                "ossia_connections_total",
                "connections of clients that were accepted",
                meters.accepted.load(Ordering::Relaxed),
            ),
            gauge("ossia_connections", "connections of clients", meters.connections()),
            gauge("ossia_connections_max", "as many as there may be", self.connections_max),
            counter(
                "ossia_connection_refusals_total",
                "connections closed because their address had limits.connections_per_address",
                meters.refusals.crowded(),
            ),
            counter(
                "ossia_malformed_requests_total",
                "requests that were no HTTP, or too large to be read",
                meters.refusals.malformed(),
            ),
            gauge("ossia_requests", "requests that are worked on", self.requests.now()),
            counter(
                "ossia_request_refusals_total",
                "requests answered 503 because limits.requests_max or requests_per_address were worked on",
                self.requests.refusals(),
            ),
            gauge(
                "ossia_upload_reserved_bytes",
                "how much of limits.body_bytes is in use",
                self.uploads.reserved(),
            ),
            gauge(
                "ossia_download_reserved_bytes",
                "how much of limits.download_bytes is in use",
                self.downloads.reserved(),
            ),
            counter(
                "ossia_upload_refusals_total",
                "requests answered 503 because limits.body_bytes were in use",
                self.uploads.refusals(),
            ),
            counter(
                "ossia_download_refusals_total",
                "requests answered 503 because limits.download_bytes were in use",
                self.downloads.refusals(),
            ),
            counter(
                "ossia_audit_lost_total",
                "lines of the audit log that were dropped or could not be written",
                self.audit.lost(),
            ),
        ]
    }

    fn scrub(&self) -> [Figure; 6] {
        let told = self.objects.scrub();
        let figure = |name, help, kind, value| Figure { name, help, kind, value };
        let (counter, gauge) = (FigureKind::Counter, FigureKind::Gauge);
        [
            figure(
                "ossia_scrub_objects_total",
                "objects that the scrub has looked at",
                counter,
                told.objects,
            ),
            figure(
                "ossia_scrub_bytes_total",
                "bytes of objects that the scrub has read",
                counter,
                told.bytes,
            ),
            figure(
                "ossia_scrub_rounds_total",
                "times that the scrub has read everything",
                counter,
                told.rounds,
            ),
            figure(
                "ossia_scrub_findings_total",
                "damages that the scrub has found",
                counter,
                told.findings,
            ),
            figure(
                "ossia_scrub_damaged",
                "damages known of, from the last rounds of the scrub",
                gauge,
                told.damaged,
            ),
            figure(
                "ossia_scrub_finished_seconds",
                "when the scrub last came to its end, since 1970; 0 before that",
                gauge,
                told.finished_ms / 1_000,
            ),
        ]
    }

    fn lifecycle(&self) -> [Figure; 7] {
        let told = self.objects.lifecycle();
        let counter = |name, help, value| Figure { name, help, kind: FigureKind::Counter, value };
        [
            counter(
                "ossia_lifecycle_rounds_total",
                "times that the lifecycle worker has looked at everything",
                told.rounds,
            ),
            counter(
                "ossia_lifecycle_records_total",
                "records that the lifecycle worker has looked at",
                told.records,
            ),
            counter(
                "ossia_lifecycle_expired_total",
                "objects deleted by lifecycle rules",
                told.expired,
            ),
            counter(
                "ossia_lifecycle_transitioned_total",
                "objects whose class lifecycle rules have changed",
                told.transitioned,
            ),
            counter(
                "ossia_lifecycle_trimmed_total",
                "older versions and lone delete markers removed by lifecycle rules",
                told.trimmed,
            ),
            counter(
                "ossia_lifecycle_aborted_total",
                "multipart uploads given up by lifecycle rules",
                told.aborted,
            ),
            counter(
                "ossia_lifecycle_failures_total",
                "rounds, or buckets of one, that the lifecycle worker could not bring to their end",
                told.failures,
            ),
        ]
    }

    fn health(&self, text: &mut String) {
        let now = match self.objects.health() {
            Health::Open => "open",
            Health::Full(_) => "full",
            Health::Poisoned(_) => "poisoned",
            Health::Closed => "closed",
        };
        head(text, "ossia_store_health", "1 for the state that the store is in", FigureKind::Gauge);
        for state in ["open", "full", "poisoned", "closed"] {
            let is = u8::from(state == now);
            let _ = writeln!(text, "ossia_store_health{{state=\"{state}\"}} {is}");
        }
    }
}

fn head(text: &mut String, name: &str, help: &str, kind: FigureKind) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// The listener; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Window {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Window {
    /// Answers on `listener` from now on.
    pub(crate) fn open(listener: TcpListener, sources: Sources) -> std::io::Result<Window> {
        let address = listener.local_addr()?;
        Ok(Window { address, task: tokio::spawn(accept_all(listener, sources)) })
    }

    /// Where it listens, with the real port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept_all(listener: TcpListener, sources: Sources) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit =
            Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for metrics");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let sources = sources.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&sources, request));
            let connection = http1::Builder::new()
                .keep_alive(false)
                .max_buf_size(BUFFER_BYTES)
                .serve_connection(TokioIo::new(socket), service);
            // Who is slow or breaks off has told all that there is to tell.
            let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
            drop(permit);
        });
    }
}

async fn answer(
    sources: &Sources,
    request: http::Request<Incoming>,
) -> Result<Response<Text>, Infallible> {
    let plain = |status, body: String| {
        let mut response = Response::new(Text(Some(Bytes::from(body))));
        *response.status_mut() = status;
        let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    };
    if request.uri().path() != PATH {
        return Ok(plain(StatusCode::NOT_FOUND, format!("{PATH} is all there is\n")));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "GET is all there is\n".to_owned()));
    }
    let sources = sources.clone();
    Ok(match tokio::task::spawn_blocking(move || sources.text()).await {
        Ok(text) => plain(StatusCode::OK, text),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    })
}

/// A whole text as the body of an answer.
struct Text(Option<Bytes>);

impl http_body::Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.take().map(|text| Ok(http_body::Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.0.as_ref().map_or(0, Bytes::len) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_threads_count_is_added_up() {
        let meters = Arc::new(Meters::default());
        let threads: Vec<_> = (0..2 * SLOTS)
            .map(|_| {
                let meters = Arc::clone(&meters);
                std::thread::spawn(move || {
                    for _ in 0..1_000 {
                        meters.answered(Some(Operation::AppendObject), StatusCode::OK);
                        meters.answered(None, StatusCode::SERVICE_UNAVAILABLE);
                        meters.received(3);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let row = Operation::AppendObject as usize;
        let all = 2_000 * SLOTS as u64;
        assert_eq!(meters.sum(|slot| &slot.answers[row][0]), all);
        assert_eq!(meters.sum(|slot| &slot.answers[OPERATIONS][3]), all);
        assert_eq!(meters.sum(|slot| &slot.received_bytes), 3 * all);
    }

    #[test]
    fn rows_are_the_operations_in_their_order() {
        for (row, operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(*operation as usize, row);
        }
    }
}
