//! Uses Rust's standard library as programs do, for the host's tests: each
//! argument names a group of checks; a check that fails is a panic.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

fn main() {
    for group in std::env::args().skip(1) {
        match group.as_str() {
            "files" => files(),
            "folders" => folders(),
            "read-only" => read_only(),
            "environment" => environment(),
            "time" => time(),
            "input" => input(),
            "escape" => escape(),
            "large" => large(),
            "panic" => panic!("as asked"),
            "status" => std::process::exit(42),
            other => panic!("no group is called {other}"),
        }
        println!("{group}: ok");
    }
}

fn files() {
    fs::write("/data/a", b"hello").unwrap();
    assert_eq!(fs::read_to_string("/data/a").unwrap(), "hello");
    let mut appended = OpenOptions::new().append(true).open("/data/a").unwrap();
    appended.write_all(b", world").unwrap();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/data/a")
        .unwrap();
    file.seek(SeekFrom::End(-5)).unwrap();
    let mut tail = String::new();
    file.read_to_string(&mut tail).unwrap();
    assert_eq!(tail, "world");
    file.set_len(5).unwrap();
    file.sync_all().unwrap();
    assert_eq!(file.metadata().unwrap().len(), 5);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    file.set_modified(modified).unwrap();
    assert_eq!(
        fs::metadata("/data/a").unwrap().modified().unwrap(),
        modified
    );
    fs::copy("/data/a", "/data/b").unwrap();
    fs::rename("/data/b", "/data/c").unwrap();
    // No hard link: the C library of Debian 12 mixes up link(2)'s two names.
    assert_eq!(fs::read("/data/c").unwrap(), b"hello");
    let taken = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open("/data/c");
    assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    for name in ["a", "c"] {
        fs::remove_file(Path::new("/data").join(name)).unwrap();
    }
    assert_eq!(
        File::open("/data/a").unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}

fn folders() {
    fs::create_dir_all("/data/x/y/z").unwrap();
    for number in 0..300 {
        fs::write(format!("/data/x/file-{number}"), number.to_string()).unwrap();
    }
    let mut names: Vec<_> = fs::read_dir("/data/x")
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), entry.file_type().unwrap().is_dir()))
        .collect();
    names.sort();
    assert_eq!(names.len(), 301);
    assert_eq!(names[300], ("y".into(), true));
    assert!(fs::metadata("/data/x/y").unwrap().is_dir());
    assert!(fs::remove_dir("/data/x").is_err());
    fs::remove_dir_all("/data/x").unwrap();
    assert!(!Path::new("/data/x").exists());
}

fn read_only() {
    assert_eq!(fs::read_to_string("/fixed/f").unwrap(), "fixed");
    for failed in [
        fs::write("/fixed/f", "changed"),
        fs::write("/fixed/new", ""),
        fs::create_dir("/fixed/d"),
        fs::remove_file("/fixed/f"),
        fs::rename("/fixed/f", "/data/f"),
    ] {
        assert_eq!(
            failed.unwrap_err().kind(),
            io::ErrorKind::ReadOnlyFilesystem
        );
    }
}

fn environment() {
    assert_eq!(std::env::var("GREETING").unwrap(), "grüß dich");
    assert!(std::env::var("ABSENT").is_err());
    assert!(std::env::args().next().unwrap().ends_with(".wasm"));
}

fn time() {
    let began = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    let slept = began.elapsed();
    assert!(slept >= Duration::from_millis(20), "{slept:?}");
    assert!(SystemTime::now() > SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000));
}

fn input() {
    let lines: Vec<_> = io::stdin()
        .lock()
        .lines()
        .map(|line| line.unwrap())
        .collect();
    assert_eq!(lines, ["one", "two"]);
    io::stderr().write_all(b"to stderr\n").unwrap();
}

fn escape() {
    for path in [
        "/data/../../etc/passwd",
        "/data/up/etc/passwd",
        "/data/abs",
        "/etc/passwd",
    ] {
        assert!(File::open(path).is_err(), "{path}");
    }
}

fn large() {
    let block: Vec<u8> = (0..1 << 20).map(|index| (index % 251) as u8).collect();
    let mut file = File::create("/data/large").unwrap();
    for _ in 0..16 {
        file.write_all(&block).unwrap();
    }
    drop(file);
    let read = fs::read("/data/large").unwrap();
    assert_eq!(read.len(), 16 << 20);
    assert!(read.chunks(1 << 20).all(|chunk| chunk == block));
}
