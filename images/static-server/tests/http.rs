//! The server as its clients see it, over real connections.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use static_server::server;
use wasip1_runtime::block_on;
use wasip1_runtime::net::TcpListener;
use wasip1_runtime::signal::{SIGTERM, Signals};

static FOLDERS: AtomicUsize = AtomicUsize::new(0);

/// A running server with a folder of its own.
struct Server {
    folder: PathBuf,
    address: SocketAddr,
    thread: Option<JoinHandle<u8>>,
}

impl Server {
    fn start() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("static-server-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(folder.join("site/sub/empty")).unwrap();
        fs::write(folder.join("site/index.html"), "<h1>home</h1>").unwrap();
        fs::write(folder.join("site/sub/index.html"), "sub").unwrap();
        fs::write(folder.join("site/digits.txt"), "0123456789").unwrap();
        fs::write(folder.join("site/empty.css"), "").unwrap();
        fs::write(folder.join("secret"), "secret").unwrap();
        let fifo = folder.join("signal");
        assert!(
            Command::new("mkfifo")
                .arg(&fifo)
                .status()
                .unwrap()
                .success()
        );
        let root = folder.join("site").to_str().unwrap().to_owned();
        let fifo = fifo.to_str().unwrap().to_owned();
        let (tell, address) = mpsc::channel();
        let thread = thread::spawn(move || {
            block_on(async {
                let mut signals = Signals::open_at(&fifo).unwrap();
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                server::serve(listener, &root, async { signals.recv().await }).await
            })
            .unwrap()
        });
        Self {
            folder,
            address: address.recv().unwrap(),
            thread: Some(thread),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join("site").join(name)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = self.connect();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        )
        .unwrap();
        for (name, value) in headers {
            write!(stream, "{name}: {value}\r\n").unwrap();
        }
        stream.write_all(b"\r\n").unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes)
    }

    fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[])
    }

    fn ask_to_stop(&self) {
        let fifo = File::options().write(true).open(self.folder.join("signal"));
        fifo.unwrap().write_all(&[SIGTERM]).unwrap();
    }

    fn join(&mut self) -> u8 {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.ask_to_stop();
            let number = self.join();
            assert!(number == SIGTERM || thread::panicking());
        }
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.expect("an answer with a head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        });
        Self {
            status: status.parse().unwrap(),
            headers: headers.collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    fn is(&self, status: u16, body: &str) {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!((self.status, text.as_ref()), (status, body));
    }
}

fn set_time(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

#[test]
fn files_folders_and_their_types() {
    let server = Server::start();
    let home = server.get("/");
    home.is(200, "<h1>home</h1>");
    assert_eq!(
        home.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(home.header("content-length"), Some("13"));
    assert_eq!(home.header("x-content-type-options"), Some("nosniff"));
    server.get("/index.html?x=1").is(200, "<h1>home</h1>");
    server.get("/sub/").is(200, "sub");
    server.get("/sub/%2e%2e/digits%2Etxt").is(200, "0123456789");
    let empty = server.get("/empty.css");
    empty.is(200, "");
    assert_eq!(empty.header("content-length"), Some("0"));
}

#[test]
fn a_folder_without_its_slash_is_sent_to_its_name_on_this_host() {
    let server = Server::start();
    let moved = server.get("/sub?a=b");
    assert_eq!(
        (moved.status, moved.header("location")),
        (301, Some("/sub/?a=b"))
    );
    let moved = server.get("//sub");
    assert_eq!(moved.header("location"), Some("/sub/"));
}

#[test]
fn head_is_get_without_a_body() {
    let server = Server::start();
    let (head, get) = (
        server.send("HEAD", "/digits.txt", &[]),
        server.get("/digits.txt"),
    );
    head.is(200, "");
    let without_date = |answer: &Answer| {
        let kept = answer.headers.iter().filter(|(name, _)| name != "date");
        let mut kept: Vec<_> = kept.cloned().collect();
        kept.sort();
        kept
    };
    assert_eq!(without_date(&head), without_date(&get));
    server.send("HEAD", "/nothing", &[]).is(404, "");
}

#[test]
fn what_is_not_there_or_not_allowed_is_answered_shortly() {
    let server = Server::start();
    for target in [
        "/nothing",
        "/sub/empty/",
        "/digits.txt/",
        "/digits.txt/x",
        "/%20",
    ] {
        server.get(target).is(404, "404 Not Found\n");
    }
    for long in ["/x".repeat(5000), format!("/{}", "x".repeat(5000))] {
        server.get(&long).is(404, "404 Not Found\n");
    }
    for method in ["POST", "DELETE", "OPTIONS", "BREW"] {
        let refused = server.send(method, "/", &[]);
        refused.is(405, "405 Method Not Allowed\n");
        assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    }
}

#[test]
fn nothing_outside_the_folder_is_served() {
    let server = Server::start();
    for target in [
        "/../secret",
        "/sub/../../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/sub/%2e%2e%2f%2e%2e%2fsecret",
        "/digits.txt%00.html",
        "/%",
    ] {
        let refused = server.get(target);
        assert_eq!(refused.status, 400, "{target}");
        assert!(!refused.body.windows(6).any(|six| six == b"secret"));
    }
}

#[test]
fn devices_and_fifos_are_not_opened() {
    let server = Server::start();
    let fifo = server.file("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    server.get("/fifo").is(404, "404 Not Found\n");
    std::os::unix::fs::symlink("/dev/zero", server.file("zero")).unwrap();
    server.get("/zero").is(404, "404 Not Found\n");
}

#[test]
fn parts_of_a_file() {
    let server = Server::start();
    let part = |range: &str| server.send("GET", "/digits.txt", &[("Range", range)]);
    let middle = part("bytes=2-4");
    middle.is(206, "234");
    assert_eq!(middle.header("content-range"), Some("bytes 2-4/10"));
    assert_eq!(middle.header("content-length"), Some("3"));
    part("bytes=7-").is(206, "789");
    part("bytes=-2").is(206, "89");
    part("bytes=x").is(200, "0123456789");
    let beyond = part("bytes=10-");
    beyond.is(416, "416 Range Not Satisfiable\n");
    assert_eq!(beyond.header("content-range"), Some("bytes */10"));
}

#[test]
fn several_parts_come_as_multipart() {
    let server = Server::start();
    let answer = server.send("GET", "/digits.txt", &[("Range", "bytes=8-8,0-1")]);
    assert_eq!(answer.status, 206);
    let kind = answer.header("content-type").unwrap();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let part = |range: &str, text: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Range: bytes {range}/10\r\n\r\n{text}"
        )
    };
    let (first, second) = (part("8-8", "8"), part("0-1", "01"));
    let expected = format!("{first}{second}\r\n--{boundary}--\r\n");
    answer.is(206, &expected);
    let length = expected.len().to_string();
    assert_eq!(answer.header("content-length"), Some(length.as_str()));
}

#[test]
fn a_copy_that_is_still_good_is_not_sent_again() {
    let server = Server::start();
    set_time(&server.file("digits.txt"), 1_700_000_000);
    let first = server.get("/digits.txt");
    let tag = first.header("etag").unwrap();
    let date = first.header("last-modified").unwrap();
    assert_eq!(date, "Tue, 14 Nov 2023 22:13:20 GMT");
    for header in [("If-None-Match", tag), ("If-Modified-Since", date)] {
        let same = server.send("GET", "/digits.txt", &[header]);
        same.is(304, "");
        assert_eq!(same.header("etag"), Some(tag));
        assert_eq!(same.header("content-type"), None);
    }
    let range = ("Range", "bytes=0-1");
    server
        .send("GET", "/digits.txt", &[range, ("If-Range", tag)])
        .is(206, "01");
    set_time(&server.file("digits.txt"), 1_700_000_001);
    let changed = server.send("GET", "/digits.txt", &[("If-None-Match", tag)]);
    changed.is(200, "0123456789");
    server
        .send("GET", "/digits.txt", &[range, ("If-Range", tag)])
        .is(200, "0123456789");
}

#[test]
fn files_of_a_reproducible_archive_are_told_apart_by_content() {
    let server = Server::start();
    for (name, text) in [("a.txt", "one"), ("b.txt", "two"), ("c.txt", "one")] {
        fs::write(server.file(name), text).unwrap();
        set_time(&server.file(name), 0);
    }
    let [a, b, c] = ["/a.txt", "/b.txt", "/c.txt"].map(|target| {
        let answer = server.get(target);
        assert_eq!(answer.header("last-modified"), None);
        answer.header("etag").unwrap().to_owned()
    });
    assert!(a != b && a == c);
    server.get("/a.txt").is(200, "one");
    server
        .send("GET", "/a.txt", &[("If-None-Match", &a)])
        .is(304, "");
}

#[test]
fn a_large_file_comes_whole_and_in_parts() {
    let server = Server::start();
    let data: Vec<u8> = (0..20_000_003_u32).map(|i| (i % 253) as u8).collect();
    fs::write(server.file("large.bin"), &data).unwrap();
    let answer = server.get("/large.bin");
    assert_eq!(
        answer.header("content-type"),
        Some("application/octet-stream")
    );
    assert!(answer.body == data);
    let part = server.send("GET", "/large.bin", &[("Range", "bytes=65535-300000")]);
    assert!(part.body == data[65535..=300_000]);
}

#[test]
fn a_file_cut_while_it_is_sent_ends_the_connection_early() {
    let server = Server::start();
    fs::write(server.file("cut.bin"), vec![1; 30 << 20]).unwrap();
    let mut stream = server.connect();
    stream
        .write_all(b"GET /cut.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut first = [0; 1024];
    stream.read_exact(&mut first).unwrap();
    File::create(server.file("cut.bin")).unwrap();
    let mut rest = Vec::new();
    // A reset is as good as an end.
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() < 30 << 20);
    server.get("/digits.txt").is(200, "0123456789");
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let server = Server::start();
    let mut stream = server.connect();
    // All at once, as a client that pipelines does.
    let request = "GET /digits.txt HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /digits.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream
        .write_all(format!("{request}{request}{last}").as_bytes())
        .unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert_eq!(all.matches("\r\n\r\n0123456789").count(), 3);
}

#[test]
fn a_stop_finishes_requests_under_way_and_closes_idle_connections() {
    let mut server = Server::start();
    let data = vec![7; 30 << 20];
    fs::write(server.file("large.bin"), &data).unwrap();
    let mut idle = server.connect();
    let mut busy = server.connect();
    busy.write_all(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut first = [0; 1024];
    busy.read_exact(&mut first).unwrap();
    server.ask_to_stop();
    // The idle connection ends while the other is still being served.
    assert_eq!(idle.read(&mut [0; 16]).unwrap(), 0);
    assert!(TcpStream::connect(server.address).is_err());
    let mut answer = first.to_vec();
    busy.read_to_end(&mut answer).unwrap();
    assert!(Answer::parse(&answer).body == data);
    assert_eq!(server.join(), SIGTERM);
}
