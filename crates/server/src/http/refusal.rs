//! Answers to what never became a request: heads that the parser refuses, and connections for which there is no room.
//!
//! The parser answers with a status alone. It writes that answer by itself, so it is replaced on its way to the socket; this is safe
//! because nothing else can be on its way there: see [`super::connection`].

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, StatusCode, header};

use super::{
    exchange::{REQUEST_ID, Service},
    listener::FrontShared,
    reply::Reply,
    stamp::{RequestId, date_header},
};

/// Why there is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is no HTTP that this server understands.
    Malformed,
    /// The request target is longer than the parser takes.
    TargetTooLong,
    /// So are the headers, or there are too many.
    HeadersTooLarge,
    /// There are as many connections, or streams, as there may be, or the client's address has as many as it may have.
    Crowded,
}

impl Refusal {
    /// What the parser meant by a bare answer with this status line.
    pub(super) fn of_bare(answer: &[u8]) -> Refusal {
        match answer.get(9..12) {
            Some(b"414") => Refusal::TargetTooLong,
            Some(b"431") => Refusal::HeadersTooLarge,
            _ => Refusal::Malformed,
        }
    }
}

/// Counts of refusals by their reason.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    malformed: AtomicU64,
    crowded: AtomicU64,
}

impl Refusals {
    /// Heads that the parser refused.
    pub(crate) fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// Connections and streams for which there was no room.
    pub(crate) fn crowded(&self) -> u64 {
        self.crowded.load(Ordering::Relaxed)
    }
}

/// Gives the bytes of whole answers. Behind a trait so that a socket need not know the service.
pub(super) trait Refuses: Send + Sync {
    /// The answer, head and body, counted.
    fn refuse(&self, refusal: Refusal) -> Vec<u8>;
}

impl<S: Service> Refuses for FrontShared<S> {
    fn refuse(&self, refusal: Refusal) -> Vec<u8> {
        let seconds = self.service.now_ms() / 1000;
        let id = self.ids.next(seconds);
        let reply = self
            .refusal(id, refusal)
            .with(REQUEST_ID, id.header())
            .with(header::DATE, date_header(seconds))
            .with(header::SERVER, HeaderValue::from_static("Ossia"))
            .with(header::CONNECTION, HeaderValue::from_static("close"));
        tracing::debug!(request_id = %id, ?refusal, "refused");
        wire(reply)
    }
}

impl<S: Service> FrontShared<S> {
    /// The answer without the headers that every answer carries, counted.
    pub(super) fn refusal(&self, id: RequestId, refusal: Refusal) -> Reply {
        let refusals = &self.meters.refusals;
        let count = match refusal {
            Refusal::Crowded => &refusals.crowded,
            _ => &refusals.malformed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.service.refused(id, refusal)
    }
}

/// A whole answer as bytes.
fn wire(reply: Reply) -> Vec<u8> {
    let Reply { status, headers, .. } = &reply;
    let reason = StatusCode::canonical_reason(status).unwrap_or("Refused");
    let body = reply.whole_body();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}
