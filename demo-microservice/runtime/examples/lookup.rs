//! Prints the addresses of the hosts given as arguments; with `DNS_SERVER`
//! set it asks that server.

use std::io;

use wasip1_runtime::block_on;
use wasip1_runtime::net::lookup_host;

fn main() -> io::Result<()> {
    block_on(async {
        for host in std::env::args().skip(1) {
            for address in lookup_host(&host, 0).await? {
                println!("{host} {}", address.ip());
            }
        }
        Ok(())
    })
}
