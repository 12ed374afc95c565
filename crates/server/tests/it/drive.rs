//! A server in this process and a client that writes requests byte by byte.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ossia_keys::MasterKeys;
use ossia_objects::{Clock, ManualClock, Objects};
use ossia_protocol::{
    addressing::{Addressing, RequestTarget},
    auth::{HeaderList, RequestParts, Secret, Signer, sign_v1_header, sign_v4_header},
    error::parse_error_xml,
    query::Query,
};
use ossia_ram::Ram;
use ossia_server::{
    Server, StartError, config::Config, identity::Identity, identity_limits, object_settings,
};
use ossia_store::{MemoryOptions, MemoryStore, Store};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The server's time in every test, 2026-01-15T08:30:45Z, unless a test moves the clock.
pub const NOW: u64 = 1_768_465_845;

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const KEY_ID: &str = "ossia";
pub const KEY_SECRET: &str = "ossia-secret";

/// A server with its clock.
pub struct Fixture {
    pub address: SocketAddr,
    pub clock: Arc<ManualClock>,
    pub config: Config,
    server: Option<Server>,
}

impl Fixture {
    pub async fn start() -> Fixture {
        Fixture::with(|_| {}).await
    }

    /// A server with other settings.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Fixture {
        Fixture::open(change).await.unwrap()
    }

    /// Why a server with these settings does not start.
    pub async fn refused(change: impl FnOnce(&mut Config)) -> String {
        match Fixture::open(change).await {
            Ok(_) => panic!("it has started"),
            Err(error) => error.to_string(),
        }
    }

    async fn open(change: impl FnOnce(&mut Config)) -> Result<Fixture, StartError> {
        let mut config =
            Config { listen: "127.0.0.1:0".parse().unwrap(), memory: true, ..Config::default() };
        change(&mut config);
        let config = config.checked().unwrap();
        let clock = Arc::new(ManualClock::new(NOW * 1000));
        let store = Arc::new(MemoryStore::new(MemoryOptions::default()));
        let time: Arc<dyn Clock> = clock.clone();
        let keys = Arc::new(MasterKeys::ephemeral().unwrap());
        let settings = object_settings(&config);
        let kept: Arc<dyn Store> = store;
        let objects =
            Objects::open_with(Arc::clone(&kept), Arc::clone(&time), settings, Arc::clone(&keys));
        let objects = objects.await.unwrap();
        let identity = Identity::in_memory(None, "");
        let limits = identity_limits(&config);
        let ram = Ram::open(kept, keys, &identity.account, limits).await.unwrap();
        let server = Server::start(config.clone(), &identity, objects, ram, time, None).await?;
        Ok(Fixture { address: server.address(), clock, config, server: Some(server) })
    }

    /// A server with one bucket named `bkt`.
    pub async fn with_bucket() -> Fixture {
        let fixture = Fixture::start().await;
        fixture.make_bucket("bkt").await;
        fixture
    }

    pub async fn make_bucket(&self, name: &str) {
        self.call(put(&format!("/{name}/"))).await.expect(200);
    }

    /// Where it tells its metrics.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.server.as_ref().unwrap().metrics_address()
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// Sends one signed request on a connection of its own and reads the answer.
    pub async fn call(&self, call: Call) -> Response {
        let mut connection = self.connect().await;
        connection.call(self, call).await
    }

    /// Has it read certificate and key again.
    pub async fn reload(&self) {
        self.server.as_ref().unwrap().reload().await;
    }

    /// Stops the server; says whether every request finished.
    pub async fn stop(mut self) -> bool {
        self.server.take().unwrap().shutdown().await
    }
}

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    V1,
    V4,
    No,
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: &'static str,
    pub target: String,
    pub host: Option<String>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Option<Vec<u8>>,
    pub chunked: bool,
    pub sign: Sign,
    pub key: (String, String),
}

pub fn call(method: &'static str, target: &str) -> Call {
    Call {
        method,
        target: target.to_owned(),
        host: None,
        headers: Vec::new(),
        body: None,
        chunked: false,
        sign: Sign::V1,
        key: (KEY_ID.to_owned(), KEY_SECRET.to_owned()),
    }
}

pub fn get(target: &str) -> Call {
    call("GET", target)
}

pub fn head(target: &str) -> Call {
    call("HEAD", target)
}

pub fn delete(target: &str) -> Call {
    call("DELETE", target)
}

pub fn put(target: &str) -> Call {
    call("PUT", target).body("")
}

pub fn post(target: &str) -> Call {
    call("POST", target).body("")
}

pub fn append(target: &str, position: u64, body: impl AsRef<[u8]>) -> Call {
    post(&format!("{target}?append&position={position}")).body(body)
}

