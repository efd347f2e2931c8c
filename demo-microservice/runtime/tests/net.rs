//! Sockets over the loopback interface.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use wasip1_runtime::future::{Either, race};
use wasip1_runtime::net::{TcpListener, TcpStream, UdpSocket, lookup_host};
use wasip1_runtime::time::timeout;
use wasip1_runtime::{block_on, spawn, yield_now};

const LIMIT: Duration = Duration::from_secs(10);

fn loopback() -> [SocketAddr; 2] {
    [
        (Ipv4Addr::LOCALHOST, 0).into(),
        (Ipv6Addr::LOCALHOST, 0).into(),
    ]
}

/// Two ends of a connection, the accepted one first.
async fn pair(address: SocketAddr) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(address).unwrap();
    let client = spawn(TcpStream::connect(listener.local_addr().unwrap()));
    let (server, peer) = listener.accept().await.unwrap();
    let client = client.await.unwrap().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
    (server, client)
}

async fn read_to_end(stream: &TcpStream, chunk: usize) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = vec![0; chunk];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(all),
            read => all.extend_from_slice(&buffer[..read]),
        }
    }
}

#[test]
fn bytes_go_both_ways_over_ipv4_and_ipv6() {
    for address in loopback() {
        block_on(async {
            let (server, client) = pair(address).await;
            client.write_all(b"ping").await.unwrap();
            let mut buffer = [0; 16];
            assert_eq!(server.read(&mut buffer).await.unwrap(), 4);
            server.write_all(b"pong!").await.unwrap();
            assert_eq!(client.read(&mut buffer).await.unwrap(), 5);
            assert_eq!(&buffer[..5], b"pong!");
        });
    }
}

#[test]
fn after_a_half_close_the_other_direction_still_works() {
    block_on(async {
        let (server, client) = pair(loopback()[0]).await;
        client.write_all(b"question").await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&server, 64).await.unwrap(), b"question");
        // The end of the stream stays the end.
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
        server.write_all(b"answer").await.unwrap();
        drop(server);
        assert_eq!(read_to_end(&client, 64).await.unwrap(), b"answer");
    });
}

#[test]
fn an_end_of_stream_right_behind_a_short_read_is_seen() {
    block_on(async {
        for chunk in [3, 4, 5, 64] {
            let (server, client) = pair(loopback()[0]).await;
            client.write_all(b"four").await.unwrap();
            drop(client);
            let read = timeout(LIMIT, read_to_end(&server, chunk)).await.unwrap();
            assert_eq!(read.unwrap(), b"four");
        }
    });
}

#[test]
fn a_large_transfer_survives_full_buffers_at_both_ends() {
    let data: Vec<u8> = (0..8 << 20).map(|i: u32| (i % 251) as u8).collect();
    block_on(async {
        let (server, client) = pair(loopback()[0]).await;
        let sent = data.clone();
        let writer = spawn(async move { client.write_all(&sent).await });
        let received = timeout(LIMIT, read_to_end(&server, 100_000)).await.unwrap();
        writer.await.unwrap().unwrap();
        assert!(received.unwrap() == data);
    });
}

#[test]
fn one_task_reads_while_another_writes_the_same_stream() {
    block_on(async {
        let (server, client) = pair(loopback()[0]).await;
        let client = Rc::new(client);
        let reader = Rc::clone(&client);
        let reading = spawn(async move { read_to_end(&reader, 16).await });
        yield_now().await;
        client.write_all(b"hello").await.unwrap();
        let mut buffer = [0; 5];
        server.read(&mut buffer).await.unwrap();
        server.write_all(b"bye").await.unwrap();
        drop(server);
        assert_eq!(reading.await.unwrap().unwrap(), b"bye");
    });
}

