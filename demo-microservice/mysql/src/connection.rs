//! One connection: requests and their answers, one at a time.

use crate::{
    channel::Channel,
    error::{Error, Result, ServerError},
    login::{self, Session},
    results::{Each, EachPayload},
    row::{Row, read_binary, read_text, write_parameters},
    statements::{Statement, Statements},
    url::Options,
    value::Value,
    wire::Reader,
};
use futures_io::{AsyncRead, AsyncWrite};
use std::future::Future;

mod command {
    //! First bytes of requests (MySQL protocol, "Command Phase").
    pub(super) const QUIT: u8 = 0x01;
    pub(super) const QUERY: u8 = 0x03;
    pub(super) const PING: u8 = 0x0e;
    pub(super) const PREPARE: u8 = 0x16;
    pub(super) const EXECUTE: u8 = 0x17;
    pub(super) const CLOSE: u8 = 0x19;
}
const IN_TRANSACTION: u16 = 1;
/// `ER_UNKNOWN_STMT_HANDLER` and `ER_NEED_REPREPARE`: the statement was not run.
const LOST_STATEMENT: [u16; 2] = [1243, 1615];

/// What a statement without rows did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows inserted, deleted or really changed.
    pub affected_rows: u64,
    /// The first number that `AUTO_INCREMENT` gave out, 0 for none.
    pub last_insert_id: u64,
    /// How many warnings `SHOW WARNINGS` would list.
    pub warnings: u16,
}

/// A connection that has logged in.
///
/// A request that is dropped half-way, or fails by anything but [`Error::Server`],
/// [`Error::Conversion`] or [`Error::Usage`], leaves the connection unusable.
#[derive(Debug)]
pub struct Connection<S> {
    pub(crate) channel: Channel<S>,
    pub(crate) session: Session,
    pub(crate) statements: Statements,
    pub(crate) status: u16,
    pub(crate) ready: bool,
    /// Scratch space for column definitions.
    pub(crate) definitions: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Logs in over a stream on which nothing has been read or written yet.
    ///
    /// # Errors
    /// [`Error::Server`] where the server refuses the login, [`Error::Auth`] where it asks for a
    /// plugin that is not known here.
    pub async fn login(stream: S, options: &Options) -> Result<Self> {
        let mut channel = Channel::new(stream, options.max_payload);
        let session = login::login(&mut channel, options).await?;
        let statements = Statements::default();
        Ok(Self {
            channel,
            session,
            statements,
            status: 0,
            ready: true,
            definitions: Vec::new(),
        })
    }

    /// The version text of the server, such as `11.8.2-MariaDB`.
    #[must_use]
    pub fn server_version(&self) -> &str {
        &self.session.server_version
    }

