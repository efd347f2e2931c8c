//! Native and `wasm32-wasip2`, by tokio on one thread.

use futures_io::{AsyncRead, AsyncWrite};
use hyper_util::rt::TokioIo;
use mysql_wire::Connector;
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::{TcpListener, TcpStream},
    runtime,
};

pub use tokio::time::sleep;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What hyper talks HTTP over.
pub type HttpStream = TokioIo<TcpStream>;

/// Runs the program's main future.
pub fn block_on<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}

/// Lets a future run beside the others.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(future));
}

/// A listening socket.
pub struct Listener(TcpListener);

impl Listener {
    /// # Errors
    /// Those of `bind(2)` and `listen(2)`.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self)
    }

    /// Waits for a connection; troubles are waited out.
    ///
    /// # Errors
    /// None on this platform.
    pub async fn accept(&self) -> io::Result<HttpStream> {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(TokioIo::new(stream));
                }
                // The connection is gone already, or there is no descriptor left for it.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

/// How the pool reaches the database.
pub struct Database;

impl Connector for Database {
    type Stream = DatabaseStream;

    async fn connect(&self, host: &str, port: u16) -> io::Result<DatabaseStream> {
        let stream = TcpStream::connect(&*lookup(host, port).await?).await?;
        let _ = stream.set_nodelay(true);
        Ok(DatabaseStream(stream))
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
    }
}

/// Finds a host as the `wasm32-wasip1` module does, `DNS_SERVER` included.
#[cfg(unix)]
async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let host = host.to_owned();
    let look = move || wasip1_runtime::block_on(wasip1_runtime::net::lookup_host(&host, port));
    tokio::task::spawn_blocking(look)
        .await
        .map_err(io::Error::other)?
}

#[cfg(not(unix))]
async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    tokio::net::lookup_host((host, port))
        .await
        .map(Iterator::collect)
}

/// tokio's stream with the traits that the database client asks for.
pub struct DatabaseStream(TcpStream);

impl AsyncRead for DatabaseStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl AsyncWrite for DatabaseStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The wish that the program stop: SIGTERM or SIGINT.
#[cfg(unix)]
pub struct StopSignal([tokio::signal::unix::Signal; 2]);

#[cfg(unix)]
impl StopSignal {
    /// Starts to listen for it.
    ///
    /// # Errors
    /// Those of `sigaction(2)`.
    pub fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        ]))
    }

    /// Waits for the next one.
    pub async fn recv(&mut self) {
        std::future::poll_fn(|cx| {
            let received = self
                .0
                .iter_mut()
                .any(|signal| signal.poll_recv(cx).is_ready());
            if received {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// A component has no signals.
#[cfg(not(unix))]
pub struct StopSignal;

#[cfg(not(unix))]
impl StopSignal {
    /// # Errors
    /// None.
    pub fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits for ever.
    pub async fn recv(&mut self) {
        std::future::pending().await
    }
}
