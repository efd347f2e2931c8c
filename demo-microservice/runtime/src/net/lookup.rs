//! From names to addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{dns, sys};

/// Environment variable with the address of a name server, `ip` or `ip:port`.
const DNS_SERVER: &str = "DNS_SERVER";
const DNS_PORT: u16 = 53;

/// Finds the addresses of a host; each comes with `port`.
///
/// An address is taken as it stands. A name is asked of the server that the
/// environment variable `DNS_SERVER` (`ip` or `ip:port`) names, by
/// [`lookup_host_via`]; without it, of the host's resolver, which blocks all
/// tasks until it answers.
///
/// # Errors
///
/// `NotFound` if there is no such host; `InvalidInput` if `DNS_SERVER` is no
/// address; those of the network.
pub async fn lookup_host(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Some(address) = literal(host) {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    match std::env::var(DNS_SERVER) {
        Ok(server) if !server.is_empty() => {
            lookup_host_via(server_address(&server)?, host, port).await
        }
        _ => sys::resolve(host, port),
    }
}

/// Finds the addresses of a host by asking a name server over UDP, and over
/// TCP where an answer is too long for UDP.
///
/// IPv4 addresses come first. `localhost` is never asked for (RFC 6761).
///
/// # Errors
///
/// `NotFound` if there is no such host, `TimedOut` if the server does not
/// answer, `InvalidInput` for what can't be a name.
pub async fn lookup_host_via(
    server: SocketAddr,
    host: &str,
    port: u16,
) -> io::Result<Vec<SocketAddr>> {
    let addresses = match literal(host) {
        Some(address) => vec![address],
        None if is_localhost(host) => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        None => dns::resolve(server, host).await?,
    };
    let with_port = |address| SocketAddr::new(address, port);
    Ok(addresses.into_iter().map(with_port).collect())
}

fn literal(host: &str) -> Option<IpAddr> {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bracketed.unwrap_or(host).parse().ok()
}

fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    last.eq_ignore_ascii_case("localhost")
}

fn server_address(server: &str) -> io::Result<SocketAddr> {
    let address = server.parse().ok();
    address
        .or_else(|| literal(server).map(|ip| SocketAddr::new(ip, DNS_PORT)))
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{DNS_SERVER} is not an address: {server:?}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::{is_localhost, literal, server_address};

    #[test]
    fn literals_are_addresses_with_or_without_brackets() {
        assert_eq!(literal("::1"), literal("[::1]"));
        assert!(literal("10.0.0.1").is_some());
        assert_eq!(literal("db"), None);
    }

    #[test]
    fn localhost_is_the_last_label() {
        assert!(is_localhost("localhost."));
        assert!(is_localhost("a.LOCALHOST"));
        assert!(!is_localhost("localhost.example"));
    }

    #[test]
    fn a_server_needs_no_port() {
        assert_eq!(server_address("127.0.0.11").unwrap().port(), 53);
        assert_eq!(server_address("[::1]:5353").unwrap().port(), 5353);
        assert!(server_address("resolver").is_err());
    }
}
