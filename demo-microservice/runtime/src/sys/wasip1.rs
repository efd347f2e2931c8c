//! Sockets by the calls of `WasmEdge`.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::abi::{self, Address, Buffer, ConstBuffer, Errno, Fd};
use super::{Family, Kind};

/// Slices of one vectored write; more are left to the next one.
const MAX_SLICES: usize = 16;

pub(super) fn check(errno: Errno) -> io::Result<()> {
    match errno {
        0 => Ok(()),
        errno => Err(error(errno)),
    }
}

fn error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(i32::MAX))
}

pub(super) fn number(fd: BorrowedFd<'_>) -> Fd {
    Fd::from_ne_bytes(fd.as_raw_fd().to_ne_bytes())
}

fn owned(fd: Fd) -> OwnedFd {
    // SAFETY: the host has just made the descriptor for us, nobody else knows its number.
    unsafe { OwnedFd::from_raw_fd(RawFd::from_ne_bytes(fd.to_ne_bytes())) }
}

pub(super) fn len(slice_len: usize) -> u32 {
    u32::try_from(slice_len).unwrap_or(u32::MAX)
}

/// Opens a socket.
pub(crate) fn socket(family: Family, kind: Kind) -> io::Result<OwnedFd> {
    let family = match family {
        Family::V4 => abi::FAMILY_INET4,
        Family::V6 => abi::FAMILY_INET6,
    };
    let kind = match kind {
        Kind::Stream => abi::TYPE_STREAM,
        Kind::Datagram => abi::TYPE_DATAGRAM,
    };
    let mut fd = 0;
    // SAFETY: the result is written to a live u32.
    check(unsafe { abi::sock_open(family, kind, &raw mut fd) })?;
    let fd = owned(fd);
    set_nonblocking(&fd)?;
    Ok(fd)
}

fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let fd = number(fd.as_fd());
    // SAFETY: takes no pointers.
    check(unsafe { abi::fd_fdstat_set_flags(fd, abi::FDFLAGS_NONBLOCK) })
}

/// Calls `call` with an address in version 1's form and its port.
fn with_address<T>(address: &SocketAddr, call: impl FnOnce(&Address, u32) -> T) -> T {
    let port = u32::from(address.port());
    let with = |bytes: &mut [u8]| {
        let address = Address {
            bytes: bytes.as_mut_ptr(),
            len: len(bytes.len()),
        };
        call(&address, port)
    };
    match address.ip() {
        IpAddr::V4(ip) => with(&mut ip.octets()),
        IpAddr::V6(ip) => with(&mut ip.octets()),
    }
}

/// Binds a socket.
pub(crate) fn bind(fd: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    with_address(address, |address, port| {
        // SAFETY: the address and its bytes outlive the call.
        check(unsafe { abi::sock_bind(number(fd), address, port) })
    })
}

/// Makes a bound socket a listener.
pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: u32) -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { abi::sock_listen(number(fd), backlog) })
}

/// Takes a connection from a listener.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut accepted = 0;
    // SAFETY: the result is written to a live u32.
    check(unsafe { abi::sock_accept(number(fd), abi::FDFLAGS_NONBLOCK, &raw mut accepted) })?;
    let accepted = owned(accepted);
    // WasmEdge ignores the flag above.
    set_nonblocking(&accepted)?;
    Ok(accepted)
}

/// Starts to connect; `EINPROGRESS` says that it goes on.
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    with_address(address, |address, port| {
        // SAFETY: the address and its bytes outlive the call.
        check(unsafe { abi::sock_connect(number(fd), address, port) })
    })
}

/// Whether an error of [`connect`] means that it goes on.
pub(crate) fn is_in_progress(error: &io::Error) -> bool {
    const INPROGRESS: i32 = 26;
    error.raw_os_error() == Some(INPROGRESS)
}

/// Whether an error says that descriptors or memory ran out.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    const MFILE: i32 = 33;
    const NFILE: i32 = 41;
    const NOBUFS: i32 = 42;
    const NOMEM: i32 = 48;
    matches!(error.raw_os_error(), Some(MFILE | NFILE | NOBUFS | NOMEM))
}

/// Takes the pending error of a socket (`SO_ERROR`).
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> io::Result<()> {
    let (mut value, mut size) = (0, 4);
    // SAFETY: value and size are live u32s and size is that of value.
    check(unsafe {
        abi::sock_getsockopt(
            number(fd),
            abi::SOL_SOCKET,
            abi::SO_ERROR,
            &raw mut value,
            &raw mut size,
        )
    })?;
    check(value)
}

fn set_option(fd: BorrowedFd<'_>, name: u32, value: u32) -> io::Result<()> {
    // SAFETY: value is a live u32 of the size given.
    check(unsafe { abi::sock_setsockopt(number(fd), abi::SOL_SOCKET, name, &raw const value, 4) })
}

/// Lets an address be bound that an old connection still lingers on.
pub(crate) fn set_reuse_address(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, abi::SO_REUSEADDR, 1)
}

/// Allows datagrams to broadcast addresses.
pub(crate) fn set_broadcast(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set_option(fd, abi::SO_BROADCAST, u32::from(on))
}

type AddressCall = unsafe extern "C" fn(Fd, *const Address, *mut u32, *mut u32) -> Errno;

