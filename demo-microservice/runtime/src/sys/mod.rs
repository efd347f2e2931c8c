//! What the runtime needs from the system, once for wasip1 with `WasmEdge`'s
//! socket calls and once for Unix hosts, with the same names.
//!
//! Sockets come out non-blocking. Errors are those of the calls, unchanged.

#[cfg(target_os = "wasi")]
mod abi;
#[cfg(target_os = "wasi")]
mod names;
#[cfg(target_os = "wasi")]
mod poll;
#[cfg(target_os = "wasi")]
mod wasip1;
#[cfg(target_os = "wasi")]
pub(crate) use {names::resolve, poll::PollSet, wasip1::*};

#[cfg(unix)]
mod native;
#[cfg(unix)]
pub(crate) use native::*;

use std::net::SocketAddr;

/// A direction a task can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(address: &SocketAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Stream,
    Datagram,
}
