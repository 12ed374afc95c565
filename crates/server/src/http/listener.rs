//! The accept loop: connections up to a number, and an orderly end.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use super::{
    connection::{Bell, Common, Heads, Patience, Watch, Watched},
    exchange::{GivenUp, Origin, Service, exchange},
    guests::{Guests, Stay},
    intake::{DrainLimits, Tempo},
    refusal::{Refusal, Refuses as _},
    stamp::RequestIds,
    streams::{self, Streams, Tasks},
    tls::{Socket, Tls},
};
use crate::{metrics::Meters, rarely::Rarely};

/// The bounds of the front door. Sources of the values are the server's configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrontSettings {
    /// Connections at once; more wait in the kernel's queue.
    pub(crate) connections_max: usize,
    /// Between two requests of a connection.
    pub(crate) idle: Duration,
    /// From the first byte of a request's head to its end.
    pub(crate) head_read: Duration,
    /// With as many connections as there may be, the time after which one that does nothing makes room.
    pub(crate) idle_crowded: Duration,
    /// From the end of a head to the end of its answer.
    pub(crate) request: Duration,
    /// Of a request's body. Its longest wait is also that for a client to take something of its answer.
    pub(crate) tempo: Tempo,
    /// Of heads that have begun and not ended, beyond the first piece of each.
    pub(crate) heads_bytes: u64,
    /// How many bytes of a refused body are read away.
    pub(crate) drain_bytes: u64,
    /// For how long.
    pub(crate) drain_time: Duration,
    /// Buffer of one connection, each way. A request's head must fit in.
    pub(crate) buffer_bytes: usize,
}

impl FrontSettings {
    pub(super) fn drain(&self) -> DrainLimits {
        DrainLimits { bytes: self.drain_bytes, time: self.drain_time }
    }
}

/// The most headers a request may have before the parser itself turns it away with a bare 431.
const HEADERS_MAX: usize = 512;

/// What all connections share.
pub(super) struct FrontShared<S> {
    pub(super) service: Arc<S>,
    pub(super) settings: FrontSettings,
    pub(super) ids: RequestIds,
    pub(super) meters: Arc<Meters>,
    guests: Arc<Guests>,
    tls: Option<Arc<Tls>>,
    heads: Arc<Heads>,
    /// Room for streams of HTTP/2: as many as connections.
    streams: Arc<Semaphore>,
    /// Those that are told that there is no room for them, at once.
    farewells: Arc<Semaphore>,
    word: watch::Receiver<Word>,
}

/// What all connections are told.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    stop: bool,
    /// How often it has been asked to make room.
    crowded: u64,
}

/// Connections beyond an address's share that are answered at once; more are just closed.
const FAREWELLS_MAX: usize = 64;
/// How long such a client may take to hear it.
const FAREWELL_TIME: Duration = Duration::from_secs(1);
/// How often connections are asked to make room, and how many of those that could do so each time: one of so many.
const CROWDED_PAUSE: Duration = Duration::from_secs(1);
const CROWDED_PART: u64 = 4;

impl<S> FrontShared<S> {
    /// Whether the server is on its way down.
    pub(super) fn draining(&self) -> bool {
        self.word.borrow().stop
    }
}

/// A listening socket with its connections.
#[derive(Debug)]
pub(crate) struct Front {
    address: SocketAddr,
    word: Arc<watch::Sender<Word>>,
    task: JoinHandle<JoinSet<()>>,
}

impl Front {
    /// Starts to answer on `listener`.
    pub(crate) fn open<S: Service>(
        listener: TcpListener,
        service: Arc<S>,
        settings: FrontSettings,
        meters: Arc<Meters>,
        guests: Arc<Guests>,
        tls: Option<Arc<Tls>>,
    ) -> std::io::Result<Front> {
        let address = listener.local_addr()?;
        let (word, heard) = watch::channel(Word::default());
        let word = Arc::new(word);
        let shared = Arc::new(FrontShared {
            service,
            settings,
            ids: RequestIds::new(),
            meters,
            guests,
            tls,
            heads: Heads::new(settings.heads_bytes),
            streams: Arc::new(Semaphore::new(settings.connections_max)),
            farewells: Arc::new(Semaphore::new(FAREWELLS_MAX)),
            word: heard,
        });
        let task = tokio::spawn(accept_all(listener, shared, Arc::clone(&word)));
        Ok(Front { address, word, task })
    }

