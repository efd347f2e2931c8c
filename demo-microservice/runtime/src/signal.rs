//! The signals of a container that is asked to stop or reload.
//!
//! A guest has no signals of its own. The container's runtime offers them as a
//! FIFO at [`PATH`]: a guest that opens it handles them itself, one byte a
//! signal with the signal's number; for one that does not the host does what
//! it thinks best.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;

use crate::reactor::Source;
use crate::sys::{self, Interest};

/// Where the container's runtime puts the FIFO.
pub const PATH: &str = "/dev/wasmimg/signal";
/// Hang-up, by custom a wish to reload.
pub const SIGHUP: u8 = 1;
/// Interrupt from the keyboard.
pub const SIGINT: u8 = 2;
/// The wish to stop in good order.
pub const SIGTERM: u8 = 15;

/// The signals sent to this container.
#[derive(Debug)]
pub struct Signals {
    path: String,
    source: Source,
}

impl Signals {
    /// Begins to handle signals.
    ///
    /// # Errors
    ///
    /// Where the runtime offers no signals, as plain engines do, the kind is
    /// `NotFound`; a guest can do without them.
    pub fn open() -> io::Result<Self> {
        Self::open_at(PATH)
    }

    /// The same with a FIFO elsewhere.
    ///
    /// # Errors
    ///
    /// As for [`Signals::open`], and those of `open(2)`.
    pub fn open_at(path: &str) -> io::Result<Self> {
        let source = Source::new(sys::open_fifo(path).map_err(absent)?);
        let path = path.to_owned();
        Ok(Self { path, source })
    }

    /// Waits for the next signal and gives its number.
    ///
    /// # Errors
    ///
    /// Those of `read(2)`, and of `open(2)` when the FIFO was removed.
    pub async fn recv(&mut self) -> io::Result<u8> {
        loop {
            let mut number = [MaybeUninit::new(0)];
            let source = &self.source;
            let read =
                poll_fn(|cx| source.poll_io(Interest::Read, cx, |fd| sys::read(fd, &mut number)))
                    .await?;
            if read == 1 {
                // SAFETY: it was initialized above.
                return Ok(unsafe { number[0].assume_init() });
            }
            // The last writer has gone, and until it is opened anew the FIFO would say so for
            // ever. The old end is closed after that, so that no signal is lost between.
            self.source = Source::new(sys::open_fifo(&self.path)?);
        }
    }
}

/// An engine that shows the guest no such directory says so in other words.
fn absent(error: io::Error) -> io::Error {
    const WASI_NOTCAPABLE: i32 = 76;
    let incapable = cfg!(target_os = "wasi") && error.raw_os_error() == Some(WASI_NOTCAPABLE);
    if incapable || error.kind() == io::ErrorKind::Unsupported {
        return io::Error::new(io::ErrorKind::NotFound, error);
    }
    error
}
