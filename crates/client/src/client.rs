//! The client itself: its parts, and how it is built.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ossia_protocol::auth::Secret;

use crate::body::Outgoing;
use crate::config::{Addressing, Credentials, RetryPolicy, SignatureVersion, Timeouts};
use crate::endpoint::Endpoint;
use crate::error::InvalidInput;

/// Connections kept open and unused, to one host and port.
const IDLE_CONNECTIONS_MAX: usize = 512;

/// Header lines of an answer. An object's metadata alone, 8 KiB of it, can be more than the usual hundred.
const HEADERS_MAX: usize = 512;

/// Region of a signature where none is set: what a server expects that was not told otherwise.
const DEFAULT_REGION: &str = "cn-hangzhou";

/// A client of one service, for one identity.
///
/// Cheap to clone; all clones share connections and clock. It is `Send` and `Sync`, and its calls need a running tokio runtime
/// with I/O and time enabled.
///
/// ```
/// use ossia_client::{Client, Credentials, SignatureVersion};
///
/// # fn main() -> Result<(), ossia_client::InvalidInput> {
/// let client = Client::builder("http://127.0.0.1:9000")
///     .credentials(Credentials::new("key-id", "key-secret"))
///     .signature(SignatureVersion::V1)
///     .build()?;
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) endpoint: Endpoint,
    pub(crate) identity: Option<Identity>,
    pub(crate) region: String,
    pub(crate) signature: SignatureVersion,
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: RetryPolicy,
    pub(crate) user_agent: HeaderValue,
    pub(crate) http: HttpClient<HttpsConnector<HttpConnector>, Outgoing>,
    pub(crate) clock: Clock,
}

/// Whose requests these are.
pub(crate) struct Identity {
    pub(crate) access_key_id: String,
    pub(crate) secret: Secret,
    pub(crate) token: Option<String>,
}

/// This machine's clock, corrected by what a server said of its own.
#[derive(Default)]
pub(crate) struct Clock {
    offset_seconds: AtomicI64,
}

impl Clock {
    fn local() -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            // A clock before 1970 is wrong anyhow; the server's answer corrects it.
            Err(_) => 0,
        }
    }

    /// Unix seconds.
    pub(crate) fn now(&self) -> i64 {
        Clock::local().saturating_add(self.offset_seconds.load(Ordering::Relaxed))
    }

    /// Takes over the server's time.
    pub(crate) fn correct(&self, server_now: i64) {
        self.offset_seconds.store(server_now.saturating_sub(Clock::local()), Ordering::Relaxed);
    }
}

impl Client {
    /// Begins a client of the service at `endpoint`: `http://host[:port]` or `https://host[:port]`.
    pub fn builder(endpoint: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            endpoint: endpoint.into(),
            region: DEFAULT_REGION.to_owned(),
            credentials: None,
            signature: SignatureVersion::default(),
            addressing: Addressing::default(),
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
        }
    }

    /// Scheme, host and port of the service.
    pub fn endpoint(&self) -> String {
        self.inner.endpoint.display()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.inner.endpoint.display())
            .field("signature", &self.inner.signature)
            .finish_non_exhaustive()
    }
}

/// Settings of a [`Client`] to be; see the types for their meaning and defaults.
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    endpoint: String,
    region: String,
    credentials: Option<Credentials>,
    signature: SignatureVersion,
    addressing: Addressing,
    timeouts: Timeouts,
    retry: RetryPolicy,
}

impl ClientBuilder {
    /// Region named in V4 signatures, with or without `oss-` before it. Default `cn-hangzhou`.
    #[must_use]
    pub fn region(mut self, region: impl AsRef<str>) -> Self {
        let region = region.as_ref();
        self.region = region.strip_prefix("oss-").unwrap_or(region).to_owned();
        self
    }

    /// The key to sign with. Without one requests go out unsigned, as anybody's.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Signature version. Default V4.
    #[must_use]
    pub fn signature(mut self, version: SignatureVersion) -> Self {
        self.signature = version;
        self
    }

    /// Where the bucket's name goes.
    #[must_use]
    pub fn addressing(mut self, addressing: Addressing) -> Self {
        self.addressing = addressing;
        self
    }

