//! Who may use which connection next; no input, no output, no waiting.

use crate::{
    connection::Connection,
    error::{Error, Result},
};
use std::{
    collections::VecDeque,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

/// A connection nobody uses.
#[derive(Debug)]
pub(crate) struct Idle<S> {
    pub(crate) connection: Connection<S>,
    pub(crate) since: Instant,
    /// Another connection broke since this one was used.
    pub(crate) suspect: bool,
}

/// The right to one of the pool's places.
#[derive(Debug)]
pub(crate) enum Grant<S> {
    Ready(Idle<S>),
    /// No connection: the holder opens one.
    Slot,
}

#[derive(Debug)]
pub(crate) struct Queue<S> {
    free: usize,
    // The one used last is at the back and goes out first, so the others can grow old.
    idle: VecDeque<Idle<S>>,
    waiting: VecDeque<(u64, Option<Waker>)>,
    granted: Vec<(u64, Grant<S>)>,
    next_ticket: u64,
    closed: bool,
}

impl<S> Queue<S> {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            free: places,
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
            granted: Vec::new(),
            next_ticket: 0,
            closed: false,
        }
    }

    /// A place at once, or else a ticket in the line.
    pub(crate) fn take(&mut self) -> Result<std::result::Result<Grant<S>, u64>> {
        if self.closed {
            return Err(Error::PoolClosed);
        }
        // Places are never kept while somebody waits, so nobody is overtaken here.
        if let Some(idle) = self.idle.pop_back() {
            return Ok(Ok(Grant::Ready(idle)));
        }
        if self.free > 0 {
            self.free -= 1;
            return Ok(Ok(Grant::Slot));
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back((ticket, None));
        Ok(Err(ticket))
    }

    /// What has been granted to a ticket; a ticket that has got its answer is void.
    pub(crate) fn claim(&mut self, ticket: u64, waker: &Waker) -> Poll<Result<Grant<S>>> {
        if let Some(at) = self.granted.iter().position(|(id, _)| *id == ticket) {
            return Poll::Ready(Ok(self.granted.swap_remove(at).1));
        }
        match self.waiting.iter_mut().find(|(id, _)| *id == ticket) {
            Some((_, place)) => {
                *place = Some(waker.clone());
                Poll::Pending
            }
            None => Poll::Ready(Err(Error::PoolClosed)),
        }
    }

    /// Hands a place to the first in line, or keeps it.
    pub(crate) fn give(&mut self, grant: Grant<S>) -> Option<Waker> {
        if let Some((ticket, waker)) = self.waiting.pop_front() {
            self.granted.push((ticket, grant));
            return waker;
        }
        match grant {
            Grant::Ready(idle) if !self.closed => self.idle.push_back(idle),
            Grant::Ready(_) | Grant::Slot => self.free += 1,
        }
        None
    }

    /// Gives up a ticket and hands on what may have been granted to it.
    pub(crate) fn leave(&mut self, ticket: u64) -> Option<Waker> {
        self.waiting.retain(|(id, _)| *id != ticket);
        let at = self.granted.iter().position(|(id, _)| *id == ticket)?;
        let (_, grant) = self.granted.swap_remove(at);
        self.give(grant)
    }

    /// The oldest idle connection, where more than `min` are open and it was idle for over `limit`.
    pub(crate) fn expire(&mut self, min: usize, limit: Duration) -> Option<Connection<S>> {
        if self.idle.len() < min || self.idle.front()?.since.elapsed() <= limit {
            return None;
        }
        self.free += 1;
        self.idle.pop_front().map(|idle| idle.connection)
    }

    pub(crate) fn suspect_all(&mut self) {
        for idle in &mut self.idle {
            idle.suspect = true;
        }
    }

    /// Empties the line; the connections returned are the caller's to close.
    pub(crate) fn close(&mut self) -> (Vec<Connection<S>>, Vec<Waker>) {
        self.closed = true;
        self.free += self.idle.len();
        let idle = self.idle.drain(..).map(|idle| idle.connection).collect();
        let wakers = self
            .waiting
            .drain(..)
            .filter_map(|(_, waker)| waker)
            .collect();
        (idle, wakers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(queue: &mut Queue<()>, ticket: u64) -> Poll<Result<Grant<()>>> {
        queue.claim(ticket, Waker::noop())
    }

    fn ticket(queue: &mut Queue<()>) -> u64 {
        queue.take().unwrap().unwrap_err()
    }

    #[test]
    fn places_go_round_in_the_order_of_asking() {
        let mut queue = Queue::<()>::new(1);
        assert!(matches!(queue.take(), Ok(Ok(Grant::Slot))));
        let (first, second) = (ticket(&mut queue), ticket(&mut queue));
        assert!(claim(&mut queue, first).is_pending());
        queue.give(Grant::Slot);
        assert!(claim(&mut queue, second).is_pending());
        assert!(matches!(
            claim(&mut queue, first),
            Poll::Ready(Ok(Grant::Slot))
        ));
        queue.give(Grant::Slot);
        assert!(matches!(
            claim(&mut queue, second),
            Poll::Ready(Ok(Grant::Slot))
        ));
    }

    #[test]
    fn who_leaves_with_a_place_hands_it_on() {
        let mut queue = Queue::<()>::new(1);
        assert!(matches!(queue.take(), Ok(Ok(Grant::Slot))));
        let (first, second) = (ticket(&mut queue), ticket(&mut queue));
        queue.give(Grant::Slot);
        queue.leave(first);
        assert!(matches!(
            claim(&mut queue, second),
            Poll::Ready(Ok(Grant::Slot))
        ));
        queue.give(Grant::Slot);
        assert!(matches!(queue.take(), Ok(Ok(Grant::Slot))));
    }

    #[test]
    fn closing_sends_everybody_home() {
        let mut queue = Queue::<()>::new(1);
        assert!(matches!(queue.take(), Ok(Ok(Grant::Slot))));
        let waiting = ticket(&mut queue);
        queue.close();
        assert!(matches!(
            claim(&mut queue, waiting),
            Poll::Ready(Err(Error::PoolClosed))
        ));
        assert!(matches!(queue.take(), Err(Error::PoolClosed)));
        assert!(queue.give(Grant::Slot).is_none());
    }
}
