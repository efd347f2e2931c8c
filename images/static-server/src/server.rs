//! Accepting connections, serving them, and stopping in good order.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, ready};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use wasip1_runtime::future::{Either, race};
use wasip1_runtime::hyper_rt::Timer;
use wasip1_runtime::net::{TcpListener, TcpStream};
use wasip1_runtime::spawn;
use wasip1_runtime::sync::Event;
use wasip1_runtime::time::timeout;

use crate::answer;
use crate::body::FileBody;
use crate::patience::Patient;
use crate::site::Site;

/// For a request's head, and so for a connection without requests too.
const HEAD_LIMIT: Duration = Duration::from_secs(65);
/// For requests under way when the server is asked to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
const HEAD_BYTES: usize = 64 * 1024;

/// What the connections share.
struct Shared {
    site: Site,
    open: Cell<usize>,
    stopping: Event,
    drained: Event,
}

/// Serves the files below `root` until `stop` ends; then finishes the requests
/// under way, for at most 10 s, and gives what `stop` gave.
///
/// # Errors
///
/// Those of accepting connections, and `stop`'s.
pub async fn serve<T>(
    listener: TcpListener,
    root: &str,
    stop: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let shared = Rc::new(Shared {
        site: Site::new(root),
        open: Cell::new(0),
        stopping: Event::new(),
        drained: Event::new(),
    });
    let reason = match race(accept(&listener, &shared), stop).await {
        Either::Left(Err(error)) => return Err(error),
        Either::Left(Ok(never)) => match never {},
        Either::Right(reason) => reason?,
    };
    drop(listener);
    shared.stopping.set();
    if shared.open.get() > 0 && timeout(DRAIN_LIMIT, shared.drained.wait()).await.is_err() {
        eprintln!("static-server: {} connections cut off", shared.open.get());
    }
    Ok(reason)
}

async fn accept(listener: &TcpListener, shared: &Rc<Shared>) -> io::Result<Infallible> {
    loop {
        let (stream, _peer) = listener.accept().await?;
        let counted = Counted::new(shared);
        spawn(async move { connection(stream, &counted.0).await });
    }
}

/// Serves one connection. Its errors are the client's affair and not logged.
async fn connection(stream: TcpStream, shared: &Shared) {
    let respond = service_fn(|request: Request<Incoming>| {
        let response = answer::answer(&shared.site, &request);
        ready(Ok::<Response<FileBody>, Infallible>(response))
    });
    let connection = http1::Builder::new()
        .timer(Timer)
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .half_close(true)
        .writev(false)
        .serve_connection(Patient::new(stream), respond);
    let mut connection = pin!(connection);
    if let Either::Right(()) = race(connection.as_mut(), shared.stopping.wait()).await {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// A connection in the count of open ones.
struct Counted(Rc<Shared>);

impl Counted {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.open.set(shared.open.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let left = self.0.open.get() - 1;
        self.0.open.set(left);
        if left == 0 && self.0.stopping.is_set() {
            self.0.drained.set();
        }
    }
}
