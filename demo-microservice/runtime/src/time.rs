//! Sleeping, time limits and regular ticks.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

pub use std::time::{Duration, Instant};

use crate::timers::{self, Key};

/// What a deadline beyond the clock's range is replaced by.
const FAR_FUTURE: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Waits until `duration` has passed.
#[must_use]
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(after(duration))
}

/// Waits until `deadline` has come.
#[must_use]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep {
        deadline,
        registered: None,
    }
}

fn after(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration).unwrap_or(now + FAR_FUTURE)
}

/// The future of [`sleep`] and [`sleep_until`].
#[derive(Debug)]
pub struct Sleep {
    deadline: Instant,
    registered: Option<Key>,
}

impl Sleep {
    /// When the sleep ends.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves the end of the sleep, also of one that has ended.
    pub fn reset(&mut self, deadline: Instant) {
        if let Some(key) = self.registered.take() {
            timers::cancel(&key);
        }
        self.deadline = deadline;
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // The clock is a host call: it is read only after the reactor has dropped the timer.
        if let Some(key) = self.registered {
            if timers::update(&key, cx.waker()) {
                return Poll::Pending;
            }
            if Instant::now() >= self.deadline {
                return Poll::Ready(());
            }
        }
        self.registered = Some(timers::add(self.deadline, cx.waker()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.registered {
            timers::cancel(&key);
        }
    }
}

/// The time limit of [`timeout`] has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit has passed")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs a future for at most `limit`.
///
/// # Errors
///
/// [`Elapsed`] when the limit passes first; the future is then dropped.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut limit = pin!(sleep(limit));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        limit.as_mut().poll(cx).map(|()| Err(Elapsed(())))
    })
    .await
}

/// Ticks at once and then every `period`.
///
/// # Panics
///
/// When the period is zero.
#[must_use]
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "interval: the period is zero");
    Interval {
        period,
        next: Instant::now(),
    }
}

/// A regular tick, see [`interval`].
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Instant,
}

impl Interval {
    /// Waits for the next tick and gives the time it was due at.
    ///
    /// Ticks that were missed by more than a period are left out.
    pub async fn tick(&mut self) -> Instant {
        let due = self.next;
        let now = Instant::now();
        if due > now {
            sleep_until(due).await;
        }
        let next = due + self.period;
        self.next = if next < now { now + self.period } else { next };
        due
    }
}
