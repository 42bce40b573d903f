//! The network as a node and its clients use it: how a connection is made, and how one comes in.
//! TCP in production; a simulation (tests/sim) brings its own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint};

/// Makes the connection of a prepared endpoint, without waiting for it.
pub type Dial = Arc<dyn Fn(Endpoint) -> Channel + Send + Sync>;

/// Connects over plain TCP.
#[must_use]
pub fn dial_tcp() -> Dial {
    Arc::new(|endpoint| endpoint.connect_lazy())
}

/// Where connections come in.
pub trait Listener: Send + Sized + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Connected<ConnectInfo: Clone + Send + Sync + 'static> + Send + Unpin + 'static;

    /// Begins to listen.
    fn bind(address: SocketAddr) -> impl Future<Output = io::Result<Self>> + Send;

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// The next connection. Small writes are sent at once.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::bind(address).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Every connection that comes in.
pub fn incoming<L: Listener>(listener: L) -> impl Stream<Item = io::Result<L::Stream>> + Send {
    futures::stream::unfold(listener, async |listener| Some((listener.accept().await, listener)))
}
