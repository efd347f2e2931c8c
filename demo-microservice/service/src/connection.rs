//! One HTTP connection, from its first byte to its last.

use crate::{
    api::Api,
    net::{HttpStream, sleep},
    roster::{Member, Phase},
};
use hyper::{
    header::{CONNECTION, HeaderValue},
    rt::{Read, ReadBuf, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
};
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

/// How long a peer may take to see that it has been sent the last byte.
const LINGER: Duration = Duration::from_secs(1);
/// How much of what a refused peer goes on sending is read and thrown away, in bytes.
const LINGER_SIZE: usize = 4 << 20;

/// Serves requests until either side has enough.
pub async fn serve(stream: HttpStream, api: Arc<Api>, member: Member, idle: Duration) {
    let pulse = Arc::new(Pulse::default());
    let member = Arc::new(member);
    let service = {
        let (pulse, member) = (pulse.clone(), member.clone());
        service_fn(move |request| {
            let (api, member) = (api.clone(), member.clone());
            let serving = Pulse::begin(&pulse);
            Box::pin(async move {
                let mut response = api.answer(request).await;
                if member.phase() > Phase::Serving {
                    response
                        .headers_mut()
                        .insert(CONNECTION, HeaderValue::from_static("close"));
                }
                drop(serving);
                Ok::<_, Infallible>(response)
            })
        })
    };
    let stream = Metered {
        stream,
        pulse: pulse.clone(),
    };
    let mut http = http1::Builder::new()
        // One write an answer: there is no TCP_NODELAY everywhere.
        .writev(false)
        // A client that has said all it wants to say still gets its answer.
        .half_close(true)
        // Silence is measured here, by one timer for many requests.
        .header_read_timeout(None)
        .serve_connection(stream, service);
    let mut look = pin!(sleep(idle / 2));
    let mut beats = pulse.beats();
    let (mut known, mut asked) = (false, false);
    let ended = poll_fn(|cx| {
        if !known {
            member.listen(cx.waker());
            known = true;
        }
        let phase = member.phase();
        if phase == Phase::Ending {
            return Poll::Ready(false);
        }
        if phase == Phase::Closing && !asked {
            Pin::new(&mut http).graceful_shutdown();
            asked = true;
        }
        // An error is the peer's, who may still have an answer to read.
        if http.poll_without_shutdown(cx).is_ready() {
            return Poll::Ready(true);
        }
        while look.as_mut().poll(cx).is_ready() {
            if pulse.is_silent() && pulse.beats() == beats {
                return Poll::Ready(true);
            }
            beats = pulse.beats();
            look.set(sleep(idle / 2));
        }
        Poll::Pending
    })
    .await;
    if ended {
        linger(http.into_parts().io.stream).await;
    }
}

/// Closes a connection so that the peer gets all that was sent to it.
///
/// Closing with unread bytes in the socket makes the system reset the connection, and the peer may
/// then lose the answer (RFC 9112 section 9.6).
async fn linger(mut stream: HttpStream) {
    let mut limit = pin!(sleep(LINGER));
    let mut scrap = [0; 4096];
    let mut rest = LINGER_SIZE;
    let mut shut = false;
    poll_fn(|cx| {
        if !shut {
            if ready!(Pin::new(&mut stream).poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            shut = true;
        }
        loop {
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut stream).poll_read(cx, buffer.unfilled()) {
                Poll::Pending => return limit.as_mut().poll(cx),
                Poll::Ready(Ok(()))
                    if !buffer.filled().is_empty() && rest > buffer.filled().len() =>
                {
                    rest -= buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    })
    .await;
}

/// Signs of life on a connection.
#[derive(Debug, Default)]
struct Pulse {
    beats: AtomicU32,
    serving: AtomicU32,
}

impl Pulse {
    fn begin(pulse: &Arc<Self>) -> Serving {
        pulse.beat();
        pulse.serving.fetch_add(1, Ordering::Relaxed);
        Serving(pulse.clone())
    }

    fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    fn beats(&self) -> u32 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Whether no request is being served.
    fn is_silent(&self) -> bool {
        self.serving.load(Ordering::Relaxed) == 0
    }
}

struct Serving(Arc<Pulse>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream on which every successful write is a sign of life.
///
/// Reads are none: a client that sends its request byte by byte may not stay for ever.
struct Metered {
    stream: HttpStream,
    pulse: Arc<Pulse>,
}

impl Read for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(_)) = result {
            self.pulse.beat();
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
