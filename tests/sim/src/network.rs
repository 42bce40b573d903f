//! The simulated network as nodes and clients use it: turmoil's TCP behind the product's own seams.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use counterfoil::net::{Dial, Listener};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use tonic::transport::{Endpoint, Uri};
use tower::service_fn;
use turmoil::net::{TcpListener, TcpStream};

/// Connects in the simulated network.
pub fn dial() -> Dial {
    Arc::new(|endpoint: Endpoint| endpoint.connect_with_connector_lazy(service_fn(connect)))
}

async fn connect(uri: Uri) -> io::Result<TokioIo<TcpStream>> {
    let missing = || io::Error::new(io::ErrorKind::InvalidInput, format!("no host and port in {uri}"));
    let (host, port) = uri.host().zip(uri.port_u16()).ok_or_else(missing)?;
    Ok(TokioIo::new(TcpStream::connect((host, port)).await?))
}

/// Where connections come in.
pub struct SimListener(TcpListener);

/// A connection that came in.
pub struct SimStream(TcpStream);

impl Listener for SimListener {
    type Stream = SimStream;

    async fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    async fn accept(&self) -> io::Result<SimStream> {
        Ok(SimStream(self.0.accept().await?.0))
    }
}

impl Connected for SimStream {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for SimStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
