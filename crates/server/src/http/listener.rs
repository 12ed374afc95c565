//! The accept loop: connections up to a number, and an orderly end.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use super::{
    connection::{Bell, Patience, Watch, Watched},
    exchange::{Service, exchange},
    intake::DrainLimits,
    stamp::RequestIds,
};
use crate::metrics::Meters;

/// The bounds of the front door. Sources of the values are the server's configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrontSettings {
    /// Connections at once; more wait in the kernel's queue.
    pub(crate) connections_max: usize,
    /// Between two requests of a connection.
    pub(crate) idle: Duration,
    /// From the first byte of a request's head to its end.
    pub(crate) head_read: Duration,
    /// Between two bytes of a request's body, and of an answer that the client is to take.
    pub(crate) body_stall: Duration,
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
    meters: Arc<Meters>,
    stop: watch::Receiver<bool>,
}

impl<S> FrontShared<S> {
    /// Whether the server is on its way down.
    pub(super) fn draining(&self) -> bool {
        *self.stop.borrow()
    }
}

/// A listening socket with its connections.
#[derive(Debug)]
pub(crate) struct Front {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<JoinSet<()>>,
}

impl Front {
    /// Starts to answer on `listener`.
    pub(crate) fn open<S: Service>(
        listener: TcpListener,
        service: Arc<S>,
        settings: FrontSettings,
        meters: Arc<Meters>,
    ) -> std::io::Result<Front> {
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(FrontShared {
            service,
            settings,
            ids: RequestIds::new(),
            meters,
            stop: stopped,
        });
        Ok(Front { address, stop, task: tokio::spawn(accept_all(listener, shared)) })
    }

    /// Where it listens, with the port that the system chose if none was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops to accept, lets requests under way finish within `grace`, then ends every connection. Says whether all finished.
    pub(crate) async fn close(self, grace: Duration) -> bool {
        self.stop.send_replace(true);
        let Ok(mut connections) = self.task.await else { return false };
        let finished =
            tokio::time::timeout(grace, async { while connections.join_next().await.is_some() {} })
                .await
                .is_ok();
        connections.shutdown().await;
        finished
    }
}

async fn accept_all<S: Service>(listener: TcpListener, shared: Arc<FrontShared<S>>) -> JoinSet<()> {
    let room = Arc::new(Semaphore::new(shared.settings.connections_max));
    let mut stop = shared.stop.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return connections,
            Some(_) = connections.join_next() => {}
            (socket, peer, permit) = accept_one(&listener, &room) => {
                connections.spawn(serve_one(socket, peer, permit, Arc::clone(&shared)));
            }
        }
    }
}

/// The next connection, when there is room for it. Safe to cancel.
async fn accept_one(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let permit = Arc::clone(room).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => return (socket, peer, permit),
            Err(error) => {
                // Out of descriptors or memory: the loop must neither spin nor end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_one<S: Service>(
    socket: TcpStream,
    peer: SocketAddr,
    _room: OwnedSemaphorePermit,
    shared: Arc<FrontShared<S>>,
) {
    let settings = shared.settings;
    let patience =
        Patience { idle: settings.idle, head: settings.head_read, stall: settings.body_stall };
    // Small answers must not wait for the client's acknowledgement of the one before.
    let _ = socket.set_nodelay(true);
    let _connected = shared.meters.connected();
    let watch = Watch::new();
    let socket = Watched::new(socket, Arc::clone(&watch), Arc::clone(&shared.meters));
    let io = TokioIo::new(socket);
    let service = {
        let (shared, watch) = (Arc::clone(&shared), Arc::clone(&watch));
        service_fn(move |request: hyper::Request<Incoming>| {
            let (shared, watch) = (Arc::clone(&shared), Arc::clone(&watch));
            async move {
                let response = exchange(&shared, &watch, peer, request).await;
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
    let mut connection = std::pin::pin!(connection);
    let timer = tokio::time::sleep_until(watch.look(&patience).unwrap_or_else(Instant::now));
    let mut timer = std::pin::pin!(timer);
    let mut stop = shared.stop.clone();
    let stopped = async move {
        // An error is the end, too: whoever could have said so is gone.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let mut stopped = std::pin::pin!(stopped);
    let mut draining = false;
    let mut bell: Option<Arc<Bell>> = None;
    loop {
        let event = poll_fn(|cx| {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Event::Ended(ended));
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
            } else if !draining && stopped.as_mut().poll(&mut beside).is_ready() {
                Event::Stop
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
            Event::Time => match watch.look(&patience) {
                Some(next) => timer.as_mut().reset(next),
                None => {
                    tracing::debug!(%peer, "connection timed out");
                    return;
                }
            },
            Event::Stop => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// What a connection's task wakes up for.
enum Event {
    Ended(hyper::Result<()>),
    /// Its timer has fired.
    Time,
    /// The server is on its way down.
    Stop,
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
    }

    fn settings() -> FrontSettings {
        let second = Duration::from_secs(1);
        FrontSettings {
            connections_max: 4,
            idle: second * 60,
            head_read: second * 60,
            body_stall: second * 60,
            drain_bytes: 1 << 20,
            drain_time: second,
            buffer_bytes: 64 << 10,
        }
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_request_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Front::open(listener, Arc::new(Brittle), settings(), Arc::default()).unwrap();
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
