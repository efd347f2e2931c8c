//! Signals from a FIFO.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wasip1_runtime::block_on;
use wasip1_runtime::signal::{SIGHUP, SIGTERM, Signals};
use wasip1_runtime::time::timeout;

const LIMIT: Duration = Duration::from_secs(10);

/// A FIFO in a directory of its own, removed at the end.
struct Fifo(PathBuf);

impl Fifo {
    fn make(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("signal-{name}-{}", std::process::id()));
        let text = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path is NUL-terminated.
        assert_eq!(unsafe { libc::mkfifo(text.as_ptr(), 0o600) }, 0);
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn writer(&self) -> File {
        OpenOptions::new().write(true).open(&self.0).unwrap()
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn each_byte_is_a_signal() {
    let fifo = Fifo::make("bytes");
    let mut signals = Signals::open_at(fifo.path().to_str().unwrap()).unwrap();
    fifo.writer().write_all(&[SIGHUP, SIGTERM]).unwrap();
    block_on(async {
        assert_eq!(signals.recv().await.unwrap(), SIGHUP);
        assert_eq!(signals.recv().await.unwrap(), SIGTERM);
    });
}

#[test]
fn a_signal_is_waited_for_also_after_writers_have_gone() {
    let fifo = Fifo::make("writers");
    let mut signals = Signals::open_at(fifo.path().to_str().unwrap()).unwrap();
    block_on(async {
        for number in [1, 2, 15] {
            let early = timeout(Duration::from_millis(1), signals.recv()).await;
            assert!(early.is_err());
            fifo.writer().write_all(&[number]).unwrap();
            let received = timeout(LIMIT, signals.recv()).await.unwrap();
            assert_eq!(received.unwrap(), number);
        }
    });
}

#[test]
fn a_host_without_signals_is_not_found() {
    let error = Signals::open_at("/dev/wasmimg/no-such-file").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