impl Call {
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Call {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    /// Neither length nor chunks.
    pub fn no_body(mut self) -> Call {
        self.body = None;
        self
    }

    pub fn chunked(mut self) -> Call {
        self.chunked = true;
        self
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Call {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn host(mut self, host: impl Into<String>) -> Call {
        self.host = Some(host.into());
        self
    }

    pub fn sign(mut self, sign: Sign) -> Call {
        self.sign = sign;
        self
    }

    pub fn anonymous(self) -> Call {
        self.sign(Sign::No)
    }

    pub fn key(mut self, id: &str, secret: &str) -> Call {
        self.key = (id.to_owned(), secret.to_owned());
        self
    }

    /// The head as bytes, signed, up to and including the empty line.
    pub fn head_bytes(&self, fixture: &Fixture) -> Vec<u8> {
        let host = self.host.clone().unwrap_or_else(|| fixture.host());
        let mut headers = HeaderList::new();
        headers.push("host", &host);
        for (name, value) in &self.headers {
            headers.push(name, value);
        }
        match &self.body {
            Some(_) if self.chunked => headers.push("transfer-encoding", "chunked"),
            Some(body) if !self.headers.iter().any(|(name, _)| name == "content-length") => {
                headers.push("content-length", body.len().to_string());
            }
            _ => {}
        }
        for (name, value) in self.signature(fixture, &host, &headers) {
            headers.push(name, value);
        }
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in headers.iter() {
            bytes.extend(name.as_bytes());
            bytes.extend(b": ");
            bytes.extend(value);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes
    }

    fn signature(
        &self,
        fixture: &Fixture,
        host: &str,
        headers: &HeaderList,
    ) -> Vec<(&'static str, String)> {
        let secret = Secret::new(&self.key.1);
        let signer = Signer::new(&self.key.0, &secret, "cn-hangzhou");
        let (target, query) = parsed(fixture, host, &self.target);
        let request = RequestParts { method: self.method, target: &target, query: &query, headers };
        let now = i64::try_from(fixture.clock.now_ms() / 1000).unwrap();
        match self.sign {
            Sign::V1 => sign_v1_header(&request, &signer, now),
            Sign::V4 => sign_v4_header(&request, &signer, &[], now),
            Sign::No => Vec::new(),
        }
    }

    /// The body as it goes over the wire.
    pub fn body_bytes(&self) -> Vec<u8> {
        let body = self.body.clone().unwrap_or_default();
        if !self.chunked {
            return body;
        }
        let mut wire = Vec::new();
        for chunk in body.chunks(7) {
            wire.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
        }
        wire.extend(b"0\r\n\r\n");
        wire
    }
}

/// Target and query as the server will see them.
pub fn parsed(
    fixture: &Fixture,
    host: &str,
    target: &str,
) -> (ossia_protocol::addressing::Target, Query) {
    let addressing = Addressing::new(
        fixture.config.domain.iter().map(String::as_str),
        fixture.config.cname.iter().map(|cname| cname.split_once('=').unwrap()),
    );
    let parts = RequestTarget::split(target);
    let query = Query::parse(parts.query.unwrap_or_default().as_bytes()).unwrap();
    (addressing.resolve(Some(host), parts.path), query)
}

/// One connection.
pub struct Connection {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream, read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends a whole request and reads the answer. The answer may come, and the connection go, before all is sent.
    pub async fn call(&mut self, fixture: &Fixture, call: Call) -> Response {
        let mut bytes = call.head_bytes(fixture);
        bytes.extend(call.body_bytes());
        let _ = self.stream.write_all(&bytes).await;
        self.response(call.method == "HEAD").await
    }

    /// Reads one answer, interim ones too.
    pub async fn response(&mut self, to_head: bool) -> Response {
        tokio::time::timeout(PATIENCE, self.read_response(to_head)).await.expect("no answer")
    }

    async fn read_response(&mut self, to_head: bool) -> Response {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more().await > 0, "closed before an answer: {:?}", self.text());
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().unwrap();
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                (name.to_owned(), value.trim().to_owned())
            })
            .collect();
        let mut response = Response { status, headers, body: Vec::new() };
        let bodiless = to_head || status == 304 || status == 204 || status < 200;
        let length: usize = match response.header("content-length") {
            Some(length) if !bodiless => length.parse().unwrap(),
            _ => 0,
        };
        while self.read.len() < length {
            if self.more().await == 0 {
                panic!("closed within a body: {} of {length}", self.read.len());
            }
        }
        response.body = self.read.drain(..length).collect();
        response
    }

    async fn more(&mut self) -> usize {
        let mut buffer = vec![0; 64 << 10];
        match self.stream.read(&mut buffer).await {
            Ok(count) => {
                self.read.extend(buffer.iter().take(count));
                count
            }
            Err(_) => 0,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Waits until the server has closed; gives what came before that.
    pub async fn until_closed(&mut self) -> Vec<u8> {
        tokio::time::timeout(PATIENCE, async {
            while self.more().await > 0 {}
            std::mem::take(&mut self.read)
        })
        .await
        .expect("the connection is still open")
    }

    /// Closes the sending half.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names exactly as sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn must(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Response {
        assert_eq!(
            self.status,
            status,
            "{:?} {}",
            self.headers,
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    /// The text of the first element of this name.
    pub fn element(&self, name: &str) -> Option<String> {
        element(&self.text(), name)
    }

    /// The texts of all elements of this name.
    pub fn elements(&self, name: &str) -> Vec<String> {
        elements(&self.text(), name)
    }

    /// An error with this status and code; checks what every error must have.
    #[track_caller]
    pub fn error(self, status: u16, code: &str) -> Response {
        assert_eq!(self.status, status, "{self:?} {}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.must("content-type"), "application/xml");
        let text = self.text();
        assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"), "{text}");
        assert!(!text.contains("xmlns"), "{text}");
        let error = parse_error_xml(&self.body).unwrap_or_else(|| panic!("no error XML: {text}"));
        assert_eq!(error.code, code, "{text}");
        assert_eq!(self.element("RequestId").as_deref(), self.header("x-oss-request-id"));
        assert!(!self.element("HostId").unwrap_or_default().is_empty(), "{text}");
        assert_eq!(self.element("EC").as_deref(), self.header("x-oss-ec"));
        self
    }
}

pub fn element(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).into_iter().next()
}

pub fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open)
        .skip(1)
        .map(|rest| rest.split(&close).next().unwrap_or_default().to_owned())
        .collect()
}
