//! Packets over a stream: the only place that reads and writes.

use crate::{
    error::{Error, Result},
    packet::{self, Inbox},
};
use futures_io::{AsyncRead, AsyncWrite};
use std::{
    future::{Future, poll_fn},
    io,
    ops::Range,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

/// A stream with the packets that are on their way in and out.
#[derive(Debug)]
pub(crate) struct Channel<S> {
    stream: S,
    inbox: Inbox,
    outbox: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<S> {
    pub(crate) fn new(stream: S, max_payload: usize) -> Self {
        Self {
            stream,
            inbox: Inbox::new(max_payload),
            outbox: Vec::new(),
        }
    }

    /// Waits for the next payload; its place is good until the next call.
    pub(crate) async fn receive(&mut self) -> Result<Range<usize>> {
        loop {
            if let Some(place) = self.inbox.next()? {
                return Ok(place);
            }
            let count = poll_fn(|cx| self.poll_fill(cx)).await?;
            if count == 0 {
                return Err(Error::Closed);
            }
        }
    }

    pub(crate) fn payload(&self, place: Range<usize>) -> &[u8] {
        self.inbox.payload(place)
    }

    /// Queues a request that starts a new exchange.
    pub(crate) fn put_command(&mut self, body: impl FnOnce(&mut Vec<u8>)) {
        let sequence = packet::frame(&mut self.outbox, 0, body);
        self.inbox.expect(sequence);
    }

    /// Queues an answer to the payload received last.
    pub(crate) fn put_answer(&mut self, body: impl FnOnce(&mut Vec<u8>)) {
        let sequence = packet::frame(&mut self.outbox, self.inbox.sequence(), body);
        self.inbox.expect(sequence);
    }

    /// Sends what is queued.
    pub(crate) async fn send(&mut self) -> Result<()> {
        let mut sent = 0;
        while sent < self.outbox.len() {
            let rest = &self.outbox[sent..];
            match poll_fn(|cx| Pin::new(&mut self.stream).poll_write(cx, rest)).await? {
                0 => return Err(Error::Io(io::ErrorKind::WriteZero.into())),
                count => sent += count,
            }
        }
        poll_fn(|cx| Pin::new(&mut self.stream).poll_flush(cx)).await?;
        self.outbox.clear();
        // One large insert must not hold its memory for as long as the connection lives.
        self.outbox.shrink_to(64 * 1024);
        Ok(())
    }

    /// Whether nothing comes from the server, not even its end, until `pause` is over.
    pub(crate) async fn is_quiet(&mut self, pause: impl Future<Output = ()>) -> bool {
        if !self.inbox.is_empty() {
            return false;
        }
        let mut pause = pin!(pause);
        poll_fn(|cx| {
            if self.poll_fill(cx).is_ready() {
                return Poll::Ready(false);
            }
            pause.as_mut().poll(cx).map(|()| true)
        })
        .await
    }

    pub(crate) async fn close(&mut self) -> Result<()> {
        Ok(poll_fn(|cx| Pin::new(&mut self.stream).poll_close(cx)).await?)
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_read(cx, self.inbox.spare()))?;
        self.inbox.filled(count);
        Poll::Ready(Ok(count))
    }
}