    /// Where it listens, with the port that the system chose if none was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops to accept, lets requests under way finish within `grace`, then ends every connection. Says whether all finished.
    pub(crate) async fn close(self, grace: Duration) -> bool {
        self.word.send_modify(|word| word.stop = true);
        let Ok(mut connections) = self.task.await else { return false };
        let finished =
            tokio::time::timeout(grace, async { while connections.join_next().await.is_some() {} })
                .await
                .is_ok();
        connections.shutdown().await;
        finished
    }
}

async fn accept_all<S: Service>(
    listener: TcpListener,
    shared: Arc<FrontShared<S>>,
    word: Arc<watch::Sender<Word>>,
) -> JoinSet<()> {
    let room = Arc::new(Semaphore::new(shared.settings.connections_max));
    let mut stop = shared.word.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.wait_for(|word| word.stop) => return connections,
            Some(_) = connections.join_next() => {}
            (socket, peer, permit) = accept_one(&listener, &room, &word) => {
                match shared.guests.enter(peer.ip()) {
                    Some(stay) => {
                        let guest = Guest { peer, stay, _room: permit };
                        connections.spawn(serve_one(socket, guest, Arc::clone(&shared)));
                    }
                    None => {
                        if let Some(farewell) = farewell(socket, peer, permit, &shared) {
                            connections.spawn(farewell);
                        }
                    }
                }
            }
        }
    }
}

/// The next connection, when there is room for it. Safe to cancel.
async fn accept_one(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    word: &watch::Sender<Word>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    static CROWDED: Rarely = Rarely::new();
    static FAILED: Rarely = Rarely::new();
    let permit = loop {
        let permit = Arc::clone(room).acquire_owned();
        match tokio::time::timeout(CROWDED_PAUSE, permit).await {
            Ok(permit) => break permit.expect("the semaphore is never closed"),
            Err(_) => {
                if CROWDED.now() {
                    tracing::info!("limits.connections_max connections: the idle make room");
                }
                word.send_modify(|word| word.crowded += 1);
            }
        }
    };
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => return (socket, peer, permit),
            Err(error) => {
                // Out of descriptors or memory: the loop must neither spin nor end.
                if FAILED.now() {
                    tracing::warn!(%error, "cannot accept a connection");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Tells a client that its address has enough connections; `None` when that, too, is asked too often.
fn farewell<S: Service>(
    mut socket: TcpStream,
    peer: SocketAddr,
    room: OwnedSemaphorePermit,
    shared: &FrontShared<S>,
) -> Option<impl Future<Output = ()> + Send + 'static> {
    static CROWDED: Rarely = Rarely::new();
    // Nothing that it could read without agreeing on keys first, which is what there is no room for.
    if shared.tls.is_some() {
        return None;
    }
    // First, since it is counted.
    let answer = shared.refuse(Refusal::Crowded);
    if CROWDED.now() {
        tracing::info!(%peer, "an address has limits.connections_per_address connections");
    }
    let turn = Arc::clone(&shared.farewells).try_acquire_owned().ok()?;
    Some(async move {
        let told = async {
            socket.write_all(&answer).await?;
            socket.shutdown().await?;
            // Closed with a request unread, it would take the answer with it.
            let mut scratch = [0; 1024];
            while socket.read(&mut scratch).await? > 0 {}
            std::io::Result::Ok(())
        };
        let _ = tokio::time::timeout(FAREWELL_TIME, told).await;
        drop((turn, room));
    })
}

/// Who is at the other end of a connection, and its place among the others.
struct Guest {
    peer: SocketAddr,
    stay: Stay,
    _room: OwnedSemaphorePermit,
}

/// Waits until there is something new to hear, and gives the receiver back.
async fn hear(mut word: watch::Receiver<Word>) -> watch::Receiver<Word> {
    // An error is news, too: whoever could have said so is gone.
    let _ = word.changed().await;
    word
}

async fn serve_one<S: Service>(socket: TcpStream, guest: Guest, shared: Arc<FrontShared<S>>) {
    let settings = shared.settings;
    let patience = Patience {
        idle: settings.idle,
        head: settings.head_read,
        stall: settings.tempo.stall,
        request: settings.request,
    };
    let peer = guest.peer;
    // Small answers must not wait for the client's acknowledgement of the one before.
    let _ = socket.set_nodelay(true);
    let _connected = shared.meters.connected();
    let socket = match &shared.tls {
        None => Socket::Plain(socket),
        Some(tls) => {
            let mut stop = shared.word.clone();
            tokio::select! {
                agreed = tls.accept(socket, settings.head_read) => match agreed {
                    Some(socket) => socket,
                    None => return,
                },
                _ = stop.wait_for(|word| word.stop) => return,
            }
        }
    };
    let (secure, http2) = (socket.is_secure(), socket.is_http2());
    let watch = Watch::new();
    let common = Common {
        meters: Arc::clone(&shared.meters),
        heads: Arc::clone(&shared.heads),
        refuses: Arc::clone(&shared) as _,
        drain: settings.drain(),
    };
    let address = Arc::clone(guest.stay.guest());
    let io = TokioIo::new(Watched::new(socket, Arc::clone(&watch), common, Arc::clone(&address)));
    let line = Line { peer, patience, watch: &watch, shared: &shared };
    if http2 {
        let streams = Streams::new(&watch, &shared.streams, &address);
        let running = Arc::new(Mutex::new(JoinSet::new()));
        let tasks = Tasks::new(&running, patience);
        let builder = streams::builder(tasks.clone(), settings.buffer_bytes);
        let service = {
            let (shared, streams) = (Arc::clone(&shared), Arc::clone(&streams));
            service_fn(move |request: hyper::Request<Incoming>| {
                let (shared, guest) = (Arc::clone(&shared), Arc::clone(&address));
                let place = streams.begin();
                let (watch, question) = (Arc::clone(place.watch()), place.question());
                tasks.expect(&watch);
                let origin = Origin { peer, guest, secure, place: Some(place) };
                async move {
                    let response = exchange(&shared, &watch, origin, request).await;
                    if response.extensions().get::<GivenUp>().is_none() {
                        question.answered();
                    }
                    Ok::<_, std::convert::Infallible>(response)
                }
            })
        };
        let connection = builder.serve_connection(io, service);
        line.drive(connection, |connection| connection.graceful_shutdown(), Some(&streams)).await;
        // What they have in hand ends here, so that nothing is under way when its connection is not.
        let mut running = {
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *running)
        };
        running.shutdown().await;
        return;
    }
    let service = {
        let (shared, watch) = (Arc::clone(&shared), Arc::clone(&watch));
        service_fn(move |request: hyper::Request<Incoming>| {
            let (shared, watch) = (Arc::clone(&shared), Arc::clone(&watch));
            let origin = Origin { peer, guest: Arc::clone(&address), secure, place: None };
            async move {
                let response = exchange(&shared, &watch, origin, request).await;
                Ok::<_, std::convert::Infallible>(response)
            }
        })
    };
    let connection = http1::Builder::new()
        .half_close(true)
        .auto_date_header(false)
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_buf_size(settings.buffer_bytes)
        .serve_connection(io, service);
    line.drive(connection, |connection| connection.graceful_shutdown(), None).await;
}

/// A connection with what is looked at beside it.
struct Line<'l, S> {
    peer: SocketAddr,
    patience: Patience,
    watch: &'l Watch,
    shared: &'l FrontShared<S>,
}

