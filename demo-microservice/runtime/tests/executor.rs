//! Tasks: how they start, end, are aborted and share the thread.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use wasip1_runtime::future::{Either, race};
use wasip1_runtime::sync::Event;
use wasip1_runtime::time::sleep;
use wasip1_runtime::{block_on, spawn, yield_now};

/// Sets its flag when it is dropped.
struct Dropped(Rc<Cell<bool>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn block_on_gives_the_output_and_may_borrow() {
    let text = String::from("borrowed");
    assert_eq!(block_on(async { text.len() }), 8);
}

#[test]
fn a_handle_gives_the_result_whether_the_task_ended_before_or_after() {
    block_on(async {
        let early = spawn(async { 1 });
        yield_now().await;
        assert!(early.is_finished());
        let late = spawn(async {
            sleep(Duration::from_millis(1)).await;
            2
        });
        assert!(!late.is_finished());
        assert_eq!(early.await, Ok(1));
        assert_eq!(late.await, Ok(2));
    });
}

#[test]
fn ready_tasks_take_turns() {
    let log = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        let tasks = ["a", "b"].map(|name| {
            let log = Rc::clone(&log);
            spawn(async move {
                for _ in 0..3 {
                    log.borrow_mut().push(name);
                    yield_now().await;
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(*log.borrow(), ["a", "b", "a", "b", "a", "b"]);
}

#[test]
fn abort_drops_a_waiting_task_and_keeps_a_finished_ones_result() {
    let dropped = Rc::new(Cell::new(false));
    block_on(async {
        let guard = Dropped(Rc::clone(&dropped));
        let waiting = spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        yield_now().await;
        waiting.abort();
        assert!(dropped.get());
        assert!(waiting.await.is_err());

        let finished = spawn(async { 5 });
        yield_now().await;
        finished.abort();
        assert_eq!(finished.await, Ok(5));
    });
}

#[test]
fn a_task_can_abort_itself() {
    block_on(async {
        let dropped = Rc::new(Cell::new(false));
        let own = Rc::new(RefCell::new(None));
        let (guard, itself) = (Dropped(Rc::clone(&dropped)), Rc::clone(&own));
        let handle = spawn(async move {
            let _guard = guard;
            let handle: wasip1_runtime::JoinHandle<()> = itself.borrow_mut().take().unwrap();
            handle.abort();
            pending::<()>().await;
        });
        *own.borrow_mut() = Some(handle);
        yield_now().await;
        yield_now().await;
        assert!(dropped.get());
    });
}

#[test]
fn a_slot_taken_over_is_not_woken_or_aborted_by_the_old_tasks_handle() {
    block_on(async {
        let old = spawn(async {});
        yield_now().await;
        let fresh = spawn(async {
            yield_now().await;
            7
        });
        old.abort();
        assert_eq!(fresh.await, Ok(7));
    });
}

#[test]
fn remaining_tasks_are_dropped_at_the_end_even_if_they_spawn_then() {
    struct SpawnsWhenDropped(Rc<Cell<bool>>);
    impl Drop for SpawnsWhenDropped {
        fn drop(&mut self) {
            let guard = Dropped(Rc::clone(&self.0));
            spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            });
        }
    }
    let dropped = Rc::new(Cell::new(false));
    let guard = SpawnsWhenDropped(Rc::clone(&dropped));
    block_on(async move {
        spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        yield_now().await;
    });
    assert!(dropped.get());
    // The thread is free for another run.
    assert_eq!(block_on(async { spawn(async { 1 }).await }), Ok(1));
}

#[test]
fn a_task_queued_several_times_is_polled_once() {
    block_on(async {
        let polls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&polls);
        let task = spawn(poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            if counted.get() == 1 {
                for _ in 0..5 {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            Poll::Ready(())
        }));
        task.await.unwrap();
        assert_eq!(polls.get(), 2);
    });
}

#[test]
#[should_panic(expected = "nothing is left that could wake")]
fn a_future_that_nothing_can_wake_is_reported() {
    block_on(pending::<()>());
}

#[test]
#[should_panic(expected = "called from inside block_on")]
fn block_on_does_not_nest() {
    block_on(async { block_on(async {}) });
}

#[test]
#[should_panic(expected = "called outside block_on")]
fn spawn_needs_an_executor() {
    spawn(async {});
}

#[test]
fn race_prefers_the_first_and_drops_the_other() {
    block_on(async {
        let dropped = Rc::new(Cell::new(false));
        let guard = Dropped(Rc::clone(&dropped));
        let slow = async move {
            let _guard = guard;
            pending::<()>().await;
        };
        assert_eq!(race(async { 1 }, slow).await, Either::Left(1));
        assert!(dropped.get());
        assert_eq!(race(pending::<()>(), async { 2 }).await, Either::Right(2));
    });
}

#[test]
fn an_event_wakes_all_who_wait_and_those_who_come_later() {
    block_on(async {
        let event = Rc::new(Event::new());
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let event = Rc::clone(&event);
                spawn(async move { event.wait().await })
            })
            .collect();
        yield_now().await;
        assert!(tasks.iter().all(|task| !task.is_finished()));
        event.set();
        for task in tasks {
            task.await.unwrap();
        }
        event.wait().await;
        assert!(event.is_set());
    });
}

#[test]
fn an_event_forgets_those_who_stopped_waiting() {
    block_on(async {
        let event = Event::new();
        for _ in 0..100 {
            assert_eq!(race(event.wait(), async {}).await, Either::Right(()));
        }
        assert!(format!("{event:?}").contains("waiting: RefCell { value: {} }"));
    });
}
