//! What hyper asks of a runtime besides streams.

use std::pin::Pin;
use std::time::{Duration, Instant};

use hyper::rt;

use crate::time::{Sleep, sleep, sleep_until};

/// hyper's timers by this runtime, for `http1::Builder::timer`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timer;

impl rt::Sleep for Sleep {}

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(sleep(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(sleep_until(deadline))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, deadline: Instant) {
        if let Some(mut known) = sleep.as_mut().downcast_mut_pin::<Sleep>() {
            known.reset(deadline);
        } else {
            *sleep = rt::Timer::sleep_until(self, deadline);
        }
    }
}