#[test]
fn a_refused_connection_is_an_error_of_connect() {
    block_on(async {
        for address in loopback() {
            let closed = TcpListener::bind(address).unwrap().local_addr().unwrap();
            let error = TcpStream::connect(closed).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
    });
}

#[test]
fn of_several_addresses_the_first_that_answers_is_taken() {
    block_on(async {
        let closed = TcpListener::bind(loopback()[0])
            .unwrap()
            .local_addr()
            .unwrap();
        let listener = TcpListener::bind(loopback()[1]).unwrap();
        let open = listener.local_addr().unwrap();
        let stream = TcpStream::connect_any(&[closed, open]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        let error = TcpStream::connect_any(&[closed]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = TcpStream::connect_any(&[]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn an_address_that_hangs_does_not_hold_up_the_next() {
    // A listener with a full queue leaves further attempts without an answer.
    let full = std::net::TcpListener::bind(loopback()[0]).unwrap();
    let hanging = full.local_addr().unwrap();
    // SAFETY: takes no pointers.
    assert_eq!(unsafe { libc::listen(full.as_raw_fd(), 1) }, 0);
    let mut fillers = Vec::new();
    while let Ok(filler) =
        std::net::TcpStream::connect_timeout(&hanging, Duration::from_millis(100))
    {
        fillers.push(filler);
    }
    block_on(async {
        let listener = TcpListener::bind(loopback()[0]).unwrap();
        let open = listener.local_addr().unwrap();
        let addresses = [hanging, open];
        let attempt = TcpStream::connect_any(&addresses);
        let stream = timeout(LIMIT, attempt).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
    });
}

#[test]
fn a_lost_peer_is_an_error_and_no_panic() {
    block_on(async {
        let (server, client) = pair(loopback()[0]).await;
        // Unread data makes the close a reset.
        client.write_all(b"unread").await.unwrap();
        drop(server);
        let mut result = Ok(());
        while result.is_ok() {
            result = timeout(LIMIT, client.write_all(&[0; 4096])).await.unwrap();
        }
        let kind = result.unwrap_err().kind();
        assert!(matches!(
            kind,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        ));
        client.shutdown(Shutdown::Write).unwrap();
    });
}

#[test]
fn an_abandoned_wait_loses_nothing() {
    block_on(async {
        let (server, client) = pair(loopback()[0]).await;
        let mut buffer = [0; 8];
        for _ in 0..3 {
            let waited = timeout(Duration::from_millis(1), server.read(&mut buffer)).await;
            assert!(waited.is_err());
        }
        client.write_all(b"late").await.unwrap();
        assert_eq!(server.read(&mut buffer).await.unwrap(), 4);
    });
}

#[test]
fn a_descriptor_number_used_again_is_not_mixed_up_with_the_closed_one() {
    block_on(async {
        for _ in 0..50 {
            let (server, client) = pair(loopback()[0]).await;
            // Leaves an interest behind at the moment the descriptor is closed.
            let mut buffer = [0; 1];
            let read = race(server.read(&mut buffer), yield_now()).await;
            assert!(matches!(read, Either::Right(())));
            drop(server);
            assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
        }
    });
}

#[test]
fn many_connections_are_served_at_once() {
    block_on(async {
        let listener = TcpListener::bind(loopback()[0]).unwrap();
        let address = listener.local_addr().unwrap();
        spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                spawn(async move {
                    let mut buffer = [0; 64];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        stream.write_all(&buffer[..read]).await.unwrap();
                    }
                });
            }
        });
        let clients: Vec<_> = (0..100_u8)
            .map(|id| {
                spawn(async move {
                    let stream = TcpStream::connect(address).await.unwrap();
                    for round in 0..5 {
                        stream.write_all(&[id, round]).await.unwrap();
                        let mut reply = [0; 2];
                        assert_eq!(stream.read(&mut reply).await.unwrap(), 2);
                        assert_eq!(reply, [id, round]);
                    }
                })
            })
            .collect();
        for client in clients {
            timeout(LIMIT, client).await.unwrap().unwrap();
        }
    });
}

#[test]
fn a_stream_with_data_always_there_does_not_starve_the_others() {
    let (address, server) = {
        let listener = std::net::TcpListener::bind(loopback()[0]).unwrap();
        let address = listener.local_addr().unwrap();
        let flood = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let data = vec![0; 65536];
            while stream.write_all(&data).is_ok() {}
        };
        (address, thread::spawn(flood))
    };
    block_on(async {
        let flooded = TcpStream::connect(address).await.unwrap();
        let reader = spawn(async move {
            let mut byte = [0; 1];
            while flooded.read(&mut byte).await.is_ok() {}
        });
        timeout(LIMIT, async {
            let (server, client) = pair(loopback()[0]).await;
            client.write_all(b"x").await.unwrap();
            assert_eq!(server.read(&mut [0; 4]).await.unwrap(), 1);
        })
        .await
        .unwrap();
        reader.abort();
    });
    server.join().unwrap();
}

#[test]
fn datagrams_carry_their_senders_address() {
    for address in loopback() {
        block_on(async {
            let a = UdpSocket::bind(address).unwrap();
            let b = UdpSocket::bind(address).unwrap();
            let sent = a.send_to(b"datagram", b.local_addr().unwrap()).await;
            assert_eq!(sent.unwrap(), 8);
            let mut buffer = [0; 4];
            let (len, sender) = b.recv_from(&mut buffer).await.unwrap();
            assert_eq!((len, sender), (4, a.local_addr().unwrap()));
            // What did not fit is gone; an empty datagram is one too.
            b.send_to(b"", sender).await.unwrap();
            assert_eq!(a.recv_from(&mut buffer).await.unwrap().0, 0);
        });
    }
}

#[test]
fn literal_addresses_need_no_lookup_and_localhost_is_known() {
    block_on(async {
        let v6 = lookup_host("[::1]", 80).await.unwrap();
        assert_eq!(v6, ["[::1]:80".parse().unwrap()]);
        let localhost = lookup_host("localhost", 81).await.unwrap();
        assert!(localhost.contains(&"127.0.0.1:81".parse().unwrap()));
        assert!(lookup_host("no-such-host.invalid", 1).await.is_err());
    });
}
