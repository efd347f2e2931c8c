//! A TCP connection.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use super::connect;
use crate::reactor::Source;
use crate::sys::{self, Family, Interest};

/// A TCP connection.
///
/// All methods take `&self`, so that one task can read while another writes.
/// Dropping it closes the connection.
#[derive(Debug)]
pub struct TcpStream {
    source: Source,
    family: Family,
}

impl TcpStream {
    pub(super) fn new(source: Source, family: Family) -> Self {
        Self { source, family }
    }

    /// Connects to an address.
    ///
    /// # Errors
    ///
    /// Those of `connect(2)`, also the ones that show only later
    /// (`SO_ERROR`): refused, unreachable, timed out. The system's own time
    /// limit is minutes; see [`timeout`](crate::time::timeout).
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        connect::connect(address).await
    }

    /// Connects to the first of several addresses that answers.
    ///
    /// Each address gets 250 ms before the next one is tried beside it, or
    /// less when it fails at once (RFC 8305, section 5).
    ///
    /// # Errors
    ///
    /// The last address's error if all fail; `InvalidInput` if there is none.
    pub async fn connect_any(addresses: &[SocketAddr]) -> io::Result<Self> {
        connect::connect_any(addresses).await
    }

    /// Reads up to `to.len()` bytes; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of `read(2)`.
    pub async fn read(&self, to: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_bytes(cx, to)).await
    }

    /// Writes some of the bytes, at least one.
    ///
    /// # Errors
    ///
    /// Those of `write(2)`.
    pub async fn write(&self, from: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write_bytes(cx, from)).await
    }

    /// Writes all of the bytes.
    ///
    /// # Errors
    ///
    /// Those of `write(2)`; some bytes may have been written then.
    pub async fn write_all(&self, mut from: &[u8]) -> io::Result<()> {
        while !from.is_empty() {
            let written = self.write(from).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            from = &from[written..];
        }
        Ok(())
    }

    /// Ends one or both directions. After `Shutdown::Write` the peer reads the
    /// end of the stream while its own data can still be read here.
    ///
    /// # Errors
    ///
    /// Those of `shutdown(2)`; that the peer is gone already is none.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self.source.with(|fd| sys::shutdown(fd, how)) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|fd| sys::local_address(fd, self.family))
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of `getpeername(2)`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|fd| sys::peer_address(fd, self.family))
    }

    pub(super) fn poll_read_bytes(
        &self,
        cx: &Context<'_>,
        to: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // SAFETY: initialized bytes may be seen as possibly uninitialized ones, and
        // `poll_read_uninit` only ever writes initialized ones.
        let to = unsafe { &mut *(&raw mut *to as *mut [MaybeUninit<u8>]) };
        self.poll_read_uninit(cx, to)
    }

    /// Reads into memory that need not be initialized; as many bytes of it as
    /// are returned are so afterwards.
    pub(super) fn poll_read_uninit(
        &self,
        cx: &Context<'_>,
        to: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        if to.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let read = |fd: BorrowedFd<'_>| sys::read(fd, to);
        let read = ready!(self.source.poll_io(Interest::Read, cx, read))?;
        if (1..to.len()).contains(&read) {
            self.source.exhausted(Interest::Read);
        }
        Poll::Ready(Ok(read))
    }

    pub(super) fn poll_write_bytes(
        &self,
        cx: &Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(
            self.source
                .poll_io(Interest::Write, cx, |fd| sys::write(fd, from))
        )?;
        if written < from.len() {
            self.source.exhausted(Interest::Write);
        }
        Poll::Ready(Ok(written))
    }

    pub(super) fn poll_write_slices(
        &self,
        cx: &Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.source
            .poll_io(Interest::Write, cx, |fd| sys::write_vectored(fd, from))
    }
}
