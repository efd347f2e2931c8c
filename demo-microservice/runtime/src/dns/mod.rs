//! A small DNS client: addresses of a name, by UDP and where needed TCP.

mod message;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use self::message::{Answer, Name, Query, RecordType, Verdict};
use crate::net::{TcpStream, UdpSocket};
use crate::time::{Instant, timeout};

/// Times that are waited for an answer, one after each sending.
const PATIENCE: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
const TCP_LIMIT: Duration = Duration::from_secs(5);
/// More than RFC 1035 section 4.2.1 allows without EDNS, which is 512.
const DATAGRAM: usize = 4096;

type Answers = [Option<Answer>; 2];

/// Asks for the IPv4 and IPv6 addresses of a name, both at once.
pub(crate) async fn resolve(server: SocketAddr, host: &str) -> io::Result<Vec<IpAddr>> {
    let name = Name::parse(host).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{host:?} is no host name"),
        )
    })?;
    let kinds = [RecordType::A, RecordType::Aaaa];
    let queries = kinds.map(|kind| Query::new(random_id(), &name, kind));
    judge(ask(server, &queries).await?, server, host)
}

/// One family's answer is enough: many servers are silent or sour about IPv6.
fn judge(answers: Answers, server: SocketAddr, host: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    let mut failure = None;
    for answer in answers {
        let Some(answer) = answer else {
            let text = format!("{host}: name server {server} does not answer");
            failure = Some(io::Error::new(io::ErrorKind::TimedOut, text));
            continue;
        };
        if let Verdict::Refused(code) = answer.verdict {
            let text = format!("{host}: name server {server} answers error {code}");
            failure = Some(io::Error::other(text));
        }
        addresses.extend(answer.addresses);
    }
    if !addresses.is_empty() {
        return Ok(addresses);
    }
    Err(failure.unwrap_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("{host}: no such host"))
    }))
}

/// Identifiers nobody can guess (RFC 5452): the hasher's keys come from the
/// system's random numbers.
fn random_id() -> u16 {
    let [low, high, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// Sends what is unanswered until all is answered or patience ends.
async fn ask(server: SocketAddr, queries: &[Query; 2]) -> io::Result<Answers> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    let mut answers = [None, None];
    for patience in PATIENCE {
        for (query, answer) in queries.iter().zip(&answers) {
            if answer.is_none() {
                socket.send_to(query.bytes(), server).await?;
            }
        }
        let end = Instant::now() + patience;
        while answers.iter().any(Option::is_none) {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(received) = timeout(left, receive(&socket, server, queries)).await else {
                break;
            };
            let (index, mut answer) = received?;
            if answer.truncated {
                answer = ask_by_tcp(server, &queries[index]).await.unwrap_or(answer);
            }
            answers[index] = Some(answer);
        }
        if answers.iter().all(Option::is_some) {
            break;
        }
    }
    Ok(answers)
}

/// The next datagram that answers one of the queries; others are ignored.
async fn receive(
    socket: &UdpSocket,
    server: SocketAddr,
    queries: &[Query; 2],
) -> io::Result<(usize, Answer)> {
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let (len, sender) = socket.recv_from(&mut datagram).await?;
        if sender != server {
            continue;
        }
        for (index, query) in queries.iter().enumerate() {
            if let Some(answer) = query.answer(&datagram[..len]) {
                return Ok((index, answer));
            }
        }
    }
}

/// Asks again by TCP, where a message follows its length (RFC 7766).
async fn ask_by_tcp(server: SocketAddr, query: &Query) -> io::Result<Answer> {
    timeout(TCP_LIMIT, async {
        let stream = TcpStream::connect(server).await?;
        let len = u16::try_from(query.bytes().len()).map_err(io::Error::other)?;
        let mut request = len.to_be_bytes().to_vec();
        request.extend_from_slice(query.bytes());
        stream.write_all(&request).await?;
        let mut len = [0; 2];
        read_exact(&stream, &mut len).await?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
        read_exact(&stream, &mut message).await?;
        query
            .answer(&message)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    })
    .await?
}

async fn read_exact(stream: &TcpStream, mut to: &mut [u8]) -> io::Result<()> {
    while !to.is_empty() {
        let read = stream.read(to).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to = &mut to[read..];
    }
    Ok(())
}
