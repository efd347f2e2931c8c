//! The `wasi_snapshot_preview1` calls and structures the runtime uses, those
//! of `WasmEdge`'s socket extension included.
//!
//! The extension has two versions of some calls. A plain name below has the
//! same type in both, or (`sock_accept`) is the form of WASI itself;
//! `sock_getlocaladdr` and `sock_getpeeraddr` have four parameters, which
//! picks version 1; `sock_recv_from_v2` names version 2, the only one that
//! tells the sender's port.

/// Number of a descriptor as the host knows it.
pub(super) type Fd = u32;
/// 0, or an error number of WASI.
pub(super) type Errno = u32;

pub(super) const INTR: Errno = 27;

pub(super) const FAMILY_INET4: u32 = 1;
pub(super) const FAMILY_INET6: u32 = 2;
pub(super) const TYPE_DATAGRAM: u32 = 1;
pub(super) const TYPE_STREAM: u32 = 2;

pub(super) const SOL_SOCKET: u32 = 0;
pub(super) const SO_REUSEADDR: u32 = 0;
pub(super) const SO_ERROR: u32 = 2;
pub(super) const SO_BROADCAST: u32 = 4;

pub(super) const SHUT_RD: u32 = 1;
pub(super) const SHUT_WR: u32 = 2;

pub(super) const FDFLAGS_NONBLOCK: u32 = 4;

pub(super) const EVENT_CLOCK: u8 = 0;
pub(super) const EVENT_FD_READ: u8 = 1;
pub(super) const EVENT_FD_WRITE: u8 = 2;
pub(super) const CLOCK_MONOTONIC: u32 = 1;

/// Bytes of an address: 4 or 16, in network order, without a port; 128 where
/// version 2 says so, with the family in the first two.
#[repr(C)]
pub(super) struct Address {
    pub(super) bytes: *mut u8,
    pub(super) len: u32,
}

#[repr(C)]
pub(super) struct Buffer {
    pub(super) data: *mut u8,
    pub(super) len: u32,
}

#[repr(C)]
pub(super) struct ConstBuffer {
    pub(super) data: *const u8,
    pub(super) len: u32,
}

#[repr(C)]
pub(super) struct SockAddr {
    pub(super) family: u8,
    pub(super) data_len: u32,
    pub(super) data: *mut u8,
}

#[repr(C)]
pub(super) struct AddrInfo {
    pub(super) flags: u16,
    pub(super) family: u8,
    pub(super) kind: u8,
    pub(super) protocol: u8,
    pub(super) addr_len: u32,
    pub(super) addr: *mut SockAddr,
    pub(super) canonical: *mut u8,
    pub(super) canonical_len: u32,
    pub(super) next: *mut AddrInfo,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Subscription {
    pub(super) userdata: u64,
    pub(super) tag: u8,
    pub(super) what: What,
}

/// A union in the specification, by the tag: a clock uses all of it, a
/// descriptor the first field.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct What {
    pub(super) descriptor_or_clock: u32,
    pub(super) timeout: u64,
    pub(super) precision: u64,
    pub(super) flags: u16,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Event {
    pub(super) userdata: u64,
    pub(super) error: u16,
    pub(super) tag: u8,
    pub(super) bytes: u64,
    pub(super) flags: u16,
}

const _: () = {
    assert!(size_of::<Address>() == 8);
    assert!(size_of::<SockAddr>() == 12);
    assert!(size_of::<AddrInfo>() == 28);
    assert!(size_of::<Subscription>() == 48);
    assert!(std::mem::offset_of!(Subscription, what) == 16);
    assert!(std::mem::offset_of!(What, timeout) == 8);
    assert!(size_of::<Event>() == 32);
};

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    pub(super) fn fd_fdstat_set_flags(fd: Fd, flags: u32) -> Errno;
    pub(super) fn fd_read(fd: Fd, to: *const Buffer, count: u32, read: *mut u32) -> Errno;
    pub(super) fn fd_write(
        fd: Fd,
        from: *const ConstBuffer,
        count: u32,
        written: *mut u32,
    ) -> Errno;
    pub(super) fn poll_oneoff(
        subscriptions: *const Subscription,
        events: *mut Event,
        count: u32,
        ready: *mut u32,
    ) -> Errno;
    pub(super) fn sock_open(family: u32, kind: u32, fd: *mut Fd) -> Errno;
    pub(super) fn sock_bind(fd: Fd, address: *const Address, port: u32) -> Errno;
    pub(super) fn sock_listen(fd: Fd, backlog: u32) -> Errno;
    pub(super) fn sock_accept(fd: Fd, flags: u32, accepted: *mut Fd) -> Errno;
    pub(super) fn sock_connect(fd: Fd, address: *const Address, port: u32) -> Errno;
    pub(super) fn sock_shutdown(fd: Fd, how: u32) -> Errno;
    pub(super) fn sock_getsockopt(
        fd: Fd,
        level: u32,
        name: u32,
        value: *mut u32,
        len: *mut u32,
    ) -> Errno;
    pub(super) fn sock_setsockopt(
        fd: Fd,
        level: u32,
        name: u32,
        value: *const u32,
        len: u32,
    ) -> Errno;
    pub(super) fn sock_getlocaladdr(
        fd: Fd,
        address: *const Address,
        kind: *mut u32,
        port: *mut u32,
    ) -> Errno;
    pub(super) fn sock_getpeeraddr(
        fd: Fd,
        address: *const Address,
        kind: *mut u32,
        port: *mut u32,
    ) -> Errno;
    pub(super) fn sock_send_to(
        fd: Fd,
        from: *const ConstBuffer,
        count: u32,
        address: *const Address,
        port: u32,
        flags: u32,
        sent: *mut u32,
    ) -> Errno;
    pub(super) fn sock_recv_from_v2(
        fd: Fd,
        to: *const Buffer,
        count: u32,
        address: *const Address,
        flags: u32,
        port: *mut u32,
        received: *mut u32,
        out_flags: *mut u16,
    ) -> Errno;
    pub(super) fn sock_getaddrinfo(
        node: *const u8,
        node_len: u32,
        service: *const u8,
        service_len: u32,
        hints: *const AddrInfo,
        results: *mut *mut AddrInfo,
        max: u32,
        found: *mut u32,
    ) -> Errno;
}
