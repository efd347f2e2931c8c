//! Name lookup by the host (`sock_getaddrinfo`).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr;

use super::abi::{self, AddrInfo, Errno, SockAddr};
use super::wasip1::len;

/// Addresses taken from one lookup.
const MAX_RESULTS: usize = 16;
/// Port, flow info, IPv6 address, scope: the longest form.
const DATA_LEN: usize = 26;
const CANONICAL_LEN: usize = 64;
/// The address family or the hints are not known to the host.
const UNSUPPORTED: [Errno; 3] = [28, 79, 81];
/// Try again, no data, no such name.
const NOT_FOUND: [Errno; 2] = [83, 84];

/// Resolves a name; blocks the whole guest while the host does so.
pub(crate) fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let result = lookup(host, port, 0).or_else(|errno| {
        if !UNSUPPORTED.contains(&errno) {
            return Err(errno);
        }
        // A host that wants one family at a time.
        match lookup(host, port, family(abi::FAMILY_INET4)) {
            Ok(mut found) => {
                found.extend(lookup(host, port, family(abi::FAMILY_INET6)).unwrap_or_default());
                Ok(found)
            }
            Err(_) => lookup(host, port, family(abi::FAMILY_INET6)),
        }
    });
    result.map_err(|errno| {
        let kind = if NOT_FOUND.contains(&errno) {
            io::ErrorKind::NotFound
        } else {
            io::ErrorKind::Other
        };
        io::Error::new(kind, format!("host lookup failed with error {errno}"))
    })
}

fn family(number: u32) -> u8 {
    number.to_le_bytes()[0]
}

/// What the host writes one result into; it follows `info.next` from the first.
struct Slot {
    info: AddrInfo,
    address: SockAddr,
    data: [u8; DATA_LEN],
    canonical: [u8; CANONICAL_LEN],
}

fn info(family: u8) -> AddrInfo {
    AddrInfo {
        flags: 0,
        family,
        kind: abi::TYPE_STREAM.to_le_bytes()[0],
        protocol: 1,
        addr_len: 0,
        addr: ptr::null_mut(),
        canonical: ptr::null_mut(),
        canonical_len: 0,
        next: ptr::null_mut(),
    }
}

fn slots() -> Vec<Slot> {
    let mut slots: Vec<Slot> = (0..MAX_RESULTS)
        .map(|_| Slot {
            info: info(0),
            address: SockAddr {
                family: 0,
                data_len: 0,
                data: ptr::null_mut(),
            },
            data: [0; DATA_LEN],
            canonical: [0; CANONICAL_LEN],
        })
        .collect();
    let mut next = ptr::null_mut();
    for slot in slots.iter_mut().rev() {
        slot.address.data = slot.data.as_mut_ptr();
        slot.address.data_len = len(DATA_LEN);
        slot.info.addr = &raw mut slot.address;
        slot.info.canonical = slot.canonical.as_mut_ptr();
        slot.info.canonical_len = len(CANONICAL_LEN);
        slot.info.next = next;
        next = &raw mut slot.info;
    }
    slots
}

fn lookup(host: &str, port: u16, family: u8) -> Result<Vec<SocketAddr>, Errno> {
    let mut slots = slots();
    let mut first = &raw mut slots[0].info;
    let hints = info(family);
    // Some hosts want the strings terminated within their lengths.
    let (node, service) = (format!("{host}\0"), "0\0");
    let mut found = 0;
    // SAFETY: the list, its buffers and the strings outlive the call.
    let errno = unsafe {
        abi::sock_getaddrinfo(
            node.as_ptr(),
            len(node.len()),
            service.as_ptr(),
            len(service.len()),
            &raw const hints,
            &raw mut first,
            len(MAX_RESULTS),
            &raw mut found,
        )
    };
    if errno != 0 {
        return Err(errno);
    }
    let mut addresses = Vec::new();
    for slot in slots.iter().take(found as usize) {
        let address = address(slot, port);
        // A host may list an address once for each socket type.
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn address(slot: &Slot, port: u16) -> SocketAddr {
    let data = &slot.data;
    if u32::from(slot.info.family) == abi::FAMILY_INET6 {
        let mut ip = [0; 16];
        ip.copy_from_slice(&data[6..22]);
        (Ipv6Addr::from(ip), port).into()
    } else {
        (Ipv4Addr::new(data[2], data[3], data[4], data[5]), port).into()
    }
}
