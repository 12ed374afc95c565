//! The front door: sockets, HTTP/1.1, HTTP/2 over TLS, limits and time-outs.
//!
//! Owns connections and their bounds, request ids, the headers that every answer carries, request bodies as streams, and what
//! becomes of a body that nobody wanted. It must not know OSS's operations, callers or objects: it hands a [`Request`] to a
//! [`Service`] and sends the [`Reply`].
//!
//! Rules kept here:
//! - Every request gets an answer with a request id, also one whose handler panicked, one that the parser refuses, and one for
//!   which there is no room.
//! - A handler never holds a whole body: chunks are passed on one at a time, and the next is read from the socket when the one
//!   before has been taken (I7).
//! - A refused body is answered at once and then drained within bounds, so that the client reads the answer and a connection that
//!   is kept alive starts its next request where it should.
//! - Handlers run to their end even when the client has closed its sending half; what they then write may fail. Those of HTTP/2 do
//!   not outlive their connection or a reset of their stream, which is what HTTP/1.1's do not outlive either.

mod admission;
mod connection;
mod crowd;
mod exchange;
mod guests;
mod intake;
mod listener;
mod pace;
mod refusal;
mod reply;
mod stamp;
mod streams;
mod tls;

pub(crate) use admission::{Admission, Own, Reserved};
pub(crate) use crowd::Crowd;
pub(crate) use exchange::{Request, Service};
pub(crate) use guests::{Guests, Requests, Share};
pub(crate) use intake::{BodyFault, Framing, Held, Tempo, UploadStream};
pub(crate) use listener::{Front, FrontSettings};
pub(crate) use pace::Pace;
pub(crate) use refusal::{Refusal, Refusals};
pub(crate) use reply::{Cut, Reply};
pub(crate) use stamp::RequestId;
pub(crate) use tls::Tls;
pub use tls::TlsError;
