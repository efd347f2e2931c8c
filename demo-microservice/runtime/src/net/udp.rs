//! A UDP socket.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use crate::reactor::Source;
use crate::sys::{self, Family, Interest, Kind};

/// A socket for datagrams.
#[derive(Debug)]
pub struct UdpSocket {
    source: Source,
    family: Family,
}

impl UdpSocket {
    /// Opens a socket at an address; port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)` and `bind(2)`.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let family = Family::of(&address);
        let fd = sys::socket(family, Kind::Datagram)?;
        sys::bind(fd.as_fd(), &address)?;
        let source = Source::new(fd);
        Ok(Self { source, family })
    }

    /// Sends a datagram.
    ///
    /// # Errors
    ///
    /// Those of `sendto(2)`.
    pub async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        poll_fn(|cx| {
            self.source
                .poll_io(Interest::Write, cx, |fd| sys::send_to(fd, datagram, &to))
        })
        .await
    }

    /// Waits for a datagram; gives its length and its sender.
    ///
    /// What does not fit into `datagram` is lost.
    ///
    /// # Errors
    ///
    /// Those of `recvfrom(2)`.
    pub async fn recv_from(&self, datagram: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|cx| {
            self.source.poll_io(Interest::Read, cx, |fd| {
                sys::recv_from(fd, self.family, datagram)
            })
        })
        .await
    }

    /// Allows or forbids sending to broadcast addresses.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.source.with(|fd| sys::set_broadcast(fd, on))
    }

    /// The socket's own address, with the port the system chose.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|fd| sys::local_address(fd, self.family))
    }
}
