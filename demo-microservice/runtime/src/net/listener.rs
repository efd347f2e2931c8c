//! A listening TCP socket.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use super::TcpStream;
use crate::reactor::Source;
use crate::sys::{self, Family, Interest, Kind};
use crate::time::sleep;

const BACKLOG: u32 = 1024;
/// How long to wait for descriptors or memory to be given back.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// A socket that accepts TCP connections.
#[derive(Debug)]
pub struct TcpListener {
    source: Source,
    family: Family,
}

impl TcpListener {
    /// Listens at an address; port 0 lets the system choose.
    ///
    /// An IPv6 listener at `[::]` takes IPv4 connections too, where the system
    /// is set so; their addresses are then IPv4-mapped ones.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)`, `bind(2)` and `listen(2)`.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let family = Family::of(&address);
        let fd = sys::socket(family, Kind::Stream)?;
        sys::set_reuse_address(fd.as_fd())?;
        sys::bind(fd.as_fd(), &address)?;
        sys::listen(fd.as_fd(), BACKLOG)?;
        let source = Source::new(fd);
        Ok(Self { source, family })
    }

    /// Waits for the next connection; gives it and its peer's address.
    ///
    /// Connections that broke before they were accepted are passed over, and
    /// while descriptors or memory are used up it waits: neither ends a server.
    ///
    /// # Errors
    ///
    /// Only those that will not go away, such as a host that lacks the call.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let accepted = poll_fn(|cx| self.source.poll_io(Interest::Read, cx, sys::accept)).await;
            match accepted {
                Ok(fd) => {
                    // The peer may be gone already; then there is nothing to serve either.
                    if let Ok(peer) = sys::peer_address(fd.as_fd(), self.family) {
                        return Ok((TcpStream::new(Source::new(fd), self.family), peer));
                    }
                }
                Err(error) if sys::is_exhaustion(&error) => sleep(EXHAUSTED_PAUSE).await,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The address it listens at, with the port the system chose.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|fd| sys::local_address(fd, self.family))
    }
}

/// Errors that `accept(2)` passes on from the connection it takes.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::TimedOut
    )
}
