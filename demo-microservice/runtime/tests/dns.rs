//! Name lookup against a name server made for the test.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;

use wasip1_runtime::block_on;
use wasip1_runtime::net::lookup_host_via;

const A: u16 = 1;
const AAAA: u16 = 28;
const TRUNCATED: u8 = 0x02;

/// What the server makes of a question for a type: answers, or silence.
type Script = fn(query: &[u8], kind: u16) -> Vec<Vec<u8>>;

/// Serves a script over UDP for as long as the test's process lives.
fn serve(script: Script) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((len, sender)) = socket.recv_from(&mut buffer) {
            let query = &buffer[..len];
            for answer in script(query, kind_of(query)) {
                socket.send_to(&answer, sender).unwrap();
            }
        }
    });
    address
}

fn kind_of(query: &[u8]) -> u16 {
    let [.., high, low, _, _] = query else {
        panic!("a query without a question");
    };
    u16::from_be_bytes([*high, *low])
}

/// An answer to a query: a code, flags, and records for the query's name.
fn answer(query: &[u8], code: u8, flags: u8, records: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2] |= 0x80 | flags;
    message[3] = 0x80 | code;
    message[7] = u8::try_from(records.len()).unwrap();
    for (kind, data) in records {
        message.extend([0xc0, 12]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 60]);
        message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        message.extend_from_slice(data);
    }
    message
}

fn lookup(server: SocketAddr, host: &str) -> io::Result<Vec<SocketAddr>> {
    block_on(lookup_host_via(server, host, 3306))
}

#[test]
fn both_families_are_found_behind_an_alias() {
    let server = serve(|query, kind| {
        let alias: (u16, &[u8]) = (5, b"\x02db\xc0\x0c");
        let records: &[_] = match kind {
            A => &[alias, (A, &[10, 0, 0, 1]), (A, &[10, 0, 0, 2])],
            AAAA => &[(AAAA, &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])],
            _ => &[],
        };
        vec![answer(query, 0, 0, records)]
    });
    let expected: Vec<SocketAddr> = ["10.0.0.1:3306", "10.0.0.2:3306", "[fd00::1]:3306"]
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    assert_eq!(lookup(server, "db").unwrap(), expected);
}

#[test]
fn an_unknown_name_is_not_found() {
    let server = serve(|query, _| vec![answer(query, 3, 0, &[])]);
    let error = lookup(server, "nobody.example").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("nobody.example"));
}

#[test]
fn a_failing_server_is_named() {
    let server = serve(|query, _| vec![answer(query, 2, 0, &[])]);
    let error = lookup(server, "db").unwrap_err();
    assert!(error.to_string().contains(&server.to_string()), "{error}");
}

#[test]
fn one_family_is_enough_if_the_other_is_refused() {
    let server = serve(|query, kind| match kind {
        A => vec![answer(query, 0, 0, &[(A, &[10, 0, 0, 9])])],
        _ => vec![answer(query, 4, 0, &[])],
    });
    assert_eq!(
        lookup(server, "db").unwrap(),
        ["10.0.0.9:3306".parse().unwrap()]
    );
}

#[test]
fn what_does_not_answer_the_question_is_ignored() {
    let server = serve(|query, kind| {
        let lie: &[(u16, &[u8])] = &[(A, &[6, 6, 6, 6])];
        let mut other_id = answer(query, 0, 0, lie);
        other_id[0] ^= 0xff;
        let mut other_name = answer(query, 0, 0, lie);
        other_name[13] ^= 1;
        let echoed = query.to_vec();
        let cut = answer(query, 0, 0, lie)[..query.len() + 5].to_vec();
        let truth: &[(u16, &[u8])] = if kind == A {
            &[(A, &[1, 2, 3, 4])]
        } else {
            &[]
        };
        vec![
            Vec::new(),
            other_id,
            other_name,
            echoed,
            cut,
            answer(query, 0, 0, truth),
        ]
    });
    assert_eq!(
        lookup(server, "db").unwrap(),
        ["1.2.3.4:3306".parse().unwrap()]
    );
}

#[test]
fn a_lost_question_is_asked_again() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = socket.local_addr().unwrap();
    let asked = thread::spawn(move || {
        let mut buffer = [0; 512];
        let mut seen = 0;
        loop {
            let (len, sender) = socket.recv_from(&mut buffer).unwrap();
            seen += 1;
            // The first question of each type is lost.
            if seen > 2 {
                let reply = answer(&buffer[..len], 0, 0, &[(A, &[10, 1, 1, 1])]);
                socket.send_to(&reply, sender).unwrap();
            }
            if seen == 4 {
                return;
            }
        }
    });
    assert_eq!(
        lookup(server, "db").unwrap(),
        ["10.1.1.1:3306".parse().unwrap()]
    );
    asked.join().unwrap();
}

#[test]
fn a_truncated_answer_is_asked_for_again_by_tcp() {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(server).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((len, sender)) = udp.recv_from(&mut buffer) {
            let query = &buffer[..len];
            let flags = if kind_of(query) == A { TRUNCATED } else { 0 };
            udp.send_to(&answer(query, 0, flags, &[]), sender).unwrap();
        }
    });
    let asked = thread::spawn(move || {
        let (mut stream, _) = tcp.accept().unwrap();
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut query).unwrap();
        let addresses: Vec<[u8; 4]> = (0..100).map(|last| [10, 2, 0, last]).collect();
        let records: Vec<(u16, &[u8])> = addresses.iter().map(|a| (A, &a[..])).collect();
        let reply = answer(&query, 0, 0, &records);
        // In two parts, as TCP may.
        let len = u16::try_from(reply.len()).unwrap().to_be_bytes();
        stream.write_all(&len).unwrap();
        stream.write_all(&reply[..700]).unwrap();
        stream.write_all(&reply[700..]).unwrap();
    });
    let found = lookup(server, "many").unwrap();
    assert_eq!(found.len(), 100);
    assert_eq!(found[99].ip(), IpAddr::from([10, 2, 0, 99]));
    asked.join().unwrap();
}

#[test]
fn names_that_cannot_be_asked_for_are_refused_and_some_need_no_asking() {
    let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let long_label = "a".repeat(64);
    let long_name = "a.".repeat(127) + "a";
    for name in ["", "a..b", ".", &long_label, &long_name, "bücher.example"] {
        let error = lookup(nobody, name).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}");
    }
    assert_eq!(lookup(nobody, "localhost").unwrap().len(), 2);
    assert_eq!(lookup(nobody, "10.0.0.1").unwrap().len(), 1);
}
