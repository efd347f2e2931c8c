//! Timers: order, limits, cancelling.

use std::cell::RefCell;
use std::future::{pending, ready};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use wasip1_runtime::time::{interval, sleep, sleep_until, timeout};
use wasip1_runtime::{block_on, spawn};

const MS: Duration = Duration::from_millis(1);

#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    let log = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        let start = Instant::now();
        let tasks = [20, 5, 10, 0].map(|after| {
            let log = Rc::clone(&log);
            spawn(async move {
                sleep_until(start + MS * after).await;
                assert!(Instant::now() >= start + MS * after);
                log.borrow_mut().push(after);
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(*log.borrow(), [0, 5, 10, 20]);
}

#[test]
fn equal_deadlines_all_fire() {
    block_on(async {
        let deadline = Instant::now() + MS;
        let tasks: Vec<_> = (0..50).map(|_| spawn(sleep_until(deadline))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn a_limit_passes_or_does_not() {
    block_on(async {
        assert_eq!(timeout(Duration::MAX, ready(3)).await, Ok(3));
        assert_eq!(timeout(Duration::ZERO, ready(4)).await, Ok(4));
        let start = Instant::now();
        let elapsed = timeout(MS * 5, pending::<()>()).await.unwrap_err();
        assert!(start.elapsed() >= MS * 5);
        assert_eq!(io::Error::from(elapsed).kind(), io::ErrorKind::TimedOut);
    });
}

#[test]
#[should_panic(expected = "nothing is left that could wake")]
fn a_dropped_sleep_leaves_no_timer_behind() {
    block_on(async {
        assert!(timeout(Duration::from_secs(3600), ready(())).await.is_ok());
        pending::<()>().await;
    });
}

#[test]
fn a_sleep_can_be_moved_and_used_again() {
    block_on(async {
        let mut moved = Box::pin(sleep(Duration::from_secs(3600)));
        assert!(timeout(MS, &mut moved).await.is_err());
        moved.as_mut().reset(Instant::now() + MS);
        moved.as_mut().await;
        let again = Instant::now() + MS * 3;
        moved.as_mut().reset(again);
        assert_eq!(moved.deadline(), again);
        moved.as_mut().await;
        assert!(Instant::now() >= again);
    });
}

#[test]
fn an_interval_ticks_at_once_then_each_period_and_leaves_out_what_it_missed() {
    block_on(async {
        let start = Instant::now();
        let mut ticks = interval(MS * 4);
        assert!(ticks.tick().await < start + MS * 4);
        ticks.tick().await;
        assert!(start.elapsed() >= MS * 4);
        sleep(MS * 20).await;
        ticks.tick().await;
        let after_late = Instant::now();
        ticks.tick().await;
        assert!(after_late.elapsed() >= MS * 3);
    });
}

#[test]
#[should_panic(expected = "the period is zero")]
fn an_interval_needs_a_period() {
    let _ = interval(Duration::ZERO);
}
