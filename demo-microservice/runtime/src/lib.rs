//! A small single-threaded async runtime for `wasm32-wasip1` modules that use
//! the `WasmEdge` socket extension.
//!
//! It has what a network service needs and nothing else: an executor
//! ([`block_on`], [`spawn`]), TCP and UDP sockets with name lookup ([`net`]),
//! timers ([`time`]), a wake-everybody event ([`sync`]) and the signals of a
//! container that is asked to stop ([`signal`]). With the feature `hyper`
//! (default) a [`net::TcpStream`] can be given to hyper; with `futures-io`
//! (default) it implements `AsyncRead` and `AsyncWrite`.
//!
//! # Why it exists
//!
//! `poll_oneoff` is level-triggered and takes its whole list of interests anew
//! at each call. A runtime that keeps "writable" in that list, as ports of
//! epoll-based ones do, never sleeps again once a connection is open. Here an
//! interest exists only while a task waits for it (it is *one-shot* and
//! *exact*), so that a server with idle connections uses no CPU at all.
//!
//! # Example
//!
//! ```no_run
//! use wasip1_runtime::net::TcpListener;
//!
//! fn main() -> std::io::Result<()> {
//!     wasip1_runtime::block_on(async {
//!         let listener = TcpListener::bind("0.0.0.0:7".parse().unwrap())?;
//!         loop {
//!             let (stream, _peer) = listener.accept().await?;
//!             wasip1_runtime::spawn(async move {
//!                 let mut buffer = [0; 4096];
//!                 while let Ok(n @ 1..) = stream.read(&mut buffer).await {
//!                     if stream.write_all(&buffer[..n]).await.is_err() {
//!                         break;
//!                     }
//!                 }
//!             });
//!         }
//!     })
//! }
//! ```
//!
//! # Threads
//!
//! There is one thread: sockets and join handles are not `Send`, and a waker
//! that is used from another thread takes effect only when the runtime's own
//! thread next turns. On Unix hosts the same code runs over `poll(2)`, which is
//! meant for the unit tests of this crate and of its users.

#[cfg(not(any(all(target_os = "wasi", target_env = "p1"), unix)))]
compile_error!("wasip1-runtime is for wasm32-wasip1, and for Unix hosts to run unit tests on");

mod dns;
mod executor;
pub mod future;
#[cfg(feature = "hyper")]
pub mod hyper_rt;
pub mod net;
mod reactor;
pub mod signal;
pub mod sync;
mod sys;
mod task;
pub mod time;
mod timers;

pub use executor::{block_on, spawn, yield_now};
pub use task::{JoinError, JoinHandle};
