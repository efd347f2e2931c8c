//! Telling many tasks that something has happened.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Happens once; every task that waits for it, now or later, goes on.
#[derive(Debug, Default)]
pub struct Event {
    happened: Cell<bool>,
    waiting: RefCell<BTreeMap<u64, Waker>>,
    next: Cell<u64>,
}

impl Event {
    /// An event that has not happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes it happen; a second call has no effect.
    pub fn set(&self) {
        self.happened.set(true);
        for waker in self.waiting.take().into_values() {
            waker.wake();
        }
    }

    /// Whether it has happened.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.happened.get()
    }

    /// Waits for it.
    pub fn wait(&self) -> Wait<'_> {
        Wait {
            event: self,
            key: None,
        }
    }
}

/// The future of [`Event::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Wait<'a> {
    event: &'a Event,
    key: Option<u64>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let event = self.event;
        if event.happened.get() {
            return Poll::Ready(());
        }
        let key = *self.key.get_or_insert_with(|| {
            let key = event.next.get();
            event.next.set(key + 1);
            key
        });
        let replaced = event.waiting.borrow_mut().insert(key, cx.waker().clone());
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let removed = self.event.waiting.borrow_mut().remove(&key);
            drop(removed);
        }
    }
}
