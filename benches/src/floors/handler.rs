//! The bare handler: the least that an HTTP server can do to take signed, durable appends.
//!
//! hyper on the same runtime as the server's, every signature verified with the same code, CRC-64 over the body, the record into a
//! [`GroupLog`], the same headers in the answer. It runs in a process of its own, as the server does, and ends when its standard
//! input closes, so that it does not outlive a bench that was killed.

use std::{
    convert::Infallible,
    io::Read,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use ossia_protocol::{
    addressing::{Addressing, RequestTarget},
    auth::{self, Headers, Lookup, RequestParts, Secret, Signed, VerifyOptions},
    crc64,
    query::Query,
    time,
};
use tokio::net::{TcpListener, TcpStream};

use super::log::GroupLog;
use crate::{
    error::BenchError,
    wire::{ACCESS_KEY_ID, ACCESS_KEY_SECRET, unix_seconds},
};

/// Answers the number of syncs, as text.
pub(crate) const SYNCS_PATH: &str = "/syncs";

struct Handler {
    log: GroupLog,
    secret: Secret,
    addressing: Addressing,
    options: VerifyOptions,
    requests: AtomicU64,
}

struct View<'a>(&'a HeaderMap);

impl Headers for View<'_> {
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        for (name, value) in self.0 {
            visit(name.as_str(), value.as_bytes());
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(HeaderValue::as_bytes)
    }
}

/// Listens on a free port, says so on standard output, and serves until standard input closes.
pub(crate) fn serve(folder: &Path, log_bytes: u64) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(BenchError::io("start the runtime"))?;
    let handler = Arc::new(Handler {
        log: GroupLog::create(&folder.join("log"), log_bytes)?,
        secret: Secret::new(ACCESS_KEY_SECRET),
        addressing: Addressing::default(),
        options: VerifyOptions::default(),
        requests: AtomicU64::new(0),
    });
    runtime.block_on(async {
        let listener =
            TcpListener::bind(("127.0.0.1", 0)).await.map_err(BenchError::io("listen"))?;
        let address = listener.local_addr().map_err(BenchError::io("listen"))?;
        println!("listening on http://{address}");
        tokio::spawn(accept(listener, handler));
        // Read on a thread of its own: this one may wait for ever.
        let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
        Ok(())
    })
}

async fn accept(listener: TcpListener, handler: Arc<Handler>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, Arc::clone(&handler)));
    }
}

async fn connection(stream: TcpStream, handler: Arc<Handler>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(handler.answer(request).await) }
    });
    // A client that goes away ends its connection, and nothing else.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn refusal(status: u16, why: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(why.into()));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}

impl Handler {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let begun = Instant::now();
        let raw = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let parts = RequestTarget::split(raw);
        if parts.path == SYNCS_PATH {
            return Response::new(Full::new(self.log.syncs().to_string().into()));
        }
        let Ok(query) = Query::parse(parts.query.unwrap_or_default().as_bytes()) else {
            return refusal(400, "query");
        };
        let position = query.get("position").and_then(|text| text.parse::<u64>().ok());
        let (Some(position), true) = (position, query.has("append")) else {
            return refusal(400, "only appends");
        };
        if let Err(why) = self.verify(&request, parts.path, &query) {
            return refusal(403, why);
        }
        let body = match whole(request.into_body()).await {
            Ok(body) => body,
            Err(error) => return refusal(400, error.to_string()),
        };
        let (length, crc64) = (body.len() as u64, crc64::checksum(&body));
        match self.log.append(crc64, body).await {
            Ok(()) => self.accepted(begun, position + length, crc64),
            Err(error) => refusal(500, error.to_string()),
        }
    }

    fn verify(&self, request: &Request<Incoming>, path: &str, query: &Query) -> Result<(), String> {
        let headers = request.headers();
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let target = self.addressing.resolve(host, path);
        let (method, headers) = (request.method().as_str(), View(headers));
        let parts = RequestParts { method, target: &target, query, headers: &headers };
        let claim = match auth::detect(&parts) {
            Ok(Signed::Claimed(claim)) if claim.access_key_id() == ACCESS_KEY_ID => claim,
            Ok(_) => return Err("unsigned, or by another key".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        let lookup = Lookup::Found { secret: &self.secret, signing_key: None };
        auth::verify(&claim, &parts, lookup, unix_seconds(), &self.options)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    fn accepted(&self, begun: Instant, next: u64, crc64: u64) -> Response<Full<Bytes>> {
        const REQUEST_ID: HeaderName = HeaderName::from_static("x-oss-request-id");
        const SERVER_TIME: HeaderName = HeaderName::from_static("x-oss-server-time");
        const NEXT: HeaderName = HeaderName::from_static("x-oss-next-append-position");
        const CRC64: HeaderName = HeaderName::from_static("x-oss-hash-crc64ecma");
        let now = unix_seconds();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let text = |text: String| HeaderValue::try_from(text).expect("digits and quotes are legal");
        let mut response = Response::new(Full::default());
        let headers = response.headers_mut();
        headers.insert(header::ETAG, text(format!("\"{number:032X}\"")));
        headers.insert(CRC64, HeaderValue::from(crc64));
        headers.insert(NEXT, HeaderValue::from(next));
        headers.insert(REQUEST_ID, text(format!("{now:08X}{number:016X}")));
        headers.insert(header::DATE, text(time::http_date(now)));
        headers.insert(header::SERVER, HeaderValue::from_static("floor"));
        let elapsed = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        headers.insert(SERVER_TIME, HeaderValue::from(elapsed));
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
        response
    }
}

/// The body in one piece, without a copy where it came in one.
async fn whole(mut body: Incoming) -> Result<Bytes, hyper::Error> {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        match &first {
            None => first = Some(piece),
            Some(_) => rest.extend_from_slice(&piece),
        }
    }
    let first = first.unwrap_or_default();
    if rest.is_empty() {
        return Ok(first);
    }
    let mut joined = BytesMut::with_capacity(first.len() + rest.len());
    joined.extend_from_slice(&first);
    joined.extend_from_slice(&rest);
    Ok(joined.freeze())
}
