//! A connection on loan.

use crate::{
    connection::{Connection, Outcome},
    error::{Error, Result},
    pool::{Connector, Pool},
    queue::{Grant, Idle},
    results::Each,
    row::Row,
    value::Value,
};
use std::{fmt, time::Instant};

/// A connection on loan from a [`Pool`], to which it returns when dropped.
///
/// A broken one, or one that was left within a transaction, is closed instead.
pub struct Pooled<C: Connector> {
    pub(crate) pool: Pool<C>,
    pub(crate) connection: Option<Connection<C::Stream>>,
    pub(crate) reused: bool,
}

impl<C: Connector> Pooled<C> {
    /// Runs a statement without parameters; see [`Connection::query`].
    ///
    /// # Errors
    /// Those of [`Connection::query`] and [`Error::Timeout`].
    pub async fn query(&mut self, sql: &str) -> Result<Outcome> {
        let Self {
            pool, connection, ..
        } = self;
        let connection = connection.as_mut().ok_or(Error::Closed)?;
        let result = pool
            .limited("a query", pool.limits().request, connection.query(sql))
            .await;
        self.judged(result)
    }

    /// Runs a prepared statement; see [`Connection::execute`].
    ///
    /// # Errors
    /// Those of [`Connection::execute`] and [`Error::Timeout`].
    pub async fn execute(&mut self, sql: &str, parameters: &[Value<'_>]) -> Result<Outcome> {
        self.execute_dyn(sql, parameters, &mut |_| Ok(())).await
    }

    /// Runs a prepared statement and shows every row to `each`; see [`Connection::execute_rows`].
    ///
    /// # Errors
    /// Those of [`Connection::execute_rows`] and [`Error::Timeout`].
    pub async fn execute_rows<F>(
        &mut self,
        sql: &str,
        parameters: &[Value<'_>],
        mut each: F,
    ) -> Result<Outcome>
    where
        F: FnMut(Row<'_>) -> Result<()> + Send,
    {
        self.execute_dyn(sql, parameters, &mut each).await
    }

    pub(crate) async fn execute_dyn(
        &mut self,
        sql: &str,
        parameters: &[Value<'_>],
        each: Each<'_>,
    ) -> Result<Outcome> {
        let Self {
            pool, connection, ..
        } = self;
        let connection = connection.as_mut().ok_or(Error::Closed)?;
        let work = connection.execute_dyn(sql, parameters, each);
        let result = pool.limited("a query", pool.limits().request, work).await;
        self.judged(result)
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// Those of the stream and [`Error::Timeout`].
    pub async fn ping(&mut self) -> Result<()> {
        let Self {
            pool, connection, ..
        } = self;
        let connection = connection.as_mut().ok_or(Error::Closed)?;
        let result = pool
            .limited("a ping", pool.limits().connect, connection.ping())
            .await;
        self.judged(result)
    }

    fn judged<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(Error::Io(_) | Error::Closed) = result {
            // Where one connection broke, the server may have gone, and the others with it.
            self.connection = None;
            self.pool.queue().suspect_all();
        }
        result
    }
}

impl<C: Connector> Drop for Pooled<C> {
    fn drop(&mut self) {
        let grant = match self.connection.take() {
            Some(connection) if connection.is_reusable() => Grant::Ready(Idle {
                connection,
                since: Instant::now(),
                suspect: false,
            }),
            _ => Grant::Slot,
        };
        self.pool.give(grant);
    }
}

impl<C: Connector> fmt::Debug for Pooled<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooled")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}