impl<S: Service> Line<'_, S> {
    /// Runs the connection until it ends or has used up its time. `wind_down` has it take no further request.
    async fn drive<C: Future<Output = hyper::Result<()>>>(
        &self,
        connection: C,
        wind_down: impl Fn(Pin<&mut C>),
        streams: Option<&Streams>,
    ) {
        let Line { peer, patience, watch, shared } = self;
        let settings = shared.settings;
        let mut connection = std::pin::pin!(connection);
        let timer = tokio::time::sleep_until(watch.look(patience).unwrap_or_else(Instant::now));
        let mut timer = std::pin::pin!(timer);
        let mut news = std::pin::pin!(hear(shared.word.clone()));
        let mut draining = false;
        let mut last_word = false;
        let mut bell: Option<Arc<Bell>> = None;
        loop {
            let event = poll_fn(|cx| {
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Event::Ended(ended));
                }
                if streams.is_some_and(Streams::are_abused) {
                    return Poll::Ready(Event::Abuse);
                }
                let bell = match &mut bell {
                    Some(bell) if bell.belongs_to(cx.waker()) => bell,
                    other => other.insert(Bell::new(cx.waker())),
                };
                if !bell.has_rung() {
                    return Poll::Pending;
                }
                let waker = Waker::from(Arc::clone(bell));
                let mut beside = Context::from_waker(&waker);
                let event = if timer.as_mut().poll(&mut beside).is_ready() {
                    Event::Time
                } else if !draining && let Poll::Ready(word) = news.as_mut().poll(&mut beside) {
                    Event::News(word)
                } else {
                    return Poll::Pending;
                };
                // What was not polled now must be, next time.
                bell.ring();
                Poll::Ready(event)
            });
            match event.await {
                Event::Ended(ended) => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, %error, "connection ended");
                    }
                    return;
                }
                Event::Abuse => {
                    tracing::debug!(%peer, "requests are begun to be given up");
                    return;
                }
                Event::Time if last_word => return,
                Event::Time => match watch.look(patience) {
                    Some(next) if !streams.is_some_and(|streams| streams.are_stuck(patience)) => {
                        timer.as_mut().reset(next);
                    }
                    None if streams.is_some() && watch.is_idle() && !draining => {
                        // Told, so that a request that is on its way just now is sent again.
                        (draining, last_word) = (true, true);
                        wind_down(connection.as_mut());
                        timer.as_mut().reset(Instant::now() + FAREWELL_TIME);
                    }
                    _ => {
                        tracing::debug!(%peer, "connection timed out");
                        return;
                    }
                },
                Event::News(word) => {
                    if word.borrow().stop || word.has_changed().is_err() {
                        draining = true;
                        wind_down(connection.as_mut());
                    } else if (u64::from(peer.port()) + word.borrow().crowded)
                        .is_multiple_of(CROWDED_PART)
                        && watch.has_rested(settings.idle_crowded)
                    {
                        tracing::debug!(%peer, "an idle connection makes room");
                        return;
                    } else {
                        news.set(hear(word));
                    }
                }
            }
        }
    }
}