    /// The number by which the server knows this connection.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.session.connection_id
    }

    /// Whether another request can be made, outside of any transaction.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        self.ready && self.status & IN_TRANSACTION == 0
    }

    /// Whether the server is still there and has said nothing unasked; sends nothing.
    ///
    /// It looks until `pause` is over, which must give the runtime the time to see what has come.
    pub async fn is_alive(&mut self, pause: impl Future<Output = ()>) -> bool {
        self.ready && self.channel.is_quiet(pause).await
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn ping(&mut self) -> Result<()> {
        self.request(|out| out.push(command::PING)).await?;
        self.outcome().await.map(drop)
    }

    /// Runs a statement without parameters, passing over any rows.
    ///
    /// # Errors
    /// [`Error::Server`] where the server refuses it.
    pub async fn query(&mut self, sql: &str) -> Result<Outcome> {
        self.query_dyn(sql, &mut |_, _| Ok(())).await
    }

    /// Runs a statement without parameters and shows every row to `each`.
    ///
    /// # Errors
    /// [`Error::Server`] where the server refuses it, and the first error of `each`.
    pub async fn query_rows<F>(&mut self, sql: &str, mut each: F) -> Result<Outcome>
    where
        F: FnMut(Row<'_>) -> Result<()> + Send,
    {
        self.query_dyn(sql, &mut |payload, columns| {
            each(Row::new(columns, &read_text(payload, columns)?))
        })
        .await
    }

    async fn query_dyn(&mut self, sql: &str, each: EachPayload<'_>) -> Result<Outcome> {
        self.request(|out| {
            out.push(command::QUERY);
            out.extend_from_slice(sql.as_bytes());
        })
        .await?;
        self.results(false, None, each).await
    }

    /// Runs a prepared statement with `?` for each of `parameters`, passing over any rows.
    ///
    /// # Errors
    /// [`Error::Server`] where the server refuses it, [`Error::Usage`] where the numbers of marks
    /// and parameters differ.
    pub async fn execute(&mut self, sql: &str, parameters: &[Value<'_>]) -> Result<Outcome> {
        self.execute_dyn(sql, parameters, &mut |_| Ok(())).await
    }

    /// Runs a prepared statement and shows every row to `each`.
    ///
    /// The statement is prepared once for each connection and kept for the next time.
    ///
    /// # Errors
    /// Those of [`Connection::execute`], and the first error of `each`.
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
        let known = self.statements.find(sql);
        if !known {
            self.prepare(sql).await?;
        }
        match self.execute_once(parameters, each).await {
            Err(Error::Server(error)) if known && LOST_STATEMENT.contains(&error.code) => {
                self.statements.forget_first();
                self.prepare(sql).await?;
                self.execute_once(parameters, each).await
            }
            result => result,
        }
    }

    /// Says goodbye and closes the stream.
    ///
    /// # Errors
    /// Those of the stream, which is closed in any case.
    pub async fn quit(mut self) -> Result<()> {
        if self.ready {
            self.request(|out| out.push(command::QUIT)).await?;
        }
        self.channel.close().await
    }

    /// Runs the statement that the cache has first.
    async fn execute_once(&mut self, parameters: &[Value<'_>], each: Each<'_>) -> Result<Outcome> {
        let statement = self
            .statements
            .first()
            .ok_or(Error::Usage("no statement".into()))?;
        if statement.parameters != parameters.len() {
            let (wanted, given) = (statement.parameters, parameters.len());
            let what = format!("the statement has {wanted} parameters, not {given}");
            return Err(Error::Usage(what.into()));
        }
        let id = statement.id;
        let columns = statement.columns.clone();
        self.request(|out| {
            out.push(command::EXECUTE);
            out.extend_from_slice(&id.to_le_bytes());
            // No cursor, and one iteration, as ever.
            out.extend_from_slice(&[0, 1, 0, 0, 0]);
            write_parameters(out, parameters);
        })
        .await?;
        self.results(true, columns, &mut |payload, columns| {
            each(Row::new(columns, &read_binary(payload, columns)?))
        })
        .await
    }

    /// Prepares a statement and puts it first in the cache.
    async fn prepare(&mut self, sql: &str) -> Result<()> {
        if let Some(id) = self.statements.evict() {
            // This request has no answer; it travels with the next one.
            self.channel.put_command(|out| {
                out.push(command::CLOSE);
                out.extend_from_slice(&id.to_le_bytes());
            });
        }
        self.request(|out| {
            out.push(command::PREPARE);
            out.extend_from_slice(sql.as_bytes());
        })
        .await?;
        let place = self.channel.receive().await?;
        let payload = self.channel.payload(place);
        let mut reader = Reader::new(payload);
        match reader.u8()? {
            0x00 => {}
            0xff => return Err(self.refused(ServerError::parse(payload)?)),
            _ => return Err(Error::protocol("an unknown answer to a statement")),
        }
        let id = reader.u32()?;
        let columns = reader.u16()?;
        let parameters = reader.u16()?;
        for count in [parameters, columns] {
            self.skip_definitions(count.into()).await?;
        }
        self.statements.add(
            sql,
            Statement {
                id,
                parameters: parameters.into(),
                columns: None,
            },
        );
        self.ready = true;
        Ok(())
    }

    async fn skip_definitions(&mut self, count: u64) -> Result<()> {
        let markers = u64::from(count > 0 && !self.deprecates_eof());
        for _ in 0..count + markers {
            self.channel.receive().await?;
        }
        Ok(())
    }

    /// Starts an exchange; until its end the connection is not ready for another.
    async fn request(&mut self, body: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        if !self.ready {
            return Err(Error::Usage(
                "the connection is in the middle of a request".into(),
            ));
        }
        self.ready = false;
        self.channel.put_command(body);
        self.channel.send().await
    }
}
