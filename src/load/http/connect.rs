//! A connection to an engine node: TCP, TLS where asked for, and a watch on how writing goes.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::redirect::Node;

/// A loader that can't be set up. Nothing has been sent anywhere.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No frontend is configured.
    #[error("engine.frontends is empty: there is nobody to send loads to")]
    NoFrontend,
    /// A frontend's address is not `http://host:port` or `https://host:port`.
    #[error("engine.frontends: {0} is neither an http nor an https address")]
    Frontend(String),
    /// An entry of `engine.backends` is neither host, suffix nor CIDR block.
    #[error("engine.backends: {0:?} is neither a host, a suffix like \".example.com\" nor a block like \"10.0.0.0/8\"")]
    Backend(String),
    /// The file of root certificates can't be used.
    #[error("engine.ca_file: {path} can't be used as root certificates: {reason}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The TLS library refused its settings.
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
}

fn tls(ca_file: Option<&PathBuf>) -> Result<TlsConnector, SetupError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    // A system without roots, or with some that can't be read, still has the compiled ones.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let unusable = |reason: String| SetupError::CaFile { path: path.clone(), reason };
        let certificates =
            rustls::pki_types::CertificateDer::pem_file_iter(path).map_err(|e| unusable(e.to_string()))?;
        let mut found = 0;
        for certificate in certificates {
            let certificate = certificate.map_err(|e| unusable(e.to_string()))?;
            roots.add(certificate).map_err(|e| unusable(e.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(unusable("it holds no certificate".into()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A byte stream to a node.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A byte stream, once it is open.
pub type Opened = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Opens a byte stream to a host and port.
type Open = dyn Fn(&str, u16) -> Opened + Send + Sync;

/// How byte streams to nodes are opened.
#[derive(Clone)]
pub enum Network {
    /// TCP, and TLS where the node asks for it.
    Tcp(TlsConnector),
    /// By the caller, for host and port: a simulation. Never with TLS.
    Given(Arc<Open>),
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            Self::Given(_) => "Given",
        })
    }
}

impl Network {
    /// TCP with TLS settings: the system's roots, the ones compiled in, and those of `engine.ca_file`.
    ///
    /// # Errors
    /// When the certificates can't be used.
    pub fn tcp(ca_file: Option<&PathBuf>) -> Result<Self, SetupError> {
        tls(ca_file).map(Self::Tcp)
    }
}

/// An open connection.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    pub(super) progress: Progress,
}

/// Opens a connection within `limit`, TLS included.
///
/// # Errors
/// Why not, for people. Nothing of a request has been sent.
pub(super) async fn connect(node: &Node, network: &Network, limit: Duration) -> Result<Connection, String> {
    match tokio::time::timeout(limit, establish(node, network)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(format!("{node} can't be reached: {error}")),
        Err(_) => Err(format!("{node} can't be reached: no connection within {limit:?} (engine.timeouts.connect)")),
    }
}

async fn establish(node: &Node, network: &Network) -> io::Result<Connection> {
    let progress = Progress::new();
    let stream: Box<dyn Stream> = match network {
        Network::Tcp(tls) => {
            let tcp = TcpStream::connect((node.host.as_str(), node.port)).await?;
            tcp.set_nodelay(true)?;
            let watched = Watched::new(tcp, &progress);
            if node.https {
                let name = ServerName::try_from(node.host.clone()).map_err(io::Error::other)?;
                Box::new(tls.connect(name, watched).await?)
            } else {
                Box::new(watched)
            }
        }
        Network::Given(open) => Box::new(Watched::new(open(&node.host, node.port).await?, &progress)),
    };
    Ok(Connection { stream, progress })
}

/// Since when a connection has taken no more bytes.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Waiting>);

#[derive(Debug)]
struct Waiting {
    start: Instant,
    /// Milliseconds after `start`, plus 1; 0 while nothing waits.
    since: AtomicU64,
}

impl Progress {
    fn new() -> Self {
        Self(Arc::new(Waiting { start: Instant::now(), since: AtomicU64::new(0) }))
    }

    fn blocked(&self) {
        let now = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        // Keeps the first moment: waiting goes on until bytes move.
        let _ = self.0.since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn moved(&self) {
        self.0.since.store(0, Ordering::Relaxed);
    }

    /// Resolves once bytes have waited for `limit` without one of them being taken. A pause of the sender is no stall.
    pub(super) async fn stalled(&self, limit: Duration) {
        loop {
            let since = self.0.since.load(Ordering::Relaxed);
            let deadline = self.0.start + Duration::from_millis(since.saturating_sub(1)) + limit;
            match since {
                0 => tokio::time::sleep((limit / 8).max(Duration::from_millis(1))).await,
                _ if deadline <= Instant::now() => return,
                _ => tokio::time::sleep_until(deadline).await,
            }
        }
    }
}

/// A stream that reports its progress, and that keeps silent about a failed write as long as reading goes on.
///
/// An engine that refuses a load answers and closes while we are still sending. The write then fails, but the answer
/// waits in the receive buffer; an HTTP library that hears of the failed write first never reads it. So a failed write
/// only stays pending: reading brings the answer, or the end of the connection.
struct Watched<S> {
    stream: S,
    progress: Progress,
    broken: bool,
}

impl<S> Watched<S> {
    fn new(stream: S, progress: &Progress) -> Self {
        Self { stream, progress: progress.clone(), broken: false }
    }

    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(n)) => {
                self.progress.moved();
                Poll::Ready(Ok(n))
            }
            Poll::Ready(Err(_)) => {
                self.broken = true;
                self.progress.blocked();
                Poll::Pending
            }
            Poll::Pending => {
                self.progress.blocked();
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
