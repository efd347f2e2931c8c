//! Accepting connections, and stopping without losing a request.

use crate::{
    api::Api,
    config::Config,
    connection, log,
    net::{self, Database, Listener, StopSignal},
    roster::{Phase, Roster},
};
use mysql_wire::{Limits, Pool};
use std::{
    future::{Future, poll_fn},
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

/// How long a client that keeps a connection open may take for a last request on it.
const DRAIN: Duration = Duration::from_secs(1);
/// How long requests that are being served may take to end; container engines kill after 10 s.
const FINISH: Duration = Duration::from_secs(7);

/// Serves until a signal says stop; gives whether all requests were served to their end.
///
/// # Errors
/// Those of listening at the port.
pub async fn run(config: Config) -> io::Result<bool> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, config.port));
    let at = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen at port {}: {error}", config.port),
        )
    };
    let listener = Listener::bind(address).await.map_err(at)?;
    let mut stop = StopSignal::new()?;
    log::line(format_args!("listening at {address}"));
    let pool = Pool::new(config.database, Limits::default(), Database);
    let roster = Arc::new(Roster::default());
    let server = Server {
        api: Arc::new(Api::new(pool.clone())),
        roster,
        idle: config.idle,
    };
    if let First::Left(error) = race(server.accept_all(&listener), stop.recv()).await {
        return Err(error);
    }
    log::line(format_args!("stopping"));
    server.roster.advance(Phase::Draining);
    server.accept_waiting(&listener).await;
    drop(listener);
    // A second signal means: at once.
    race(server.drain(), stop.recv()).await;
    let left = server.roster.count();
    server.roster.advance(Phase::Ending);
    race(server.roster.empty(), net::sleep(DRAIN)).await;
    pool.close().await;
    if left > 0 {
        log::line(format_args!("error: {left} connections were cut"));
    }
    Ok(left == 0)
}

struct Server {
    api: Arc<Api>,
    roster: Arc<Roster>,
    idle: Duration,
}

impl Server {
    async fn accept_all(&self, listener: &Listener) -> io::Error {
        loop {
            match listener.accept().await {
                Ok(stream) => self.serve(stream),
                Err(error) => return error,
            }
        }
    }

    /// Takes the connections that the system has made but nobody has accepted yet.
    async fn accept_waiting(&self, listener: &Listener) {
        loop {
            let mut accept = pin!(listener.accept());
            match poll_fn(|cx| Poll::Ready(accept.as_mut().poll(cx))).await {
                Poll::Ready(Ok(stream)) => self.serve(stream),
                Poll::Ready(Err(_)) | Poll::Pending => return,
            }
        }
    }

    fn serve(&self, stream: net::HttpStream) {
        let member = self.roster.enter();
        net::spawn(connection::serve(
            stream,
            self.api.clone(),
            member,
            self.idle,
        ));
    }

    /// Waits until every connection has ended, of itself or because it was asked to.
    async fn drain(&self) {
        if let First::Left(()) = race(self.roster.empty(), net::sleep(DRAIN)).await {
            return;
        }
        self.roster.advance(Phase::Closing);
        race(self.roster.empty(), net::sleep(FINISH)).await;
    }
}

enum First<A, B> {
    Left(A),
    Right(B),
}

/// Waits for whichever comes first.
async fn race<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> First<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| {
        if let Poll::Ready(value) = left.as_mut().poll(cx) {
            return Poll::Ready(First::Left(value));
        }
        right.as_mut().poll(cx).map(First::Right)
    })
    .await
}
