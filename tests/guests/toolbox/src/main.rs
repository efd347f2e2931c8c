//! What tests of engines ask of a Wasm container: the first argument says what
//! to do. An error is printed and ends it with 1.

use std::io::{self, Error, ErrorKind, Write};
use std::net::{Ipv6Addr, Shutdown};
use std::time::Duration;
use std::{env, fs, process, thread};

use wasip1_runtime::future::{race, Either};
use wasip1_runtime::net::{lookup_host, TcpListener, TcpStream};
use wasip1_runtime::signal::Signals;
use wasip1_runtime::{block_on, spawn};

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let Err(error) = run(&words) {
        eprintln!("{}: {error}", words.join(" "));
        process::exit(1);
    }
}

fn run(words: &[&str]) -> io::Result<()> {
    match words {
        ["args", rest @ ..] => print(&rest.join("|")),
        ["env"] => env::vars().try_for_each(|(name, value)| print(&format!("{name}={value}"))),
        ["read", path] => io::stdout().write_all(&fs::read(path)?),
        ["write", path, text] => fs::write(path, text),
        ["list", path] => list(path),
        ["copy"] => io::copy(&mut io::stdin().lock(), &mut io::stdout()).map(drop),
        ["exit", status] => process::exit(parse(status)?),
        ["sleep", seconds] => {
            print("sleeping")?;
            thread::sleep(Duration::from_secs(parse(seconds)?));
            Ok(())
        }
        ["eat", mebibytes] => eat(parse(mebibytes)?),
        ["flood", bytes] => flood(parse(bytes)?),
        ["lookup", host] => block_on(lookup(host)),
        ["fetch", host, port] => block_on(fetch(host, parse(port)?)),
        ["serve", port, text] => block_on(serve(parse(port)?, (*text).to_owned())),
        _ => Err(Error::new(ErrorKind::InvalidInput, "not known")),
    }
}

fn parse<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    word.parse()
        .map_err(|_| Error::new(ErrorKind::InvalidInput, word.to_owned()))
}

/// Unlike `println!` this says when nobody can hear it any more.
fn print(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

fn list(path: &str) -> io::Result<()> {
    let names: io::Result<Vec<_>> = fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect();
    let mut names = names?;
    names.sort();
    print(&names.join(" "))
}

/// Takes memory in pieces, and writes to all of it.
fn eat(mebibytes: usize) -> io::Result<()> {
    let eaten: Vec<Vec<u8>> = (0..mebibytes).map(|_| vec![1; 1 << 20]).collect();
    print(&format!("ate {}", eaten.len()))
}

fn flood(bytes: usize) -> io::Result<()> {
    let line = [b"0123456789abcdef".repeat(64).as_slice(), b"\n"].concat();
    let mut out = io::stdout();
    for start in (0..bytes).step_by(line.len()) {
        out.write_all(&line[..line.len().min(bytes - start)])?;
    }
    Ok(())
}

async fn lookup(host: &str) -> io::Result<()> {
    for address in lookup_host(host, 0).await? {
        print(&address.ip().to_string())?;
    }
    Ok(())
}

async fn fetch(host: &str, port: u16) -> io::Result<()> {
    let stream = TcpStream::connect_any(&lookup_host(host, port).await?).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => break,
            read => answer.extend_from_slice(&buffer[..read]),
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) => print(body.trim_end()),
        None => Err(Error::new(ErrorKind::InvalidData, answer)),
    }
}

/// Answers every connection with the text, until SIGTERM.
async fn serve(port: u16, text: String) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port).into())?;
    let mut signals = Signals::open()?;
    print("serving")?;
    loop {
        match race(listener.accept(), signals.recv()).await {
            Either::Left(accepted) => {
                let (stream, _) = accepted?;
                let text = text.clone();
                spawn(async move { answer(&stream, &text).await });
            }
            Either::Right(signal) => return print(&format!("stopped by {}", signal?)),
        }
    }
}

async fn answer(stream: &TcpStream, text: &str) -> io::Result<()> {
    let mut buffer = [0; 4096];
    stream.read(&mut buffer).await?;
    let length = text.len();
    let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown(Shutdown::Write)
}
