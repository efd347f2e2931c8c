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
