//! Posts callbacks to application servers, and to nobody else.
//!
//! A client chooses where the server posts to, so every address is judged before it is connected to: private, link-local, loopback
//! and reserved ones are refused unless the operator allows them, and IPv6 altogether unless allowed. A name is resolved once and
//! the addresses that were judged are the ones connected to: a name that means something else a moment later changes nothing. No
//! redirect is followed, no proxy asked. How many calls are under way, how long each takes and how much it answers is bounded (I7).

use std::{
    future::{Ready, ready},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, Uri, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use ossia_protocol::{
    callback::{Callback, CallbackUrl},
    network::Network,
};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};
use tower_service::Service;

use crate::{
    config,
    http::{Admission, Own, Reserved},
};

/// Longest answer of an application server, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// What is read of its headers at most, in bytes.
const ANSWER_HEADER_BYTES_MAX: usize = 64 << 10;
/// Names that are being resolved at once: each takes a thread for as long as the resolver likes.
const LOOKUPS_MAX: usize = 16;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Posts callbacks.
#[derive(Debug)]
pub(crate) struct Callbacks {
    hosts: Vec<String>,
    networks: Vec<Network>,
    public: bool,
    timeout: Duration,
    room: Semaphore,
    lookups: Arc<Semaphore>,
}

/// A URL and the addresses that may be connected to for it.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    url: CallbackUrl,
    addresses: Arc<[SocketAddr]>,
}

/// Why a target is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// An address that must not be called.
    Forbidden,
    /// A name without an address.
    Unknown,
}

/// Why a callback failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failed {
    /// No connection, or it broke.
    Unreachable,
    /// It took too long, or there was no room for it.
    TooLong,
    /// Not 200.
    Status(u16),
    /// No `Content-Length`.
    NoLength,
    /// More than is taken.
    TooLarge,
    /// Not JSON.
    NotJson,
}

/// What is posted.
#[derive(Debug)]
pub(crate) struct Post {
    /// All headers but those of the connection.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: String,
}

impl Callbacks {
    pub(crate) fn new(set: &config::Callback) -> Callbacks {
        let (networks, hosts): (Vec<_>, Vec<_>) =
            set.allowed.iter().partition(|text| Network::parse(text).is_some());
        Callbacks {
            hosts: hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect(),
            networks: networks.into_iter().filter_map(|text| Network::parse(text)).collect(),
            public: set.public,
            timeout: Duration::from_millis(set.timeout_ms),
            room: Semaphore::new(set.at_once),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }

    /// Finds the addresses of every URL. One that must not be called refuses all; one that has no address is left out as long as
    /// there is another.
    pub(crate) async fn judge(&self, callback: &Callback) -> Result<Vec<Judged>, Refused> {
        let mut judged = Vec::new();
        for url in &callback.urls {
            match self.addresses(url).await {
                Ok(addresses) => judged.push(Judged { url: url.clone(), addresses }),
                Err(Refused::Forbidden) => return Err(Refused::Forbidden),
                Err(Refused::Unknown) => {}
            }
        }
        if judged.is_empty() { Err(Refused::Unknown) } else { Ok(judged) }
    }

    async fn addresses(&self, url: &CallbackUrl) -> Result<Arc<[SocketAddr]>, Refused> {
        let port = url.port_or_default();
        let found: Vec<SocketAddr> = match url.host.parse::<Ipv4Addr>() {
            Ok(address) => vec![(address, port).into()],
            Err(_) => self.lookup(&url.host, port).await.ok_or(Refused::Unknown)?,
        };
        if found.is_empty() {
            return Err(Refused::Unknown);
        }
        // A name that the operator trusts may mean whatever it means.
        if self.hosts.contains(&url.host) {
            return Ok(found.into());
        }
        let (good, bad): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|address| self.allows(address.ip()));
        // A name of good and bad addresses is one that was made to slip through.
        if bad.iter().any(SocketAddr::is_ipv4) || good.is_empty() {
            return Err(Refused::Forbidden);
        }
        Ok(good.into())
    }

    /// In a task of its own: a resolver that hangs keeps its place, and holds up no request for longer than its time.
    async fn lookup(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let (lookups, host) = (Arc::clone(&self.lookups), host.to_owned());
        let looked = async move {
            let place = lookups.acquire_owned().await.ok()?;
            let task = tokio::spawn(async move {
                let found = tokio::net::lookup_host((host, port)).await;
                drop(place);
                found.map(|found| found.take(ADDRESSES_MAX).collect()).ok()
            });
            task.await.ok()?
        };
        tokio::time::timeout(self.timeout, looked).await.ok()?
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.holds(address))
            || (self.public && matches!(address, IpAddr::V4(v4) if is_public(v4)))
    }

    /// Posts to one target and gives its answer with the memory set aside for it.
    pub(crate) async fn call(
        &self,
        target: &Judged,
        post: &Post,
        memory: (&Admission, Own<'_>),
    ) -> Result<(Bytes, Reserved), Failed> {
        let until = Instant::now() + self.timeout;
        let exchange = async {
            let _place = self.room.acquire().await.map_err(|_| Failed::TooLong)?;
            exchange(target, post, memory).await
        };
        tokio::time::timeout_at(until, exchange).await.unwrap_or(Err(Failed::TooLong))
    }
}

