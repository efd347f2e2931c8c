//! A spawned task as its owner sees it.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The task ended without a result: it was aborted, it panicked, or its
/// executor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinError(());

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task ended without a result")
    }
}

impl Error for JoinError {}

/// Waits for a spawned task: a future of its result.
///
/// Dropping the handle leaves the task running.
pub struct JoinHandle<T> {
    state: Rc<RefCell<State<T>>>,
    abort: Box<dyn Fn()>,
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(state: Rc<RefCell<State<T>>>, abort: Box<dyn Fn()>) -> Self {
        Self { state, abort }
    }

    /// Drops the task where it stands; its handle then gives a [`JoinError`].
    ///
    /// A task that has ended keeps its result.
    pub fn abort(&self) {
        (self.abort)();
    }

    /// Whether the task has ended, in whatever way.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        !matches!(self.state.borrow().outcome, Outcome::Running)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.state.borrow_mut();
        match std::mem::replace(&mut state.outcome, Outcome::Taken) {
            Outcome::Running => {
                state.outcome = Outcome::Running;
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Outcome::Ended(result) => Poll::Ready(result),
            Outcome::Taken => panic!("JoinHandle: polled after it was ready"),
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

enum Outcome<T> {
    Running,
    Ended(Result<T, JoinError>),
    Taken,
}

/// What a task and its handle share.
pub(crate) struct State<T> {
    outcome: Outcome<T>,
    waker: Option<Waker>,
}

/// The task's end of the shared state; dropped unused it reports a
/// [`JoinError`].
pub(crate) struct Completion<T> {
    state: Rc<RefCell<State<T>>>,
}

pub(crate) fn completion<T>() -> (Completion<T>, Rc<RefCell<State<T>>>) {
    let state = Rc::new(RefCell::new(State {
        outcome: Outcome::Running,
        waker: None,
    }));
    let completion = Completion {
        state: Rc::clone(&state),
    };
    (completion, state)
}

impl<T> Completion<T> {
    pub(crate) fn finish(self, output: T) {
        self.end(Ok(output));
    }

    fn end(&self, result: Result<T, JoinError>) {
        let mut state = self.state.borrow_mut();
        if !matches!(state.outcome, Outcome::Running) {
            return;
        }
        state.outcome = Outcome::Ended(result);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        self.end(Err(JoinError(())));
    }
}
