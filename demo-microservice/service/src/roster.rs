//! Who is connected, and how far the program has got in stopping.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Poll, Waker},
};

/// The steps of stopping, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not stopping.
    Serving,
    /// Every answer is the last on its connection; a request that is on its way still gets one.
    Draining,
    /// Connections without a request are closed.
    Closing,
    /// Every connection is closed.
    Ending,
}
const PHASES: [Phase; 4] = [
    Phase::Serving,
    Phase::Draining,
    Phase::Closing,
    Phase::Ending,
];

/// The open connections.
#[derive(Debug, Default)]
pub struct Roster {
    // Apart from the members, since every request looks at it.
    phase: AtomicU8,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
    watcher: Option<Waker>,
}

/// An entry in the roster, struck out when dropped.
#[derive(Debug)]
pub struct Member {
    roster: Arc<Roster>,
    number: u64,
}

impl Roster {
    pub fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    /// Goes on to a later phase and tells everybody.
    pub fn advance(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        let wakers: Vec<_> = self.members().wakers.values().cloned().collect();
        for waker in wakers {
            waker.wake();
        }
    }

    pub fn enter(self: &Arc<Self>) -> Member {
        let mut members = self.members();
        let number = members.next;
        members.next += 1;
        members.wakers.insert(number, Waker::noop().clone());
        Member {
            roster: self.clone(),
            number,
        }
    }

    pub fn count(&self) -> usize {
        self.members().wakers.len()
    }

    /// Waits until nobody is connected.
    pub async fn empty(&self) {
        poll_fn(|cx| {
            let mut members = self.members();
            if members.wakers.is_empty() {
                return Poll::Ready(());
            }
            members.watcher = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    pub fn phase(&self) -> Phase {
        self.roster.phase()
    }

    /// Says whom to wake when the phase changes; enough once for a task.
    pub fn listen(&self, waker: &Waker) {
        self.roster
            .members()
            .wakers
            .insert(self.number, waker.clone());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut members = self.roster.members();
        members.wakers.remove(&self.number);
        if members.wakers.is_empty() {
            let watcher = members.watcher.take();
            drop(members);
            if let Some(watcher) = watcher {
                watcher.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::Future,
        pin::pin,
        sync::atomic::AtomicUsize,
        task::{Context, Wake},
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn members_hear_of_every_phase() {
        let roster = Arc::new(Roster::default());
        let count = Arc::new(Count::default());
        let member = roster.enter();
        member.listen(&count.clone().into());
        roster.advance(Phase::Draining);
        roster.advance(Phase::Closing);
        assert_eq!(member.phase(), Phase::Closing);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn the_roster_is_empty_once_the_last_has_left() {
        let roster = Arc::new(Roster::default());
        let count = Arc::new(Count::default());
        let waker = count.clone().into();
        let mut cx = Context::from_waker(&waker);
        let (first, second) = (roster.enter(), roster.enter());
        let mut empty = pin!(roster.empty());
        assert!(empty.as_mut().poll(&mut cx).is_pending());
        drop(first);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        drop(second);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(empty.as_mut().poll(&mut cx).is_ready());
    }
}
