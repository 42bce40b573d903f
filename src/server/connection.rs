//! Connections, counted: one more than allowed waits to be accepted until another one ends. A connection
//! can be ended from outside, by its [`HangUp`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::Connected;

use crate::net::Listener;

/// How long accepting pauses after it failed, as it does when there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection that holds its place among those that may be open.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    hang_up: HangUp,
    _place: OwnedSemaphorePermit,
}

/// Ends a connection. HTTP/2 asks a stream for nothing while its reader gives it no room, so that there is
/// no other way to be rid of a reader that reads nothing. Every request finds it among its extensions.
#[derive(Debug, Clone, Default)]
pub struct HangUp(Arc<Line>);

#[derive(Debug, Default)]
struct Line {
    cut: AtomicBool,
    /// The task that reads and writes.
    user: AtomicWaker,
}

impl HangUp {
    /// Ends the connection, with all that is under way on it.
    pub fn hang_up(&self) {
        self.0.cut.store(true, Ordering::Release);
        self.0.user.wake();
    }

    /// Whether it was ended.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.0.cut.load(Ordering::Acquire)
    }

    /// An error once it was ended; whoever asks is woken then.
    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        self.0.user.register(context.waker());
        if self.was_cut() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

/// The connections that come in, at most `connections_max` open at a time.
pub fn incoming<L: Listener>(
    listener: L,
    connections_max: usize,
) -> impl Stream<Item = io::Result<Connection<L::Stream>>> {
    let places = Arc::new(Semaphore::new(connections_max));
    futures::stream::unfold((listener, places), async |(listener, places)| {
        // The semaphore is never closed.
        let place = places.clone().acquire_owned().await.ok()?;
        let accepted = match listener.accept().await {
            Ok(stream) => Ok(Connection { stream, hang_up: HangUp::default(), _place: place }),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                Err(error)
            }
        };
        Some((accepted, (listener, places)))
    })
}

impl<S> Connected for Connection<S> {
    type ConnectInfo = HangUp;

    fn connect_info(&self) -> HangUp {
        self.hang_up.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.hang_up.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.hang_up.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.hang_up.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.hang_up.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