/// Whether an address is nobody's own.
fn is_public(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        // This network, and everything reserved with the broadcast address.
        || a == 0
        || a >= 240
        // Shared by carriers; one cloud has its metadata service there.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

/// Answers every name with the addresses that were judged.
#[derive(Debug, Clone)]
struct Fixed(Arc<[SocketAddr]>);

impl Service<Name> for Fixed {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(Vec::from(&self.0[..]).into_iter()))
    }
}

async fn exchange(
    target: &Judged,
    post: &Post,
    (memory, own): (&Admission, Own<'_>),
) -> Result<(Bytes, Reserved), Failed> {
    let url = &target.url;
    let scheme = if url.https { "https" } else { "http" };
    let unreachable = |_| Failed::Unreachable;
    let whole = format!("{scheme}://{}:{}/", url.host, url.port_or_default());
    let whole: Uri = whole.parse().map_err(|_| Failed::Unreachable)?;
    let mut http = HttpConnector::new_with_resolver(Fixed(Arc::clone(&target.addresses)));
    http.enforce_http(false);
    http.set_nodelay(true);
    let mut connector = HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    std::future::poll_fn(|cx| connector.poll_ready(cx)).await.map_err(|_| Failed::Unreachable)?;
    let stream = connector.call(whole).await.map_err(|_| Failed::Unreachable)?;
    let mut request = http::Request::new(post.body.clone());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = url.path.parse().map_err(|_| Failed::Unreachable)?;
    *request.headers_mut() = post.headers.clone();
    let host = url.authority().parse().map_err(|_| Failed::Unreachable)?;
    request.headers_mut().entry(header::HOST).or_insert(host);
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(ANSWER_HEADER_BYTES_MAX)
        .handshake(stream)
        .await
        .map_err(unreachable)?;
    // Ends with this exchange.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let answer = sender.send_request(request).await.map_err(unreachable)?;
    if answer.status() != StatusCode::OK {
        return Err(Failed::Status(answer.status().as_u16()));
    }
    let length = answer.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let length = length.ok_or(Failed::NoLength)?;
    if length > ANSWER_BYTES_MAX {
        return Err(Failed::TooLarge);
    }
    let limit = usize::try_from(length).unwrap_or(usize::MAX);
    let reserved = memory.reserve_whole(Some(length), limit, own).await.ok_or(Failed::TooLong)?;
    let bytes = collect(answer.into_body(), limit).await?;
    // The service takes JSON alone, and one client parses it.
    if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err() {
        return Err(Failed::NotJson);
    }
    Ok((bytes, reserved))
}

async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, Failed> {
    let mut whole = BytesMut::with_capacity(limit);
    while let Some(frame) =
        std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await
    {
        let Ok(data) = frame.map_err(|_| Failed::Unreachable)?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(Failed::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callbacks(allowed: &[&str], public: bool) -> Callbacks {
        let allowed = allowed.iter().map(|text| (*text).to_owned()).collect();
        Callbacks::new(&config::Callback { allowed, public, ..config::Callback::default() })
    }

    async fn judge(callbacks: &Callbacks, url: &str) -> Result<usize, Refused> {
        use base64::Engine as _;
        let json = format!(r#"{{"callbackUrl":"{url}","callbackBody":"a"}}"#);
        let text = base64::engine::general_purpose::STANDARD.encode(json);
        let callback = Callback::parse(&text, None).unwrap();
        callbacks.judge(&callback).await.map(|judged| judged[0].addresses.len())
    }

    #[tokio::test]
    async fn only_public_addresses_are_called_unless_others_are_allowed() {
        let plain = callbacks(&[], true);
        for host in [
            "127.0.0.1",
            "127.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "240.0.0.1",
            "localhost",
            "127.1",
            "2130706433",
            "8.8.8.8;10.0.0.1",
        ] {
            assert_eq!(judge(&plain, host).await, Err(Refused::Forbidden), "{host}");
        }
        assert_eq!(judge(&plain, "8.8.8.8").await, Ok(1));
        assert_eq!(judge(&plain, "https://100.128.0.1:8443/p").await, Ok(1));
        let some = callbacks(&["10.1.0.0/16", "LocalHost"], false);
        assert_eq!(judge(&some, "10.1.2.3").await, Ok(1));
        assert_eq!(judge(&some, "10.2.2.3").await, Err(Refused::Forbidden));
        assert_eq!(judge(&some, "8.8.8.8").await, Err(Refused::Forbidden));
        assert!(judge(&some, "localhost").await.is_ok());
        // The name is allowed, not whoever else has its address.
        assert_eq!(judge(&some, "127.0.0.1").await, Err(Refused::Forbidden));
    }
}
