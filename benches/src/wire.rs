//! HTTP/1.1 as the load generator speaks it: one request at a time on a bare socket, with no work that is not needed.
//!
//! Client and server share the machine, so what the client spends the server lacks. Requests are written into one buffer and sent
//! with one call; of an answer only the few headers that workloads look at are read.

use std::{
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use ossia_protocol::{
    addressing::Target,
    auth::{self, HeaderList, RequestParts, Secret, Signer},
    query::Query,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::error::BenchError;

/// The access key of every server that a bench starts. It protects nothing: they listen on loopback and end with the bench.
pub(crate) const ACCESS_KEY_ID: &str = "ossia-bench";
/// Its secret.
pub(crate) const ACCESS_KEY_SECRET: &str = "ossia-bench-secret";
/// The bucket of every bench.
pub(crate) const BUCKET: &str = "bench";

const REGION: &str = "cn-hangzhou";
/// An answer's status line and headers.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// What one read may bring. Large, so that a long body takes few calls.
const BUFFER_BYTES: usize = 256 << 10;
/// Bodies up to here travel in one buffer with their head.
const JOINED_BYTES_MAX: usize = 64 << 10;
/// What is kept of the body of a refusal.
const REFUSAL_BYTES_MAX: usize = 600;

/// The signature version that requests carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signature {
    V1,
    V4,
    /// For nginx, which verifies none.
    Unsigned,
}

impl Signature {
    /// As tables print it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Signature::V1 => "V1",
            Signature::V4 => "V4",
            Signature::Unsigned => "none",
        }
    }
}

/// Writes signed requests for one server.
#[derive(Clone, Debug)]
pub(crate) struct Scribe {
    host: String,
    secret: Secret,
    signature: Signature,
}

/// What a request asks for. Keys of benches need no percent-encoding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a Target,
    /// The request target before the query.
    pub(crate) path: &'a str,
    /// The query without `?`, as it goes onto the wire.
    pub(crate) query: &'a str,
    /// `content-length`; `None` leaves the header out.
    pub(crate) length: Option<u64>,
    /// One more header, which is signed if its name asks for that.
    pub(crate) extra: Option<(&'a str, &'a str)>,
}

impl Scribe {
    /// For the server at `address`.
    pub(crate) fn new(address: SocketAddr, signature: Signature) -> Scribe {
        Scribe { host: address.to_string(), secret: Secret::new(ACCESS_KEY_SECRET), signature }
    }

    /// Writes the request up to its body into `out`, replacing what is there.
    pub(crate) fn write(&self, out: &mut Vec<u8>, ask: Ask<'_>) -> Result<(), BenchError> {
        out.clear();
        let mut line = |parts: &[&str]| {
            parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
            out.extend_from_slice(b"\r\n");
        };
        let mark = if ask.query.is_empty() { "" } else { "?" };
        line(&[ask.method, " ", ask.path, mark, ask.query, " HTTP/1.1"]);
        line(&["host: ", &self.host]);
        if let Some(length) = ask.length {
            line(&["content-length: ", &length.to_string()]);
        }
        if let Some((name, value)) = ask.extra {
            line(&[name, ": ", value]);
        }
        if self.signature == Signature::Unsigned {
            line(&[]);
            return Ok(());
        }
        let query = Query::parse(ask.query.as_bytes())
            .map_err(|error| BenchError::answer(format!("the query cannot be signed: {error}")))?;
        // Host and length are not signed by these schemes unless listed.
        let headers: HeaderList = ask.extra.into_iter().collect();
        let parts = RequestParts {
            method: ask.method,
            target: ask.target,
            query: &query,
            headers: &headers,
        };
        let signer = Signer::new(ACCESS_KEY_ID, &self.secret, REGION);
        let now = unix_seconds();
        let lines = match self.signature {
            Signature::V1 | Signature::Unsigned => auth::sign_v1_header(&parts, &signer, now),
            Signature::V4 => auth::sign_v4_header(&parts, &signer, &[], now),
        };
        for (name, value) in &lines {
            line(&[name, ": ", value]);
        }
        line(&[]);
        Ok(())
    }
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// What workloads look at of an answer's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) length: u64,
    pub(crate) next_position: Option<u64>,
    pub(crate) crc64: Option<u64>,
}

