//! `wasm32-wasip1` with the `WasmEdge` socket extension.

use mysql_wire::Connector;
use std::{
    future::{Future, pending},
    io,
    net::SocketAddr,
    time::Duration,
};
use wasip1_runtime::{
    net::{TcpListener, TcpStream, lookup_host},
    signal::{SIGINT, SIGTERM, Signals},
};

pub use wasip1_runtime::time::sleep;

/// What hyper talks HTTP over.
pub type HttpStream = TcpStream;

/// Runs the program's main future.
pub fn block_on<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    wasip1_runtime::block_on(future)
}

/// Lets a future run beside the others.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    drop(wasip1_runtime::spawn(future));
}

/// A listening socket.
pub struct Listener(TcpListener);

impl Listener {
    /// # Errors
    /// Those of `bind(2)` and `listen(2)`.
    #[expect(
        clippy::unused_async,
        reason = "the other platforms' sockets need their runtime"
    )]
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).map(Self)
    }

    /// Waits for a connection; passing troubles are waited out.
    ///
    /// # Errors
    /// Those that will not go away.
    pub async fn accept(&self) -> io::Result<HttpStream> {
        self.0.accept().await.map(|(stream, _)| stream)
    }
}

/// How the pool reaches the database.
pub struct Database;

impl Connector for Database {
    type Stream = TcpStream;

    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let addresses = lookup_host(host, port).await?;
        TcpStream::connect_any(&addresses).await
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
    }
}

/// The wish that the program stop.
pub struct StopSignal(Option<Signals>);

impl StopSignal {
    /// Starts to listen for it; an engine that has no signals never stops a guest this way.
    ///
    /// # Errors
    /// Those of opening the signal file, other than its absence.
    pub fn new() -> io::Result<Self> {
        match Signals::open() {
            Ok(signals) => Ok(Self(Some(signals))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }

    /// Waits for the next one.
    pub async fn recv(&mut self) {
        while let Some(signals) = &mut self.0 {
            match signals.recv().await {
                Ok(SIGINT | SIGTERM) => return,
                Ok(_) => {}
                Err(_) => self.0 = None,
            }
        }
        pending().await
    }
}
