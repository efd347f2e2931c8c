//! The deadlines that tasks of this thread wait for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Instant;

/// A deadline, and a number that tells equal deadlines apart.
pub(crate) type Key = (Instant, u64);

thread_local! {
    // An ordered map and not a heap: most timers are timeouts that never expire, and have to
    // leave when they are cancelled, not when they would have fired.
    static PENDING: RefCell<BTreeMap<Key, Waker>> = const { RefCell::new(BTreeMap::new()) };
}

// Unique in the process, since hyper wants sleeps that can move between threads.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Registers a deadline.
pub(crate) fn add(deadline: Instant, waker: &Waker) -> Key {
    let key = (deadline, NEXT.fetch_add(1, Ordering::Relaxed));
    PENDING.with_borrow_mut(|pending| pending.insert(key, waker.clone()));
    key
}

/// Sets who is woken for a registered deadline; false if it has fired.
pub(crate) fn update(key: &Key, waker: &Waker) -> bool {
    PENDING.with_borrow_mut(|pending| {
        let Some(known) = pending.get_mut(key) else {
            return false;
        };
        known.clone_from(waker);
        true
    })
}

/// Forgets a deadline; one that has fired is forgotten already.
pub(crate) fn cancel(key: &Key) {
    // The map is gone when a sleep outlives its thread's other values.
    let removed = PENDING.try_with(|pending| pending.borrow_mut().remove(key));
    drop(removed);
}

/// The nearest deadline.
pub(crate) fn next() -> Option<Instant> {
    PENDING.with_borrow(|pending| pending.first_key_value().map(|(key, _)| key.0))
}

/// Moves the wakers of all deadlines up to `now` into `woken`.
pub(crate) fn expire(now: Instant, woken: &mut Vec<Waker>) {
    PENDING.with_borrow_mut(|pending| {
        while let Some(entry) = pending.first_entry() {
            if entry.key().0 > now {
                break;
            }
            woken.push(entry.remove());
        }
    });
}
