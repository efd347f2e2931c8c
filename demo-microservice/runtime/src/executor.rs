//! The executor: the queue of tasks that are ready, and the loop that runs
//! them and sleeps in the reactor when there are none.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::reactor;
use crate::task::{self, JoinHandle};

/// Polls of tasks between two looks at the sockets while tasks stay ready.
const POLLS_PER_TURN: usize = 64;
/// Successful socket operations a task may do in one poll before it must let
/// the others run.
const OPERATIONS_PER_POLL: u8 = 128;

type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;
type ReadyQueue = Mutex<VecDeque<Arc<Handle>>>;

/// What a waker points to: a task's place in the scheduler.
struct Handle {
    /// Index into `Scheduler::tasks`; `None` is the future given to `block_on`.
    slot: Option<usize>,
    queued: AtomicBool,
    ready: Arc<ReadyQueue>,
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            lock(&self.ready).push_back(Arc::clone(&self));
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Arc::clone(self).wake();
    }
}

fn lock(queue: &ReadyQueue) -> std::sync::MutexGuard<'_, VecDeque<Arc<Handle>>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Task {
    handle: Arc<Handle>,
    waker: Waker,
    /// Absent while the task is being polled.
    future: Option<TaskFuture>,
    aborted: bool,
}

#[derive(Default)]
struct Scheduler {
    ready: Arc<ReadyQueue>,
    tasks: RefCell<Vec<Option<Task>>>,
    free: RefCell<Vec<usize>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Scheduler>>> = const { RefCell::new(None) };
    static OPERATIONS: Cell<u8> = const { Cell::new(OPERATIONS_PER_POLL) };
}

/// Runs a future to its end on this thread, and with it every task it spawns.
///
/// Tasks that are still there when the future ends are dropped.
///
/// # Panics
///
/// When called from inside another `block_on`, and when nothing is left that
/// could ever wake the future (no socket, timer or ready task).
pub fn block_on<F: Future>(future: F) -> F::Output {
    let scheduler = Rc::new(Scheduler::default());
    let _running = Running::enter(&scheduler);
    let main = Arc::new(Handle {
        slot: None,
        queued: AtomicBool::new(false),
        ready: Arc::clone(&scheduler.ready),
    });
    main.wake_by_ref();
    let waker = Waker::from(main);
    let mut future = pin!(future);
    loop {
        for _ in 0..POLLS_PER_TURN {
            let Some(handle) = scheduler.next() else {
                break;
            };
            OPERATIONS.set(OPERATIONS_PER_POLL);
            if handle.slot.is_some() {
                scheduler.run(&handle);
            } else if let Poll::Ready(output) =
                future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return output;
            }
        }
        let idle = lock(&scheduler.ready).is_empty();
        assert!(
            reactor::turn(idle) || !idle,
            "block_on: nothing is left that could wake the future"
        );
    }
}

/// Starts a task on the running executor.
///
/// # Panics
///
/// When called outside [`block_on`].
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let scheduler = CURRENT
        .with_borrow(Clone::clone)
        .expect("spawn: called outside block_on");
    let (completion, state) = task::completion();
    let handle = scheduler.add(Box::pin(async move {
        let output = future.await;
        completion.finish(output);
    }));
    let weak = Rc::downgrade(&scheduler);
    JoinHandle::new(
        state,
        Box::new(move || {
            if let Some(scheduler) = weak.upgrade() {
                scheduler.abort(&handle);
            }
        }),
    )
}

/// Lets every other ready task run once before the caller goes on.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Counts one socket operation of the running task; pending, with the task
/// queued again, once it has had its share.
pub(crate) fn poll_share(cx: &Context<'_>) -> Poll<()> {
    let left = OPERATIONS.get();
    if left == 0 {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    OPERATIONS.set(left - 1);
    Poll::Ready(())
}

/// Marks the thread as inside `block_on`; leaving drops the remaining tasks.
struct Running;

impl Running {
    fn enter(scheduler: &Rc<Scheduler>) -> Self {
        CURRENT.with_borrow_mut(|current| {
            assert!(current.is_none(), "block_on: called from inside block_on");
            *current = Some(Rc::clone(scheduler));
        });
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Destructors of tasks may still spawn or abort: no borrow is held while they run.
        if let Some(scheduler) = CURRENT.with_borrow(Clone::clone) {
            loop {
                let tasks = scheduler.tasks.take();
                if tasks.is_empty() {
                    break;
                }
                scheduler.free.take();
                drop(tasks);
            }
            // Each handle in the queue keeps the queue alive.
            lock(&scheduler.ready).clear();
        }
        CURRENT.take();
        OPERATIONS.set(OPERATIONS_PER_POLL);
    }
}

impl Scheduler {
    fn next(&self) -> Option<Arc<Handle>> {
        let handle = lock(&self.ready).pop_front()?;
        handle.queued.store(false, Ordering::Release);
        Some(handle)
    }

    fn add(&self, future: TaskFuture) -> Arc<Handle> {
        let mut tasks = self.tasks.borrow_mut();
        let slot = self.free.borrow_mut().pop().unwrap_or(tasks.len());
        let handle = Arc::new(Handle {
            slot: Some(slot),
            queued: AtomicBool::new(false),
            ready: Arc::clone(&self.ready),
        });
        let task = Some(Task {
            waker: Waker::from(Arc::clone(&handle)),
            handle: Arc::clone(&handle),
            future: Some(future),
            aborted: false,
        });
        if slot == tasks.len() {
            tasks.push(task);
        } else {
            tasks[slot] = task;
        }
        drop(tasks);
        handle.wake_by_ref();
        handle
    }

    /// Applies `change` to the task of a handle, unless the task has ended and
    /// its slot is empty or another's.
    fn with_task<T>(&self, handle: &Arc<Handle>, change: impl FnOnce(&mut Task) -> T) -> Option<T> {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(handle.slot?)?.as_mut()?;
        Arc::ptr_eq(&task.handle, handle).then(|| change(task))
    }

    fn run(&self, handle: &Arc<Handle>) {
        let taken = self.with_task(handle, |task| (task.future.take(), task.waker.clone()));
        let Some((Some(mut future), waker)) = taken else {
            return;
        };
        let ended = future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready();
        let mut future = Some(future);
        let kept = self.with_task(handle, |task| {
            if !ended && !task.aborted {
                task.future = future.take();
            }
            task.future.is_some()
        });
        if kept == Some(false) {
            self.remove(handle);
        }
    }

    fn abort(&self, handle: &Arc<Handle>) {
        let taken = self.with_task(handle, |task| {
            task.aborted = true;
            task.future.take()
        });
        if let Some(Some(future)) = taken {
            self.remove(handle);
            drop(future);
        }
    }

    fn remove(&self, handle: &Handle) {
        if let Some(slot) = handle.slot {
            let task = self.tasks.borrow_mut()[slot].take();
            self.free.borrow_mut().push(slot);
            drop(task);
        }
    }
}
