//! One request and its answer: identity, timing, the headers of every answer, and panics that stay within their request.

use std::{
    any::Any,
    future::{Future, poll_fn},
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::Poll,
    time::Instant,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use hyper::body::Incoming;

use super::{
    connection::Watch,
    guests::Guest,
    intake::{After, Intake},
    listener::FrontShared,
    refusal::Refusal,
    reply::{Outgoing, Reply},
    stamp::{RequestId, date_header},
    streams::Place,
};

/// A request as it came, with its body unread.
#[derive(Debug)]
pub(crate) struct Request {
    /// The id that the answer carries.
    pub(crate) id: RequestId,
    /// The method.
    pub(crate) method: Method,
    /// The request target, path and query as they were on the wire.
    pub(crate) target: Uri,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) intake: Intake,
    /// Whose it is, by its address.
    pub(crate) guest: Arc<Guest>,
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    /// Of HTTP.
    pub(crate) version: Version,
    /// Whether it came by TLS to this server itself. What a proxy in front says about itself does not count.
    pub(crate) secure: bool,
    /// Under which key a form's file goes, once its fields have been read.
    pub(crate) posted: OnceLock<Vec<u8>>,
    /// What its handler wants to be dropped when the answer is known, and not before.
    pub(crate) kept: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Request {
    /// The key that a form has named.
    pub(crate) fn posted_key(&self) -> Option<&[u8]> {
        self.posted.get().map(Vec::as_slice)
    }
}

/// What answers requests.
pub(crate) trait Service: Send + Sync + 'static {
    /// Milliseconds since 1970 by the clock that `date` and request ids follow.
    fn now_ms(&self) -> u64;

    /// Answers one request.
    fn answer(&self, request: Request) -> impl Future<Output = Reply> + Send;

    /// The answer to a request whose handler panicked.
    fn panicked(&self, id: RequestId, host: &str, method: &Method) -> Reply;

    /// The answer to what never became a request. Its body is whole.
    fn refused(&self, id: RequestId, refusal: Refusal) -> Reply;
}

/// `x-oss-request-id`.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-oss-request-id");
/// `x-oss-server-time`.
const SERVER_TIME: HeaderName = HeaderName::from_static("x-oss-server-time");

/// Where a request comes from.
pub(super) struct Origin {
    pub(super) peer: SocketAddr,
    pub(super) guest: Arc<Guest>,
    pub(super) secure: bool,
    /// Of HTTP/2, its stream.
    pub(super) place: Option<Place>,
}

/// On an answer that nobody waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct GivenUp;

/// Runs one request of a connection.
pub(super) async fn exchange<S: Service>(
    shared: &FrontShared<S>,
    watch: &Arc<Watch>,
    origin: Origin,
    request: http::Request<Incoming>,
) -> http::Response<Outgoing> {
    let started = Instant::now();
    let Origin { peer, guest, secure, place } = origin;
    let welcome = place.as_ref().is_none_or(Place::is_welcome);
    let busy = watch.busy(place);
    let (mut parts, incoming) = request.into_parts();
    if parts.version == Version::HTTP_2 {
        in_the_old_way(&mut parts);
    }
    let id = shared.ids.next(shared.service.now_ms() / 1000);
    let terms = Terms::of(&parts);
    let host = parts.headers.get(header::HOST).cloned();
    let method = parts.method.clone();
    let intake = Intake::new(&parts.headers, incoming, shared.settings.tempo, watch);
    let leftover = intake.leftover();
    let request = Request {
        id,
        method: parts.method,
        target: parts.uri,
        headers: parts.headers,
        intake,
        guest,
        peer,
        version: parts.version,
        secure,
        posted: OnceLock::new(),
        kept: OnceLock::new(),
    };
    // Pinned where it is made: it is a few KiB long, and would be copied each time it is handed on.
    let answer = pin!(shared.service.answer(request));
    let answered = match welcome {
        true => unpanicked(answer).await,
        false => Some(shared.refusal(id, Refusal::Crowded)),
    };
    let mut reply = match answered {
        Some(reply) => reply,
        None => {
            tracing::error!(request_id = %id, %method, "a request handler panicked");
            let host = host.as_ref().map(HeaderValue::as_bytes).unwrap_or_default();
            shared.service.panicked(id, &String::from_utf8_lossy(host), &method)
        }
    };
    let after = leftover.settle(terms.continues, terms.bodiless, shared.settings.drain()).await;
    if terms.version == Version::HTTP_2 {
        reply.spell_out(&method);
    }
    let headers = &mut reply.headers;
    // A handler sets the header when its answer cannot be followed by another.
    let cut = headers.contains_key(header::CONNECTION);
    let closes = terms.closes || cut || after != After::Keep || shared.draining();
    headers.insert(REQUEST_ID, id.header());
    headers.insert(header::DATE, date_header(shared.service.now_ms() / 1000));
    headers.insert(header::SERVER, HeaderValue::from_static("Ossia"));
    let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    headers.insert(SERVER_TIME, HeaderValue::from(elapsed));
    if terms.version == Version::HTTP_2 {
        // Streams end by themselves, and connections are no matter of headers.
        headers.remove(header::CONNECTION);
    } else if closes {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    } else if terms.version == Version::HTTP_11 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
    }
    if reply.status == StatusCode::NOT_MODIFIED {
        headers.remove(header::CONTENT_LENGTH);
    }
    tracing::debug!(
        request_id = %id, %method, %peer, status = reply.status.as_u16(), elapsed_ms = elapsed,
        "answered"
    );
    match terms.version {
        Version::HTTP_2 => {
            let mut response = reply.into_pieces(busy, watch);
            if after == After::Broken {
                response.extensions_mut().insert(GivenUp);
            }
            response
        }
        _ => reply.into_response(busy),
    }
}

/// Host and target as HTTP/1.1 has them, which signatures and addressing are about.
fn in_the_old_way(parts: &mut http::request::Parts) {
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    if let Some(Ok(host)) = authority.map(HeaderValue::from_str) {
        // In the place of any other, as RFC 9113 8.3.1 has it.
        parts.headers.insert(header::HOST, host);
    }
    if let Some(target) = parts.uri.path_and_query().cloned() {
        parts.uri = Uri::from(target);
    }
}

/// What of the request decides about its connection.
struct Terms {
    version: Version,
    closes: bool,
    continues: bool,
    bodiless: bool,
}

impl Terms {
    fn of(parts: &http::request::Parts) -> Terms {
        let has = |name: HeaderName, token: &str| {
            parts.headers.get_all(name).iter().any(|value| {
                value
                    .as_bytes()
                    .split(|b| *b == b',')
                    .any(|piece| piece.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
            })
        };
        Terms {
            version: parts.version,
            closes: has(header::CONNECTION, "close"),
            // HTTP/2 clients send on all the same.
            continues: parts.version != Version::HTTP_2 && has(header::EXPECT, "100-continue"),
            bodiless: !matches!(parts.method, Method::PUT | Method::POST),
        }
    }
}

/// `None` when the future panicked: one request is lost, not its connection. Nothing of the future is used afterwards.
async fn unpanicked<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(None),
    })
    .await
}
