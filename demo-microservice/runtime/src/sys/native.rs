//! The system by `poll(2)` and BSD sockets, to run unit tests on.

#![expect(
    clippy::cast_possible_truncation,
    reason = "C's small constants and the sizes of its structures"
)]

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::{Family, Interest, Kind};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Looks at a descriptor as one of the standard library's sockets.
fn view<T: FromRawFd>(fd: BorrowedFd<'_>) -> ManuallyDrop<T> {
    // SAFETY: the descriptor is open while borrowed, and the view never closes it.
    ManuallyDrop::new(unsafe { T::from_raw_fd(fd.as_raw_fd()) })
}

/// The interests handed to `poll(2)`, each an entry of its own.
#[derive(Default)]
pub(crate) struct PollSet(Vec<libc::pollfd>);

impl PollSet {
    pub(crate) fn push(&mut self, fd: BorrowedFd<'_>, interest: Interest) {
        self.0.push(libc::pollfd {
            fd: fd.as_raw_fd(),
            events: match interest {
                Interest::Read => libc::POLLIN,
                Interest::Write => libc::POLLOUT,
            },
            revents: 0,
        });
    }

    pub(crate) fn swap_remove(&mut self, index: usize) {
        self.0.swap_remove(index);
    }

    /// Waits for any interest, at most for `timeout`, and appends the indices
    /// of those that fired.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<usize>,
    ) -> io::Result<()> {
        let timeout = timeout.map_or(-1, |timeout| {
            let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
            libc::c_int::try_from(milliseconds).unwrap_or(libc::c_int::MAX)
        });
        let count = self.0.len() as libc::nfds_t;
        // SAFETY: the list holds `count` entries.
        let polled = check(unsafe { libc::poll(self.0.as_mut_ptr(), count, timeout) });
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        };
        let fired = |(index, entry): (usize, &libc::pollfd)| (entry.revents != 0).then_some(index);
        ready.extend(self.0.iter().enumerate().filter_map(fired));
        Ok(())
    }
}

/// Opens a socket.
pub(crate) fn socket(family: Family, kind: Kind) -> io::Result<OwnedFd> {
    let family = match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    let kind = match kind {
        Kind::Stream => libc::SOCK_STREAM,
        Kind::Datagram => libc::SOCK_DGRAM,
    };
    // SAFETY: takes no pointers; the descriptor is new and ours.
    let fd = unsafe { OwnedFd::from_raw_fd(check(libc::socket(family, kind, 0))?) };
    set_nonblocking(&fd)?;
    Ok(fd)
}

fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let fd = fd.as_raw_fd();
    // SAFETY: takes no pointers.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: takes no pointers.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok(())
}

/// Calls `call` with the C form of an address.
fn with_address<T>(
    address: &SocketAddr,
    call: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> T,
) -> T {
    // SAFETY: all zeros is a valid address of no family.
    let mut storage: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
    let pointer = &raw mut storage;
    let len = match address {
        SocketAddr::V4(address) => {
            // SAFETY: the storage is large and aligned enough for every family.
            let v4 = unsafe { &mut *pointer.cast::<libc::sockaddr_in>() };
            v4.sin_family = libc::AF_INET as libc::sa_family_t;
            v4.sin_port = address.port().to_be();
            v4.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            // SAFETY: as above.
            let v6 = unsafe { &mut *pointer.cast::<libc::sockaddr_in6>() };
            v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            v6.sin6_port = address.port().to_be();
            v6.sin6_addr.s6_addr = address.ip().octets();
            v6.sin6_scope_id = address.scope_id();
            size_of::<libc::sockaddr_in6>()
        }
    };
    call(pointer.cast(), len as libc::socklen_t)
}

/// Binds a socket.
pub(crate) fn bind(fd: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    with_address(address, |address, len| {
        // SAFETY: the address outlives the call.
        check(unsafe { libc::bind(fd.as_raw_fd(), address, len) }).map(drop)
    })
}

