//! TCP, UDP and names.
//!
//! ```no_run
//! use wasip1_runtime::net::{TcpStream, lookup_host};
//!
//! # async fn example() -> std::io::Result<()> {
//! let addresses = lookup_host("db", 3306).await?;
//! let stream = TcpStream::connect_any(&addresses).await?;
//! # Ok(())
//! # }
//! ```

mod connect;
#[cfg(feature = "futures-io")]
mod futures;
#[cfg(feature = "hyper")]
mod hyper;
mod listener;
mod lookup;
mod stream;
mod udp;

pub use listener::TcpListener;
pub use lookup::{lookup_host, lookup_host_via};
pub use stream::TcpStream;
pub use udp::UdpSocket;
