//! hyper over this runtime, both as the server and as the client.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use wasip1_runtime::hyper_rt::Timer;
use wasip1_runtime::net::{TcpListener, TcpStream};
use wasip1_runtime::time::timeout;
use wasip1_runtime::{JoinHandle, block_on, spawn};

const HEADER_LIMIT: Duration = Duration::from_millis(50);

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Ok(Response::new(Full::new(body)))
}

/// Serves one connection.
fn serve() -> (SocketAddr, JoinHandle<hyper::Result<()>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let served = spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        server::conn::http1::Builder::new()
            .timer(Timer)
            .header_read_timeout(HEADER_LIMIT)
            .half_close(true)
            .serve_connection(stream, service_fn(echo))
            .await
    });
    (address, served)
}

#[test]
fn requests_of_all_sizes_follow_each_other_on_one_connection() {
    block_on(async {
        let (address, served) = serve();
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = client::conn::http1::handshake(stream).await.unwrap();
        spawn(connection);
        for size in [0, 1, 8191, 8192, 8193, 1 << 20] {
            let body = Bytes::from(vec![7; size]);
            let request = Request::post("/").body(Full::new(body.clone())).unwrap();
            let response = sender.send_request(request).await.unwrap();
            let echoed = response.into_body().collect().await.unwrap().to_bytes();
            assert!(echoed == body, "{size} bytes");
        }
        drop(sender);
        assert!(served.await.unwrap().is_ok());
    });
}

#[test]
fn a_client_that_has_closed_its_half_still_gets_its_answer() {
    block_on(async {
        let (address, served) = serve();
        let client = thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            let request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(request).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        assert!(served.await.unwrap().is_ok());
        let answer = client.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"));
    });
}

#[test]
fn a_client_that_says_nothing_is_cut_off_by_the_timer() {
    block_on(async {
        let (address, served) = serve();
        let _silent = TcpStream::connect(address).await.unwrap();
        let ended = timeout(Duration::from_secs(10), served).await;
        assert!(ended.unwrap().unwrap().unwrap_err().is_timeout());
    });
}