/// Reads a head that is whole, from its first byte to its empty line.
fn parse_head(head: &[u8]) -> Result<Head, BenchError> {
    let text = std::str::from_utf8(head).map_err(|_| BenchError::answer("a head is no UTF-8"))?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| BenchError::answer("no HTTP/1.1 status line"))?;
    let mut parsed = Head { status, ..Head::default() };
    let mut length = None;
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) =
            line.split_once(':').ok_or_else(|| BenchError::answer("a header without a colon"))?;
        let number = || value.trim().parse::<u64>().ok();
        match name.len() {
            14 if name.eq_ignore_ascii_case("content-length") => length = number(),
            26 if name.eq_ignore_ascii_case("x-oss-next-append-position") => {
                parsed.next_position = number();
            }
            20 if name.eq_ignore_ascii_case("x-oss-hash-crc64ecma") => parsed.crc64 = number(),
            _ => {}
        }
    }
    parsed.length = match (length, status) {
        (Some(length), _) => length,
        (None, 204 | 304) => 0,
        (None, _) => return Err(BenchError::answer(format!("{status} without content-length"))),
    };
    Ok(parsed)
}

/// One keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// Scratch for a head with its body.
    joined: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Result<Connection, BenchError> {
        let stream = TcpStream::connect(address).await.map_err(BenchError::io("connect"))?;
        stream.set_nodelay(true).map_err(BenchError::io("TCP_NODELAY"))?;
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Ok(Connection { stream, buffer, joined: Vec::new() })
    }

    /// Sends a request and reads its answer; `sink` gets the body of a 2xx in pieces. Anything but a 2xx is an error.
    pub(crate) async fn exchange(
        &mut self,
        head: &[u8],
        body: &[u8],
        sink: impl FnMut(&[u8]),
    ) -> Result<Head, BenchError> {
        self.send(head, body).await?;
        self.receive(sink).await
    }

    /// Sends the head, with the first piece of the body or all of it.
    pub(crate) async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<(), BenchError> {
        let failed = "send a request";
        if body.is_empty() {
            return self.stream.write_all(head).await.map_err(BenchError::io(failed));
        }
        if body.len() <= JOINED_BYTES_MAX {
            self.joined.clear();
            self.joined.extend_from_slice(head);
            self.joined.extend_from_slice(body);
            return self.stream.write_all(&self.joined).await.map_err(BenchError::io(failed));
        }
        self.stream.write_all(head).await.map_err(BenchError::io(failed))?;
        self.send_more(body).await
    }

    /// Sends a further piece of a body.
    pub(crate) async fn send_more(&mut self, piece: &[u8]) -> Result<(), BenchError> {
        self.stream.write_all(piece).await.map_err(BenchError::io("send a body"))
    }

    /// Reads the answer to the request that was sent.
    pub(crate) async fn receive(
        &mut self,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<Head, BenchError> {
        let mut filled = 0;
        let (head, body_start) = loop {
            let count = self.read(filled).await?;
            // The end of the head may straddle two reads.
            let from = filled.saturating_sub(3);
            filled += count;
            if let Some(end) = end_of_head(&self.buffer[from..filled]) {
                break (parse_head(&self.buffer[..from + end])?, from + end);
            }
            if filled > HEAD_BYTES_MAX {
                return Err(BenchError::answer("an endless head"));
            }
        };
        let first = &self.buffer[body_start..filled];
        let mut left = head
            .length
            .checked_sub(first.len() as u64)
            .ok_or_else(|| BenchError::answer("more bytes than announced"))?;
        if !(200..300).contains(&head.status) {
            let mut text = first.to_vec();
            self.drain(left, |piece| text.extend_from_slice(piece)).await?;
            text.truncate(REFUSAL_BYTES_MAX);
            let text = String::from_utf8_lossy(&text).into_owned();
            return Err(BenchError::Answer { status: head.status, text });
        }
        if !first.is_empty() {
            sink(first);
        }
        if left > 0 {
            self.drain(left, sink).await?;
            left = 0;
        }
        debug_assert_eq!(left, 0, "the connection is clean for the next request");
        Ok(head)
    }

    async fn drain(&mut self, left: u64, mut sink: impl FnMut(&[u8])) -> Result<(), BenchError> {
        let mut left = left;
        while left > 0 {
            let count = self.read(0).await?;
            left = left
                .checked_sub(count as u64)
                .ok_or_else(|| BenchError::answer("more bytes than announced"))?;
            sink(&self.buffer[..count]);
        }
        Ok(())
    }

    async fn read(&mut self, filled: usize) -> Result<usize, BenchError> {
        let count = self
            .stream
            .read(&mut self.buffer[filled..])
            .await
            .map_err(BenchError::io("receive an answer"))?;
        if count == 0 {
            return Err(BenchError::answer("the server closed the connection"));
        }
        Ok(count)
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|start| start + 4)
}

