//! The reactor: which sockets tasks wait for, and the one place that sleeps.
//!
//! An interest (one socket, one direction) enters the poll set when a task
//! finds its socket not ready and leaves it once it has fired and nobody asks
//! again. An interest that is asked for again before the next sleep keeps its
//! place, so that a busy server hands the host the same list each time.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use crate::sys::{Interest, PollSet};
use crate::{executor, timers};

/// Wakers one direction keeps; beyond it all are woken and ask again.
const MAX_WAKERS: usize = 32;

/// A non-blocking descriptor that tasks can wait for.
#[derive(Debug)]
pub(crate) struct Source(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Absent once the source is dropped.
    fd: RefCell<Option<OwnedFd>>,
    read: Side,
    write: Side,
}

/// One direction of a source.
#[derive(Debug, Default)]
struct Side {
    /// The last operation gave no sign that the next one would block.
    ready: Cell<bool>,
    /// A task waits, so the interest belongs into the poll set.
    wanted: Cell<bool>,
    /// Where the interest is in the poll set.
    place: Cell<Option<usize>>,
    wakers: RefCell<Vec<Waker>>,
}

#[derive(Default)]
struct Reactor {
    poll_set: PollSet,
    /// The owner of each entry of `poll_set`, by the same index.
    owners: Vec<(Rc<Shared>, Interest)>,
    /// Interests that fired at the last turn and may have to leave.
    fired: Vec<(Rc<Shared>, Interest)>,
    ready: Vec<usize>,
}

thread_local! {
    static REACTOR: RefCell<Reactor> = RefCell::new(Reactor::default());
}

/// Looks at the sockets and timers and wakes the tasks concerned; if `idle`,
/// sleeps until there is something. False if nothing is waited for.
pub(crate) fn turn(idle: bool) -> bool {
    let next = timers::next();
    // The clock is a host call as well: one a turn will do, and none without timers.
    let now = next.map(|_| Instant::now());
    let timeout = match (next, now) {
        _ if !idle => Some(Duration::ZERO),
        (Some(deadline), Some(now)) => Some(deadline.saturating_duration_since(now)),
        _ => None,
    };
    let mut woken = Vec::new();
    let waits = REACTOR.with_borrow_mut(|reactor| {
        reactor.drop_unwanted();
        let waits = !reactor.owners.is_empty();
        if waits || timeout.is_some() {
            reactor.poll(timeout, &mut woken);
        }
        waits
    });
    if let Some(now) = now {
        // After sockets were ready, what has fallen due meanwhile can wait for the next turn.
        let now = if woken.is_empty() {
            Instant::now()
        } else {
            now
        };
        timers::expire(now, &mut woken);
    }
    // Wakers may run anybody's code: nothing is borrowed by now.
    for waker in woken {
        waker.wake();
    }
    waits || next.is_some()
}

impl Reactor {
    fn poll(&mut self, timeout: Option<Duration>, woken: &mut Vec<Waker>) {
        self.ready.clear();
        self.poll_set
            .wait(timeout, &mut self.ready)
            .unwrap_or_else(|error| panic!("waiting for sockets: {error}"));
        for &index in &self.ready {
            let Some((shared, interest)) = self.owners.get(index) else {
                continue;
            };
            let side = shared.side(*interest);
            side.ready.set(true);
            side.wanted.set(false);
            woken.append(&mut side.wakers.borrow_mut());
            self.fired.push((Rc::clone(shared), *interest));
        }
    }

    fn drop_unwanted(&mut self) {
        while let Some((shared, interest)) = self.fired.pop() {
            if !shared.side(interest).wanted.get() {
                self.remove(&shared, interest);
            }
        }
    }

    fn want(&mut self, shared: &Rc<Shared>, interest: Interest) {
        let side = shared.side(interest);
        if side.wanted.replace(true) || side.place.get().is_some() {
            return;
        }
        if let Some(fd) = &*shared.fd.borrow() {
            side.place.set(Some(self.owners.len()));
            self.poll_set.push(fd.as_fd(), interest);
            self.owners.push((Rc::clone(shared), interest));
        }
    }

    fn remove(&mut self, shared: &Shared, interest: Interest) {
        let Some(place) = shared.side(interest).place.take() else {
            return;
        };
        self.poll_set.swap_remove(place);
        self.owners.swap_remove(place);
        if let Some((moved, interest)) = self.owners.get(place) {
            moved.side(*interest).place.set(Some(place));
        }
    }
}

impl Shared {
    fn side(&self, interest: Interest) -> &Side {
        match interest {
            Interest::Read => &self.read,
            Interest::Write => &self.write,
        }
    }
}

impl Side {
    fn add_waker(&self, waker: &Waker) {
        let mut wakers = self.wakers.borrow_mut();
        if wakers.iter().any(|known| known.will_wake(waker)) {
            return;
        }
        let surplus = if wakers.len() == MAX_WAKERS {
            std::mem::take(&mut *wakers)
        } else {
            Vec::new()
        };
        wakers.push(waker.clone());
        drop(wakers);
        for waker in surplus {
            waker.wake();
        }
    }
}

