//! Connecting, to one address or to the first of several that answers.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::slice;
use std::task::{Context, Poll};
use std::time::Duration;

use super::TcpStream;
use crate::reactor::Source;
use crate::sys::{self, Family, Interest, Kind};
use crate::time::{Instant, sleep};

/// "Connection Attempt Delay", RFC 8305 section 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

pub(super) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let family = Family::of(&address);
    let fd = sys::socket(family, Kind::Stream)?;
    match sys::connect(fd.as_fd(), &address) {
        Ok(()) => return Ok(TcpStream::new(Source::new(fd), family)),
        Err(error) if sys::is_in_progress(&error) => {}
        Err(error) => return Err(error),
    }
    let source = Source::new(fd);
    // It turns writable once it is connected or has failed, and SO_ERROR says which.
    source.exhausted(Interest::Write);
    poll_fn(|cx| source.poll_io(Interest::Write, cx, sys::take_error)).await?;
    Ok(TcpStream::new(source, family))
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// Attempts that are under way, and the addresses that are still to be tried.
struct Race<'a> {
    waiting: slice::Iter<'a, SocketAddr>,
    attempts: Vec<Attempt>,
    failure: Option<io::Error>,
}

pub(super) async fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut race = Race {
        waiting: addresses.iter(),
        attempts: Vec::new(),
        failure: None,
    };
    let mut pause = pin!(sleep(Duration::ZERO));
    poll_fn(|cx| {
        loop {
            if let Some(stream) = race.poll_attempts(cx) {
                return Poll::Ready(Ok(stream));
            }
            let busy = !race.attempts.is_empty();
            let Some(address) = race.waiting.as_slice().first() else {
                return if busy {
                    Poll::Pending
                } else {
                    Poll::Ready(Err(race.failure()))
                };
            };
            if busy && pause.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            race.waiting.next();
            race.attempts.push(Box::pin(connect(*address)));
            pause.as_mut().reset(Instant::now() + ATTEMPT_DELAY);
        }
    })
    .await
}

impl Race<'_> {
    fn poll_attempts(&mut self, cx: &mut Context<'_>) -> Option<TcpStream> {
        let mut index = 0;
        while let Some(attempt) = self.attempts.get_mut(index) {
            match attempt.as_mut().poll(cx) {
                Poll::Ready(Ok(stream)) => return Some(stream),
                Poll::Ready(Err(error)) => {
                    self.failure = Some(error);
                    drop(self.attempts.remove(index));
                }
                Poll::Pending => index += 1,
            }
        }
        None
    }

    fn failure(&mut self) -> io::Error {
        self.failure.take().unwrap_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "no address to connect to")
        })
    }
}
