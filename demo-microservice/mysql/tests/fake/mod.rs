//! A server that follows a script, over streams in memory, and an executor without time.

#![allow(dead_code, reason = "each test program uses its part")]

use futures_io::{AsyncRead, AsyncWrite};
use mysql_wire::{Connector, Limits, Options, Pool};
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

pub const NATIVE: &str = "mysql_native_password";
pub const SHA2: &str = "caching_sha2_password";
pub const ALL: u32 = 0xffff_ffff;
pub const DEPRECATE_EOF: u32 = 1 << 24;
const LONGLONG: u8 = 8;
/// How often a sleeping future is polled before its time is over.
const NAP: u32 = 3;

/// What the server does once the client has written something.
#[derive(Debug, Clone)]
pub enum Reply {
    Bytes(Vec<u8>),
    BytesThenEnd(Vec<u8>),
    End,
    Reset,
    Silence,
}

#[derive(Debug, Default)]
pub struct State {
    incoming: VecDeque<u8>,
    replies: VecDeque<Reply>,
    ended: bool,
    reset: bool,
    pub written: Vec<u8>,
    pub closed: bool,
}

impl State {
    fn apply(&mut self, reply: Reply) {
        match reply {
            Reply::Bytes(bytes) => self.incoming.extend(bytes),
            Reply::BytesThenEnd(bytes) => {
                self.incoming.extend(bytes);
                self.ended = true;
            }
            Reply::End => self.ended = true,
            Reply::Reset => self.reset = true,
            Reply::Silence => {}
        }
    }

    /// The server goes away while nothing is asked of it.
    pub fn end(&mut self) {
        self.ended = true;
    }
}

#[derive(Debug, Clone, Default)]
pub struct Stream(pub Arc<Mutex<State>>);