impl Source {
    /// Takes a descriptor that is already non-blocking and that nothing is
    /// known about: readable only once the host says so, writable until a
    /// write says otherwise.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        let shared = Shared {
            fd: RefCell::new(Some(fd)),
            read: Side::default(),
            write: Side::default(),
        };
        shared.write.ready.set(true);
        Self(Rc::new(shared))
    }

    /// Runs an operation on the descriptor.
    pub(crate) fn with<T>(
        &self,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        match &*self.0.fd.borrow() {
            Some(fd) => operation(fd.as_fd()),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Waits until the direction may be ready, then runs the operation, again
    /// if it would block after all.
    pub(crate) fn poll_io<T>(
        &self,
        interest: Interest,
        cx: &Context<'_>,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        ready!(executor::poll_share(cx));
        let side = self.0.side(interest);
        loop {
            if !side.ready.get() {
                side.add_waker(cx.waker());
                REACTOR.with_borrow_mut(|reactor| reactor.want(&self.0, interest));
                return Poll::Pending;
            }
            match self.with(&mut operation) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => side.ready.set(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Says that the next operation would block: the host is asked first.
    ///
    /// Nothing can be missed by this, since the host reports a state (data or
    /// an end of stream that is there) and not a change.
    pub(crate) fn exhausted(&self, interest: Interest) {
        self.0.side(interest).ready.set(false);
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // The reactor is gone when a source outlives its thread's other values.
        let _ = REACTOR.try_with(|reactor| {
            let mut reactor = reactor.borrow_mut();
            reactor.remove(&self.0, Interest::Read);
            reactor.remove(&self.0, Interest::Write);
        });
        self.0.fd.take();
        let wakers = [self.0.read.wakers.take(), self.0.write.wakers.take()];
        drop(wakers);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::task::Poll;

    use super::{Interest, REACTOR, Source};
    use crate::{block_on, spawn, yield_now};

    fn pair() -> (Source, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Source::new(OwnedFd::from(ours)), theirs)
    }

    async fn read(source: &Source) -> usize {
        poll_fn(|cx| {
            source.poll_io(Interest::Read, cx, |fd| {
                let mut stream = UnixStream::from(fd.try_clone_to_owned()?);
                stream.read(&mut [0; 64])
            })
        })
        .await
        .unwrap()
    }

    /// How many interests the host is asked about.
    fn interests() -> usize {
        REACTOR.with_borrow_mut(|reactor| {
            reactor.drop_unwanted();
            reactor.owners.len()
        })
    }

    #[test]
    fn an_interest_lasts_while_a_task_waits_and_no_longer() {
        block_on(async {
            let (source, mut theirs) = pair();
            assert_eq!(interests(), 0);
            let reading = spawn(async move { (read(&source).await, source) });
            yield_now().await;
            assert_eq!(interests(), 1);
            theirs.write_all(b"x").unwrap();
            let (_, source) = reading.await.unwrap();
            assert_eq!(interests(), 0);
            // Writable all the time, yet nobody asks the host about it.
            let wrote = poll_fn(|cx| source.poll_io(Interest::Write, cx, |_| Ok(1))).await;
            assert_eq!((wrote.unwrap(), interests()), (1, 0));
        });
    }

    #[test]
    fn an_interest_asked_for_again_keeps_its_place() {
        block_on(async {
            let mut ends = Vec::new();
            for _ in 0..3 {
                let (source, theirs) = pair();
                let shared = source.0.clone();
                spawn(async move { while read(&source).await > 0 {} });
                ends.push((shared, theirs));
            }
            yield_now().await;
            let places = |ends: &[(std::rc::Rc<super::Shared>, UnixStream)]| {
                let places = ends.iter().map(|(shared, _)| shared.read.place.get());
                places.collect::<Vec<_>>()
            };
            let before = places(&ends);
            assert_eq!(before, [Some(0), Some(1), Some(2)]);
            for _ in 0..3 {
                ends[1].1.write_all(b"x").unwrap();
                // Ready, read, found empty, waited for again.
                while !ends[1].0.read.ready.get() {
                    yield_now().await;
                }
                while ends[1].0.read.ready.get() {
                    yield_now().await;
                }
                assert_eq!(places(&ends), before);
            }
            // The last one takes the place of one that leaves.
            let (_, theirs) = ends.remove(0);
            drop(theirs);
            while interests() == 3 {
                yield_now().await;
            }
            assert_eq!(places(&ends), [Some(1), Some(0)]);
        });
    }

    #[test]
    fn a_closed_source_leaves_the_list_at_once() {
        block_on(async {
            let (source, _theirs) = pair();
            poll_fn(|cx| {
                let waiting = source.poll_io(Interest::Read, cx, |_| Ok(()));
                assert!(waiting.is_pending());
                Poll::Ready(())
            })
            .await;
            assert_eq!(interests(), 1);
            drop(source);
            assert_eq!(interests(), 0);
        });
    }
}
