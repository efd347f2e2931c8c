//! The server as a program.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;

use static_server::config::{Command, Config, HELP, VERSION};
use static_server::server;
use wasip1_runtime::block_on;
use wasip1_runtime::net::TcpListener;
use wasip1_runtime::signal::{SIGHUP, Signals};

fn main() -> ExitCode {
    let args = std::env::args().skip(1);
    let is_folder = |path: &str| fs::metadata(path).is_ok_and(|data| data.is_dir());
    let command = Command::parse(args, |name| std::env::var(name).ok(), is_folder);
    match command {
        Ok(Command::Version) => println!("{VERSION}"),
        Ok(Command::Help) => print!("{HELP}"),
        Ok(Command::Serve(config)) => {
            if let Err(error) = block_on(serve(&config)) {
                eprintln!("static-server: port {}: {error}", config.port);
                return ExitCode::FAILURE;
            }
        }
        Err(error) => {
            eprintln!("static-server: {error}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

async fn serve(config: &Config) -> io::Result<()> {
    let listener = listen(config.port)?;
    let address = listener.local_addr()?;
    println!("serving {} at port {}", config.root, address.port());
    let number = server::serve(listener, &config.root, stopped()).await?;
    println!("stopped by signal {number}");
    Ok(())
}

/// Listens for both families, or for IPv4 where there is no IPv6.
fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port).into()).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
        _ => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port).into()),
    })
}

/// Waits for the wish to stop; for ever where the host has no signals.
async fn stopped() -> io::Result<u8> {
    let mut signals = match Signals::open() {
        Ok(signals) => signals,
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::future::pending().await,
        Err(error) => return Err(error),
    };
    loop {
        // There is nothing to reload.
        match signals.recv().await? {
            SIGHUP => {}
            number => return Ok(number),
        }
    }
}
