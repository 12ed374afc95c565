//! Requests by hand over one TCP connection, for what no client would send, and to see answers as they stand on the wire.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ossia_protocol::addressing::{Addressing, RequestTarget};
use ossia_protocol::auth::{self, HeaderList, RequestParts, Secret, Signer};
use ossia_protocol::query::Query;

use super::{KEY_ID, KEY_SECRET};

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    V1,
    V4,
    /// V4 with these headers signed beside those that always are.
    V4With(&'static [&'static str]),
    V1Url,
    V4Url,
    Not,
}

/// A request to be.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    /// Path and query as they go out.
    pub(crate) target: &'a str,
    /// Lines beside Host and those of the signature.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// Names that the server was given: base domains, and hosts bound to a bucket.
    pub(crate) domains: &'a [&'a str],
    pub(crate) cnames: &'a [(&'a str, &'a str)],
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: &'a str, host: &'a str, target: &'a str) -> Request<'a> {
        Request { method, host, target, headers: &[], domains: &[], cnames: &[] }
    }

    pub(crate) fn headers(self, headers: &'a [(&'a str, &'a str)]) -> Request<'a> {
        Request { headers, ..self }
    }

    /// The head of the request, signed, with the empty line behind it.
    pub(crate) fn head(&self, sign: Sign) -> String {
        let split = RequestTarget::split(self.target);
        let query = Query::parse(split.query.unwrap_or_default().as_bytes()).unwrap();
        let names = Addressing::new(self.domains, self.cnames.iter().copied());
        let target = names.resolve(Some(self.host), split.path);
        let mut lines: Vec<(String, String)> = vec![("host".to_owned(), self.host.to_owned())];
        lines.extend(self.headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        let headers: HeaderList = lines.iter().map(|(name, value)| (name, value)).collect();
        let parts =
            RequestParts { method: self.method, target: &target, query: &query, headers: &headers };
        let secret = Secret::new(KEY_SECRET);
        let signer = Signer::new(KEY_ID, &secret, "cn-hangzhou");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        let mut query_sent = split.query.map(str::to_owned);
        match sign {
            Sign::V1 => add(&mut lines, auth::sign_v1_header(&parts, &signer, now)),
            Sign::V4 => add(&mut lines, auth::sign_v4_header(&parts, &signer, &[], now)),
            Sign::V4With(also) => add(&mut lines, auth::sign_v4_header(&parts, &signer, also, now)),
            Sign::V1Url => query_sent = Some(auth::presign_v1(&parts, &signer, now + 60).to_wire()),
            Sign::V4Url => {
                query_sent = Some(auth::presign_v4(&parts, &signer, &[], now, 60).to_wire());
            }
            Sign::Not => {}
        }
        let mut text = format!("{} {}", self.method, split.path);
        if let Some(query) = query_sent {
            text.push('?');
            text.push_str(&query);
        }
        text.push_str(" HTTP/1.1\r\n");
        for (name, value) in lines {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text + "\r\n"
    }
}

fn add(lines: &mut Vec<(String, String)>, signed: Vec<(&'static str, String)>) {
    lines.extend(signed.into_iter().map(|(name, value)| (name.to_owned(), value)));
}

/// An answer as it stood on the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names as sent.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header; the name must be written as it was sent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(line, _)| line == name).map(|(_, value)| value.as_str())
    }
}

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Wire {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Wire { stream, buffer: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request with a body whose length it announces, and reads the answer.
    pub(crate) fn exchange(&mut self, request: &Request<'_>, sign: Sign, body: &[u8]) -> Answer {
        let length = body.len().to_string();
        let mut headers = request.headers.to_vec();
        if !matches!(request.method, "GET" | "HEAD") {
            headers.push(("content-length", &length));
        }
        let sized = Request { headers: &headers, ..*request };
        self.send(sized.head(sign));
        self.send(body);
        self.answer(request.method)
    }

    /// Reads the answer to a request of this method.
    pub(crate) fn answer(&mut self, method: &str) -> Answer {
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                break String::from_utf8(head).unwrap();
            }
            self.more();
        };
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: String::new() };
        if method != "HEAD" && status != 100 && status != 204 && status != 304 {
            let length = answer.header("content-length").expect("no answer here is chunked");
            let length: usize = length.parse().unwrap();
            while self.buffer.len() < length {
                self.more();
            }
            let body = self.buffer.drain(..length).collect();
            answer.body = String::from_utf8(body).unwrap();
        }
        answer
    }

    fn more(&mut self) {
        let mut piece = [0; 16 * 1024];
        let count = self.stream.read(&mut piece).unwrap();
        assert!(count > 0, "the server closed the connection");
        self.buffer.extend_from_slice(&piece[..count]);
    }
}
