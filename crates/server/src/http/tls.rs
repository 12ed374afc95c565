//! TLS: certificate and key from files, read again when these change, and a socket that may or may not have it.
//!
//! A new pair counts for connections that begin after it was read. One that cannot be used leaves the old one in its place, and is
//! told once: a server must not go dark because a renewal went wrong.

use std::{
    fmt, fs, io,
    io::IoSlice,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The longest time that a client may take to agree on keys, whatever a request's head may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The longest certificate file, chain and all, and the longest key file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What ALPN calls HTTP/2.
const HTTP2: &[u8] = b"h2";

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it should be. Never shows what it holds.
    #[error("{path}: {what}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// The bytes of both files.
#[derive(PartialEq, Eq)]
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// Certificate and key of a server.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    http2: bool,
    state: Mutex<State>,
}

struct State {
    /// What was tried last, whether or not it could be used.
    tried: Option<Pair>,
    config: Arc<ServerConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("cert", &self.cert).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads both files. With `http2` that is offered, and preferred.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn open(cert: &Path, key: &Path, http2: bool) -> Result<Tls, TlsError> {
        let pair = Pair::read(cert, key)?;
        let config = pair.config(cert, key, http2)?;
        let state = Mutex::new(State { tried: Some(pair), config });
        Ok(Tls { cert: cert.to_owned(), key: key.to_owned(), http2, state })
    }

    /// Reads the files again; tells the log what came of it, if they have changed. Blocks.
    pub(crate) fn reload(&self) {
        let read = Pair::read(&self.cert, &self.key);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, tried) = match read {
            Ok(pair) if state.tried.as_ref() == Some(&pair) => return,
            Ok(pair) => (pair.config(&self.cert, &self.key, self.http2), Some(pair)),
            // Told once, as what cannot be used is.
            Err(_) if state.tried.is_none() => return,
            Err(error) => (Err(error), None),
        };
        state.tried = tried;
        match told {
            Ok(config) => {
                state.config = config;
                tracing::info!(cert = %self.cert.display(), "certificate and key were read anew");
            }
            Err(error) => tracing::error!(
                %error,
                "the new certificate or key cannot be used; the old ones stay in use"
            ),
        }
    }

    /// Agrees on keys with a client. `None` when it does not, or takes too long.
    pub(super) async fn accept(&self, socket: TcpStream, patience: Duration) -> Option<Socket> {
        let config = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&state.config)
        };
        let agreed = TlsAcceptor::from(config).accept(socket);
        match timeout(patience.min(HANDSHAKE_MAX), agreed).await {
            Ok(Ok(stream)) => Some(Socket::Tls(Box::new(stream))),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no TLS connection");
                None
            }
            Err(_) => {
                tracing::debug!("no TLS connection in time");
                None
            }
        }
    }
}

impl Pair {
    fn read(cert: &Path, key: &Path) -> Result<Pair, TlsError> {
        let read = |path: &Path| {
            use io::Read as _;
            let wrap = |source| TlsError::File { path: path.to_owned(), source };
            let mut bytes = Vec::new();
            let file = fs::File::open(path).map_err(wrap)?;
            file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(wrap)?;
            Ok(bytes)
        };
        Ok(Pair { cert: read(cert)?, key: read(key)? })
    }

    fn config(&self, cert: &Path, key: &Path, http2: bool) -> Result<Arc<ServerConfig>, TlsError> {
        let wrong = |path: &Path, what: String| TlsError::Content { path: path.to_owned(), what };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(cert, error.to_string()))?;
        if chain.is_empty() {
            return Err(wrong(cert, "there is no certificate in it".to_owned()));
        }
        let secret = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| wrong(key, "there is no private key in it that can be read".to_owned()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(cert, error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|error| wrong(cert, error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if http2 {
            config.alpn_protocols.insert(0, HTTP2.to_vec());
        }
        Ok(Arc::new(config))
    }
}

/// A connection, with TLS or without.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Whether nobody on the way can read or change what passes.
    pub(super) fn is_secure(&self) -> bool {
        matches!(self, Socket::Tls(_))
    }

    /// Whether both sides have agreed on HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        match self {
            Socket::Plain(_) => false,
            Socket::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP2),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Socket::Tls(socket) => Pin::new(&mut **socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Socket::Tls(socket) => Pin::new(&mut **socket).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Socket::Tls(socket) => Pin::new(&mut **socket).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Plain(socket) => socket.is_write_vectored(),
            Socket::Tls(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Tls(socket) => Pin::new(&mut **socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tls(socket) => Pin::new(&mut **socket).poll_shutdown(cx),
        }
    }
}