fn address_by(call: AddressCall, fd: BorrowedFd<'_>, family: Family) -> io::Result<SocketAddr> {
    let mut bytes = [0; 16];
    let address = Address {
        bytes: bytes.as_mut_ptr(),
        len: match family {
            Family::V4 => 4,
            Family::V6 => 16,
        },
    };
    let (mut kind, mut port) = (0, 0);
    // SAFETY: the host writes at most `len` bytes of address, and two live u32s.
    check(unsafe { call(number(fd), &raw const address, &raw mut kind, &raw mut port) })?;
    Ok(socket_address(family, &bytes, port_of(port)))
}

fn port_of(port: u32) -> u16 {
    // Only the lower half is written by some hosts.
    (port & 0xffff) as u16
}

fn socket_address(family: Family, bytes: &[u8; 16], port: u16) -> SocketAddr {
    let [a, b, c, d, ..] = *bytes;
    let ip = match family {
        Family::V4 => Ipv4Addr::new(a, b, c, d).into(),
        Family::V6 => Ipv6Addr::from(*bytes).into(),
    };
    SocketAddr::new(ip, port)
}

/// The socket's own address.
pub(crate) fn local_address(fd: BorrowedFd<'_>, family: Family) -> io::Result<SocketAddr> {
    address_by(abi::sock_getlocaladdr, fd, family)
}

/// The address at the other end.
pub(crate) fn peer_address(fd: BorrowedFd<'_>, family: Family) -> io::Result<SocketAddr> {
    address_by(abi::sock_getpeeraddr, fd, family)
}

/// Ends one or both directions of a connection.
pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    let how = match how {
        Shutdown::Read => abi::SHUT_RD,
        Shutdown::Write => abi::SHUT_WR,
        Shutdown::Both => abi::SHUT_RD | abi::SHUT_WR,
    };
    // SAFETY: takes no pointers.
    check(unsafe { abi::sock_shutdown(number(fd), how) })
}

/// Reads; the first bytes of `to`, as many as returned, are then initialized.
pub(crate) fn read(fd: BorrowedFd<'_>, to: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    let buffer = Buffer {
        data: to.as_mut_ptr().cast(),
        len: len(to.len()),
    };
    let mut done = 0;
    // SAFETY: the host writes at most `len` bytes to the buffer.
    check(unsafe { abi::fd_read(number(fd), &raw const buffer, 1, &raw mut done) })?;
    Ok(done as usize)
}

/// Writes what can be written at once.
pub(crate) fn write(fd: BorrowedFd<'_>, from: &[u8]) -> io::Result<usize> {
    write_vectored(fd, &[io::IoSlice::new(from)])
}

/// Writes several slices, at most the first 16, as one.
pub(crate) fn write_vectored(fd: BorrowedFd<'_>, from: &[io::IoSlice<'_>]) -> io::Result<usize> {
    const NONE: ConstBuffer = ConstBuffer {
        data: std::ptr::null(),
        len: 0,
    };
    let mut buffers = [NONE; MAX_SLICES];
    let mut count = 0;
    for (buffer, slice) in buffers.iter_mut().zip(from) {
        *buffer = ConstBuffer {
            data: slice.as_ptr(),
            len: len(slice.len()),
        };
        count += 1;
    }
    let mut done = 0;
    // SAFETY: the slices outlive the call.
    check(unsafe { abi::fd_write(number(fd), buffers.as_ptr(), count, &raw mut done) })?;
    Ok(done as usize)
}

/// Sends a datagram.
pub(crate) fn send_to(fd: BorrowedFd<'_>, from: &[u8], address: &SocketAddr) -> io::Result<usize> {
    let buffer = ConstBuffer {
        data: from.as_ptr(),
        len: len(from.len()),
    };
    let mut done = 0;
    with_address(address, |address, port| {
        let fd = number(fd);
        // SAFETY: buffer, address and result outlive the call.
        check(unsafe {
            abi::sock_send_to(fd, &raw const buffer, 1, address, port, 0, &raw mut done)
        })
    })?;
    Ok(done as usize)
}

/// Receives a datagram; its surplus over `to` is lost.
pub(crate) fn recv_from(
    fd: BorrowedFd<'_>,
    family: Family,
    to: &mut [u8],
) -> io::Result<(usize, SocketAddr)> {
    let buffer = Buffer {
        data: to.as_mut_ptr(),
        len: len(to.len()),
    };
    let mut bytes = [0; 128];
    let address = Address {
        bytes: bytes.as_mut_ptr(),
        len: len(bytes.len()),
    };
    let (mut port, mut done, mut flags) = (0, 0, 0);
    // SAFETY: the host writes at most the lengths given, and the results are live.
    check(unsafe {
        abi::sock_recv_from_v2(
            number(fd),
            &raw const buffer,
            1,
            &raw const address,
            0,
            &raw mut port,
            &raw mut done,
            &raw mut flags,
        )
    })?;
    let mut ip = [0; 16];
    ip.copy_from_slice(&bytes[2..18]);
    // This call, alone, gives the port in network order.
    let port = u16::from_be(port_of(port));
    Ok((done as usize, socket_address(family, &ip, port)))
}

/// Opens the read end of a FIFO without waiting for a writer.
pub(crate) fn open_fifo(path: &str) -> io::Result<OwnedFd> {
    let path = CString::new(path)?;
    // Kept open for writing too, the FIFO has no end of stream when a writer goes.
    for access in [libc::O_RDWR, libc::O_RDONLY] {
        // SAFETY: the path is NUL-terminated.
        let fd = unsafe { libc::open(path.as_ptr(), access | libc::O_NONBLOCK) };
        if fd >= 0 {
            // SAFETY: the descriptor is new and ours.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            set_nonblocking(&fd)?;
            return Ok(fd);
        }
    }
    Err(io::Error::last_os_error())
}
