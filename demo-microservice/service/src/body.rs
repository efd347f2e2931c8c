//! Bodies of requests, within limits.

use crate::{answer::Refusal, net::sleep};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Request,
    body::{Body, Incoming},
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// The longest body taken, in bytes.
const LIMIT: usize = 1 << 20;
/// How long a client may take to send one.
const TIME: Duration = Duration::from_secs(30);

/// Reads the whole body.
///
/// # Errors
/// A refusal for a body that is too long, too slow or cut short.
pub async fn read(request: Request<Incoming>) -> Result<Bytes, Refusal> {
    let body = request.into_body();
    // Said before any of it is read, and before a client that asked is told to go on.
    if body.size_hint().lower() > LIMIT as u64 {
        return Err(Refusal::TooLarge(LIMIT));
    }
    let mut collect = pin!(Limited::new(body, LIMIT).collect());
    let mut limit = pin!(None);
    poll_fn(|cx| {
        if let Poll::Ready(result) = collect.as_mut().poll(cx) {
            return Poll::Ready(match result {
                Ok(body) => Ok(body.to_bytes()),
                Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge(LIMIT)),
                Err(error) => Err(Refusal::Invalid(format!(
                    "the body cannot be read: {error}"
                ))),
            });
        }
        if limit.is_none() {
            limit.set(Some(sleep(TIME)));
        }
        match limit.as_mut().as_pin_mut().map(|limit| limit.poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(Refusal::TooSlow(TIME))),
            _ => Poll::Pending,
        }
    })
    .await
}