/// Makes a bound socket a listener.
pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: u32) -> io::Result<()> {
    let backlog = libc::c_int::try_from(backlog).unwrap_or(libc::c_int::MAX);
    // SAFETY: takes no pointers.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) }).map(drop)
}

/// Takes a connection from a listener.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let (stream, _) = view::<TcpListener>(fd).accept()?;
    let fd = OwnedFd::from(stream);
    set_nonblocking(&fd)?;
    Ok(fd)
}

/// Starts to connect; `EINPROGRESS` says that it goes on.
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    with_address(address, |address, len| {
        // SAFETY: the address outlives the call.
        check(unsafe { libc::connect(fd.as_raw_fd(), address, len) }).map(drop)
    })
}

/// Whether an error of [`connect`] means that it goes on.
pub(crate) fn is_in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINPROGRESS)
}

/// Whether an error says that descriptors or memory ran out.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// Takes the pending error of a socket (`SO_ERROR`).
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> io::Result<()> {
    view::<TcpStream>(fd).take_error()?.map_or(Ok(()), Err)
}

/// Lets an address be bound that an old connection still lingers on.
pub(crate) fn set_reuse_address(fd: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is a live int of the size given.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_REUSEADDR,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Allows datagrams to broadcast addresses.
pub(crate) fn set_broadcast(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    view::<UdpSocket>(fd).set_broadcast(on)
}

/// The socket's own address.
pub(crate) fn local_address(fd: BorrowedFd<'_>, _family: Family) -> io::Result<SocketAddr> {
    view::<TcpStream>(fd).local_addr()
}

/// The address at the other end.
pub(crate) fn peer_address(fd: BorrowedFd<'_>, _family: Family) -> io::Result<SocketAddr> {
    view::<TcpStream>(fd).peer_addr()
}

/// Ends one or both directions of a connection.
pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    view::<TcpStream>(fd).shutdown(how)
}

/// Reads; the first bytes of `to`, as many as returned, are then initialized.
pub(crate) fn read(fd: BorrowedFd<'_>, to: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    to.fill(MaybeUninit::new(0));
    // SAFETY: every byte has just been initialized.
    let to = unsafe { &mut *(&raw mut *to as *mut [u8]) };
    view::<std::fs::File>(fd).read(to)
}

/// Writes what can be written at once.
pub(crate) fn write(fd: BorrowedFd<'_>, from: &[u8]) -> io::Result<usize> {
    view::<TcpStream>(fd).write(from)
}

/// Writes several slices as one.
pub(crate) fn write_vectored(fd: BorrowedFd<'_>, from: &[io::IoSlice<'_>]) -> io::Result<usize> {
    view::<TcpStream>(fd).write_vectored(from)
}

/// Sends a datagram.
pub(crate) fn send_to(fd: BorrowedFd<'_>, from: &[u8], address: &SocketAddr) -> io::Result<usize> {
    view::<UdpSocket>(fd).send_to(from, address)
}

/// Receives a datagram; its surplus over `to` is lost.
pub(crate) fn recv_from(
    fd: BorrowedFd<'_>,
    _family: Family,
    to: &mut [u8],
) -> io::Result<(usize, SocketAddr)> {
    view::<UdpSocket>(fd).recv_from(to)
}

/// Resolves a name; blocks while the C library does so.
pub(crate) fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in (host, port).to_socket_addrs()? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// Opens the read end of a FIFO without waiting for a writer.
pub(crate) fn open_fifo(path: &str) -> io::Result<OwnedFd> {
    let path = CString::new(path)?;
    // Kept open for writing too, the FIFO has no end of stream when a writer goes.
    for access in [libc::O_RDWR, libc::O_RDONLY] {
        let flags = access | libc::O_NONBLOCK | libc::O_CLOEXEC;
        // SAFETY: the path is NUL-terminated.
        let fd = unsafe { libc::open(path.as_ptr(), flags) };
        if fd >= 0 {
            // SAFETY: the descriptor is new and ours.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
    Err(io::Error::last_os_error())
}