impl Stream {
    /// A connection on which the server speaks first, and then answers each write in turn.
    pub fn new(greeting: Reply, replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut state = State {
            replies: replies.into_iter().collect(),
            ..State::default()
        };
        state.apply(greeting);
        Self(Arc::new(Mutex::new(state)))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock().unwrap();
        if state.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if state.incoming.is_empty() {
            return if state.ended {
                Poll::Ready(Ok(0))
            } else {
                Poll::Pending
            };
        }
        // One byte at a time where the test is about something else would only be slow.
        let count = buffer.len().min(state.incoming.len()).min(7);
        for place in &mut buffer[..count] {
            *place = state.incoming.pop_front().unwrap();
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock().unwrap();
        if state.reset {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        state.written.extend_from_slice(bytes);
        if let Some(reply) = state.replies.pop_front() {
            state.apply(reply);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().unwrap().closed = true;
        Poll::Ready(Ok(()))
    }
}

/// Hands out prepared streams, one a connection.
#[derive(Debug, Default, Clone)]
pub struct Fake(Arc<Mutex<VecDeque<io::Result<Stream>>>>);

impl Connector for Fake {
    type Stream = Stream;

    async fn connect(&self, _host: &str, _port: u16) -> io::Result<Stream> {
        let next = self.0.lock().unwrap().pop_front();
        next.unwrap_or_else(|| Err(io::ErrorKind::ConnectionRefused.into()))
    }

    async fn sleep(&self, duration: Duration) {
        let mut rest = if duration.is_zero() { 1 } else { NAP };
        poll_fn(|_| {
            rest -= 1;
            if rest == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl Fake {
    pub fn add(&self, stream: io::Result<Stream>) -> Stream {
        let kept = stream
            .as_ref()
            .map_or_else(|_| Stream::default(), Clone::clone);
        self.0.lock().unwrap().push_back(stream);
        kept
    }

    /// A connection that logs in without trouble.
    pub fn accept(&self, replies: impl IntoIterator<Item = Reply>) -> Stream {
        let login = [Reply::Bytes(ok(2))];
        self.add(Ok(Stream::new(
            greeting(NATIVE, ALL),
            login.into_iter().chain(replies),
        )))
    }

    /// A pool that looks at every idle connection, as if it had been idle for long.
    pub fn pool(&self, max: usize) -> Pool<Self> {
        self.pool_checking(max, Duration::ZERO)
    }

    pub fn pool_checking(&self, max: usize, check_after: Duration) -> Pool<Self> {
        let limits = Limits {
            max,
            min: 1,
            check_after,
            ..Limits::default()
        };
        Pool::new(options(), limits, self.clone())
    }
}

pub fn options() -> Options {
    "mysql://root:whalehello@db/mysql".parse().unwrap()
}

/// Runs a future that needs no real time; one that makes no progress fails the test.
pub fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    for _ in 0..10_000 {
        if let Some(output) = once(future.as_mut()) {
            return output;
        }
    }
    panic!("the future waits for what never comes");
}

/// Polls a future once.
pub fn once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

pub fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&length[..3], &[sequence], payload].concat()
}

pub fn ok(sequence: u8) -> Vec<u8> {
    ok_with(sequence, 2)
}

pub fn ok_with(sequence: u8, status: u8) -> Vec<u8> {
    packet(sequence, &[0, 1, 0, status, 0, 0, 0])
}

pub fn error(sequence: u8, code: u16) -> Vec<u8> {
    packet(
        sequence,
        &[&[0xff], &code.to_le_bytes()[..], b"#HY000refused"].concat(),
    )
}

pub fn greeting(plugin: &str, capabilities: u32) -> Reply {
    let capabilities = capabilities.to_le_bytes();
    let payload = [
        b"\x0a8.0.0-fake\0",
        &7_u32.to_le_bytes()[..],
        b"12345678\0",
        &capabilities[..2],
        &[45, 2, 0],
        &capabilities[2..],
        &[21],
        &[0; 10],
        b"abcdefghijkl\0",
        plugin.as_bytes(),
        b"\0",
    ]
    .concat();
    Reply::Bytes(packet(0, &payload))
}

/// The answer to a statement with this many parameters and columns.
pub fn prepared(id: u8, parameters: u8, columns: u8, deprecates_eof: bool) -> Vec<u8> {
    let mut bytes = packet(1, &[0, id, 0, 0, 0, columns, 0, parameters, 0, 0, 0, 0]);
    let mut sequence = 2;
    for count in [parameters, columns] {
        for _ in 0..count {
            bytes.extend(packet(sequence, &column("c")));
            sequence += 1;
        }
        if count > 0 && !deprecates_eof {
            bytes.extend(packet(sequence, &[0xfe, 0, 0, 2, 0]));
            sequence += 1;
        }
    }
    bytes
}

fn column(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    let rest = [0x0c, 63, 0, 20, 0, 0, 0, LONGLONG, 0, 0, 0, 0, 0];
    [
        &[3][..],
        b"def",
        &[0, 0, 0, length],
        name.as_bytes(),
        &[0],
        &rest,
    ]
    .concat()
}

/// A result of one column; `end` is what comes after the rows.
pub fn numbers(first: u8, values: &[i64], deprecates_eof: bool, end: &[u8]) -> Vec<u8> {
    let mut packets = vec![vec![1], column("n")];
    if !deprecates_eof {
        packets.push(vec![0xfe, 0, 0, 2, 0]);
    }
    packets.extend(
        values
            .iter()
            .map(|value| [&[0, 0][..], &value.to_le_bytes()].concat()),
    );
    packets.push(end.to_vec());
    (first..)
        .zip(&packets)
        .flat_map(|(sequence, payload)| packet(sequence, payload))
        .collect()
}

/// The end of a result, in the form without `EOF_Packet`.
pub const END: [u8; 7] = [0xfe, 0, 0, 2, 0, 0, 0];
/// The same where another result follows.
pub const END_AND_MORE: [u8; 7] = [0xfe, 0, 0, 10, 0, 0, 0];
/// The end of a result, as `EOF_Packet`.
pub const EOF: [u8; 5] = [0xfe, 0, 0, 2, 0];
