//! The network as a node and its clients use it: how a connection is made, and how one comes in.
//! TCP in production; a simulation (tests/sim) brings its own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint};

/// Makes the connection of a prepared endpoint, without waiting for it.
pub type Dial = Arc<dyn Fn(Endpoint) -> Channel + Send + Sync>;

/// Connects over plain TCP.
#[must_use]
pub fn dial_tcp() -> Dial {
    Arc::new(|endpoint| endpoint.connect_lazy())
}

/// Asks whether a node could listen here now.
///
/// The socket is bound and does not listen: a process that is started at this moment by another thread has a
/// copy of it until it runs its own program, and a copy that listened would keep the port from the node.
///
/// # Errors
/// When something listens here, or the address is not of this machine.
pub fn probe(address: SocketAddr) -> io::Result<()> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_sees_who_listens_and_keeps_nobody_from_it() {
        // As a process that is just being started has it: a copy of the socket that is still open.
        let copy = TcpSocket::new_v4().expect("a socket");
        copy.set_reuseaddr(true).expect("an option");
        copy.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let address = copy.local_addr().expect("bound");
        probe(address).expect("nobody listens");
        let _taken = std::net::TcpListener::bind(address).expect("a copy that does not listen is in nobody's way");
        assert_eq!(probe(address).map_err(|error| error.kind()), Err(io::ErrorKind::AddrInUse));
    }
}
