//! A bounded pool of connections that outlives the database's restarts.
//!
//! Whoever finds no free connection waits in line. What is handed on is either a connection or
//! the right to open one, so a failed attempt passes the right to the next in line.

use crate::{
    connection::{Connection, Outcome},
    error::{Error, Result},
    pooled::Pooled,
    queue::{Grant, Idle, Queue},
    row::Row,
    url::Options,
    value::Value,
};
use futures_io::{AsyncRead, AsyncWrite};
use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

/// What the pool needs from its surroundings: streams and time.
pub trait Connector {
    /// A byte stream to the database.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// Opens a stream to a host, which is a name or an address.
    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
}

/// How many connections a pool keeps, and how long it waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are kept however long they are idle.
    pub min: usize,
    /// Connections that may be open at the same time.
    pub max: usize,
    /// For opening a connection, name lookup and login included.
    pub connect: Duration,
    /// For waiting in line.
    pub wait: Duration,
    /// For one request.
    pub request: Duration,
    /// Connections idle for longer are looked at before something is read over them, which can be
    /// tried again; before anything else they always are.
    pub check_after: Duration,
    /// Connections over `min` are closed once they have been idle for longer.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            min: 5,
            max: 10,
            connect: Duration::from_secs(5),
            wait: Duration::from_secs(10),
            request: Duration::from_secs(30),
            check_after: Duration::from_millis(20),
            idle: Duration::from_secs(30),
        }
    }
}

/// A pool of connections; clones share it.
pub struct Pool<C: Connector>(Arc<Shared<C>>);

struct Shared<C: Connector> {
    connector: C,
    options: Options,
    limits: Limits,
    queue: Mutex<Queue<C::Stream>>,
}

impl<C: Connector> Pool<C> {
    /// A pool that has no connection yet: the first request opens one.
    pub fn new(options: Options, limits: Limits, connector: C) -> Self {
        let queue = Mutex::new(Queue::new(limits.max));
        Self(Arc::new(Shared {
            connector,
            options,
            limits,
            queue,
        }))
    }

    /// Where the pool's connections go.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Waits for a connection; one that was used before is looked at first.
    ///
    /// # Errors
    /// Those of opening one, [`Error::Timeout`] and [`Error::PoolClosed`].
    pub async fn get(&self) -> Result<Pooled<C>> {
        self.get_checked(Duration::ZERO).await
    }

    /// Waits for a connection; one that has been idle for `check_after` is looked at first.
    async fn get_checked(&self, check_after: Duration) -> Result<Pooled<C>> {
        let limits = &self.0.limits;
        let place = self.queue().take()?;
        let grant = match place {
            Ok(grant) => grant,
            Err(ticket) => self.wait(ticket).await?,
        };
        // From here on, dropping `pooled` hands its place on.
        let mut pooled = Pooled {
            pool: self.clone(),
            connection: None,
            reused: false,
        };
        if let Grant::Ready(idle) = grant {
            let Idle {
                mut connection,
                since,
                suspect,
            } = idle;
            let check = suspect || since.elapsed() >= check_after;
            // A runtime sees what has come on a socket when it next turns to the system, which a
            // timer makes it do.
            let pause = self.0.connector.sleep(Duration::ZERO);
            if !check || connection.is_alive(pause).await {
                pooled.connection = Some(connection);
                pooled.reused = true;
                self.trim().await;
                return Ok(pooled);
            }
        }
        let connection = self
            .limited("connecting", limits.connect, self.open())
            .await?;
        pooled.connection = Some(connection);
        Ok(pooled)
    }

    /// Runs a prepared statement; see [`Connection::execute`].
    ///
    /// # Errors
    /// Those of [`Pool::get`] and [`Connection::execute`].
    pub async fn execute(&self, sql: &str, parameters: &[Value<'_>]) -> Result<Outcome> {
        self.get().await?.execute(sql, parameters).await
    }

    /// Runs a prepared statement that changes nothing and shows every row to `each`.
    ///
    /// Where a connection from the pool turns out to be dead before the first row has come, the
    /// statement is run once more on a new one.
    ///
    /// # Errors
    /// Those of [`Pool::get`] and [`Connection::execute_rows`].
    pub async fn read<F>(&self, sql: &str, parameters: &[Value<'_>], mut each: F) -> Result<Outcome>
    where
        F: FnMut(Row<'_>) -> Result<()> + Send,
    {
        let mut rows = 0_u64;
        let mut pooled = self.get_checked(self.0.limits.check_after).await?;
        let mut counted = |row: Row<'_>| {
            rows += 1;
            each(row)
        };
        match pooled.execute_dyn(sql, parameters, &mut counted).await {
            Err(Error::Io(_) | Error::Closed) if pooled.reused && rows == 0 => {}
            result => return result,
        }
        drop(pooled);
        let mut pooled = self.get().await?;
        pooled.execute_dyn(sql, parameters, &mut each).await
    }

    /// Says goodbye on every idle connection and lets no one in any more.
    ///
    /// Connections on loan are closed when they return.
    pub async fn close(&self) {
        let (idle, wakers) = self.queue().close();
        for waker in wakers {
            waker.wake();
        }
        for connection in idle {
            self.dismiss(connection).await;
        }
    }

    async fn open(&self) -> Result<Connection<C::Stream>> {
        let Shared {
            connector, options, ..
        } = &*self.0;
        let stream = connector.connect(&options.host, options.port).await?;
        Connection::login(stream, options).await
    }

    async fn wait(&self, ticket: u64) -> Result<Grant<C::Stream>> {
        let mut place = Place {
            pool: self,
            ticket: Some(ticket),
        };
        let granted = poll_fn(|cx| match self.queue().claim(ticket, cx.waker()) {
            Poll::Ready(result) => {
                place.ticket = None;
                Poll::Ready(result)
            }
            Poll::Pending => Poll::Pending,
        });
        self.limited("waiting for a free connection", self.0.limits.wait, granted)
            .await
    }

    /// Closes one connection that has been idle for too long, if there is any.
    async fn trim(&self) {
        let Limits { min, idle, .. } = self.0.limits;
        let old = self.queue().expire(min, idle);
        if let Some(connection) = old {
            self.dismiss(connection).await;
        }
    }

    async fn dismiss(&self, connection: Connection<C::Stream>) {
        // Nothing is lost if the goodbye does not get through.
        let _ = self
            .limited("closing", Duration::from_secs(1), connection.quit())
            .await;
    }

    pub(crate) fn give(&self, grant: Grant<C::Stream>) {
        let waker = self.queue().give(grant);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) async fn limited<T>(
        &self,
        step: &'static str,
        limit: Duration,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut work = pin!(work);
        // Most work that is done at once needs no timer at all.
        let mut sleep = pin!(None);
        poll_fn(|cx| {
            if let Poll::Ready(result) = work.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            if sleep.is_none() {
                sleep.set(Some(self.0.connector.sleep(limit)));
            }
            match sleep.as_mut().as_pin_mut().map(|sleep| sleep.poll(cx)) {
                Some(Poll::Ready(())) => Poll::Ready(Err(Error::Timeout(step))),
                _ => Poll::Pending,
            }
        })
        .await
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue<C::Stream>> {
        // No code that holds the lock can panic half-way through a change.
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line, given up when dropped.
struct Place<'a, C: Connector> {
    pool: &'a Pool<C>,
    ticket: Option<u64>,
}

impl<C: Connector> Drop for Place<'_, C> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let waker = self.pool.queue().leave(ticket);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<C: Connector> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: Connector> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}