/// What a connection's task wakes up for.
enum Event {
    Ended(hyper::Result<()>),
    /// Its client only begins requests.
    Abuse,
    /// Its timer has fired.
    Time,
    /// The server is on its way down, or in need of room.
    News(watch::Receiver<Word>),
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::http::{Reply, Request, RequestId};

    /// Panics on `/panic`, before or after it has read the body; answers everything else.
    struct Brittle;

    impl Service for Brittle {
        fn now_ms(&self) -> u64 {
            0
        }

        async fn answer(&self, request: Request) -> Reply {
            if request.target.path() == "/panic" {
                tokio::task::yield_now().await;
                panic!("asked to");
            }
            Reply::whole(StatusCode::OK, "fine")
        }

        fn panicked(&self, _: RequestId, host: &str, _: &Method) -> Reply {
            Reply::whole(StatusCode::INTERNAL_SERVER_ERROR, format!("sorry {host}"))
        }

        fn refused(&self, _: RequestId, _: Refusal) -> Reply {
            Reply::empty(StatusCode::BAD_REQUEST)
        }
    }

    fn settings() -> FrontSettings {
        let second = Duration::from_secs(1);
        FrontSettings {
            connections_max: 4,
            idle: second * 60,
            head_read: second * 60,
            idle_crowded: second,
            request: second * 60,
            tempo: Tempo { stall: second * 60, window: second * 60, window_bytes: 1 },
            heads_bytes: 1 << 20,
            drain_bytes: 1 << 20,
            drain_time: second,
            buffer_bytes: 64 << 10,
        }
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_request_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let share = crate::config::Limits::default().share();
        let guests = Guests::new(share, Vec::new());
        let front =
            Front::open(listener, Arc::new(Brittle), settings(), Arc::default(), guests, None)
                .unwrap();
        let mut socket = TcpStream::connect(front.address()).await.unwrap();
        for (path, wanted) in [("/panic", "500"), ("/", "200"), ("/panic", "500"), ("/", "200")] {
            let request =
                format!("PUT {path} HTTP/1.1\r\nhost: here\r\ncontent-length: 3\r\n\r\nabc");
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            let end = if wanted == "500" { "sorry here" } else { "fine" };
            while !answer.ends_with(end) {
                let mut buffer = [0; 1024];
                let count = socket.read(&mut buffer).await.unwrap();
                assert!(count > 0, "closed after {answer}");
                answer.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            }
            assert!(answer.starts_with(&format!("HTTP/1.1 {wanted} ")), "{answer}");
            assert!(answer.contains("x-oss-request-id: "), "{answer}");
            assert!(answer.contains("connection: keep-alive"), "{answer}");
        }
        drop(socket);
        assert!(front.close(Duration::from_secs(5)).await);
    }
}
