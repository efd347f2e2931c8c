//! A listener while descriptors have run out; alone in its process, whose
//! limit it changes.

use std::io::Read;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use wasip1_runtime::block_on;
use wasip1_runtime::net::TcpListener;
use wasip1_runtime::time::timeout;

#[test]
fn a_listener_survives_running_out_of_descriptors() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let mut waiting = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let used = waiting.as_raw_fd().unsigned_abs().into();
    let previous = limit_descriptors(used);
    block_on(async {
        let early = timeout(Duration::from_millis(120), listener.accept()).await;
        assert!(early.is_err(), "accepted without a descriptor: {early:?}");
        limit_descriptors(previous);
        let served = timeout(Duration::from_secs(10), listener.accept()).await;
        let (stream, _) = served.unwrap().unwrap();
        stream.write_all(b"served").await.unwrap();
    });
    let mut text = [0; 6];
    waiting.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"served");
}

/// Sets the process's limit of open descriptors and gives the one before.
fn limit_descriptors(limit: libc::rlim_t) -> libc::rlim_t {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure outlives the call.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits) };
    assert_eq!(got, 0);
    let previous = std::mem::replace(&mut limits.rlim_cur, limit);
    // SAFETY: the structure outlives the call.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits) };
    assert_eq!(set, 0);
    previous
}