#[cfg(test)]
mod tests {
    use ossia_protocol::auth::{Lookup, Signed, VerifyOptions};

    use super::*;

    fn written(signature: Signature) -> String {
        let scribe = Scribe::new("127.0.0.1:9000".parse().unwrap(), signature);
        let mut out = b"leftover".to_vec();
        let target = Target::new(Some(BUCKET), Some("a/1"));
        let ask = Ask {
            method: "POST",
            target: &target,
            path: "/bench/a/1",
            query: "append&position=7",
            length: Some(100),
            extra: None,
        };
        scribe.write(&mut out, ask).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn requests_verify_as_a_server_verifies_them() {
        for signature in [Signature::V1, Signature::V4] {
            let text = written(signature);
            let mut lines = text.split("\r\n");
            assert_eq!(lines.next(), Some("POST /bench/a/1?append&position=7 HTTP/1.1"));
            let headers: HeaderList = lines.filter_map(|line| line.split_once(": ")).collect();
            let target = Target::new(Some(BUCKET), Some("a/1"));
            let query = Query::parse(b"append&position=7").unwrap();
            let request =
                RequestParts { method: "POST", target: &target, query: &query, headers: &headers };
            let Signed::Claimed(claim) = auth::detect(&request).unwrap() else {
                panic!("unsigned")
            };
            let secret = Secret::new(ACCESS_KEY_SECRET);
            let lookup = Lookup::Found { secret: &secret, signing_key: None };
            let options = VerifyOptions::default();
            let verified =
                auth::verify(&claim, &request, lookup, unix_seconds(), &options).unwrap();
            assert_eq!(verified.leniency, None);
        }
    }

    #[test]
    fn an_unsigned_request_is_the_bare_minimum() {
        assert_eq!(
            written(Signature::Unsigned),
            "POST /bench/a/1?append&position=7 HTTP/1.1\r\nhost: 127.0.0.1:9000\r\ncontent-length: 100\r\n\r\n"
        );
    }

    #[test]
    fn a_head_gives_the_few_headers_that_matter() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx-oss-next-append-position: 42\r\n\
            X-Oss-Hash-Crc64ecma: 18446744073709551615\r\nx-oss-request-id: 0\r\n\r\n";
        let wanted =
            Head { status: 200, length: 0, next_position: Some(42), crc64: Some(u64::MAX) };
        assert_eq!(parse_head(head).unwrap(), wanted);
        assert_eq!(parse_head(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().length, 0);
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(parse_head(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
    }

    #[test]
    fn an_answer_in_fragments_is_put_together_and_a_refusal_tells_why() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut request = [0; 64];
                let mut answer = async |pieces: &[&str]| {
                    assert_eq!(stream.read(&mut request).await.unwrap(), 6);
                    for piece in pieces {
                        stream.write_all(piece.as_bytes()).await.unwrap();
                        stream.flush().await.unwrap();
                        tokio::task::yield_now().await;
                    }
                };
                answer(&["HTTP/1.1 200 OK\r\ncontent-length: 6\r", "\n\r", "\nabc", "def"]).await;
                answer(&["HTTP/1.1 409 Conflict\r\ncontent-length: 4\r\n\r\n", "nope"]).await;
            };
            let client = async {
                let mut connection = Connection::open(address).await.unwrap();
                let mut body = Vec::new();
                let sink = |piece: &[u8]| body.extend_from_slice(piece);
                let head = connection.exchange(b"one", b"two", sink).await.unwrap();
                assert_eq!((head.status, body.as_slice()), (200, b"abcdef".as_slice()));
                match connection.exchange(b"three.", b"", |_| {}).await {
                    Err(BenchError::Answer { status, text }) => {
                        assert_eq!((status, text.as_str()), (409, "nope"));
                    }
                    other => panic!("{other:?}"),
                }
            };
            // A head that is never seen to end would be waited for for ever.
            let both = async { tokio::join!(server, client) };
            tokio::time::timeout(std::time::Duration::from_secs(20), both).await.unwrap();
        });
    }
}
