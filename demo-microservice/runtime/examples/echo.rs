//! Sends back what it is sent, on the port in `PORT` (default 7), until it is
//! asked to stop.

use std::io;
use std::net::{Ipv6Addr, Shutdown};

use wasip1_runtime::future::{Either, race};
use wasip1_runtime::net::{TcpListener, TcpStream};
use wasip1_runtime::signal::Signals;
use wasip1_runtime::{block_on, spawn};

fn main() -> io::Result<()> {
    let port = std::env::var("PORT").map_or(Ok(7), |port| port.parse());
    let port = port.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    block_on(async {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port).into())?;
        println!("listening at {}", listener.local_addr()?);
        match race(serve(&listener), stopped()).await {
            Either::Left(failed) => failed,
            Either::Right(signal) => {
                println!("stopped by signal {}", signal?);
                Ok(())
            }
        }
    })
}

async fn stopped() -> io::Result<u8> {
    match Signals::open() {
        Ok(mut signals) => signals.recv().await,
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::future::pending().await,
        Err(error) => Err(error),
    }
}

async fn serve(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        spawn(async move {
            if let Err(error) = echo(&stream).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

async fn echo(stream: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.shutdown(Shutdown::Write),
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}
