//! Waiting by `poll_oneoff`.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::Interest;
use super::abi::{self, Event, Subscription, What};
use super::wasip1::{check, len, number};

/// Marks the event of the clock; descriptors carry their index.
const CLOCK: u64 = u64::MAX;

/// The interests handed to `poll_oneoff`; userdata is the index.
#[derive(Default)]
pub(crate) struct PollSet {
    subscriptions: Vec<Subscription>,
    events: Vec<Event>,
}

impl PollSet {
    pub(crate) fn push(&mut self, fd: BorrowedFd<'_>, interest: Interest) {
        self.subscriptions.push(Subscription {
            userdata: self.subscriptions.len() as u64,
            tag: match interest {
                Interest::Read => abi::EVENT_FD_READ,
                Interest::Write => abi::EVENT_FD_WRITE,
            },
            what: What {
                descriptor_or_clock: number(fd),
                timeout: 0,
                precision: 0,
                flags: 0,
            },
        });
    }

    pub(crate) fn swap_remove(&mut self, index: usize) {
        self.subscriptions.swap_remove(index);
        if let Some(moved) = self.subscriptions.get_mut(index) {
            moved.userdata = index as u64;
        }
    }

    /// Waits for any interest, at most for `timeout`, and appends the indices
    /// of those that fired.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<usize>,
    ) -> io::Result<()> {
        if let Some(timeout) = timeout {
            // Last, and taken off again: the rest of the list stays the same for the host.
            self.subscriptions.push(Subscription {
                userdata: CLOCK,
                tag: abi::EVENT_CLOCK,
                what: What {
                    descriptor_or_clock: abi::CLOCK_MONOTONIC,
                    timeout: u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX),
                    precision: 0,
                    flags: 0,
                },
            });
        }
        let count = self.subscriptions.len();
        if self.events.len() < count {
            self.events.resize(count, Event::default());
        }
        let mut fired = 0;
        // SAFETY: both lists hold `count` items and outlive the call.
        let errno = unsafe {
            abi::poll_oneoff(
                self.subscriptions.as_ptr(),
                self.events.as_mut_ptr(),
                len(count),
                &raw mut fired,
            )
        };
        if timeout.is_some() {
            self.subscriptions.pop();
        }
        if errno != abi::INTR {
            check(errno)?;
            // An event with an error fires as well: the operation itself then says what it is.
            let events = self.events.iter().take(fired as usize);
            ready.extend(events.filter_map(|event| usize::try_from(event.userdata).ok()));
        }
        Ok(())
    }
}
