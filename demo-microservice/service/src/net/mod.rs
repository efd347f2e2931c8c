//! Sockets, tasks, time and signals: all that differs between the platforms.
//!
//! Each platform's module offers the same names; see them for what is special.

#[cfg(all(target_os = "wasi", target_env = "p1"))]
mod wasip1;
#[cfg(all(target_os = "wasi", target_env = "p1"))]
pub use wasip1::{Database, HttpStream, Listener, StopSignal, block_on, sleep, spawn};

#[cfg(not(all(target_os = "wasi", target_env = "p1")))]
mod tokio;
#[cfg(not(all(target_os = "wasi", target_env = "p1")))]
pub use tokio::{Database, HttpStream, Listener, StopSignal, block_on, sleep, spawn};