    /// How long nothing may happen.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How often requests are tried again.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// The client. Nothing is connected yet.
    ///
    /// # Errors
    /// [`InvalidInput`] for an endpoint that is not one, and for credentials that no header can carry.
    pub fn build(self) -> Result<Client, InvalidInput> {
        let endpoint = Endpoint::parse(&self.endpoint, self.addressing)?;
        let identity = self.credentials.map(identity).transpose()?;
        if HeaderValue::try_from(&self.region).is_err() || self.region.contains(['/', ',']) {
            return Err(InvalidInput::Credentials { what: "region" });
        }
        let user_agent = concat!("ossia-client/", env!("CARGO_PKG_VERSION"));
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.timeouts.keep_alive)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .http1_max_headers(HEADERS_MAX)
            .build(connector(&self.timeouts));
        let inner = Inner {
            endpoint,
            identity,
            region: self.region,
            signature: self.signature,
            timeouts: self.timeouts,
            retry: self.retry,
            user_agent: HeaderValue::from_static(user_agent),
            http,
            clock: Clock::default(),
        };
        Ok(Client { inner: Arc::new(inner) })
    }
}

fn connector(timeouts: &Timeouts) -> HttpsConnector<HttpConnector> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    // An append is one small request that somebody waits for.
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(timeouts.connect));
    HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp)
}

/// Checks what will stand in headers once, so that signing cannot fail later.
fn identity(credentials: Credentials) -> Result<Identity, InvalidInput> {
    let Credentials { access_key_id, access_key_secret, security_token } = credentials;
    if access_key_id.is_empty()
        || access_key_id.contains(['/', ',', ':', ' '])
        || HeaderValue::try_from(&access_key_id).is_err()
    {
        return Err(InvalidInput::Credentials { what: "access key id" });
    }
    if access_key_secret.is_empty() {
        return Err(InvalidInput::Credentials { what: "access key secret" });
    }
    if security_token.as_ref().is_some_and(|token| HeaderValue::try_from(token).is_err()) {
        return Err(InvalidInput::Credentials { what: "security token" });
    }
    Ok(Identity { access_key_id, secret: Secret::new(access_key_secret), token: security_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_send_sync_and_clone() {
        fn holds<T: Send + Sync + Clone + 'static>() {}
        holds::<Client>();
    }

    #[test]
    fn calls_can_be_spawned() {
        fn can<F: Future + Send>(_: F) {}
        let client = Client::builder("http://a").build().unwrap();
        can(client.append_object(Default::default()));
        can(client.put_object(Default::default()));
        can(client.get_object(Default::default()));
        can(client.head_object("", ""));
        can(client.delete_object("", ""));
        can(client.copy_object(Default::default()));
        can(client.seal_object(Default::default()));
        can(client.list_objects_pages(Default::default()).next_page());
        can(client.create_bucket(Default::default()));
        can(client.delete_bucket(""));
        can(client.get_bucket_info(""));
        can(client.list_buckets(Default::default()));
    }

    #[test]
    fn a_region_loses_the_prefix_that_other_clients_want() {
        let build = |region: &str| Client::builder("http://a").region(region).build();
        assert_eq!(build("oss-cn-beijing").unwrap().inner.region, "cn-beijing");
        assert_eq!(build("cn-beijing").unwrap().inner.region, "cn-beijing");
        assert!(build("a/b").is_err());
    }

    #[test]
    fn credentials_that_no_header_can_carry_are_refused_at_once() {
        let build = |credentials| Client::builder("http://a").credentials(credentials).build();
        assert!(build(Credentials::new("id", "secret")).is_ok());
        for bad in [
            Credentials::new("", "secret"),
            Credentials::new("i\nd", "secret"),
            Credentials::new("i/d", "secret"),
            Credentials::new("id", ""),
            Credentials::new("id", "secret").with_security_token("a\r\nb: c"),
        ] {
            assert!(build(bad).is_err());
        }
    }

    #[test]
    fn a_corrected_clock_follows_the_server() {
        let clock = Clock::default();
        let before = clock.now();
        clock.correct(before + 100_000);
        assert!((99_999..=100_010).contains(&(clock.now() - before)));
    }
}
