//! The answers to statements: outcomes, columns and rows, in all their results.

use crate::{
    connection::{Connection, Outcome},
    error::{Error, Result, ServerError},
    login::capability,
    packet::CHUNK,
    row::{Column, Row},
    wire::Reader,
};
use futures_io::{AsyncRead, AsyncWrite};

const MORE_RESULTS: u16 = 8;

pub(crate) type Columns = std::sync::Arc<[Column]>;
pub(crate) type Definitions = (std::sync::Arc<[u8]>, Columns);
pub(crate) type Known = Option<Definitions>;
// Not generic, so that one copy of the code serves all callers.
// And by the payload, so that a program that never reads rows as text has no code for it.
pub(crate) type EachPayload<'a> = &'a mut (dyn FnMut(&[u8], &[Column]) -> Result<()> + Send);
pub(crate) type Each<'a> = &'a mut (dyn FnMut(Row<'_>) -> Result<()> + Send);

enum Reply {
    Done(Outcome),
    Columns(u64),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Reads the answer to a request that gives no rows.
    pub(crate) async fn outcome(&mut self) -> Result<Outcome> {
        match self.reply().await? {
            Reply::Done(outcome) => {
                self.ready = true;
                Ok(outcome)
            }
            Reply::Columns(_) => Err(Error::protocol("rows came where none were asked for")),
        }
    }

    /// Reads all the results of a statement.
    pub(crate) async fn results(
        &mut self,
        prepared: bool,
        known: Known,
        each: EachPayload<'_>,
    ) -> Result<Outcome> {
        let mut failed = None;
        let outcome = loop {
            let outcome = match self.reply().await? {
                Reply::Done(outcome) => outcome,
                Reply::Columns(count) => {
                    let columns = self.columns(count, prepared, known.as_ref()).await?;
                    self.rows(&columns, &mut failed, each).await?
                }
            };
            if self.status & MORE_RESULTS == 0 {
                break outcome;
            }
        };
        self.ready = true;
        failed.map_or(Ok(outcome), Err)
    }

    async fn reply(&mut self) -> Result<Reply> {
        let place = self.channel.receive().await?;
        let payload = self.channel.payload(place);
        match payload {
            [0x00, rest @ ..] => {
                let (outcome, status) = read_ok(rest)?;
                self.status = status;
                Ok(Reply::Done(outcome))
            }
            [0xff, ..] => {
                let error = ServerError::parse(payload)?;
                Err(self.refused(error))
            }
            [0xfb, ..] => Err(Error::protocol("the server asks for a local file")),
            _ => Ok(Reply::Columns(Reader::new(payload).lenenc()?)),
        }
    }

    /// Reads the column definitions, or takes those of the last time where they are the same.
    async fn columns(
        &mut self,
        count: u64,
        prepared: bool,
        known: Option<&Definitions>,
    ) -> Result<Columns> {
        let mut definitions = std::mem::take(&mut self.definitions);
        definitions.clear();
        let mut ends = Vec::new();
        for _ in 0..count {
            let place = self.channel.receive().await?;
            definitions.extend_from_slice(self.channel.payload(place));
            ends.push(definitions.len());
        }
        if !self.deprecates_eof() {
            self.channel.receive().await?;
        }
        let columns = match known {
            Some((same, columns)) if **same == *definitions => columns.clone(),
            _ => {
                let starts = [0].into_iter().chain(ends.iter().copied());
                let parsed: Result<Vec<_>> = starts
                    .zip(&ends)
                    .map(|(start, &end)| Column::parse(&definitions[start..end]))
                    .collect();
                let columns: Columns = parsed?.into();
                if prepared {
                    self.statements.remember(&definitions, &columns);
                }
                columns
            }
        };
        self.definitions = definitions;
        Ok(columns)
    }

    async fn rows(
        &mut self,
        columns: &[Column],
        failed: &mut Option<Error>,
        each: EachPayload<'_>,
    ) -> Result<Outcome> {
        loop {
            let place = self.channel.receive().await?;
            let payload = self.channel.payload(place);
            match payload {
                [0xff, ..] => {
                    let error = ServerError::parse(payload)?;
                    return Err(self.refused(error));
                }
                [0xfe, rest @ ..] if payload.len() < CHUNK => {
                    let (outcome, status) = if self.deprecates_eof() {
                        read_ok(rest)?
                    } else {
                        read_eof(rest)?
                    };
                    self.status = status;
                    return Ok(outcome);
                }
                // The rest must still be read, or the connection is lost.
                _ if failed.is_some() => {}
                _ => *failed = each(payload, columns).err(),
            }
        }
    }

    pub(crate) fn refused(&mut self, error: ServerError) -> Error {
        // An error ends all results; the transaction, if any, goes on.
        self.status &= !MORE_RESULTS;
        self.ready = true;
        error.into()
    }

    pub(crate) fn deprecates_eof(&self) -> bool {
        self.session.capabilities & capability::DEPRECATE_EOF != 0
    }
}

fn read_ok(rest: &[u8]) -> Result<(Outcome, u16)> {
    let mut reader = Reader::new(rest);
    let affected_rows = reader.lenenc()?;
    let last_insert_id = reader.lenenc()?;
    let status = reader.u16()?;
    let warnings = reader.u16()?;
    Ok((
        Outcome {
            affected_rows,
            last_insert_id,
            warnings,
        },
        status,
    ))
}

fn read_eof(rest: &[u8]) -> Result<(Outcome, u16)> {
    let mut reader = Reader::new(rest);
    let warnings = reader.u16()?;
    let status = reader.u16()?;
    Ok((
        Outcome {
            warnings,
            ..Outcome::default()
        },
        status,
    ))
}
